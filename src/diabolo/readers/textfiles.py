"""CSV, TSV and JSON Lines as sources: types found in one pass over the whole file, then rows streamed."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv

from diabolo.errors import DiaboloWarning, UnreadableFile
from diabolo.readers.source import Origin, Source, exactly, reading, rows_at_once, slices, unique
from diabolo.readers.texts import NULLS, Points, convert, first_misfit, fits, guess, join, moment

HEAD = 1 << 20  # bytes that the header must end within
BLOCK = 4 << 20  # bytes parsed at once; no row may be longer
DELIMITERS = ",;\t|"
DECLARED = re.compile(r"sep=([^\w\r\n])\r?\n", re.IGNORECASE)  # what Excel writes before the header
RAGGED = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+): (.*)", re.DOTALL)
LONG = 10**16  # a whole number of 17 digits: floats cannot tell it from its neighbours
PACKED = {b"BZh91AY&SY": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
LINE_ENDS = re.compile(r"\r\n|\r|\n")  # those of text tables; Python knows others
Row = dict[str, Any]
TEXTS = ("string", "large_string")
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class Quoted(io.RawIOBase):
    """A file that counts the quotes in what is read: where a text table is whole, their number is even."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.open = file, False

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.open ^= data.count(b'"') % 2 == 1
        return data

    def readable(self) -> bool:
        return True


class Delimited(Source):
    """A CSV or TSV file with a header line.

    Types are those that fit every value (see ``texts``), so a block never surprises a later one. From standard input,
    which is read once, they come from the first block, whole numbers are taken as numbers, and a later value that does
    not fit is an error that names it. What was text by the ``types`` of a fit stays text; with ``verbatim`` a column
    that ``types`` does not name is text too. Files are UTF-8, UTF-16 with its mark, or otherwise Latin-1.
    """

    def __init__(
        self,
        origin: Origin,
        types: Mapping[str, str] = MappingProxyType({}),
        delimiter: str | None = None,
        *,
        verbatim: bool = False,
    ) -> None:
        self.name, self.once, self._origin = origin.name, origin.once, origin
        with reading(self.name, "a text table"):
            head = origin.head(HEAD)
        self._encoding = _encoding(head, self.name)
        text = head.decode(self._encoding, "replace").removeprefix("\ufeff")
        _refuse_one_line(text, self.name)
        declared = DECLARED.match(text)
        text = text[declared.end() :] if declared else text
        self._delimiter = delimiter or (declared[1] if declared else _delimiter(text))
        self._above = bool(declared) + _blank_lines(text)
        self._names = unique(name.strip() for name in _header(text, self._delimiter, self.name))
        other = "string" if verbatim else ""
        self._first = [_first_kind(types.get(name, other)) for name in self._names]
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
        kinds, rows, points = self._first, 0, Points(len(self._names))
        for strings in self._strings():
            kinds = self._widened(kinds, strings, points)
            rows += strings.num_rows
        self.rows, self.schema = rows, pa.schema(self._told(kinds, points))

    def _widened(self, kinds: list[pa.DataType], strings: pa.RecordBatch, points: Points) -> list[pa.DataType]:
        """The types that this block fits too."""
        if self._comma:
            points.add(strings.columns)
        return [self._wider(kind, column) for kind, column in zip(kinds, strings.columns, strict=True)]

    def _told(self, kinds: list[pa.DataType], points: Points) -> Iterator[tuple[str, pa.DataType]]:
        """Names and types; text where numbers have points that seem to stand between thousands."""
        for name, kind, grouped in zip(self._names, kinds, points.of_thousands, strict=True):
            if grouped and pa.types.is_floating(kind):
                warnings.warn(
                    f"Column {name!r} of {self.name} has points that may stand between thousands (1.234), where others "
                    "have decimal commas. It is read as text: write 1234, or 1,234 where these are decimals.",
                    DiaboloWarning,
                    stacklevel=2,
                )
                kind = pa.string()
            yield name, kind

    def _wider(self, kind: pa.DataType, strings: pa.Array) -> pa.DataType:
        if kind == pa.string() or (kind not in (pa.null(), pa.int64()) and fits(strings, kind, self._comma)):
            return kind
        return join(kind, guess(strings, self._comma))

    def _learn_types_of_first_block(self) -> None:
        stream = self._strings()
        first = next(stream, None)
        kinds, points = self._first, Points(len(self._names))
        if first is not None:
            kinds = [kind for _, kind in self._told(self._widened(kinds, first, points), points)]
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
        with reading(self.name, "a text table"):
            try:
                with self._origin.open() as file:
                    quoted = Quoted(file)
                    yield from self._parsed(quoted)
                if quoted.open and not self.once:
                    self._refuse_open_quote()
            except pa.ArrowInvalid as error:
                raise self._explained(str(error)) from error

    def _refuse_open_quote(self) -> None:
        """Raise UnreadableFile if a quote is never closed, which takes the rows behind it for one text."""
        last = 0
        with self._origin.open() as file, io.TextIOWrapper(file, self._encoding, newline="") as text:
            rows = csv.reader(text, delimiter=self._delimiter, strict=True)
            try:
                for _ in rows:
                    last = rows.line_num
            except csv.Error as error:
                if "end of data" in str(error) or "expected after" in str(error):
                    raise UnreadableFile(
                        f"{self.name}, line {last + 1}: a quote is opened and never closed. Close it, or double it "
                        "where it is meant as a character."
                    ) from None

    def _parsed(self, file: Quoted) -> Iterator[pa.RecordBatch]:
        return pyarrow.csv.open_csv(
            pa.PythonFile(file, mode="r"),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,  # as fast on text, and it knows the number of a broken row
                block_size=BLOCK,
                column_names=self._names,
                skip_rows=self._above,
                skip_rows_after_names=1,
                encoding=self._encoding,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self._delimiter,
                newlines_in_values=True,
                ignore_empty_lines=len(self._names) > 1,  # of a single column an empty line is a missing value
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(self._names, pa.string()), null_values=NULLS, strings_can_be_null=True
            ),
        )

    def _explained(self, told: str) -> UnreadableFile:
        ragged = RAGGED.search(told)
        if ragged:
            line, _, found, text = ragged.groups()
            return UnreadableFile(
                f"{self.name}, line {line}: {found} fields where the header has {len(self._names)}: {text!r:.80}. "
                f"Put quotes around fields that hold {self._delimiter!r}, or correct the line."
            )
        if "straddling" in told:
            return UnreadableFile(
                f"{self.name} has a row of more than {BLOCK >> 20} MiB. Look for a quote that is never closed."
            )
        return UnreadableFile(f"{self.name}: {told.splitlines()[0]}. Correct the file, or save it again as UTF-8 text.")


