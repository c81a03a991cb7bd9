"""Codes on a sphere."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diabolo.autoencoder import Code
from diabolo.bottlenecks.continuous import Random, drawn
from diabolo.errors import InvalidParameter
from diabolo.priors import positive
from diabolo.randomness import normal_like, uniform_like
from diabolo.schedules import Anneal

if TYPE_CHECKING:
    from jaxtyping import Float

CELLS = 256  # that the angle between mean and code is cut into
LARGEST = 1e5  # concentration
SHORTEST = 1e-3  # direction that is stretched to length 1: the slope of a shorter one would have no bound
TINY = 1e-12


class Spherical(Random):
    """A direction per row instead of a point, from the von Mises-Fisher distribution (Davidson et al., 2018,
    arXiv:1804.00891).

    Codes have ``|z| = 1``; ``q(z | x)`` is proportional to ``exp(k mean . z)``, the prior is uniform on the sphere, and
    ``z = mean`` in evaluation. The cost, in nats per row, is ``kl = weight * max(KL(q || uniform), free * latent)``,

        KL = k E[cos a] - log Z(k) + log Z(0),   Z(k) = integral of exp(k cos a) sin(a)^(latent - 2) over a in (0, pi)

    ``a`` being the angle between mean and code. Z, the expectation and the drawn angle (the inverse of its distribution
    function at a uniform number) come from one quadrature of 256 cells: no rejection, and gradients throughout.

    ``h`` has shape (n, latent + 1, *grid): the direction, then the concentration k before softplus. On a grid each
    place has a direction. Raises InvalidParameter where ``latent`` is below 2.

    >>> code = Spherical(4).eval()(torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.0]]))
    >>> code.z, code.costs["kl"]
    (tensor([[0.5000, 0.5000, 0.5000, 0.5000]]), tensor([0.1177]))
    """

    def __init__(self, latent: int, weight: float | Anneal = 1.0, free: float = 0.0) -> None:
        super().__init__(latent + 1, latent, weight, free)
        if latent < 2:
            raise InvalidParameter(f"latent must be an int >= 2 for codes on a sphere. Got {latent}.")

    def forward(self, h: Float[Tensor, "n width *grid"]) -> Code:
        mean, concentration = self._read(h)
        angles = Angles.of(concentration, self.latent)
        nats = _log_z0(self.latent) - angles.log_z - concentration * (angles.chance * versine(angles.middle)).sum(-1)
        z = turned(mean, angles.at(uniform_like(concentration)), normal_like(mean)) if self.training else mean
        return Code(z.movedim(-1, 1), self._priced(nats[..., None], mean.shape[1:-1]))

    def propose(
        self, h: Float[Tensor, "n width *grid"], samples: int
    ) -> tuple[Float[Tensor, "n*samples latent *grid"], Float[Tensor, "n*samples"]]:
        mean, concentration = self._read(h)
        chance, noise = drawn(concentration, samples, uniform_like), drawn(mean, samples)
        mean, concentration = (each.repeat_interleave(samples, 0) for each in (mean, concentration))
        angles = Angles.of(concentration, self.latent)
        angle = angles.at(chance)
        nats = _log_z0(self.latent) - angles.log_z - concentration * versine(angle)
        return turned(mean, angle, noise).movedim(-1, 1), nats.reshape(len(nats), math.prod(nats.shape[1:])).sum(1)

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        return F.normalize(self._normal(n, grid), dim=1)

    def _read(self, h: Tensor) -> tuple[Float[Tensor, "n *grid latent"], Float[Tensor, "n *grid"]]:
        direction, raw = h.float().movedim(1, -1).split([self.latent, 1], -1)
        return F.normalize(direction, dim=-1, eps=SHORTEST), positive(raw[..., 0]).clamp_max(LARGEST)


class Angles(NamedTuple):
    """The angle between mean and code in cells: their width, middles and chances; and ``log Z(k) - k``."""

    width: Float[Tensor, "*n 1"]
    middle: Float[Tensor, "*n cells"]
    chance: Float[Tensor, "*n cells"]
    log_z: Float[Tensor, "*n"]

    @classmethod
    def of(cls, concentration: Float[Tensor, "*n"], latent: int) -> Angles:
        """Cells up to the largest angle that has a chance: a k of any size is cut as finely."""
        k = concentration[..., None]
        width = (1.6 * (math.sqrt(latent - 1) + 6) / k.detach().sqrt()).clamp_max(math.pi) / CELLS
        middle = width * (torch.arange(CELLS, device=k.device) + 0.5)
        log_chance = (latent - 2) * middle.sin().log() - k * versine(middle)
        return cls(width, middle, log_chance.softmax(-1), log_chance.logsumexp(-1) + width[..., 0].log())

    def at(self, chance: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """The angle below which the code lies with this chance."""
        reached, wanted = self.chance.cumsum(-1), chance[..., None]
        cell = (wanted > reached).sum(-1, keepdim=True).clamp_max(CELLS - 1)
        own = self.chance.gather(-1, cell)
        part = (wanted - reached.gather(-1, cell) + own) / own.clamp_min(TINY)
        return ((cell + part.clamp(0, 1)) * self.width)[..., 0]


def versine(angle: Tensor) -> Tensor:
    """``1 - cos(angle)``, exact for small angles."""
    return 2 * (angle / 2).sin().square()


def turned(
    mean: Float[Tensor, "*n latent"], angle: Float[Tensor, "*n"], noise: Float[Tensor, "*n latent"]
) -> Float[Tensor, "*n latent"]:
    """``mean``, turned by ``angle`` towards where the noise points."""
    for _ in range(2):  # once leaves rounding where the noise points along the mean
        noise = F.normalize(noise - (noise * mean).sum(-1, keepdim=True) * mean, dim=-1)
    return angle.cos()[..., None] * mean + angle.sin()[..., None] * noise


def _log_z0(latent: int) -> float:
    return 0.5 * math.log(math.pi) + math.lgamma((latent - 1) / 2) - math.lgamma(latent / 2)
