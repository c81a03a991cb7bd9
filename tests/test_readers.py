"""Every format reads back what was written; every broken file says which, where and what to do."""

from __future__ import annotations

import base64
import bz2
import datetime as dt
import gzip
import io
import lzma
import os
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diabolo import AnomalyDetector
from diabolo.errors import DiaboloWarning, InvalidData, UnreadableFile
from diabolo.grids import stacked
from diabolo.preparation import Preparation
from diabolo.readers import Source, arrays, as_rows, open_sink, open_source
from diabolo.readers.lists import folded, unfolded
from diabolo.readers.plain import like_given
from diabolo.readers.source import ROWS, Origin, rows_at_once
from diabolo.readers.textfiles import Delimited
from diabolo.readers.texts import join

TABLE = pa.table({"a": [1.5, None, 3.0], "s": ["x", "y", None], "n": [1, 2, 3]})


def written(place: Path, data: bytes | str) -> Path:
    place.write_bytes(data.encode() if isinstance(data, str) else data)
    return place


def read(place: Path, data: bytes | str, format: str | None = None) -> pa.Table:
    return open_source(written(place, data), format).table()


def failure(place: Path, data: bytes | str, format: str | None = None) -> str:
    with pytest.raises(UnreadableFile) as caught:
        read(place, data, format)
    assert place.name in str(caught.value)
    return str(caught.value)


def columns(source: Source) -> dict[str, list[Any]]:
    return pa.Table.from_batches(source.batches(), source.schema).to_pydict()


# -- formats --


def parquet(place: Path) -> None:
    pq.write_table(TABLE, place, row_group_size=2)


def arrow_file(place: Path) -> None:
    with pa.ipc.new_file(place, TABLE.schema) as file:
        for batch in TABLE.to_batches(2):
            file.write(batch)


