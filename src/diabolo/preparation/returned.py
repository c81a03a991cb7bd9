"""Rows given back: an Arrow table as an object of the user's class, and what was there in its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diabolo.readers.plain import like_given


def of_type(table: pa.Table, like: Any) -> Any:
    """``table`` as an object of the class of ``like``, a pandas index and dtypes included.

    Categories of pandas keep their order; those that ``like`` does not declare come behind.
    """
    library = type(like).__module__.partition(".")[0]
    if library == "pandas":
        return _framed(table, like)
    if isinstance(like, (pa.Table, pa.RecordBatch)):
        table = like_given(table, like.schema)
    if isinstance(like, pa.RecordBatch):
        return (
            table.combine_chunks().to_batches()[0] if table.num_rows else pa.RecordBatch.from_pylist([], table.schema)
        )
    return type(like)(like_given(table, pa.table(like[:0]).schema)) if library == "polars" else table


def chosen(kept: np.ndarray, given: pa.ChunkedArray, new: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of ``given`` where they are ``kept``, those of ``new`` elsewhere."""
    if not kept.any():
        return new
    if kept.all():
        return given
    found = pc.if_else(pa.array(kept), given, new.cast(given.type))
    return found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])


def _framed(table: pa.Table, like: Any) -> Any:
    frame = pa.table(list(map(_plain, table.columns)), names=table.column_names).to_pandas()
    frame.columns, frame.index = like.columns, like.index
    return frame.astype({name: _declared(dtype, frame[name]) for name, dtype in like.dtypes.items()})


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_dictionary(column.type):
        return column
    return pa.chunked_array([each.dictionary_decode() for each in column.chunks], column.type.value_type)


def _declared(dtype: Any, values: Any) -> Any:
    """The dtype; categories with those behind that ``values`` have beside them."""
    if not hasattr(dtype, "categories"):
        return dtype
    known = set(dtype.categories)
    further = [each for each in values.dropna().unique().tolist() if each not in known]
    return type(dtype)([*dtype.categories, *further], dtype.ordered) if further else dtype
