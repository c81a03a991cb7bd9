"""Weights of rows: how often each is learned from, or how much it counts, and an order for all of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from sklearn.utils.validation import _check_sample_weight
from torch import Tensor

from diabolo.batches import Rows, contents
from diabolo.errors import InvalidParameter
from diabolo.randomness import mix
from diabolo.readers import Source, taken

COPIES = 10  # copies per row, on average, up to which whole weights repeat rows; beyond, they weigh them


def checked(sample_weight: Any, rows: np.ndarray | pa.Table | Source, fewest: int = 2) -> Tensor | None:
    """One weight per row, at least ``fewest`` of them above 0; None where none are given. Raises InvalidParameter."""
    if sample_weight is None:
        return None
    if isinstance(rows, Source):
        raise InvalidParameter(f"sample_weight belongs to rows in memory. Read {rows.name} first and pass its table.")
    try:
        told = _check_sample_weight(sample_weight, np.empty((len(rows), 1)), ensure_non_negative=True)
    except ValueError as error:
        raise InvalidParameter(str(error)) from None
    if (told > 0).sum() < fewest:
        raise InvalidParameter(f"At least {fewest} of the rows must have a sample_weight above 0 to learn from.")
    return torch.tensor(told, dtype=torch.float32)


def is_count(weight: Tensor) -> bool:
    """Whether weights are whole numbers: then they count copies of their rows."""
    return bool((weight == weight.round()).all()) and float(weight.sum()) <= COPIES * len(weight)


def places_of(weight: Tensor | None, count: int) -> Tensor:
    """The rows to learn from: those of weight 0 left out, those of whole weights as often as these say."""
    if weight is None:
        return torch.arange(count)
    return torch.arange(count).repeat_interleave(weight.long() if is_count(weight) else (weight > 0).long())


def shuffled(x: Tensor, weight: Tensor | None, seed: int) -> Rows:
    """Prepared rows in an order that depends on the seed and on what they hold, not on how they came.

    Copies of a row stand together, so that none is learned from and another one judged by.
    """
    keys, places = contents(x), places_of(weight, len(x))
    places = places[keys[places].argsort(stable=True)]
    places = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(mix(seed, -1)))]
    places = places[groups(x[places], keys[places]).argsort(stable=True)]
    return Rows(x[places], None if weight is None or is_count(weight) else weight[places], numbers=places)


def groups(x: Tensor, keys: Tensor) -> Tensor:
    """The place of the first row among the copies that a row stands with, up to 10 of them; its own if it has none.

    ``keys`` tell equal rows. They are copies if they share a value that no other row has; where values are of few
    kinds, or rows are, some are equal by chance, as new ones will be.

    >>> x = torch.tensor([[0.7, 1.0], [0.3, 1.0], [0.5, 1.0], [0.7, 1.0], [0.3, 1.0]])
    >>> groups(x, contents(x)), groups(x[:, 1:], contents(x[:, 1:]))
    (tensor([0, 1, 2, 0, 1]), tensor([0, 1, 2, 3, 4]))
    """
    place = torch.arange(len(x))
    row, counts = keys.unique(return_inverse=True, return_counts=True)[1:]
    if len(counts) == len(x) or len(x) > COPIES * len(counts):
        return place
    one = torch.empty_like(counts).scatter_(0, row, place)  # a row of each kind
    copied = (counts > 1) & _peculiar(x[one])
    order = row.argsort(stable=True)
    rank = torch.empty_like(place).scatter_(0, order, place - (counts.cumsum(0) - counts)[row[order]])
    group = row * len(x) + torch.where(copied[row], rank // COPIES, rank)
    group = group.unique(return_inverse=True)[1]
    return torch.full_like(place, len(x)).scatter_reduce(0, group, place, "amin")[group]


def _peculiar(x: Tensor) -> Tensor:
    """Which of these rows, no two of them equal, have a value that no other has; of single values it says nothing."""
    found = torch.zeros(len(x), dtype=torch.bool)
    for column in x.nan_to_num(math.inf).flatten(1).unbind(1) if x[:1].numel() > 1 else ():
        value, counts = column.unique(return_inverse=True, return_counts=True)[1:]
        found |= counts[value] == 1
        if found.all():
            break
    return found


def uncut(x: Tensor, count: int) -> int:
    """How many of the first rows to part from the others: about ``count``, such that no copies are parted.

    >>> x = torch.tensor([[7.0, 0.0], [3.0, 1.0], [3.0, 1.0], [3.0, 1.0], [5.0, 0.0]])
    >>> [uncut(x, count) for count in range(6)]
    [0, 1, 4, 4, 4, 5]
    """
    if not 0 < count < len(x):
        return count
    group = groups(x, contents(x))
    back = int(group[count])
    ahead = back + int((group == back).sum())
    if back >= count:
        return count
    return ahead if ahead < len(x) and (back < 2 or ahead - count < count - back) else back


def counted(rows: np.ndarray | pa.Table | Source, weight: Tensor | None) -> np.ndarray | pa.Table | Source:
    """The rows that the columns are learned from, as often as their weights say."""
    if weight is None or isinstance(rows, Source):
        return rows
    return taken(rows, places_of(weight, len(rows)).numpy())