def arrow_stream(place: Path) -> None:
    with pa.ipc.new_stream(place, TABLE.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as file:
        for batch in TABLE.to_batches(2):
            file.write(batch)


def csv_file(place: Path) -> None:
    written(place, "a,s,n\n1.5,x,1\nNA,y,2\n3,,3\n")


def tsv_file(place: Path) -> None:
    written(place, "a\ts\tn\n1.5\tx\t1\nNA\ty\t2\n3\t\t3\n")


def packed_csv(place: Path) -> None:
    written(place, gzip.compress(b"a,s,n\n1.5,x,1\nNA,y,2\n3,,3\n"))


def jsonl(place: Path) -> None:
    written(place, '{"a": 1.5, "s": "x", "n": 1}\n\n{"s": "y", "n": 2}\n{"a": 3, "s": null, "n": 3}\n')


WRITERS = {
    "t.parquet": parquet,
    "t.arrow": arrow_file,
    "t.arrows": arrow_stream,
    "t.csv": csv_file,
    "t.tsv": tsv_file,
    "t.csv.gz": packed_csv,
    "t.jsonl": jsonl,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_reads_the_same_rows(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    source = open_source(tmp_path / name)
    assert columns(source) == TABLE.to_pydict()
    assert columns(source) == TABLE.to_pydict()  # again: a source is not used up
    assert source.rows == 3
    assert [batch.num_rows for batch in source.batches(1)] == [1, 1, 1]


@pytest.mark.parametrize("name", WRITERS)
def test_the_first_bytes_tell_the_format_too(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / "t")
    if name != "t.tsv":
        assert columns(open_source(tmp_path / "t")) == TABLE.to_pydict()


@pytest.mark.parametrize("name", WRITERS)
def test_pieces_are_the_file(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    source = open_source(tmp_path / name)
    pieces = [pa.Table.from_batches(source.piece(i), source.schema) for i in range(source.pieces)]
    assert pa.concat_tables(pieces).to_pydict() == TABLE.to_pydict()
    assert list(source.starts) == [0, 2][: source.pieces]


@pytest.mark.parametrize("name", WRITERS)
def test_standard_input_is_read_like_a_file(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS[name](tmp_path / name)
    data = (tmp_path / name).read_bytes()

    class Pipe(io.RawIOBase):
        rest = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def readinto(self, place: Any) -> int:
            part = self.rest.read(min(len(place), 7))
            place[: len(part)] = part
            return len(part)

    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": io.BufferedReader(Pipe())}))
    source = open_source("-", "tsv" if name == "t.tsv" else None)
    assert columns(source) == TABLE.to_pydict()
    if source.once:
        with pytest.raises(UnreadableFile, match=r"only once.*Save it to a file"):
            next(source.batches())


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_named_pipe_is_read_once_like_standard_input(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_bytes, args=[(tmp_path / name).read_bytes()])
    writer.start()
    source = open_source(pipe)
    assert columns(source) == TABLE.to_pydict()
    writer.join()
    assert source.once is (name == "t.csv")


def test_numpy_files(tmp_path: Path) -> None:
    x = np.arange(200_000.0).reshape(-1, 2)
    for name, order in (("c.npy", x), ("f.npy", np.asfortranarray(x)), ("big.npy", x.astype(">f4"))):
        np.save(tmp_path / name, order)
        source = open_source(tmp_path / name)
        assert source.pieces == 2
        assert source.schema.names == ["x0", "x1"]
        assert np.array_equal(np.stack(list(columns(source).values()), 1), x)


def test_npz_labels_are_marked_and_columns_keep_their_names(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "xy.npz", X=np.arange(6.0).reshape(3, 2), y=np.array([0, 1, 0]))
    source = open_source(tmp_path / "xy.npz")
    assert columns(source) == {"x0": [0, 2, 4], "x1": [1, 3, 5], "y": [0, 1, 0]}
    assert b"set aside" in source.schema.field("y").metadata
    np.savez(tmp_path / "lists.npz", a=np.arange(3), b=np.array(["u", "v", "w"]))
    assert columns(open_source(tmp_path / "lists.npz")) == {"a": [0, 1, 2], "b": ["u", "v", "w"]}


# -- text tables as they come --


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeffa,b\n1,2\n", {"a": [1], "b": [2]}),
        ("a;b\n1,5;x\n2;y\n", {"a": [1.5, 2.0], "b": ["x", "y"]}),
        ('"a\nb",c\n"1\n2",3\n', {"a\nb": ["1\n2"], "c": [3]}),
        ('a,b\n"say ""hi""","1,2"\n', {"a": ['say "hi"'], "b": ["1,2"]}),
        ("a,a,,\n1,2,3,4\n", {"a": [1], "a (2)": [2], "column 3": [3], "column 4": [4]}),
        ("a,b\nNA,\nnull,?\n1,NaN\n", {"a": [None, None, 1], "b": [None, None, None]}),
        ("a,b\n", {"a": [], "b": []}),
        ("\n\nk,s\nx,on\ny,off\n", {"k": ["x", "y"], "s": ["on", "off"]}),
        ("v\n1.5\n\n2.5\n", {"v": [1.5, None, 2.5]}),
        ('a,b\n1,5" pipe\n2,x\n', {"a": [1, 2], "b": ['5" pipe', "x"]}),
        ("month,at\n01,08:30\n12,09:45\n", {"month": ["01", "12"], "at": [dt.time(8, 30), dt.time(9, 45)]}),
        ("zip,x\n007,+3\n010, 4 \n", {"zip": ["007", "010"], "x": [3, 4]}),
        ("2019,2020\n2,3\n", {"2019": [2], "2020": [3]}),
        ("a\r\n1\r\n2\r\n", {"a": [1, 2]}),
        ("a,b\n1,true\n2,False\n", {"a": [1, 2], "b": [True, False]}),
        ("a\n9223372036854775807\n9223372036854775808\n", {"a": ["9223372036854775807", "9223372036854775808"]}),
        ("a\n9223372036854775807\n92233720368547758080\n", {"a": [9.223372036854775807e18, 9.2233720368547758080e19]}),
        ("a\n30000000000000000001\n30000000000000000002\n7\n", {"a": [3e19, 3e19, 7.0]}),
    ],
)
def test_csv_as_it_comes(tmp_path: Path, text: str, expected: dict[str, list[Any]]) -> None:
    assert read(tmp_path / "t.csv", text).to_pydict() == expected


@pytest.mark.parametrize("once", [False, True])
def test_columns_that_no_type_is_known_of_stay_as_they_are_written(tmp_path: Path, once: bool) -> None:
    origin = Origin(written(tmp_path / "t.csv", "x,phone,version,when,price\n1.50,+49,1.10,2024-01-01 08:00,2.50\n"))
    origin.once = once
    told = {"x": 1.5, "phone": "+49", "version": "1.10", "when": "2024-01-01 08:00", "price": "2.50"}
    assert Delimited(origin, {"x": "double"}, verbatim=True).table().to_pylist() == [told]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_delimiter_that_excel_declares_above_the_header(tmp_path: Path, end: str) -> None:
    lines = ["sep=|", "", "a|b", "1|x;y", "2|z", ""]
    source = open_source(written(tmp_path / "t.csv", end.join(lines)))
    assert columns(source) == {"a": [1, 2], "b": ["x;y", "z"]} and source.rows == 2
    lines[3] = "1|x|y"
    assert "line 4: 3 fields" in failure(tmp_path / "t.csv", end.join(lines))


def test_a_column_may_be_called_like_a_declaration(tmp_path: Path) -> None:
    assert read(tmp_path / "t.csv", "sep=a\n1\n2\n").to_pydict() == {"sep=a": [1, 2]}


def test_a_workbook_is_no_table(tmp_path: Path) -> None:
    assert "is a workbook. Save its sheet as CSV" in failure(tmp_path / "t.xlsx", "PK\x03\x04")


@pytest.mark.parametrize("line", [2, 4])
def test_a_quote_that_is_never_closed_is_told_with_its_line(tmp_path: Path, line: int) -> None:
    lines = ["a,b", *(f'{i},"on"' for i in range(3))]
    lines[line - 1] = '7,"on'
    assert f"line {line}: a quote is opened and never closed" in failure(tmp_path / "t.csv", "\n".join(lines))


@pytest.mark.parametrize("once", [False, True])
def test_what_was_text_in_a_fit_is_text(tmp_path: Path, once: bool) -> None:
    """Whatever the other rows of a file are, a code is spelt as it is."""
    origin = Origin(written(tmp_path / "t.csv", "version,active,x\n1.20,True,1\n"))
    origin.once = once
    types = {"version": "string", "active": "dictionary string", "x": "double"}
    assert Delimited(origin, types).table().to_pylist() == [{"version": "1.20", "active": "True", "x": 1}]
    assert open_source(tmp_path / "t.csv").table().to_pylist() == [{"version": 1.2, "active": True, "x": 1}]


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_the_index_of_pandas_is_not_learned_from(tmp_path: Path, name: str) -> None:
    table = pa.Table.from_pandas(pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [0.0, 1.0, 0.5]}, index=[2, 0, 1]))
    with open_sink(tmp_path / name) as sink:
        sink.write(table)
    source = open_source(tmp_path / name)
    assert source.table().column_names == ["a", "b", "__index_level_0__"]
    assert Preparation().fit(source).schema_.dropped == {"__index_level_0__": "the index of a DataFrame"}


def test_flags_of_images_are_numbers(tmp_path: Path) -> None:
    flags = np.random.default_rng(0).random((5, 1, 3, 2)) < 0.5
    for name, save in {"t.npy": np.save, "t.npz": np.savez}.items():
        save(tmp_path / name, flags)
        found = open_source(tmp_path / name).table()
        assert np.array_equal(stacked(found, found.column_names[:1], (3, 2)), flags.astype(np.uint8))


def test_dates_times_and_instants(tmp_path: Path) -> None:
    text = "d,t,u,c\n2024-02-29,2024-02-29 10:00:00,2024-02-29T10:00:00Z,12:30:00\n1969-01-01,2024-02-29 10:00:00.5,,\n"
    schema = read(tmp_path / "t.csv", text).schema
    assert schema.types == [pa.date32(), pa.timestamp("ns"), pa.timestamp("ns", "UTC"), pa.time64("us")]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8-sig"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    assert read(tmp_path / "t.csv", "name,b\nJosé,2\n".encode(encoding)).to_pydict() == {"name": ["José"], "b": [2]}


def test_latin_1_far_into_the_file(tmp_path: Path) -> None:
    data = b"name\n" + b"plain\n" * 400_000 + "José\n".encode("latin-1")
    assert read(tmp_path / "t.csv", data)["name"][-1].as_py() == "José"


def test_types_are_those_of_the_whole_file(tmp_path: Path) -> None:
    """The last of a million rows decides as much as the first, and every block has the same types."""
    place = written(tmp_path / "t.csv", "whole,empty,mixed\n" + "1,,7\n" * 1_000_000 + "2.5,x,x\n")
    source = open_source(place)
    assert source.schema.types == [pa.float64(), pa.string(), pa.string()]
    assert {batch.schema for batch in source.batches()} == {source.schema}
    assert source.rows == 1_000_001


def test_standard_input_names_a_value_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO(b"a,b\n" + b"1,2\n" * 2_000_000 + b"1,oops\n")
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": data}))
    with pytest.raises(UnreadableFile, match=r"row 2000001 after the header, column 'b': 'oops' is not of type double"):
        list(open_source("-", "csv").batches())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n1,2\n3\n", "line 3: 1 fields where the header has 2"),
        ("a,b\n1,2,3\n", "line 2: 3 fields where the header has 2"),
        ("1.5,2\n3,4\n", "Add a header line"),
        ("a\0,b\n1,2\n", "NUL bytes"),
        ('a,b\n1,"' + "x" * 9_000_000 + '"\n', "a quote that is never closed"),
        (",".join("c" * 100 for _ in range(12_000)) + "\n", "header line is longer"),
    ],
)
def test_broken_csv(tmp_path: Path, text: str, told: str) -> None:
    assert told in failure(tmp_path / "t.csv", text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no JSON object"),
        ("{}\n", "no JSON object"),
        ('{"a": 1}\n{"a":\n', "line 2 is not JSON"),
        ('{"a": 1}\n[1]\n', "line 2 is not a JSON object"),
        ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}\n", "line 1 is not JSON"),
        ('{"a": "' + "x" * 9_000_000 + '"}\n', "line 1 is longer than"),
    ],
)
def test_broken_json_lines(tmp_path: Path, text: str, told: str) -> None:
    assert told in failure(tmp_path / "t.jsonl", text)


