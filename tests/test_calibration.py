"""p-values of normal rows of real tables: of those that were not learned from, 5 % have one of at most 5 %."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diabolo import AnomalyDetector, Trainer
from diabolo.thresholds import false_discovery

SETS = ("38_thyroid", "6_cardio", "40_vowels", "28_pendigits", "30_satellite", "2_annthyroid", "35_SpamBase")
SHORT = Trainer(epochs=3)


def normal(data_dir: Path, name: str, seed: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal rows in two halves, drawn at random: to learn from, and to be judged."""
    with np.load(data_dir / "adbench" / f"{name}.npz") as kept:
        rows = kept["X"][kept["y"] == 0].astype(float)
    rows = rows[np.random.default_rng(seed).permutation(len(rows))]
    half = min(len(rows), 2 * most) // 2
    return rows[:half], rows[half:][:1500]


def false_alarms(data_dir: Path, level: float, most: int = 1500, seeds: int = 6, **parameters: Any) -> np.ndarray:
    """The share of normal rows with p-values up to ``level``, per set."""
    found = []
    for name in SETS:
        for seed in range(seeds):
            learned, new = normal(data_dir, name, seed, most)
            found.append((AnomalyDetector(random_state=seed, **parameters).fit(learned).p_value(new) <= level).mean())
    return np.array(found).reshape(len(SETS), seeds).mean(1)


@pytest.mark.parametrize(
    "parameters", [{"variant": "Linear"}, {"variant": "Linear", "neighbours": 0}, {"trainer": SHORT}], ids=str
)
def test_five_percent_are_five_percent(data_dir: Path, parameters: dict[str, Any]) -> None:
    assert false_alarms(data_dir, 0.05, **parameters).mean() == pytest.approx(0.05, abs=0.01)


def test_one_percent_and_a_half(data_dir: Path) -> None:
    assert false_alarms(data_dir, 0.01, variant="Linear").mean() == pytest.approx(0.01, abs=0.005)
    assert false_alarms(data_dir, 0.5, variant="Linear").mean() == pytest.approx(0.5, abs=0.03)


def test_few_rows_are_roughly_right(data_dir: Path) -> None:
    """Of 100 rows 20 are held out; a p-value of at most 5 % is one beyond all of them."""
    assert false_alarms(data_dir, 0.05, most=100, seeds=6, variant="Linear").mean() == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize("weight", [0.5, 2.0, 3.0])
def test_weights_that_are_all_equal_mean_nothing(weight: float) -> None:
    """Copies of a row in both parts would have half of new rows look strange."""
    found = []
    for seed in range(5):
        dice = np.random.default_rng(seed)
        rows, weights = dice.normal(size=(300, 15)), np.full(300, weight)
        detector = AnomalyDetector("Linear", random_state=seed).fit(rows, sample_weight=weights)
        found.append((detector.p_value(dice.normal(size=(2000, 15))) <= 0.05).mean())
    assert np.mean(found) == pytest.approx(0.05, abs=0.03)


def test_p_values_learned_part_by_part(data_dir: Path) -> None:
    learned, new = normal(data_dir, "28_pendigits", 0, 1500)
    detector = AnomalyDetector("Linear", random_state=0)
    for part in np.array_split(learned, 5):
        detector.partial_fit(part)
    assert (detector.p_value(new) <= 0.05).mean() == pytest.approx(0.05, abs=0.02)


def test_anomalies_among_normal_rows_are_mostly_true_discoveries(data_dir: Path) -> None:
    """At most a tenth of the reported rows should be normal ones."""
    with np.load(data_dir / "adbench" / "25_musk.npz") as kept:
        strange = kept["X"][kept["y"] == 1].astype(float)
    shares = []
    for seed in range(5):
        learned, new = normal(data_dir, "25_musk", seed, 1400)
        p = AnomalyDetector("Linear", random_state=seed).fit(learned).p_value(np.vstack([new, strange]))
        reported = false_discovery(p, 0.1)
        assert reported[len(new) :].mean() > 0.9
        shares.append(reported[: len(new)].sum() / reported.sum())
    assert np.mean(shares) < 0.15
