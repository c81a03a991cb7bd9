"""Dates and times that came as text (ISO 8601), by the rule of text files: all texts of a column must read as such."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diabolo.errors import InvalidData
from diabolo.preparation.values import DAY, Role, numbers, role, unworded, used_of, words
from diabolo.readers.texts import CLOCK, convert, first_misfit, fits, join, moment
from diabolo.schema import Column

MOMENTS = (Role.DATE, Role.TIME)


def widened(kind: pa.DataType, texts: pa.Array) -> pa.DataType:
    """The type of dates or times that ``texts`` and those before, of type ``kind``, read as; text if there is none.

    >>> widened(pa.null(), pa.array(["2024-02-29", None])), widened(pa.date32(), pa.array(["soon"]))
    (DataType(date32[day]), DataType(string))
    """
    if texts.null_count == len(texts) or kind == pa.string() or (not pa.types.is_null(kind) and fits(texts, kind)):
        return kind
    return join(kind, moment(texts))


def kind_of(column: pa.ChunkedArray, model: Sequence[Column]) -> pa.DataType:
    """The type of the dates or times in a column, also where they are texts.

    Where there is no value to tell, it is what the ``model`` columns tell, and the type of the column where they do
    not.
    """
    if role(column.type) is not Role.TEXT:
        return column.type
    found = reduce(widened, (words(chunk).dictionary_decode() for chunk in column.chunks), pa.null())
    return _likely(model[0], column.type) if pa.types.is_null(found) else found


def read(array: pa.Array, name: str, where: Callable[[int], str]) -> pa.Array:
    """The dates or times of a column that may hold texts. Raises InvalidData that names the first that is none."""
    if role(array.type) is not Role.TEXT:
        return array
    kind = widened(pa.null(), texts := words(array).dictionary_decode())
    if kind != pa.string():
        return _read(array, kind)
    row = first_misfit(texts, moment(texts.drop_null().slice(0, 1)))
    raise InvalidData(
        f"{where(row)}, column {name!r}: {texts[row].as_py()!r:.80} is no date or time such as the column held in fit. "
        "Write it by ISO 8601 (2024-02-29 12:30:00), or leave it empty where the value is missing."
    )


def written(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Dates or times as a column of type ``kind``; as text without empty fractions of a second.

    >>> written(pa.array([0], pa.timestamp("us")), pa.string()).to_pylist()
    ['1970-01-01 00:00:00']
    """
    if role(kind) is not Role.TEXT or role(array.type) not in MOMENTS:
        return array
    texts = pc.replace_substring_regex(array.cast(pa.string()), r"\.0+(Z?)$", r"\1")
    return unworded(texts, kind)


def seconds(texts: pa.DictionaryArray, kind: pa.DataType) -> np.ndarray:
    """The dates or times of type ``kind`` in a column of texts as ``numbers``; NaN where that is no such type."""
    return numbers(_read(texts, kind)) if role(kind) in MOMENTS else np.full(len(texts), np.nan)


def _likely(first: Column, kind: pa.DataType) -> pa.DataType:
    """The type of the dates whose first model column this is; ``kind`` where it does not tell."""
    if first.part == "hour sin":
        return CLOCK
    if first.part != "elapsed":
        return kind
    return pa.timestamp("us") if first.low % DAY or first.high % DAY else pa.date32()


def _read(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column as dates or times of type ``kind``, each different text read once."""
    if role(array.type) is not Role.TEXT:
        return array
    texts = words(array)
    return convert(used_of(texts), kind).take(texts.indices)
