"""Weights of rows: whole ones are copies, others weigh, and impossible ones are refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from diabolo import AnomalyDetector
from diabolo.batches import contents
from diabolo.errors import InvalidParameter
from diabolo.tasks.weights import checked, counted, groups, is_count, places_of, shuffled, uncut

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


def test_copies_stand_together_up_to_ten_of_them() -> None:
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    x[7, 1] = torch.nan
    for copies, runs in ((1, 50), (3, 50), (10, 50)):
        numbers = shuffled(x.repeat(copies, 1), None, seed=1).numbers.numpy() % 50
        assert sorted(numbers) == sorted(copies * list(range(50)))
        assert np.count_nonzero(np.diff(numbers)) + 1 == runs
    heavy = shuffled(torch.cat([x, x[:1].repeat(24, 1)]), None, seed=1).numbers.numpy()
    places = np.flatnonzero((heavy == 0) | (heavy >= 50))
    assert 1 <= np.count_nonzero(np.diff(places) > 1) <= 2  # 25 of one row stand in three places
    assert torch.equal(shuffled(x, torch.full((50,), 3.0), 1).numbers, shuffled(x.repeat(3, 1), None, 1).numbers % 50)


def test_rows_of_few_kinds_of_values_are_no_copies() -> None:
    """Each value is that of other rows too, also where it is missing; or there are few kinds of rows."""
    few = torch.tensor([[a, b] for a in (0.0, 1.0) for b in (0.0, 1.0, torch.nan)]).repeat(5, 1)
    for x in (few, torch.arange(6.0).view(3, 2).repeat(40, 1)):
        assert groups(x, contents(x)).tolist() == list(range(len(x)))
        assert [uncut(x, count) for count in (7, 20)] == [7, 20]


def test_parts_cut_through_no_copies() -> None:
    x = torch.tensor([1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 4.0]).repeat(2, 1).T
    assert [uncut(x, count) for count in range(8)] == [0, 1, 2, 2, 2, 6, 6, 7]
    assert uncut(x[2:], 2) == 4 and uncut(x[:6], 5) == 2 and uncut(torch.zeros(30, 2), 20) == 20


def test_small_tables_keep_rows_to_be_judged_by() -> None:
    for seed in range(20):
        rows = (np.random.default_rng(seed).random((40, 3)) < 0.03).astype(float)
        rows = np.vstack([rows, np.random.default_rng(seed).normal(size=(9, 3)).repeat(4, 0)])
        assert AnomalyDetector("Linear", random_state=seed).fit(rows).card()["data"]["held out"] >= 11


def test_which_nan_it_is_and_the_sign_of_zero_are_no_matter() -> None:
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    x[::3, 1], x[::4, 2] = torch.nan, 0.0
    y = torch.where(x.isnan(), -x, x) * torch.where(x == 0, -1, 1)
    assert torch.equal(contents(x), contents(y))
    assert torch.equal(shuffled(x, None, 1).numbers, shuffled(y, None, 1).numbers)
