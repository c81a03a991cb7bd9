"""Measures of disentanglement on codes whose answer is known, and their parts against scikit-learn and scipy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from diabolo.errors import InvalidData, InvalidParameter
from diabolo.evaluate import dci, factor_vae_score, infomec, mutual_information_gap, sap
from diabolo.evaluate.disentanglement import _informations, _pure

# Every measure as one number that is 1, or the best it can be, where each code number is one factor.
MEASURES: dict[str, Callable[..., float]] = {
    "mig": mutual_information_gap,
    "sap": partial(sap, continuous=True),
    "dci d": lambda z, v: dci(z, v, trees=8).disentanglement,
    "dci c": lambda z, v: dci(z, v, trees=8).completeness,
    "dci i": lambda z, v: dci(z, v, trees=8).informativeness,
    "factor": factor_vae_score,
    "info m": lambda z, v: infomec(z, v).modularity,
    "info e": lambda z, v: infomec(z, v).explicitness,
    "info c": lambda z, v: infomec(z, v).compactness,
}
TOLD_BY_LINES = {"dci i", "info e"}  # how much is told, of which a rotation takes nothing away
FLOOR = {"mig": 0, "sap": 0, "dci d": 0, "dci c": 0, "dci i": 1 / 4, "factor": 1 / 3, "info e": 0}  # what noise gets


@pytest.fixture(scope="module")
def factors() -> np.ndarray:
    return np.random.default_rng(0).integers(4, size=(2400, 3))


def noise(rows: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width))


def rotated(codes: np.ndarray) -> np.ndarray:
    """Turned so that each number holds a third or two of every factor, and none can win alone."""
    return codes @ (np.eye(3) - 2 / 3)


@pytest.mark.parametrize("name", MEASURES)
def test_a_number_for_each_factor_is_the_best_there_is(name: str, factors: np.ndarray) -> None:
    codes = factors + 0.01 * noise(*factors.shape)
    assert 0.98 < MEASURES[name](codes, factors) <= 1


@pytest.mark.parametrize("name", FLOOR)
def test_noise_gets_what_chance_gives(name: str, factors: np.ndarray) -> None:
    found = MEASURES[name](noise(len(factors), 3), factors)
    assert FLOOR[name] - 0.04 <= found <= FLOOR[name] + 0.09


@pytest.mark.parametrize("name", MEASURES)
def test_order_and_scale_of_the_numbers_play_no_part(name: str, factors: np.ndarray) -> None:
    codes = np.hstack([factors[:, :2] + 0.3 * noise(len(factors), 2), factors[:, 2:] + rotated(factors)[:, :1]])
    other = codes[:, [2, 0, 1]] * [-3.0, 0.5, 1.0] + [0.0, 7.0, -2.0]
    assert MEASURES[name](codes, factors) == pytest.approx(MEASURES[name](other, factors), abs=0.02)


@pytest.mark.parametrize("name", MEASURES)
def test_a_rotation_mixes_factors(name: str, factors: np.ndarray) -> None:
    codes = factors + 0.01 * noise(*factors.shape)
    whole, mixed = MEASURES[name](codes, factors), MEASURES[name](rotated(codes), factors)
    assert mixed > whole - 0.25 if name in TOLD_BY_LINES else mixed < whole - 0.25


@pytest.mark.parametrize("name", MEASURES)
def test_names_of_levels_play_no_part_where_they_have_no_order(name: str, factors: np.ndarray) -> None:
    codes = factors + 0.2 * noise(*factors.shape)
    named = np.array(["a", "b", "c", "d"])[factors]
    assert MEASURES[name](codes, named) == MEASURES[name](codes, factors)


def test_the_gap_is_that_of_counted_informations(factors: np.ndarray) -> None:
    codes = factors[:, [0, 0, 1, 2]] // [1, 2, 1, 1]
    told = np.array([[mutual_info_score(a, b) for b in factors.T] for a in codes.T])
    np.testing.assert_allclose(_informations(codes, factors), told, atol=1e-12)
    first, second = np.sort(told, 0)[[-1, -2]]
    spread = [mutual_info_score(each, each) for each in factors.T]
    assert mutual_information_gap(codes, factors) == pytest.approx(np.mean((first - second) / spread), abs=1e-12)


def test_a_gap_needs_as_many_bins_as_levels() -> None:
    """The flaw that its docstring tells: 40 levels in 20 bins tell ln 20 of ln 40 nats."""
    factors = np.stack(np.meshgrid(np.arange(40), np.arange(40)), -1).reshape(-1, 2)
    assert mutual_information_gap(factors, factors) == pytest.approx(np.log(20) / np.log(40), abs=1e-9)
    assert mutual_information_gap(factors, factors, bins=40) == pytest.approx(1)


def test_votes_forgive_a_slight_rotation() -> None:
    """The flaw that its docstring tells."""
    factors = np.random.default_rng(0).integers(4, size=(2400, 2))
    turn = np.array([[0.9, -0.436], [0.436, 0.9]])
    assert factor_vae_score(factors @ turn, factors) == 1
    assert mutual_information_gap(factors @ turn, factors) < 0.6


def test_accuracies_of_two_levels_leave_one_half() -> None:
    factors = np.random.default_rng(0).integers(2, size=(3000, 3))
    assert sap(factors, factors) == pytest.approx(0.5, abs=0.04)


def test_scale_and_place_play_no_part_for_support_vectors() -> None:
    """They do in the published code, where C = 0.01 weighs on a small code more, and on one far from 0."""
    factors = np.random.default_rng(0).integers(2, size=(600, 2))
    codes = factors + 0.5 * noise(600, 2)
    assert sap(codes, factors) == pytest.approx(sap(codes * [1e-3, 1e3] + [5, -9], factors), abs=0.01)


def test_two_numbers_for_a_factor_are_pure_and_not_complete(factors: np.ndarray) -> None:
    codes = factors[:, [0, 0, 1, 2]] + 0.4 * noise(len(factors), 4)
    found = dci(codes, factors, trees=8)
    assert found.disentanglement > 0.9 > 0.85 > found.completeness


def test_purity_is_one_less_the_entropy_of_scipy() -> None:
    importance = np.random.default_rng(0).random((5, 3))
    each = [1 - entropy(row, base=3) for row in importance]
    assert _pure(importance) == pytest.approx(np.average(each, weights=importance.sum(1)))
    assert _pure(np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])) == 1
    assert _pure(np.ones((4, 3))) == pytest.approx(0)


def test_idle_numbers_win_no_votes_and_count_for_nothing(factors: np.ndarray) -> None:
    codes = np.hstack([factors, 0.001 * noise(len(factors), 1)])
    assert factor_vae_score(codes, factors) == 1
    assert infomec(codes, factors).modularity > 0.98
    assert infomec(np.hstack([factors, np.ones((len(factors), 1))]), factors, discrete=True).compactness > 0.98


def test_a_code_that_is_always_the_same_tells_nothing(factors: np.ndarray) -> None:
    nothing = np.ones((len(factors), 2))
    assert infomec(nothing, factors) == (0, 0, 0)
    assert mutual_information_gap(nothing, factors) == pytest.approx(0)
    assert sap(nothing, factors) == sap(nothing, factors, continuous=True) == 0


def test_discrete_codes_are_categories(factors: np.ndarray) -> None:
    """A number that counts through two factors tells both as a category; no line tells the one that runs fast."""
    codes = np.stack([4 * factors[:, 0] + factors[:, 1], factors[:, 2]], 1)
    assert infomec(codes, factors, discrete=True).explicitness > 0.98
    assert infomec(codes, factors).explicitness < 0.8


def test_numbers_of_small_range_are_explicit_too(factors: np.ndarray) -> None:
    """They count as idle where numbers are matched with factors, and not where factors are read from all of them."""
    codes = factors[:, :2] * [1.0, 0.01]
    assert infomec(codes, factors[:, :2] > 0).explicitness == pytest.approx(
        infomec(codes * [1, 100], factors[:, :2] > 0).explicitness, abs=1e-3
    )


def test_one_number_for_all_factors_is_compact_and_not_modular() -> None:
    factors = np.random.default_rng(0).integers(3, size=(1500, 2))
    found = infomec(np.stack([factors @ [3, 1], np.zeros(1500)], 1), factors, discrete=True)
    assert found.modularity == pytest.approx(0, abs=0.02)
    assert found.compactness == 1


@pytest.mark.parametrize("name", MEASURES)
def test_a_seed_gives_the_same_again(name: str, factors: np.ndarray) -> None:
    codes = rotated(factors) + noise(*factors.shape)
    state = np.random.get_state()[1].copy()
    assert MEASURES[name](codes, factors) == MEASURES[name](codes, factors)
    assert (np.random.get_state()[1] == state).all()


@pytest.mark.parametrize(
    ("codes", "factors", "said"),
    [
        (np.ones((4, 2)), np.ones((3, 2)), "same rows"),
        (np.ones((4, 1)), np.ones((4, 2)), "2 or more numbers"),
        (np.ones(4), np.ones((4, 2)), "2 or more numbers"),
        (np.ones((4, 2)), np.ones((4, 2)), "Factor 0 has one level"),
        (np.array([[0, 1], [np.nan, 1]]), np.eye(2), "row 1"),
    ],
)
@pytest.mark.parametrize("measure", [mutual_information_gap, sap, dci, factor_vae_score, infomec])
def test_what_cannot_be_judged_is_refused(
    measure: Callable[..., object], codes: object, factors: object, said: str
) -> None:
    with pytest.raises(InvalidData, match=said):
        measure(codes, factors)


def test_too_few_rows_or_bins_are_refused() -> None:
    factors = np.array([[0, 0], [0, 1], [1, 0]])
    with pytest.raises(InvalidData, match="too few rows"):
        sap(factors[[0, 0, 0, 0, 0, 1, 2]], factors[[0, 0, 0, 0, 0, 1, 2]], seed=1)
    with pytest.raises(InvalidParameter, match="bins"):
        mutual_information_gap(factors, factors, bins=1)


def test_continuous_factors_are_correlated_as_they_are() -> None:
    factors = np.exp(2 * noise(400, 2))
    assert sap(factors, factors, continuous=True) > 0.95


@pytest.mark.parametrize("gap", [np.nan, np.inf, None])
def test_factors_without_a_value_are_refused(gap: float | None) -> None:
    factors = np.random.default_rng(0).integers(3, size=(200, 2)).astype(float if gap is not None else object)
    factors[7, 1] = gap
    with pytest.raises(InvalidData, match="Factor 1 of row 7 is missing or infinite"):
        mutual_information_gap(noise(200, 2), factors)


def test_neighbours_need_levels_that_occur_again(factors: np.ndarray) -> None:
    once = np.column_stack((factors[:, 0], np.arange(len(factors))))
    with pytest.raises(InvalidData, match="Factor 1 has another value in every row"):
        infomec(factors, once)
