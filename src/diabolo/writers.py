"""Writers: record batches to a file that is whole or not there, or to standard output."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import math
import os
import secrets
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from diabolo.errors import InvalidData, InvalidParameter
from diabolo.files import Unfinished, mode_of, sync_folder
from diabolo.grids import channels
from diabolo.images import Pictures

ENDINGS = {
    ".csv": "csv", ".txt": "csv", ".tsv": "tsv", ".tab": "tsv", ".parquet": "parquet", ".pq": "parquet",
    ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow", ".jsonl": "jsonl", ".ndjson": "jsonl",
}  # fmt: skip
TEXTS = ("csv", "tsv", "jsonl")
TEXT_BYTES = 1 << 30  # decoded text of one batch beyond which writing it out is refused
PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
SPOKEN = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    lambda kind: isinstance(kind, pa.UuidType),
)  # types of values that are not written as they are


class Encoder(ABC):
    """Turns batches of one schema into the bytes of a format."""

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self.file = file

    @abstractmethod
    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None:  # noqa: B027 - text formats end without a word
        """Write what the format needs at its end."""


class Delimited(Encoder):
    """CSV or TSV: a header line, nothing for a missing value, quotes around text only in blocks that need some."""

    delimiter = ","

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        super().__init__(file, schema)
        refuse_grids(schema)
        header = io.StringIO()
        csv.writer(header, delimiter=self.delimiter).writerow(schema.names)  # ends in \r\n, so both are quoted in names
        file.write(header.getvalue().removesuffix("\r\n").encode() + b"\n")

    def write(self, batch: pa.RecordBatch) -> None:
        printable = _printable(batch)
        try:
            block = self._written(printable, "needed" if _has_empty_text(printable) else "none")
        except pa.ArrowInvalid:  # a text with a delimiter, a quote or the end of a line in it
            block = self._written(printable, "needed")
        self.file.write(block.getbuffer())

    def _written(self, batch: pa.RecordBatch, quoting: Literal["none", "needed"]) -> io.BytesIO:
        block = io.BytesIO()
        options = pyarrow.csv.WriteOptions(include_header=False, delimiter=self.delimiter, quoting_style=quoting)
        pyarrow.csv.write_csv(batch, block, options)
        return block


class Tabbed(Delimited):
    """TSV."""

    delimiter = "\t"


class JsonLines(Encoder):
    """One JSON object per line; null for a missing value."""

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        super().__init__(file, schema)
        refuse_grids(schema)

    def write(self, batch: pa.RecordBatch) -> None:
        for row in batch.to_pylist():
            told = {name: _json(value) for name, value in row.items()}
            self.file.write(json.dumps(told, ensure_ascii=False, default=_spoken, allow_nan=False).encode() + b"\n")


class Columnar(Encoder):
    """Parquet or Arrow, by the writer that pyarrow has for it."""

    def __init__(self, file: BinaryIO, schema: pa.Schema, opened: Callable[[Any, pa.Schema], Any]) -> None:
        super().__init__(file, schema)
        self.plain = pa.schema([field.with_type(_undone(field.type)) for field in schema])
        self.writer = opened(file, self.plain)

    def write(self, batch: pa.RecordBatch) -> None:
        columns = [_decoded(column) for column in batch.columns]  # an Arrow file has room for one dictionary only
        self.writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self.plain))

    def close(self) -> None:
        self.writer.close()


def _parquet(file: BinaryIO, schema: pa.Schema) -> pa.parquet.ParquetWriter:
    """Without dictionaries of measured numbers, which seldom repeat: a third of the time, a smaller file."""
    repeating = [field.name for field in schema if not pa.types.is_floating(field.type)]
    return pa.parquet.ParquetWriter(file, schema, use_dictionary=repeating)


ENCODERS: dict[str, Callable[[BinaryIO, pa.Schema], Encoder]] = {
    "csv": Delimited,
    "tsv": Tabbed,
    "jsonl": JsonLines,
    "parquet": lambda file, schema: Columnar(file, schema, _parquet),
    "arrow": lambda file, schema: Columnar(file, schema, pa.ipc.new_stream if file is _stdout() else pa.ipc.new_file),
}


class Sink(Unfinished):
    """Where rows go. The first batch fixes the columns; ``close`` makes the file appear under its name."""

    def __init__(self, path: Path | None, encoder: Callable[[BinaryIO, pa.Schema], Encoder], packed: bool) -> None:
        self.path, self.rows = None if path is None else _followed(path), 0
        self._make = encoder
        self._encoder: Encoder | None = None
        self._part = None if self.path is None else _beside(self.path)
        self._raw = _stdout() if self.path is None else _created(self.path, self._part)
        self._file: Any = gzip.GzipFile(fileobj=self._raw, mode="wb") if packed else self._raw

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Append rows. Raises InvalidData when their columns are not those of the rows before."""
        if self._encoder is None:
            self._schema = rows.schema
            try:
                self._encoder = self._make(self._file, rows.schema)
            except pa.ArrowNotImplementedError as error:
                raise InvalidData(f"A column cannot be written to this format: {error}. Name a .arrow file.") from error
        if rows.schema.names != self._schema.names:
            raise InvalidData(f"Columns {rows.schema.names} follow columns {self._schema.names}.")
        for batch in rows.to_batches() if isinstance(rows, pa.Table) else [rows]:
            self._encoder.write(batch.cast(self._schema))
            self.rows += batch.num_rows

    def close(self) -> None:
        """Finish the file and give it its name, after its bytes are on the disk."""
        if self._encoder is not None:
            self._encoder.close()
        if self._file is not self._raw:
            self._file.close()
        self._raw.flush()
        if self.path is None:
            return
        if self._part is not None:
            os.fsync(self._raw.fileno())
        self._raw.close()
        if self._part is not None:
            os.replace(self._part, self.path)
            sync_folder(self.path.parent)

    def discard(self) -> None:
        """Forget what was written."""
        if self._encoder is not None:
            with suppress(OSError, ValueError, pa.ArrowException):  # the disk may be full, or the file closed already
                self._encoder.close()
        if self.path is not None:
            with suppress(OSError):
                self._raw.close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)


