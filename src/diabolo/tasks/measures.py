"""Measures: what a guess at a row costs, free of units, so that a task and the linear autoencoder can be compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits
from torch import Tensor

from diabolo.randomness import uniform_like
from diabolo.schema import Column, Schema

if TYPE_CHECKING:
    from jaxtyping import Float


def missed(schema: Schema, true: Tensor, told: Tensor, judged: Tensor | None = None) -> Tensor:
    """The mean cost of the ``judged`` values of each prepared row, shape (n,); by default of all that are known.
    Those of given columns never are.

    >>> from diabolo.schema import numbers
    >>> missed(numbers(2), torch.tensor([[0.0, torch.nan]]), torch.tensor([[2.0, 5.0]]))
    tensor([4.])
    """
    costs = wrong(schema, true, told)
    judged = learned(schema, true) & (~true.isnan() if judged is None else judged)
    judged, found = judged.flatten(1), torch.where(judged, costs, 0.0).flatten(1)
    return found.sum(1) / judged.sum(1).clamp_min(1)


def wrong(schema: Schema, true: Tensor, told: Tensor) -> Tensor:
    """What each value of prepared rows costs, of the shape of ``true``; NaN where it is missing or of a given column.

    A number costs its squared error in standard deviations, a count that of its logarithm, a category or boolean 1 if
    it is the wrong one.
    """
    found = torch.zeros_like(true)
    for place, column in enumerate(schema.columns):
        one, other = true[:, place], told[:, place]
        if column.kind == "count":
            one, other = (torch.log1p(each.clamp_min(0)) / column.scale for each in (one, other))
        exact = column.kind in ("number", "count")
        found[:, place] = (other - one).square() if exact else (other.round() != one).to(true.dtype)
    return torch.where(learned(schema, true) & ~true.isnan(), found, torch.nan)


def within(columns: Sequence[Column], x: Tensor) -> Tensor:
    """Prepared rows with every number and count inside the range that its column had in the fit; given ones stay.

    >>> within([Column("flow", low=-2.0, high=2.0)], torch.tensor([[5.0], [torch.nan]])).flatten()
    tensor([2., nan])
    """
    low, high = zip(*map(_range, columns), strict=True)
    each = (-1, *[1] * (x.dim() - 2))
    return x.clamp(x.new_tensor(low).view(each), x.new_tensor(high).view(each))


def _range(column: Column) -> tuple[float, float]:
    if column.kind == "count" and not column.given:
        return column.low, column.high
    if column.kind == "number" and not column.given and column.part in ("value", "elapsed"):
        return _bound(column, column.low, math.inf), _bound(column, column.high, -math.inf)
    return -math.inf, math.inf


def _bound(column: Column, end: float, inward: float) -> float:
    """An end of the range as prepared rows hold it, which is not beyond the end once it is rounded and back again."""
    told = np.float32((end - column.center) / column.scale)
    back = float(told) * column.scale + column.center
    return float(np.nextafter(told, np.float32(inward)) if (back > end) == (inward < 0) and back != end else told)


def told_apart(real: Float[np.ndarray, "n d"], new: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n"]:
    """For each of as many real and new points, and the other beside it, whether the nearest neighbour is of its kind.

    0, 1/2 or 1: the mean is 0.5 where the two cannot be told apart, the two-sample test of Lopez-Paz and Oquab (2017,
    arXiv:1610.06545) with one neighbour.

    >>> told_apart(np.zeros((3, 1)) + [[0], [1], [2]], np.zeros((3, 1)) + [[10], [11], [12]]).tolist()
    [1.0, 1.0, 1.0]
    """
    points, own = np.concatenate((real, new)), np.arange(2 * len(real))
    with threadpool_limits(1):
        near = NearestNeighbors(n_neighbors=2).fit(points).kneighbors(points, return_distance=False)
    other = np.where(near[:, 0] == own, near[:, 1], near[:, 0])
    alike = (other < len(real)) == (own < len(real))
    return (alike[: len(real)] / 2) + (alike[len(real) :] / 2)


def learned(schema: Schema, x: Tensor) -> Tensor:
    """Which values of prepared rows are of learned columns, to meet (n, columns, *grid).

    >>> from diabolo.schema import Column
    >>> learned(Schema((Column("flow"), Column("mode", given=True))), torch.zeros(5, 2))
    tensor([ True, False])
    """
    return ~torch.tensor([column.given for column in schema.columns]).view(-1, *[1] * (x.dim() - 2))


def somewhere(x: Tensor) -> Tensor:
    """One column of each row (n, columns), or one box of a grid (n, 1, *grid), half as wide along every axis, drawn.

    >>> somewhere(torch.zeros(2, 5)).sum(1), somewhere(torch.zeros(2, 3, 4, 9)).sum((1, 2, 3))
    (tensor([1, 1]), tensor([10, 10]))
    """
    ones = [1] * (x.dim() - 1)
    chosen = torch.ones(())
    for axis in range(2, x.dim()) if x.dim() > 2 else (1,):
        size = x.shape[axis]
        width = 1 if axis == 1 else -(-size // 2)
        start = (uniform_like(x.flatten(1)[:, 0]) * (size - width + 1)).long().view(-1, *ones)
        along = torch.arange(size).view(-1, *ones[axis:]) - start
        chosen = chosen * ((along >= 0) & (along < width))
    return chosen.bool()
