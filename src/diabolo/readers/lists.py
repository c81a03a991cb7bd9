"""Lists of numbers that are all of one length, such as embeddings: a column for each place, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

LONGEST = 16_384  # numbers of a list that become columns
Table = TypeVar("Table", pa.Table, pa.RecordBatch)


def is_list(kind: pa.DataType) -> bool:
    """Whether values of this type are lists of numbers of one length, which the type tells.

    >>> is_list(pa.list_(pa.float32(), 4)), is_list(pa.list_(pa.float32())), is_list(pa.list_(pa.string(), 4))
    (True, False, False)
    """
    if not types.is_fixed_size_list(kind) or not 1 <= kind.list_size <= LONGEST:
        return False
    return types.is_integer(kind.value_type) or types.is_floating(kind.value_type)


def unfolded_fields(fields: Iterable[pa.Field]) -> list[pa.Field]:
    """The fields, with ``name[0]``, ``name[1]``, ... in place of each list."""
    return [each for field in fields for each in _places(field)]


def unfolded(rows: Table) -> Table:
    """The rows with a column for each place of each list.

    >>> rows = pa.table({"e": pa.array([[1, 2], None], pa.list_(pa.int8(), 2))})
    >>> unfolded(rows).to_pydict()
    {'e[0]': [1, None], 'e[1]': [2, None]}
    """
    if not any(is_list(field.type) for field in rows.schema):
        return rows
    columns = [each for field, column in zip(rows.schema, rows.columns, strict=True) for each in _cut(field, column)]
    schema = pa.schema(unfolded_fields(rows.schema), rows.schema.metadata)
    return type(rows).from_arrays(columns, schema=schema)


def folded(rows: pa.Table, like: pa.Schema) -> pa.Table:
    """The inverse of ``unfolded`` for a table whose fields were those of ``like``; a list of nulls alone is null."""
    if not any(is_list(field.type) for field in like):
        return rows
    columns = [_together(rows, field) if is_list(field.type) else rows[field.name] for field in like]
    kinds = [field.with_type(column.type) for field, column in zip(like, columns, strict=True)]
    return pa.table(columns, schema=pa.schema(kinds, like.metadata))


def _places(field: pa.Field) -> list[pa.Field]:
    if not is_list(field.type):
        return [field]
    kind = field.type
    return [field.with_name(f"{field.name}[{i}]").with_type(kind.value_type) for i in range(kind.list_size)]


def _cut(field: pa.Field, column: pa.Array | pa.ChunkedArray) -> list[pa.Array | pa.ChunkedArray]:
    return [pc.list_element(column, i) for i in range(field.type.list_size)] if is_list(field.type) else [column]


def _together(rows: pa.Table, field: pa.Field) -> pa.Array:
    parts = [rows[each.name].combine_chunks() for each in _places(field)]
    there = np.stack([part.is_valid().to_numpy(zero_copy_only=False) for part in parts], 1)
    values = np.stack([part.fill_null(0).to_numpy(zero_copy_only=False) for part in parts], 1)
    flat = pa.array(values.ravel(), mask=~there.ravel()).cast(field.type.value_type)
    return pa.FixedSizeListArray.from_arrays(flat, type=field.type, mask=pa.array(~there.any(1)))
