"""Source: a data file as record batches, read as often as needed in bounded memory; Origin: where its bytes are."""

from __future__ import annotations

import csv
import gzip
import io
import math
import os
import shutil
import struct
import sys
import tempfile
import weakref
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import pyarrow as pa

from diabolo.errors import DiaboloError, UnreadableFile
from diabolo.grids import is_grid

ROWS = 65_536  # rows of a batch at most
BATCH_BYTES = 64 << 20  # decoded bytes of a batch that a source aims at; wide rows come in smaller batches
ROW_BYTES = 1 << 30  # decoded bytes of a single batch beyond which a file is refused
IN_MEMORY = 1 << 30  # decoded bytes that `table` may hold
EXPANSION = 200  # how many times its packed size a file may unpack to: real tables stay below 50, a bomb needs 1000
EXPANSION_FROM = 64 << 20  # unpacked bytes from which the expansion is looked at

FAULTS = (
    pa.ArrowException,
    csv.Error,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,  # how C++ exceptions of Parquet arrive
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class Source(ABC):
    """A table on disk or on standard input, as a stream of record batches.

    ``rows`` is None until it is known. ``starts`` holds the first row number of each piece, a part that can be read
    without the others (a row group). ``set_aside`` maps columns that are not read to the reason. ``once`` says that
    there can be only one pass (standard input, a named pipe), ``named`` that the columns have names of their own. Rows
    are numbered from 0 here and from 1 in messages.
    """

    name: str
    schema: pa.Schema
    rows: int | None = None
    starts: tuple[int, ...] = (0,)
    set_aside: Mapping[str, str] = MappingProxyType({})
    once: bool = False
    named: bool = True

    @property
    def pieces(self) -> int:
        """How many parts can be read independently."""
        return len(self.starts)

    @abstractmethod
    def piece(self, i: int) -> Iterator[pa.RecordBatch]:
        """The batches of part ``i``; each has at most 65,536 rows and about 64 MB."""

    def batches(self, size: int = ROWS) -> Iterator[pa.RecordBatch]:
        """Every row in the order of the file, in batches of at most ``size`` rows. Raises UnreadableFile."""
        for i in range(self.pieces):
            for batch in self.piece(i):
                yield from slices(batch, size)

    def table(self, limit: int = IN_MEMORY) -> pa.Table:
        """The whole file in memory. Raises UnreadableFile when that takes more than ``limit`` bytes."""
        read, held = [], 0
        for batch in self.batches():
            held += batch.nbytes
            if held > limit:
                raise UnreadableFile(f"{self.name} takes more than {limit >> 20} MiB in memory. {self._parts()}")
            read.append(batch)
        return pa.Table.from_batches(read, self.schema)

    def _parts(self) -> str:
        """What to do with a table that is too large to be held."""
        if self.once:
            return "Save it to a file and name that file: a file is streamed."
        return f"Take it in parts: for rows in diabolo.readers.open_source({self.name!r}).batches(): ..."

    def called(self, row: int) -> str:
        """The name of row number ``row``, where rows have names: of images that of the file."""
        return ""

    def locate(self, row: int) -> str:
        """Where a person finds row number ``row``, for messages."""
        return f"{self.name}, row {row + 1}"


class Origin:
    """Where bytes come from: a file, a pipe with a name or, for ``path`` None, standard input; gzip is unpacked."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.name = "standard input" if path is None else str(path)
        self.once = path is None or path.is_fifo()
        self._head = b""
        self._rest: BinaryIO | None = None
        self._copy: BinaryIO | None = None

    def head(self, size: int) -> bytes:
        """The first ``size`` bytes, or all if there are fewer, without using them up."""
        if not self.once:
            with self.open() as file:
                return exactly(file, size)
        if self._rest is None:
            self._rest = unpacked(self._bytes(), self.name)
        if len(self._head) < size:
            self._head += exactly(self._rest, size - len(self._head))
        return self._head[:size]

    def open(self) -> BinaryIO:
        """The bytes from the start. Raises UnreadableFile for the second look at a pipe."""
        if not self.once:
            return unpacked(self._bytes(), self.name)
        self.head(0)
        if self._rest is None or self._rest.closed:
            raise UnreadableFile(f"{self.name} can be read only once. Save it to a file and name that file.")
        file, self._rest = _Chain(self._head, self._rest), _closed()
        return io.BufferedReader(file)

    def seekable(self) -> BinaryIO:
        """The bytes as a file that can be read in any order; a pipe is first copied to a temporary file."""
        if not self.once:
            return self._bytes()
        if self._copy is None:
            self._copy = self._copied()
        again = os.fdopen(os.dup(self._copy.fileno()), "rb")
        again.seek(0)
        return again

    def _bytes(self) -> BinaryIO:
        if self.path is None:
            return sys.stdin.buffer
        file = self.path.open("rb")
        if self.once:
            weakref.finalize(self, file.close)
        return file

    def _copied(self) -> BinaryIO:
        copy: Any = tempfile.TemporaryFile()  # closed when the origin is forgotten
        weakref.finalize(self, copy.close)
        with self.open() as file:
            shutil.copyfileobj(file, copy, 1 << 20)
        copy.flush()
        return copy


class _Chain(io.RawIOBase):
    """Bytes already read, then the rest of their stream."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = io.BytesIO(head), rest

    def readable(self) -> bool:
        return True

    def readinto(self, place: Any) -> int:
        data = self._head.read(len(place)) or self._rest.read(len(place))
        place[: len(data)] = data
        return len(data)


class _Counted(io.RawIOBase):
    """A stream that knows how many of its bytes were read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.count = file, 0

    def readable(self) -> bool:
        return True

    def readinto(self, place: Any) -> int:
        data = self._file.read(len(place))
        place[: len(data)] = data
        self.count += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Unpacked(io.RawIOBase):
    """A gzip stream unpacked; refuses to grow out of proportion."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._packed, self._name, self._count = _Counted(file), name, 0
        self._file = gzip.GzipFile(fileobj=io.BufferedReader(self._packed))

    def readable(self) -> bool:
        return True

    def readinto(self, place: Any) -> int:
        with reading(self._name, "gzip"):
            data = self._file.read(len(place))
        self._count += len(data)
        refuse_expansion(self._name, self._packed.count, self._count)
        place[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        self._packed.close()
        super().close()


def unpacked(file: BinaryIO, name: str) -> BinaryIO:
    """``file``, through gzip where its first two bytes say so."""
    start = exactly(file, 2)
    chain: Any
    if file.seekable():
        file.seek(-len(start), io.SEEK_CUR)
        chain = file
    else:
        chain = io.BufferedReader(_Chain(start, file))
    return io.BufferedReader(_Unpacked(chain, name), 1 << 20) if start == b"\x1f\x8b" else chain


def refuse_expansion(name: str, packed: int, plain: int) -> None:
    """Raise UnreadableFile when ``packed`` bytes unpack to so many that only a decompression bomb explains it."""
    if plain > EXPANSION_FROM and plain > EXPANSION * packed:
        raise UnreadableFile(
            f"{name} unpacks to more than {EXPANSION} times its size, as decompression bombs do. "
            "If you trust it, unpack it first and give the unpacked file."
        )


def exactly(file: BinaryIO, size: int) -> bytes:
    """``size`` bytes of ``file``, fewer only at its end."""
    parts, left = [], size
    while left and (part := file.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def rows_at_once(schema: pa.Schema, size: int = ROWS) -> int:
    """How many rows of fixed width make a batch of about 64 MB, at most ``size``."""
    width = row_bytes(schema)
    if width > ROW_BYTES:
        raise UnreadableFile(
            f"One row takes {width >> 20} MiB; {ROW_BYTES >> 20} MiB is the most. Drop the wide columns."
        )
    return max(1, min(size, BATCH_BYTES // max(width, 1)))


def slices(batch: pa.RecordBatch, size: int = ROWS) -> Iterator[pa.RecordBatch]:
    """``batch`` in parts of at most ``size`` rows, without copying."""
    for start in range(0, batch.num_rows, size):
        yield batch.slice(start, size)


def unique(names: Iterable[str]) -> list[str]:
    """Column names made distinct: an empty one becomes ``column 3``, a second ``a`` becomes ``a (2)``.

    >>> unique(["a", "", "a"])
    ['a', 'column 2', 'a (2)']
    """
    found: dict[str, None] = {}
    for place, given in enumerate(names, 1):
        name = base = given or f"column {place}"
        count = 1
        while name in found:
            count += 1
            name = f"{base} ({count})"
        found[name] = None
    return list(found)


@contextmanager
def reading(name: str, what: str) -> Iterator[None]:
    """Turn whatever a parser raises inside into UnreadableFile."""
    try:
        yield
    except DiaboloError:
        raise
    except FileNotFoundError as error:
        raise UnreadableFile(f"There is no file {name}. Check the path.") from error
    except IsADirectoryError as error:
        raise UnreadableFile(f"{name} is a folder. Name one file in it.") from error
    except PermissionError as error:
        raise UnreadableFile(f"{name} may not be read. Ask for the right to read it.") from error
    except FAULTS as error:
        told = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UnreadableFile(
            f"{name} cannot be read as {what}: {told}. Check that the file is whole and that its format is {what}."
        ) from error


def row_bytes(schema: pa.Schema) -> int:
    """Bytes of a decoded row, at least: text is counted as a few bytes."""
    return sum(_width(field.type) for field in schema)


def _width(kind: pa.DataType) -> int:
    if is_grid(kind):
        return math.prod(kind.shape) * _width(kind.value_type)
    try:
        return max(1, kind.bit_width // 8)
    except ValueError:
        return 32  # of a text or a list: its size is not known from the type


def _closed() -> BinaryIO:
    file = io.BytesIO()
    file.close()
    return file
