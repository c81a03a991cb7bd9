"""Streamed: batches of a file larger than memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from diabolo.batches import Batch, drawn
from diabolo.preparation.encodings import after
from diabolo.preparation.survey import scattered
from diabolo.randomness import mix
from diabolo.readers.source import Source

if TYPE_CHECKING:
    from diabolo.preparation import Preparation

BUFFER_BYTES = 64 << 20  # prepared rows that are shuffled together
SOME = 2_000  # rows that are drawn once and stand for all
COUNTED = 1 << 20  # row numbers hashed at once


class Streamed:
    """Prepared rows of a Source, never all of them in memory.

    A shuffled epoch visits the pieces of the file in an order drawn from (seed, epoch) and shuffles rows inside a
    buffer of 64 MB: whenever it is full, half of it leaves in random order. A file of one piece (text) is read from
    start to end, so its rows mix only within the buffer. ``part`` keeps the rows whose hashed number lies below
    ``held_out`` ("held out") or above ("train"), the same rows whatever the order; None keeps all.
    """

    def __init__(
        self,
        source: Source,
        preparation: Preparation,
        part: Literal["train", "held out"] | None = None,
        held_out: float = 0.2,
        seed: int = 0,
    ) -> None:
        self._source, self._preparation = source, preparation
        self._low = held_out if part == "train" else 0.0
        self._high = held_out if part == "held out" else 1.0
        self._seed = mix(seed, 0x5B117)
        self.width = math.prod(preparation.schema_.shape)
        self._buffer = max(1, BUFFER_BYTES // (4 * self.width))

    @cached_property
    def rows(self) -> int:
        """How many rows there are; a file that does not say is counted in one pass."""
        total = self._source.rows
        if total is None:
            total = sum(batch.num_rows for batch in self._source.batches())
        starts = range(0, total, COUNTED)
        return sum(int(self._chosen(start, min(COUNTED, total - start)).sum()) for start in starts)

    def shuffled(self, size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """Batches of ``size`` rows (the last may be smaller) in the order of this seed and epoch."""
        dice = torch.Generator().manual_seed(mix(seed, epoch))
        pieces = torch.randperm(self._source.pieces, generator=dice).tolist()
        pool: list[Tensor] = []
        for x in self._prepared(pieces):
            pool.append(x)
            if sum(map(len, pool)) >= max(self._buffer, 2 * size):
                mixed = _mixed(pool, dice)
                leaving = len(mixed) // 2 // size * size
                yield from _cut(mixed[:leaving], size)
                pool = [mixed[leaving:].clone()]
        if pool:
            yield from _cut(_mixed(pool, dice), size)

    def ordered(self, size: int) -> Iterator[Batch]:
        """Batches of ``size`` rows in the order of the file."""
        waiting: list[Tensor] = []
        for x in self._prepared(range(self._source.pieces)):
            waiting.append(x)
            if sum(map(len, waiting)) >= size:
                together = waiting[0] if len(waiting) == 1 else torch.cat(waiting)
                whole = len(together) // size * size
                yield from _cut(together[:whole], size)
                waiting = [together[whole:].clone()]
        if any(map(len, waiting)):
            yield Batch(torch.cat(waiting))

    def some(self, count: int) -> Batch:
        """Rows of the whole file: it may be sorted."""
        return self._drawn[:count] if count <= SOME else drawn(self, count, self._seed)

    @cached_property
    def _drawn(self) -> Batch:
        return drawn(self, SOME, self._seed)

    def _prepared(self, pieces: Sequence[int]) -> Iterator[Tensor]:
        for i in pieces:
            start = self._source.starts[i]
            for batch in self._source.piece(i):
                chosen = torch.from_numpy(self._chosen(start, batch.num_rows))
                x = self._preparation.transform(batch, after(self._source.locate, start))
                yield x if bool(chosen.all()) else x[chosen]
                start += batch.num_rows

    def _chosen(self, start: int, count: int) -> np.ndarray:
        place = scattered(start, count, self._seed)
        return (place >= self._low) & (place < self._high)


def _mixed(pool: list[Tensor], dice: torch.Generator) -> Tensor:
    together = torch.cat(pool)
    return together[torch.randperm(len(together), generator=dice)]


def _cut(x: Tensor, size: int) -> Iterator[Batch]:
    return (Batch(part) for part in x.split(size)) if len(x) else iter(())
