"""Weights of rows: how often each is learned from, or how much it counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch
from sklearn.utils.validation import _check_sample_weight
from torch import Tensor

from diabolo.errors import InvalidParameter
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


def counted(rows: np.ndarray | pa.Table | Source, weight: Tensor | None) -> np.ndarray | pa.Table | Source:
    """The rows that the columns are learned from, as often as their weights say."""
    if weight is None or isinstance(rows, Source):
        return rows
    return taken(rows, places_of(weight, len(rows)).numpy())
