"""Codes of whole numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from diabolo.autoencoder import Bottleneck, Penalty
from diabolo.bottlenecks import Categorical, FiniteScalar, LookupFree, Quantised, Residual, Spanned
from diabolo.params import Count, Fraction, NonNegative, Positive, Within
from diabolo.penalties import Information
from diabolo.schedules import Anneal
from diabolo.variants.variant import Deep
from diabolo.variants.variational import WARMUP

__all__ = [
    "FSQ",
    "LFQ",
    "RQVAE",
    "VQVAE",
    "DiscreteVAE",
    "SimVQ",
]

COLDEST = 1 / 16  # that of Ramesh et al.


class VQVAE(Deep):
    """A code of indices into learned codebooks (van den Oord et al., 2017, arXiv:1711.00937).

    For compression and discrete tokens: ``heads`` of them per row of a table, per place of the grid of an image. The
    codebook starts on the data by itself and no code stays unused.
    """

    codes: Annotated[int, Within(2), "vectors in each codebook"] = 64
    heads: Annotated[Count, "tokens per row or place; must divide latent"] = 4
    update: Annotated[Literal["ema", "gradient"], "codebook follows its points, or is trained with the rest"] = "ema"
    commitment: Annotated[Positive, "nats per squared distance of the encoder from its vector"] = 0.25
    distance: Annotated[Literal["euclidean", "cosine"], "cosine: only the direction of a vector counts"] = "euclidean"

    def bottleneck(self, width: int) -> Bottleneck:
        sizes = (self.latent, self.codes, self.heads)
        return Quantised(*sizes, update=self.update, commitment=self.commitment, distance=self.distance)


class RQVAE(Deep):
    """A code refined in stages, each token for what the tokens before it left over (Lee et al., 2022,
    arXiv:2203.01941; SoundStream: Zeghidour et al., 2021, arXiv:2107.03312).

    For compression at a rate that can be chosen afterwards, by leaving the last stages out, and for tokens of sound.
    """

    codes: Annotated[int, Within(2), "vectors in the codebook of each stage"] = 64
    stages: Annotated[Count, "tokens per row or place, one after the other"] = 4
    update: Annotated[Literal["ema", "gradient"], "codebook follows its points, or is trained with the rest"] = "ema"
    commitment: Annotated[Positive, "nats per squared distance of what is left from its vector"] = 0.25

    def bottleneck(self, width: int) -> Bottleneck:
        return Residual(self.latent, self.codes, self.stages, update=self.update, commitment=self.commitment)


class SimVQ(Deep):
    """A VQVAE whose codebook is fixed and seen through a learned linear layer (Zhu et al., 2024, arXiv:2411.02038).

    For large codebooks: whatever token is used, all vectors learn.
    """

    codes: Annotated[int, Within(2), "vectors in each codebook"] = 64
    heads: Annotated[Count, "tokens per row or place; must divide latent"] = 4
    commitment: Annotated[Positive, "nats per squared distance of the encoder from its vector"] = 0.25

    def bottleneck(self, width: int) -> Bottleneck:
        return Spanned(self.latent, self.codes, self.heads, commitment=self.commitment)


class FSQ(Deep):
    """A code of rounded numbers: tokens without a codebook to learn (Mentzer et al., 2023, arXiv:2309.15505).

    For compression and discrete tokens where a VQVAE leaves codes unused.
    """

    levels: Annotated[int, Within(2), "values each code number can take"] = 5

    def bottleneck(self, width: int) -> Bottleneck:
        return FiniteScalar([self.levels] * self.latent)


class LFQ(Deep):
    """A code of signs that are paid for telling rows apart (Yu et al., 2024, arXiv:2310.05737).

    For binary codes and hashing, and for tokens of many values without a codebook.
    """

    heads: Annotated[Count, "tokens per row or place; must divide latent, of at most 12 signs each"] = 1
    commitment: Annotated[Positive, "nats per squared distance of the encoder from its sign"] = 0.25
    weight: Annotated[NonNegative, "nats given for a nat of information that tokens hold about their row"] = 0.1

    def bottleneck(self, width: int) -> Bottleneck:
        return LookupFree(self.latent, self.heads, commitment=self.commitment)

    def penalties(self) -> list[Penalty]:
        return [Information(self.weight)]


class DiscreteVAE(Deep):
    """A VAE whose code is one of several choices per head (Jang et al., 2017, arXiv:1611.01144; as the dVAE of Ramesh
    et al., 2021, arXiv:2102.12092).

    For tokens with probabilities. Scores take the likeliest choices, and may lie on either side of -log p.
    """

    codes: Annotated[int, Within(2), "choices per head"] = 16
    heads: Annotated[Count, "choices made per row or place; must divide latent"] = 4
    beta: Annotated[Positive, "price of a nat of information in the code"] = 1.0
    hard: Annotated[bool, "draw one choice, gradients straight through; else a mixture that nears one"] = True
    temperature: Annotated[Positive, "temperature of the draws at first; at last it is 1/16"] = 1.0
    warmup: Annotated[Fraction, WARMUP] = 0.2
    cooling: Annotated[Fraction, "share of the training in which the last temperature is reached"] = 1.0

    def bottleneck(self, width: int) -> Bottleneck:
        price, temperature = Anneal(0.0, self.beta, self.warmup), Anneal(self.temperature, COLDEST, self.cooling)
        sizes = self.latent, self.codes, self.heads
        return Categorical(*sizes, weight=price, temperature=temperature, hard=self.hard)
