"""Dictionaries of many atoms, few of them used by any row: the sparse autoencoders that language models are read with.

All are linear: ``h = W x + c``, a sparse z from h, ``x' = D z + b`` with atoms D_j of length 1. They differ in what
makes z sparse. Numbers are judged by half their squared error, in units of the prepared columns: with a learned scale
a dictionary could always pay for more numbers in use by a smaller error.

A task's preparation divides every column by its own standard deviation. A dictionary stays one: its atoms are divided
likewise, and ``diabolo.evaluate.atoms(autoencoder, schema)`` multiplies them back. But the error of a column of small
variance then counts as much as that of a large one. For one scale for all columns, as is usual for activations of
language models, leave the preparation out: divide by one number and call ``build(numbers(width))`` and ``train``
yourself. Rows are not cut off at 5 standard deviations, as other networks see them: a strong feature is no error.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated

from torch import nn

from diabolo import dictionary, penalties
from diabolo.autoencoder import Autoencoder, Bottleneck, Penalty
from diabolo.bottlenecks import Plain, sparse
from diabolo.likelihoods import Columnwise, Scale
from diabolo.networks import Decoder, Encoder
from diabolo.params import Count, Fraction, NonNegative
from diabolo.schedules import Anneal
from diabolo.schema import Schema
from diabolo.variants.variant import Variant, cells

if TYPE_CHECKING:
    from diabolo.batches import Batches
    from diabolo.trainer import Epoch, Trainer

__all__ = ["BatchTopK", "Dictionary", "GatedDictionary", "JumpReLU", "Matryoshka", "TopKDictionary", "Transcoder"]

LARGEST = 0.4  # share of numbers in use, from which thresholds would be about 0


class Atoms(Variant, ABC):
    """A variant whose decoder is a dictionary."""

    latent: Annotated[Count, "atoms of the dictionary"] = 512
    scale: Annotated[Scale, "spread of number columns: 1 (squared error), learned per column, or per value"] = "unit"

    def networks(
        self, schema: Schema, bottleneck: Bottleneck, likelihood: Columnwise, flags: bool
    ) -> tuple[Encoder, Decoder]:
        factor = dictionary.gain(cells(schema), self.latent, self.above)
        return dictionary.pair(schema, self.latent, likelihood, factor, across=self.across)

    @property
    def across(self) -> bool:
        """Whether the conditions are read instead of the row."""
        return False

    @property
    def above(self) -> float:
        """What a number of the code has to exceed at first, in standard deviations."""
        return 0.0

    def first(self, width: int) -> float:
        """The same as a threshold on what the encoder puts out at first."""
        return self.above * dictionary.gain(width, self.latent, self.above)

    def train(
        self,
        autoencoder: Autoencoder,
        trainer: Trainer,
        train: Batches,
        valid: Batches | None = None,
        *,
        seed: int = 0,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> list[Epoch]:
        """Start at the geometric median of the rows, then train."""
        dictionary.start(autoencoder, train, seed)
        return super().train(autoencoder, trainer, train, valid, seed=seed, on_epoch=on_epoch)


class Dictionary(Atoms):
    """Few atoms by a price on their sizes (Bricken et al., 2023, "Towards Monosemanticity").

    For comparison with the others: the price also shrinks the sizes, and atoms that no row uses stay dead.
    """

    weight: Annotated[NonNegative, "nats per unit of an atom's size"] = 1.0

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(self.latent, nn.ReLU())

    def penalties(self) -> list[Penalty]:
        return [penalties.L1(self.weight)]


class TopKDictionary(Atoms):
    """The ``k`` atoms that fit best, and a second chance for dead ones (Gao et al., 2024, arXiv:2406.04093).

    For most dictionaries: nothing has to be tuned but the number of atoms per row. In training it grows from 1 to ``k``
    over the first 80 % of the steps: a row that may use one atom goes to the nearest, as in clustering.
    """

    k: Annotated[Count, "atoms that a row uses"] = 8
    auxiliary: Annotated[NonNegative, "price of what dead atoms leave unexplained, beside that of the row"] = 0.3
    patience: Annotated[Count, "rows without use after which an atom is dead"] = 10_000

    def bottleneck(self, width: int) -> Bottleneck:
        return sparse.GrowingTopK(self.latent, self.k)

    @property
    def above(self) -> float:
        return NormalDist().inv_cdf(1 - min(self.k / self.latent, LARGEST))

    def penalties(self) -> list[Penalty]:
        return [penalties.AuxK(self.latent, 4 * self.k, self.auxiliary, self.patience)]


class GatedDictionary(TopKDictionary):
    """Whether an atom is used and how much of it are said apart (Rajamanoharan et al., 2024, arXiv:2404.16014).

    For a price on the use of atoms that does not shrink their sizes. Over the first 80 % of the steps atoms form as
    those of TopKDictionary do, while the price rises; then the gates decide.
    """

    weight: Annotated[NonNegative, "nats per unit of an open gate"] = 2.0
    warmup: Annotated[Fraction, "share of the training in which this price rises, so that fewer atoms die early"] = 0.8

    def bottleneck(self, width: int) -> Bottleneck:
        return sparse.Gated(self.latent, self.k)

    @property
    def above(self) -> float:
        return 0.0

    def penalties(self) -> list[Penalty]:
        return [*super().penalties(), penalties.Gate(Anneal(0.0, self.weight, self.warmup))]


class BatchTopK(TopKDictionary):
    """``k`` atoms per row on average, more for rich rows than for poor ones (Bussmann et al., 2024, arXiv:2412.06410).

    For rows that differ in how much there is to say of them. One threshold, learned from the batches before, decides
    in training as in evaluation, so that a row's code is its own; only while k grows each row keeps its k largest.
    """

    def bottleneck(self, width: int) -> Bottleneck:
        return sparse.BatchTopK(self.latent, self.k, self.first(width))


class JumpReLU(TopKDictionary):
    """A learned threshold per atom, and a price per atom in use (Rajamanoharan et al., 2024, arXiv:2407.14435).

    For rows that differ in how many atoms they need, where the weight may find that number: over the first 80 % of the
    steps atoms form as those of TopKDictionary do, then thresholds and price decide.
    """

    weight: Annotated[NonNegative, "nats per atom in use"] = 0.3

    def bottleneck(self, width: int) -> Bottleneck:
        return sparse.JumpReLU(self.latent, self.weight, self.k, self.first(width))


class Matryoshka(BatchTopK):
    """Dictionaries inside each other: the first half, quarter, ... of the atoms reconstruct too (Bussmann et al., 2025,
    arXiv:2503.17547).

    For features in an order from general to special, which large dictionaries otherwise split or absorb. Where there
    is no such order BatchTopK finds more. The paper's price of the smaller ones is ``weight=prefixes``; it makes their
    atoms blend features that they have no room for (Chanin et al., 2025, arXiv:2505.11756).
    """

    prefixes: Annotated[Count, "smaller dictionaries inside the whole one, each half as large as the next"] = 2
    weight: Annotated[NonNegative, "price of what the smaller ones, on average, leave unexplained"] = 0.7

    def bottleneck(self, width: int) -> Bottleneck:
        return sparse.BatchTopK(self.latent, self.k, self.first(width) / 2)  # low: none may begin without an atom

    def penalties(self) -> list[Penalty]:
        return [*super().penalties(), penalties.Prefixes(self.prefixes, self.weight)]


class Transcoder(TopKDictionary):
    """A dictionary of what a layer puts out, read from what goes into it (Dunefsky et al., 2024, arXiv:2406.11944).

    For language models: which of its inputs a layer turns into what. What is read are the conditions of the schema,
    what is written is the row: ``build(Schema(columns, given=width))``, ``train(..., Rows(outputs, given=inputs))``.
    Without conditions it is a TopKDictionary. The paper's price on sizes is replaced by the number of atoms.
    """

    @property
    def across(self) -> bool:
        return True
