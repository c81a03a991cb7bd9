"""What is written is read back; a file is whole or not there."""

from __future__ import annotations

import csv
import datetime as dt
import errno
import io
import json
import math
import os
import stat
import sys
import threading
import uuid
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from diabolo.errors import InvalidData, InvalidParameter
from diabolo.readers import open_sink, open_source

TABLE = pa.table({"a": [1.5, None, 3.0], "s": ["x,1", 'say "y"\n', None], "n": [1, 2, 3]})
NAMES = ["t.csv", "t.tsv", "t.parquet", "t.arrow", "t.jsonl", "t.csv.gz", "t.jsonl.gz"]


@pytest.mark.parametrize("name", NAMES)
def test_round_trip_in_several_batches(tmp_path: Path, name: str) -> None:
    with open_sink(tmp_path / name) as sink:
        for batch in TABLE.to_batches(2):
            sink.write(batch)
        sink.write(TABLE)
    assert sink.rows == 6
    assert open_source(tmp_path / name).table().to_pylist() == 2 * TABLE.to_pylist()


@pytest.mark.parametrize("name", NAMES)
def test_dictionaries_may_change_between_batches(tmp_path: Path, name: str) -> None:
    with open_sink(tmp_path / name) as sink:
        for words in (["x", "y"], ["z", "x"]):
            sink.write(pa.table({"s": pa.array(words).dictionary_encode()}))
    read = open_source(tmp_path / name).table()
    assert read.to_pydict() == {"s": ["x", "y", "z", "x"]}


@pytest.mark.parametrize("name", NAMES)
def test_an_error_leaves_the_old_file(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.write_text("old")
    with pytest.raises(ZeroDivisionError), open_sink(place) as sink:
        sink.write(TABLE)
        raise ZeroDivisionError
    assert place.read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("name", NAMES)
def test_a_failure_at_the_end_leaves_the_old_file(
    tmp_path: Path, name: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    place = tmp_path / name
    place.write_text("old")
    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space"), open_sink(place) as sink:
        sink.write(TABLE)
    assert place.read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "from a network folder")
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    with open_sink(tmp_path / "t.csv") as sink:
        sink.write(TABLE)
    assert open_source(tmp_path / "t.csv").table().num_rows == 3


def test_permissions_are_those_of_the_old_file(tmp_path: Path) -> None:
    place = tmp_path / "t.csv"
    place.touch()
    place.chmod(0o600)
    with open_sink(place) as sink:
        assert [stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()] == [0o600] * 2
        sink.write(TABLE)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    with open_sink(tmp_path / "link.csv") as sink:
        sink.write(TABLE)
    assert (tmp_path / "link.csv").is_symlink()
    assert open_source(tmp_path / "real.csv").table().num_rows == 3


@pytest.mark.parametrize(("name", "failed"), [("pipe.csv", False), ("pipe.csv", True), ("pipe", False)])
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path, name: str, failed: bool) -> None:
    os.mkfifo(tmp_path / name)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append((tmp_path / name).read_text()))
    reader.start()
    with pytest.raises(ZeroDivisionError) if failed else nullcontext(), open_sink(tmp_path / name) as sink:
        sink.write(TABLE)
        if failed:
            raise ZeroDivisionError
    reader.join()
    assert heard[0].startswith("a,s,n\n1.5,")
    assert [each.is_fifo() for each in tmp_path.iterdir()] == [True]


def test_instants_are_written_as_people_write_them(tmp_path: Path) -> None:
    whole, fraction = (
        np.array(["2024-02-29T12:30:05", "NaT"], "M8[ns]"),
        np.array(["2024-02-29T12:30:05.25"] * 2, "M8[ms]"),
    )
    with open_sink(tmp_path / "t.csv") as sink:
        sink.write(pa.table({"whole": whole, "fraction": fraction}))
    assert (tmp_path / "t.csv").read_text().splitlines()[1:] == [
        "2024-02-29 12:30:05,2024-02-29 12:30:05.250",
        ",2024-02-29 12:30:05.250",
    ]


