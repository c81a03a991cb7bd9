"""CSV, TSV and JSON Lines as sources: types found in one pass over the whole file, then rows streamed."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.json

from diabolo.errors import UnreadableFile
from diabolo.readers.source import Origin, Source, exactly, reading, rows_at_once, slices, unique
from diabolo.readers.texts import NULLS, convert, first_misfit, fits, guess, join

HEAD = 1 << 20  # bytes that the header must end within
BLOCK = 4 << 20  # bytes parsed at once; no row may be longer
DELIMITERS = ",;\t|"
DEPTH = 64  # levels of nesting in a line of JSON
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class Delimited(Source):
    """A CSV or TSV file with a header line.

    Types are those that fit every value (see ``texts``), so a block never surprises a later one. From standard input,
    which is read once, they come from the first block, whole numbers are taken as numbers, and a later value that
    does not fit is an error that names it. The text is UTF-8, UTF-16 with its mark, or otherwise Latin-1.
    """

    def __init__(self, origin: Origin, delimiter: str | None = None) -> None:
        self.name, self.once, self._origin = origin.name, origin.once, origin
        with reading(self.name, "a text table"):
            head = origin.head(HEAD)
        self._encoding = _encoding(head, self.name)
        text = head.decode(self._encoding, "replace").removeprefix("\ufeff")
        self._delimiter = delimiter or _delimiter(text)
        self._names = unique(name.strip() for name in _header(text, self._delimiter, self.name))
        self._comma = self._delimiter == ";"
        self._stream: Iterator[pa.RecordBatch] | None = None
        self._learn_types()

    def locate(self, row: int) -> str:
        return f"{self.name}, row {row + 1} after the header"

    def piece(self, i: int) -> Iterator[pa.RecordBatch]:
        stream, self._stream = self._stream or self._strings(), None
        start = 0
        for strings in stream:
            yield from slices(self._typed(strings, start), rows_at_once(self.schema))
            start += strings.num_rows
        self.rows = start

    def _learn_types(self) -> None:
        if self.once:
            self._learn_types_of_first_block()
            return
        try:
            self._learn_all_types()
        except UnreadableFile as error:
            if "UTF8" not in str(error):
                raise
            self._encoding = "latin-1"  # a byte past the head that is not UTF-8
            self._learn_all_types()

    def _learn_all_types(self) -> None:
        kinds = [pa.null()] * len(self._names)
        rows = 0
        for strings in self._strings():
            kinds = [self._widened(kind, column) for kind, column in zip(kinds, strings.columns, strict=True)]
            rows += strings.num_rows
        self.rows, self.schema = rows, pa.schema(zip(self._names, kinds, strict=True))

    def _widened(self, kind: pa.DataType, strings: pa.Array) -> pa.DataType:
        if kind == pa.string() or (kind not in (pa.null(), pa.int64()) and fits(strings, kind, self._comma)):
            return kind
        return join(kind, guess(strings, self._comma))

    def _learn_types_of_first_block(self) -> None:
        stream = self._strings()
        first = next(stream, None)
        kinds = [pa.null()] * len(self._names) if first is None else [guess(c, self._comma) for c in first.columns]
        looser = {pa.int64(): pa.float64(), pa.null(): pa.string()}
        self.schema = pa.schema((n, looser.get(kind, kind)) for n, kind in zip(self._names, kinds, strict=True))
        self._stream = _chained(first, stream)

    def _typed(self, strings: pa.RecordBatch, start: int) -> pa.RecordBatch:
        columns = [self._converted(*each, start) for each in zip(self.schema, strings.columns, strict=True)]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _converted(self, field: pa.Field, strings: pa.Array, start: int) -> pa.Array:
        try:
            return convert(strings, field.type, self._comma)
        except pa.ArrowInvalid:
            row = first_misfit(strings, field.type, self._comma)
        raise UnreadableFile(
            f"{self.locate(start + row)}, column {field.name!r}: {strings[row].as_py()!r:.80} is not of type "
            f"{field.type}, as the rows before it are. Correct the value, or write NA where it is missing."
        )

    def _strings(self) -> Iterator[pa.RecordBatch]:
        """Every row after the header as text, missing values as nulls."""
        ragged: list[Any] = []

        def remember(row: Any) -> str:
            ragged.append(row)
            return "error"

        with reading(self.name, "a text table"):
            try:
                with self._origin.open() as file:
                    yield from self._parsed(file, remember)
            except pa.ArrowInvalid as error:
                raise self._explained(error, ragged) from error

    def _parsed(self, file: BinaryIO, remember: Any) -> Iterator[pa.RecordBatch]:
        yield from pyarrow.csv.open_csv(
            pa.PythonFile(file, mode="r"),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,  # as fast on text, and it knows the number of a broken row
                block_size=BLOCK,
                column_names=self._names,
                skip_rows_after_names=1,
                encoding=self._encoding,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=remember
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(self._names, pa.string()), null_values=NULLS, strings_can_be_null=True
            ),
        )

    def _explained(self, error: pa.ArrowInvalid, ragged: list[Any]) -> UnreadableFile:
        if ragged:
            row = ragged[0]
            return UnreadableFile(
                f"{self.name}, line {row.number}: {row.actual_columns} fields where the header has {len(self._names)}: "
                f"{row.text!r:.80}. Put quotes around fields that hold {self._delimiter!r}, or correct the line."
            )
        if "straddling" in str(error):
            return UnreadableFile(
                f"{self.name} has a row of more than {BLOCK >> 20} MiB. Look for a quote that is never closed."
            )
        told = str(error).splitlines()[0]
        return UnreadableFile(f"{self.name}: {told}. Correct the file, or save it again as UTF-8 text.")


class JsonLines(Source):
    """A file with one JSON object per line; a key that a line lacks is a missing value.

    Nested objects and lists are set aside. A column whose values differ in type becomes text.
    """

    def __init__(self, origin: Origin) -> None:
        self.name, self.once, self._origin = origin.name, origin.once, origin
        self._blocks_left: Iterator[tuple[int, bytes]] | None = None
        kinds: dict[str, pa.DataType] = {}
        blocks = self._blocks()
        for first, block in blocks:
            for field in self._parse(first, block, None).schema:
                kinds[field.name] = join(kinds.get(field.name, pa.null()), field.type)
            if self.once:
                self._blocks_left = _chained((first, block), blocks)
                break
        self._describe(kinds)

    def piece(self, i: int) -> Iterator[pa.RecordBatch]:
        blocks, self._blocks_left = self._blocks_left or self._blocks(), None
        rows = 0
        for first, block in blocks:
            table = self._parse(first, block, self.schema)
            for batch in _shaped(table, self.schema).to_batches():
                yield from slices(batch, rows_at_once(self.schema))
            rows += table.num_rows
        self.rows = rows

    def _describe(self, kinds: dict[str, pa.DataType]) -> None:
        nested = [name for name, kind in kinds.items() if pa.types.is_nested(kind)]
        self.set_aside = dict.fromkeys(nested, "nested values")
        looser = {pa.int64(): pa.float64(), pa.null(): pa.string()} if self.once else {}
        self.schema = pa.schema((n, looser.get(kind, kind)) for n, kind in kinds.items() if n not in self.set_aside)
        if not kinds:
            raise UnreadableFile(f'{self.name} holds no JSON object. Give one object per line, such as {{"a": 1}}.')

    def _blocks(self) -> Iterator[tuple[int, bytes]]:
        """Whole lines of about 4 MB together, and the number of the first."""
        with reading(self.name, "JSON lines"), self._origin.open() as file:
            first, rest = 1, b""
            while data := exactly(file, BLOCK):
                whole, end, tail = (rest + data).rpartition(b"\n")
                if not end and len(tail) >= 2 * BLOCK:
                    raise UnreadableFile(f"{self.name}, line {first} is longer than {BLOCK >> 20} MiB. Split it up.")
                rest = tail
                if whole:
                    yield first, whole
                    first += whole.count(b"\n") + 1
            if rest.strip():
                yield first, rest

    def _parse(self, first: int, block: bytes, schema: pa.Schema | None) -> pa.Table:
        _refuse_depth(self.name, first, block)
        try:
            block.decode()
            return _fast(block, schema)
        except (pa.ArrowException, UnicodeDecodeError):
            return self._slow(first, block)

    def _slow(self, first: int, block: bytes) -> pa.Table:
        """Line by line: tells which line is broken, and turns values of several types in a column into text."""
        rows = []
        for number, line in enumerate(block.split(b"\n"), first):
            if line.strip():
                rows.append(self._row(number, line))
        names = list(dict.fromkeys(name for row in rows for name in row))
        return pa.table({name: _column([row.get(name) for row in rows]) for name in names})

    def _row(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line.decode().removeprefix("\ufeff"))
        except (ValueError, RecursionError) as error:
            raise UnreadableFile(f"{self.name}, line {number} is not JSON: {error}. Correct the line.") from error
        if not isinstance(row, dict):
            raise UnreadableFile(f"{self.name}, line {number} is not a JSON object but {line[:60]!r}. Write {{...}}.")
        return row


def _fast(block: bytes, schema: pa.Schema | None) -> pa.Table:
    options = pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1)
    behaviour = "infer" if schema is None else "ignore"
    parse = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=behaviour)
    return pyarrow.json.read_json(pa.BufferReader(block), read_options=options, parse_options=parse)


def _shaped(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """``table`` with exactly the columns of ``schema``."""
    absent = pa.nulls(table.num_rows)
    columns = [_cast(table[f.name] if f.name in table.column_names else absent, f.type) for f in schema]
    return pa.table(columns, schema=schema).combine_chunks()


def _cast(column: Any, kind: pa.DataType) -> Any:
    if pa.types.is_string(kind) and not pa.types.is_string(column.type):
        return pa.chunked_array([_column(column.to_pylist(), kind)])
    return column.cast(kind, safe=False)


def _column(values: list[Any], kind: pa.DataType | None = None) -> pa.Array:
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, OverflowError, UnicodeError):
        return pa.array([_words(value) for value in values], pa.string())


def _words(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value if value is None else value.encode("utf-8", "replace").decode()
    return json.dumps(value, default=str)


def _refuse_depth(name: str, first: int, block: bytes) -> None:
    """Deep nesting overruns the stack of JSON parsers, so it is looked for before they see the text."""
    if block.count(b"{") + block.count(b"[") < block.count(b"\n") + DEPTH:
        return
    for number, line in enumerate(block.split(b"\n"), first):
        if line.count(b"{") + line.count(b"[") > DEPTH and _depth(line) > DEPTH:
            raise UnreadableFile(f"{name}, line {number} is nested more than {DEPTH} levels. Flatten it.")


def _depth(line: bytes) -> int:
    depth = deepest = 0
    for mark in re.findall(rb"[\[{\]}]", line):
        depth += 1 if mark in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _encoding(head: bytes, name: str) -> str:
    if not head.strip():
        raise UnreadableFile(f"{name} is empty. Give a file with a header line and rows.")
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    if b"\0" in head:
        raise UnreadableFile(
            f"{name} holds NUL bytes, so it is not text. Name its format, for example format='parquet'."
        )
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # incremental: the head may end inside a character
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _delimiter(text: str) -> str:
    """The delimiter that cuts the header into the most names."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    return max(DELIMITERS, key=lambda mark: len(_split(line, mark)))


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _header(text: str, delimiter: str, name: str) -> list[str]:
    with reading(name, "a text table"):
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        names = next((row for row in rows if row), [])
    if len(text) >= HEAD and sum(map(len, names)) + len(names) >= len(text) - 1:
        raise UnreadableFile(f"{name}: the header line is longer than {HEAD >> 20} MiB. Name fewer columns.")
    if _is_data(names):
        raise UnreadableFile(
            f"{name}: the first line holds numbers ({', '.join(names[:3])} ...), not the names of the columns. "
            "Add a header line."
        )
    return names


def _is_data(names: list[str]) -> bool:
    """Whether a header is a row of numbers; distinct whole numbers (0,1,2 or years) may be names."""
    numbers = fits(pa.array(names, pa.string()), pa.float64())
    return numbers and not (len(set(names)) == len(names) and all(name.strip().isdigit() for name in names))


def _chained(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    if first is not None:
        yield first
    yield from rest
