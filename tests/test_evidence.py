"""Scores as evidence: the map rises for ever, means what it says, and costs little."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from diabolo.errors import InvalidArtifact, InvalidData, InvalidParameter
from diabolo.evidence import Evidence, Sample, Tail, pareto

SCORES = st.lists(st.floats(-1e150, 1e150) | st.sampled_from([0.0, 1.0, 5e-324, 1e30]), min_size=1, max_size=40)
DRAWS = {
    "exponential": stats.expon(),
    "normal": stats.norm(5, 1),
    "lognormal": stats.lognorm(2),
    "heavy": stats.pareto(1.5),
    "uniform": stats.uniform(),
}


def draw(name: str, size: int, seed: int = 0) -> np.ndarray:
    return DRAWS[name].rvs(size, random_state=np.random.default_rng(seed))


# -- Sample --------------------------------------------------------------------------------------------------------


def test_repeated_scores_and_whole_weights_are_the_same_up_to_the_number_of_rows() -> None:
    rng = np.random.default_rng(0)
    scores, weight = rng.integers(0, 9, 50).astype(float), rng.integers(0, 4, 50)
    one, other = Sample.of(scores, weight), Sample.of(np.repeat(scores, weight))
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_allclose(one.mass / one.size, other.mass / other.size)
    assert one.size == pytest.approx(weight.sum() ** 2 / (weight**2).sum())


def test_equal_weights_of_any_size_change_nothing() -> None:
    scores = draw("normal", 100)
    for weight in (1e-200, 1.0, 7.0, 1e200):
        np.testing.assert_allclose(Sample.of(scores, np.full(100, weight)).mass, 1.0)


def test_rows_of_next_to_no_weight_count_as_none() -> None:
    assert Sample.of([1.0, 2.0, 3.0], [1.0, 1e-8, 1e-10]).values.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("level", [0.0, 0.1, 0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("size", [1, 2, 10, 101])
def test_quantile_is_that_of_numpy(level: float, size: int) -> None:
    scores = draw("normal", size)
    assert Sample.of(scores).quantile(level) == np.quantile(scores, level, method="inverted_cdf")


def test_upper_value_has_little_at_or_above_it_even_under_ties() -> None:
    assert Sample.of([0.0] * 99 + [1.0]).quantile(0.9) == 0.0
    assert Sample.of([0.0] * 99 + [1.0]).upper(0.9) == 1.0
    assert Sample.of(np.arange(1000.0)).upper(0.9) == 900.0
    assert Sample.of([1.0, 2.0]).upper(0.9) == 2.0


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([], "one number for each of >= 1 rows"),
        ([[1.0]], r"\(1, 1\)"),
        (3.0, r"\(\)"),
        ([1.0, np.nan, np.inf], "2 of 3 scores are not finite .* nan at position 1. Leave these rows out"),
        ([1e200], "beyond 1e"),
        (["a"], "must be numbers"),
        ([None, frozenset()], "must be numbers"),
        ([[1.0], [1.0, 2.0]], "must be numbers"),
    ],
    ids=str,
)
def test_wrong_scores_are_named(scores: object, words: str) -> None:
    with pytest.raises(InvalidData, match=words):
        Sample.of(scores)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "weight", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, np.nan], [1.0, np.inf], [[1.0, 1.0]]], ids=str
)
def test_wrong_weights_are_named(weight: list) -> None:
    with pytest.raises(InvalidData, match="Weights must be"):
        Sample.of([1.0, 2.0], weight)


# -- Tail ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [-0.4, -0.1, 0.0, 0.2, 0.5, 1.0, 2.0])
def test_pareto_parameters_are_recovered(shape: float) -> None:
    for size, tolerance in [(500, 0.2), (5_000, 0.06), (100_000, 0.05)]:
        rng = np.random.default_rng(1)
        excess = np.sort(stats.genpareto(shape, scale=3.0).rvs(size, random_state=rng))
        scale, found = pareto(excess, np.ones(size))
        assert found == pytest.approx(shape, abs=tolerance)
        assert scale == pytest.approx(3.0, rel=2 * tolerance)


def test_pareto_is_close_to_maximum_likelihood() -> None:
    excess = np.sort(stats.genpareto(0.3, scale=2.0).rvs(400, random_state=np.random.default_rng(2)))
    shape, _, scale = stats.genpareto.fit(excess, floc=0)
    assert pareto(excess, np.ones(400)) == pytest.approx((scale, shape), rel=0.1)


def test_weights_of_a_tail_are_repetitions() -> None:
    excess, mass = np.sort(draw("exponential", 300)), np.tile([1.0, 2.0, 3.0], 100)
    repeated = pareto(np.repeat(excess, mass.astype(int)), np.ones(600))
    assert pareto(excess, mass) == pytest.approx(repeated, rel=1e-6)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.7])
def test_score_inverts_hazard(shape: float) -> None:
    tail = Tail(2.0, 3.0, shape)
    for hazard in (0.0, 0.1, 2.0, 20.0):
        assert tail.hazard(np.array([tail.score(hazard)]))[0] == pytest.approx(hazard, rel=1e-9)
    expected = -stats.genpareto(shape, loc=2.0, scale=3.0).logsf([2.5, 4.0, 8.0])
    np.testing.assert_allclose(tail.hazard(np.array([2.5, 4.0, 8.0])), expected)
    np.testing.assert_array_equal(tail.hazard(np.array([-np.inf, 0.0, 2.0, np.inf])), [0.0, 0.0, 0.0, np.inf])


@pytest.mark.parametrize(("name", "shape"), [("uniform", -1.0), ("exponential", 0.0), ("heavy", 1 / 1.5)])
def test_the_kind_of_tail(name: str, shape: float) -> None:
    sample = Sample.of(draw(name, 20_000))
    assert Tail.fit(sample, 0.9, "free").shape == pytest.approx(shape, abs=0.1)
    assert Tail.fit(sample, 0.9, "heavy").shape == pytest.approx(max(shape, 0.0), abs=0.1)
    assert Tail.fit(sample, 0.9, "exponential").shape == 0.0


def test_a_tail_learned_from_further_in_is_carried_to_its_start() -> None:
    """Above 0.995 of 1000 rows there are 5; the 10 largest are used, and the scale grows on the way out."""
    sample = Sample.of(draw("heavy", 1000))
    inner, outer = Tail.fit(sample, 0.989, "heavy"), Tail.fit(sample, 0.995, "heavy")
    assert inner.start < outer.start
    assert outer.shape == inner.shape > 0.1
    assert outer.scale == pytest.approx(inner.scale + inner.shape * (outer.start - inner.start))


def test_few_excesses_stay_near_the_exponential() -> None:
    """Heavy samples of 15 rows give wild shapes; ten rows' worth of prior draws them in."""
    shapes = [Tail.fit(Sample.of(draw("heavy", 15, seed)), 0.9, "free").shape for seed in range(200)]
    assert np.abs(shapes).max() < 1.5
    assert Tail.fit(Sample.of([1.0, 3.0]), 0.9, "free") == Tail(3.0, 2.0, 0.0)