class JsonLines(Source):
    """A file with one JSON object per line; a key that a line lacks is a missing value.

    Nested objects and lists are set aside. A column of several types becomes text. Lines are read by Python's own
    parser: slower than pyarrow's, which short broken files can crash.
    """

    def __init__(self, origin: Origin, types: Mapping[str, str] = MappingProxyType({})) -> None:
        self.name, self.once, self._origin = origin.name, origin.once, origin
        self._rows_left: Iterator[list[Row]] | None = None
        kinds: dict[str, pa.DataType] = {}
        nested: dict[str, str] = {}
        blocks, count = self._blocks(), 0
        for rows in blocks:
            count += len(rows)
            for name in dict.fromkeys(name for row in rows for name in row):
                kind = _kind([row.get(name) for row in rows])
                nested |= {name: "nested values"} if kind is None else {}
                kinds[name] = join(kinds.get(name, _first_kind(types.get(name, ""))), kind or pa.null())
            if self.once:
                self._rows_left = _chained(rows, blocks)
                break
        self.rows = None if self.once else count
        self.set_aside = nested
        self._learn({name: kind for name, kind in kinds.items() if name not in nested}, any_name=bool(kinds))

    def piece(self, i: int) -> Iterator[pa.RecordBatch]:
        blocks, self._rows_left = self._rows_left or self._blocks(), None
        count = 0
        for rows in blocks:
            yield from slices(self._batch(rows, count), rows_at_once(self.schema))
            count += len(rows)
        self.rows = count

    def _learn(self, kinds: Mapping[str, pa.DataType], *, any_name: bool) -> None:
        if not any_name:
            raise UnreadableFile(f'{self.name} holds no JSON object. Give one object per line, such as {{"a": 1}}.')
        looser = {pa.int64(): pa.float64(), pa.null(): pa.string()} if self.once else {}
        with reading(self.name, "JSON lines"):
            self.schema = pa.schema((name, looser.get(kind, kind)) for name, kind in kinds.items())

    def _batch(self, rows: list[Row], start: int) -> pa.RecordBatch:
        columns = [self._column([row.get(field.name) for row in rows], field, start) for field in self.schema]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _column(self, values: list[Any], field: pa.Field, start: int) -> pa.Array:
        for place, value in enumerate(values if self.once else ()):
            if not pa.types.is_string(field.type) and join(field.type, _kind([value]) or field.type) != field.type:
                raise UnreadableFile(
                    f"{self.locate(start + place)}, column {field.name!r}: {value!r:.80} is not of type {field.type}, "
                    "as the rows before it are. Correct the value, or write null where it is missing."
                )
        return _array(values, field.type)

    def _blocks(self) -> Iterator[list[Row]]:
        """The objects of about 4 MB of lines at a time."""
        with reading(self.name, "JSON lines"), self._origin.open() as file:
            first, rest = 1, b""
            while data := exactly(file, BLOCK):
                whole, end, rest = (rest + data).rpartition(b"\n")
                if len(rest) >= 2 * BLOCK:
                    raise UnreadableFile(f"{self.name}, line {first} is longer than {BLOCK >> 20} MiB. Split it up.")
                if end:
                    yield self._rows_of(first, whole)
                    first += whole.count(b"\n") + 1
            yield self._rows_of(first, rest)

    def _rows_of(self, first: int, block: bytes) -> list[Row]:
        return [self._row(number, line) for number, line in enumerate(block.split(b"\n"), first) if line.strip()]

    def _row(self, number: int, line: bytes) -> Row:
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise UnreadableFile(f"{self.name}, line {number} is not JSON: {error}. Correct the line.") from error
        if not isinstance(row, dict):
            raise UnreadableFile(f"{self.name}, line {number} is not a JSON object but {line[:60]!r}. Write {{...}}.")
        return row


