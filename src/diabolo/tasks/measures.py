"""Measures: what a guess at a row costs, free of units, so that a task and the linear autoencoder can be compared."""

from __future__ import annotations

import torch
from torch import Tensor

from diabolo.randomness import uniform_like
from diabolo.schema import Schema


def missed(schema: Schema, true: Tensor, told: Tensor, judged: Tensor | None = None) -> Tensor:
    """The mean cost of the ``judged`` values of each prepared row, shape (n,); by default of all that are known.
    Those of given columns never are.

    A number costs its squared error in standard deviations, a count that of its logarithm, a category or boolean 1 if
    it is the wrong one.

    >>> from diabolo.schema import numbers
    >>> missed(numbers(2), torch.tensor([[0.0, torch.nan]]), torch.tensor([[2.0, 5.0]]))
    tensor([4.])
    """
    judged = learned(schema, true) & (~true.isnan() if judged is None else judged)
    wrong = torch.zeros_like(true)
    for place, column in enumerate(schema.columns):
        one, other = true[:, place], told[:, place]
        if column.kind == "count":
            one, other = (torch.log1p(each.clamp_min(0)) / column.scale for each in (one, other))
        exact = column.kind in ("number", "count")
        wrong[:, place] = (other - one).square() if exact else (other.round() != one).to(true.dtype)
    judged, wrong = judged.flatten(1), torch.where(judged, wrong, 0.0).flatten(1)
    return wrong.sum(1) / judged.sum(1).clamp_min(1)


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
