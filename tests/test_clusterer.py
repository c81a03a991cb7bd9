"""Clusterer: groups that are there are found, numbered, and kept in the file."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import adjusted_rand_score

from diabolo import Clusterer, Trainer, load
from diabolo.checks.tasks import made_up
from diabolo.errors import MissingExtra
from diabolo.evaluate import clustering
from diabolo.tasks import task
from diabolo.variants import DEC, Residual, Vanilla

PLACES = ([0, 0, 0, 0], [4, 4, 0, 0], [0, 4, 0, 4])


def groups(count: int = 100, seed: int = 0) -> np.ndarray:
    dice = np.random.default_rng(seed)
    return np.vstack([dice.normal(each, 0.4, size=(count, 4)) for each in PLACES])


TRUTH = np.repeat([0, 1, 2], 100)


@pytest.mark.parametrize("by", ["neighbours", "mixture", "means", "umap"])
@pytest.mark.parametrize("variant", ["Linear", Vanilla(latent=2, hidden=(16,))])
@pytest.mark.parametrize("clusters", [3, None])
def test_groups_are_found(variant, by: str, clusters: int | None) -> None:
    trainer = Trainer(epochs=40, batch_size=32)
    clusterer = Clusterer(variant, by=by, clusters=clusters, trainer=trainer, random_state=0).fit(groups())
    assert clusterer.clusters_ == 3 if clusters or variant == "Linear" else clusterer.clusters_ in (3, 4)
    assert adjusted_rand_score(TRUTH, clusterer.labels_) > 0.9
    assert adjusted_rand_score(TRUTH, clusterer.predict(groups(seed=1))) > 0.9


@pytest.mark.parametrize("by", ["neighbours", "mixture"])
@pytest.mark.parametrize("weight", [1 / 300, 100.0])
def test_the_unit_of_weights_does_not_count(by: str, weight: float) -> None:
    clusterer = Clusterer("Linear", by=by, random_state=0).fit(groups(), sample_weight=np.full(300, weight))
    assert clusterer.clusters_ == 3


def test_labels_are_those_of_the_rows_in_their_order() -> None:
    rows = np.random.default_rng(1).permutation(groups())
    clusterer = Clusterer("Linear", clusters=3, random_state=0)
    labels = clusterer.fit_predict(rows)
    assert labels is clusterer.labels_ and np.array_equal(labels, clusterer.predict(rows))
    weighed = clusterer.fit(rows, sample_weight=np.arange(300) % 3)
    assert weighed.labels_.shape == (300,)  # rows of weight 0 too


def test_probabilities_are_ones_and_follow_the_labels() -> None:
    clusterer = Clusterer("Linear", clusters=3, random_state=0).fit(groups())
    shares = clusterer.predict_proba(groups(seed=1))
    assert shares.shape == (300, 3) and shares.sum(1) == pytest.approx(1.0)
    assert np.array_equal(shares.argmax(1), clusterer.predict(groups(seed=1)))
    between = clusterer.predict_proba([[2.0, 2.0, 0.0, 0.0]])
    assert between.max() < shares.max(1).mean()


def test_run_tells_cluster_and_probability() -> None:
    clusterer = Clusterer("Linear", clusters=2, random_state=0).fit(made_up())
    once = clusterer.run(made_up(9).to_batches()[0])
    assert once.schema.names[-2:] == ["cluster", "cluster_probability"]
    assert clusterer.run(once).equals(once)


def test_a_file_that_is_streamed_is_labelled_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table(dict(zip("abcd", groups().T, strict=True))), tmp_path / "rows.parquet")
    monkeypatch.setattr(task, "IN_MEMORY", 1000)
    clusterer = Clusterer("Linear", clusters=3, random_state=0).fit(tmp_path / "rows.parquet")
    assert adjusted_rand_score(TRUTH, clusterer.labels_) > 0.9


@pytest.mark.parametrize("by", ["neighbours", "mixture", "umap"])
def test_saved_and_loaded(tmp_path: Path, by: str) -> None:
    clusterer = Clusterer("Linear", clusters=3, by=by, random_state=0).fit(groups())
    clusterer.save(tmp_path / "m.diabolo")
    again = load(tmp_path / "m.diabolo")
    assert np.array_equal(again.labels_, clusterer.labels_) and again.clusters_ == 3
    assert np.array_equal(again.predict_proba(groups(seed=1)), clusterer.predict_proba(groups(seed=1)))


@pytest.mark.parametrize("by", ["neighbours", "umap"])
def test_more_clusters_than_different_rows(by: str) -> None:
    clusterer = Clusterer("Linear", clusters=9, by=by, random_state=0).fit(np.repeat(groups(1), 4, 0))
    assert clusterer.clusters_ <= 3 and set(clusterer.labels_) <= set(range(clusterer.clusters_))


def test_without_umap_it_is_said_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Clusterer("Linear", clusters=3, by="umap", random_state=0).fit(groups()).save(tmp_path / "m.diabolo")
    monkeypatch.setitem(sys.modules, "umap", None)
    monkeypatch.setattr(Trainer, "fit", None)
    with pytest.raises(MissingExtra, match=r'by="umap".*pip install "diabolo\[plot\]"'):
        Clusterer(clusters=3, by="umap").fit(groups())
    assert load(tmp_path / "m.diabolo").predict(groups()).shape == (300,)  # a model that is there needs no umap


def test_the_comparison_is_of_equally_many_clusters() -> None:
    told = Clusterer("Linear", clusters=3, random_state=0).fit(groups()).comparison_
    assert told["better"] == "neither" and told["deep"] == pytest.approx(told["linear"], abs=1e-6)
    one = Clusterer("Linear", clusters=1, random_state=0).fit(groups()).comparison_
    assert told["deep"] < 0.3 * one["deep"]


def test_defaults_find_most_written_digits() -> None:
    images, digits = load_digits(return_X_y=True)
    clusterer = Clusterer(clusters=10, random_state=0).fit(images[:1200])
    known, new = (
        clustering(truth, labels, samples=2)["accuracy"].value
        for truth, labels in ((digits[:1200], clusterer.labels_), (digits[1200:], clusterer.predict(images[1200:])))
    )
    assert known > 0.8 and new > 0.75  # k-means: 0.64 where columns are standardised, 0.79 where not


def test_a_row_is_grouped_alone_as_among_others() -> None:
    clusterer = Clusterer("Linear", clusters=3, random_state=0).fit(groups())
    rows = np.random.default_rng(0).uniform(-1, 5, size=(40, 4))
    alone = np.vstack([clusterer.predict_proba(each[None]) for each in rows])
    assert alone == pytest.approx(clusterer.predict_proba(rows), abs=1e-5)


def test_rows_of_two_numbers_are_grouped_by_both() -> None:
    rows, truth = make_blobs(200, random_state=1)
    clusterer = Clusterer(clusters=3, random_state=0).fit(rows)
    assert clusterer.encode(rows).shape == (200, 2) and adjusted_rand_score(truth, clusterer.labels_) > 0.9
    narrow = Clusterer(Residual(latent=2), clusters=3, trainer=Trainer(epochs=1), random_state=0).fit(rows)
    assert narrow.encode(rows).shape == (200, 1)  # as it was asked for


def test_codes_gather_around_centres() -> None:
    """Of rows in overlapping groups, codes of DEC lie closer to their centre, for the distance to the next one."""
    dice = np.random.default_rng(0)
    rows = np.vstack([dice.normal(each, 1.0, size=(120, 8)) for each in 3 * np.eye(8)[:3]])
    apart = []
    for variant in (Residual(latent=4), DEC(latent=4, clusters=3)):
        codes = Clusterer(variant, clusters=3, by="means", random_state=0).fit(rows).encode(rows)
        centres = np.stack([codes[part : part + 120].mean(0) for part in (0, 120, 240)])
        away = np.sort(np.linalg.norm(codes[:, None] - centres, axis=2), 1)
        apart.append(float((away[:, 0] / away[:, 1]).mean()))
    assert apart[1] < 0.6 * apart[0]


def test_rows_that_repeat_are_as_many_clusters_as_there_are_of_them() -> None:
    rows = np.repeat([[0.0, 0.0, 0.0], [4.0, 0.0, 1.0], [0.0, 4.0, -1.0]], 40, axis=0)
    for by in ("neighbours", "mixture", "means"):
        assert Clusterer("Linear", by=by, random_state=0).fit(rows).clusters_ == 3
