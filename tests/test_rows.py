"""Rows that a task is given: text in arrays, names, and errors that are ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diabolo import AnomalyDetector, Denoiser, load
from diabolo.errors import InvalidData
from diabolo.explain import reasons


@pytest.mark.parametrize("dtype", ["str", "object"])
def test_arrays_of_text_are_refused_with_the_fix(dtype: str) -> None:
    rows = np.array([["on", "off"], ["off", "on"]] * 20, dtype=dtype)
    with pytest.raises(InvalidData, match=r"^'on' is text; arrays and lists of rows hold numbers.*pandas.DataFrame"):
        AnomalyDetector("Linear").fit(rows)
    AnomalyDetector("Linear").fit(pd.DataFrame(rows))


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_files_of_arrays_have_no_names(ending: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(100, 3))
    write = {"npy": np.save, "npz": np.savez}[ending]
    write(tmp_path / f"rows.{ending}", rows)
    detector = AnomalyDetector("Linear", random_state=0).fit(tmp_path / f"rows.{ending}")
    detector.save(tmp_path / "model")
    for each in (detector, load(tmp_path / "model")):
        assert not hasattr(each, "feature_names_in_")
        scores = each.anomaly_score(rows)  # without a warning of names that are not there
        assert np.array_equal(scores, each.anomaly_score(tmp_path / f"rows.{ending}"))


def test_files_of_named_columns_have_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", flow=np.arange(60.0) % 7, power=np.arange(60.0) % 11)
    detector = AnomalyDetector("Linear").fit(tmp_path / "rows.npz")
    assert detector.feature_names_in_.tolist() == ["flow", "power"]
    assert not hasattr(detector.fit(np.random.default_rng(0).normal(size=(60, 2))), "feature_names_in_")


def test_embeddings_are_read_alike_everywhere_and_come_back(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).normal(size=(80, 3)).astype(np.float32)
    kind = pa.list_(pa.float32(), 3)
    rows = pa.table({"code": pa.array(list(codes), kind), "kind": ["a", "b"] * 40})
    pq.write_table(rows, tmp_path / "rows.parquet")
    detector = AnomalyDetector("Linear", random_state=0).fit(rows)
    assert detector.feature_names_in_.tolist() == ["code[0]", "code[1]", "code[2]", "kind"]
    scores = detector.anomaly_score(rows)
    others = (rows.to_batches()[0], pl.from_arrow(rows), tmp_path / "rows.parquet")
    assert all(np.array_equal(detector.anomaly_score(each), scores) for each in others)
    assert reasons(detector, rows)[0].reasons[0].column in detector.feature_names_in_
    for each in (rows, pl.from_arrow(rows)):
        cleaned = Denoiser("Linear", random_state=0).fit(each).transform(each)
        assert type(cleaned) is type(each) and cleaned.schema == each.schema
