"""Codes of real numbers: as they are, few of them, or drawn."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from diabolo.autoencoder import Bottleneck, Code
from diabolo.errors import InvalidParameter
from diabolo.priors import HALF_LOG_TAU, Prior, StandardNormal, moments
from diabolo.randomness import normal_like
from diabolo.schedules import Anneal, annealed

if TYPE_CHECKING:
    from jaxtyping import Float


class Continuous(Bottleneck):
    """Codes of real numbers; without more knowledge they are drawn from the standard normal."""

    anchor: Tensor

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.width, self.latent = width, latent
        self.register_buffer("anchor", torch.zeros(0), persistent=False)  # where this part lives: device and dtype

    def _normal(self, n: int, grid: tuple[int, ...]) -> Tensor:
        return normal_like(self.anchor.new_empty(n, self.latent, *grid))


class Plain(Continuous):
    """The encoder's numbers as they are, or through ``activation``; costs nothing.

    ``z = activation(h)``, h and z of shape (n, latent, *grid); ``grid`` asks for a code per place instead of per row.

    >>> Plain(2, torch.nn.ReLU())(torch.tensor([[-1.0, 2.0]])).z
    tensor([[0., 2.]])
    """

    def __init__(self, latent: int, activation: nn.Module | None = None, *, grid: bool = False) -> None:
        super().__init__(latent, latent)
        self.grid = grid
        self.activation = activation or nn.Identity()

    def forward(self, h: Float[Tensor, "n latent *grid"]) -> Code:
        return Code(self.activation(h), {})

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        return self(self._normal(n, grid)).z


class TopK(Continuous):
    """The ``k`` largest of ``latent`` numbers, all others 0 (Makhzani & Frey, 2014, arXiv:1312.5663).

    h and z have shape (n, latent, *grid); the k are chosen at each place of the grid. Raises InvalidParameter if
    ``k`` is larger than ``latent``.

    >>> TopK(3, k=1)(torch.tensor([[0.5, 2.0, -3.0]])).z
    tensor([[0., 2., 0.]])
    """

    def __init__(self, latent: int, k: int) -> None:
        super().__init__(latent, latent)
        if not 1 <= k <= latent:
            raise InvalidParameter(f"k must lie in 1 to latent = {latent}. Got {k}: lower k or raise latent.")
        self.k = k

    def forward(self, h: Float[Tensor, "n latent *grid"]) -> Code:
        kept, places = h.topk(self.k, 1)
        return Code(torch.zeros_like(h).scatter(1, places, kept), {})

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        return self(self._normal(n, grid)).z

    def extra_repr(self) -> str:
        return f"latent={self.latent}, k={self.k}"


class Random(Continuous, ABC):
    """Codes that are drawn from a posterior q(z | x), at a price for what they tell beyond the prior.

    The cost, in nats per row, is ``kl = weight * |KL(q || p) - capacity|``, where no term of the KL counts less than
    ``free`` (see ``_priced``). ``weight`` is the beta of Higgins et al. (2017), ``capacity`` the nats that a row may
    tell (Burgess et al., 2018, arXiv:1804.03599); both are numbers or an ``Anneal``. A weight of 0 leaves the cost out.
    Of several draws per row each costs ``log q(z | x) - log p(z)`` instead of the KL, in one term.
    """

    def __init__(
        self,
        width: int,
        latent: int,
        weight: float | Anneal = 1.0,
        free: float = 0.0,
        capacity: float | Anneal | None = None,
    ) -> None:
        super().__init__(width, latent)
        self.weight, self.free = annealed(weight), free
        self.capacity = None if capacity is None else annealed(capacity)

    @abstractmethod
    def propose(
        self, h: Float[Tensor, "n width *grid"], samples: int
    ) -> tuple[Float[Tensor, "n*samples latent *grid"], Float[Tensor, "n*samples"]]:
        """``samples`` draws per row, row by row, in either mode; and their ``log q(z | x) - log p(z)`` in nats."""

    def posterior(self, h: Float[Tensor, "n width *grid"]) -> Distribution | None:
        """The distribution of each row's code, where torch has it."""
        return None

    def draw(self, h: Float[Tensor, "n width *grid"], samples: int) -> Code:
        """``samples`` draws per row, each at the price of ``log q(z | x) - log p(z)``; ``posterior`` has n rows."""
        z, nats = self.propose(h, samples)
        return Code(z, self._priced(nats[:, None], z.shape[2:]), posterior=self.posterior(h))

    @property
    def numbers(self) -> int:
        """How many numbers are drawn at each place."""
        return self.latent

    def _priced(self, terms: Float[Tensor, "n *terms"], grid: tuple[int, ...]) -> dict[str, Tensor]:
        """The price of a divergence whose ``terms`` add up; each stands for its part of the numbers of a code."""
        if not self.weight.end:
            return {}
        if self.free:
            terms = terms.clamp_min(self.free * self.numbers * math.prod(grid) / math.prod(terms.shape[1:]))
        nats = terms.flatten(1).sum(1)
        return {"kl": self.weight() * (nats if self.capacity is None else (nats - self.capacity()).abs())}


