"""Whatever a file holds, a reader gives rows or UnreadableFile: no other error, no crash, no unbounded memory."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diabolo.errors import UnreadableFile
from diabolo.readers import FORMATS, open_source

TABLE = pa.table(
    {
        "a": [1.5, None, 3.0] * 5,
        "s": ["x", "y", None] * 5,
        "n": list(range(15)),
        "l": [[1], [], None] * 5,
        "e": pa.array([[1.5, 2.5], None, [None, 4.0]] * 5, pa.list_(pa.float32(), 2)),
    }
)
often = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def valid() -> dict[str, bytes]:
    """One small file of each format."""
    files = {
        "csv": b'a,s,n\n1.5,"x\n",1\n,y,2\n',
        "tsv": b"a\ts\n1\tx\n",
        "jsonl": b'{"a": 1.5, "s": "x", "l": [1]}\n{}\n',
    }
    for name, compression in (("parquet", "zstd"), ("plain.parquet", "none")):
        sink = io.BytesIO()
        pq.write_table(TABLE, sink, compression=compression, row_group_size=6)
        files[name] = sink.getvalue()
    for name, opened, packed in (
        ("arrow", pa.ipc.new_file, None),
        ("stream.arrow", pa.ipc.new_stream, None),
        ("packed.arrow", pa.ipc.new_file, "zstd"),
    ):
        sink = io.BytesIO()
        with opened(sink, TABLE.schema, options=pa.ipc.IpcWriteOptions(compression=packed)) as writer:
            writer.write_table(TABLE, 4)
        files[name] = sink.getvalue()
    for name, save in (("npz", np.savez_compressed), ("plain.npz", np.savez)):
        sink = io.BytesIO()
        save(sink, X=np.arange(12.0).reshape(6, 2), y=np.arange(6))
        files[name] = sink.getvalue()
    sink = io.BytesIO()
    np.save(sink, np.arange(12.0).reshape(6, 2))
    return files | {"npy": sink.getvalue()}


VALID = valid()


@contextmanager
def placed(data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "t")
        place.write_bytes(data)
        yield place


def survives(data: bytes, format: str) -> None:
    """Reading ends in valid batches that agree with the schema, or in UnreadableFile."""
    with placed(data) as place:
        try:
            source = open_source(place, format)
            for batch in source.batches():
                batch.validate(full=True)
                assert batch.schema == source.schema
        except UnreadableFile as error:
            assert str(place) in str(error)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[bytes, str]:
    name = draw(st.sampled_from(sorted(VALID)))
    data = bytearray(VALID[name])
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 8))
        data[place : place + cut] = draw(st.binary(max_size=8))
    return bytes(data), name.rpartition(".")[2]


@often
@given(damaged())
def test_damaged_files(case: tuple[bytes, str]) -> None:
    survives(*case)


@often
@given(st.binary(max_size=300), st.sampled_from(sorted(FORMATS)))
def test_arbitrary_bytes(data: bytes, format: str) -> None:
    survives(data, format)


@often
@given(st.text('a1,;\t\n\r"\\ .-+eNAnull\ufeffé', max_size=60))
def test_arbitrary_text(text: str) -> None:
    survives(text.encode(), "csv")
    survives(gzip.compress(text.encode()), "csv")


@often
@given(st.text('{}[]":,0123456789.eE+-\\nulltrefas \n', max_size=60))
def test_arbitrary_json(text: str) -> None:
    survives(text.encode(), "jsonl")


@often
@given(st.binary(max_size=120))
def test_arbitrary_members_of_npz(data: bytes) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("../X.npy", b"\x93NUMPY\x01\x00" + data)
    survives(sink.getvalue(), "npz")


values = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8))


@often
@given(st.lists(st.dictionaries(st.text("abc", min_size=1, max_size=2), values, min_size=1), min_size=1, max_size=8))
def test_json_rows_keep_their_number(rows: list[dict[str, Any]]) -> None:
    text = "\n".join(json.dumps(row) for row in rows)
    with placed(text.encode("utf-8", "surrogatepass")) as place:
        assert open_source(place, "jsonl").table().num_rows == len(rows)


@often
@given(st.lists(st.tuples(st.floats(), st.text("xyz,\"\n' é", max_size=6)), min_size=1, max_size=8))
def test_csv_rows_come_back(rows: list[tuple[float, str]]) -> None:
    """What Python's csv writes is what is read; an empty text, blanks alone and NaN are missing."""
    import csv

    sink = io.StringIO(newline="")
    csv.writer(sink).writerows([("number", "text"), *rows])
    with placed(sink.getvalue().encode()) as place:
        table = open_source(place, "csv").table()
    numbers = [None if np.isnan(number) else number for number, _ in rows]
    assert table["number"].to_pylist() == numbers
    assert [(text or "").strip() for text in table["text"].to_pylist()] == [text.strip() for _, text in rows]


def test_footers_that_end_arrows_process() -> None:
    """Single bits of a Parquet footer at which asking Arrow for a column chunk aborts the whole process."""
    data = VALID["plain.parquet"]
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for place, bits in ((19, 1), (20, 1), (26, 4), (28, 1), (41, 1), (42, 8), (47, 1), (74, 1)):
        damaged = bytearray(data)
        damaged[start + place] ^= bits
        survives(bytes(damaged), "parquet")
