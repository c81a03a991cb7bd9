"""Codes held near the prior by a critic."""

from __future__ import annotations

from typing import Annotated

from diabolo.autoencoder import Bottleneck, Penalty
from diabolo.bottlenecks import Plain
from diabolo.params import Count, NonNegative
from diabolo.penalties import Adversary
from diabolo.variants.variant import Deep

__all__ = [
    "Adversarial",
]


class Adversarial(Deep):
    """Codes that a critic cannot tell from draws of the prior (Makhzani et al., 2015, arXiv:1511.05644).

    For generation with a code that is a point, not a distribution.
    """

    weight: Annotated[NonNegative, "nats paid for a code that the critic recognises"] = 1.0
    critic: Annotated[tuple[Count, ...], "units of the critic's hidden layers"] = (64, 64)

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(self.latent)

    def penalties(self) -> list[Penalty]:
        return [Adversary(self.latent, self.critic, self.weight)]
