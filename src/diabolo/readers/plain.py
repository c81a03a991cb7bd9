"""Tables of Arrow in the few types that everything else knows: a null is a null, text is text, a number has a column.

Views of text become text, nulls among the texts of a dictionary become missing values, and lists of numbers that are
all of one length a column for each place.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from diabolo.errors import InvalidData
from diabolo.readers.lists import Table, folded, unfolded, unfolded_fields

VIEWS = {pa.string_view().id: pa.large_string(), pa.binary_view().id: pa.large_binary()}
VIEW_WORDS = 4  # of 4 bytes; the first is the length of the text
STRANGE = {*VIEWS, pa.dictionary(pa.int32(), pa.string()).id}
Column: TypeAlias = pa.Array | pa.ChunkedArray


def plain(rows: Table) -> Table:
    """The rows in plain types. Raises InvalidData where two columns have one name.

    >>> rows = pa.table({"c": pa.DictionaryArray.from_arrays([0, 1], pa.array(["x", None], pa.string_view()))})
    >>> plain(rows)["c"].null_count, plain(rows)["c"].type.value_type
    (1, DataType(large_string))
    """
    for place in (j for j, kind in enumerate(rows.schema.types) if kind.id in STRANGE):
        column = rows.column(place)
        made = plain_column(column)
        if made is not column:
            rows = rows.set_column(place, rows.schema.field(place).with_type(made.type), made)
    rows = unfolded(rows)
    _refuse_twins(rows.schema.names)
    return rows


def plain_fields(fields: Iterable[pa.Field]) -> list[pa.Field]:
    """The fields of plain rows."""
    return unfolded_fields(field.with_type(_plain_type(field.type)) for field in fields)


def like_given(rows: pa.Table, like: pa.Schema) -> pa.Table:
    """The inverse of ``plain``: rows in the types of ``like`` again; nulls stay where they are."""
    rows = folded(rows, like)
    views = {field.name: field.type for field in like if field.type.id in VIEWS}
    fields = [field.with_type(views.get(field.name, field.type)) for field in rows.schema]
    return rows.cast(pa.schema(fields, rows.schema.metadata)) if views else rows


def viewed_bytes(column: pa.Array) -> int:
    """How long the texts of a view are, each counted as often as it is seen; 0 of what is no view.

    >>> viewed_bytes(pa.array(["four", None, "six"], pa.string_view()))
    7
    """
    if types.is_dictionary(column.type):
        return viewed_bytes(column.dictionary)
    if column.type.id not in VIEWS or not len(column):
        return 0
    lengths = np.frombuffer(column.buffers()[1], np.int32)[::VIEW_WORDS]
    return int(lengths[column.offset : column.offset + len(column)].sum(dtype=np.int64))


def plain_column(column: Column) -> Column:
    """The column in a plain type."""
    kind = _plain_type(column.type)
    column = column if kind == column.type else column.cast(kind)
    if not types.is_dictionary(kind):
        return column
    if isinstance(column, pa.Array):
        return _nulls_outside(column)
    given = column.chunks
    made = [_nulls_outside(chunk) for chunk in given]
    return column if all(map(operator.is_, given, made)) else pa.chunked_array(made, kind)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if not types.is_dictionary(kind):
        return VIEWS.get(kind.id, kind)
    values = _plain_type(kind.value_type)
    return kind if values is kind.value_type else pa.dictionary(kind.index_type, values, kind.ordered)


def _nulls_outside(array: pa.DictionaryArray) -> pa.DictionaryArray:
    """The same values with a dictionary that holds no null."""
    values = array.dictionary
    if not values.null_count:
        return array
    there = pa.array(np.flatnonzero(values.is_valid()))
    indices = pc.index_in(array.indices.cast(there.type), value_set=there).cast(array.type.index_type)
    return pa.DictionaryArray.from_arrays(indices, values.drop_null(), ordered=array.type.ordered)


def _refuse_twins(names: list[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidData(f"{names.count(twice)} columns are named {twice!r}. Give each column one name of its own.")
