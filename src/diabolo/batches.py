"""What training walks over: batches in a seeded order, from memory or from a file larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from diabolo.randomness import mix


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
    """Rows held in memory; a batch is one index into the tensor."""

    def __init__(self, x: Tensor, weight: Tensor | None = None, given: Tensor | None = None) -> None:
        self.all = Batch(x, weight, given)
        self.rows = len(x)

    def shuffled(self, size: int, seed: int, epoch: int) -> Iterator[Batch]:
        order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(mix(seed, epoch)))
        return (self.all[rows] for rows in order.split(size))

    def ordered(self, size: int) -> Iterator[Batch]:
        return (self.all[start : start + size] for start in range(0, self.rows, size))

    def __getitem__(self, rows: slice | Tensor) -> Rows:
        part = self.all[rows]
        return Rows(part.x, part.weight, part.given)
