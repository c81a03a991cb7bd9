"""Codes of real numbers: as they are, few of them, or drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional as F

from diabolo.autoencoder import Bottleneck, Code
from diabolo.errors import InvalidParameter
from diabolo.randomness import normal_like
from diabolo.schedules import Anneal

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

    ``z = activation(h)``, h and z of shape (n, latent, *grid).

    >>> Plain(2, torch.nn.ReLU())(torch.tensor([[-1.0, 2.0]])).z
    tensor([[0., 2.]])
    """

    def __init__(self, latent: int, activation: nn.Module | None = None) -> None:
        super().__init__(latent, latent)
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


class Gaussian(Continuous):
    """A normal distribution per row instead of a point (Kingma & Welling, 2014, arXiv:1312.6114).

    ``z = mean + scale * noise`` in training, ``z = mean`` in evaluation. Its cost, in nats per row, is
    ``kl = weight * sum_j max(KL(N(mean_j, scale_j) || N(0, 1)), free)``: ``weight`` is the beta of Higgins et al.
    (2017), a number or an ``Anneal``; ``free`` the free bits of Kingma et al. (2016, arXiv:1606.04934), in nats per
    code number. A weight of 0 leaves the cost out.

    ``h`` has shape (n, 2 * latent, *grid): means, then scales before softplus, moved so that h = 0 is the prior.

    >>> code = Gaussian(3).eval()(torch.zeros(1, 6))
    >>> code.z, code.costs["kl"].abs() < 1e-6
    (tensor([[0., 0., 0.]]), tensor([True]))
    """

    def __init__(self, latent: int, weight: float | Anneal = 1.0, free: float = 0.0) -> None:
        super().__init__(2 * latent, latent)
        self.weight = weight if isinstance(weight, Anneal) else Anneal(weight, weight, 0)
        self.free = free

    def forward(self, h: Float[Tensor, "n width *grid"]) -> Code:
        mean, scale = self._moments(h)
        z = mean + scale * normal_like(mean) if self.training else mean
        kl = (mean.square() + scale.square() - 1) / 2 - scale.log()
        return Code(z, self._priced(kl.clamp_min(self.free) if self.free else kl), posterior=_normal(mean, scale))

    def draw(self, h: Float[Tensor, "n width *grid"], samples: int) -> Code:
        """``samples`` draws per row, each at the price ``log q(z | x) - log p(z)``; ``posterior`` has n rows."""
        mean, scale = self._moments(h)
        means, scales = mean.repeat_interleave(samples, 0), scale.repeat_interleave(samples, 0)
        noise = torch.cat([normal_like(mean)[:, None] for _ in range(samples)], 1).flatten(0, 1)
        z = means + scales * noise
        return Code(z, self._priced((z.square() - noise.square()) / 2 - scales.log()), posterior=_normal(mean, scale))

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        return self._normal(n, grid)

    def _moments(self, h: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = h.float().chunk(2, 1)  # in half precision the noise would be coarse
        return mean, F.softplus(raw + math.log(math.e - 1)) + 1e-4  # softplus: a huge h must not overflow the cost

    def _priced(self, nats: Tensor) -> dict[str, Tensor]:
        return {"kl": self.weight() * nats.flatten(1).sum(1)} if self.weight.end else {}


def _normal(mean: Tensor, scale: Tensor) -> Normal:
    return Normal(mean, scale, validate_args=False)
