"""Fields: what kind of object the rows of the fit were and of which types its columns, so that new rows can be alike.

An array stays an array, a pandas DataFrame becomes one again, everything else an Arrow table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa

from diabolo.grids import is_grid
from diabolo.schema import Schema


@dataclass(frozen=True)
class Fields:
    """The kind of the rows, and the type of every column of a table by its name.

    >>> fields = Fields.of(pa.table({"age": pa.array([34], pa.int32())}))
    >>> fields.kind, fields.types
    ('table', {'age': 'int32'})
    """

    kind: Literal["array", "table", "pandas"] = "array"
    types: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Any) -> Self:
        """The fields of an array, an Arrow table or a Source."""
        if isinstance(rows, np.ndarray):
            return cls()
        told = {each.name: _spelled(each.type) for each in rows.schema}
        return cls("pandas" if b"pandas" in (rows.schema.metadata or {}) else "table", told)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        return cls(entry["kind"], dict(entry["types"]))

    def blank(self, schema: Schema, count: int) -> np.ndarray | pa.Table:
        """``count`` rows without any value."""
        if self.kind == "array":
            return np.full((count, len(schema.sources), *schema.grid), np.nan)
        kinds = {name: _understood(text, schema.grid) for name, text in self.types.items()}
        return pa.table({name: pa.nulls(count, kind) for name, kind in kinds.items()})

    def given_back(self, rows: np.ndarray | pa.Table) -> Any:
        """The rows as the kind of object that they were."""
        return rows.to_pandas() if isinstance(rows, pa.Table) and self.kind == "pandas" else rows


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


def _spelled(kind: pa.DataType) -> str:
    """The type as text; that of a dictionary or of a grid by its values."""
    if is_grid(kind):
        return f"grid {kind.value_type}"
    return f"dictionary {kind.value_type}" if pa.types.is_dictionary(kind) else str(kind)


def _understood(text: str, grid: tuple[int, ...] = ()) -> pa.DataType:
    """The type that ``_spelled`` told; null for those that no model column can stand for."""
    first, _, values = text.partition(" ")
    if first == "dictionary":
        return pa.dictionary(pa.int32(), _understood(values))
    if first == "grid":
        return pa.fixed_shape_tensor(_understood(values), grid)
    unit, zone, name = text.removeprefix("timestamp[").partition(", tz=")
    if zone:
        return pa.timestamp(unit, name.removesuffix("]"))
    try:
        return pa.type_for_alias(text)
    except ValueError:
        return pa.null()
