"""Weights of rows: whole ones are copies, others weigh, and impossible ones are refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from diabolo.errors import InvalidParameter
from diabolo.tasks.weights import checked, counted, is_count, places_of

ROWS = np.arange(8.0).reshape(4, 2)


def test_whole_weights_are_copies() -> None:
    weight = checked([2, 0, 1, 1], ROWS)
    assert is_count(weight) and places_of(weight, 4).tolist() == [0, 0, 2, 3]
    assert counted(ROWS, weight).tolist() == ROWS[[0, 0, 2, 3]].tolist()
    assert counted(pa.table({"a": [1, 2, 3, 4]}), weight)["a"].to_pylist() == [1, 1, 3, 4]


def test_other_weights_leave_out_those_of_none() -> None:
    weight = checked([0.5, 0, 1, 1], ROWS)
    assert not is_count(weight) and places_of(weight, 4).tolist() == [0, 2, 3]
    assert not is_count(torch.full((4,), 11.0))  # so many copies are not made


def test_no_weights() -> None:
    assert checked(None, ROWS) is None and counted(ROWS, None) is ROWS and places_of(None, 2).tolist() == [0, 1]


def test_too_few_rows_of_weight() -> None:
    with pytest.raises(InvalidParameter, match="At least 2"):
        checked([1, 0, 0, 0], ROWS)


def test_weights_that_may_not_be_written_to_are_copied(torch_warns: None) -> None:
    weight = np.ones(4)
    weight.flags.writeable = False
    assert checked(weight, ROWS).tolist() == [1, 1, 1, 1]