def open_sink(path: str | Path, format: str | None = None) -> Sink | Pictures:
    r"""A place to write rows: the file ``path``, or standard output for ``-``.

    ``format`` is csv, tsv, parquet, arrow or jsonl; None goes by the ending (csv in a pipe without one); ``.gz`` packs
    a text format. A name that ends with / is a new folder for images. A file is written beside its name, synced and
    then renamed, so that no reader sees half of it.
    Raises InvalidParameter for an unknown format or a missing folder.

    >>> import tempfile, pathlib
    >>> place = pathlib.Path(tempfile.mkdtemp(), "scores.csv")
    >>> with open_sink(place) as sink:
    ...     sink.write(pa.table({"row": [1, 2], "score": [0.5, None]}))
    >>> place.read_text()
    'row,score\n1,0.5\n2,\n'
    """
    if str(path).endswith("/") or format == "images":
        return Pictures(Path(path))
    place = None if str(path) == "-" else Path(path)
    packed = place is not None and place.suffix.lower() == ".gz"
    name = format or _format(place)
    if name is None:
        told = f"The ending of {path} names no format that can be written"
        raise InvalidParameter(f"{told}. Choose one of {', '.join(ENCODERS)}; for images, a new folder: {path}/")
    if name not in ENCODERS:
        raise InvalidParameter(f"Rows cannot be written as {name!r}. Choose one of {', '.join(ENCODERS)}.")
    if packed and name not in TEXTS:
        raise InvalidParameter(f"{path}: only {', '.join(TEXTS)} are packed as .gz; {name} packs by itself.")
    if place is not None and not place.parent.is_dir():
        raise InvalidParameter(f"There is no folder {place.parent} to write {place.name} into. Make it first.")
    return Sink(place, ENCODERS[name], packed)


def delimited(path: str | Path, format: str | None = None) -> bool:
    """Whether ``open_sink`` would write CSV or TSV, in which text stands as it is."""
    return (format or _format(None if str(path) == "-" else Path(path))) in ("csv", "tsv")