# -- Evidence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", ["exponential", "pareto"])
@pytest.mark.parametrize("name", DRAWS)
def test_evidence_of_normal_rows_is_exponential_with_mean_1(name: str, tail: str) -> None:
    evidence = Evidence(tail=tail).fit(draw(name, 5_000))
    assert evidence(draw(name, 5_000)).mean() == pytest.approx(1.0, abs=0.01)
    held_out = evidence(draw(name, 20_000, seed=1))
    body = held_out[held_out < 2.0]
    cut = stats.truncexpon(2.0)
    assert stats.kstest(body, cut.cdf).statistic < 0.03
    assert (held_out > 2.0).mean() == pytest.approx(np.exp(-2.0), abs=0.02)


@pytest.mark.parametrize("name", DRAWS)
def test_evidence_is_minus_log_p_below_the_tail(name: str) -> None:
    """The bounded table agrees with the empirical survival, and the pareto tail with the true one."""
    scores = draw(name, 50_000)
    evidence = Evidence(tail="pareto").fit(scores)
    body = np.quantile(scores, [0.1, 0.3, 0.5, 0.7, 0.85])
    exact = -np.log([(np.sum(scores >= each) + 0.5) / 50_001 for each in body])
    np.testing.assert_allclose(evidence(body), exact, atol=2e-3)
    beyond = DRAWS[name].isf([0.05, 0.01, 1e-3])
    exact = -np.log([0.05, 0.01, 1e-3])
    assert np.all(evidence(beyond) < exact * 1.2)
    if name != "uniform":  # a bounded score gets less evidence than it could: no score is held to be impossible
        np.testing.assert_allclose(evidence(beyond), exact, rtol=0.2)


@given(scores=SCORES, tail=st.sampled_from(["exponential", "pareto"]), start=st.sampled_from([0.0, 0.5, 0.9, 1.0]))
@settings(max_examples=300, deadline=None)
def test_evidence_never_falls_and_is_never_negative(scores: list[float], tail: str, start: float) -> None:
    evidence = Evidence(start=start, tail=tail).fit(scores)
    middle = [(one + other) / 2 for one in scores[:10] for other in scores[:10]]
    asked = np.unique([-np.inf, -1e308, *scores, *middle, 1e200, 1e308, np.inf])
    found = evidence(asked)
    assert not np.isnan(found).any()
    assert found.min() >= 0
    assert np.all(found[1:] >= found[:-1] * (1 - 1e-12))
    assert found[-1] == np.inf
    assert np.isfinite(evidence(scores)).all()


