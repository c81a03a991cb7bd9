"""Encodings: the user's values as the numbers of model columns, and back.

    number    (value - center) / scale, clipped to +-1e6
    count     the value itself, clipped to 1e6; a negative one, which no count can be, is as far away as can be: 1e6
    boolean   0 or 1
    category  its place in the list, the last place if it is not in it
    elapsed   a number; hour, weekday, yearday: sine and cosine of the place in the cycle

NaN stands for a missing value in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diabolo.errors import InvalidData
from diabolo.preparation.dates import read
from diabolo.preparation.detection import CYCLES, MONDAY
from diabolo.preparation.survey import refuse_infinity
from diabolo.preparation.values import Role, clock, multiples, numbers, parsed, restored, role, unworded, words
from diabolo.schema import Column

Where = Callable[[int], str]

# A float32 near 1e6 still tells apart values 0.06 scales from each other, and its square, 1e12, adds up over ten
# million columns without overflow. Whatever lies farther out than a million scales is equally strange.
FARTHEST = 1e6
ROUNDED = 1e-5  # of a cycle: 32-bit sines and cosines tell a place in it no better
SURE = 2.0  # times the length of a sine and a cosine: from a length of 1/2 on they name a place in the cycle


def after(where: Where, first: int) -> Where:
    """``where`` for rows counted from row ``first`` on."""
    return lambda row: where(first + row)


def encode(columns: Sequence[Column], array: pa.Array, where: Where) -> list[np.ndarray]:
    """The numbers of all model ``columns`` of one source; ``where`` names a row for messages.

    Raises InvalidData for an infinite value and for one of the wrong type.
    """
    first = columns[0]
    if first.kind == "category":
        return [_places(first, array)]
    if first.part == "value":
        return [_value(first, array, where)]
    moments = read(array, first.source, where)
    return [_of_moment(column, moments) for column in columns]


def standardised(x: np.ndarray, center: np.ndarray | float, scale: np.ndarray | float) -> np.ndarray:
    """``(x - center) / scale`` computed in float64, clipped to +-1e6."""
    with np.errstate(over="ignore", invalid="ignore"):
        z = np.subtract(x, center, dtype=np.float64)
        z /= scale
    return np.clip(z, -FARTHEST, FARTHEST, out=z)


def _value(column: Column, array: pa.Array, where: Where) -> np.ndarray:
    if column.kind == "boolean" and column.categories:
        return _of_two(column, array, where)
    values = _numbers(column, array, where)
    if column.kind == "number":
        return standardised(values, column.center, column.scale)
    if column.kind == "count":
        return _counts(values)
    strange = ~np.isnan(values) & (values != 0) & (values != 1)
    if strange.any():
        raise _misfit(column, where, int(strange.argmax()), array, "not 0 or 1, true or false")
    return values


def of_cells(column: Column, values: np.ndarray, where: Where) -> np.ndarray:
    """The prepared values of a count or a boolean in the cells of grids (n, *grid). Raises InvalidData."""
    if column.kind == "count":
        return _counts(values)
    strange = ~np.isnan(values) & (values != 0) & (values != 1)
    if strange.any():
        row = int(strange.reshape(len(strange), -1).any(1).argmax())
        raise InvalidData(
            f"{where(row)}, column {column.source!r}: {values[strange][0]:g} is not 0 or 1, as all values of the fit "
            "were. Correct it, or leave it empty where the value is missing."
        )
    return values


def cells(column: Column, x: np.ndarray) -> np.ndarray:
    """The values of a column in the cells of grids, from prepared ones: the inverse."""
    if column.kind == "count":
        return np.maximum(x, 0.0)
    if column.kind == "boolean":
        return np.where(np.isnan(x), np.nan, x >= 0.5)
    return x * column.scale + column.center


def _counts(values: np.ndarray) -> np.ndarray:
    """What no count can be is as far away as a count may be."""
    return np.where(values < 0, FARTHEST, np.minimum(values, FARTHEST))


def _numbers(column: Column, array: pa.Array, where: Where) -> np.ndarray:
    kind = role(array.type)
    if kind in (Role.DATE, Role.TIME) or (kind is Role.OTHER and not array.null_count == len(array)):
        raise InvalidData(f"Column {column.source!r} held numbers in fit and now holds {array.type}. Convert it.")
    given = array
    if column.kind == "boolean" and kind is Role.TEXT:
        texts = words(array)
        given = pa.DictionaryArray.from_arrays(texts.indices, _as_flags(texts.dictionary))
    try:
        values = parsed(given)
    except pa.ArrowInvalid:
        raise _misfit(column, where, _first_text(given), array, "not a number") from None
    refuse_infinity(values, column.source, 0, where)
    return values


def _of_two(column: Column, array: pa.Array, where: Where) -> np.ndarray:
    values = _index(column.categories, array)
    strange = np.isnan(values) & array.is_valid().to_numpy(zero_copy_only=False)
    if strange.any():
        raise _misfit(column, where, int(strange.argmax()), array, f"neither of {column.categories}")
    return values


def _places(column: Column, array: pa.Array) -> np.ndarray:
    places = _index(column.categories[:-1], array)
    unseen = np.isnan(places) & array.is_valid().to_numpy(zero_copy_only=False)
    if array.type in (pa.float32(), pa.float64()):
        unseen &= ~np.isnan(numbers(array))
    return np.where(unseen, len(column.categories) - 1.0, places)


def _index(names: Sequence[str], array: pa.Array) -> np.ndarray:
    texts, known = words(array), pa.array(names, pa.string())
    found, flags = texts.dictionary, _as_flags(known)
    if set(flags.to_pylist()) <= {"0", "1"} and len(flags.unique()) == len(names):  # true or 1: the same flag
        found, known = _as_flags(found), flags
    places = pc.index_in(found, value_set=known)
    return np.asarray(places.take(texts.indices).to_numpy(zero_copy_only=False), dtype=np.float64)


def _of_moment(column: Column, array: pa.Array) -> np.ndarray:
    if role(array.type) not in (Role.DATE, Role.TIME, Role.EMPTY):
        raise InvalidData(
            f"Column {column.source!r} held dates or times in fit and now holds {array.type}. Convert it, for example "
            "from ISO 8601 text (2024-02-29 12:30:00)."
        )
    if role(array.type) is Role.EMPTY:
        return np.full(len(array), np.nan)
    if column.part == "elapsed":
        return standardised(numbers(array), column.center, column.scale)
    cycle, wave = column.part.split()
    angle = 2 * np.pi * _turn(clock(array, column.zone), cycle)
    return standardised(np.sin(angle) if wave == "sin" else np.cos(angle), column.center, column.scale)


def _turn(seconds: np.ndarray, cycle: str) -> np.ndarray:
    """How much of the day, week or year has passed, in turns."""
    return (seconds - (MONDAY if cycle == "weekday" else 0.0)) / CYCLES[cycle] % 1.0


def decode(
    columns: Sequence[Column], x: Sequence[np.ndarray], kind: pa.DataType, *, rounded: bool = True
) -> pa.Array | None:
    """The values of one source, of type ``kind``, from the numbers of its model columns; None if they do not tell.

    Dates are the moments nearest to what ``elapsed`` tells that have the hour, the weekday and the day of the year
    told. ``rounded`` numbers, dates and times are as fine as those of the fit.
    """
    first, grain = columns[0], columns[0].grain if rounded else 0.0
    if first.kind == "category":
        return _named(first.categories[:-1], x[0], kind)
    if first.kind == "boolean":
        chosen = np.where(np.isnan(x[0]), np.nan, x[0] >= 0.5)
        return _named(first.categories, chosen, kind) if first.categories else _of_type(chosen, kind)
    if first.kind == "count":
        return _of_type(_rounded(cells(first, x[0]), grain), kind)
    told = {each.part: part * each.scale + each.center for each, part in zip(columns, x, strict=True)}
    if first.part == "value":
        return _of_type(_rounded(told["value"], grain), kind)
    seconds = _seconds(first, told, kind)
    return None if seconds is None else restored(_rounded(seconds, grain), kind)


def _rounded(values: np.ndarray, grain: float) -> np.ndarray:
    return multiples(values, grain) if grain else values


def _seconds(column: Column, told: Mapping[str, np.ndarray], kind: pa.DataType) -> np.ndarray | None:
    if pa.types.is_time(kind):
        return np.arctan2(told["hour sin"], told["hour cos"]) / (2 * np.pi) % 1.0 * CYCLES["hour"]
    if "elapsed" not in told:
        return None
    local = clock(restored(told["elapsed"], kind), column.zone)
    offset = local - told["elapsed"]
    return _in_step(local, told, column.low + offset, column.high + offset) - offset


def _in_step(seconds: np.ndarray, told: Mapping[str, np.ndarray], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The nearest moments at which each cycle stands where it is told, the longest first; none leaves low to high.

    A sine and a cosine near 0 name no place in the cycle: the less they are, the less the moment moves.
    """
    for cycle in (each for each in reversed(CYCLES) if f"{each} sin" in told):
        sine, cosine = told[f"{cycle} sin"], told[f"{cycle} cos"]
        ahead = np.arctan2(sine, cosine) / (2 * np.pi) - _turn(seconds, cycle)
        turns = (ahead + 0.5) % 1.0 - 0.5
        length = CYCLES[cycle] * np.minimum(SURE * np.hypot(sine, cosine), 1.0)
        early = (seconds >= low) & (seconds + (turns + ROUNDED) * length < low)
        late = (seconds <= high) & (seconds + (turns - ROUNDED) * length > high)
        seconds = seconds + (turns + early - late) * length
    return seconds


