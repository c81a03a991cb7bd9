"""Case: a finished fit, with everything that can be seen of it worked out once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diabolo.autoencoder import Autoencoder, Reconstruction
from diabolo.batches import Batches
from diabolo.bottlenecks import Discrete
from diabolo.diagnosis.spectrum import Spectrum
from diabolo.linear import Trend
from diabolo.networks import Features, Given, turns
from diabolo.networks.dense import REACH
from diabolo.randomness import mix
from diabolo.schema import Schema

if TYPE_CHECKING:
    from jaxtyping import Float

    from diabolo.trainer import Epoch

FEWEST = 20  # rows that something is told from
ROWS = 2_000  # of the training rows, and of those held out
VALUES = 500_000  # of either, so that images are looked at as quickly as tables


@dataclass(frozen=True)
class Case:
    """What a diagnosis looks at.

    ``train`` and ``held_out`` are prepared rows (n, columns, *grid), ``held_out`` None where all were trained on.
    ``history`` holds the epochs of this training and of those that it went on from; ``chosen`` names the columns whose
    likelihood the user chose; ``epochs`` is the most that training was allowed. ``compresses`` says whether what is
    told of rows rests on how they are restored from few numbers; ``comparison`` how the task did beside the linear
    autoencoder (``deep``, ``linear``, their ``difference`` and its ``error`` in terms of ``measure``), None where its
    measure is not what the task is for.
    """

    schema: Schema
    autoencoder: Autoencoder
    train: Float[Tensor, "n *features"]
    held_out: Float[Tensor, "m *features"] | None
    history: Sequence[Epoch] = ()
    chosen: frozenset[str] = frozenset()
    epochs: int = 0
    compresses: bool = True
    comparison: Mapping[str, Any] | None = None

    @property
    def judged(self) -> Tensor:
        """The rows that the model is judged by: those held out, if there are any."""
        return self.train if self.held_out is None else self.held_out

    @cached_property
    def varied(self) -> bool:
        """Whether enough rows are judged, and differ: of others nothing can be told about the code."""
        return len(self.judged) >= FEWEST and bool(self.features(self.judged).var(0).max() > 0)

    @property
    def epochs_made(self) -> Sequence[Epoch]:
        """The epochs of the last training, which are numbered from 1."""
        starts = [place for place, epoch in enumerate(self.history) if epoch.number == 1]
        return self.history[starts[-1] :] if starts else ()

    @cached_property
    def trip(self) -> Reconstruction:
        """One trip of the judged rows."""
        return self.autoencoder(self.judged)

    @cached_property
    def costs(self) -> Float[Tensor, "m"]:
        """What each judged row costs, in nats."""
        return cost(self.trip)

    @cached_property
    def training_costs(self) -> Float[Tensor, "n"]:
        """What each training row costs, in nats; without noise and penalties."""
        return self.costs if self.held_out is None else cost(self.autoencoder(self.train))

    @property
    def member(self) -> Autoencoder:
        """The autoencoder, or what all members of an ensemble have in common."""
        stack: Autoencoder = getattr(self.autoencoder, "stack", self.autoencoder)
        return stack

    @property
    def choices(self) -> int:
        """How many values a token can take, 0 where codes are numbers."""
        bottleneck = self.member.bottleneck
        return max(bottleneck.letters) if isinstance(bottleneck, Discrete) else 0

    @property
    def numbers(self) -> int:
        """Numbers in a code (of a member)."""
        return self.trip.code.z[0].numel() // getattr(self.autoencoder, "members", 1)

    @cached_property
    def hidden(self) -> Tensor | None:
        """Which features each turn hides, (turns, features); None where values are judged while they are seen."""
        if self.member.turns is None:
            return None
        return turns.hidden(self.member.turns.index_select(0, self._features.owner)).flatten(1)

    @cached_property
    def spectrum(self) -> Spectrum:
        """The principal components of the training rows, less what given columns explain."""
        return Spectrum.of(self.features(self.train), self._features.owners(math.prod(self.schema.grid)))

    @cached_property
    def restored(self) -> Float[Tensor, "m"]:
        """The mean squared error of the numbers of each judged row, in standard deviations."""
        return self.away(self.judged, self.autoencoder.best(self.judged))

    def away(self, x: Float[Tensor, "n *features"], told: Float[Tensor, "n *features"]) -> Float[Tensor, "n"]:
        """The mean squared distance of the numbers of each row from what is ``told`` of them."""
        return self.apart(x, self.features(told))

    def apart(self, x: Float[Tensor, "n *features"], features: Float[Tensor, "n width"]) -> Float[Tensor, "n"]:
        """The same from features."""
        there = (~self._given(x)[0].isnan().index_select(1, self._features.owner) & self._real).flatten(1)
        squares = torch.where(there, (self.features(x) - features).square(), 0.0)
        return squares.sum(1) / there.sum(1).clamp_min(1)

    def features(self, x: Float[Tensor, "n *features"]) -> Float[Tensor, "n width"]:
        """The numbers that networks see of each row, those of a grid in one line, less what given columns explain."""
        learned, told = self._given(x)
        seen = self._features.filled(learned).flatten(1)
        return seen if self._trend is None else self._trend.rest(told, seen)

    @property
    def has_numbers(self) -> bool:
        """Whether there is a column of numbers or counts."""
        return bool(self._real.any())

    @cached_property
    def _features(self) -> Features:
        return Features(self._given.learned, reach=REACH)

    @cached_property
    def _given(self) -> Given:
        return Given(self.schema)

    @cached_property
    def _trend(self) -> Trend | None:
        """What given columns explain of the training rows."""
        if not self._given.width:
            return None
        learned, told = self._given(self.train)
        return Trend.learn(told, self._features.filled(learned))

    @cached_property
    def _real(self) -> Tensor:
        """Which features are those of numbers and counts, to meet (n, width, *grid)."""
        real = torch.tensor([column.kind in ("number", "count") for column in self._given.learned.columns])
        return real[self._features.owner].view(-1, *[1] * len(self.schema.grid))


def cost(trip: Reconstruction) -> Float[Tensor, "n"]:
    """What each row of a trip costs, in nats."""
    return trip.nll + sum(trip.code.costs.values())


def looked_at(rows: Batches, schema: Schema, seed: int) -> Float[Tensor, "n *features"]:
    """A bounded number of rows, drawn by ``seed``."""
    most = max(20, min(ROWS, VALUES // math.prod(schema.shape)))
    return next(rows.shuffled(most, mix(seed, -2), 0)).x
