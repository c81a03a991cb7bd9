"""Thresholds: cuts where they belong, p-values that hold for any distribution, discoveries that are mostly true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from diabolo.errors import InvalidArtifact, InvalidData, InvalidParameter
from diabolo.thresholds import (
    THRESHOLDS,
    Conformal,
    MedianDeviation,
    PeaksOverThreshold,
    Quantile,
    Threshold,
    adjusted,
    false_discovery,
)

EVERY = [*(kind() for kind in THRESHOLDS), Conformal(smooth=True)]
SCORES = st.lists(st.floats(-1e150, 1e150) | st.sampled_from([0.0, 1.0, 2.0]), min_size=1, max_size=60)
DRAWS = {"normal": stats.norm(), "exponential": stats.expon(), "heavy": stats.pareto(1.2), "discrete": stats.poisson(3)}

every = pytest.mark.parametrize("threshold", EVERY, ids=repr)


def draw(name: str, size: int | tuple[int, ...], seed: int = 0) -> np.ndarray:
    return DRAWS[name].rvs(size, random_state=np.random.default_rng(seed)).astype(float)


def by_hand(calibration: np.ndarray, score: float) -> float:
    return (1 + np.sum(calibration >= score)) / (len(calibration) + 1)


# -- p-values ------------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("name", DRAWS)
def test_false_positives_at_5_percent_are_5_percent(threshold: Threshold, name: str) -> None:
    """Over 40 calibrations of 1000 rows; ties (the discrete scores) may only make them fewer."""
    rates = []
    for seed in range(40):
        rows = draw(name, 3000, seed)
        p = clone(threshold).fit(rows[:1000]).p_value(rows[1000:])
        rates.append([(p <= level).mean() for level in (0.01, 0.05, 0.2)])
    found = np.mean(rates, axis=0)
    assert np.all(found < np.array([0.01, 0.05, 0.2]) * 1.1 + 0.001)
    if name != "discrete":
        np.testing.assert_allclose(found, [0.01, 0.05, 0.2], rtol=0.1, atol=0.001)


@pytest.mark.parametrize("size", [1, 2, 19, 60])
@pytest.mark.parametrize("smooth", [False, True])
def test_few_rows_are_enough_to_be_valid(size: int, smooth: bool) -> None:
    """P(p <= a) <= a for every a >= 1 / (n + 1), over many calibrations of few rows."""
    rows = draw("heavy", (1000, size + 1))
    p = np.array([Conformal(smooth=smooth).fit(each[:-1]).p_value(each[-1:])[0] for each in rows])
    for level in {1 / (size + 1), 0.05, 0.3, 0.5}:
        if level >= 1 / (size + 1):
            assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 1000)


@every
def test_p_values_below_the_reach_of_the_rows_follow_the_tail(threshold: Threshold) -> None:
    p = threshold.fit(draw("exponential", 2000)).p_value([12.0])[0]  # the true one is 6e-6, 1 / n is 5e-4
    assert 6e-7 < p < 6e-5


@given(SCORES)
@settings(max_examples=200, deadline=None)
def test_p_values_are_those_of_the_formula(scores: list[float]) -> None:
    calibration = np.where(np.abs(scores) < 1e-150, 0.0, scores)
    asked = np.unique([*calibration, *(calibration[:-1] + np.diff(calibration) / 2)])
    asked = asked[asked <= calibration.max()]
    expected = [by_hand(calibration, each) for each in asked]
    np.testing.assert_allclose(Quantile().fit(scores).p_value(asked), expected, rtol=1e-12)
    smooth = Conformal(smooth=True).fit(scores).p_value(asked)
    assert np.all(smooth >= np.array(expected) * (1 - 1e-12))
    np.testing.assert_allclose(
        Conformal(smooth=True).fit(scores).p_value(calibration), Quantile().fit(scores).p_value(calibration)
    )


@given(scores=SCORES, threshold=st.sampled_from(EVERY))
@example(scores=[0.0] * 4 + [-1.1455085895169148e16] * 4 + [-2.323677188853996e-208], threshold=Conformal(smooth=True))
@settings(max_examples=300, deadline=None)
def test_p_values_never_rise_with_the_score(scores: list[float], threshold: Threshold) -> None:
    fitted = clone(threshold).fit(scores)
    asked = np.unique([-np.inf, -1e300, *scores, *np.add(scores, 1.0), 1e160, 1e300, np.inf])
    p = fitted.p_value(asked)
    assert np.all(np.diff(p) <= 0)
    assert p[0] == 1.0
    assert p[-1] == 0.0
    assert np.isfinite(fitted.cut_)


@every
def test_p_values_keep_their_order_beyond_the_largest_row(threshold: Threshold) -> None:
    fitted = threshold.fit(draw("normal", 300))
    p = fitted.p_value(np.linspace(fitted.calibration_.knots[-1], 60, 2000))
    assert np.all(np.diff(p) < 0)
    assert p[-1] > 0


def test_smooth_p_values_fall_strictly_between_rows() -> None:
    asked = np.linspace(0.0, 99.0, 991)
    assert np.all(np.diff(Conformal(smooth=True).fit(np.arange(100.0)).p_value(asked)) < 0)
    assert len(np.unique(Conformal().fit(np.arange(100.0)).p_value(asked))) == 100


@pytest.mark.parametrize("ties", ["none", "rounded", "one heavy", "weights"])
def test_a_thinned_calibration_is_at_most_a_thousandth_too_large(ties: str) -> None:
    scores = draw("normal", 200_000)
    if ties == "rounded":
        scores = scores.round(3)
    if ties == "one heavy":
        scores = np.r_[scores[:9000], np.full(20_000, scores[0])]
    weight = np.arange(len(scores)) % 3 if ties == "weights" else np.ones(len(scores))
    fitted = Conformal(level=0.05).fit(scores, weight)
    asked = np.r_[draw("normal", 2000, seed=1), scores[:1000], np.nextafter(scores[:1000], np.inf)]
    order = np.argsort(scores)
    mass = weight[order] * weight.sum() / np.square(weight).sum()
    above = np.append(np.cumsum(mass[::-1])[::-1], 0)[np.searchsorted(scores[order], asked)]
    ratio = fitted.p_value(asked) / ((1 + above) / (1 + mass.sum()))
    inside = asked <= scores.max()
    assert ratio[inside].min() >= 1 - 1e-12
    assert ratio[inside].max() <= 1.0011
    assert sum(array.size for array in fitted.state().values()) < 15_000


@every
def test_shapes_infinities_and_nan(threshold: Threshold) -> None:
    fitted = threshold.fit(np.arange(50.0))
    assert fitted.p_value([[1.0, 2.0, 3.0]]).shape == (1, 3)
    assert fitted.p_value([]).shape == fitted.exceeded([]).shape == (0,)
    np.testing.assert_array_equal(fitted.p_value([-np.inf, np.inf]), [1.0, 0.0])
    np.testing.assert_array_equal(fitted.exceeded([-np.inf, np.inf]), [False, True])
    for ask in (fitted.p_value, fitted.exceeded):
        with pytest.raises(InvalidData, match="position 2 is NaN"):
            ask([1.0, 2.0, np.nan])


# -- cuts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 5, 19, 20, 98, 99, 100, 1000, 5000])
@pytest.mark.parametrize("level", [0.001, 0.01, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("smooth", [False, True])
def test_beyond_the_conformal_cut_means_p_at_most_the_level(size: int, level: float, smooth: bool) -> None:
    calibration = np.round(draw("normal", size), 2)
    fitted = Conformal(level, smooth).fit(calibration)
    around = fitted.cut_ + np.array([-1e-6, 1e-6]) if np.isfinite(fitted.cut_) else np.zeros(0)
    asked = np.concatenate([calibration, calibration + 0.005, np.linspace(-9, 99, 999), around])
    asked = asked[~np.isclose(asked, fitted.cut_, rtol=0, atol=1e-9)]
    np.testing.assert_array_equal(fitted.exceeded(asked), fitted.p_value(asked) <= level)


@pytest.mark.parametrize("name", ["normal", "exponential", "heavy"])
def test_conformal_cut_lets_its_share_of_normal_rows_pass(name: str) -> None:
    shares = [Conformal(0.05).fit(draw(name, 2000, seed)).exceeded(draw(name, 2000, seed + 500)) for seed in range(30)]
    assert np.mean(shares) == pytest.approx(0.05, abs=0.004)


def test_quantile_is_the_share_at_or_below() -> None:
    scores = draw("exponential", 5000)
    for level in (0.0, 0.5, 0.99, 1.0):
        cut = Quantile(level).fit(scores).cut_
        assert cut == np.quantile(scores, level, method="inverted_cdf")
    assert Quantile(0.5).fit([1.0, 2.0, 3.0], weight=[1, 1, 10]).cut_ == 3.0


def test_median_deviation_of_normal_scores_is_their_standard_deviation() -> None:
    scores = 10 + 2 * draw("normal", 50_000)
    assert MedianDeviation(3.0).fit(scores).cut_ == pytest.approx(16.0, abs=0.1)
    anomalous = np.concatenate([scores, np.full(10_000, 1e9)])
    assert MedianDeviation(3.0).fit(anomalous).cut_ < 18.5


@pytest.mark.parametrize("count", [2, 3, 4, 7, 10, 1000])
def test_median_deviation_is_its_formula(count: int) -> None:
    scores = draw("exponential", count).round(1)
    spread = np.median(np.abs(scores - np.median(scores)))
    assert MedianDeviation(2.0).fit(scores).cut_ == pytest.approx(np.median(scores) + 2 * 1.4826 * spread)


def test_median_deviation_of_mostly_equal_scores() -> None:
    scores = np.array([1.0] * 9 + [2.0])
    assert MedianDeviation(2.0).fit(scores).cut_ == pytest.approx(1 + 2 * 1.2533 * 0.1)
    assert MedianDeviation().fit(np.full(5, 4.0)).cut_ == 4.0
    weighted = MedianDeviation(1.0).fit([0.0, 1.0, 2.0, 10.0], weight=[1, 1, 1, 5])
    assert weighted.cut_ == pytest.approx(10 + 1.2533 * (1 / 8 * (10 + 9 + 8)))


@pytest.mark.parametrize("name", ["normal", "exponential", "heavy"])
def test_peaks_over_threshold_reaches_risks_beyond_the_data(name: str) -> None:
    """The cut at 1 in 100,000, from 20,000 rows, is beyond between 1 in a million and 1 in 20,000."""
    reached = [DRAWS[name].sf(PeaksOverThreshold(1e-5).fit(draw(name, 20_000, seed)).cut_) for seed in range(10)]
    assert 1e-6 < np.exp(np.mean(np.log(reached))) < 5e-5
    empirical = PeaksOverThreshold(0.01, start=0.95).fit(draw(name, 20_000)).cut_
    assert DRAWS[name].sf(empirical) == pytest.approx(0.01, rel=0.15)


def test_peaks_over_threshold_of_bounded_scores_stays_near_their_end() -> None:
    cut = PeaksOverThreshold(1e-6).fit(np.random.default_rng(0).uniform(0, 1, 20_000)).cut_
    assert 0.999 < cut < 1.01


def test_peaks_over_threshold_wants_a_risk_inside_its_tail() -> None:
    with pytest.raises(InvalidParameter, match=r"at most 1 - start = 0.02. Got 0.1. .*Quantile\(level=0.9\)"):
        PeaksOverThreshold(risk=0.1).fit([1.0, 2.0])
    assert PeaksOverThreshold(risk=0.02, start=0.98).fit([0.0] * 97 + [1.0, 2.0, 3.0]).cut_ >= 1.0


@every
@pytest.mark.parametrize("scores", [[3.0], [3.0, 3.0], [1.0, 2.0], [5.0] * 100, [0.0] * 5, [1e150, -1e150]], ids=str)
def test_few_and_equal_scores(threshold: Threshold, scores: list[float]) -> None:
    fitted = threshold.fit(scores)
    assert not fitted.exceeded(scores).all()
    assert fitted.cut_ >= np.median(scores) or len(scores) == 2
    assert fitted.p_value(scores).min() >= 1 / (len(scores) + 1)
    further = np.max(scores) * 10 + 100
    assert fitted.p_value([further])[0] < fitted.p_value([np.max(scores)])[0]


@every
def test_scale_and_place_move_the_cut_along(threshold: Threshold) -> None:
    scores = draw("exponential", 500)
    one, other = clone(threshold).fit(scores), clone(threshold).fit(scores * 1024 - 4096)
    assert other.cut_ == pytest.approx(one.cut_ * 1024 - 4096, rel=1e-6)
    np.testing.assert_allclose(other.p_value(scores * 2048 - 4096), one.p_value(scores * 2), rtol=1e-6)


@every
def test_weights_count(threshold: Threshold) -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0, 1, 500), rng.normal(50, 1, 500)])
    weight = np.repeat([1.0, 0.0], 500)
    weighted, cleaned = clone(threshold).fit(scores, weight), clone(threshold).fit(scores[:500])
    assert weighted.cut_ == cleaned.cut_
    np.testing.assert_array_equal(weighted.p_value(scores), cleaned.p_value(scores))
    assert clone(threshold).fit(scores, np.full(1000, 0.3)).cut_ == pytest.approx(clone(threshold).fit(scores).cut_)


@every
def test_uneven_weights_are_cautious(threshold: Threshold) -> None:
    scores = np.arange(1000.0)
    even, uneven = clone(threshold).fit(scores), clone(threshold).fit(scores, np.tile([1.0, 99.0], 500))
    assert uneven.p_value([1e4])[0] > even.p_value([1e4])[0]


@every
def test_wrong_scores_are_refused(threshold: Threshold) -> None:
    for scores in ([], [[1.0]], [np.nan], [np.inf], ["a"]):
        with pytest.raises(InvalidData):
            clone(threshold).fit(scores)


@pytest.mark.parametrize(
    "threshold", [Quantile(1.1), Conformal(0.0), MedianDeviation(0.0), PeaksOverThreshold(0.0), Conformal(smooth=1)]
)
def test_wrong_parameters_are_refused(threshold: Threshold) -> None:
    with pytest.raises(InvalidParameter, match=f"parameter of {type(threshold).__name__}"):
        threshold.fit([1.0, 2.0])


# -- keeping -------------------------------------------------------------------------------------------------------


@every
def test_state_is_all_there_is(threshold: Threshold) -> None:
    fitted = clone(threshold).fit(draw("heavy", 3000))
    again = Threshold.from_dict(fitted.to_dict(), THRESHOLDS).restore(fitted.state())
    asked = np.concatenate([draw("heavy", 3000, seed=1), [-1.0, 1e9, 1e300]])
    np.testing.assert_array_equal(again.p_value(asked), fitted.p_value(asked))
    assert again.cut_ == fitted.cut_


@every
def test_the_input_is_left_alone_and_the_fit_repeats(threshold: Threshold) -> None:
    scores = draw("normal", 100)
    before = scores.copy()
    one, other = clone(threshold).fit(scores).state(), clone(threshold).fit(scores[::-1]).state()
    np.testing.assert_array_equal(scores, before)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize(
    "change",
    [
        {"cut": None},
        {"cut": [np.nan]},
        {"cut": [1.0, 2.0]},
        {"knots": None},
        {"knots": [2.0, 1.0]},
        {"p": [1.0, 0.5]},
        {"p": [1.0, 0.5, 0.6]},
        {"p": [2.0, 0.5, 0.4]},
        {"p": [1.0, 0.5, 0.0]},
        {"p": [1.0, np.nan, 0.1]},
        {"tail": [1.0, 0.0, 0.0]},
    ],
    ids=str,
)
def test_other_states_are_refused(change: dict) -> None:
    state = {"cut": [1.5], "knots": [1.0, 2.0], "p": [1.0, 2 / 3, 1 / 3], "tail": [2.0, 1.0, 0.0]}
    np.testing.assert_allclose(Conformal().restore(state).p_value([1.0, 2.0]), [1.0, 2 / 3])
    with pytest.raises(InvalidArtifact, match="Fit again"):
        Conformal().restore({name: array for name, array in (state | change).items() if array is not None})


@every
def test_an_unfitted_threshold_says_so(threshold: Threshold) -> None:
    fresh = clone(threshold)
    for ask in (fresh.p_value, fresh.exceeded, lambda _: fresh.state()):
        with pytest.raises(NotFittedError, match=type(threshold).__name__):
            ask([1.0])


# -- discoveries ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["bh", "by"])
def test_adjusted_is_that_of_scipy(method: str) -> None:
    p = np.random.default_rng(0).beta(0.5, 2.0, 500).round(2)
    np.testing.assert_allclose(adjusted(p, method), stats.false_discovery_control(p, method=method))
    np.testing.assert_allclose(adjusted(p.reshape(5, 100), method).ravel(), adjusted(p, method))


@given(st.lists(st.floats(0, 1), max_size=50), st.floats(0.001, 1), st.sampled_from(["bh", "by"]))
@settings(max_examples=200, deadline=None)
def test_a_discovery_is_a_small_q_value(p: list[float], level: float, method: str) -> None:
    q = adjusted(p, method)
    assert np.all((q >= np.array(p) * (1 - 1e-12)) & (q <= 1))
    order = np.argsort(p)
    assert np.all(np.diff(q[order]) >= 0)
    np.testing.assert_array_equal(false_discovery(p, level, method), q <= level)


def discoveries(seed: int, method: str) -> tuple[float, float]:
    """Share of normal rows among those reported, and share of the anomalies found, in one batch of 1000."""
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(0, 1, 900), rng.normal(4.5, 1, 100)])
    p = Conformal().fit(rng.normal(0, 1, 2000)).p_value(scores)
    found = (p <= 0.1) if method == "none" else false_discovery(p, 0.1, method)
    return found[:900].sum() / max(found.sum(), 1), found[900:].mean()


def test_false_discoveries_are_controlled_and_anomalies_found() -> None:
    wrong, power = np.mean([discoveries(seed, "bh") for seed in range(100)], axis=0)
    assert 0.06 < wrong < 0.11  # level times the share of normal rows, 0.09
    assert power > 0.9
    careful, _ = np.mean([discoveries(seed, "by") for seed in range(50)], axis=0)
    assert careful < 0.03
    naive, _ = np.mean([discoveries(seed, "none") for seed in range(20)], axis=0)
    assert naive > 0.4  # so that the control above is no accident


def test_a_batch_of_normal_rows_is_seldom_reported() -> None:
    reported = []
    for seed in range(200):
        rows = draw("normal", 1200, seed)
        reported.append(false_discovery(Conformal().fit(rows[:1000]).p_value(rows[1000:]), 0.1).any())
    assert np.mean(reported) < 0.17


def test_wrong_p_values_are_refused() -> None:
    for p in ([1.5], [-0.1], [np.nan], ["a"]):
        with pytest.raises(InvalidData):
            adjusted(p)
    with pytest.raises(InvalidParameter, match="'bh', 'by'"):
        adjusted([0.5], "holm")  # type: ignore[arg-type]
    for level in (0.0, -1.0, 1.5, np.nan):
        with pytest.raises(InvalidParameter, match="'level' of false_discovery"):
            false_discovery([0.5], level)
    assert adjusted([]).shape == false_discovery([]).shape == (0,)