@pytest.mark.parametrize(
    "values, kind",
    [("30000000000000000001 30000000000000000002", "string"), ("30000000000000000001 7", "double"), ("5 7", "int64")],
)
def test_whole_numbers_of_json_that_floats_cannot_tell_apart_are_names(tmp_path: Path, values: str, kind: str) -> None:
    source = open_source(written(tmp_path / "t.jsonl", "".join(f'{{"id": {each}}}\n' for each in values.split())))
    assert source.schema.field("id").type == kind
    assert [str(each) for each in columns(source)["id"]] == values.split() or kind == "double"


def test_json_lines_of_several_types(tmp_path: Path) -> None:
    text = '{"a": 1, "n": {"x": 1}, "d": "2024-01-01"}\n{"a": "x", "d": "soon"}\n{"a": true, "e": NaN}\n'
    source = open_source(written(tmp_path / "t.jsonl", text))
    assert columns(source)["a"] == ["1", "x", "true"]
    assert columns(source)["d"] == ["2024-01-01", "soon", None]
    assert source.set_aside == {"n": "nested values"}


def test_json_types_are_those_of_the_whole_file(tmp_path: Path) -> None:
    line = '{"a": 1, "pad": "' + "x" * 100 + '"}\n'
    source = open_source(written(tmp_path / "t.jsonl", line * 50_000 + '{"a": 1.5, "b": "late"}\n'))
    assert source.schema == pa.schema({"a": pa.float64(), "pad": pa.string(), "b": pa.string()})
    assert len(list(source.batches())) > 1
    assert source.table()["b"].null_count == 50_000


