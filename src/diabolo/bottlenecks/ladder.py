"""Codes of several levels, each drawn given the one above."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from diabolo.autoencoder import Code
from diabolo.bottlenecks.continuous import Random, drawn
from diabolo.priors import moments
from diabolo.randomness import normal_like
from diabolo.schedules import Anneal

if TYPE_CHECKING:
    from jaxtyping import Float


class Level(NamedTuple):
    """Normal distributions of a level's numbers, given the level above, with and without the row; and a draw."""

    mean: Tensor
    scale: Tensor
    noise: Tensor
    prior_mean: Tensor
    prior_scale: Tensor

    @property
    def z(self) -> Tensor:
        return self.mean + self.scale * self.noise

    @property
    def divergence(self) -> Tensor:
        """KL(q || p) of each number, in nats."""
        spread = ((self.mean - self.prior_mean).square() + self.scale.square()) / self.prior_scale.square()
        return (spread - 1) / 2 + (self.prior_scale / self.scale).log()

    @property
    def ratio(self) -> Tensor:
        """Log q - log p of each number drawn, in nats."""
        away = (self.z - self.prior_mean) / self.prior_scale
        return (away.square() - self.noise.square()) / 2 + (self.prior_scale / self.scale).log()


class Ladder(Random):
    """Levels of normal codes, of which the decoder sees the lowest (Sønderby et al., 2016, arXiv:1602.02282).

    ::

        p(top) = N(0, 1)                q(top | x)         from the encoder
        p(z | top) = N(network(top))    q(z | x, top)      the encoder's and p(z | top), weighed by their precision

    ``above`` are the numbers of the levels above the ``latent`` of the code, from low to high. The cost, in nats per
    row, is ``kl = weight * sum_levels sum_j max(KL(q || p), free)``, each given the level drawn above; in evaluation
    every level is at its mean, and so are the KL of the levels below: an estimate. ``h`` has shape (n, 2 * all numbers,
    *grid): means, then scales as of ``Gaussian``, from the highest level down.

    >>> part = Ladder(4, above=(3, 2))
    >>> part.width, part(torch.zeros(5, 18)).z.shape, part.sample(7).shape
    (18, torch.Size([5, 4]), torch.Size([7, 4]))
    """

    def __init__(
        self,
        latent: int,
        above: Sequence[int] = (4,),
        hidden: int = 32,
        weight: float | Anneal = 1.0,
        free: float = 0.0,
    ) -> None:
        self.sizes = [*reversed(above), latent]
        super().__init__(2 * sum(self.sizes), latent, weight, free)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Linear(high, hidden), nn.SiLU(), nn.Linear(hidden, 2 * low))
            for high, low in pairwise(self.sizes)
        )

    @property
    def numbers(self) -> int:
        return sum(self.sizes)

    def forward(self, h: Float[Tensor, "n width *grid"]) -> Code:
        mean, scale = moments(h)
        levels = list(self._levels(mean, scale, normal_like(mean) if self.training else torch.zeros_like(mean)))
        terms = torch.cat([level.divergence for level in levels], 1)
        return Code(levels[-1].z, self._priced(terms, terms.shape[2:]))

    def propose(
        self, h: Float[Tensor, "n width *grid"], samples: int
    ) -> tuple[Float[Tensor, "n*samples latent *grid"], Float[Tensor, "n*samples"]]:
        mean, scale = moments(h)
        means, scales = mean.repeat_interleave(samples, 0), scale.repeat_interleave(samples, 0)
        levels = list(self._levels(means, scales, drawn(mean, samples)))
        return levels[-1].z, torch.cat([level.ratio for level in levels], 1).flatten(1).sum(1)

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        noise = normal_like(self.anchor.new_empty(n, sum(self.sizes), *grid)).split(self.sizes, 1)
        z = noise[0]
        for down, own in zip(self.down, noise[1:], strict=True):
            mean, scale = _given(down, z)
            z = mean + scale * own
        return z

    def _levels(self, mean: Tensor, scale: Tensor, noise: Tensor) -> Iterator[Level]:
        """Every level, from the highest down."""
        means, scales, noises = (each.split(self.sizes, 1) for each in (mean, scale, noise))
        level = Level(means[0], scales[0], noises[0], torch.zeros_like(means[0]), torch.ones_like(means[0]))
        yield level
        for down, mean, scale, noise in zip(self.down, means[1:], scales[1:], noises[1:], strict=True):
            prior_mean, prior_scale = _given(down, level.z)
            both = (scale.square().reciprocal() + prior_scale.square().reciprocal()).reciprocal()
            weighed = both * (mean / scale.square() + prior_mean / prior_scale.square())
            level = Level(weighed, both.sqrt(), noise, prior_mean, prior_scale)
            yield level


def _given(down: nn.Module, z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and scale of a level given the one above; on a grid, place by place."""
    return moments(down(z.movedim(1, -1)).movedim(-1, 1))
