"""Readers: any file or in-memory table as rows.

path or folder --open_source--> Source --batches--> pyarrow.RecordBatch
ndarray, pandas, polars, Arrow, lists --as_rows--> ndarray or pyarrow.Table
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from diabolo.errors import InvalidData, UnreadableFile
from diabolo.images import ENDINGS as IMAGES
from diabolo.readers.arrays import Npy, Npz
from diabolo.readers.columnar import Arrow, Parquet
from diabolo.readers.images import Images, size_of
from diabolo.readers.plain import plain
from diabolo.readers.source import Origin, Source, reading
from diabolo.readers.textfiles import Delimited, JsonLines
from diabolo.schema import Schema
from diabolo.writers import Sink, open_sink

__all__ = ["FORMATS", "Rows", "Sink", "Source", "as_rows", "open_sink", "open_source"]

Rows: TypeAlias = np.ndarray | pa.Table

FORMATS: dict[str, Callable[[Origin, Mapping[str, str], bool], Source]] = {
    "csv": lambda origin, types, verbatim: Delimited(origin, types, verbatim=verbatim),
    "tsv": lambda origin, types, verbatim: Delimited(origin, types, "\t", verbatim=verbatim),
    "parquet": lambda origin, types, verbatim: Parquet(origin),
    "arrow": lambda origin, types, verbatim: Arrow(origin),
    "jsonl": lambda origin, types, verbatim: JsonLines(origin, types),
    "npz": lambda origin, types, verbatim: Npz(origin),
    "npy": lambda origin, types, verbatim: Npy(origin),
}
ENDINGS = {
    ".csv": "csv", ".txt": "csv", ".tsv": "tsv", ".tab": "tsv", ".parquet": "parquet", ".pq": "parquet",
    ".arrow": "arrow", ".arrows": "arrow", ".feather": "arrow", ".ipc": "arrow", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".npz": "npz", ".npy": "npy",
}  # fmt: skip
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")
MAGIC = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "arrow",
    b"PK\x03\x04": "npz",
    b"\x93NUMPY": "npy",
    b"{": "jsonl",
}


def open_source(
    path: str | Path,
    format: str | None = None,
    schema: Schema | None = None,
    types: Mapping[str, str] = MappingProxyType({}),
    *,
    verbatim: bool = False,
) -> Source:
    r"""The table in the file ``path``, or on standard input for ``-``; nothing but its shape and types is read yet.

    ``format`` is csv, tsv, parquet, arrow, jsonl, npz or npy; None goes by the ending (``.gz`` after it is unpacked),
    and without a known ending by the first bytes. A folder holds images, and an image is a row: of one size, of that of
    ``images:64`` or ``images:48x64``, or of that in the ``schema`` of a fit. With the ``types`` of its columns, what
    was text then is text now, and pixels have as many bits. With ``verbatim`` the columns of a CSV or TSV file that
    ``types`` does not name are text as it stands in the file. Raises UnreadableFile naming the file, the place and the
    fix.

    >>> import tempfile, pathlib
    >>> place = pathlib.Path(tempfile.mkdtemp(), "pumps.csv")
    >>> _ = place.write_text("flow,state\n1.5,on\n2.5,off\n")
    >>> source = open_source(place)
    >>> source.rows, source.schema.names, [batch.num_rows for batch in source.batches(1)]
    (2, ['flow', 'state'], [1, 1])
    """
    pictures = Path(path).is_dir() or Path(path).suffix.lower() in IMAGES
    if (format or "").startswith("images") or (format is None and pictures):
        return Images(Path(path), size_of(format) if format and format != "images" else (), schema, types)
    origin = Origin(None if str(path) == "-" else Path(path))
    name = format or _format(origin)
    if name not in FORMATS:
        raise UnreadableFile(
            f"{origin.name}: the format {name!r} is not one of {', '.join(FORMATS)}. Name one of these."
        )
    return FORMATS[name](origin, types, verbatim)


def _format(origin: Origin) -> str:
    if origin.path is not None:
        endings = [ending.lower() for ending in origin.path.suffixes if ending.lower() != ".gz"]
        if endings and endings[-1] in ENDINGS:
            return ENDINGS[endings[-1]]
        if endings and endings[-1] in WORKBOOKS and origin.path.exists():
            raise UnreadableFile(
                f"{origin.name} is a workbook. Save its sheet as CSV and name that file, or fit in Python what "
                "pandas.read_excel reads."
            )
    with reading(origin.name, "a table"):
        head = origin.head(8)
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), "csv")


def as_rows(X: Any) -> Rows:
    """``X`` as an array of numbers or an Arrow table; nothing is copied where nothing needs to be.

    Taken are numpy arrays (n, d), (n, channels, time) and (n, channels, height, width), or of n records with fields,
    pandas and polars DataFrames, anything that speaks the Arrow C stream, and lists of rows. A column of lists of
    numbers, of a length that its type tells, becomes a column for each place. Raises InvalidData for anything else.

    >>> as_rows([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    if tabular(X):
        return plain(_table(X))
    if hasattr(X, "toarray"):
        raise InvalidData("A sparse matrix was given; dense rows are needed. Call .toarray() on it.")
    return _array(unmasked(X))


def tabular(X: Any) -> bool:
    """Whether the columns of ``X`` have names and a type each: data frames, tables of Arrow, arrays of records.

    Raises InvalidData for what is nearly a table.
    """
    if isinstance(X, np.ndarray):
        return X.dtype.names is not None
    if hasattr(X, "to_frame") and not hasattr(X, "columns"):
        raise InvalidData(f"A {type(X).__name__} is one column; rows are needed. Call .to_frame() on it.")
    if type(X).__name__ == "LazyFrame":
        raise InvalidData("A LazyFrame holds no rows yet. Call .collect() on it.")
    if type(X) is dict or (isinstance(X, list) and X and type(X[0]) is dict):  # a sparse matrix may be a dict too
        made = "pyarrow.table(X)" if type(X) is dict else "pyarrow.Table.from_pylist(X)"
        raise InvalidData(f"A {type(X).__name__} with names is no table yet. Pass {made}, or a DataFrame of it.")
    return hasattr(X, "__arrow_c_stream__") or hasattr(X, "__arrow_c_array__")


def taken(rows: Rows, places: np.ndarray) -> Rows:
    """The rows at these places, in their order."""
    return rows[places] if isinstance(rows, np.ndarray) else rows.take(pa.array(places))


def unmasked(X: Any) -> Any:
    """``X`` itself, or with what is masked or NaT missing: NaN among numbers, None among other objects.

    >>> unmasked(np.ma.masked_equal([[1, -9]], -9))
    array([[ 1., nan]])
    """
    if isinstance(X, np.ndarray) and X.dtype.kind in "mM":
        X = np.ma.masked_where(np.isnat(X), X.astype(np.int64))
    if not isinstance(X, np.ma.MaskedArray):
        return X
    kind, missing = (np.float64, np.nan) if X.dtype.kind in "fiub" else (object, None)
    return np.ma.filled(X.astype(kind), missing)


def _table(X: Any) -> pa.Table:
    if isinstance(X, pa.Table):
        return X
    if isinstance(X, pa.RecordBatch):
        return pa.Table.from_batches([X])
    try:
        if type(X).__module__.partition(".")[0] == "pandas":
            return pa.Table.from_pandas(X.set_axis([str(name) for name in X.columns], axis=1), preserve_index=False)
        if isinstance(X, np.ndarray):
            return pa.table({name: pa.array(X[name], from_pandas=True) for name in X.dtype.names or ()})
        return pa.table(X)
    except (pa.ArrowException, ValueError, TypeError, AttributeError) as error:
        raise InvalidData(
            f"The {type(X).__name__} cannot be read: {error}. Give each column one name and values of one type."
        ) from error


def _array(X: Any) -> Rows:
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise InvalidData(f"The rows are not of the same length: {error}. Give each row the same columns.") from error
    if array.dtype.kind == "c":
        raise InvalidData("Complex data not supported: give the real and the imaginary part as two columns.")
    _check_shape(array)
    if array.dtype.kind in "fiub":
        return array
    return _of_objects(array)


def _check_shape(array: np.ndarray) -> None:
    if array.ndim > 4:
        raise InvalidData(
            f"Expected an array (n, d), (n, channels, time) or (n, channels, height, width). Got {array.shape}."
        )
    if array.ndim not in (2, 3, 4):
        raise InvalidData(
            f"Expected 2D array, got {array.ndim}D array instead. Reshape your data: array.reshape(-1, 1) if it has a "
            "single feature, array.reshape(1, -1) if it is a single row."
        )
    if 0 in array.shape[1:]:
        raise InvalidData(f"Found array with 0 feature(s) (shape={array.shape}) while a minimum of 1 is required.")


def _of_objects(array: np.ndarray) -> Rows:
    """Objects as numbers if all of them are, otherwise as a table with one type per column."""
    try:
        return array.astype(np.float64)
    except (ValueError, TypeError):
        pass
    if array.ndim != 2:
        raise InvalidData(f"An array of {array.dtype} with {array.ndim} axes was given. Give numbers.")
    try:
        return pa.table({f"x{j}": pa.array(column.tolist(), from_pandas=True) for j, column in enumerate(array.T)})
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise InvalidData(f"A column mixes types: {error}. Give each column values of one type.") from error
