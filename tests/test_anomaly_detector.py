"""AnomalyDetector: two views, one score, decisions, explanations, contaminated rows, further rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from sklearn.metrics import roc_auc_score

from diabolo import AnomalyDetector, Trainer, load
from diabolo.checks.tasks import made_up
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.tasks import anomaly_detector, task
from diabolo.thresholds import Conformal, MedianDeviation, Quantile
from diabolo.variants import VAE, Vanilla

SHORT = Trainer(epochs=3, batch_size=64)


def plane(count: int, seed: int = 0) -> np.ndarray:
    """Rows on a plane in five dimensions, nearly."""
    dice = np.random.default_rng(seed)
    axes = np.random.default_rng(9).normal(size=(2, 5))
    return dice.normal(size=(count, 2)) @ axes + 0.1 * dice.normal(size=(count, 5))


def strange(count: int, seed: int = 1) -> np.ndarray:
    """Rows off the plane, no value of which is unusual."""
    rows = plane(5 * count, seed)
    return np.stack([np.random.default_rng(seed + j).permutation(rows[:, j])[:count] for j in range(5)], 1)


def linear(**parameters: Any) -> AnomalyDetector:
    return AnomalyDetector("Linear", random_state=0, **parameters)


@pytest.fixture(scope="module")
def fitted() -> AnomalyDetector:
    return linear().fit(plane(600))


# -- scores and decisions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("neighbours", [0, 200])
@pytest.mark.parametrize("variant", ["Linear", VAE(latent=2, hidden=(16,))])
def test_strange_rows_score_higher(variant: Any, neighbours: int) -> None:
    trainer = Trainer(epochs=30, batch_size=32)
    detector = AnomalyDetector(variant, neighbours=neighbours, trainer=trainer, random_state=0)
    scores = detector.fit(plane(600)).anomaly_score(np.vstack([plane(200, 7), strange(200)]))
    assert roc_auc_score(np.repeat([0, 1], 200), scores) > 0.8


def test_signs_are_those_of_scikit_learn(fitted: AnomalyDetector) -> None:
    rows = np.vstack([plane(50, 7), 9 * strange(50)])
    score = fitted.anomaly_score(rows)
    assert np.array_equal(fitted.score_samples(rows), -score)
    assert np.allclose(fitted.decision_function(rows), -score - fitted.offset_)
    assert np.array_equal(fitted.predict(rows), np.where(score > fitted.threshold_.cut_, -1, 1))
    assert np.array_equal(fitted.predict(rows) < 0, fitted.p_value(rows) <= fitted.threshold_.level)
    assert set(fitted.predict(rows)) == {-1, 1}


def test_a_score_is_evidence_in_nats(fitted: AnomalyDetector) -> None:
    """-log of the harmonic mean of two p: 1 on average where the views say the same, 1.19 where nothing in common."""
    assert 0.85 < fitted.anomaly_score(plane(2000, 7)).mean() < 1.4
    assert linear(neighbours=0).fit(plane(600)).anomaly_score(plane(2000, 7)).mean() == pytest.approx(1, abs=0.2)


def test_p_values_of_normal_rows_are_even(fitted: AnomalyDetector) -> None:
    p = np.sort(fitted.p_value(plane(2000, 7)))
    assert np.abs(p - (np.arange(2000) + 0.5) / 2000).max() < 0.12


@pytest.mark.parametrize("rows, level", [(40, 0.05), (300, 2 / 61), (1500, 0.01)])
def test_share_marked_by_default(rows: int, level: float) -> None:
    assert linear().fit(plane(rows)).threshold_.level == pytest.approx(level)


@pytest.mark.parametrize("threshold", [0.2, Quantile(level=0.8), MedianDeviation(), Conformal(level=0.2)])
def test_threshold_is_chosen_and_left_as_given(threshold: Any) -> None:
    detector = linear(threshold=threshold).fit(plane(600))
    assert not hasattr(threshold, "cut_")
    if threshold != MedianDeviation:
        marked = (detector.predict(plane(1000, 7)) < 0).mean()
        assert 0.02 < marked < 0.35


def test_threshold_of_no_share_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="'level' parameter of Conformal"):
        linear(threshold=0.0).fit(plane(60))


def test_rows_learned_from_are_judged_as_new_ones() -> None:
    """Places stand for two rows or more: no row is at distance 0 for having been learned from."""
    rows = plane(400)
    detector = linear(threshold=0.05).fit(rows)
    learned, new = (detector._raw(detector._prepared(each))["distance"] for each in (rows, plane(4000, 7)))
    assert np.median(learned) > 0.5 * np.median(new)
    assert 0.01 < (detector.predict(rows) < 0).mean() < 0.1


def test_run_writes_behind_the_columns_and_over_its_own(fitted: AnomalyDetector) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(column) for column in plane(9, 7).T], [f"x{j}" for j in range(5)])
    said = fitted.run(batch)
    assert said.schema.names == [*batch.schema.names, "anomaly_score", "p_value", "anomaly"]
    assert said["anomaly"].type == pa.bool_() and np.array_equal(said["p_value"], fitted.p_value(batch))
    assert fitted.run(said).equals(said)


def test_too_few_rows_to_hold_any_out() -> None:
    detector = linear().fit(plane(9))
    assert detector.card()["data"]["held out"] == 0 and len(detector.reserve_) == 0
    assert np.isfinite(detector.anomaly_score(plane(9, 7))).all()


# -- explanations ----------------------------------------------------------------------------------------------------


def test_the_strange_value_takes_most_of_the_score(fitted: AnomalyDetector) -> None:
    rows = plane(50, 7)
    rows[np.arange(50), np.arange(50) % 5] += 8
    parts = fitted.explain(rows)
    assert parts.sum(1) == pytest.approx(fitted.anomaly_score(rows), rel=1e-9)
    assert (parts >= 0).all() and (parts.argmax(1) == np.arange(50) % 5).mean() > 0.85


def test_columns_that_became_several_are_explained_as_one() -> None:
    """A date is elapsed seconds, hour and weekday to the model, and one column to the user."""
    start = datetime(2024, 1, 1)
    steps = np.random.default_rng(0).permutation(400)
    rows = made_up(400).append_column("when", pa.array([start + timedelta(hours=5 * int(step)) for step in steps]))
    rows = rows.append_column("id", pa.array([f"pump {i}" for i in range(400)]))
    detector = linear().fit(rows)
    assert sum(column.source == "when" for column in detector.preparation_.schema_.columns) > 2
    assert detector.explained_names_ == [*made_up().column_names, "when"]
    parts = detector.explain(rows)
    assert parts.shape == (400, 7) and parts.sum(1) == pytest.approx(detector.anomaly_score(rows), rel=1e-9)
    assert parts[:, -1].sum() > 0


def test_a_stain_is_stranger_than_as_much_noise() -> None:
    """Deviations of pixels side by side count together, and the explanation points at them."""
    dice = np.random.default_rng(0)
    waves = np.sin(np.arange(28) / 4 + dice.uniform(0, 6, (300, 1)))
    images = waves[:, None, :, None] * waves[:, None, None, :] + dice.normal(0, 0.1, (300, 1, 28, 28))
    detector = AnomalyDetector(Vanilla(latent=4), trainer=Trainer(epochs=8), random_state=0).fit(images[:250])
    stained, noisy = images[250:].copy(), images[250:].copy()
    stained[:, :, 8:14, 8:14] += 0.5
    places = np.unravel_index(dice.permutation(28 * 28)[:36], (28, 28))
    noisy[:, :, *places] += 0.5 * np.where(dice.random(36) < 0.5, -1, 1)
    normal, stain, noise = (detector.anomaly_score(each) for each in (images[250:], stained, noisy))
    assert roc_auc_score([0] * 50 + [1] * 50, np.concatenate([noise, stain])) > 0.9
    assert roc_auc_score([0] * 50 + [1] * 50, np.concatenate([normal, stain])) > 0.95
    told = detector.explain(stained)
    assert np.allclose(told.sum((1, 2, 3)), stain) and told[:, 0, 6:16, 6:16].sum() > 0.5 * told.sum()


def test_missing_pixels_add_nothing() -> None:
    images = np.random.default_rng(0).normal(size=(60, 1, 20, 20))
    images[:, :, :5, :5] = np.nan
    detector = AnomalyDetector(Vanilla(latent=2), trainer=Trainer(epochs=2), random_state=0).fit(images)
    told = detector.explain(images[:5])
    assert np.allclose(told.sum((1, 2, 3)), detector.anomaly_score(images[:5]))
    assert np.abs(told[..., :5, :5]).max() < 1e-6 < told[..., 5:, 5:].mean()


def test_a_column_that_is_rarely_there_is_not_blamed() -> None:
    """What a value usually costs is what it costs where it is there."""
    dice = np.random.default_rng(0)
    rows = dice.normal(size=(1000, 3))
    rows[dice.random(1000) < 0.95, 2] = np.nan
    fitted = AnomalyDetector("Vanilla", trainer=Trainer(epochs=5), random_state=0).fit(rows)
    assert fitted.usual_.numpy() == pytest.approx(np.full(3, fitted.usual_[:2].mean()), rel=0.3)
    shares = fitted.explain(dice.normal(size=(1000, 3))).mean(0)
    assert shares[2] < 1.3 * shares[:2].max()


def test_a_row_of_missing_values_is_explained(fitted: AnomalyDetector) -> None:
    rows = np.full((1, 5), np.nan)
    assert fitted.explain(rows).sum() == pytest.approx(fitted.anomaly_score(rows)[0], rel=1e-9)


def test_nearest_normal_rows(fitted: AnomalyDetector) -> None:
    rows = plane(600)
    near = fitted.nearest(rows[:20], 3)
    assert near.shape == (20, 3, 5)
    assert (near != fitted._prepared(rows[:20]).unsqueeze(1)).flatten(2).any(2).all()  # none is the row itself
    assert linear(neighbours=0).fit(rows).nearest(rows) is None


# -- contaminated rows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bound", "places"), [("VALUES", 48), ("KEPT", 96)])
def test_categories_are_as_wide_as_their_kinds(monkeypatch: pytest.MonkeyPatch, bound: str, places: int) -> None:
    """What is kept of wide rows is bounded by what the network sees of them, not by their columns."""
    monkeypatch.setattr(anomaly_detector, bound, 2000)
    kinds = pa.array([str(row % 20) for row in range(600)])
    detector = linear().fit(pa.table({"kind": kinds, "size": plane(600)[:, 0]}))
    assert len(detector.neighbours_.places) <= places and detector.neighbours_.places.shape[1] > 20


def test_contaminated_rows_are_found_left_out_and_named(tmp_path: Path) -> None:
    rows = np.vstack([plane(475), 1.5 * strange(25)])
    told = np.repeat([0, 1], [475, 25])
    plain, robust = (linear(training=each).fit(rows) for each in ("mostly normal", "contaminated"))
    assert len(plain.dropped_rows_) == 0 and len(robust.dropped_rows_) == 150 == robust.card()["data"]["left out"]
    assert np.isin(np.arange(475, 500), robust.dropped_rows_).mean() > 0.8
    assert len(np.unique(robust.dropped_rows_)) == 150
    assert roc_auc_score(told, robust.anomaly_score(rows)) > 0.95
    robust.save(tmp_path / "robust.diabolo")
    assert np.array_equal(load(tmp_path / "robust.diabolo").dropped_rows_, robust.dropped_rows_)


def test_rows_left_out_help_where_many_are_strange() -> None:
    told, found = np.repeat([0, 1], [425, 75]), []
    for seed in range(3):
        rows = np.vstack([plane(425, seed), 1.5 * strange(75, seed)])
        pair = (linear(training=each).fit(rows) for each in ("mostly normal", "contaminated"))
        found.append([roc_auc_score(told, each.anomaly_score(rows)) for each in pair])
    before, after = np.mean(found, 0)
    assert after > before > 0.9


def test_p_values_count_the_rows_left_out() -> None:
    """Nothing was contaminated, and 5 % of normal rows still have p-values up to 5 %."""
    false = [
        (linear(training="contaminated").fit(plane(600, seed)).p_value(plane(2000, 50 + seed)) <= 0.05).mean()
        for seed in range(8)
    ]
    assert 0.03 < np.mean(false) < 0.07  # without them in the calibration it would be beyond 0.2


def test_weighted_rows_are_named_once_when_left_out() -> None:
    rows = np.vstack([plane(60), [[9, -9, 9, -9, 9]]])
    detector = linear(training="contaminated").fit(rows, sample_weight=np.repeat([1, 2], [60, 1]))
    assert 60 in detector.dropped_rows_ and detector.dropped_rows_.max() == 60


def test_contaminated_file_must_fit_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow.parquet.write_table(made_up(300), tmp_path / "rows.parquet")
    monkeypatch.setattr(task, "IN_MEMORY", 1000)
    with pytest.raises(InvalidParameter, match=r"training='contaminated'.*Fit a sample"):
        linear(training="contaminated").fit(tmp_path / "rows.parquet")


# -- further rows ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts() -> list[np.ndarray]:
    return [plane(200, seed) for seed in range(5)]


@pytest.mark.parametrize("detector", [lambda: linear(), lambda: linear(neighbours=0), lambda: linear(neighbours=64)])
def test_rows_in_parts_teach_as_rows_at_once(detector: Callable[[], AnomalyDetector], parts: list[np.ndarray]) -> None:
    whole, step = detector().fit(np.vstack(parts)), detector()
    for part in parts:
        step.partial_fit(part)
    assert step.rows_seen_ == whole.rows_seen_ == 1000
    assert abs(len(step.reserve_) - 200) < 5 and abs(len(step.memory_) - 800) < 5
    new = np.vstack([plane(2000, 70), strange(500)])
    scores = [each.anomaly_score(new) for each in (whole, step)]
    assert np.corrcoef(np.argsort(np.argsort(scores)))[0, 1] > 0.9
    assert (step.p_value(new[:2000]) <= 0.05).mean() == pytest.approx(0.05, abs=0.03)


def test_what_was_new_becomes_normal_and_what_was_normal_stays() -> None:
    old, new = plane(400), plane(400, 1) + 6
    detector = AnomalyDetector(Vanilla(latent=2), trainer=Trainer(epochs=30), random_state=0).partial_fit(old)
    assert np.median(detector.p_value(new)) < 0.02
    detector.partial_fit(new)
    for rows in (plane(500, 7), plane(500, 8) + 6):
        assert 0.2 < np.median(detector.p_value(rows)) < 0.8
    assert [epoch.number for epoch in detector.history_][-5:] == [1, 2, 3, 4, 5]


def test_kept_rows_are_bounded_and_come_from_all_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anomaly_detector, "RESERVE", 50)
    monkeypatch.setattr(anomaly_detector, "REHEARSED", 64)
    detector = linear()
    for level in range(8):
        detector.partial_fit(plane(100, level) + 10 * level)
    assert (len(detector.reserve_), len(detector.memory_)) == (50, 64)
    for rows in (detector.reserve_, detector.memory_):
        part = (np.median(detector.preparation_.inverse_transform(rows.x)["x0"]), np.unique(rows.x[:, 0]).size)
        assert 15 < part[0] < 55 and part[1] > 40
        assert float(rows.weight.sum()) == pytest.approx(160 if rows is detector.reserve_ else 640, rel=0.25)


def test_single_rows_are_held_out_now_and_then() -> None:
    detector = linear().fit(plane(100))
    for i in range(30):
        detector.partial_fit(plane(1, 100 + i))
    assert 22 <= len(detector.reserve_) <= 32 and detector.rows_seen_ == 130


def test_a_loaded_detector_goes_on_as_the_original(tmp_path: Path, parts: list[np.ndarray]) -> None:
    detector = AnomalyDetector(Vanilla(latent=2), trainer=SHORT, random_state=0).fit(parts[0]).partial_fit(parts[1])
    detector.save(tmp_path / "half.diabolo")
    scores = [
        each.partial_fit(parts[2]).anomaly_score(parts[3]) for each in (detector, load(tmp_path / "half.diabolo"))
    ]
    assert np.array_equal(*scores)


def test_further_rows_from_a_file_with_weights_and_contaminated(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(made_up(200, seed=1), tmp_path / "rows.parquet")
    detector = linear(training="contaminated").partial_fit(made_up(100)).partial_fit(tmp_path / "rows.parquet")
    assert detector.rows_seen_ == 300 and len(detector.dropped_rows_) == 60
    detector.partial_fit(made_up(50, seed=2), sample_weight=np.arange(50) % 2)
    assert detector.rows_seen_ == 325 and len(detector.dropped_rows_) == 7
    with pytest.raises(InvalidData, match="'heat'"):
        detector.partial_fit(made_up(9).drop_columns(["heat"]))


def test_a_checkpoint_belongs_to_the_first_fit(tmp_path: Path, parts: list[np.ndarray]) -> None:
    trainer = Trainer(epochs=2, checkpoint=str(tmp_path / "training.diabolo"))
    detector = AnomalyDetector(Vanilla(latent=2), trainer=trainer, random_state=0).partial_fit(parts[0])
    assert len(detector.partial_fit(parts[1]).history_) == 4
