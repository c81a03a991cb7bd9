"""Findings: what a report keeps of the rows that stream past, in memory that does not grow with their number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from diabolo.preparation.survey import scattered
from diabolo.readers import Source
from diabolo.schema import Column, Schema
from diabolo.stream import block_rows, check_names, results
from diabolo.tasks.anomaly_detector import AnomalyDetector
from diabolo.tasks.imputer import Imputer
from diabolo.tasks.task import Task

SAMPLE = 2_000  # rows of the sample that maps and little histograms are drawn from
SAMPLE_VALUES = 4_000_000  # values of the sample; wide rows make it smaller
STRANGEST = 250  # strangest rows kept for the map
FINE = 0.001  # width of a fine bin, in log(1 + score)
LAST = 36.0  # log(1 + score) beyond which all scores share a bin
EXAMPLES = 8  # completed rows that are shown
ROUNDING = 1e-5  # relative: rows are prepared in float32


class Kept:
    """The ``count`` rows of largest key, the largest first, out of any number of rows.

    >>> kept = Kept(2)
    >>> kept.add(pa.table({"a": [10, 11, 12]}), np.array([0.1, 0.9, 0.5]), first=100)
    >>> kept.table["a"].to_pylist(), kept.numbers.tolist()
    ([11, 12], [101, 102])
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.keys = np.empty(0)
        self.numbers = np.empty(0, np.int64)
        self.table: pa.Table = pa.table({})

    def add(self, rows: pa.Table, keys: np.ndarray, first: int) -> None:
        """Take in rows whose numbers start with ``first``."""
        best = np.argsort(-keys, kind="stable")[: self.count]
        keys = np.concatenate([self.keys, keys[best]])
        numbers = np.concatenate([self.numbers, best + first])
        taken = rows.take(pa.array(best))
        table = pa.concat_tables([self.table, taken]) if len(self.keys) else taken
        order = np.argsort(-keys, kind="stable")[: self.count]
        self.keys, self.numbers, self.table = keys[order], numbers[order], table.take(pa.array(order))


class Spectrum:
    """How many scores fell where, finely enough to draw any histogram: bins of 0.001 in log(1 + score)."""

    def __init__(self) -> None:
        self.counts = np.zeros((2, int(LAST / FINE) + 1), np.int64)  # rows not marked, rows marked
        self.largest = 0.0

    def add(self, scores: np.ndarray, marked: np.ndarray) -> None:
        place = np.clip(np.log1p(np.maximum(scores, 0)) / FINE, 0, self.counts.shape[1] - 1).astype(np.int64)
        for kind in (0, 1):
            self.counts[kind] += np.bincount(place[marked == kind], minlength=self.counts.shape[1])
        self.largest = max(self.largest, float(scores.max(initial=0.0)))

    def binned(self, edges: np.ndarray) -> np.ndarray:
        """Rows (2, bins) between ascending ``edges`` of scores; those beyond the ends count in the first and last.

        Of a fine bin across an edge, rows not marked go below it and marked ones above: an edge at the cut parts them.
        """
        ends = np.expm1(np.arange(self.counts.shape[1] + 1) * FINE)
        places = np.searchsorted(edges, ends[:-1], side="left"), np.searchsorted(edges, ends[1:], side="right")
        last = len(edges) - 2
        both = zip(places, self.counts, strict=True)
        return np.array([np.bincount(np.clip(place - 1, 0, last), counts, last + 1) for place, counts in both])


class Gaps:
    """Per model column: values missing, and values unlike any of the fit (outside its range, or a new category)."""

    def __init__(self, schema: Schema) -> None:
        self.columns = schema.columns
        self.rows = 0
        self.missing = np.zeros(len(schema.columns), np.int64)
        self.new = np.zeros(len(schema.columns), np.int64)

    def add(self, x: np.ndarray) -> None:
        """Take in prepared rows (n, columns), of images and series every cell of the grid."""
        x = by_cell(x)
        self.rows += len(x)
        self.missing += np.isnan(x).sum(0)
        self.new += [int(is_new(column, x[:, place]).sum()) for place, column in enumerate(self.columns)]


def by_cell(x: np.ndarray) -> np.ndarray:
    """Prepared rows (n, columns, *grid) as one row per cell (n * cells, columns)."""
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def is_new(column: Column, values: np.ndarray) -> np.ndarray:
    """Which prepared values are outside what the fit saw of the column."""
    if column.kind == "category":
        return values == len(column.categories) - 1
    if column.part not in ("value", "elapsed"):
        return np.zeros(len(values), bool)
    told = natural(column, values)
    slack = ROUNDING * max(abs(column.low), abs(column.high), abs(column.scale))
    return (told < column.low - slack) | (told > column.high + slack)


def natural(column: Column, values: np.ndarray) -> np.ndarray:
    """Prepared values in the user's units; what 32 bits do not tell from zero is zero."""
    values = values.astype(np.float64)
    if column.kind != "number":
        return values
    told = values * column.scale + column.center
    return np.where(np.abs(told) < ROUNDING * (column.scale + abs(column.center)), 0.0, told)


