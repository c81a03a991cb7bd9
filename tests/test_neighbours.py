"""Neighbours against a plain search: relative distances, gaps, kept rows themselves, bounds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diabolo.checks import MIXED
from diabolo.neighbours import FAR, GROUPS, NEAREST, Neighbours
from diabolo.schema import numbers


def normal(rows: int, columns: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def plain(near: Neighbours, x: Tensor) -> Tensor:
    """The definition, written out: the nearest of each group, the five nearest of these, averaged."""
    apart = torch.stack([((row - near.kept) ** 2).sum(1).sqrt() / near.scale for row in x])
    least = apart.view(len(x), near.groups, -1).amin(2)
    return least.sort(1).values[:, :NEAREST].mean(1)


@pytest.mark.parametrize("count", [1, 5, 40, 200])
def test_the_definition(count: int) -> None:
    near, x = Neighbours(numbers(3), normal(count)), 2 * normal(30, seed=1)
    assert near.groups == max(1, min(GROUPS, count // 8)) and len(near.kept) == count // near.groups * near.groups
    assert torch.allclose(near(x), plain(near, x), rtol=1e-3, atol=1e-3)


def test_distance_is_relative_to_the_spread_nearby() -> None:
    """The same step away is farther from a dense cluster than from a sparse one."""
    kept = torch.cat([0.1 * normal(100), 20 + 3 * normal(100, seed=1)])[torch.randperm(200)]
    near = Neighbours(numbers(3), kept)
    dense, sparse = near(torch.tensor([[4.0, 4.0, 4.0], [25.0, 25.0, 25.0]]))
    assert dense > 1.5 * sparse


def test_units_do_not_matter() -> None:
    small, large = (Neighbours(numbers(3), scale * normal(100)) for scale in (1.0, 100.0))
    assert torch.allclose(small(normal(9, seed=1)), large(100 * normal(9, seed=1)), rtol=1e-3)


def test_a_missing_value_is_left_out_and_the_rest_scaled_up() -> None:
    kept, x = normal(80), normal(10, seed=1)
    kept_of_two = Neighbours(numbers(2), kept[:, :2])
    near = Neighbours(numbers(3), kept)
    near.scale, kept_of_two.scale = torch.ones(80), torch.ones(80)
    for each in (near, kept_of_two):
        each._lay_out()
    x[:, 2] = torch.nan
    assert torch.allclose(near(x), kept_of_two(x[:, :2]) * (3 / 2) ** 0.5, rtol=1e-3)
    assert torch.isfinite(Neighbours(numbers(3), torch.where(normal(80, seed=2) > 1, torch.nan, kept))(x)).all()
    assert torch.isfinite(near(torch.full((1, 3), torch.nan))).all()


def test_a_kept_row_is_measured_from_the_others() -> None:
    kept = normal(160)
    near = Neighbours(numbers(3), kept)
    assert torch.equal(near(kept), near.alone) and (near.alone > 0).all()
    row = 37
    group = near.kept.view(near.groups, -1, 3)
    least = ((kept[row] - group) ** 2).sum(2).sqrt() / near.scale.view(near.groups, -1)
    least.view(-1)[row] = torch.inf
    assert near(kept[row : row + 1]) == pytest.approx(least.amin(1).sort().values[:NEAREST].mean().item(), rel=1e-3)
    moved = kept[row : row + 1] + 1e-3
    assert near(moved) < near(kept[row : row + 1])


def test_copies_of_a_kept_row_are_near_each_other() -> None:
    near = Neighbours(numbers(3), normal(80).repeat(2, 1))
    assert (near(normal(80)) < 0.9 * Neighbours(numbers(3), normal(80))(normal(80))).float().mean() > 0.8


def test_nearest_rows_come_nearest_first_and_never_itself() -> None:
    kept = normal(100)
    near = Neighbours(numbers(3), kept)
    x = normal(5, seed=1)
    apart = torch.cdist(x, near.kept) / near.scale
    assert torch.equal(near.nearest(x, 4), apart.sort(1).indices[:, :4])
    own = near.nearest(near.kept, 3)
    assert not (own == torch.arange(len(near.kept)).unsqueeze(1)).any()
    assert near.nearest(x, 500).shape == (5, len(near.kept))


def test_terms_name_the_values_that_are_far() -> None:
    near = Neighbours(numbers(3), normal(200))
    x = torch.zeros(3, 3) + 8 * torch.eye(3)
    terms = near.terms(x)
    assert terms.shape == (3, 3) and torch.equal(terms.argmax(1), torch.arange(3)) and (terms >= 0).all()
    x[0, 1] = torch.nan
    assert near.terms(x)[0, 1] == 0


def test_terms_of_a_mixed_table_have_one_number_per_column() -> None:
    kept = torch.stack([torch.randn(64), torch.randn(64), torch.randn(64), *torch.ones(3, 64)], 1)
    near = Neighbours(MIXED, kept)
    odd = kept[:1].clone()
    odd[0, 4] = 2.0  # another letter
    terms = near.terms(odd)
    assert terms.shape == (1, 6) and terms.argmax() == 4


def test_rows_beyond_all_bounds_stay_finite() -> None:
    near = Neighbours(numbers(2), normal(50, 2))
    far = near(torch.tensor([[1e6, -1e6], [FAR, 0.0], [1e3, 0.0]]))
    assert torch.isfinite(far).all() and far[0] >= far[1] >= far[2]


def test_equal_rows_have_no_spread_and_no_distance() -> None:
    near = Neighbours(numbers(2), torch.ones(40, 2))
    same, other = near(torch.tensor([[1.0, 1.0], [2.0, 1.0]]))
    assert same == 0 and torch.isfinite(other) and other > 0


def test_no_rows_no_distances() -> None:
    assert Neighbours(numbers(3), normal(100))(normal(0)).shape == (0,)


def test_neighbours_from_a_file_are_the_same() -> None:
    near = Neighbours(numbers(3), normal(100))
    again = Neighbours.of(numbers(3), normal(100), near.scale)
    x = torch.cat([normal(20, seed=1), normal(5)])
    assert torch.equal(again(x), near(x)) and torch.equal(again.alone, near.alone)
