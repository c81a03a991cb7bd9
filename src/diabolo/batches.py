"""What training walks over: batches in a seeded order, from memory or from a file larger than memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from diabolo.randomness import mix

T = TypeVar("T")
S = TypeVar("S")

WALKED, MULTIPLIED = 1 << 16, 1 << 22  # rows, and values, that are looked at together

FULL = 16  # rows that a block is filled up to a multiple of
BLOCK = 4096  # rows of a block at most, and
VALUES = 1 << 18  # values of a block: what is made of them stays in the cache


@dataclass(frozen=True)
class Batch:
    """Prepared rows; a missing value is NaN. ``weight`` holds one number per row, ``given`` the conditions."""

    x: Tensor
    weight: Tensor | None = None
    given: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | Tensor) -> Batch:
        beside = (None if each is None else _picked(each, rows) for each in (self.weight, self.given))
        return Batch(_picked(self.x, rows), *beside)

    @property
    def weights(self) -> Tensor:
        """One number per row; 1 where nothing was said."""
        return torch.ones(len(self)) if self.weight is None else self.weight

    def to(self, device: torch.device) -> Batch:
        beside = (None if each is None else each.to(device) for each in (self.weight, self.given))
        return Batch(self.x.to(device), *beside)


def _picked(x: Tensor, rows: slice | Tensor) -> Tensor:
    """``x[rows]``; whole rows are copied three times as fast where they are selected by number."""
    return x.index_select(0, rows) if isinstance(rows, Tensor) and rows.dtype == torch.long else x[rows]


class Batches(Protocol):
    """Rows that can be walked in any epoch's order; the order depends on ``seed`` and ``epoch`` alone."""

    @property
    def rows(self) -> int:
        """How many rows there are."""

    @property
    def width(self) -> int:
        """How many values a row has."""

    def shuffled(self, size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """Batches of ``size`` rows (the last may be smaller) in the order of this seed and epoch."""

    def ordered(self, size: int) -> Iterator[Batch]:
        """Batches of ``size`` rows in their own order."""

    def some(self, count: int) -> Batch:
        """At most ``count`` rows that stand for all of them, the same ones every time."""


class Rows:
    """Rows held in memory, shuffled once; a batch is one index into the tensor.

    ``numbers`` say which rows of the user's they are.
    """

    def __init__(
        self,
        x: Tensor,
        weight: Tensor | None = None,
        given: Tensor | None = None,
        numbers: Tensor | None = None,
    ) -> None:
        self.all = Batch(x, weight, given)
        self.numbers = torch.arange(len(x)) if numbers is None else numbers
        self.rows, self.width = len(x), math.prod(x.shape[1:])

    def shuffled(self, size: int, seed: int, epoch: int) -> Iterator[Batch]:
        order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(mix(seed, epoch)))
        return (self.all[rows] for rows in order.split(size))

    def ordered(self, size: int) -> Iterator[Batch]:
        return (self.all[start : start + size] for start in range(0, self.rows, size))

    def some(self, count: int) -> Batch:
        return self.all[:count]

    def __getitem__(self, rows: slice | Tensor) -> Rows:
        part = self.all[rows]
        return Rows(part.x, part.weight, part.given, self.numbers[rows])


