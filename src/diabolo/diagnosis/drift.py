"""Whether new rows are like those of the fit, column by column."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from diabolo.diagnosis.finding import Finding, some
from diabolo.schema import UNSEEN, Column, Schema

FEWEST = 20  # rows that a shift is told from
SHIFT = 1.0  # standard deviations of the fit that a mean moves
SPREAD = 3.0  # times as wide, or as narrow
NEW = 0.1  # share of values outside the range of the fit, of unseen categories, or of gaps where there were none


def drifted(schema: Schema, x: Tensor) -> tuple[Finding, ...]:
    """How prepared new rows (n, columns, *grid) differ from those that ``schema`` was learned from.

    >>> from diabolo.schema import numbers
    >>> [each.name for each in drifted(numbers(2), torch.randn(100, 2) + torch.tensor([0.0, 9.0]))]
    ['shifted columns']
    """
    if len(x) < FEWEST:
        return ()
    found = (_shifted, _stretched, _new_values, _gaps)
    return tuple(finding for look in found if (finding := look(schema, x)) is not None)


def _shifted(schema: Schema, x: Tensor) -> Finding | None:
    told = _where(schema, x, _shift)
    if not told:
        return None
    return Finding(
        "shifted columns",
        f"The mean of {some(list(told))} lies {_range(told)} standard deviations from that of the fit.",
        "Whatever the model says of these rows, it says of data that it has not learned.",
        "See whether units or the source of the data have changed; if the world has, fit again.",
    )


def _stretched(schema: Schema, x: Tensor) -> Finding | None:
    told = _where(schema, x, _stretch)
    if not told:
        return None
    return Finding(
        "stretched columns",
        f"The spread of {some(list(told))} is {_range(told)} times that of the fit.",
        "Values in other units than those of the fit look strange, or all alike.",
        "See whether the columns have the units of the fit, and are not scaled already.",
    )


def _new_values(schema: Schema, x: Tensor) -> Finding | None:
    told = _where(schema, x, _new)
    if not told:
        return None
    return Finding(
        "values beyond the fit",
        f"In {some(list(told))} {_range(told, '.0%')} of the values are beyond the range or the categories of the fit.",
        "The model has never seen such values and guesses there.",
        "See whether codes or units have changed; if the data have, fit again with such rows.",
    )


def _gaps(schema: Schema, x: Tensor) -> Finding | None:
    shares = x.isnan().transpose(0, 1).flatten(1).double().mean(1).tolist()
    pairs = zip(schema.columns, shares, strict=True)
    told = {column.name: share for column, share in pairs if not column.missing and share > NEW}
    if not told:
        return None
    return Finding(
        "new gaps",
        f"In {some(list(told))}, which had no missing values in the fit, {_range(told, '.0%')} are missing.",
        "A missing value is taken for the mean, which hides what is strange about a row.",
        "See why the values are missing; if they stay so, fit again with such rows.",
    )


def _where(schema: Schema, x: Tensor, look: Callable[[Column, Tensor], float | None]) -> dict[str, float]:
    """The figure of each column for which ``look`` has one, the largest first."""
    found = {}
    for place, column in enumerate(schema.columns):
        values = x[:, place].flatten()
        values = values[~values.isnan()].double()
        figure = look(column, values) if len(values) >= FEWEST else None
        if figure is not None:
            found[column.name] = figure
    return dict(sorted(found.items(), key=lambda entry: -abs(entry[1])))


def _units(column: Column, values: Tensor) -> Tensor | None:
    """Values in standard deviations from the mean of the fit; counts by their logarithms."""
    if column.kind == "count":
        return (torch.log1p(values.clamp_min(0)) - column.center) / column.scale
    return values if column.kind == "number" and column.low < column.high else None


def _shift(column: Column, values: Tensor) -> float | None:
    units = _units(column, values)
    if units is None or not abs(units.median()) > SHIFT < abs(units.mean()):
        return None
    return float(units.mean())


def _stretch(column: Column, values: Tensor) -> float | None:
    units = _units(column, values)
    spread = 1.0 if units is None else float(units.std())
    return None if 1 / SPREAD <= spread <= SPREAD else spread


def _new(column: Column, values: Tensor) -> float | None:
    """The share of values that the fit never saw, where it is large."""
    if column.kind == "category":
        known = len(column.categories) - 1 if column.categories[-1] == UNSEEN else len(column.categories)
        beyond = values >= known
    else:
        low, high = column.low, column.high
        low, high = ((each - column.center) / column.scale if column.kind == "number" else each for each in (low, high))
        slack = 1e-4 * max(1.0, high - low) if high - low < float("inf") else 0.0
        beyond = (values < low - slack) | (values > high + slack)
    share = float(beyond.double().mean())
    return share if share > NEW else None


def _range(told: dict[str, float], form: str = ".3g") -> str:
    """The smallest and the largest figure, if they differ."""
    ends = [format(least(told.values(), key=abs), form) for least in (min, max)]
    return " to ".join(dict.fromkeys(ends))
