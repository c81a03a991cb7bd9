"""What the footer of a Parquet file claims of its column chunks, read without Arrow.

Arrow's C++ code ends the whole process (``std::terminate``) where the metadata of a column chunk in a damaged footer
contradict each other, so that they must not be asked for. The footer is a Thrift struct in the compact protocol
(parquet-format, ``parquet.thrift``); only the fields named here are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any, NamedTuple

ROW_GROUPS, COLUMNS, ROWS, META_DATA = 4, 1, 3, 3
ENCODINGS, PATH, VALUES, PLAIN, PACKED, DATA, DICTIONARY = 2, 3, 5, 6, 7, 9, 11
PAGE_BYTES, PAGE, PAGE_V2, PAGE_VALUES = 3, 5, 8, 1
PAGE_HEADER = 1 << 16  # bytes that the header of a page must end within
DELTA_BYTE_ARRAY = 7
DEEPEST = 16  # structs within structs; Parquet's own are 6 deep


class Chunk(NamedTuple):
    """One column of one row group: sizes in bytes, as the footer claims them; ``start`` is where its pages begin."""

    path: str
    delta: bool
    plain: int
    packed: int
    rows: int
    values: int
    start: int


def chunks(file: IO[bytes]) -> list[Chunk]:
    """Every column chunk of a file; raises ValueError for a footer that is none."""
    file.seek(-8, 2)
    length = int.from_bytes(file.read(4), "little")
    file.seek(-8 - length, 2)
    try:
        footer = Compact(file.read(length)).struct()
        groups = footer[ROW_GROUPS]
        return [_chunk(column[META_DATA], group[ROWS]) for group in groups for column in group[COLUMNS]]
    except (AttributeError, IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError("its footer is damaged") from error


def _chunk(told: dict[int, Any], rows: int) -> Chunk:
    path = ".".join(part.decode() for part in told[PATH])
    start = min(int(told[place]) for place in (DATA, DICTIONARY) if place in told)
    sizes = int(told[PLAIN]), int(told[PACKED]), int(rows), int(told[VALUES])
    return Chunk(path, DELTA_BYTE_ARRAY in told[ENCODINGS], *sizes, start)


def check_pages(file: IO[bytes], chunk: Chunk, most: int) -> None:
    """Raise ValueError where the pages of a chunk claim other values than the footer, or more than ``most`` a row.

    A row of a list may claim to go on over any number of values, which Arrow would unpack.
    """
    place, values = chunk.start, 0
    while place < chunk.start + chunk.packed and values <= chunk.values:
        file.seek(place)
        page = Compact(file.read(PAGE_HEADER))
        try:
            told = page.struct()
            values += sum(told[each][PAGE_VALUES] for each in (PAGE, PAGE_V2) if each in told)
            place += page.place + max(int(told[PAGE_BYTES]), 0)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError("a page of its lists is damaged") from error
    if values != chunk.values or values > most * chunk.rows:
        raise ValueError(f"its lists claim {values} values in {chunk.rows} rows")


class Compact:
    """Values of Thrift's compact protocol, one after the other.

    >>> Compact(bytes([0x15, 0x04, 0x00])).struct()
    {1: 2}
    """

    def __init__(self, data: bytes) -> None:
        self.data, self.place, self.depth = data, 0, 0

    def struct(self) -> dict[int, Any]:
        """The fields of a struct by number."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise IndexError
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._whole()
            kind = head & 15
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind)
        self.depth -= 1
        return fields

    def _value(self, kind: int) -> Any:
        readers: dict[int, Callable[[], Any]] = {
            1: self._byte, 2: self._byte, 3: self._byte, 4: self._whole, 5: self._whole, 6: self._whole,
            7: lambda: self._bytes(8), 8: lambda: self._bytes(self._unsigned()), 9: self._list, 10: self._list,
            12: self.struct,
        }  # fmt: skip
        return readers[kind]()

    def _list(self) -> list[Any]:
        head = self._byte()
        count = self._unsigned() if head >> 4 == 15 else head >> 4
        if count > len(self.data):
            raise IndexError
        return [self._value(head & 15) for _ in range(count)]

    def _byte(self) -> int:
        self.place += 1
        return self.data[self.place - 1]

    def _bytes(self, count: int) -> bytes:
        self.place += count
        if self.place > len(self.data):
            raise IndexError
        return self.data[self.place - count : self.place]

    def _unsigned(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise IndexError
        return value | byte << shift

    def _whole(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)
