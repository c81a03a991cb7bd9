"""What a corruption may be told, and what the values of a column may become."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from diabolo.errors import InvalidParameter
from diabolo.schema import Column, Schema

FAR = 3.0  # standard deviations: the extreme of a column whose limits are not known


def extremes(column: Column) -> tuple[float, float]:
    """The lowest and the highest value of a column as the model stores it; NaN for a category, which has none."""
    if column.kind == "category":
        return math.nan, math.nan
    if column.kind == "boolean":
        return 0.0, 1.0
    low, high = column.low, column.high
    if column.kind == "number":
        low, high = (low - column.center) / column.scale, (high - column.center) / column.scale
        return (low if math.isfinite(low) else -FAR), (high if math.isfinite(high) else FAR)
    far = math.expm1(column.center + FAR * column.scale)
    return max(low, 0.0), (high if math.isfinite(high) else far)


def one_per_column(schema: Schema, each: Sequence[float]) -> Tensor:
    """One number per column, shaped to meet rows: (columns, 1, ..., 1)."""
    return torch.tensor(each, dtype=torch.float32).view(-1, *[1] * len(schema.grid))


def at_least_zero(name: str, value: float, owner: nn.Module, most: float = math.inf) -> None:
    """Raise InvalidParameter, with the owner's name, for a value below 0 or above ``most``."""
    if not 0 <= value <= most:
        limit = f" and <= {most:g}" if most < math.inf else ""
        raise InvalidParameter(
            f"The '{name}' parameter of {type(owner).__name__} must be a float >= 0{limit}. Got {value!r}."
        )


def at_least_one(name: str, value: int, owner: nn.Module) -> None:
    """Raise InvalidParameter, with the owner's name, for a value below 1."""
    if value < 1:
        raise InvalidParameter(f"The '{name}' parameter of {type(owner).__name__} must be an int >= 1. Got {value!r}.")
