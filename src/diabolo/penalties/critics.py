"""Prices set by a critic that learns beside the autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from diabolo.autoencoder import Autoencoder, Penalty, Reconstruction
from diabolo.randomness import normal_like, uniform_like

if TYPE_CHECKING:
    from jaxtyping import Float


class Adversary(Penalty):
    """A critic that tells codes from draws of the prior, and an encoder that fools it (Makhzani et al., 2015,
    arXiv:1511.05644).

    One number per row (n,), in nats, and one optimiser: ``weight * softplus(-critic(z))`` sees the critic's weights
    detached, ``softplus(critic(z.detach())) + softplus(-critic(p))`` sees the codes detached, so that the sum gives
    encoder and critic exactly the gradients that two optimisers would give them.

    >>> import torch
    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import Adversarial
    >>> autoencoder, penalty = Adversarial(latent=2).build(numbers(3)), Adversary(latent=2, weight=0.5)
    >>> _ = [nn.init.zeros_(each) for each in penalty.critic.parameters()]  # a critic that cannot tell
    >>> torch.allclose(penalty(autoencoder, autoencoder(torch.zeros(4, 3))), 2.5 * F.softplus(torch.zeros(4)))
    True
    """

    name = "adversary"

    def __init__(self, latent: int, hidden: Sequence[int] = (64, 64), weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.critic = _critic(latent, hidden)

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        z = trip.code.z.flatten(1)
        told = F.softplus(self.critic(z.detach())) + F.softplus(-self.critic(normal_like(z)))
        return self.weight * F.softplus(-_unmoved(self.critic, z)) + told


class Factors(Penalty):
    """How dependent the numbers of the code are, as told by a critic (Kim & Mnih, 2018, arXiv:1802.05983).

    The critic tells codes from codes whose numbers are each taken from another row of the batch (the paper's come from
    a second batch); where it tells them best, ``critic(z)`` is ``log q(z) - sum_j log q(z_j)``, the total correlation.
    One number per row (n,), in nats, and one optimiser: ``weight * critic(z)`` sees the critic's weights detached,
    ``softplus(-critic(z.detach())) + softplus(critic(permuted))`` sees the codes detached.

    >>> import torch
    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import FactorVAE
    >>> autoencoder, penalty = FactorVAE(latent=2).build(numbers(3)), Factors(latent=2, weight=9.0)
    >>> _ = [nn.init.zeros_(each) for each in penalty.critic.parameters()]  # a critic that finds no dependence
    >>> torch.allclose(penalty(autoencoder, autoencoder(torch.zeros(4, 3))), 2 * F.softplus(torch.zeros(4)))
    True
    """

    name = "factors"

    def __init__(self, latent: int, hidden: Sequence[int] = (64, 64), weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.critic = _critic(latent, hidden)

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        z = trip.code.z.flatten(1)
        told = F.softplus(-self.critic(z.detach())) + F.softplus(self.critic(permuted(z.detach())))
        return self.weight * _unmoved(self.critic, z) + told


def permuted(z: Float[Tensor, "n latent"]) -> Float[Tensor, "n latent"]:
    """Every column in a random order of its own: the same numbers, independent of each other."""
    return z.gather(0, uniform_like(z).argsort(0))


def _critic(latent: int, hidden: Sequence[int]) -> nn.Sequential:
    sizes = [latent, *hidden]
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 1), nn.Flatten(0))


def _unmoved(critic: nn.Module, z: Tensor) -> Float[Tensor, "n"]:
    """What the critic says, with weights that learn nothing from it."""
    return functional_call(critic, {name: each.detach() for name, each in critic.named_parameters()}, z)
