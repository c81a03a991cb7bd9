"""Parquet and Arrow files as sources; what a file claims is checked before memory is asked for."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from diabolo.errors import UnreadableFile
from diabolo.readers.footer import Chunk, check_pages, chunks
from diabolo.readers.lists import is_list
from diabolo.readers.plain import plain, plain_fields, viewed_bytes
from diabolo.readers.source import (
    BATCH_BYTES,
    ROW_BYTES,
    Origin,
    Source,
    exactly,
    reading,
    refuse_expansion,
    rows_at_once,
    slices,
)

FOOTER_EXPANSION = 10_000  # Parquet's run lengths shrink a constant column about 3000-fold
CHUNK_BYTES = 2 << 30  # unpacked bytes that one column of one row group may claim
DELTA_ROWS = 256  # rows read at once, at least, of text whose encoding hides its size

INDEX = re.compile(r"__index_level_\d+__")  # what pandas calls an index without a name


class Parquet(Source):
    """A Parquet file; the pieces are its row groups.

    Text is kept as a dictionary, since a short file can repeat one long text millions of times. Lists of numbers whose
    length their type tells become a column for each place; other nested columns are set aside unread, since one row of
    them can be of any size.
    """

    def __init__(self, origin: Origin) -> None:
        self.name, self._origin = origin.name, origin
        self._texts: list[str] = []
        with reading(self.name, "Parquet"), self._opened() as file:
            with self._origin.seekable() as raw:
                told = chunks(raw)
                self._check_claims(file.metadata, told)
                self._check_lists(raw, file, told)
            self._learn(file, told)

    def piece(self, i: int) -> Iterator[pa.RecordBatch]:
        with reading(self.name, "Parquet"), self._opened() as file:
            for batch in file.iter_batches(self._size, [i], columns=self._columns, use_threads=False):
                if batch.nbytes > ROW_BYTES:
                    raise UnreadableFile(f"{self.name} unpacks to {batch.nbytes >> 20} MiB in {batch.num_rows} rows.")
                yield pa.RecordBatch.from_arrays(plain(batch).columns, schema=self.schema)

    @contextmanager
    def _opened(self) -> Iterator[pyarrow.parquet.ParquetFile]:
        with self._origin.seekable() as file:
            path = None if self._origin.once else self._origin.path  # by its path a file is read without Python
            source = path or pa.PythonFile(file, mode="r")
            yield pyarrow.parquet.ParquetFile(
                source, read_dictionary=self._texts, pre_buffer=False, buffer_size=1 << 20
            )

    def _learn(self, file: pyarrow.parquet.ParquetFile, told: list[Chunk]) -> None:
        fields = file.schema_arrow
        _refuse_duplicates(self.name, fields.names)
        self.set_aside = _unread(fields)
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        delta = {chunk.path for chunk in told if chunk.delta}
        self._texts = [field.name for field in fields if _is_text(field.type) and field.name not in delta]
        kept = [_of_data(field) for field in fields if field.name not in self.set_aside]
        self._columns = [field.name for field in kept]
        told_apart = [_as_dictionary(field) if field.name in self._texts else field for field in kept]
        self.schema = pa.schema(plain_fields(told_apart))
        _refuse_duplicates(self.name, self.schema.names)
        self.rows = file.metadata.num_rows
        self.starts = tuple(accumulate((group.num_rows for group in groups), initial=0))[:-1]
        self._size = min(rows_at_once(self.schema), _rows_of_text(groups, told))

    def _check_claims(self, metadata: pyarrow.parquet.FileMetaData, told: list[Chunk]) -> None:
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        if metadata.num_rows != sum(group.num_rows for group in groups) or any(group.num_rows < 0 for group in groups):
            raise UnreadableFile(
                f"{self.name}: its row groups do not add up to {metadata.num_rows} rows. Write it again."
            )
        for chunk in told:
            if chunk.plain > CHUNK_BYTES:
                raise UnreadableFile(
                    f"{self.name}: column {chunk.path!r} takes {chunk.plain >> 20} MiB "
                    f"in one row group; {CHUNK_BYTES >> 20} MiB is the most. Write it with smaller row groups."
                )
        packed = sum(max(chunk.packed, 1) for chunk in told)
        plain = sum(chunk.plain for chunk in told)
        if plain > FOOTER_EXPANSION * packed:
            refuse_expansion(self.name, packed, plain)

    def _check_lists(self, raw: BinaryIO, file: pyarrow.parquet.ParquetFile, told: list[Chunk]) -> None:
        """What the pages of lists claim is within what their type and the footer say."""
        sizes = {field.name: field.type.list_size for field in file.schema_arrow if is_list(field.type)}
        found = [(chunk, chunk.path.rpartition(".list.")[0]) for chunk in told]
        lists = [(chunk, sizes[name]) for chunk, name in found if name in sizes]
        if len(lists) != len(sizes) * file.num_row_groups:
            raise UnreadableFile(f"{self.name}: its footer does not tell where its lists are. Write it again.")
        for chunk, size in lists:
            check_pages(raw, chunk, size)


def _rows_of_text(groups: list[Any], told: list[Chunk]) -> int:
    """Rows at once such that text, as large as the footer says, stays within a batch."""
    heaviest = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=0.0)
    rows = max(1, int(BATCH_BYTES // max(heaviest, 1.0)))
    hidden = max((chunk.plain for chunk in told if chunk.delta), default=0)
    return min(rows, max(DELTA_ROWS, ROW_BYTES // hidden)) if hidden > 0 else rows


class Arrow(Source):
    """An Arrow (Feather) file or stream; the pieces of a file are its record batches.

    Every batch is looked at before it is read, where the stream has it or where the footer of a file says that it is:
    its buffers must lie inside it, and it may not unpack to more than 1 GiB.
    """

    def __init__(self, origin: Origin) -> None:
        self.name, self._origin = origin.name, origin
        with reading(self.name, "Arrow"), origin.seekable() as file:
            self._streamed = exactly(file, 6) != b"ARROW1"
            told = in_stream(file, self.name) if self._streamed else in_file(file, self.name)
            counts = [message.rows for message in told if message.kind == BATCH]
            file.seek(0)
            self._learn(self._reader(file), counts)

    def piece(self, i: int) -> Iterator[pa.RecordBatch]:
        with reading(self.name, "Arrow"), self._origin.seekable() as file:
            reader = self._reader(file)
            for batch in reader if self._streamed else [reader.get_batch(i)]:
                batch.validate(full=True)  # offsets and indices of a hostile file may point anywhere
                kept = batch.select(self._kept)
                _refuse_large(sum(map(viewed_bytes, kept.columns)), self.name)
                kept = plain(kept)
                kept = pa.RecordBatch.from_arrays(kept.columns, schema=self.schema)
                yield from slices(kept, rows_at_once(self.schema))

    def _reader(self, file: BinaryIO) -> Any:
        return pa.ipc.open_stream(file) if self._streamed else pa.ipc.open_file(file)

    def _learn(self, reader: Any, counts: list[int]) -> None:
        _refuse_duplicates(self.name, reader.schema.names)
        self.set_aside = _unread(reader.schema)
        self._kept = [j for j, field in enumerate(reader.schema) if field.name not in self.set_aside]
        self.schema = pa.schema(plain_fields(_of_data(reader.schema.field(j)) for j in self._kept))
        _refuse_duplicates(self.name, self.schema.names)
        self.rows = sum(counts)
        if not self._streamed:
            self.starts = tuple(accumulate(counts, initial=0))[:-1]


DICTIONARY, BATCH = 2, 3  # kinds of messages that hold values
DICTIONARIES, BATCHES = 2, 3  # fields of the footer of a file: where its messages of these kinds are
PLACE = 24  # bytes of the place of a message in a footer; the first 8 are its offset


class Message(NamedTuple):
    """A message of an Arrow file as its header describes it; ``end`` is where the next one of a stream begins."""

    kind: int
    rows: int
    end: int


def in_stream(file: BinaryIO, name: str) -> Iterator[Message]:
    """The messages of an Arrow stream, by reading headers and skipping bodies."""
    file.seek(0)
    while (message := _message(file, name)) is not None:
        yield message
        file.seek(message.end)


def in_file(file: BinaryIO, name: str) -> Iterator[Message]:
    """The messages that the footer of an Arrow file names; between them may be anything, which nobody reads."""
    file.seek(-10, 2)
    size = struct.unpack("<i", exactly(file, 4))[0]
    file.seek(-10 - size, 2)
    footer = _Flat.whole(exactly(file, size))
    for offset in (*footer.places(DICTIONARIES), *footer.places(BATCHES)):
        file.seek(offset)
        if (message := _message(file, name)) is not None:
            yield message


def _message(file: BinaryIO, name: str) -> Message | None:
    """The next message, of the encapsulated format of the Arrow columnar specification; None at the end of a stream.

    Raises UnreadableFile for values that would unpack to more than 1 GiB.
    """
    size = _message_size(file)
    if size <= 0:
        return None
    root = _Flat.whole(exactly(file, size))
    kind, body = root.number(1, "<B"), root.number(3, "<q")
    start, rows = file.tell(), 0
    if kind in (DICTIONARY, BATCH):
        batch = root.table(2) if kind == BATCH else root.table(2).table(1)
        _refuse_large(_plain_size(file, start, body, batch), name)
        rows = batch.number(0, "<q")
    return Message(kind, rows, start + body)


def _refuse_large(size: int, name: str) -> None:
    if size > ROW_BYTES:
        raise UnreadableFile(
            f"{name} has a batch that unpacks to {size >> 20} MiB; {ROW_BYTES >> 20} MiB is the most. "
            "Write it with smaller batches."
        )


def _message_size(file: BinaryIO) -> int:
    mark = exactly(file, 4)
    if mark == b"\xff\xff\xff\xff":
        mark = exactly(file, 4)
    return struct.unpack("<i", mark)[0] if len(mark) == 4 else 0


def _plain_size(file: BinaryIO, start: int, body: int, batch: _Flat) -> int:
    """Bytes of a batch in memory; a packed buffer begins with its unpacked size."""
    packed = batch.place(3) is not None
    total = 0
    for offset, length in batch.pairs(2):
        if not 0 <= offset <= offset + length <= body:
            raise ValueError("a buffer lies outside its message")
        total += length
        if packed and length >= 8:
            file.seek(start + offset)
            total += max(0, struct.unpack("<q", exactly(file, 8))[0])
    return total


class _Flat:
    """A table of a FlatBuffer: just enough to read sizes from the header of an Arrow message."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._start = data, start
        self._fields = start - struct.unpack_from("<i", data, start)[0]
        if start < 0 or self._fields < 0:
            raise ValueError("an Arrow header points outside itself")

    @classmethod
    def whole(cls, data: bytes) -> _Flat:
        """The table that a FlatBuffer is."""
        return cls(data, struct.unpack_from("<I", data)[0])

    def place(self, field: int) -> int | None:
        if 4 + 2 * field >= struct.unpack_from("<H", self._data, self._fields)[0]:
            return None
        offset = struct.unpack_from("<H", self._data, self._fields + 4 + 2 * field)[0]
        return self._start + offset if offset else None

    def number(self, field: int, form: str) -> int:
        place = self.place(field)
        return 0 if place is None else int(struct.unpack_from(form, self._data, place)[0])

    def table(self, field: int) -> _Flat:
        place = self.place(field)
        if place is None:
            raise ValueError("an Arrow header lacks a part")
        return _Flat(self._data, place + struct.unpack_from("<I", self._data, place)[0])

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A list of two numbers each: the places and sizes of buffers."""
        return [struct.unpack_from("<qq", self._data, each) for each in self._items(field, 16)]

    def places(self, field: int) -> list[int]:
        """Where the messages are that a footer lists."""
        return [struct.unpack_from("<q", self._data, each)[0] for each in self._items(field, PLACE)]

    def _items(self, field: int, size: int) -> range:
        """Where the items of a list begin, of so many bytes each."""
        place = self.place(field)
        if place is None:
            return range(0)
        start = place + struct.unpack_from("<I", self._data, place)[0]
        count = struct.unpack_from("<I", self._data, start)[0]
        if count * size > len(self._data):
            raise ValueError("an Arrow header lists more than it holds")
        return range(start + 4, start + 4 + size * count, size)


def _refuse_duplicates(name: str, names: list[str]) -> None:
    twice = sorted({each for each in names if names.count(each) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise UnreadableFile(f"{name} has several columns named {twice[0]!r}. Rename them.")


def _of_data(field: pa.Field) -> pa.Field:
    """The field; the index that pandas wrote beside the columns is marked so that it is not learned from."""
    return field.with_metadata({"set aside": "the index of a DataFrame"}) if INDEX.fullmatch(field.name) else field


def _unread(schema: pa.Schema) -> dict[str, str]:
    return {each.name: "nested values" for each in schema if pa.types.is_nested(each.type) and not is_list(each.type)}


def _is_text(kind: pa.DataType) -> bool:
    kinds = pa.types
    return any(
        is_a(kind) for is_a in (kinds.is_string, kinds.is_large_string, kinds.is_binary, kinds.is_large_binary)
    ) or (hasattr(kinds, "is_string_view") and kinds.is_string_view(kind))


def _as_dictionary(field: pa.Field) -> pa.Field:
    if not _is_text(field.type):
        return field
    values = pa.binary() if "binary" in str(field.type) else pa.string()
    return pa.field(field.name, pa.dictionary(pa.int32(), values), metadata=field.metadata)
