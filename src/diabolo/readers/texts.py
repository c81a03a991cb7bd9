"""Types of the values in text files: guessed from the text, joined over blocks, converted.

A column is the first of empty, whole number, number, boolean, date, instant that all its values can be read as, and
text otherwise. Whole numbers with leading zeros ("00123") are text, and those that floats cannot tell apart: they are
names, not amounts.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

NULLS = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "?", "N/A",
    "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
CLOCK = pa.time64("us")
READINGS: tuple[pa.DataType, ...] = (
    pa.int64(),
    pa.float64(),
    pa.bool_(),
    pa.date32(),
    pa.timestamp("ns"),
    pa.timestamp("ns", "UTC"),
    pa.timestamp("us"),
    pa.timestamp("us", "UTC"),
    CLOCK,
)
WIDER = {
    (pa.int64(), pa.float64()): pa.float64(),
    (pa.date32(), pa.timestamp("ns")): pa.timestamp("ns"),
    (pa.date32(), pa.timestamp("us")): pa.timestamp("us"),
    (pa.timestamp("ns"), pa.timestamp("us")): pa.timestamp("us"),
    (pa.timestamp("ns", "UTC"), pa.timestamp("us", "UTC")): pa.timestamp("us", "UTC"),
}
PADDED = r"^\s*[+-]?0[0-9xX]"
LONG = r"^\s*\d{17,}\s*$"
HOURS = r"^\d\d:"
DECIMAL_COMMA = r"^\s*[+-]?\d+,\d+\s*$"
THOUSANDS = r"^\s*[+-]?[1-9]\d{0,2}(\.\d{3})+\s*$"


def guess(strings: pa.Array, comma: bool = False) -> pa.DataType:
    """The narrowest type that every value of ``strings`` can be read as; with ``comma``, 1,5 is a number.

    >>> guess(pa.array(["1", None, "2.5"])), guess(pa.array(["007"])), guess(pa.array(["2024-02-29"]))
    (DataType(double), DataType(string), DataType(date32[day]))
    """
    first = strings.drop_null().slice(0, 64)  # most types are ruled out by a look at the first values
    for kind in (pa.null(), *READINGS):
        if fits(first, kind, comma) and fits(strings, kind, comma):
            return pa.string() if _names(strings, first, kind) else kind
    return pa.string()


class Points:
    """What points in the numbers of a file mean whose decimals may stand behind a comma.

    >>> points = Points(2)
    >>> points.add([pa.array(["8.075", "502"]), pa.array(["1.5", "2,5"])])
    >>> points.of_thousands
    [True, False]
    """

    def __init__(self, columns: int) -> None:
        self._commas = False
        self._pointed = [False] * columns
        self._grouped = [True] * columns

    def add(self, columns: Sequence[pa.Array]) -> None:
        """Take in a block of texts, a column each."""
        for place, strings in enumerate(columns):
            self._commas = self._commas or _some(pc.match_substring_regex(strings, DECIMAL_COMMA))
            if not self._grouped[place]:
                continue
            pointed = strings.filter(pc.fill_null(pc.match_substring(strings, "."), False))
            self._pointed[place] |= len(pointed) > 0
            self._grouped[place] &= not _some(pc.invert(pc.match_substring_regex(pointed, THOUSANDS)))

    @property
    def of_thousands(self) -> list[bool]:
        """Of each column, whether its points seem to stand between thousands: all could, and others have commas."""
        return [self._commas and each for each in map(operator.and_, self._pointed, self._grouped)]


def _some(flags: pa.Array) -> bool:
    return bool(pc.any(flags, min_count=0).as_py())


def moment(strings: pa.Array) -> pa.DataType:
    """The type of dates, instants or times that every value of ``strings`` can be read as, or text."""
    first = strings.drop_null().slice(0, 64)
    moments = (kind for kind in READINGS if pa.types.is_temporal(kind))
    return next((kind for kind in moments if fits(first, kind) and fits(strings, kind)), pa.string())


def fits(strings: pa.Array, kind: pa.DataType, comma: bool = False) -> bool:
    """Whether every value of ``strings`` can be read as ``kind``."""
    try:
        convert(strings, kind, comma)
    except pa.ArrowInvalid:
        return False
    return True


def convert(strings: pa.Array, kind: pa.DataType, comma: bool = False) -> pa.Array:
    """``strings`` read as ``kind``. Raises ArrowInvalid when a value cannot be."""
    if pa.types.is_null(kind):
        return _nothing(strings)
    if kind == CLOCK:
        times = tidied(strings)
        if not pc.all(pc.match_substring_regex(times, HOURS), min_count=0).as_py():
            raise pa.ArrowInvalid("hours without minutes are numbers or names")
        stamps = pc.binary_join_element_wise("1970-01-01 ", times, "")
        return pc.cast(pc.cast(stamps, pa.timestamp("us")), CLOCK)
    try:
        return pc.cast(strings, kind)
    except pa.ArrowInvalid:
        return pc.cast(tidied(strings, comma), kind)


def tidied(strings: pa.Array, comma: bool = False) -> pa.Array:
    """Numbers without blanks around them, a plus sign before them or a decimal comma in them; blanks alone are null."""
    plain = pc.replace_substring_regex(strings, r"^\s*\+?|\s+$", "")
    plain = pc.if_else(pc.equal(plain, ""), None, plain)
    return pc.replace_substring(plain, ",", ".") if comma else plain


def join(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The narrowest type that holds the values of both.

    >>> join(pa.int64(), pa.float64()), join(pa.null(), pa.bool_()), join(pa.int64(), pa.bool_())
    (DataType(double), DataType(bool), DataType(string))
    """
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    return WIDER.get((one, other)) or WIDER.get((other, one)) or pa.string()


def first_misfit(strings: pa.Array, kind: pa.DataType, comma: bool = False) -> int:
    """The place of the first value that cannot be read as ``kind``, found by halving."""
    start, length = 0, len(strings)
    while length > 1:
        half = length // 2
        if fits(strings.slice(start, half), kind, comma):
            start, length = start + half, length - half
        else:
            length = half
    return start


def _nothing(strings: pa.Array) -> pa.Array:
    if strings.null_count < len(strings) and tidied(strings).null_count < len(strings):
        raise pa.ArrowInvalid("there are values")
    return pa.nulls(len(strings))


def _names(strings: pa.Array, first: pa.Array, kind: pa.DataType) -> bool:
    """Whether what can be read as numbers of ``kind`` is names made of digits; ``first`` are the first of them."""
    if kind == pa.int64() and pc.any(pc.match_substring_regex(strings, PADDED)).as_py():
        return True
    long = (pc.all(pc.match_substring_regex(each, LONG), min_count=0).as_py() for each in (first, strings))
    if kind in (pa.int64(), pa.float64()) and len(first) and all(long):
        numbers = pc.cast(convert(strings, kind), pa.float64(), safe=False)
        return bool(pc.count_distinct(numbers).as_py() < pc.count_distinct(strings).as_py())
    return False
