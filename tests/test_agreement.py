"""Likeness of codes against kernels, and against every matching there is."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from diabolo import Embedder, Trainer
from diabolo.errors import InvalidData
from diabolo.evaluate import linear_cka, matched_correlation, stability


@pytest.fixture
def code() -> np.ndarray:
    dice = np.random.default_rng(0)
    return dice.normal(size=(200, 4)) @ dice.normal(size=(4, 4))


def test_cka_is_that_of_centred_kernels(code: np.ndarray) -> None:
    other = np.random.default_rng(1).normal(size=(200, 7)) + code[:, :1]
    centre = np.eye(200) - 1 / 200
    k, m = (centre @ each @ each.T @ centre for each in (code, other))
    assert linear_cka(code, other) == pytest.approx((k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()))
    assert linear_cka(code, other) == pytest.approx(linear_cka(other, code))


def test_a_rotation_is_alike_and_noise_is_not(code: np.ndarray) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))
    assert linear_cka(code, 5 * code @ turn - 3) == pytest.approx(1)
    assert linear_cka(code, np.random.default_rng(3).normal(size=(200, 4))) < 0.1
    assert matched_correlation(code, code @ turn) < 0.95


def test_matching_is_the_best_there_is(code: np.ndarray) -> None:
    other = code @ np.random.default_rng(4).normal(size=(4, 4))
    correlation = np.abs(np.corrcoef(code.T, other.T)[:4, 4:])
    best = max(correlation[range(4), list(order)].mean() for order in permutations(range(4)))
    assert matched_correlation(code, other) == pytest.approx(best)


def test_order_sign_scale_and_further_numbers_play_no_part(code: np.ndarray) -> None:
    other = np.hstack([code[:, [3, 0, 2, 1]] * [1, -2, 0.5, 1e6] + 1, np.random.default_rng(5).normal(size=(200, 2))])
    assert matched_correlation(code, other) == pytest.approx(1)
    assert matched_correlation(other, code) == pytest.approx(1)


def test_a_number_that_never_varies_agrees_with_nothing(code: np.ndarray) -> None:
    still = code * [1, 1, 1, 0] + 0.1
    assert matched_correlation(still, still) == pytest.approx(3 / 4)


def test_components_are_stable_over_seeds_and_a_network_is_less_so() -> None:
    """The principal plane depends on the seed by the rows held out only."""
    dice = np.random.default_rng(0)
    rows = dice.normal(size=(400, 2)) * [3, 1] @ dice.normal(size=(2, 6)) + 0.1 * dice.normal(size=(400, 6))
    found = {name: stability([codes(name, seed, rows) for seed in range(3)]) for name in ("Linear", "Vanilla")}
    assert found["Linear"]["linear_cka"].low > 0.999 and found["Linear"]["matched_correlation"].low > 0.99
    assert found["Vanilla"]["matched_correlation"].value < found["Linear"]["matched_correlation"].value
    assert all(at.low <= at.value <= at.high <= 1 + 1e-9 for each in found.values() for at in each.values())


def codes(variant: str, seed: int, rows: np.ndarray) -> np.ndarray:
    embedder = Embedder(variant, trainer=Trainer(epochs=5), random_state=seed).set_params(variant__latent=2)
    return embedder.fit_transform(rows)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.ones((3, 2)), np.ones((4, 2))),
        (np.ones(3), np.ones(3)),
        (np.ones((1, 2)), np.ones((1, 2))),
        (np.full((3, 2), np.nan), np.eye(3)),
    ],
)
def test_codes_of_other_rows_are_refused(one: np.ndarray, other: np.ndarray) -> None:
    for measure in (linear_cka, matched_correlation):
        with pytest.raises(InvalidData, match=r"[cC]ode"):
            measure(one, other)


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InvalidData, match="same for every row"):
        linear_cka(np.ones((3, 2)), np.eye(3))
    for measure in (linear_cka, matched_correlation):
        with pytest.raises(InvalidData, match="same for every row"):
            measure(np.full((100, 2), 0.1), np.random.default_rng(0).normal(size=(100, 2)))  # no mean is exact
    with pytest.raises(InvalidData, match="another seed"):
        stability([np.eye(3)])
