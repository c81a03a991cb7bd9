"""Regions: every value lies in one of them, whatever the size of the grid."""

from __future__ import annotations

import numpy as np
import pytest

from diabolo.regions import MOST, Regions
from diabolo.schema import numbers

GRIDS = [(1,), (7,), (8,), (9,), (100,), (1, 1), (3, 20), (28, 28), (17, 9)]


@pytest.mark.parametrize("grid", GRIDS)
def test_every_value_counts_once(grid: tuple[int, ...]) -> None:
    regions = Regions(numbers(2, "series" if len(grid) == 1 else "image", grid))
    values = np.random.default_rng(0).normal(size=(3, 2, *grid))
    sums = regions.sums(values)
    assert sums.shape == (3, len(regions.names))
    assert len(regions.names) <= 2 * MOST ** len(grid)
    assert np.allclose(sums.sum(1), values.reshape(3, -1).sum(1))


def test_names_say_where() -> None:
    regions = Regions(numbers(1, "image", (16, 9)))
    spot = np.zeros((1, 1, 16, 9))
    spot[0, 0, 5, 8] = 1.0
    assert regions.names[int(regions.sums(spot).argmax())] == "x0, rows 4-5, columns 8-8"


def test_a_table_is_told_by_its_columns() -> None:
    regions = Regions(numbers(3))
    values = np.arange(6.0).reshape(2, 3)
    assert regions.names == ["x0", "x1", "x2"]
    assert np.array_equal(regions.sums(values), values)


def test_means_are_of_what_is_there() -> None:
    regions = Regions(numbers(1, "series", (16,)))
    values = np.full((1, 1, 16), np.nan)
    values[0, 0, 0] = 5.0
    means = regions.means(values)
    assert means[0, 0] == 5.0
    assert np.isnan(means[0, 1:]).all()
