"""Imputer: gaps in, completed rows out, of the same type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from diabolo import Embedder, Imputer, Trainer, load
from diabolo.checks.tasks import made_up
from diabolo.variants import VAE, Linear, Masked


def related(count: int, seed: int = 0) -> np.ndarray:
    """Three columns that tell each other."""
    dice = np.random.default_rng(seed)
    level = dice.normal(5, 2, count)
    return np.c_[level, 2 * level, -level] + 0.05 * dice.normal(size=(count, 3))


def with_gaps(rows: np.ndarray, share: float = 0.2) -> np.ndarray:
    gaps = np.random.default_rng(1).random(rows.shape) < share
    gaps[gaps.all(1)] = False
    return np.where(gaps, np.nan, rows)


@pytest.mark.parametrize("variant, bound", [("Linear", 0.5), (Masked(latent=8), 0.25)])
def test_gaps_are_filled_from_the_other_values(variant: Any, bound: float) -> None:
    rows = related(800)
    holes = with_gaps(rows)
    filled = Imputer(variant, trainer=Trainer(epochs=40, batch_size=128), random_state=0).fit_transform(holes)
    missing = np.isnan(holes)
    error = (np.square(filled - rows) / rows.var(0))[missing].mean()
    assert error < bound  # 1 for the mean of the column
    assert np.array_equal(filled[~missing], holes[~missing])  # what was there is untouched, bit by bit


@pytest.mark.parametrize("variant", ["Linear", "Masked"])
def test_fills_lie_within_what_was_seen(variant: str) -> None:
    """Of counts a network tells the logarithm; a little too much of that is a lot too much."""
    dice = np.random.default_rng(0)
    counts = dice.poisson(np.exp(dice.normal(3, 1.5, (300, 1))) * [1, 2, 3, 4]).clip(0, 255).astype(float)
    filled = Imputer(variant, trainer=Trainer(epochs=5), random_state=0).fit_transform(with_gaps(counts, 0.4))
    assert np.isfinite(filled).all() and filled.min() >= 0 and filled.max() <= 255


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_keep_their_type(dtype: type) -> None:
    holes = with_gaps(related(60)).astype(dtype)
    filled = Imputer("Linear", random_state=0).fit_transform(holes)
    assert filled.dtype == dtype and np.isfinite(filled).all()


def test_tables_are_completed_column_by_column() -> None:
    rows = made_up(200)
    gaps = pa.array(np.arange(200) % 7 == 3)
    for place, name in enumerate(rows.column_names):
        missing = pa.scalar(None, rows[name].type)
        rows = rows.set_column(place, rows.schema.field(name), pa.compute.if_else(gaps, missing, rows[name]))
    rows = rows.append_column("id", pa.array([None if i == 5 else f"pump {i}" for i in range(200)]))
    filled = Imputer("Linear", random_state=0).fit(rows).transform(rows)
    assert filled.schema.equals(rows.schema)
    assert {name: filled[name].null_count for name in filled.column_names if filled[name].null_count} == {"id": 1}
    assert set(filled["site"].to_pylist()) == {"north", "south", "west"}
    kept = pa.compute.invert(gaps)
    assert filled.filter(kept).drop_columns(["heat"]).equals(rows.filter(kept).drop_columns(["heat"]))


def test_run_completes_a_batch() -> None:
    batch = made_up(50, seed=1).to_batches()[0]
    said = Imputer("Linear", random_state=0).fit(made_up()).run(batch)
    assert isinstance(said, pa.RecordBatch) and said.schema == batch.schema
    assert batch["heat"].null_count and not said["heat"].null_count


def test_as_many_trips_are_made_as_fill_held_out_rows_best(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    t = dice.normal(size=(600, 1))
    alike, noise = t @ np.ones((1, 8)) + 0.1 * dice.normal(size=(600, 8)), dice.normal(size=(600, 8))
    again, once = (Imputer(Linear(latent=1), random_state=0).fit(rows) for rows in (alike, noise))
    assert again.trips_ > 1 and once.trips_ == 1
    assert Imputer("Linear", rounds=2, random_state=0).fit(noise).trips_ == 3
    again.save(tmp_path / "m.diabolo")
    assert load(tmp_path / "m.diabolo").trips_ == again.trips_


def test_rounds_see_the_guesses_of_the_round_before() -> None:
    holes = with_gaps(related(300))
    fills = [
        Imputer(VAE(latent=1, hidden=(16,)), rounds=rounds, trainer=Trainer(epochs=60, batch_size=16), random_state=0)
        .fit(holes)
        .transform(holes)
        for rounds in (0, 5)
    ]
    missing = np.isnan(holes)
    assert not np.array_equal(fills[0], fills[1])
    errors = [np.square(fill - related(300))[missing].mean() for fill in fills]
    assert errors[1] < errors[0]


def test_the_linear_autoencoder_is_compared_at_its_best() -> None:
    """On a plane it needs some trips, and is then hard to beat."""
    dice = np.random.default_rng(0)
    rows = dice.normal(size=(800, 2)) @ dice.normal(size=(2, 8)) + 0.05 * dice.normal(size=(800, 8))
    once, often = (Imputer("Linear", rounds=rounds, random_state=0).fit(rows).comparison_ for rounds in (0, 5))
    assert once["better"] == "linear" and often["better"] == "neither"
    assert often["deep"] < 0.5 * once["deep"] and once["linear"] == often["linear"]


def test_rows_without_a_value_get_the_usual_ones() -> None:
    filled = Imputer("Linear", random_state=0).fit(related(300)).transform(np.full((1, 3), np.nan))
    assert filled[0] == pytest.approx([5, 10, -5], abs=0.5)


def test_measure_is_free_of_units_and_fair_to_categories() -> None:
    """Thousandfold numbers change nothing; a guess from nothing costs about 1 per number."""
    dice = np.random.default_rng(0)
    rows = pa.table({"a": dice.normal(size=600), "b": dice.normal(size=600), "n": dice.negative_binomial(1, 0.05, 600)})
    assert [c.kind for c in Imputer("Linear").fit(rows).preparation_.schema_.columns] == ["number", "number", "count"]
    large = rows.set_column(0, "a", pa.compute.multiply(rows["a"], 1000.0))
    costs = [Imputer("Linear", random_state=0).fit(each).comparison_["deep"] for each in (rows, large)]
    assert costs[0] == pytest.approx(costs[1], rel=1e-3) and 0.3 < costs[0] < 2


def test_in_a_pipeline_with_named_outputs() -> None:
    frame = made_up(60).select(["flow", "power", "heat"]).to_pandas()
    pipeline = make_pipeline(Imputer("Linear", random_state=0), StandardScaler()).set_output(transform="pandas")
    assert list(pipeline.fit_transform(frame).columns) == ["flow", "power", "heat"]
    assert list(pipeline[0].get_feature_names_out()) == ["flow", "power", "heat"]


def test_ages_are_filled_with_whole_numbers_and_categories_that_new_rows_lack() -> None:
    dice = np.random.default_rng(0)
    frame = pd.DataFrame({"age": dice.integers(18, 90, 200), "kind": pd.Categorical(dice.choice(["a", "b"], 200))})
    frame["size"] = frame["age"] * 0.5 + (frame["kind"] == "b") * 99.0
    gaps = frame.iloc[:40].assign(age=frame["age"].where(frame.index % 2 == 0))
    gaps["kind"] = gaps["kind"].where(gaps["kind"] == "a").cat.remove_unused_categories()
    filled = Imputer("Linear", random_state=0).fit(frame).transform(gaps)
    assert (filled["age"] % 1 == 0).all() and filled["age"].dtype == float
    assert set(filled["kind"]) == {"a", "b"}


def test_few_rows_are_learned_from_for_longer_than_by_other_tasks() -> None:
    rows = np.random.default_rng(0).normal(size=(150, 3))
    assert [task(random_state=0).fit(rows).history_[0].of for task in (Imputer, Embedder)] == [240, 60]
    asked = Imputer(trainer=Trainer(epochs=2), random_state=0).fit(rows)
    assert [epoch.of for epoch in asked.history_] == [2, 2]


def test_large_holes_in_series_are_filled_better_by_boxes() -> None:
    """The default learned from holes like these; single hidden values teach to look at the next ones alone."""
    dice, time = np.random.default_rng(0), np.arange(40)
    waves = np.sin(time / dice.uniform(3, 6, (500, 1, 1)) + dice.uniform(0, 6, (500, 1, 1))) + 0.05 * dice.normal(
        size=(500, 1, 40)
    )
    holes = waves[400:].copy()
    holes[:, :, 12:26] = np.nan
    single = Masked(latent=64, hidden=(32, 64, 128), scale="learned")
    apart = [
        Imputer(variant, trainer=Trainer(epochs=60), random_state=0).fit(waves[:400]).transform(holes) - waves[400:]
        for variant in (None, single)
    ]
    boxed, alone = (float(np.sqrt(np.mean(each[:, :, 12:26] ** 2))) for each in apart)
    assert boxed < 0.8 * alone


@pytest.mark.parametrize("kind", ["datetime64[D]", "timedelta64[s]"])
def test_not_a_time_is_missing(kind: str) -> None:
    days = np.random.default_rng(0).integers(0, 20, (300, 2))
    moments = days.astype(kind)
    moments[3, 0] = "NaT"
    filled = Imputer("Linear", random_state=0).fit_transform(moments)
    assert 0 <= filled[3, 0] <= 20 and np.array_equal(filled[4:], days[4:])


def test_columns_of_intervals_are_passed_through() -> None:
    x = np.random.default_rng(0).normal(size=(200, 2))
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "bin": pd.cut(x[:, 0], 4)})
    frame.loc[3, "b"] = np.nan
    filled = Imputer("Linear", random_state=0).fit(frame).transform(frame)
    assert filled["bin"].equals(frame["bin"]) and filled["b"].notna().all()
