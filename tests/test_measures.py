"""What a guess costs: by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diabolo.schema import Column, Schema, numbers
from diabolo.tasks.measures import missed, told_apart, wrong


def test_each_kind_has_its_cost() -> None:
    schema = Schema(
        (Column("n"), Column("c", "count", scale=2.0), Column("k", "category", categories=("a", "b", "(unseen)")))
    )
    true, told = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]]), torch.tensor([[3.0, 3.0, 1.0], [1.0, 0.0, 0.0]])
    assert missed(schema, true, told).tolist() == pytest.approx([(4 + (math.log(4) / 2) ** 2) / 3, 1 / 3])


def test_only_what_is_judged_counts() -> None:
    true, told = torch.tensor([[1.0, torch.nan, 5.0]]), torch.zeros(1, 3)
    assert missed(numbers(3), true, told).item() == 13
    assert missed(numbers(3), true, told, torch.tensor([[True, False, False]])).item() == 1
    assert missed(numbers(3), torch.full((1, 3), torch.nan), told).item() == 0


def test_costs_of_values_are_not_added_up() -> None:
    true, told = torch.tensor([[1.0, torch.nan], [2.0, 0.0]]), torch.tensor([[3.0, 3.0], [2.0, 1.0]])
    assert wrong(numbers(2), true, told).nan_to_num(-1).tolist() == [[4, -1], [0, 1]]


def test_rows_alike_cannot_be_told_apart() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(800, 3))
    assert told_apart(real, rng.normal(size=(800, 3))).mean() == pytest.approx(0.5, abs=0.05)
    assert told_apart(real, rng.normal(size=(800, 3)) + 9).mean() == 1
    assert told_apart(real, real).mean() == 0  # a copy is nearer than any other row
