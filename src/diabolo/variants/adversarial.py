"""Codes and rows judged by a critic, or by comparison with each other."""

from __future__ import annotations

from typing import Annotated, ClassVar

from diabolo.autoencoder import Bottleneck, Penalty
from diabolo.bottlenecks import Gaussian, Plain
from diabolo.likelihoods import Scale
from diabolo.networks import Layers, mirror
from diabolo.params import Count, Fraction, NonNegative, Positive
from diabolo.penalties import Adversary, Contrast, Discriminator
from diabolo.penalties.contrast import By
from diabolo.schema import Schema
from diabolo.variants.constrained import NOISES, STRENGTHS, Denoising, Noise
from diabolo.variants.variant import Deep

__all__ = [
    "IIC",
    "VAEGAN",
    "Adversarial",
    "Contrastive",
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


class VAEGAN(Deep):
    """A VAE whose decoder must fool a critic of rows, and whose rows are compared by what the critic sees in them
    (Larsen et al., 2016, arXiv:1512.09300).

    For generation of images that are sharp where a VAE's are blurred.
    """

    beta: Annotated[Positive, "price of a nat of information in the code"] = 1.0
    weight: Annotated[NonNegative, "nats paid for a row that the critic recognises as made"] = 1.0
    content: Annotated[NonNegative, "nats per squared difference in the critic's numbers"] = 0.1
    critic: Annotated[tuple[Count, ...], "units of the critic's layers (channels on images); the last are compared"] = (
        64,
        32,
    )

    def bottleneck(self, width: int) -> Bottleneck:
        return Gaussian(self.latent, self.beta)

    def critics(self, schema: Schema) -> list[Penalty]:
        *hidden, width = self.critic
        sizes = (width, width, len(schema.columns))
        reading, _ = mirror(schema, hidden, *sizes, flags=schema.missing, layers=Layers(self.activation))
        return [Discriminator(reading, width, self.weight, self.content)]


class Contrastive(Denoising):
    """Restore a row from noise, with a code by which two noisy copies find each other among all rows (van den Oord et
    al., 2018, arXiv:1807.03748; Chen et al., 2020, arXiv:2002.05709; with swapped values Bahri et al., 2022,
    arXiv:2106.15147).

    For embeddings to search, cluster and classify with; Barlow Twins (Zbontar et al., 2021) and VICReg (Bardes et al.,
    2022) compare without negatives.
    """

    purpose: ClassVar[str] = "rows that differ by a small change alone should have like codes"
    noise: Annotated[Noise, NOISES] = "swap"
    strength: Annotated[Fraction, STRENGTHS] = 0.3
    by: Annotated[By, "how two copies are compared"] = "infonce"
    weight: Annotated[NonNegative, "price of a nat of the comparison"] = 1.0
    temperature: Annotated[Positive, "how near, in cosine, copies of other rows may come; for infonce"] = 0.5
    width: Annotated[Count, "numbers that codes are compared by, or groups they are put in"] = 32

    def penalties(self) -> list[Penalty]:
        return [Contrast(self.latent, self.width, self.weight, self.by, self.temperature)]


class IIC(Contrastive):
    """Codes that part into groups: what a copy's group tells of the other copy's is made as much as can be (invariant
    information clustering: Ji et al., 2019, arXiv:1807.06653; here of the code of an autoencoder).

    For clustering and embedding images, which show the same in other light, after a small shift, turn or stretch, and
    where a part is covered. A table cannot be bent: there some values of other rows stand in for it. Not in the paper
    are the decoder and ``pairs``, by which copies find each other among all rows as in :class:`Contrastive`, since
    groups alone forget what tells the rows of a group apart.
    """

    latent: Annotated[Count, "numbers in the code"] = 16
    hidden: Annotated[tuple[Count, ...], "units of the encoder's hidden layers (channels on images); mirrored"] = (
        32,
        64,
        128,
    )
    scale: Annotated[Scale, "spread of number columns: learned per column, 1 (squared error), or per value"] = "unit"
    noise: Annotated[Noise, NOISES] = "views"
    strength: Annotated[Fraction, STRENGTHS] = 0.2
    by: Annotated[By, "how two copies are compared"] = "information"
    weight: Annotated[NonNegative, "price of a nat of the comparison"] = 80.0
    pairs: Annotated[NonNegative, "price of a nat that a copy lacks to find the other among all rows"] = 40.0
    temperature: Annotated[Positive, "how near, in cosine, copies of other rows may come; for infonce and pairs"] = 0.2

    def penalties(self) -> list[Penalty]:
        return [Contrast(self.latent, self.width, self.weight, self.by, self.temperature, self.pairs)]