class Seen:
    """What every report keeps of its data: how many rows, which gaps, and a sample that was drawn, not chosen.

    ``name`` is what the data is called, ``labels`` a column of known labels, ``top`` how many rows are explained.
    """

    def __init__(self, task: Task, name: str, labels: str | None = None, top: int = 20) -> None:
        self.task, self.name, self.labels, self.top = task, name, labels, top
        self.schema = task.preparation_.schema_
        self.rows, self.gaps = 0, Gaps(self.schema)
        self.sample = Kept(bounded(SAMPLE, self.schema))

    def add(self, rows: pa.Table) -> np.ndarray:
        """Take in rows, and give them back prepared, (n, columns, *grid)."""
        x: np.ndarray = self.task.preparation_.transform(rows).numpy()
        self.gaps.add(x)
        self.sample.add(rows, -scattered(self.rows, len(rows)), self.rows)
        self.rows += len(rows)
        return x

    def prepared(self) -> np.ndarray:
        """The sample, prepared, (n, columns, *grid)."""
        rows = self.sample.table
        return self.task.preparation_.transform(rows).numpy() if len(rows) else np.empty((0, *self.schema.shape))


class Findings:
    """Everything that a detector's report says of the data, from one pass over it."""

    def __init__(self, detector: AnomalyDetector, seen: Seen) -> None:
        self.detector, self.seen = detector, seen
        self.marked, self.spectrum = 0, Spectrum()
        self.strangest = Kept(max(seen.top, bounded(STRANGEST, seen.schema)))
        self.totals = np.zeros(len(detector.explained_names_))
        self.shares = np.zeros(len(detector.explained_names_))
        self.leading = np.zeros(len(detector.explained_names_), np.int64)
        self.truth: list[pa.Array] = []
        self.scores: list[np.ndarray] = []

    def gather(self, source: Source) -> None:
        """Score every row of ``source``."""
        check_names(self.detector, self.detector.explained_names_)
        for result in results(self.detector, source, self.seen.labels):
            names = result.schema.names[: result.num_columns - (self.seen.labels is not None)]
            rows = pa.table(result).select([place for place, name in enumerate(names) if not self.detector.adds(name)])
            self.add(rows, result["anomaly_score"], result["anomaly"])
            self._remember(result)

    def add(self, rows: pa.Table, scores: pa.Array, marked: pa.Array) -> None:
        """Take in scored rows."""
        score, mark = scores.to_numpy(), marked.to_numpy(zero_copy_only=False)
        self.spectrum.add(score, mark)
        self.strangest.add(rows, score, self.seen.rows)
        self.seen.add(rows)
        self._blame(rows.filter(marked))
        self.marked += int(mark.sum())

    def _blame(self, rows: pa.Table) -> None:
        if len(rows):
            contributions = self.detector.explain(rows).reshape(len(rows), len(self.totals), -1).sum(2)
            self.totals += contributions.sum(0)
            self.shares += (contributions / contributions.sum(1, keepdims=True)).sum(0)
            self.leading += np.bincount(contributions.argmax(1), minlength=len(self.leading))

    def _remember(self, result: pa.RecordBatch) -> None:
        """Labels can be compared with scores only when all are there: about 20 bytes per row."""
        if self.seen.labels is not None:
            self.truth.append(result.column(result.num_columns - 1))
            self.scores.append(result["anomaly_score"].to_numpy())


class Completion:
    """Everything that an imputer's report says of the data, from one pass over it."""

    def __init__(self, imputer: Imputer, seen: Seen) -> None:
        self.imputer, self.seen, self.schema = imputer, seen, seen.schema
        self.incomplete = 0
        self.examples: list[tuple[int, dict[str, Any]]] = []
        self.grids: list[tuple[pa.Table, pa.Table]] = []  # the examples before and after, where they can be drawn

    def add(self, rows: pa.Table) -> None:
        """Complete rows, and take in what became of them."""
        first, completed = self.seen.rows, self.imputer.transform(rows)
        missing = np.isnan(self.seen.add(rows))
        incomplete = np.flatnonzero(missing.reshape(len(rows), -1).any(1))
        for row in incomplete[: EXAMPLES - len(self.examples)]:
            filled = {} if self.schema.grid else self._filled(missing[row], completed.slice(row, 1))
            self.examples.append((first + int(row), filled))
            self.grids += [(rows.slice(row, 1), completed.slice(row, 1))] if self.schema.grid else []
        self.incomplete += len(incomplete)

    def _filled(self, missing: np.ndarray, row: pa.Table) -> dict[str, Any]:
        names = dict.fromkeys(self.schema.columns[place].source for place in np.flatnonzero(missing))
        return row.select(list(names)).to_pylist()[0]


def bounded(rows: int, schema: Schema) -> int:
    """At most ``rows`` rows, fewer where they are wide."""
    return max(50, min(rows, SAMPLE_VALUES // math.prod(schema.shape)))


class Held(Source):
    """Rows in memory as a source."""

    def __init__(self, rows: pa.Table) -> None:
        self.name, self.schema, self.rows = "a table in memory", rows.schema, rows.num_rows
        self._rows = rows

    def piece(self, i: int) -> Iterator[pa.RecordBatch]:
        yield from self._rows.to_batches(max_chunksize=block_rows(self.schema))
