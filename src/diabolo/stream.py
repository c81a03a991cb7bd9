"""Rows through a fitted task: reading, scoring and writing at once, in order and in bounded memory.

    source --thread--> blocks --thread--> results --> whoever asks

A block holds at most ``ROWS`` rows and about ``VALUES`` values, and at most ``HELD`` blocks exist at once, however
long the file is.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diabolo.errors import InvalidData, SchemaMismatch
from diabolo.grids import cells, is_grid
from diabolo.thresholds import false_discovery
from diabolo.writers import open_sink

if TYPE_CHECKING:
    from diabolo.readers import Source
    from diabolo.tasks.anomaly_detector import AnomalyDetector
    from diabolo.tasks.task import Task

T = TypeVar("T")
Step = Callable[[float, str], None]
ROW: Final = "(row)"  # the first of the columns, and
LABEL: Final = "(label)"  # the last, which the data may have too
REASONS: Final = "reasons"
ROWS: Final = 65_536
VALUES: Final = 1 << 21
HELD: Final = 8  # two waiting and one in hand on either side of the scoring thread, one in, one out
_END: Final = object()


def ahead(items: Iterator[T], depth: int = 2) -> Generator[T]:
    """``items`` in their order, up to ``depth`` of them made ahead by a thread; its errors are raised here.

    >>> list(ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    pool = ThreadPoolExecutor(1)
    pending: deque[Future[Any]] = deque()
    try:
        for _ in range(depth):
            pending.append(pool.submit(next, items, _END))
        while (item := pending.popleft().result()) is not _END:
            pending.append(pool.submit(next, items, _END))
            yield cast(T, item)
    finally:
        _stop(pool, pending, items)


def _stop(pool: ThreadPoolExecutor, pending: Iterable[Future[Any]], items: Iterator[Any]) -> None:
    """End the thread after the item in hand; the thread itself closes ``items``, which no other may do meanwhile."""
    for each in pending:
        each.cancel()
    if isinstance(items, Generator):
        pool.submit(items.close)
    pool.shutdown()


def results(task: Task, source: Source, labels: str | None = None) -> Iterator[pa.RecordBatch]:
    """What ``task.run`` makes of every block of ``source``; row order is that of the source.

    The column ``labels`` of the source comes last, as ``(label)``: it may have the name of a verdict. A source without
    rows gives one result without rows, so that its columns are known.
    """
    return ahead(_run(task, source, ahead(_blocks(source)), labels))


def feed(task: Task, source: Source, take: Callable[[pa.Table], object]) -> None:
    """Give the rows of ``source`` to ``take``, a block at a time in their order; errors name the row of the source."""
    for _ in _each(task, source, ahead(_blocks(source)), lambda batch: take(pa.table(batch)) if len(batch) else None):
        pass


def check_names(task: Task, names: Iterable[str]) -> None:
    """Raise SchemaMismatch where columns to learn from have names that ``run`` gives to what it finds.

    That would take the place of such a column in the result.
    """
    taken = next((name for name in names if task.adds(name)), None)
    if taken is not None:
        raise SchemaMismatch(
            f"The column {taken!r} has a name that `run` gives to what it finds. Leave it out of the fit if it is a "
            f"label or comes from an earlier run (-p ignore={taken}), or rename it."
        )


def block_rows(schema: pa.Schema) -> int:
    """Rows of a block, fewer where rows are wide."""
    return max(1, min(ROWS, VALUES // max(1, cells(schema))))


def _blocks(source: Source) -> Iterator[pa.RecordBatch]:
    empty = True
    for batch in source.batches(block_rows(source.schema)):
        empty = False
        yield batch
    if empty:
        yield pa.RecordBatch.from_pylist([], schema=source.schema)


def _run(
    task: Task, source: Source, batches: Generator[pa.RecordBatch], labels: str | None
) -> Iterator[pa.RecordBatch]:
    def run(batch: pa.RecordBatch) -> pa.RecordBatch:
        result = task.run(batch) if len(batch) else _header(task, batch.schema)
        return result if labels is None else result.append_column(LABEL, batch[labels])

    return _each(task, source, batches, run)


def _each(
    task: Task, source: Source, batches: Generator[pa.RecordBatch], read: Callable[[pa.RecordBatch], T]
) -> Iterator[T]:
    """What ``read`` makes of each block; its errors name the place in the source."""
    start = 0
    with closing(batches):
        for batch in batches:
            try:
                yield read(batch)
            except InvalidData as error:
                raise _located(error, task, source, batch, start) from None
            start += len(batch)


def _header(task: Task, schema: pa.Schema) -> pa.RecordBatch:
    """A result without rows: that of a row without values, less the row."""
    nothing = pa.RecordBatch.from_arrays([pa.nulls(1, each.type) for each in schema], names=schema.names)
    return task.run(nothing).slice(0, 0)


def _located(error: InvalidData, task: Task, source: Source, batch: pa.RecordBatch, start: int) -> InvalidData:
    """The error with the name of the file and, where it speaks of a row, the number of the row in the file."""
    try:
        task.preparation_.transform(batch, lambda row: source.locate(start + row))
    except InvalidData as again:
        error = again
    return error if source.name in str(error) else type(error)(f"{source.name}: {error}")


def controlled(batches: Iterator[pa.RecordBatch], level: float) -> Iterator[pa.RecordBatch]:
    """The results of a detector with ``anomaly`` decided over all rows together.

    Of the rows marked, at most the share ``level`` is expected to be normal (Benjamini and Hochberg, 1995). That needs
    every p-value before the first decision: 9 bytes per row are kept in memory, the results in a temporary file.
    """
    with tempfile.TemporaryFile() as spool:
        anomaly = false_discovery(_spooled(batches, spool), level)
        spool.seek(0)
        start = 0
        for batch in pa.ipc.open_stream(spool):
            yield _decided(batch, anomaly[start : start + len(batch)])
            start += len(batch)


def _spooled(batches: Iterator[pa.RecordBatch], spool: IO[bytes]) -> np.ndarray:
    """The p-values of all rows, once every batch is in the file."""
    first = next(batches)
    p = [first["p_value"].to_numpy()]
    with pa.ipc.new_stream(spool, first.schema) as writer:
        writer.write_batch(first)
        for batch in batches:
            writer.write_batch(batch)
            p.append(batch["p_value"].to_numpy())
    return np.concatenate(p)


def _decided(batch: pa.RecordBatch, anomaly: np.ndarray) -> pa.RecordBatch:
    return batch.set_column(batch.schema.get_field_index("anomaly"), "anomaly", pa.array(anomaly))


def explained(batches: Iterator[pa.RecordBatch], detector: AnomalyDetector) -> Iterator[pa.RecordBatch]:
    """The results with one column more, ``reasons``: why a row is an anomaly, null where it is none."""
    from diabolo.explain import reasons

    for batch in batches:
        marked = np.flatnonzero(batch["anomaly"].to_numpy(zero_copy_only=False))
        told = np.full(len(batch), None, dtype=object)
        if len(marked):
            why = reasons(detector, pa.table(batch).take(pa.array(marked)), nearest=0)
            told[marked] = ["; ".join(map(str, each.reasons)) for each in why]
        if REASONS in batch.schema.names:
            batch = batch.drop_columns([REASONS])
        yield batch.append_column(REASONS, pa.array(told, pa.string()))


def verdicts(batches: Iterator[pa.RecordBatch], detector: AnomalyDetector) -> Iterator[pa.RecordBatch]:
    """The results of a detector without the columns of the data."""
    for batch in batches:
        yield batch.select([name for name in batch.schema.names if detector.adds(name)])


def without_grids(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The results without the images or series themselves."""
    for batch in batches:
        yield batch.select([field.name for field in batch.schema if not is_grid(field.type)])


def watched(batches: Iterator[pa.RecordBatch], step: Step) -> Iterator[pa.RecordBatch]:
    """The same batches; ``step`` hears of each once it has been dealt with."""
    rows = 0
    for batch in batches:
        yield batch
        rows += len(batch)
        step(len(batch), f"{rows:,} rows")


def write(
    batches: Iterator[pa.RecordBatch], path: str, format: str | None = None, *, judged: bool = False
) -> tuple[int, int | None]:
    """Write all batches to one file: how many rows there were, and how many are marked where they were ``judged``."""
    marked = 0 if judged else None
    with _named(path), open_sink(path, format) as sink:
        for batch in batches:
            sink.write(batch)
            if marked is not None:
                marked += batch["anomaly"].true_count
    return sink.rows, marked


@contextmanager
def _named(path: str) -> Iterator[None]:
    """A full disk is told with the name of the file that it was full for."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, "standard output" if path == "-" else path) from error


def labelled(batches: Iterator[pa.RecordBatch], *names: str) -> tuple[list[pa.ChunkedArray], int]:
    """The labels and some columns of all results that have one, held in memory; and how many results there were."""
    kept = pa.Table.from_batches([batch.select([batch.num_columns - 1, *names]) for batch in batches])
    there = pc.invert(pc.is_null(kept.column(0), nan_is_null=True))
    return kept.filter(there).columns, len(kept)


def strangest(batches: Iterator[pa.RecordBatch], count: int) -> tuple[list[int], pa.Table]:
    """The ``count`` rows of highest score, the highest first, with their numbers from 0."""
    best, start = [], 0
    for batch in batches:
        numbers = pa.array(np.arange(start, start + len(batch)))
        best.append(pa.table(batch).add_column(0, ROW, numbers))
        start += len(batch)
        together = pa.concat_tables(best)
        best = [together.take(pc.select_k_unstable(together, count, [("anomaly_score", "descending")]))]
    return best[0].column(0).to_pylist(), best[0].remove_column(0)


def picked(source: Source, numbers: Sequence[int]) -> tuple[list[int], pa.Table]:
    """The rows of these numbers, from 0, in their order. Raises InvalidData if the source ends before them."""
    wanted, found, start = np.unique(numbers), [], 0
    for batch in _blocks(source):
        inside = wanted[(wanted >= start) & (wanted < start + len(batch))]
        found.append(pa.table(batch).take(pa.array(inside - start)))
        start += len(batch)
    if wanted[-1] >= start:
        raise InvalidData(f"{source.name} has {start} rows, 0 to {start - 1}; there is no row {wanted[-1]}.")
    order = np.searchsorted(wanted, numbers)
    return list(numbers), pa.concat_tables(found).take(pa.array(order))