def _format(place: Path | None) -> str | None:
    """The format that the ending of a file says, where it says one; CSV on standard output and in another pipe."""
    if place is None:
        return "csv"
    endings = [ending.lower() for ending in place.suffixes]
    packed = endings[-1:] == [".gz"]
    told = (ENDINGS[ending] for ending in endings[-1 - packed :] if ending in ENDINGS)
    return next(told, "csv" if place.is_fifo() else None)


def refuse_grids(schema: pa.Schema) -> None:
    """Raise InvalidParameter for images or series, which no text format holds."""
    if found := channels(schema):
        raise InvalidParameter(
            f"Column {found[0]!r} holds images or series, which text cannot hold. Name a .parquet or .arrow file, or "
            "for images a new folder, such as -o cleaned/"
        )


def _stdout() -> Any:
    return sys.stdout.buffer


def _followed(path: Path) -> Path:
    """Where a link leads, since it is not to be replaced; those to open pipes, as /dev/stdout, lead to no name."""
    return path if _at_once(path) else path.resolve()


def _at_once(path: Path) -> bool:
    """Whether this is a pipe or a device."""
    return path.exists() and not path.is_file()


def _beside(path: Path) -> Path | None:
    """The hidden file that is written first; None for a pipe or a device, which is written to at once."""
    if _at_once(path):
        return None
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")


def _created(path: Path, part: Path | None) -> BinaryIO:
    """What is written to: the hidden file, with the permissions of the old one, or else ``path`` itself."""
    try:
        if part is None:
            return path.open("wb")
        mode, file = mode_of(path), part.open("xb")
        if mode is not None:
            part.chmod(mode)
        return file
    except OSError as error:
        raise InvalidParameter(
            f"{path.parent} cannot be written to: {error.strerror}. Choose another folder."
        ) from error


def _printable(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [_flattened(_decoded(column)) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _has_empty_text(batch: pa.RecordBatch) -> bool:
    """Whether some text has no letters, which only quotes tell from a missing one."""
    texts = (
        column for column in batch.columns if pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    )
    return any(pc.any(pc.equal(pc.binary_length(text), 0)).as_py() for text in texts)


def _undone(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _decoded(column: pa.Array) -> pa.Array:
    """A dictionary as its values; few bytes of a file can stand for more text than fits in memory."""
    if not pa.types.is_dictionary(column.type):
        return column
    if pa.types.is_large_string(column.type.value_type) or pa.types.is_string(column.type.value_type):
        lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
        if (pc.sum(lengths).as_py() or 0) > TEXT_BYTES:
            raise InvalidData(f"{len(column)} rows hold over {TEXT_BYTES >> 20} MiB of text. Leave that column out.")
    return column.dictionary_decode()


def _flattened(column: pa.Array) -> pa.Array:
    """What text has words for: JSON for nested columns and intervals, base64 for bytes, seconds for durations.

    Instants without fractions of a second are whole ones, types made of others are these, identifiers are spelled out.
    """
    if isinstance(column.type, pa.BaseExtensionType) and not isinstance(column.type, pa.UuidType):
        return _flattened(column.storage)
    if pa.types.is_timestamp(column.type):
        return _to_the_second(column)
    if pa.types.is_duration(column.type):
        return pc.divide(column.cast(pa.int64()).cast(pa.float64()), PER_SECOND[column.type.unit])
    if any(is_of(column.type) for is_of in SPOKEN):
        return pa.array([None if each is None else _spoken(each) for each in column.to_pylist()], pa.string())
    if not pa.types.is_nested(column.type) and not pa.types.is_interval(column.type):
        return column
    texts = (None if each is None else json.dumps(_json(each), default=_spoken) for each in column.to_pylist())
    return pa.array(texts, pa.string())


def _spoken(value: Any) -> str | float:
    """What JSON has no word for, as text; bytes in base64, durations in seconds, decimals as numbers."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _to_the_second(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.timestamp("s", column.type.tz))
    except pa.ArrowInvalid:  # there are fractions
        return column


def _json(value: Any) -> Any:
    """Numbers that JSON has, inside lists and structs too: NaN is missing, infinity the largest."""
    if isinstance(value, dict):
        return {name: _json(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(each) for each in value]
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else math.copysign(sys.float_info.max, value)
