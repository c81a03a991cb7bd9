"""A posterior that is a normal distribution bent by a flow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from diabolo.autoencoder import Code
from diabolo.bottlenecks.continuous import Random, drawn, log_normal
from diabolo.flows import Bends, Kind
from diabolo.priors import Prior, StandardNormal, entropy, moments
from diabolo.randomness import normal_like
from diabolo.schedules import Anneal

if TYPE_CHECKING:
    from jaxtyping import Float


class Bent(Random):
    """A normal distribution per row, bent by a flow that reads the row (Rezende & Mohamed, 2015, arXiv:1505.05770).

    ``z = f(mean + scale * noise; context)``, f being ``layers`` bends of the ``flow`` named (:mod:`diabolo.flows`), so
    that ``log q(z | x) = log N(f^-1(z); mean, scale) - log |det df|``. The cost, in nats per row,
    is ``kl = weight * (log q(z | x) - log p(z))`` of the code drawn, whose mean is the KL. In evaluation the code is
    ``f(mean)`` and the KL is estimated there, ``-entropy - log |det df| - log p(z)``, which may lie on either side.

    ``h`` has shape (n, 3 * latent, *grid): means, scales as of ``Gaussian``, and the context.

    >>> import torch
    >>> code = Bent(2, layers=2, hidden=8)(torch.zeros(5, 6))
    >>> code.z.shape, code.costs["kl"].shape
    (torch.Size([5, 2]), torch.Size([5]))
    """

    def __init__(
        self,
        latent: int,
        weight: float | Anneal = 1.0,
        free: float = 0.0,
        *,
        layers: int = 4,
        hidden: int = 32,
        flow: Kind = "coupling",
        prior: Prior | None = None,
    ) -> None:
        super().__init__(3 * latent, latent, weight, free)
        self.prior = prior or StandardNormal(latent)
        self.flow = Bends(latent, layers, hidden, latent, flow)

    def forward(self, h: Float[Tensor, "n width *grid"]) -> Code:
        mean, scale, context = self._read(h)
        if self.training:
            z, nats = self._proposed(mean, scale, context, normal_like(mean))
        else:
            z, stretch = self._bent(mean, context)
            nats = -entropy(scale) - stretch - self.prior.log_prob(z)
        return Code(z, self._priced(nats[:, None], mean.shape[2:]))

    def propose(
        self, h: Float[Tensor, "n width *grid"], samples: int
    ) -> tuple[Float[Tensor, "n*samples latent *grid"], Float[Tensor, "n*samples"]]:
        mean, scale, context = self._read(h)
        noise = drawn(mean, samples)
        mean, scale, context = (each.repeat_interleave(samples, 0) for each in (mean, scale, context))
        return self._proposed(mean, scale, context, noise)

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        return self.prior.sample(n, grid)

    def _read(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        normal, context = h.float().split([2 * self.latent, self.latent], 1)
        return *moments(normal), context

    def _proposed(self, mean: Tensor, scale: Tensor, context: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        z, stretch = self._bent(mean + scale * noise, context)
        return z, log_normal(scale, noise) - stretch - self.prior.log_prob(z)

    def _bent(self, z: Tensor, context: Tensor) -> tuple[Tensor, Float[Tensor, "n"]]:
        bent, nats = self.flow(z.movedim(1, -1), context.movedim(1, -1))
        return bent.movedim(-1, 1), nats.reshape(len(z), math.prod(z.shape[2:])).sum(1)