@pytest.mark.parametrize("tail", ["exponential", "pareto"])
@pytest.mark.parametrize("size", [1, 2, 5, 20, 1000])
def test_evidence_rises_strictly_everywhere(size: int, tail: str) -> None:
    scores = draw("exponential", size)
    asked = np.concatenate([np.linspace(-10, 100, 20_001), np.geomspace(101, 1e12, 1000)])
    assert np.all(np.diff(Evidence(tail=tail).fit(scores)(asked)) > 0)


def test_evidence_is_continuous_where_the_parts_meet() -> None:
    scores = draw("lognormal", 3_000)
    for tail in ("exponential", "pareto"):
        evidence = Evidence(tail=tail).fit(scores)
        for joint in (evidence.knots_[0], evidence.knots_[50], evidence.knots_[-1]):
            low, high = evidence([np.nextafter(joint, -np.inf), np.nextafter(joint, np.inf)])
            assert low == pytest.approx(high, abs=1e-9)


def test_ties_and_rare_marks() -> None:
    """A view that says the same of every row is no evidence; a mark that 1 in 100 bears is worth log 100 nats."""
    assert Evidence().fit(np.full(1000, 7.0))([7.0])[0] < 0.01
    rare = Evidence().fit([0.0] * 990 + [1.0] * 10)
    assert rare([0.0])[0] < 0.01
    assert rare([1.0])[0] == pytest.approx(np.log(100), abs=0.1)
    assert rare([1.5])[0] > rare([1.0])[0]


def test_weights_move_the_evidence() -> None:
    scores = np.arange(1000.0)
    light = Evidence().fit(scores, weight=np.where(scores < 500, 1.0, 1e-6))
    assert light([499.0])[0] > 4
    assert Evidence().fit(scores)([499.0])[0] < 1


def test_any_shape_goes_in_and_nan_does_not() -> None:
    evidence = Evidence().fit(np.arange(100.0))
    grid = np.arange(60_000.0).reshape(3, 2, -1) / 100
    assert evidence(grid).shape == grid.shape
    np.testing.assert_array_equal(evidence(grid[:, 1]), evidence(grid)[:, 1])
    np.testing.assert_array_equal([evidence(each) for each in grid[0, 0, ::100]], evidence(grid)[0, 0, ::100])
    assert evidence(50.0).shape == ()
    assert evidence([]).shape == (0,)
    np.testing.assert_array_equal(evidence(np.float32([1, 2])), evidence([1, 2]))
    with pytest.raises(InvalidData, match="position 1 is NaN"):
        evidence([1.0, np.nan])


def test_a_million_scores_take_a_blink() -> None:
    """The bound is loose because machines are shared; a quiet core makes 30 million a second."""
    scores = draw("exponential", 1_000_000)
    evidence = Evidence().fit(scores)
    times = []
    for _ in range(7):
        begin = time.thread_time()
        evidence(scores)
        times.append(time.thread_time() - begin)
    assert min(times) < 0.1
    assert len(evidence.knots_) < 128


def test_state_is_all_there_is() -> None:
    evidence = Evidence(tail="pareto").fit(draw("heavy", 500))
    again = clone(evidence).restore({name: array.copy() for name, array in evidence.state().items()})
    asked = np.linspace(-5, 100, 999)
    np.testing.assert_array_equal(again(asked), evidence(asked))
    assert all(array.dtype == np.float64 for array in evidence.state().values())


@pytest.mark.parametrize(
    "change",
    [
        {"knots": None},
        {"knots": [[1.0]]},
        {"knots": []},
        {"knots": [3.0, 2.0, 1.0]},
        {"knots": [1.0, np.nan, 3.0]},
        {"knots": [1.0, 2.0]},
        {"nats": [0.1, 0.1, 0.2]},
        {"nats": [-1.0, 0.1, 0.2]},
        {"tail": [1.0, 1.0]},
        {"tail": [1.0, 0.0, 0.0]},
        {"tail": [1.0, -1.0, 0.0]},
        {"tail": [1.0, np.inf, 0.0]},
        {"knots": np.arange(200.0), "nats": np.arange(1.0, 201.0)},
    ],
    ids=str,
)
def test_other_states_are_refused(change: dict) -> None:
    state = {"knots": [1.0, 2.0, 3.0], "nats": [0.1, 0.2, 0.3], "tail": [3.0, 1.0, 0.0]}
    assert Evidence().restore(state)([3.0])[0] == pytest.approx(0.3)
    state = {name: array for name, array in (state | change).items() if array is not None}
    with pytest.raises(InvalidArtifact, match="Fit again"):
        Evidence().restore(state)


def test_parameters_are_checked_and_an_unfitted_map_says_so() -> None:
    with pytest.raises(InvalidParameter, match="'tail' parameter of Evidence"):
        Evidence(tail="gaussian").fit([1.0])  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="'start' parameter"):
        Evidence(start=1.5).fit([1.0])
    with pytest.raises(NotFittedError, match="fit"):
        Evidence()([1.0])
