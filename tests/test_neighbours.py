"""Neighbours against a plain search: relative distances, gaps, places, bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from diabolo import batches
from diabolo.checks import MIXED
from diabolo.neighbours import FAR, GROUPS, NEAREST, Neighbours, centres
from diabolo.schema import numbers


def normal(rows: int, columns: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def at(places: Tensor, scale: Tensor | None = None) -> Neighbours:
    """Neighbours whose places are rows."""
    return Neighbours(numbers(places.shape[1]), places, places, scale)


def plain(near: Neighbours, x: Tensor) -> Tensor:
    """The definition, written out: the nearest of each group, the five nearest of these, averaged."""
    apart = torch.stack([((row - near.places) ** 2).sum(1).sqrt() / near.scale for row in x])
    least = apart.view(len(x), near.groups, -1).amin(2)
    return least.sort(1).values[:, :NEAREST].mean(1)


@pytest.mark.parametrize("count", [1, 5, 40, 200])
def test_the_definition(count: int) -> None:
    near, x = at(normal(count)), 2 * normal(600, seed=1)
    assert near.groups == max(1, min(GROUPS, count // 8)) and len(near.places) == count // near.groups * near.groups
    assert torch.allclose(near(x), plain(near, x), rtol=1e-3, atol=1e-3)


def test_distance_is_relative_to_the_spread_nearby() -> None:
    """The same step away is farther from a dense cluster than from a sparse one."""
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    near = at(torch.cat([0.1 * normal(100), 20 + 3 * normal(100, seed=1)])[order])
    dense, sparse = near(torch.tensor([[4.0, 4.0, 4.0], [25.0, 25.0, 25.0]]))
    assert dense > 1.5 * sparse


def test_units_do_not_matter() -> None:
    small, large = (at(scale * normal(100)) for scale in (1.0, 100.0))
    assert torch.allclose(small(normal(9, seed=1)), large(100 * normal(9, seed=1)), rtol=1e-3)


def test_a_missing_value_is_left_out_and_the_rest_scaled_up() -> None:
    places, x, even = normal(80), normal(10, seed=1), torch.ones(80)
    whole, part = at(places, even), at(places[:, :2], even)
    x[:5, 2] = torch.nan
    assert torch.allclose(whole(x)[:5], part(x[:, :2])[:5] * (3 / 2) ** 0.5, rtol=1e-3)
    assert torch.allclose(whole(x)[5:], plain(whole, x[5:]), rtol=1e-3)  # rows beside them are as ever
    assert torch.isfinite(whole(torch.full((1, 3), torch.nan))).all()


def test_places_are_learned_from_rows_with_gaps() -> None:
    rows = normal(300)
    rows[torch.rand(300, 3, generator=torch.Generator().manual_seed(1)) < 0.2] = torch.nan
    near = Neighbours.learn(numbers(3), rows, 50)
    assert torch.isfinite(near.places).all() and torch.isfinite(near(rows)).all()


def test_places_are_where_rows_are() -> None:
    rows = torch.cat([normal(300), 50 + normal(100, seed=1)])
    near = Neighbours.learn(numbers(3), rows, 64)
    inside = (near.places.mean(1) - torch.tensor([[0.0], [50.0]])).abs().amin(0)
    assert len(near.places) == 64 and inside.max() < 4
    assert ((near.places[:, 0] > 25).float().mean() - 0.25).abs() < 0.2
    normal_rows, between = near(torch.stack([torch.zeros(3), torch.full((3,), 25.0)]))
    assert between > 5 * normal_rows


def test_kept_rows_are_real_and_near_their_places() -> None:
    rows = normal(400)
    near = Neighbours.learn(numbers(3), rows, 64)
    assert (near.kept.unsqueeze(1) == rows).all(2).any(1).all()
    assert torch.allclose(torch.cdist(near.places, near.kept).diagonal(), torch.cdist(near.places, rows).amin(1))


@pytest.mark.parametrize("rows, count, places", [(1, 10, 1), (2, 10, 1), (9, 10, 4), (100, 10, 10), (100, 1, 1)])
def test_at_most_a_place_for_two_rows(rows: int, count: int, places: int) -> None:
    assert len(Neighbours.learn(numbers(3), normal(rows), count).places) == places


def test_rows_of_weight_draw_the_places() -> None:
    rows = torch.cat([normal(200), 50 + normal(200, seed=1)])
    weight = torch.cat([torch.full((200,), 1e-6), torch.ones(200)])
    far = [(Neighbours.learn(numbers(3), rows, 40, each).places[:, 0] > 25).float().mean() for each in (None, weight)]
    assert far[0] < 0.7 and far[1] >= far[0]


def test_centres_do_not_depend_on_the_order_of_the_rows() -> None:
    points, dice = normal(500).numpy(), np.random.default_rng(0)
    order = dice.permutation(500)
    first, again, other = (
        centres(points[rows], np.ones(500), 40, seed) for rows, seed in ((slice(None), 1), (order, 1), (order, 2))
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    repeated = centres(np.repeat(points[:200], 2, 0), np.ones(400), 40, 1)
    assert np.array_equal(repeated, centres(points[:200], np.full(200, 2.0), 40, 1))
    assert len(centres(np.ones((50, 2), np.float32), np.ones(50), 40, 1)) == 1


def test_a_centre_is_the_mean_by_weight() -> None:
    points, weight = normal(50).numpy(), np.arange(50.0)
    assert centres(points, weight, 1, 0)[0] == pytest.approx(np.average(points, 0, weight), abs=1e-5)


def test_nearest_places_come_nearest_first() -> None:
    near, x = at(normal(100)), normal(5, seed=1)
    apart = torch.cdist(x, near.places) / near.scale
    assert torch.equal(near.nearest(x, 4), apart.sort(1).indices[:, :4])
    assert near.nearest(x, 500).shape == (5, len(near.places))


def test_distances_of_many_rows_are_held_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    near, x = at(normal(80)), normal(10_000, seed=1)
    whole = near._squares(*near.seen(x)).argsort(1)[:, :3]
    sizes: list[int] = []
    squares = near._squares
    monkeypatch.setattr(near, "_squares", lambda places, there: sizes.append(len(places)) or squares(places, there))
    assert torch.equal(near.nearest(x, 3), whole)
    assert max(sizes) <= batches.BLOCK


def test_terms_name_the_values_that_are_far() -> None:
    near = at(normal(200))
    x = torch.zeros(3, 3) + 8 * torch.eye(3)
    terms = near.terms(x)
    assert terms.shape == (3, 3) and torch.equal(terms.argmax(1), torch.arange(3)) and (terms >= 0).all()
    x[0, 1] = torch.nan
    assert near.terms(x)[0, 1] == 0


def test_terms_of_a_mixed_table_have_one_number_per_column() -> None:
    rows = torch.cat([normal(64), torch.ones(64, 3)], 1)
    near = Neighbours.learn(MIXED, rows, 16)
    odd = rows[:1].clone()
    odd[0, 4] = 2.0  # another letter
    terms = near.terms(odd)
    assert near.places.shape == (16, 9) and terms.shape == (1, 6) and terms.argmax() == 4


def test_rows_beyond_all_bounds_stay_finite() -> None:
    near = at(normal(50, 2))
    far = near(torch.tensor([[1e6, -1e6], [FAR, 0.0], [1e3, 0.0]]))
    assert torch.isfinite(far).all() and far[0] >= far[1] >= far[2]


def test_equal_rows_are_at_no_distance_rounding_apart() -> None:
    near = Neighbours.learn(numbers(2), torch.ones(40, 2), 10)
    same, other = near(torch.tensor([[1.0, 1.0], [2.0, 1.0]]))
    assert same < 0.1 < other and torch.isfinite(other)


def test_no_rows_no_distances() -> None:
    assert at(normal(100))(normal(0)).shape == (0,)


def test_neighbours_from_a_file_are_the_same() -> None:
    near = Neighbours.learn(numbers(3), normal(100), 40)
    again = Neighbours(numbers(3), near.kept, near.places, near.scale)
    assert torch.equal(again(normal(20, seed=1)), near(normal(20, seed=1)))
