"""Survey: one pass over rows, in bounded memory, that learns what the columns of a schema are chosen from.

Counts, ranges, means and variances are exact (Welford, 1962; merged as in Chan, Golub and LeVeque, 1979); quantiles
come from a sample of rows whose choice depends on the row number alone, not on how the rows were cut into batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diabolo.errors import InvalidData
from diabolo.preparation.dates import MOMENTS, seconds, widened
from diabolo.preparation.spellings import Spellings
from diabolo.preparation.values import Role, numbers, role, used_of, words

LARGEST = 1e150  # beyond it squares leave the floating-point numbers
DISTINCT = 4096  # different texts of a column that are counted
TRIED = 256  # different texts of a block that are tried as numbers
LONGEST = 200  # characters beyond which a text is no category
SAMPLE_VALUES = 8_000_000  # values of the sample over all columns
FEWEST = 1000  # rows of the sample, however many columns there are

Locate = Callable[[int], str]


@dataclass
class Profile:
    """What one pass learned of one column of the user's.

    ``rows`` counts the values that are there, ``missing`` those that are not. ``whole``: all are whole numbers;
    ``rising``: none is below the one before. ``counts`` holds how often each text occurs, None if there are too
    many; ``letters`` is their mean length and ``numeric`` the share of them that reads as a number. Texts that all
    read as dates or times have the ``role`` and the numbers of these; ``seems`` says what others look like.
    ``zone`` is the time zone of instants.
    """

    name: str
    role: Role
    rows: int = 0
    missing: int = 0
    mean: float = 0.0
    std: float = 0.0
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    rising: bool = False
    sample: np.ndarray = field(default_factory=lambda: np.empty(0))
    counts: Counter[str] | None = None
    letters: float = 0.0
    numeric: float = 0.0
    seems: str = ""
    zone: str = ""


class Moments:
    """Count, mean, variance, range and order of each column of a matrix seen block by block.

    >>> seen = Moments(1)
    >>> seen.add(np.array([[1.0], [2.0]])); seen.add(np.array([[6.0], [np.nan]]))
    >>> seen.count.tolist(), seen.mean.tolist(), seen.missing.tolist()
    ([3], [3.0], [1])
    """

    def __init__(self, columns: int) -> None:
        self.count = np.zeros(columns, np.int64)
        self.missing = np.zeros(columns, np.int64)
        self.mean = np.zeros(columns)
        self._squares = np.zeros(columns)
        self.low = np.full(columns, np.nan)
        self.high = np.full(columns, np.nan)
        self.whole = np.ones(columns, bool)
        self.rising = np.ones(columns, bool)
        self._last = np.full(columns, -np.inf)

    @property
    def std(self) -> np.ndarray:
        """The standard deviation (of the rows seen, not an estimate for others)."""
        return np.sqrt(self._squares / np.maximum(self.count, 1))

    def add(self, x: np.ndarray) -> None:
        """Take in a block (rows, columns) of float64, NaN where a value is missing."""
        self.low = np.fmin(self.low, np.fmin.reduce(x, 0))
        self.high = np.fmax(self.high, np.fmax.reduce(x, 0))
        self._look_at_order(x)
        whole = np.flatnonzero(self.whole)
        self.whole[whole] = [_is_whole(x[:, j]) for j in whole]
        if not (np.abs(self.low) > LARGEST).any() and not (np.abs(self.high) > LARGEST).any():
            self._merge(x)

    def _merge(self, x: np.ndarray) -> None:
        missing = np.isnan(x).sum(0)
        count = len(x) - missing
        total = self.count + count
        shift = np.where(self.count > 0, self.mean, np.nan_to_num(self.low))  # near the values: no cancellation
        off = x - shift
        mean = np.nansum(off, 0) / np.maximum(count, 1) if missing.any() else off.mean(0)
        off -= mean
        squares = np.nansum(off * off, 0) if missing.any() else np.einsum("ij,ij->j", off, off)
        apart = shift + mean - self.mean
        share = count / np.maximum(total, 1)
        self._squares += squares + apart * apart * self.count * share
        self.mean = np.where(self.count > 0, self.mean + apart * share, shift + mean)
        self.count, self.missing = total, self.missing + missing

    def _look_at_order(self, x: np.ndarray) -> None:
        rising = np.flatnonzero(self.rising)
        if not len(rising):
            return
        part = x[:, rising]
        before = np.concatenate([self._last[None, rising], part[:-1]])
        self.rising[rising] = (part >= before).all(0)  # a gap is NaN, which is not >= anything
        self._last[rising] = part[-1]


class Sample:
    """The rows with the smallest hashed numbers, at most about ``size`` of them."""

    def __init__(self, size: int) -> None:
        self._size, self._limit = size, 1.0
        self._keys: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []

    def choose(self, first: int, count: int) -> np.ndarray:
        """Which of the rows ``first`` to ``first + count`` enter the sample, from 0."""
        keys = scattered(first, count)
        chosen = np.flatnonzero(keys < self._limit)
        self._keys.append(keys[chosen])
        return chosen

    def add(self, rows: np.ndarray) -> None:
        """The chosen rows."""
        self._rows.append(rows)
        if sum(map(len, self._keys)) > 2 * self._size:
            self._prune()

    def rows(self) -> np.ndarray:
        """The sample, in the order of the rows."""
        self._prune()
        return self._rows[0]

    def _prune(self) -> None:
        keys, rows = np.concatenate(self._keys), np.concatenate(self._rows)
        if len(keys) > self._size:
            self._limit = np.partition(keys, self._size)[self._size]
            kept = keys < self._limit
            keys, rows = keys[kept], rows[kept]
        self._keys, self._rows = [keys], [rows]


class Tally:
    """The different texts of a column and how often each occurs; ``kind``: of the dates or times that all read as."""

    def __init__(self) -> None:
        self.counts: Counter[str] | None = Counter()
        self.kind = pa.null()
        self.rows = self.missing = 0
        self.spellings = Spellings()
        self._letters = self._tried = self._numeric = 0

    def add(self, array: pa.Array) -> np.ndarray:
        """Take in a block of texts; returns their dates or times as ``numbers``, NaN where they are none."""
        texts = words(array)
        used = np.bincount(texts.indices.drop_null().to_numpy(), minlength=len(texts.dictionary))
        lengths = pc.binary_length(texts.dictionary).fill_null(0).to_numpy()
        self.missing += texts.null_count
        self.rows += int(used.sum())
        self._letters += int(used @ lengths)
        self._try(texts.dictionary.slice(0, TRIED))
        self._count(texts.dictionary, used, int(lengths[used > 0].max(initial=0)))
        self.kind = widened(self.kind, used_of(texts))
        return seconds(texts, self.kind)

    @property
    def letters(self) -> float:
        """The mean length in bytes."""
        return self._letters / max(self.rows, 1)

    @property
    def numeric(self) -> float:
        """The share of different texts, among those tried, that read as a number."""
        return self._numeric / max(self._tried, 1)

    def _try(self, texts: pa.Array) -> None:
        self._tried += len(texts)
        self._numeric += sum(is_number(text) for text in texts.to_pylist())
        self.spellings.add(texts.to_pylist())

    def _count(self, texts: pa.Array, used: np.ndarray, longest: int) -> None:
        if self.counts is None:
            return
        if longest > LONGEST or np.count_nonzero(used) > DISTINCT:
            self.counts = None
            return
        for place in np.flatnonzero(used):
            self.counts[texts[int(place)].as_py()] += int(used[place])
        if len(self.counts) > DISTINCT:
            self.counts = None


class Survey:
    """Profiles of all columns from one pass over batches (or blocks of an array).

    Memory: about 8 million sampled numbers and, per text column, 4096 texts of up to 200 characters.
    """

    def __init__(self, fields: pa.Schema, sample: int, locate: Locate) -> None:
        self._roles = {each.name: role(each.type) for each in fields}
        self._zones = {each.name: _zone(each.type) for each in fields}
        self._numeric = [name for name, each in self._roles.items() if each.is_numeric or each is Role.TEXT]
        self._places = {name: place for place, name in enumerate(self._numeric)}
        self._tallies = {name: Tally() for name, each in self._roles.items() if each is Role.TEXT}
        self._moments = Moments(len(self._numeric))
        self._sample = Sample(max(min(sample, SAMPLE_VALUES // max(len(self._numeric), 1)), min(sample, FEWEST)))
        self._locate = locate
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in a batch. Raises InvalidData for an infinite value or one beyond 1e150."""
        block = np.empty((len(self._numeric), batch.num_rows))
        for place, name in enumerate(self._numeric):
            tally, column = self._tallies.get(name), batch.column(name)
            block[place] = numbers(column) if tally is None else tally.add(column)
        self.add_numbers(block.T)

    def add_numbers(self, x: np.ndarray) -> None:
        """Take in the numbers alone: a block (rows, columns) of float64."""
        if not len(x):
            return
        self._moments.add(x)
        self._refuse_extremes(x)
        self._sample.add(x[self._sample.choose(self.rows, len(x))])
        self.rows += len(x)

    def profiles(self) -> list[Profile]:
        """What was learned, a profile per column in the order of the columns. Raises InvalidData without rows."""
        if not self.rows:
            raise InvalidData(
                f"Found array with 0 sample(s) (shape=(0, {len(self._roles)})) while a minimum of 1 is required."
            )
        sample = self._sample.rows()
        return [self._profile(name, each, sample) for name, each in self._roles.items()]

    def _profile(self, name: str, kind: Role, sample: np.ndarray) -> Profile:
        if name not in self._places:
            return Profile(name, kind, missing=self.rows)
        if seen := self._tallies.get(name):
            told: dict[str, Any] = {"counts": seen.counts, "letters": seen.letters, "numeric": seen.numeric}
            told["seems"] = seen.spellings.told
            text = Profile(name, kind, seen.rows, seen.missing, **told)
            if role(seen.kind) not in MOMENTS:
                return text
            return replace(self._numbers(name, role(seen.kind), sample), **told, zone=_zone(seen.kind))
        return replace(self._numbers(name, kind, sample), zone=self._zones[name])

    def _numbers(self, name: str, kind: Role, sample: np.ndarray) -> Profile:
        j, m = self._places[name], self._moments
        return Profile(
            name, kind, int(m.count[j]), int(m.missing[j]), float(m.mean[j]), float(m.std[j]), float(m.low[j]),
            float(m.high[j]), bool(m.whole[j]), bool(m.rising[j]), sample[~np.isnan(sample[:, j]), j],
        )  # fmt: skip

    def _refuse_extremes(self, x: np.ndarray) -> None:
        reach = np.fmax(np.abs(self._moments.low), np.abs(self._moments.high))
        for j in np.flatnonzero(reach > LARGEST):
            refuse_infinity(x[:, j], self._numeric[j], self.rows, self._locate)
            row = int(np.nanargmax(np.abs(x[:, j])))
            raise InvalidData(
                f"{self._locate(self.rows + row)}, column {self._numeric[j]!r}: {x[row, j]:g} is beyond "
                f"{LARGEST:g}, too large to square. Take logarithms of that column, or use another unit."
            )