def _first_kind(known: str) -> pa.DataType:
    """What a column of a known type is before its values are seen: text, if that is text."""
    return pa.string() if known.removeprefix("dictionary ") in TEXTS else pa.null()


def _kind(values: list[Any]) -> pa.DataType | None:
    """The narrowest type of JSON values; None if one is nested."""
    found = set(map(type, values)) - {type(None)}
    if found & {list, dict}:
        return None
    if not found:
        return pa.null()
    if found == {str}:
        return moment(_array(values, pa.string()))
    if found == {bool}:
        return pa.bool_()
    if found == {int}:
        whole = {value for value in values if value is not None}
        if min(whole) >= LONG and len(set(map(_float, whole))) < len(whole):
            return pa.string()  # names made of digits
        if all(-(2**63) <= value < 2**63 for value in whole):
            return pa.int64()
    return pa.float64() if found <= {int, float} else pa.string()


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """JSON values as a column."""
    if pa.types.is_floating(kind):
        return pa.array([None if value is None else _float(value) for value in values], kind)
    if pa.types.is_string(kind):
        return pa.array([None if value is None else _words(value) for value in values], kind)
    if pa.types.is_temporal(kind):
        return convert(_array(values, pa.string()), kind)
    return pa.array(values, kind)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return math.copysign(math.inf, value)


def _words(value: Any) -> str:
    """Text without half characters, which no file can hold; other values as JSON."""
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "replace").decode()


def _blank_lines(text: str) -> int:
    """Empty lines before the header."""
    lines = LINE_ENDS.split(text)
    return next((count for count, line in enumerate(lines) if line.strip()), len(lines))


def _encoding(head: bytes, name: str) -> str:
    if not head.strip():
        raise UnreadableFile(f"{name} is empty. Give a file with a header line and rows.")
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    for mark, tool in PACKED.items():
        if head.startswith(mark):
            raise UnreadableFile(f"{name} is packed. Unpack it, or pipe it in: {tool} -dc FILE | diabolo ... -")
    if b"\0" in head:
        raise UnreadableFile(
            f"{name} holds NUL bytes, so it is not text. Name its format, for example format='parquet'."
        )
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD)  # it may end inside a character
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _delimiter(text: str) -> str:
    """The delimiter that cuts the header into the most names."""
    line = next((line for line in LINE_ENDS.split(text) if line.strip()), "")
    return max(DELIMITERS, key=lambda mark: len(_split(line, mark)))


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _refuse_one_line(text: str, name: str) -> None:
    if text.strip() and len(text) < HEAD and not re.search(r"[\r\n]", text):
        told = "Write one object per line (in pandas: orient='records', lines=True) into a .jsonl file."
        told = told if text.lstrip()[0] in "[{" else "Rows stand below the header, each on a line of its own."
        raise UnreadableFile(f"{name} holds one line alone. {told}")


def _header(text: str, delimiter: str, name: str) -> list[str]:
    with reading(name, "a text table"):
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        names = next((row for row in rows if any(map(str.strip, row))), [])
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
    given = [name.strip() for name in names if name.strip()]
    if not given or not fits(pa.array(given, pa.string()), pa.float64()):
        return False
    return len(set(given)) < len(given) or not all(name.isdigit() for name in given)


def _chained(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    if first is not None:
        yield first
    yield from rest