def test_columns_pack_by_themselves(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="packs by itself"):
        open_sink(tmp_path / "t.parquet.gz")


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
    sink = open_sink(tmp_path / "t.csv")
    sink.write(TABLE)
    assert not (tmp_path / "t.csv").exists()
    sink.close()
    assert [each.name for each in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize("format", ["csv", "tsv", "parquet", "arrow", "jsonl"])
def test_standard_output(tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", type("Stdout", (), {"buffer": out}))
    with open_sink("-", format) as sink:
        sink.write(TABLE)
    (tmp_path / "t").write_bytes(out.getvalue())
    assert open_source(tmp_path / "t", format).table().to_pylist() == TABLE.to_pylist()


def test_json_has_no_nan(tmp_path: Path) -> None:
    with open_sink(tmp_path / "t.jsonl") as sink:
        sink.write(pa.table({"x": [np.nan, np.inf, -np.inf, 1.0]}))
    rows = [json.loads(line)["x"] for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert rows == [None, sys.float_info.max, -sys.float_info.max, 1.0]


def test_nested_values_become_json_in_csv(tmp_path: Path) -> None:
    with open_sink(tmp_path / "t.csv") as sink:
        sink.write(pa.table({"l": [[1, 2], None]}))
    assert (tmp_path / "t.csv").read_text() == 'l\n"[1, 2]"\n\n'


def test_bytes_become_base64_in_text(tmp_path: Path) -> None:
    for name in ("t.csv", "t.jsonl"):
        with open_sink(tmp_path / name) as sink:
            sink.write(pa.table({"b": [b"\xff\x00", None], "n": [1, 2]}))
        assert open_source(tmp_path / name).table()["b"].to_pylist() == ["/wA=", None]


def test_gaps_inside_lists_and_structs(tmp_path: Path) -> None:
    rows = pa.table({"l": [[1.0, math.nan]], "s": [{"x": -math.inf}]})
    for ending in ("csv", "jsonl"):
        with open_sink(tmp_path / f"t.{ending}") as sink:
            sink.write(rows)
    assert json.loads((tmp_path / "t.jsonl").read_text())["l"] == [1.0, None]
    (told,) = csv.DictReader((tmp_path / "t.csv").read_text().splitlines())
    assert json.loads(told["l"]) == [1.0, None] and json.loads(told["s"])["x"] < -1e300


def test_identifiers_and_intervals_are_spelled(tmp_path: Path) -> None:
    name = uuid.UUID(int=7)
    rows = {
        "u": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([name.bytes], pa.binary(16))),
        "j": pa.ExtensionArray.from_storage(pa.json_(), pa.array(["[1]"])),
        "i": pa.array([pa.MonthDayNano([1, 2, 3])]),
    }
    for ending in ("csv", "jsonl"):
        with open_sink(tmp_path / f"t.{ending}") as sink:
            sink.write(pa.table(rows))
        told = open_source(tmp_path / f"t.{ending}").table()
        assert told["u"].to_pylist() == [str(name)] and told["j"].to_pylist() == ["[1]"]
    assert all("[1, 2, 3]" in (tmp_path / f"t.{ending}").read_text() for ending in ("csv", "jsonl"))
    with pytest.raises(InvalidData, match=r"Name a \.arrow file"), open_sink(tmp_path / "t.parquet") as sink:
        sink.write(pa.table(rows))


def test_text_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2000, np.int32)), pa.array(["x" * 1_000_000]))
    with pytest.raises(InvalidData, match="Leave that column out"), open_sink(tmp_path / "t.csv") as sink:
        sink.write(pa.table({"s": words}))
    assert not list(tmp_path.iterdir())


def test_later_rows_take_the_types_of_the_first(tmp_path: Path) -> None:
    day = pa.array([dt.date(2024, 2, 29)])
    with open_sink(tmp_path / "t.csv") as sink:
        for each in (day.cast(pa.timestamp("s")), day):
            sink.write(pa.table({"day": each}))
    assert (tmp_path / "t.csv").read_text() == "day\n" + 2 * "2024-02-29 00:00:00\n"


def test_other_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="follow columns"), open_sink(tmp_path / "t.csv") as sink:
        sink.write(TABLE)
        sink.write(TABLE.select(["n"]))


@pytest.mark.parametrize("name", ["t.xlsx", "t", "folder/t.csv"])
def test_places_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidParameter, match=r"Choose one of csv|Make it first"):
        open_sink(tmp_path / name)


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_durations_are_seconds_in_text_and_decimals_numbers(name: str, tmp_path: Path) -> None:
    rows = pa.table({"wait": pa.array([1_500_000, None], pa.duration("us")), "price": [Decimal("0.84"), None]})
    with open_sink(tmp_path / name) as sink:
        sink.write(rows)
    assert open_source(tmp_path / name).table().to_pydict() == {"wait": [1.5, None], "price": [0.84, None]}


def test_bytes_of_one_length_are_text_too(tmp_path: Path) -> None:
    with open_sink(tmp_path / "t.csv") as sink:
        sink.write(pa.table({"id": pa.array([b"ab", None], pa.binary(2)), "n": [1, 2]}))
    assert open_source(tmp_path / "t.csv").table()["id"].to_pylist() == ["YWI=", None]


@pytest.mark.parametrize("name, plain, needy", [("t.csv", "12.50", "a, b"), ("t.tsv", "a, b", "a\tb")])
def test_text_has_quotes_only_in_blocks_that_need_some(tmp_path: Path, name: str, plain: str, needy: str) -> None:
    with open_sink(tmp_path / name) as sink:
        sink.write(pa.table({"s": [plain, None], "x": [1.5, 2.0]}))
        sink.write(pa.table({"s": [needy, 'say "b"'], "x": [1.5, 2.0]}))
    mark = "," if name.endswith("csv") else "\t"
    lines = (tmp_path / name).read_text().splitlines()[1:]
    assert lines[:2] == [f"{plain}{mark}1.5", f"{mark}2"]
    rows = list(csv.reader(lines, delimiter=mark))
    assert [row[0] for row in rows] == [plain, "", needy, 'say "b"']


def test_empty_text_is_not_a_missing_one(tmp_path: Path) -> None:
    with open_sink(tmp_path / "t.csv") as sink:
        sink.write(pa.table({"s": ["", None, "x"], "x": [1, 2, 3]}))
    assert (tmp_path / "t.csv").read_text() == 's,x\n"",1\n,2\n"x",3\n'