def walked(rows: Batches) -> Iterator[Batch]:
    """All rows in their order, as many at a time as fit in little memory."""
    return rows.ordered(max(1, min(WALKED, MULTIPLIED // max(1, rows.width))))


def drawn(rows: Batches, count: int, seed: int) -> Batch:
    """At most ``count`` rows, drawn by weight without replacement.

    Priority sampling (Duffield, Lund and Thorup, 2007): a row of weight w has the priority w / u, u uniform in (0, 1].
    Those of the highest priorities are kept, each with the weight max(w, the highest priority that was not): sums of
    weights are unbiased, so the rows drawn stand for all. One walk over the rows, in bounded memory.

    >>> batch = drawn(Rows(torch.arange(1000.0).view(-1, 1)), 10, seed=0)
    >>> len(batch), len(batch.x.unique()), bool((batch.weight == batch.weight[0]).all())
    (10, 10, True)
    """
    dice = torch.Generator().manual_seed(mix(seed, count))
    kept: list[Tensor] = []
    for batch in walked(rows):
        weight = batch.weights
        priority = weight / (1 - torch.rand(len(batch), generator=dice, dtype=torch.float64))
        new = [batch.x, weight, priority, *([] if batch.given is None else [batch.given])]
        kept = [torch.cat(each) for each in zip(kept, new, strict=True)] if kept else new
        kept = [each[kept[2].topk(min(count + 1, len(kept[2]))).indices] for each in kept]
    x, weight, priority, *given = kept
    least = priority[count] if len(x) > count else torch.zeros(())
    order = torch.randperm(min(count, len(x)), generator=dice)  # heavy rows came first
    return Batch(x[order], weight[order].clamp_min(least.to(weight.dtype)), *(each[order] for each in given))


def by_weight(rows: Batch, seed: int) -> Batch:
    """As many rows, drawn by their weights with replacement, for what knows no weights; the same where all are equal.

    >>> by_weight(Batch(torch.arange(2.0).view(2, 1), torch.tensor([0.0, 1.0])), seed=0).x.flatten()
    tensor([1., 1.])
    """
    weight = rows.weights
    if bool((weight == weight[0]).all()):
        return rows
    dice = np.random.default_rng(seed)
    chance = weight.double().numpy() / float(weight.double().sum())
    return rows[torch.from_numpy(np.sort(dice.choice(len(weight), len(weight), p=chance)))]


def joined(first: Batch, second: Batch) -> Batch:
    """The rows of both, with their weights; rows without weigh 1."""
    return Batch(torch.cat((first.x, second.x)), torch.cat((first.weights, second.weights)))


def contents(x: Tensor) -> Tensor:
    """A number per row (n,) that depends on its values alone: sorted by it, rows lie alike however they came."""
    factors = odd(math.prod(x.shape[1:]) * x.element_size() // 4)
    return torch.cat([(_bits(block) * factors).sum(1) for block in x.split(max(1, MULTIPLIED // len(factors)))])


def _bits(x: Tensor) -> Tensor:
    """The bits of every value; one NaN is as good as another, and -0.0 is 0.0."""
    return (torch.where(x.isnan(), torch.nan, x) + 0.0).flatten(1).contiguous().view(torch.int32)


@lru_cache(maxsize=8)
def odd(count: int) -> Tensor:
    """Odd numbers to multiply bits with; the products are whole numbers, so the order of adding is no matter."""
    return torch.randint(1 << 62, (count,), generator=torch.Generator().manual_seed(0)) * 2 + 1


def in_blocks(x: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
    """``read`` of all rows, a block at a time and without gradients; as many blocks at once as torch has threads.

    Blocks are filled up to a multiple of 16 rows: matrix products of fewer than 4 rows are rounded differently, and a
    row must get the same answer alone and among others.

    >>> in_blocks(torch.ones(3, 2), lambda rows: rows.sum(1))
    tensor([2., 2., 2.])
    """
    *full, last = x.split(max(FULL, min(BLOCK, VALUES // max(1, x[:1].numel()) // FULL * FULL)))
    last = torch.cat([last, last[-1:].expand(-len(last) % FULL, *last.shape[1:])])
    return torch.cat(side_by_side(torch.inference_mode()(read), [*full, last]))[: len(x)]


def side_by_side(work: Callable[[T], S], parts: Sequence[T]) -> list[S]:
    """``work`` of each part, in their order; as many parts at once as torch has threads.

    A part has one thread for itself: the threads of a single operation would wait for each other some fifty times. What
    is raised is what the first failing part raises.
    """
    threads = torch.get_num_threads()
    if len(parts) < 2 or threads == 1:
        return [work(part) for part in parts]
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, parts))
    finally:  # when all of them have ended, so that threads made later start with as many as before
        torch.set_num_threads(threads)
