"""Layouts: neighbours stay together, a seed decides, few codes are enough, and nothing global moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diabolo.layouts import laid_out

pytest.importorskip("umap")


def three(count: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3 * count, 5)) + 20 * np.repeat(np.eye(5)[:3], count, 0)


def test_neighbours_stay_together_and_nothing_global_moves() -> None:
    state, threads = np.random.get_state()[1].copy(), torch.get_num_threads()
    places = laid_out(three(), 3, apart=0.0, seed=1)
    assert (np.random.get_state()[1] == state).all() and torch.get_num_threads() == threads
    away = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(120)
    assert places.shape == (120, 3) and (away.argmin(1) // 40 == np.arange(120) // 40).all()


def test_a_seed_decides() -> None:
    first, same, other = (laid_out(three(), seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


@pytest.mark.parametrize("count", [2, 3, 12, 16, 17])
@pytest.mark.parametrize("alike", [False, True])
def test_few_codes_are_laid_out_in_more_numbers_than_there_are_codes(count: int, alike: bool) -> None:
    codes = np.zeros((count, 5)) if alike else three()[:count]
    places = laid_out(codes, 10)
    assert places.shape == (count, 10) and np.isfinite(places).all()
