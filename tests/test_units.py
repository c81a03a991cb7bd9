"""Units: pixels, coordinates and marks are measured by one scale, columns of different units by their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer, load_digits

from diabolo import Embedder, load
from diabolo.preparation import Preparation


def test_pixels_keep_their_distances() -> None:
    images = load_digits().data
    preparation = Preparation(units=True).fit(images)
    x = preparation.transform(images).numpy()
    ratio = np.linalg.norm(x[1:] - x[:-1], axis=1) / np.linalg.norm(images[1:] - images[:-1], axis=1)
    assert ratio == pytest.approx(ratio[0], rel=1e-4) and 0.5 < x.var(0).mean() < 1
    assert preparation.inverse_transform(preparation.transform(images), like=images) == pytest.approx(images, abs=1e-4)
    assert "count" in {column.kind for column in Preparation().fit(images).schema_.columns}


def test_columns_of_different_units_stay_as_they_are() -> None:
    rows = load_breast_cancer().data
    assert Preparation(units=True).fit(rows).schema_ == Preparation().fit(rows).schema_


def test_marks_in_a_table_of_other_columns() -> None:
    dice = np.random.default_rng(0)
    marks = {f"question {each}": dice.integers(1, 6, 200) for each in "abcdef"}
    rows = pa.table({**marks, "town": np.array(["x", "y"])[dice.integers(0, 2, 200)]})
    columns = Preparation(units=True).fit(rows).schema_.columns
    assert len({column.scale for column in columns[:6]}) == 1 and columns[6].kind == "category"
    chosen = Preparation(units=True, likelihoods={"question a": "Laplace"}).fit(rows).schema_.columns
    assert chosen[0].likelihood == "Laplace" and chosen[0].scale != chosen[1].scale == chosen[2].scale


def test_flags_alone_stay_flags_and_among_pixels_are_pixels() -> None:
    dice = np.random.default_rng(0)
    flags = (dice.random((200, 6)) < 0.3).astype(float)
    assert {column.kind for column in Preparation(units=True).fit(flags).schema_.columns} == {"category"}
    pixels = np.column_stack([dice.integers(0, 17, (200, 6)), flags[:, :1], np.zeros(200)])
    columns = Preparation(units=True).fit(pixels).schema_.columns
    assert {column.kind for column in columns} == {"number"} and len({column.scale for column in columns}) == 1


def test_the_scale_is_in_the_file(tmp_path: Path) -> None:
    images = load_digits().data[:300]
    embedder = Embedder("Linear", random_state=0).fit(images)
    embedder.save(tmp_path / "m.diabolo")
    assert np.array_equal(load(tmp_path / "m.diabolo").transform(images), embedder.transform(images))