def natural(columns: Sequence[Column]) -> pa.DataType:
    """The type that a source most plausibly had, where no rows are there to look at."""
    first = columns[0]
    if first.kind == "category" or first.categories:
        return pa.string()
    if first.kind != "number":
        return pa.bool_() if first.kind == "boolean" else pa.int64()
    kinds = {"elapsed": pa.timestamp("us"), "value": pa.float64(), "hour sin": pa.time64("us")}
    return kinds.get(first.part, pa.null())


def _of_type(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Numbers as ``kind``; text where the user's numbers came as text."""
    if pa.types.is_dictionary(kind):
        return _of_type(values, kind.value_type).dictionary_encode().cast(kind)
    return restored(values, kind) if role(kind).is_numeric else pa.array(values, mask=np.isnan(values)).cast(kind)


def _named(names: Sequence[str], places: np.ndarray, kind: pa.DataType) -> pa.Array:
    known = ~np.isnan(places) & (places < len(names) - 0.5)
    index = pa.array(np.where(known, np.rint(places), 0).astype(np.int32), mask=~known)
    return unworded(pa.array(names, pa.string()).take(index), kind)


def _as_flags(texts: pa.Array) -> pa.Array:
    """The texts true and false as 1 and 0; other texts stay."""
    lower = pc.utf8_lower(texts)
    return pc.if_else(pc.equal(lower, "true"), "1", pc.if_else(pc.equal(lower, "false"), "0", texts))


def _first_text(array: pa.Array) -> int:
    """The place of the first value that does not read as a number, found by halving."""
    start, length = 0, len(array)
    while length > 1:
        half = length // 2
        try:
            parsed(array.slice(start, half))
        except pa.ArrowInvalid:
            length = half
        else:
            start, length = start + half, length - half
    return start


def _misfit(column: Column, where: Where, row: int, array: pa.Array, told: str) -> InvalidData:
    return InvalidData(
        f"{where(row)}, column {column.source!r}: {array[row].as_py()!r:.80} is {told}. Correct it, leave it empty "
        f"where the value is missing, or fit with likelihoods={{{column.source!r}: 'Categorical'}}."
    )
