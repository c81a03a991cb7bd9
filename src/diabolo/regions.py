"""Regions: boxes that images and series are cut into, so that a person is told of places, not of single cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from diabolo.schema import Schema

MOST = 8  # boxes along an axis
AXES = {1: ("time",), 2: ("rows", "columns")}


class Regions:
    """At most 8 boxes along every axis of the grid of each channel; of a table every column is a region.

    ``names`` says where each lies, counted from 0.

    >>> from diabolo.schema import numbers
    >>> regions = Regions(numbers(1, "series", (20,)))
    >>> regions.names[:2], regions.sums(np.ones((1, 1, 20)))[0].tolist()
    (['x0, time 0-2', 'x0, time 3-5'], [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0])
    """

    def __init__(self, schema: Schema) -> None:
        self.channels = list(dict.fromkeys(column.source for column in schema.columns))
        self._starts = [range(0, size, -(-size // MOST)) for size in schema.grid]
        self.names = _named(self.channels, schema.grid, self._starts) if schema.grid else self.channels

    def sums(self, values: np.ndarray) -> np.ndarray:
        """The sum of each region (n, regions) of values (n, channels, *grid)."""
        for axis, starts in enumerate(self._starts, 2):
            values = np.add.reduceat(values, np.array(starts), axis)
        return values.reshape(len(values), math.prod(values.shape[1:]))

    def means(self, values: np.ndarray) -> np.ndarray:
        """The mean of the values that are there, NaN where none is."""
        there = ~np.isnan(values)
        counts = self.sums(there.astype(np.float64))
        with np.errstate(invalid="ignore"):
            return self.sums(np.where(there, values, 0.0)) / np.where(counts, counts, np.nan)


def _named(channels: Sequence[str], grid: tuple[int, ...], starts: Sequence[range]) -> list[str]:
    along = [
        [f"{word} {start}-{min(start + each.step, size) - 1}" for start in each]
        for word, size, each in zip(AXES[len(grid)], grid, starts, strict=True)
    ]
    return [", ".join((channel, *place)) for channel in channels for place in product(*along)]
