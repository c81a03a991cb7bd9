"""Numpy files as sources: .npy mapped into memory, .npz streamed; nothing is unpickled."""

from __future__ import annotations

import ast
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from math import prod
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from diabolo.errors import UnreadableFile
from diabolo.grids import grid_column, is_grid
from diabolo.readers.source import IN_MEMORY, Origin, Source, exactly, reading, refuse_expansion, rows_at_once

LABELS = "labels beside the table of an npz file, not a feature"
HEADER = 10_000  # bytes of a header
BYTE = np.dtype(np.uint8)  # which flags of images and series become, as Arrow has no grids of flags
MOST_AXES = 4  # rows, channels, height and width
TYPES = re.compile(r"[<>|=]?([biuf](1|2|4|8|16)|b1|U[1-9]\d{0,5}|M8\[(ns|us|ms|s|m|h|D)\])")


class Npy(Source):
    """An array in a .npy file, mapped into memory; its columns, or channels of images or series, are x0, x1, ..."""

    named = False

    def __init__(self, origin: Origin) -> None:
        self.name, self._origin = origin.name, origin
        with reading(self.name, "npy"), origin.seekable() as file:
            array = self._mapped(file)
        self.schema = _numbered(array.dtype, *array.shape[1:])
        self.rows = len(array)
        self._size = rows_at_once(self.schema)
        self.starts = tuple(range(0, self.rows, self._size))

    def piece(self, i: int) -> Iterator[pa.RecordBatch]:
        with reading(self.name, "npy"), self._origin.seekable() as file:
            block = self._mapped(file)[self.starts[i] : self.starts[i] + self._size]
            yield _batch([block if block.ndim > 1 else block[:, None]], self.schema)

    def _mapped(self, file: BinaryIO) -> np.ndarray:
        shape, fortran, dtype = _read_header(file)
        _check_shape(self.name, shape)
        order: Any = "F" if fortran else "C"
        return np.memmap(file, dtype, "r", file.tell(), shape, order)


class Member(NamedTuple):
    """An array inside a .npz file, as its header describes it."""

    info: zipfile.ZipInfo
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    by_columns: bool

    @property
    def name(self) -> str:
        return self.info.filename.removesuffix(".npy")


class Npz(Source):
    """Arrays in a .npz file, streamed; one that is stored by columns is held in memory, up to 1 GiB.

    The table is the array ``X``, or the only one of two dimensions (columns x0, x1, ...) or more (channels x0, x1, ...
    of series or images); one-dimensional arrays of the same length are labels beside it, marked so that they are not
    learned from. Without such an array the one-dimensional ones are the columns.
    """

    def __init__(self, origin: Origin) -> None:
        self.name, self._origin = origin.name, origin
        with reading(self.name, "npz"), origin.seekable() as file, zipfile.ZipFile(file) as archive:
            infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            found = [_member(archive, info, self.name) for info in infos]
        self._members = _table_of(found, self.name)
        self.rows = self._members[0].shape[0]
        fields = [field for member in self._members for field in _fields(member, len(self._members[0].shape) > 1)]
        self.schema = pa.schema(fields)
        self.named = len(self._members[0].shape) == 1

    def piece(self, i: int) -> Iterator[pa.RecordBatch]:
        with reading(self.name, "npz"), ExitStack() as stack:
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(self._origin.seekable())))
            files = [stack.enter_context(archive.open(member.info)) for member in self._members]
            size = rows_at_once(self.schema)
            streams = [_blocks(file, member, size) for file, member in zip(files, self._members, strict=True)]
            for blocks in zip(*streams, strict=True):
                yield _batch(list(blocks), self.schema)


