"""Weights of rows: checked, and read as copies where they are whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diabolo.errors import InvalidParameter
from diabolo.tasks.weights import counted, is_count, places_of, weights

ROWS = np.arange(12.0).reshape(4, 3)


def test_whole_weights_are_copies() -> None:
    weight = weights([2, 0, 1, 1], ROWS)
    assert weight is not None and is_count(weight)
    assert places_of(weight, 4).tolist() == [0, 0, 2, 3]
    assert np.array_equal(counted(ROWS, weight), ROWS[[0, 0, 2, 3]])


@pytest.mark.parametrize("given", [[0.5, 1, 1, 0], [1000, 1, 1, 0]])
def test_other_weights_leave_out_and_weigh(given: list[float]) -> None:
    weight = weights(given, ROWS)
    assert weight is not None and not is_count(weight)
    assert places_of(weight, 4).tolist() == [0, 1, 2]


def test_without_weights_every_row_counts_once() -> None:
    assert weights(None, ROWS) is None
    assert places_of(None, 4).equal(torch.arange(4))
    assert counted(ROWS, None) is ROWS


@pytest.mark.parametrize("given", [[1, 1, 1], [-1, 1, 1, 1], [0, 0, 0, 1], [np.nan, 1, 1, 1]])
def test_wrong_weights_are_refused(given: list[float]) -> None:
    with pytest.raises(InvalidParameter):
        weights(given, ROWS)
