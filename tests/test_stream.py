"""Order, bounds and tidiness of the threads that read and score ahead, and the stages after them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from diabolo import AnomalyDetector, stream
from diabolo.errors import InvalidData, SchemaMismatch
from diabolo.readers import open_source
from diabolo.thresholds import false_discovery


class Counted:
    """0, 1, 2, ... that knows how many were asked for and whether it was closed."""

    def __init__(self, last: int, error_at: int | None = None) -> None:
        self.made, self.closed, self.last, self.error_at = 0, False, last, error_at
        self.threads: set[int] = set()

    def __call__(self) -> Iterator[int]:
        try:
            for number in range(self.last):
                if number == self.error_at:
                    raise InvalidData(f"row {number}")
                self.made += 1
                self.threads.add(threading.get_ident())
                yield number
        finally:
            self.closed = True


def test_ahead_keeps_the_order_in_one_other_thread() -> None:
    source = Counted(1000)
    assert list(stream.ahead(source())) == list(range(1000))
    assert len(source.threads) == 1
    assert threading.get_ident() not in source.threads


def test_ahead_is_ahead_but_never_far() -> None:
    source = Counted(100)
    items = stream.ahead(source(), depth=3)
    for taken in range(1, 50):
        next(items)
        assert taken <= source.made <= taken + 3
    items.close()
    assert source.closed


def test_ahead_raises_the_error_in_its_place() -> None:
    source = Counted(10, error_at=4)
    items = stream.ahead(source())
    assert [next(items) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(InvalidData, match="row 4"):
        next(items)


def test_ahead_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    items = stream.ahead(stream.ahead(Counted(100)()))
    next(items)
    assert threading.active_count() == before + 2
    items.close()
    assert threading.active_count() == before


def test_ahead_stops_after_the_item_in_hand() -> None:
    closed, started = threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        try:
            for number in range(1000):
                if number == 1:
                    started.set()
                    time.sleep(0.1)
                yield number
        finally:
            closed.set()

    items = stream.ahead(slow())
    assert next(items) == 0
    assert started.wait(1)
    items.close()
    assert closed.is_set()


def test_ahead_closes_what_others_still_hold() -> None:
    source = Counted(100)
    held = source()
    items = stream.ahead(held)
    next(items)
    items.close()
    assert source.closed and next(held, None) is None


@pytest.mark.parametrize(("columns", "rows"), [(0, 65_536), (30, 65_536), (64, 32_768), (10_000, 209), (10**8, 1)])
def test_blocks_hold_a_bounded_number_of_values(columns: int, rows: int) -> None:
    assert stream.block_rows(pa.schema([("x", pa.fixed_shape_tensor(pa.float32(), (columns,)))])) == rows


def scored(n: int, blocks: int, seed: int = 0) -> Iterator[pa.RecordBatch]:
    """What a detector might say of n rows, in several batches."""
    rng = np.random.default_rng(seed)
    p = rng.random(n) ** 3
    every = pa.table({"x": np.arange(n), "anomaly_score": -np.log(p), "p_value": p, "anomaly": p < 0.01})
    return iter(every.to_batches(max_chunksize=-(-n // blocks)))


def test_false_discoveries_are_controlled_over_all_batches() -> None:
    p = pa.Table.from_batches(scored(1000, 1))["p_value"].to_numpy()
    decided = pa.Table.from_batches(stream.controlled(scored(1000, 7), 0.2))
    assert decided["anomaly"].to_pylist() == false_discovery(p, 0.2).tolist()
    assert 0 < sum(decided["anomaly"].to_pylist()) < 1000
    assert decided["x"].to_pylist() == list(range(1000))


def test_strangest_rows_of_all_batches() -> None:
    whole = pa.Table.from_batches(scored(1000, 1))
    numbers, rows = stream.strangest(scored(1000, 9), 5)
    expected = np.argsort(-whole["anomaly_score"].to_numpy())[:5].tolist()
    assert numbers == rows["x"].to_pylist() == expected
    assert rows.column_names == whole.column_names
    assert len(stream.strangest(scored(3, 1), 5)[0]) == 3


def test_verdicts_leave_the_data_out() -> None:
    told = next(stream.verdicts(scored(3, 1), AnomalyDetector()))
    assert told.schema.names == ["anomaly_score", "p_value", "anomaly"]


def test_results_without_a_label_are_left_out_and_counted() -> None:
    labels = pa.array([1.0, None, 0.0, float("nan"), 1.0, 0.0])
    batches = [
        batch.append_column(stream.LABEL, labels[start : start + 3])
        for start, batch in zip((0, 3), scored(6, 2), strict=True)
    ]
    (found, x), rows = stream.labelled(iter(batches), "x")
    assert (found.to_pylist(), x.to_pylist(), rows) == ([1, 0, 1, 0], [0, 2, 4, 5], 6)


def test_written_rows_and_anomalies_are_counted(tmp_path: Path) -> None:
    steps = []
    results = stream.watched(scored(1000, 4), lambda rows, now: steps.append((rows, now)))
    rows, marked = stream.write(results, str(tmp_path / "out.csv"), judged=True)
    written = pa.Table.from_batches(open_source(tmp_path / "out.csv").batches())
    assert written["x"].to_pylist() == list(range(1000))
    assert marked == sum(written["anomaly"].to_pylist())
    assert rows == 1000
    assert steps == [(250, "250 rows"), (250, "500 rows"), (250, "750 rows"), (250, "1,000 rows")]


def test_rows_without_verdicts_are_counted_too(tmp_path: Path) -> None:
    batches = (batch.select(["x"]) for batch in scored(10, 2))
    assert stream.write(batches, str(tmp_path / "out.csv")) == (10, None)


def test_nothing_is_written_when_scoring_fails(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield next(scored(10, 1))
        raise InvalidData("row 11")

    with pytest.raises(InvalidData, match="row 11"):
        stream.write(broken(), str(tmp_path / "out.csv"))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def hundred(tmp_path: Path) -> Path:
    (tmp_path / "hundred.csv").write_text("a,b\n" + "".join(f"{i},{i * i}\n" for i in range(100)))
    return tmp_path / "hundred.csv"


def test_rows_are_picked_in_the_order_asked(hundred: Path) -> None:
    numbers, rows = stream.picked(open_source(hundred), [70, 3, 70])
    assert numbers == [70, 3, 70]
    assert rows["a"].to_pylist() == [70, 3, 70]


def test_rows_are_picked_across_blocks(hundred: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "ROWS", 8)
    assert stream.picked(open_source(hundred), [99, 0, 8])[1]["b"].to_pylist() == [9801, 0, 64]


def test_a_row_that_is_not_there_is_named(hundred: Path) -> None:
    with pytest.raises(InvalidData, match=r"hundred\.csv has 100 rows, 0 to 99; there is no row 100"):
        stream.picked(open_source(hundred), [5, 100])


class Same:
    """A task that returns what it is given."""

    def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch


def test_results_keep_rows_and_order(hundred: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "ROWS", 8)
    got = pa.Table.from_batches(stream.results(Same(), open_source(hundred)))
    assert got["a"].to_pylist() == list(range(100))


class Refusing:
    """A task that takes no row whose ``a`` is 20; like Preparation, it counts rows from the start of its batch."""

    def __init__(self) -> None:
        self.preparation_ = self

    def transform(self, batch: pa.RecordBatch, where: Callable[[int], str] = "row {}".format) -> None:
        if 20 in batch["a"].to_pylist():
            raise InvalidData(f"{where(batch['a'].to_pylist().index(20))}: 20 was given.")

    def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.transform(batch)
        return batch


def test_an_error_names_the_file_and_the_row_in_the_file(hundred: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "ROWS", 8)
    source = open_source(hundred)
    with pytest.raises(InvalidData, match=f"^{re.escape(source.locate(20))}: 20 was given"):
        list(stream.results(Refusing(), source))


def test_an_error_without_a_row_names_the_file(hundred: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def transform(batch: pa.RecordBatch, where: object = None) -> None:
        raise SchemaMismatch("The column 'c' is missing.")

    task = Refusing()
    monkeypatch.setattr(task, "transform", transform)
    with pytest.raises(SchemaMismatch, match=r"hundred\.csv: The column 'c' is missing"):
        list(stream.results(task, open_source(hundred)))


def test_a_source_without_rows_still_has_columns(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("a,b\n")
    got = list(stream.results(Same(), open_source(tmp_path / "empty.csv")))
    assert [batch.schema.names for batch in got] == [["a", "b"]]
    assert not len(got[0])


def test_columns_of_others_are_no_verdicts(tmp_path: Path) -> None:
    for values in (["yes", "no"], [True, False]):
        batch = pa.RecordBatch.from_pydict({"anomaly": values})
        assert stream.write(iter([batch]), str(tmp_path / "out.csv")) == (2, None)
