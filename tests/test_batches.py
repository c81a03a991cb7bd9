"""Batches: seeded orders, even draws, hashes of contents, blocks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
from torch import Tensor

from diabolo import batches
from diabolo.batches import Batch, Rows, contents, drawn, in_blocks, joined, side_by_side


def numbered(count: int, weight: Tensor | None = None) -> Rows:
    return Rows(torch.arange(float(count)).view(-1, 1), weight)


def test_rows_keep_their_numbers() -> None:
    part = numbered(10, torch.arange(10.0))[torch.tensor([7, 2])]
    assert part.numbers.tolist() == [7, 2] and part.all.weight.tolist() == [7.0, 2.0] and part.rows == 2
    assert numbered(10)[4:6].numbers.tolist() == [4, 5]


def test_orders_depend_on_seed_and_epoch_alone() -> None:
    rows = numbered(50)
    orders = [
        torch.cat([batch.x for batch in rows.shuffled(8, *numbers)])[:, 0].tolist()
        for numbers in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert orders[0] == orders[1] and len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_few_rows_are_all_drawn_with_their_weights() -> None:
    weight = torch.tensor([1.0, 0.5, 3.0])
    batch = drawn(numbered(3, weight), 5, seed=0)
    assert sorted(batch.x[:, 0].tolist()) == [0, 1, 2]
    assert torch.equal(batch.weight, weight[batch.x[:, 0].long()])


def test_rows_are_drawn_evenly_however_they_are_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drawn(numbered(1000), 100, seed=3)
    assert len(whole.x.unique()) == 100 and whole.x.mean() == pytest.approx(499.5, abs=90)
    assert whole.weight.unique().tolist() == pytest.approx([10], rel=0.3)
    monkeypatch.setattr(batches, "WALKED", 64)
    assert torch.equal(drawn(numbered(1000), 100, seed=3).x.sort(0).values, whole.x.sort(0).values)
    assert not torch.equal(drawn(numbered(1000), 100, seed=4).x, whole.x)


def test_drawn_rows_stand_for_all_by_weight() -> None:
    """Old rows of weight 50 and new ones of weight 1: sums of weights over any part are right on average."""
    rows = numbered(600, torch.where(torch.arange(600) < 100, 50.0, 1.0))
    parts = [drawn(rows, 60, seed) for seed in range(200)]
    old = torch.stack([batch.weight[batch.x[:, 0] < 100].sum() for batch in parts])
    new = torch.stack([batch.weight[batch.x[:, 0] >= 100].sum() for batch in parts])
    assert old.mean() == pytest.approx(5000, rel=0.05) and new.mean() == pytest.approx(500, rel=0.2)
    assert all(len(batch) == 60 for batch in parts)
    assert parts[0].weight[:30].mean() == pytest.approx(float(parts[0].weight[30:].mean()), rel=0.2)  # in no order


def test_heavy_rows_come_in_no_order() -> None:
    rows = numbered(100, torch.where(torch.arange(100) < 10, 1e6, 1.0))
    heavy = torch.stack([drawn(rows, 20, seed).x[:, 0] < 10 for seed in range(100)]).float()
    assert (heavy.sum(1) == 10).all() and heavy[:, :10].sum(1).mean() == pytest.approx(5, abs=0.5)


def test_rows_of_no_weight_are_never_drawn() -> None:
    batch = drawn(numbered(100, (torch.arange(100) % 2).float()), 20, seed=0)
    assert (batch.x % 2 == 1).all()


def test_joined_rows_weigh_one_where_nothing_was_said() -> None:
    both = joined(Batch(torch.zeros(2, 1)), Batch(torch.ones(1, 1), torch.tensor([4.0])))
    assert both.x[:, 0].tolist() == [0, 0, 1] and both.weight.tolist() == [1, 1, 4]


def test_contents_tell_rows_apart_and_not_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(500, 3, 4, generator=torch.Generator().manual_seed(0))
    x[7, 0, 0] = torch.nan
    told, order = contents(x), torch.randperm(500, generator=torch.Generator().manual_seed(1))
    assert torch.equal(contents(x[order]), told[order]) and len(told.unique()) == 500
    assert torch.equal(contents(x.transpose(0, 2).contiguous().transpose(0, 2)), told)
    assert len(contents(x[:0])) == 0
    x[3, 2, 1] = torch.nextafter(x[3, 2, 1], torch.tensor(9.0))
    monkeypatch.setattr(batches, "MULTIPLIED", 100)
    assert (contents(x) != told).nonzero().flatten().tolist() == [3]


@pytest.mark.parametrize("rows", [0, 1, 15, 16, 5000])
def test_blocks_are_full_and_answers_in_order(rows: int) -> None:
    sizes = []

    def read(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return 2 * x[:, 0]

    assert torch.equal(in_blocks(numbered(rows).all.x, read), 2 * torch.arange(float(rows)))
    assert all(size % 16 == 0 for size in sizes)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_blocks_side_by_side_answer_in_order() -> None:
    rows = numbered(3 * batches.BLOCK + 5).all.x
    assert torch.equal(in_blocks(rows, lambda x: 2 * x[:, 0]), 2 * rows[:, 0])
    with ThreadPoolExecutor(1) as pool:  # the number belongs to a thread; a new one starts with that of the process
        assert torch.get_num_threads() == pool.submit(torch.get_num_threads).result() == 2


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_of_parts_side_by_side_the_first_that_fails_is_told(count: int) -> None:
    assert side_by_side(lambda part: 2 * part, range(count)) == list(range(0, 2 * count, 2))
    for first in range(count):
        with pytest.raises(ValueError, match=f"^part {first}$"):
            side_by_side(partial(fail, first), range(count))


def fail(first: int, part: int) -> None:
    if part >= first:
        raise ValueError(f"part {part}")
