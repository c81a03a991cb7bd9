"""What training walks over: batches in a seeded order, from memory or from a file larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from diabolo.randomness import mix

WALKED = 1 << 16  # rows looked at together when some are drawn from many


@dataclass(frozen=True)
class Batch:
    """Prepared rows; a missing value is NaN. ``weight`` holds one number per row, ``given`` the conditions."""

    x: Tensor
    weight: Tensor | None = None
    given: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | Tensor) -> Batch:
        return Batch(*(None if each is None else each[rows] for each in (self.x, self.weight, self.given)))

    def to(self, device: torch.device) -> Batch:
        return Batch(*(None if each is None else each.to(device) for each in (self.x, self.weight, self.given)))


class Batches(Protocol):
    """Rows that can be walked in any epoch's order; the order depends on ``seed`` and ``epoch`` alone."""

    rows: int

    def shuffled(self, size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """Batches of ``size`` rows (the last may be smaller) in the order of this seed and epoch."""

    def ordered(self, size: int) -> Iterator[Batch]:
        """Batches of ``size`` rows in their own order."""


class Rows:
    """Rows held in memory; a batch is one index into the tensor. ``numbers`` say which rows of the user's they are."""

    def __init__(
        self,
        x: Tensor,
        weight: Tensor | None = None,
        given: Tensor | None = None,
        numbers: Tensor | None = None,
    ) -> None:
        self.all = Batch(x, weight, given)
        self.numbers = torch.arange(len(x)) if numbers is None else numbers
        self.rows = len(x)

    def shuffled(self, size: int, seed: int, epoch: int) -> Iterator[Batch]:
        order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(mix(seed, epoch)))
        return (self.all[rows] for rows in order.split(size))

    def ordered(self, size: int) -> Iterator[Batch]:
        return (self.all[start : start + size] for start in range(0, self.rows, size))

    def __getitem__(self, rows: slice | Tensor) -> Rows:
        part = self.all[rows]
        return Rows(part.x, part.weight, part.given, self.numbers[rows])


def drawn(rows: Batches, count: int, seed: int) -> tuple[Batch, Tensor]:
    """At most ``count`` rows, drawn by weight without replacement, and their places among ``rows``, counted from 0.

    Priority sampling (Duffield, Lund and Thorup, 2007): a row of weight w has the priority w / u, u uniform in (0, 1].
    Those of the highest priorities are kept, each with the weight max(w, the highest priority that was not): sums of
    weights are unbiased, so the rows drawn stand for all. One walk over the rows, in bounded memory.

    >>> batch, places = drawn(Rows(torch.arange(1000.0).view(-1, 1)), 10, seed=0)
    >>> len(batch), bool((batch.x[:, 0] == places).all())
    (10, True)
    """
    dice = torch.Generator().manual_seed(mix(seed, count))
    kept: list[Tensor] = []
    seen = 0
    for batch in rows.ordered(WALKED):
        weight = torch.ones(len(batch)) if batch.weight is None else batch.weight
        priority = weight / (1 - torch.rand(len(batch), generator=dice, dtype=torch.float64))
        new = [batch.x, weight, priority, torch.arange(seen, seen + len(batch))]
        seen += len(batch)
        kept = [torch.cat(each) for each in zip(kept, new, strict=True)] if kept else new
        kept = [each[kept[2].topk(min(count + 1, len(kept[2]))).indices] for each in kept]
    x, weight, priority, places = kept
    least = priority[count] if len(x) > count else torch.zeros(())
    order = torch.randperm(min(count, len(x)), generator=dice)  # heavy rows came first
    return Batch(x[order], weight.clamp_min(least.to(weight.dtype))[order]), places[order]


def contents(x: Tensor) -> Tensor:
    """A number per row (n,) that depends on its values alone: sorted by it, rows lie alike however they came."""
    flat = np.ascontiguousarray(x.flatten(1).numpy()).view(np.int32)
    odd = np.random.default_rng(0).integers(1 << 62, size=flat.shape[1]) * 2 + 1
    blocks = range(0, len(flat), WALKED)
    return torch.from_numpy(np.concatenate([flat[start : start + WALKED] @ odd for start in blocks]))
