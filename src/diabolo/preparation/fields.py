"""Fields: what kind of object the rows of the fit were and of which types its columns, so that new rows can be alike.

An array stays an array, a DataFrame of pandas or polars becomes one again, everything else an Arrow table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa

from diabolo.grids import is_grid
from diabolo.schema import Schema

DECIMAL = re.compile(r"(decimal(?:32|64|128|256))\((\d+), (-?\d+)\)")
LEVELS = 10_000  # declared categories of a column that are kept at most


@dataclass(frozen=True)
class Levels:
    """The categories that a column of pandas declares, used or not, and whether they are in an order."""

    values: list[str | int | float]
    ordered: bool


@dataclass(frozen=True)
class Fields:
    """The kind of the rows, and the type of every column of a table by its name.

    Of pandas also the ``dtypes`` that the types do not tell, such as Int64, and the declared ``levels`` of categories.

    >>> fields = Fields.of(pa.table({"age": pa.array([34], pa.int32())}))
    >>> fields.kind, fields.types
    ('table', {'age': 'int32'})
    """

    kind: Literal["array", "table", "pandas", "polars"] = "array"
    types: Mapping[str, str] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, Levels] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Any, X: Any = None) -> Self:
        """The fields of an array, an Arrow table or a Source, which were the object ``X``."""
        if isinstance(rows, np.ndarray):
            return cls()
        types = {each.name: _spelled(each.type) for each in rows.schema}
        library = type(X).__module__.partition(".")[0]
        if library == "pandas":
            return cls("pandas", types, _dtypes(X, rows), _levels(rows))
        return cls("polars" if library == "polars" else "table", types)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        levels = {name: Levels(**each) for name, each in entry.get("levels", {}).items()}
        return cls(entry["kind"], dict(entry["types"]), dict(entry.get("dtypes", {})), levels)

    def blank(self, schema: Schema, count: int) -> np.ndarray | pa.Table:
        """``count`` rows without any value."""
        if self.kind == "array":
            return np.full((count, len(schema.sources), *schema.grid), np.nan)
        kinds = {name: _understood(text, schema.grid) for name, text in self.types.items()}
        return pa.table({name: pa.nulls(count, kind) for name, kind in kinds.items()})

    def given_back(self, rows: np.ndarray | pa.Table) -> Any:
        """The rows as the kind of object that they were; of polars, where it is not installed, an Arrow table."""
        if isinstance(rows, pa.Table) and self.kind == "pandas":
            return self._framed(rows)
        if isinstance(rows, pa.Table) and self.kind == "polars":
            with suppress(ModuleNotFoundError):
                return import_module("polars").from_arrow(rows)
        return rows

    def _framed(self, rows: pa.Table) -> Any:
        frame = rows.to_pandas().astype(dict(self.dtypes))
        for name, levels in self.levels.items():
            frame[name] = frame[name].cat.set_categories(levels.values, ordered=levels.ordered)
        return frame


def framed(columns: np.ndarray, names: list[str], like: Any) -> Any:
    """Numbers (n, columns) under ``names``, of the class of the table ``like`` and with its index.

    What is no table, an array or the path of a file, gets the array itself.
    """
    library = type(like).__module__.partition(".")[0]
    if library not in ("pandas", "polars", "pyarrow"):
        return columns
    table = pa.table(dict(zip(names, map(pa.array, columns.T), strict=True)))
    if library == "pandas":
        return table.to_pandas().set_index(like.index)
    return type(like)(table) if library == "polars" else table


def _dtypes(frame: Any, rows: pa.Table) -> dict[str, str]:
    """The dtypes of a pandas frame, by column, that Arrow's types do not become by themselves but by their names."""
    kinds = {field.name: field.type for field in rows.schema}
    dtypes = {str(name): own for name, own in zip(frame.columns, frame.dtypes, strict=True)}
    own = {name: dtype for name, dtype in dtypes.items() if name in kinds and not _is_usual(dtype)}
    return {name: str(dtype) for name, dtype in own.items() if _is_regained(kinds[name], dtype)}


def _is_usual(dtype: Any) -> bool:
    """Whether Arrow's types keep the dtype, as they do those of numpy's numbers."""
    return str(dtype) == "category" or (isinstance(dtype, np.dtype) and dtype.kind != "O")


@lru_cache(maxsize=256)
def _is_regained(kind: pa.DataType, dtype: Any) -> bool:
    """Whether a column of that type gets the dtype by its name alone."""
    if pa.types.is_null(_understood(_spelled(kind))):
        return False
    usual = pa.table({"x": pa.array([], kind)}).to_pandas()["x"]
    with suppress(TypeError, ValueError, NotImplementedError):  # a dtype without such a name
        return usual.dtype != dtype and usual.astype(str(dtype)).dtype == dtype
    return False


def _levels(rows: pa.Table) -> dict[str, Levels]:
    """The categories that each column declares, where they are few and of a kind that JSON has."""
    found = {}
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if pa.types.is_dictionary(column.type) and column.num_chunks and len(column.chunk(0).dictionary) <= LEVELS:
            values = column.chunk(0).dictionary.to_pylist()
            if all(isinstance(each, (str, int, float)) for each in values):
                found[name] = Levels(values, column.type.ordered)
    return found


def _spelled(kind: pa.DataType) -> str:
    """The type as text; that of a dictionary or of a grid by its values."""
    if is_grid(kind):
        return f"grid {kind.value_type}"
    return f"dictionary {kind.value_type}" if pa.types.is_dictionary(kind) else str(kind)


def _understood(text: str, grid: tuple[int, ...] = ()) -> pa.DataType:
    """The type that ``_spelled`` told; null for those that no model column can stand for."""
    first, _, values = text.partition(" ")
    if first == "dictionary":
        kind = _understood(values)
        return kind if pa.types.is_null(kind) else pa.dictionary(pa.int32(), kind)
    if first == "grid":
        return pa.fixed_shape_tensor(_understood(values), grid)
    unit, zone, name = text.removeprefix("timestamp[").partition(", tz=")
    if zone:
        return pa.timestamp(unit, name.removesuffix("]"))
    try:
        return _decimal(text) or pa.type_for_alias(text)
    except ValueError:
        return pa.null()


def _decimal(text: str) -> pa.DataType | None:
    """The type called ``decimal128(10, 2)``, or of another width. Raises ValueError for too many digits."""
    told = DECIMAL.fullmatch(text)
    return getattr(pa, told[1])(int(told[2]), int(told[3])) if told else None