# -- hostile files: an answer in about a second, in bounded memory --


def zeros(rows: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([np.zeros(rows)], ["z"])


def gzip_bomb(place: Path) -> None:
    written(place, gzip.compress(b"a,b\n" + b"0,0\n" * 20_000_000, 6))


def arrow_bomb(place: Path) -> None:
    batch = zeros(150_000_000)
    with pa.ipc.new_stream(place, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as file:
        file.write(batch)


def view_bomb(place: Path) -> None:
    """One text of a mebibyte, seen 20,000 times."""
    text = b"x" * (1 << 20)
    views = struct.pack("<i4sii", len(text), text[:4], 0, 0) * 20_000
    column = pa.Array.from_buffers(pa.string_view(), 20_000, [None, pa.py_buffer(views), pa.py_buffer(text)])
    batch = pa.record_batch([column], names=["s"])
    with pa.ipc.new_file(place, batch.schema) as file:
        file.write(batch)


def npz_bomb(place: Path) -> None:
    np.savez_compressed(place, X=np.zeros((100_000, 100)))


def npz_lie(place: Path) -> None:
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("X.npy", header((10**12, 1)))


def npy_lie(place: Path) -> None:
    written(place, header((10**12, 1)))


def parquet_text_bomb(place: Path) -> None:
    pq.write_table(pa.table({"s": ["x" * 3_000_000] * 30}), place, use_dictionary=False, compression="zstd")


def header(shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


BOMBS = {
    "b.csv.gz": gzip_bomb,
    "b.arrow": arrow_bomb,
    "views.arrow": view_bomb,
    "b.npz": npz_bomb,
    "lie.npz": npz_lie,
    "lie.npy": npy_lie,
    "b.parquet": parquet_text_bomb,
}
OPENING = """
import resource, sys, time
from diabolo.errors import UnreadableFile
from diabolo.readers import open_source
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
try:
    rows = sum(batch.num_rows for batch in open_source(sys.argv[1]).batches())
except UnreadableFile:
    rows = -1
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.process_time() - start)
"""


def opened_elsewhere(place: Path) -> tuple[int, float, float]:
    """Rows read (-1: refused), MiB of memory that took, and seconds of CPU time, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", OPENING, str(place)], capture_output=True, text=True, check=True)
    rows, grown, seconds = done.stdout.split()
    return int(rows), int(grown) / 1024, float(seconds)


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_quickly(tmp_path: Path, name: str) -> None:
    BOMBS[name](tmp_path / name)
    rows, grown, seconds = opened_elsewhere(tmp_path / name)
    assert rows == -1
    assert grown < 256
    assert seconds < 2


def test_one_long_text_repeated_is_read_once(tmp_path: Path) -> None:
    """50 GB of text in a file of 5 MB: as a dictionary it takes 5 MB."""
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10_000, np.int32)), pa.array(["x" * 5_000_000]))
    pq.write_table(pa.table({"s": long}), tmp_path / "t.parquet", compression="none", store_schema=False)
    rows, grown, seconds = opened_elsewhere(tmp_path / "t.parquet")
    assert rows == 10_000
    assert grown < 256
    assert seconds < 2


def test_streaming_a_large_file_takes_bounded_memory(tmp_path: Path) -> None:
    """240 MB of numbers, in two row groups, and 60 MB of text, in a fraction of that."""
    rng = np.random.default_rng(0)
    schema = pa.schema([(f"c{i}", pa.float64()) for i in range(30)])
    with pq.ParquetWriter(tmp_path / "t.parquet", schema, compression="none", use_dictionary=False) as file:
        for _ in range(2):
            block = [pa.array(rng.normal(size=500_000)) for _ in schema]
            file.write_table(pa.table(block, schema=schema), row_group_size=500_000)
    rows, grown, _ = opened_elsewhere(tmp_path / "t.parquet")
    assert rows == 1_000_000
    assert grown < 150
    (tmp_path / "t.csv").write_bytes(b"a,b,c\n" + b"1.25,-3.5,word\n" * 2_000_000)
    rows, grown, _ = opened_elsewhere(tmp_path / "t.csv")
    assert rows == 2_000_000
    assert grown < 150


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.npz", "t.csv.gz", "t.npy"])
def test_a_truncated_file_is_told_so(tmp_path: Path, name: str) -> None:
    if name.startswith("t.np"):
        np.savez(tmp_path / "t.npz", X=np.zeros((9, 2)))
        np.save(tmp_path / "t.npy", np.zeros((9, 2)))
    else:
        WRITERS[name](tmp_path / name)
    data = (tmp_path / name).read_bytes()
    assert "cannot be read as" in failure(tmp_path / name, data[: len(data) * 3 // 4])


@pytest.mark.parametrize(
    ("name", "array", "told"),
    [
        ("o.npy", np.array([[1, "a"]], dtype=object), "holds '|O'"),
        ("c.npy", np.zeros((2, 2), complex), "holds '<c16'"),
        ("d.npy", np.zeros((2, 3, 4, 5, 6)), "the shape (2, 3, 4, 5, 6)"),
    ],
)
def test_arrays_that_are_no_tables(tmp_path: Path, name: str, array: np.ndarray, told: str) -> None:
    np.save(tmp_path / name, array)
    with pytest.raises(UnreadableFile, match=name) as caught:
        open_source(tmp_path / name)
    assert told in str(caught.value)


def test_npz_without_one_table(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=np.zeros((2, 2)), b=np.zeros((2, 2)))
    with pytest.raises(UnreadableFile, match="best named X"):
        open_source(tmp_path / "two.npz")


def test_npz_stored_by_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "f.npz", X=np.asfortranarray(np.arange(300_000.0).reshape(-1, 3)))
    assert np.array_equal(
        list(columns(open_source(tmp_path / "f.npz")).values()), np.arange(300_000.0).reshape(-1, 3).T
    )
    monkeypatch.setattr(arrays, "IN_MEMORY", 1000)
    with pytest.raises(UnreadableFile, match="ascontiguousarray"):
        open_source(tmp_path / "f.npz")


def test_the_data_sets_of_the_benchmarks(data_dir: Path) -> None:
    with np.load(data_dir / "adbench" / "38_thyroid.npz") as archive:
        x, y = archive["X"], archive["y"]
    read = columns(open_source(data_dir / "adbench" / "38_thyroid.npz"))
    assert np.array_equal(np.stack([read[f"x{j}"] for j in range(x.shape[1])], 1), x)
    assert np.array_equal(read["y"], y)
    table = open_source(data_dir / "uci" / "airfoil.csv").table()
    assert table.column_names == ["column 1", "0", "1", "2", "3", "4", "5"]
    assert open_source(data_dir / "skab" / "data" / "valve1" / "0.csv").schema.names[0] == "datetime"


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for place, told in ((tmp_path / "no.csv", "There is no file"), (tmp_path, "is a folder")):
        with pytest.raises(UnreadableFile, match=told):
            open_source(place)
    with pytest.raises(UnreadableFile, match="'xlsx' is not one of csv"):
        open_source(written(tmp_path / "t.csv", "a\n1\n"), "xlsx")


def test_columns_of_one_name_are_refused_where_names_are_kept(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([[1], [2]], ["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(UnreadableFile, match="several columns named 'a'"):
        open_source(tmp_path / "t.parquet")


def test_a_table_too_large_for_memory(tmp_path: Path) -> None:
    csv_file(tmp_path / "t.csv")
    with pytest.raises(UnreadableFile, match="Take it in parts"):
        open_source(tmp_path / "t.csv").table(limit=10)


def test_wide_rows_come_in_smaller_batches() -> None:
    assert rows_at_once(pa.schema([("a", pa.float64())])) == ROWS
    assert rows_at_once(pa.schema([(f"c{i}", pa.float64()) for i in range(10_000)])) < 1000


def test_delta_encoded_text(tmp_path: Path) -> None:
    table = pa.table({"s": [f"word {i}" for i in range(2000)]})
    pq.write_table(table, tmp_path / "t.parquet", use_dictionary=False, column_encoding={"s": "DELTA_BYTE_ARRAY"})
    assert columns(open_source(tmp_path / "t.parquet")) == table.to_pydict()


def test_locate_counts_from_one(tmp_path: Path) -> None:
    csv_file(tmp_path / "t.csv")
    assert open_source(tmp_path / "t.csv").locate(0).endswith("t.csv, row 1 after the header")
    parquet(tmp_path / "t.parquet")
    assert open_source(tmp_path / "t.parquet").locate(4).endswith("t.parquet, row 5")


# -- rows in memory --


def test_numbers_are_not_copied() -> None:
    x = np.zeros((3, 2), np.float32)
    assert as_rows(x) is x
    assert as_rows(TABLE) is TABLE


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1.5, np.nan, 3.0], "s": ["x", "y", None], "n": [1, 2, 3]}, index=[7, 8, 9]),
        pl.DataFrame({"a": [1.5, None, 3.0], "s": ["x", "y", None], "n": [1, 2, 3]}),
        TABLE,
        TABLE.to_batches()[0],
    ],
    ids=["pandas", "polars", "table", "batch"],
)
def test_frames_are_the_same_table(frame: Any) -> None:
    assert as_rows(frame).to_pydict() == TABLE.to_pydict()


def test_lists_and_objects() -> None:
    assert as_rows([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert as_rows(np.array([[1, 2.5]], dtype=object)).dtype == np.float64
    assert as_rows([["a", 1], ["b", 2]]).column_names == ["x0", "x1"]
    assert as_rows(np.zeros((2, 3, 4))).shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([1, 2, 3], "Reshape your data"),
        (np.zeros((2, 2), complex), "Complex data not supported"),
        (np.zeros((3, 0)), r"0 feature\(s\) \(shape=\(3, 0\)\) while a minimum of 1 is required"),
        ([[1, 2], [3]], "same length"),
        (np.array([[1, "a"], ["b", 2]], dtype=object), "mixes types"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "one name"),
        (pd.DataFrame({"a": [1, "x"]}), "values of one type"),
    ],
)
def test_rows_that_are_no_table(rows: Any, told: str) -> None:
    with pytest.raises(InvalidData, match=told):
        as_rows(rows)


VIEWED = pa.array(["x", "y", None], pa.string_view())
INSIDE = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int8()), pa.array(["x", "y", None]), ordered=True)
FRAMES = {"table": lambda rows: rows, "batch": lambda rows: rows.to_batches()[0]}


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (VIEWED, pa.large_string()),
        (VIEWED.cast(pa.binary_view()), pa.large_binary()),
        (VIEWED.dictionary_encode(), pa.dictionary(pa.int32(), pa.large_string())),
        (INSIDE, INSIDE.type),
    ],
    ids=["text", "bytes", "dictionary", "null inside"],
)
def test_views_and_nulls_inside_a_dictionary_become_plain(frame: str, column: pa.Array, kind: pa.DataType) -> None:
    field = pa.field("s", column.type, metadata={"set aside": "labels"})
    given = pa.table([[1, 2, 3], column], schema=pa.schema([pa.field("n", pa.int64()), field], {"whose": "ours"}))
    made = as_rows(FRAMES[frame](given))
    made.validate(full=True)
    assert made.schema.equals(pa.schema([given.schema.field("n"), field.with_type(kind)], {"whose": "ours"}), True)
    assert made["s"].null_count == 1 and made.to_pydict() == given.to_pydict()


def test_views_come_back() -> None:
    given = pa.table({"s": VIEWED, "n": [1, 2, 3], "b": VIEWED.cast(pa.binary_view())}, metadata={"whose": "ours"})
    assert like_given(as_rows(given), given.schema).equals(given, check_metadata=True)


def test_views_and_nulls_inside_a_dictionary_of_an_arrow_file(tmp_path: Path) -> None:
    given = pa.table({"s": VIEWED, "d": INSIDE})
    with pa.ipc.new_file(tmp_path / "t.arrow", given.schema) as file:
        file.write_table(given)
    source = open_source(tmp_path / "t.arrow")
    assert source.schema.types == [pa.large_string(), INSIDE.type] and columns(source) == given.to_pydict()
    assert [each.null_count for each in source.table().columns] == [1, 1]


@pytest.mark.parametrize("compression", ["uncompressed", "zstd", "lz4"])
def test_arrow_files_of_polars(tmp_path: Path, compression: Any) -> None:
    """They hold no stream behind the magic, only batches and the footer that tells where these are."""
    given = pl.DataFrame({"n": [1.5, None, 2.5], "s": ["a", "long enough to be out of line", None]})
    pl.concat([given, given], rechunk=False).write_ipc(tmp_path / "t.arrow", compression=compression)
    source = open_source(tmp_path / "t.arrow")
    assert source.rows == 6 and columns(source) == pl.concat([given, given]).to_dict(as_series=False)


@pytest.mark.parametrize("frame", FRAMES)
def test_columns_of_one_name_are_refused(frame: str) -> None:
    twins = pa.Table.from_arrays([[1], [2], [3]], ["b", "a", "a"])
    with pytest.raises(InvalidData, match="2 columns are named 'a'"):
        as_rows(FRAMES[frame](twins))
    places = pa.table({"e": pa.array([[1]], pa.list_(pa.int8(), 1)), "e[0]": [1]})
    with pytest.raises(InvalidData, match=r"2 columns are named 'e\[0\]'"):
        as_rows(FRAMES[frame](places))


def test_what_is_nearly_a_table_is_told_how_to_become_one() -> None:
    given = {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    frame = pl.DataFrame(given)
    nearly: list[tuple[Any, str]] = [
        (frame.lazy(), r"\.collect\(\)"),
        (frame["a"], r"\.to_frame\(\)"),
        (frame.to_pandas()["a"], r"\.to_frame\(\)"),
        (given, r"pyarrow\.table\(X\)"),
        (frame.to_dicts(), r"from_pylist\(X\)"),
    ]
    for rows, fix in nearly:
        with pytest.raises(InvalidData, match=fix):
            as_rows(rows)


@pytest.mark.parametrize("packed", [bz2.compress, lzma.compress], ids=["bzip2", "xz"])
def test_packed_text_is_told_how_to_be_unpacked(tmp_path: Path, packed: Any) -> None:
    (tmp_path / "t.csv").write_bytes(packed(b"a,b\n1,2\n"))
    with pytest.raises(UnreadableFile, match=r"Unpack it, or pipe it in: (bzip2|xz) -dc"):
        open_source(tmp_path / "t.csv")
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("t.csv", "a,b\n1,2\n")
    with pytest.raises(UnreadableFile, match="zip archive without arrays"):
        open_source(tmp_path / "t.zip")


def test_points_between_thousands_are_no_decimals(tmp_path: Path) -> None:
    """Beside decimal commas 8.075 is eight thousand."""
    place = tmp_path / "t.csv"
    place.write_text("menge;preis;rate\n502;9,92;0.125\n8.075;5,75;1.5\n12.500;1;8.075\n")
    with pytest.warns(DiaboloWarning, match=r"'menge' of .*t.csv has points that may stand between thousands"):
        source = open_source(place)
    assert source.table()["menge"].to_pylist() == ["502", "8.075", "12.500"]
    assert source.table()["rate"].to_pylist() == [0.125, 1.5, 8.075]
    assert source.table()["preis"].to_pylist() == [9.92, 5.75, 1.0]
    assert open_source(place, types={"menge": "string"}).schema.field("menge").type == pa.string()  # not told again
    place.write_text("menge;preis\n502;9.92\n8.075;5.75\n")
    assert open_source(place).table()["menge"].to_pylist() == [502.0, 8.075]  # no commas: decimals


def test_a_header_may_begin_as_packed_text_does(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("BZh,b\n1,2\n3,4\n")
    assert columns(open_source(tmp_path / "t.csv")) == {"BZh": [1, 3], "b": [2, 4]}


def test_lines_end_where_those_of_tables_do(tmp_path: Path) -> None:
    """A form feed, or what is an ellipsis in Windows' code and an end of a line in Python's, ends none."""
    (tmp_path / "f.csv").write_bytes(b"\x0ca,b\n1,2\n3,4\n")
    assert columns(open_source(tmp_path / "f.csv")) == {"a": [1, 3], "b": [2, 4]}
    (tmp_path / "e.csv").write_bytes("Größe…;b\n1,5;2\n3,0;4\n".encode("cp1252"))
    assert list(columns(open_source(tmp_path / "e.csv")).values()) == [[1.5, 3.0], [2, 4]]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_long_numbers_that_floats_cannot_tell_apart_are_names(tmp_path: Path, ending: str) -> None:
    long = [892_000_000_000_000_000 + i for i in range(300)]
    rows = "\n".join(map(str, ["n", *long])) if ending == "csv" else "\n".join(f'{{"n": {each}}}' for each in long)
    (tmp_path / f"t.{ending}").write_text(rows + "\n")
    assert columns(open_source(tmp_path / f"t.{ending}")) == {"n": list(map(str, long))}


def test_sparse_rows_are_refused_in_words() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(InvalidData, match=r"sparse matrix.*toarray"):
        as_rows(sparse.eye(3).tocsr())


def test_reading_numbers_is_fast(tmp_path: Path) -> None:
    """A tenth of what is measured, so that a busy machine does not fail it: a million rows of 30 in 0.2 s of CPU."""
    table = pa.table({f"c{i}": np.random.default_rng(i).normal(size=100_000) for i in range(30)})
    pq.write_table(table, tmp_path / "t.parquet")
    start = time.process_time()
    assert sum(batch.num_rows for batch in open_source(tmp_path / "t.parquet").batches()) == 100_000
    assert time.process_time() - start < 0.5


class TestLists:
    """Lists of numbers of one length, such as embeddings, are a column for each place."""

    E = pa.array([[1.5, 2.5, 3.5], None, [None, 0.5, 1.0]] * 4, pa.list_(pa.float32(), 3))
    TEXTS = pa.array([["x"]] * 12, pa.list_(pa.string(), 1))
    ROWS = pa.table({"a": list(range(12)), "e": E, "l": [[1], [2], None] * 4, "t": TEXTS})
    EXPECTED: ClassVar = {"e[0]": [1.5, None, None] * 4, "e[1]": [2.5, None, 0.5] * 4, "e[2]": [3.5, None, 1.0] * 4}

    @pytest.fixture
    def files(self, tmp_path: Path) -> list[Path]:
        pq.write_table(self.ROWS, tmp_path / "rows.parquet", row_group_size=5)
        pq.write_table(self.ROWS, tmp_path / "v2.parquet", data_page_version="2.0", data_page_size=8)
        for name, opened in (("rows.arrow", pa.ipc.new_file), ("stream.arrows", pa.ipc.new_stream)):
            with opened(tmp_path / name, self.ROWS.schema) as writer:
                writer.write_table(self.ROWS, 5)
        return sorted(tmp_path.iterdir())

    def test_files(self, files: list[Path]) -> None:
        for file in files:
            source = open_source(file)
            assert source.schema.names == ["a", *self.EXPECTED] and set(source.set_aside) == {"l", "t"}
            assert source.table().to_pydict() == {"a": list(range(12)), **self.EXPECTED}
            assert all(batch.schema == source.schema for batch in source.batches(4))

    def test_tables(self) -> None:
        rows = self.ROWS.select(["a", "e"])
        for each in (rows, rows.slice(0).to_batches()[0], pl.from_arrow(rows)):
            assert as_rows(each).select(list(self.EXPECTED)).to_pydict() == self.EXPECTED
        assert as_rows(rows.slice(2, 3)).column("e[1]").to_pylist() == [0.5, 2.5, None]

    def test_they_come_back(self) -> None:
        rows = self.ROWS.select(["e", "a"])
        assert folded(unfolded(rows), rows.schema).equals(rows)
        whole = pa.table({"n": pa.array([[1, 2], [3, None]], pa.list_(pa.int16(), 2))})
        assert folded(unfolded(whole), whole.schema).equals(whole)

    def test_names_that_are_taken_are_refused(self, tmp_path: Path) -> None:
        pq.write_table(self.ROWS.append_column("e[1]", self.ROWS["a"]), tmp_path / "rows.parquet")
        with pytest.raises(UnreadableFile, match=r"several columns named 'e\[1\]'"):
            open_source(tmp_path / "rows.parquet")

    def test_a_row_that_claims_to_be_endless_is_not_unpacked(self, tmp_path: Path) -> None:
        lie = pa.schema([("e", pa.list_(pa.float64(), 3))])
        claimed = base64.b64encode(lie.serialize().to_pybytes())
        endless = pa.table({"e": [[0.5] * 5_000_000]})
        with pq.ParquetWriter(tmp_path / "rows.parquet", endless.schema, store_schema=False) as writer:
            writer.write_table(endless)
            writer.add_key_value_metadata({"ARROW:schema": claimed.decode()})
        assert pq.read_schema(tmp_path / "rows.parquet").field("e").type == lie.field("e").type
        with pytest.raises(UnreadableFile, match=r"its lists claim .* values in 1 rows"):
            open_source(tmp_path / "rows.parquet")


def test_json_lines_know_what_was_text_in_the_fit(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"slot": "10:00"}\n{"slot": "11:00"}\n')
    assert open_source(tmp_path / "t.jsonl").schema.field("slot").type == pa.time64("us")
    told = open_source(tmp_path / "t.jsonl", types={"slot": "string"}).table()
    assert told["slot"].to_pylist() == ["10:00", "11:00"]


@pytest.mark.parametrize("late", [True, False])
def test_dates_beyond_nanoseconds_come_first_or_last(tmp_path: Path, late: bool) -> None:
    lines = ["2024-01-05 03:00:00"] * 3
    lines.insert(3 if late else 0, "9999-12-31")
    (tmp_path / "t.csv").write_text("d,e\n" + "".join(f"{each},1\n" for each in lines))
    assert open_source(tmp_path / "t.csv").schema.field("d").type == pa.timestamp("us")
    assert join(pa.timestamp("ns"), pa.timestamp("us")) == pa.timestamp("us")


def test_blanks_before_the_header_are_no_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("   \na,b\n1,2\n")
    assert open_source(tmp_path / "t.csv").table().to_pydict() == {"a": [1], "b": [2]}


@pytest.mark.parametrize(
    ("text", "told"), [("a,b", "below the header"), ('[{"a": 1}, {"a": 2}]', "one object per line")]
)
def test_one_line_alone_is_no_table(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(UnreadableFile, match=f"holds one line alone.*{told}"):
        open_source(tmp_path / "t.json")


def test_an_array_of_records_is_a_table() -> None:
    records = np.array([(1.5, 2, "x"), (2.5, 3, "y")], [("a", "f4"), ("b", "i8"), ("s", "U3")])
    rows = as_rows(records)
    assert isinstance(rows, pa.Table) and rows.to_pydict() == {"a": [1.5, 2.5], "b": [2, 3], "s": ["x", "y"]}
    masked = np.ma.array(records, mask=[(True, False, False), (False, False, False)])
    assert as_rows(masked)["a"].to_pylist() == [None, 2.5]
    with pytest.raises(InvalidData, match="Give each column one name and values of one type"):
        as_rows(np.zeros(3, [("a", "f4", (2,))]))
    names = AnomalyDetector("Linear").fit(np.tile(records, 20)).feature_names_in_
    assert names.tolist() == ["a", "b", "s"]
