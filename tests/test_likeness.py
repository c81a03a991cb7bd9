"""Figures of new rows against closed forms, scipy and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from diabolo import Embedder, Synthesizer
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.evaluate import density_coverage, frechet_distance, generation, precision_recall


def normal(rows: int, width: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width))


def test_frechet_is_that_of_scipy() -> None:
    dice = np.random.default_rng(0)
    x, y = normal(300, 5) @ dice.normal(size=(5, 5)), normal(400, 5, seed=1) @ dice.normal(size=(5, 5)) + 1
    c, d = np.cov(x.T), np.cov(y.T)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c + d - 2 * sqrtm(c @ d).real)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-9)


def test_frechet_of_stretched_axes_is_closed() -> None:
    """Of diagonal covariances it is the sum of squared differences of means and of standard deviations."""
    x = normal(1000, 4)
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    assert frechet_distance(x * [1, 2, 3, 4] + 5, x * [4, 2, 3, 2]) == pytest.approx(4 * 25 + 9 + 4, rel=1e-9)


def test_frechet_of_singular_covariances_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """More numbers than rows, numbers that repeat each other, and others that never vary; a block at a time."""
    x = normal(20, 30)
    x[:, 10:20], x[:, 20:] = x[:, :10], 1.0
    whole = frechet_distance(x, x[::-1] + 1)
    assert whole == pytest.approx(30, rel=1e-6)
    monkeypatch.setattr("diabolo.evaluate.likeness.CELLS", 100)
    assert frechet_distance(x, x[::-1] + 1) == pytest.approx(whole, rel=1e-9)


def reach(x: np.ndarray, k: int) -> list[float]:
    return [sorted(np.linalg.norm(x - row, axis=1))[k] for row in x]


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("cells", [4_000_000, 500])
def test_neighbours_are_those_of_plain_loops(k: int, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diabolo.evaluate.likeness.CELLS", cells)
    real, new = normal(60), normal(80, seed=1) + 0.7
    apart = np.linalg.norm(real[:, None] - new[None], axis=2)
    around_real, around_new = np.array(reach(real, k)), np.array(reach(new, k))
    balls = apart <= around_real[:, None]
    found = precision_recall(real, new, k=k)
    assert found.precision == pytest.approx(balls.any(0).mean())
    assert found.recall == pytest.approx((apart <= around_new).any(1).mean())
    assert density_coverage(real, new, k=k) == pytest.approx((balls.sum(0).mean() / k, balls.any(1).mean()))


def test_rows_alike_get_what_theory_says() -> None:
    """Density 1, and coverage 1 - (n-1)...(n-k) / (2n-1)...(2n-k) (Naeem et al., 2020, lemma 2)."""
    found = [density_coverage(normal(500, 8, seed=s), normal(500, 8, seed=s + 50)) for s in range(8)]
    steps = np.arange(1, 6)
    expected = 1 - np.prod((500 - steps) / (1000 - steps))
    assert np.mean([each.coverage for each in found]) == pytest.approx(expected, abs=0.01)
    assert np.mean([each.density for each in found]) == pytest.approx(1, abs=0.06)


def test_an_outlier_lifts_precision_and_not_density() -> None:
    """Why there are both: one ball that reaches everywhere."""
    real, new = normal(200), normal(200, seed=1) * 0.1 + [20.0, 0.0, 0.0]
    strayed = np.vstack([real, [[40.0, 0.0, 0.0]]])
    assert precision_recall(real, new).precision == 0
    assert precision_recall(strayed, new).precision == 1
    assert density_coverage(strayed, new).density < 0.3


def test_fewer_kinds_cost_recall_and_coverage() -> None:
    real = np.vstack([normal(200), normal(200, seed=1) + 30])
    new = normal(400, seed=2)
    pr, dc = precision_recall(real, new), density_coverage(real, new)
    assert pr.precision > 0.9 and pr.recall < 0.55 and dc.coverage < 0.55 and dc.density > 0.8


def test_own_features_tell_good_rows_from_bad_ones() -> None:
    rows = normal(1200, 2) @ normal(2, 6, seed=9) + 0.1 * normal(1200, 6, seed=8)
    embedder = Embedder("Linear", random_state=0).set_params(variant__latent=3).fit(rows[:400])
    made = Synthesizer("Linear", random_state=0).fit(rows[400:800]).sample(400)
    good, bad = generation(embedder, made, rows[800:]), generation(embedder, made + 2 * rows.std(0), rows[800:])
    assert good.frechet < bad.frechet / 5
    assert good.precision > bad.precision + 0.3 and good.coverage > bad.coverage + 0.3


@pytest.mark.parametrize(
    ("real", "new", "said"),
    [
        (np.ones((9, 2)), np.ones((9, 3)), "one width"),
        (np.ones(9), np.ones(9), "one width"),
        (np.ones((9, 2)), np.ones((1, 2)), "rows or more"),
        (np.full((9, 2), np.nan), np.ones((9, 2)), "NaN"),
    ],
)
@pytest.mark.parametrize("measure", [frechet_distance, precision_recall, density_coverage])
def test_features_that_cannot_be_compared_are_refused(measure: object, real: object, new: object, said: str) -> None:
    with pytest.raises(InvalidData, match=said):
        measure(real, new)


def test_no_neighbour_is_no_ball() -> None:
    with pytest.raises(InvalidParameter, match="k must be"):
        precision_recall(np.eye(5), np.eye(5), k=0)
