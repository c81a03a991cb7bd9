"""What a guess costs: by hand."""

from __future__ import annotations

import math

import pytest
import torch

from diabolo.schema import Column, Schema, numbers
from diabolo.tasks.measures import missed


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
