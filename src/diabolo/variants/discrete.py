"""Codes of whole numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from diabolo.autoencoder import Bottleneck
from diabolo.bottlenecks import FiniteScalar, Quantised
from diabolo.params import Count, Positive, Within
from diabolo.variants.variant import Deep

__all__ = [
    "FSQ",
    "VQVAE",
]


class VQVAE(Deep):
    """A code of indices into learned codebooks (van den Oord et al., 2017, arXiv:1711.00937).

    For compression and discrete tokens: ``heads`` of them per row of a table, per place of the grid of an image.
    """

    codes: Annotated[int, Within(2), "vectors in each codebook"] = 64
    heads: Annotated[Count, "tokens per row or place; must divide latent"] = 4
    update: Annotated[Literal["ema", "gradient"], "codebook follows its points, or is trained with the rest"] = "ema"
    commitment: Annotated[Positive, "nats per squared distance of the encoder from its vector"] = 0.25

    def bottleneck(self, width: int) -> Bottleneck:
        return Quantised(self.latent, self.codes, self.heads, update=self.update, commitment=self.commitment)


class FSQ(Deep):
    """A code of rounded numbers: tokens without a codebook to learn (Mentzer et al., 2023, arXiv:2309.15505).

    For compression and discrete tokens where a VQVAE leaves codes unused.
    """

    levels: Annotated[int, Within(2), "values each code number can take"] = 5

    def bottleneck(self, width: int) -> Bottleneck:
        return FiniteScalar([self.levels] * self.latent)
