"""Prices set by a critic that learns beside the autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from diabolo.autoencoder import Autoencoder, Penalty, Reconstruction
from diabolo.randomness import normal_like

if TYPE_CHECKING:
    from jaxtyping import Float


class Adversary(Penalty):
    """A critic that tells codes from draws of the prior, and an encoder that fools it (Makhzani et al., 2015,
    arXiv:1511.05644).

    One number per row (n,), in nats, and one optimiser: ``weight * softplus(-critic(z))`` sees the critic's weights
    detached, ``softplus(critic(z.detach())) + softplus(-critic(p))`` sees the codes detached, so that the sum gives
    encoder and critic exactly the gradients that two optimisers would give them.
    """

    name = "adversary"

    def __init__(self, latent: int, hidden: Sequence[int] = (64, 64), weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        sizes = [latent, *hidden]
        layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
        self.critic = nn.Sequential(*layers, nn.Linear(sizes[-1], 1), nn.Flatten(0))

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        z = trip.code.z.flatten(1)
        told = F.softplus(self.critic(z.detach())) + F.softplus(-self.critic(normal_like(z)))
        return self.weight * F.softplus(-functional_call(self.critic, self._fixed(), z)) + told

    def _fixed(self) -> dict[str, Tensor]:
        return {name: each.detach() for name, each in self.critic.named_parameters()}
