"""Random numbers follow from the seed and a row's place, and nothing outside notices that they were drawn."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from diabolo.randomness import Shard, mix, normal_like, place, seeded, shard, uniform_like

Draw = Callable[[Tensor], Tensor]
both = pytest.mark.parametrize("draw", [normal_like, uniform_like])


def test_seeded_leaves_the_global_state() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1, 2):
        torch.rand(7)
        with seeded(3):
            torch.randn(7)
    assert torch.equal(torch.rand(3), expected)


def test_seeded_leaves_the_global_state_after_an_error() -> None:
    before = torch.random.get_rng_state()
    with pytest.raises(KeyError), seeded(1):
        torch.rand(7)
        raise KeyError
    assert torch.equal(torch.random.get_rng_state(), before)


def test_seeded_inside_seeded_goes_on_where_it_was() -> None:
    with seeded(1):
        expected = torch.rand(6)
    with seeded(1):
        start = torch.rand(3)
        with seeded(2):
            torch.rand(9)
        assert torch.equal(torch.cat((start, torch.rand(3))), expected)


def test_seed_decides_whatever_came_before() -> None:
    drawn = []
    for before in (0, 1):
        torch.manual_seed(before)
        with seeded(7, 3):
            drawn.append(torch.rand(4))
    with seeded(3, 7):
        other = torch.rand(4)
    assert torch.equal(*drawn) and not torch.equal(drawn[0], other)


@both
@pytest.mark.parametrize("sizes", [(12,), (6, 6), (3, 3, 3, 3), (1, 7, 4)], ids=str)
def test_shards_draw_what_one_process_draws(draw: Draw, sizes: tuple[int, ...]) -> None:
    x = torch.zeros(12, 2, 3)
    with seeded(4):
        whole = [draw(x), draw(x[:, :1])]  # a second draw of another shape: the streams must not drift apart
    starts = itertools.accumulate(sizes, initial=0)
    pieces: list[list[Tensor]] = []
    for start, size in zip(starts, sizes, strict=False):
        with seeded(4), shard(12, start):
            own = x[start : start + size]
            pieces.append([draw(own), draw(own[:, :1])])
    for one, parts in zip(whole, zip(*pieces, strict=True), strict=True):
        assert torch.equal(torch.cat(parts), one)


def test_place_is_that_of_the_innermost_shard() -> None:
    assert place(5) == Shard(5, 0)
    with shard(20, 10):
        with shard(40, 30):
            assert place(5) == Shard(40, 30)
        assert place(5) == Shard(20, 10)
    with pytest.raises(KeyError), shard(20, 10):
        raise KeyError
    assert place(5) == Shard(5, 0)


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_draws_are_of_the_kind_of_the_rows(draw: Draw, dtype: torch.dtype) -> None:
    x = torch.zeros(4, 3, dtype=dtype)
    with shard(9, 5):
        sharded = draw(x)
    assert [(each.shape, each.dtype) for each in (draw(x), sharded)] == [(x.shape, dtype)] * 2


def test_draws_have_the_moments_of_their_names() -> None:
    x = torch.zeros(40_000)
    with seeded(0):
        normal, uniform = normal_like(x), uniform_like(x)
    assert normal.mean().abs() < 0.02 and abs(normal.std() - 1) < 0.02
    assert 0 <= uniform.min() and uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.01 and abs(uniform.var() - 1 / 12) < 0.003


def test_mix_has_no_easy_collisions() -> None:
    """Near numbers, swapped numbers, negative numbers and zeros at the ends make seeds of their own."""
    near = range(-3, 30)
    tuples = [numbers for length in (0, 1, 2, 3) for numbers in itertools.product(near, repeat=length)]
    assert len({mix(*numbers) for numbers in tuples}) == len(tuples)


def test_mix_makes_seeds_that_torch_takes() -> None:
    made = [mix(number) for number in (0, -1, 2**31, 2**63, 2**64 - 2, 12345678901234567890)]
    assert all(0 <= seed < 2**63 for seed in made) and len(set(made)) == len(made)


def test_mix_spreads_near_seeds_over_all_bits() -> None:
    """Seeds that differ in a bit must not lead to generators that differ in a few."""
    flips = [(mix(seed, 0) ^ mix(seed + 1, 0)).bit_count() for seed in range(500)]
    assert min(flips) > 8 and 28 < sum(flips) / len(flips) < 35


def test_threads_draw_one_after_the_other() -> None:
    def draws(seed: int) -> list[float]:
        with seeded(seed):
            return [float(torch.rand(())) for _ in range(300)]

    state = torch.random.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draws, [1, 2] * 8)) == [draws(1), draws(2)] * 8
    assert torch.equal(torch.random.get_rng_state(), state)
