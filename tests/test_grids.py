"""Images and series as columns of a table: there and back, with gaps, in every kind of file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diabolo.errors import InvalidData, InvalidParameter, SchemaMismatch
from diabolo.grids import cells, channels, grid_column, is_grid, stacked, unstacked
from diabolo.preparation import Preparation
from diabolo.readers import open_sink, open_source


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def pixels(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(3, 2, (12, 2, 4, 5))


def test_there_and_back(pixels: np.ndarray) -> None:
    batch = unstacked(pixels, ["near", "far"])
    assert channels(batch.schema) == ["near", "far"]
    assert cells(batch.schema) == 40
    assert np.array_equal(stacked(batch, ["near", "far"], (4, 5)), pixels)
    assert np.array_equal(stacked(batch.slice(3, 4), ["far"], (4, 5)), pixels[3:7, 1:])
    assert stacked(batch.slice(0, 0), ["far"], (4, 5)).shape == (0, 1, 4, 5)


def test_nulls_are_missing_in_every_cell(pixels: np.ndarray) -> None:
    kind = pa.fixed_shape_tensor(pa.float64(), (4, 5))
    column = pa.ExtensionArray.from_storage(kind, pa.array([pixels[0, 0].ravel().tolist(), None], kind.storage_type))
    table = pa.table({"near": column, "none": pa.nulls(2), "all": pa.nulls(2, kind)})
    found = stacked(table, ["near", "none", "all"], (4, 5))
    assert np.array_equal(found[0, 0], pixels[0, 0])
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 1:]).all()


def test_whole_numbers_stay_in_their_range() -> None:
    kind = pa.fixed_shape_tensor(pa.int8(), (2,))
    assert grid_column(np.array([[-300.0, 1.6]]), kind).to_numpy_ndarray().tolist() == [[-128, 2]]


def test_missing_whole_numbers_are_null_or_fractions() -> None:
    kind = pa.fixed_shape_tensor(pa.uint8(), (1, 2))
    whole = grid_column(np.array([[[1.0, 2.0]], [[np.nan, np.nan]]]), kind)
    assert whole.type == kind and whole.is_null().to_pylist() == [False, True]
    part = grid_column(np.array([[[1.0, 2.0]], [[np.nan, 3.0]]]), kind)
    assert part.type.value_type == pa.float64() and part.null_count == 0
    assert np.array_equal(part.to_numpy_ndarray(), [[[1, 2]], [[np.nan, 3]]], equal_nan=True)


def test_other_shapes_are_refused(pixels: np.ndarray) -> None:
    table = pa.table({"near": grid_column(pixels[:, 0]), "small": grid_column(pixels[:, 1, :2]), "n": range(12)})
    with pytest.raises(InvalidData, match=r"'near' \(4, 5\), 'small' \(2, 5\)"):
        Preparation().fit(table)
    preparation = Preparation().fit(table.select(["near"]))
    with pytest.raises(SchemaMismatch, match=r"'near' holds values of shape \(2, 5\)"):
        preparation.transform(table.select(["small"]).rename_columns(["near"]))
    with pytest.raises(SchemaMismatch, match="'near' holds int64"):
        preparation.transform(table.select(["n"]).rename_columns(["near"]))
    with pytest.raises(SchemaMismatch, match="'near' of the fit is missing"):
        preparation.transform(table.select(["n"]))


def test_tables_of_images_are_prepared_as_arrays_are(pixels: np.ndarray) -> None:
    pixels[2, 1, 0, 0] = np.nan
    table = pa.Table.from_batches([unstacked(pixels, ["near", "far"])]).add_column(0, "file", [pa.array(["a"] * 12)])
    preparation, plain = Preparation().fit(table), Preparation().fit(pixels)
    assert preparation.schema_.kind == "image"
    assert list(preparation.schema_.dropped) == ["file"]
    x = preparation.transform(table)
    assert x.equal(plain.transform(pixels)) or np.array_equal(x, plain.transform(pixels), equal_nan=True)
    back = preparation.inverse_transform(x, like=table)
    assert back.schema.names == ["file", "near", "far"]
    assert np.allclose(stacked(back, ["near", "far"], (4, 5)), pixels, atol=1e-5, equal_nan=True)
    filled = preparation.inverse_transform(x.nan_to_num(0.0), like=table, keep=~x.isnan())
    whole = stacked(filled, ["near", "far"], (4, 5))
    there = ~np.isnan(pixels)
    assert np.array_equal(whole[there], pixels[there])
    assert np.isclose(whole[2, 1, 0, 0], np.nanmean(pixels[:, 1]))
    assert is_grid(preparation.inverse_transform(x)["near"].type)


def test_bytes_beyond_their_range_stay_at_its_ends() -> None:
    pixels = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (12, 1, 4, 5))
    preparation = Preparation().fit(pixels)
    back = preparation.inverse_transform(2 * preparation.transform(pixels), like=pixels)
    assert back.dtype == np.uint8 and np.array_equal(back, pixels)


def test_what_lies_beside_images_may_be_ignored(pixels: np.ndarray) -> None:
    table = pa.Table.from_batches([unstacked(pixels, ["near", "far"])]).add_column(0, "kind", [pa.array(["a"] * 12)])
    assert "kind" in Preparation(ignore=("kind", "far")).fit(table).schema_.dropped
    with pytest.raises(InvalidParameter, match="ignore names the column 'kin'"):
        Preparation(ignore=("kin",)).fit(table)


def test_another_size_is_told(pixels: np.ndarray) -> None:
    with pytest.raises(SchemaMismatch, match=r"shape \(2, 3, 5\), those of the fit had \(2, 4, 5\)"):
        Preparation().fit(pixels).transform(pixels[:, :, :3])


def test_infinite_pixels_are_named_by_their_row(pixels: np.ndarray) -> None:
    pixels[5, 1, 2, 2] = np.inf
    with pytest.raises(InvalidData, match="row 5, column 'far'"):
        Preparation().fit(pa.Table.from_batches([unstacked(pixels, ["near", "far"])]))


def test_channels_last_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(InvalidData, match="channels last"):
        Preparation().fit(rng.normal(size=(3, 16, 16, 3)))


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.parquet", "x.arrow"])
def test_files_of_images(name: str, tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / name
    if name == "x.npy":
        np.save(path, np.asfortranarray(pixels))
    elif name == "x.npz":
        np.savez_compressed(path, X=pixels, y=np.arange(12))
    else:
        with open_sink(path) as sink:
            sink.write(unstacked(pixels, ["x0", "x1"]))
    source = open_source(path)
    assert source.rows == 12
    assert np.array_equal(stacked(source.table(), ["x0", "x1"], (4, 5)), pixels)
    assert np.array_equal(np.concatenate([stacked(b, ["x0", "x1"], (4, 5)) for b in source.batches(5)]), pixels)
    assert Preparation().fit(source).schema_ == Preparation().fit(source.table()).schema_


def test_parquet_keeps_the_shape(tmp_path: Path, pixels: np.ndarray) -> None:
    pq.write_table(pa.Table.from_batches([unstacked(pixels, ["a", "b"])]), tmp_path / "x.parquet")
    assert channels(open_source(tmp_path / "x.parquet").schema) == ["a", "b"]


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl"])
def test_text_holds_no_images(name: str, tmp_path: Path, pixels: np.ndarray) -> None:
    with pytest.raises(InvalidParameter, match="new folder"), open_sink(tmp_path / name) as sink:
        sink.write(unstacked(pixels, ["a", "b"]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [pa.float64(), pa.uint8(), pa.bool_()])
def test_cells_that_are_null_are_missing(kind: pa.DataType) -> None:
    cells = pa.array([1, None, 0, 1, 1, 0], pa.uint8()).cast(kind)
    storage = pa.FixedSizeListArray.from_arrays(cells, 6)
    grid = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(kind, (2, 3)), storage)
    found = stacked(pa.table({"g": grid}), ["g"], (2, 3))
    np.testing.assert_array_equal(found.ravel(), [1, np.nan, 0, 1, 1, 0])


@pytest.mark.parametrize("kind", [((3, 4, 4), None), ((4, 6), [1, 0])], ids=str)
def test_arrays_of_other_axes_are_refused(kind: tuple[tuple[int, ...], list[int] | None]) -> None:
    shape, order = kind
    with pytest.raises(InvalidData, match="Column 'g' holds arrays of"):
        channels(pa.schema([("g", pa.fixed_shape_tensor(pa.float64(), shape, permutation=order))]))
