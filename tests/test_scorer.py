"""One row at a time: the scores of the detector, for every dense variant, with and without missing values."""

from __future__ import annotations

import numpy as np
import pytest

from diabolo.errors import InvalidData, InvalidParameter, SchemaMismatch
from diabolo.tasks import AnomalyDetector
from diabolo.trainer import Trainer
from diabolo.variants import Linear, Masked, Residual, Vanilla, Variant, named

SETTINGS = [
    *(each() for each in named().values() if not issubclass(each, Residual)),  # two encoders: refused, see below
    Masked(scale="learned"),
    Masked(scale="unit", hidden=(), activation="tanh"),
    Vanilla(tied=True, activation="relu", scale="predicted"),
    Vanilla(activation="gelu"),
]


def rows(count: int = 300, missing: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 2)) @ rng.normal(size=(2, 6)) * 5 + rng.normal(size=(count, 6)) + 3
    x[::10] += 8 * rng.normal(size=x[::10].shape)
    x[rng.random(x.shape) < missing] = np.nan
    return x


def fitted(variant: Variant, x: np.ndarray, **parameters: object) -> AnomalyDetector:
    return AnomalyDetector(variant, trainer=Trainer(epochs=2), random_state=0, **parameters).fit(x)


def compare(detector: AnomalyDetector, x: np.ndarray) -> None:
    score = detector.scorer()
    np.testing.assert_allclose([score(row) for row in x], detector.anomaly_score(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", SETTINGS, ids=repr)
def test_scores_are_those_of_the_detector(variant: Variant) -> None:
    detector = fitted(variant, rows())
    compare(detector, rows()[:60])
    compare(detector, rows(missing=0.2)[:60])


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_kept_rows_and_data_with_holes(missing: float) -> None:
    """Rows that the detector keeps are measured from the others, in both ways of scoring."""
    x = rows(200, missing)
    compare(fitted(Masked(), x), x)


def test_without_neighbours_and_with_a_column_set_aside() -> None:
    x = rows()
    x[:, 2] = 7.0
    detector = fitted(Masked(), x, neighbours=0)
    compare(detector, x[:50])


@pytest.mark.parametrize("likelihood", ["StudentT", "Laplace"])
def test_every_likelihood_of_numbers(likelihood: str) -> None:
    compare(fitted(Vanilla(), rows(), likelihoods={"x0": likelihood}), rows()[:50])


def test_far_rows_are_scored_alike() -> None:
    detector = fitted(Linear(), rows())
    far = np.vstack([np.full(6, value) for value in (0.0, 1e3, -1e5, 1e12, 1e308)])
    np.testing.assert_allclose([detector.scorer()(row) for row in far], detector.anomaly_score(far), rtol=1e-4)


def test_a_list_is_a_row_and_the_row_is_left_alone() -> None:
    detector, row = fitted(Linear(), rows()), rows()[0]
    before, score = row.copy(), detector.scorer()
    assert score(row) == score(list(row))
    np.testing.assert_array_equal(row, before)


def test_errors_say_what_a_row_is() -> None:
    score = fitted(Linear(), rows()).scorer()
    with pytest.raises(SchemaMismatch, match="shape"):
        score([1.0, 2.0])
    with pytest.raises(InvalidData, match="'x2' is infinite"):
        score([1.0, 2.0, np.inf, 0.0, 0.0, 0.0])
    with pytest.raises(InvalidData, match="list of numbers"):
        score(["a"] * 6)


def test_other_columns_than_numbers_are_refused() -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"n": rows()[:, 0], "state": ["on", "off", "idle"] * 100})
    with pytest.raises(InvalidParameter, match="'state'"):
        fitted(Linear(), table).scorer()


def test_flags_can_be_told_to_be_numbers() -> None:
    x = np.c_[rows(), np.arange(300) % 2]
    with pytest.raises(InvalidParameter, match=r"'x6'.*likelihoods=\{'x6': 'Normal'\}"):
        fitted(Linear(), x).scorer()
    compare(fitted(Linear(), x, likelihoods={"x6": "Normal"}), x[:20])


@pytest.mark.parametrize(("variant", "told"), [(Vanilla(members=2), "ensemble"), (Residual(), "dense layers only")])
def test_other_networks_are_refused(variant: Variant, told: str) -> None:
    with pytest.raises(InvalidParameter, match=told):
        fitted(variant, rows()).scorer()


def test_heavy_tails_beside_light_ones() -> None:
    x = rows()
    x[:, :3] = np.random.default_rng(1).standard_t(2.5, size=(300, 3))
    detector = fitted(Masked(), x)
    assert {column.likelihood for column in detector.preparation_.schema_.columns} == {"Normal", "StudentT"}
    compare(detector, x[:60])