def _table_of(found: list[Member], name: str) -> list[Member]:
    wide = [member for member in found if 2 <= len(member.shape) <= MOST_AXES]
    main = [member for member in wide if member.name == "X"] or wide
    lists = [member for member in found if len(member.shape) == 1]
    if len(main) > 1 or not (main or lists):
        if not found:
            raise UnreadableFile(f"{name} is a zip archive without arrays. Unpack it and give the file in it.")
        told = ", ".join(f"{member.name} {member.shape}" for member in found)
        raise UnreadableFile(
            f"{name} needs one array of rows and columns (or channels), best named X. Its arrays: {told}."
        )
    rows = (main or lists)[0].shape[0]
    return main + [member for member in lists if member.shape[0] == rows]


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Member:
    refuse_expansion(name, info.compress_size, info.file_size)
    with archive.open(info) as file:
        shape, fortran, dtype = _read_header(file)
        rest = info.file_size - file.tell()
    if prod(shape) * dtype.itemsize > rest:
        raise UnreadableFile(
            f"{name}: {info.filename} claims the shape {shape} but holds {rest} bytes. Write it again."
        )
    if fortran and rest > IN_MEMORY:
        raise UnreadableFile(
            f"{name}: {info.filename} is stored by columns and takes {rest >> 20} MiB, too much to turn round. "
            "Save numpy.ascontiguousarray of it."
        )
    return Member(info, dtype, shape, fortran)


def _read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of the array that follows; numpy's own reader also tries to mend broken headers."""
    form = "<H" if np.lib.format.read_magic(file) == (1, 0) else "<I"
    size = struct.unpack(form, exactly(file, struct.calcsize(form)))[0]
    if size > HEADER:
        raise ValueError(f"a header of {size} bytes")
    told = ast.literal_eval(exactly(file, size).decode("latin-1"))
    shape, descr = told["shape"], told["descr"]
    if not TYPES.fullmatch(str(descr)):
        raise ValueError(f"it holds {descr!r}, not numbers, booleans, dates or text")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"its shape is {shape!r}")
    return tuple(shape), bool(told["fortran_order"]), np.dtype(descr)


def _check_shape(name: str, shape: tuple[int, ...]) -> None:
    if not 1 <= len(shape) <= MOST_AXES:
        raise UnreadableFile(
            f"{name}: the array has the shape {shape}. Save rows and columns (n, d), series (n, channels, time) or "
            "images (n, channels, height, width)."
        )


def _fields(member: Member, beside: bool) -> list[pa.Field]:
    if len(member.shape) > 1:
        return list(_numbered(member.dtype, *member.shape[1:]))
    return [pa.field(member.name, _arrow(member.dtype), metadata={"set aside": LABELS} if beside else None)]


def _numbered(dtype: np.dtype[Any], count: int = 1, *grid: int) -> pa.Schema:
    kind = pa.fixed_shape_tensor(_arrow(BYTE if dtype.kind == "b" else dtype), grid) if grid else _arrow(dtype)
    return pa.schema([(f"x{j}", kind) for j in range(count)])


def _arrow(dtype: np.dtype[Any]) -> pa.DataType:
    return pa.from_numpy_dtype(_native(dtype)) if dtype.kind != "U" else pa.string()


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind == "M":
        return np.dtype("datetime64[us]")
    return np.dtype(np.float64) if dtype.kind == "f" and dtype.itemsize > 8 else dtype.newbyteorder("=")


def _blocks(file: Any, member: Member, size: int) -> Iterator[np.ndarray]:
    """The rows of an array, ``size`` at a time."""
    _read_header(file)
    rows, shape = member.shape[0], member.shape[1:] or (1,)
    if member.by_columns:
        whole = _numbers(file, member, rows * prod(shape)).reshape(rows, *shape, order="F")
        yield from (whole[start : start + size] for start in range(0, rows, size))
        return
    for start in range(0, rows, size):
        count = min(size, rows - start)
        yield _numbers(file, member, count * prod(shape)).reshape(count, *shape)


def _numbers(file: Any, member: Member, count: int) -> np.ndarray:
    return np.frombuffer(exactly(file, count * member.dtype.itemsize), member.dtype, count)


def _batch(blocks: list[np.ndarray], schema: pa.Schema) -> pa.RecordBatch:
    columns = [block[:, j] for block in blocks for j in range(block.shape[1])]
    arrays = [_column(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _column(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    values = values if values.dtype.kind == "U" else values.astype(_native(values.dtype))
    if is_grid(kind) and values.dtype.kind == "b":
        values = values.astype(BYTE)
    return grid_column(values) if is_grid(kind) else pa.array(values, kind)