class Gaussian(Random):
    """A normal distribution per row instead of a point (Kingma & Welling, 2014, arXiv:1312.6114).

    ``z = mean + scale * noise`` in training, ``z = mean`` in evaluation. Its cost, in nats per row, is
    ``kl = weight * |sum_j max(KL(N(mean_j, scale_j) || N(0, 1)), free) - capacity|``: ``weight`` is the beta of Higgins
    et al. (2017), ``free`` the free bits of Kingma et al. (2016, arXiv:1606.04934), in nats per code number of each row
    (theirs: of the mean over a batch), ``capacity`` the nats that a row may tell (Burgess et al., 2018,
    arXiv:1804.03599); ``weight`` and ``capacity`` are numbers or an ``Anneal``. A weight of 0 leaves the cost out.

    Of another ``prior`` than the standard normal the KL has no closed form: training takes ``log q(z | x) - log p(z)``
    of the code drawn, whose mean it is; evaluation, where nothing is drawn, ``prior.divergence``, which says of itself
    whether it is a bound. ``free`` is then held against the sum over the numbers of a code,
    and of a draw, so that it costs more than on the mean.

    ``h`` has shape (n, 2 * latent, *grid): means, then scales before softplus, moved so that h = 0 is the standard
    normal.

    >>> code = Gaussian(3).eval()(torch.zeros(1, 6))
    >>> code.z, code.costs["kl"].abs() < 1e-6
    (tensor([[0., 0., 0.]]), tensor([True]))
    """

    def __init__(
        self,
        latent: int,
        weight: float | Anneal = 1.0,
        free: float = 0.0,
        *,
        capacity: float | Anneal | None = None,
        prior: Prior | None = None,
    ) -> None:
        super().__init__(2 * latent, latent, weight, free, capacity)
        self.prior = prior or StandardNormal(latent)

    def forward(self, h: Float[Tensor, "n width *grid"]) -> Code:
        mean, scale = moments(h)
        if self.training and not self.prior.exact:
            z, nats = self._proposed(mean, scale, normal_like(mean))
            terms = nats[:, None]
        else:
            z = mean + scale * normal_like(mean) if self.training else mean
            terms = self.prior.divergence(mean, scale)
        return Code(z, self._priced(terms, mean.shape[2:]), posterior=_normal(mean, scale))

    def propose(
        self, h: Float[Tensor, "n width *grid"], samples: int
    ) -> tuple[Float[Tensor, "n*samples latent *grid"], Float[Tensor, "n*samples"]]:
        mean, scale = moments(h)
        means, scales = mean.repeat_interleave(samples, 0), scale.repeat_interleave(samples, 0)
        return self._proposed(means, scales, drawn(mean, samples))

    def posterior(self, h: Float[Tensor, "n width *grid"]) -> Distribution:
        return _normal(*moments(h))

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        return self.prior.sample(n, grid)

    def _proposed(self, mean: Tensor, scale: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        z = mean + scale * noise
        return z, log_normal(scale, noise) - self.prior.log_prob(z)


def log_normal(scale: Tensor, noise: Tensor) -> Float[Tensor, "n"]:
    """Log of the density of ``mean + scale * noise``, in nats per row."""
    return -(noise.square() / 2 + scale.log() + HALF_LOG_TAU).flatten(1).sum(1)


def drawn(like: Tensor, samples: int, draw: Callable[[Tensor], Tensor] = normal_like) -> Tensor:
    """Random numbers for ``samples`` draws of each row, row by row."""
    return torch.cat([draw(like)[:, None] for _ in range(samples)], 1).flatten(0, 1)


def _normal(mean: Tensor, scale: Tensor) -> Normal:
    return Normal(mean, scale, validate_args=False)
