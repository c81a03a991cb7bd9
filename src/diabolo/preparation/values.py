"""Values: a column of any Arrow type as float64 numbers or as text, and numbers or text back as that type."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import Enum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from diabolo.readers.texts import CLOCK, convert

DAY = 86_400.0
FEW = 64  # values that tell soon that all are no multiples
LONG = 14  # letters of a number: decimals of 32 bits have more in 64, and what 32 bits hold exactly seldom has
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class Role(Enum):
    """What a column's type says about it."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    TEXT = "text"
    EMPTY = "empty"
    OTHER = "other"

    @property
    def is_numeric(self) -> bool:
        """Whether ``numbers`` can read it."""
        return self in (Role.NUMBER, Role.BOOLEAN, Role.DATE, Role.TIME)


def role(kind: pa.DataType) -> Role:
    """The role of a column of type ``kind``.

    >>> role(pa.int8()), role(pa.timestamp("us")), role(pa.dictionary(pa.int8(), pa.string()))
    (<Role.NUMBER: 'number'>, <Role.DATE: 'date'>, <Role.TEXT: 'text'>)
    """
    for each, tests in TESTS.items():
        if any(test(kind) for test in tests):
            return each
    named = types.is_dictionary(kind) and role(kind.value_type) is not Role.OTHER
    return Role.TEXT if named else Role.OTHER


TESTS = {
    Role.NUMBER: (types.is_integer, types.is_floating, types.is_decimal, types.is_duration),
    Role.BOOLEAN: (types.is_boolean,),
    Role.DATE: (types.is_date, types.is_timestamp),
    Role.TIME: (types.is_time,),
    Role.TEXT: (types.is_string, types.is_large_string, lambda kind: kind == pa.string_view()),
    Role.EMPTY: (types.is_null,),
}


def numbers(array: pa.Array) -> np.ndarray:
    """A numeric column as float64: dates as seconds since 1970, times and durations as seconds; NaN where missing."""
    kind = array.type
    if types.is_date(kind):
        array = array.cast(pa.timestamp("s" if types.is_date32(kind) else "ms"))
        kind = array.type
    if types.is_timestamp(kind) or types.is_duration(kind) or types.is_time(kind):
        return _floats(array.cast(pa.int32() if kind.bit_width == 32 else pa.int64())) / PER_SECOND[kind.unit]
    if types.is_decimal(kind):
        array = array.cast(pa.string()).cast(pa.float64())  # the nearest float, which the cast itself may miss
    return _floats(array.cast(pa.uint8()) if types.is_boolean(kind) else array)


def parsed(array: pa.Array) -> np.ndarray:
    """Any column as float64, text too if every value reads as a number. Raises ArrowInvalid if one does not."""
    kind = role(array.type)
    if kind is Role.EMPTY:
        return np.full(len(array), np.nan)
    if kind is Role.TEXT:
        array = words(array)
        return _floats(pc.utf8_trim_whitespace(used_of(array)).cast(pa.float64()).take(array.indices))
    if not kind.is_numeric:
        raise pa.ArrowInvalid(f"values of type {array.type}")
    return numbers(array)


def clock(array: pa.Array, zone: str = "") -> np.ndarray:
    """Seconds since 1970 on the clock of ``zone``, or of the column's own, which days and hours are counted by.

    What is written without a zone is taken as that of the clock.
    """
    if types.is_timestamp(array.type) and array.type.tz is not None:
        array = pc.local_timestamp(array.cast(pa.timestamp(array.type.unit, zone or array.type.tz)))
    return numbers(array)


def grain(values: np.ndarray, sizes: Sequence[float]) -> float:
    """The first of ``sizes`` that all values are multiples of, as they are written; 0 if there is none.

    >>> grain(np.array([3600.0, 7200.0, np.nan]), (86400.0, 3600.0, 60.0)), grain(np.array([0.3, 1.25]), (0.1, 0.01))
    (3600.0, 0.01)
    """
    seen = values[~np.isnan(values)]
    return next((each for each in sizes if len(seen) and all(_are(part, each) for part in (seen[:FEW], seen))), 0.0)


def _are(values: np.ndarray, size: float) -> bool:
    """Whether all values are multiples of a size, numbers of 32 bits as well as these can be."""
    exact = multiples(values, size)
    with np.errstate(over="ignore"):
        single, rounded = values.astype(np.float32), exact.astype(np.float32)
    return np.array_equal(exact, values) or (np.array_equal(single, values) and np.array_equal(rounded, single))