def _zone(kind: pa.DataType) -> str:
    return (kind.tz or "") if pa.types.is_timestamp(kind) else ""


def refuse_infinity(values: np.ndarray, name: str, first: int, locate: Locate) -> None:
    """Raise InvalidData naming the row and the column if a value is infinite."""
    infinite = np.isinf(values)
    if infinite.any():
        row = int(infinite.argmax())
        raise InvalidData(
            f"{locate(first + row)}, column {name!r}: {values[row]:g} was given, but infinity is not a value to learn "
            "from. Put NaN where the value is missing, or a finite number."
        )


def scattered(first: int, count: int, seed: int = 0) -> np.ndarray:
    """A number in [0, 1) for each row number from ``first`` on: a hash (SplitMix64; Steele et al., 2014), not a stream.

    >>> bool((scattered(0, 10)[4:] == scattered(4, 6)).all())
    True
    """
    z = np.arange(first, first + count, dtype=np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15 + 1) % 2**64)
    z = z * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _is_whole(values: np.ndarray) -> bool:
    seen = values[~np.isnan(values)]
    return bool((seen == np.floor(seen)).all())


def is_number(text: str | None) -> bool:
    """Whether ``text`` reads as a number."""
    try:
        float(text or "")
    except ValueError:
        return False
    return True