def multiples(values: np.ndarray, size: float) -> np.ndarray:
    """The multiples of ``size`` that are nearest to ``values``: for 0.01 the floats that are written so."""
    with np.errstate(over="ignore"):
        return np.rint(values / size) * size if size >= 1 else np.rint(values * round(1 / size)) / round(1 / size)


def words(array: pa.Array) -> pa.DictionaryArray:
    """A column as text, each different text once; whole numbers without a decimal point, so that 3.0 is "3"."""
    if not types.is_dictionary(array.type):
        array = (array.cast(pa.string()) if types.is_null(array.type) else array).dictionary_encode()
    return pa.DictionaryArray.from_arrays(array.indices, _texts(array.dictionary))


def number_text(value: float) -> str:
    """A number as it is written: 3.0 as 3, and 0.1 also where it has 32 bits.

    >>> number_text(3.0), number_text(0.1), number_text(float(np.float32(0.1))), number_text(1234567.25)
    ('3', '0.1', '0.1', '1234567.25')
    """
    if value.is_integer():
        return str(int(value))
    single, told = np.float32(value), repr(value)
    return str(single) if float(single) == value and len(told) > LONG else told


def unworded(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Texts as a column of type ``kind``, the inverse of ``words``."""
    if types.is_dictionary(kind):
        return unworded(texts, kind.value_type).dictionary_encode().cast(kind)
    if types.is_time(kind):
        return convert(texts, CLOCK).cast(kind)
    if types.is_decimal(kind):
        return pa.array([None if each is None else Decimal(each) for each in texts.to_pylist()], kind)
    if types.is_duration(kind):
        return restored(_floats(texts.cast(pa.float64())), kind)
    return texts.cast(pa.float64() if types.is_integer(kind) else texts.type).cast(kind)


def used_of(texts: pa.DictionaryArray) -> pa.Array:
    """The dictionary of a column of texts, null in place of those that do not occur."""
    there = pc.is_in(pa.array(np.arange(len(texts.dictionary)), texts.indices.type), value_set=texts.indices.unique())
    return pc.if_else(there, texts.dictionary, pa.scalar(None, texts.dictionary.type))


def restored(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Float64 numbers as a column of type ``kind``, the inverse of ``numbers``; NaN as missing."""
    missing = np.isnan(values)
    if types.is_boolean(kind):
        return pa.array(values >= 0.5, kind, mask=missing)
    if types.is_integer(kind):
        return _whole(values, missing, kind)
    if types.is_floating(kind):
        return pa.array(values.astype(kind.to_pandas_dtype()), kind, mask=missing)
    if types.is_decimal(kind):
        return pa.array(np.round(values, kind.scale), mask=missing).cast(kind, safe=False)
    return _moments(values, missing, kind)


def _floats(array: pa.Array) -> np.ndarray:
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64)


def _texts(array: pa.Array) -> pa.Array:
    kind = array.type
    if any(is_of(kind) for is_of in (types.is_floating, types.is_decimal, types.is_duration)):  # counted as numbers
        there = zip(numbers(array).tolist(), array.is_valid().to_pylist(), strict=True)
        return pa.array([number_text(each) if known else None for each, known in there], pa.string())
    return array if types.is_string(kind) else array.cast(pa.string())


def _whole(values: np.ndarray, missing: np.ndarray, kind: pa.DataType) -> pa.Array:
    limits = np.iinfo(kind.to_pandas_dtype())
    filled = np.where(missing, 0.0, np.rint(values))
    inside = np.clip(filled, limits.min, limits.max)
    whole = inside.astype(np.uint64 if limits.min == 0 else np.int64, casting="unsafe")
    whole = np.where(inside >= limits.max, limits.max, whole)  # 2^63 as a float is one more than the largest int64
    return pa.array(whole.astype(kind.to_pandas_dtype()), kind, mask=missing)


def _moments(values: np.ndarray, missing: np.ndarray, kind: pa.DataType) -> pa.Array:
    if types.is_date(kind):
        days = _whole(values / DAY, missing, pa.int32())
        return days.cast(pa.date32()).cast(kind)
    if types.is_time(kind):
        values = np.clip(values, 0.0, DAY - 1.0 / PER_SECOND[kind.unit])
    count = _whole(np.rint(values * PER_SECOND[kind.unit]), missing, pa.int64())
    return (count.cast(pa.int32()) if kind.bit_width == 32 else count).cast(kind)
