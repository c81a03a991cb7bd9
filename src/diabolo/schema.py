"""Column and Schema: what the data is, as plain data.

A user's column (the *source*) becomes no, one or several model columns: an id becomes none, a number one, a date
several. Everything above this file speaks of model columns; explanations are added up over sources again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["number", "count", "boolean", "category"]
UNSEEN = "(unseen)"


@dataclass(frozen=True)
class Column:
    """One model column: one number per row, or one value per cell of the grid.

    A number is stored as ``(value - center) / scale``; a count as itself (``center`` and ``scale`` are those of
    ``log1p``); a boolean as 0 or 1; a category as its index in ``categories``, whose last entry is the place of every
    category not seen in fit. A missing value is NaN in all of them. ``step`` is the distance between neighbouring
    values where a likelihood asks for a lattice, in the user's units like ``low`` and ``high``; else 0. All values are
    multiples of ``grain``: 1 where they are whole, 0.01 with two decimals, 3600 for hours; 0 where none is known. A
    column that is ``given`` is told to the model, which makes everything else of a row given it. Hours and days of
    instants are those of ``zone``, the time zone of the fit.
    """

    name: str
    kind: Kind = "number"
    likelihood: str = "Normal"
    source: str = ""
    part: str = "value"
    center: float = 0.0
    scale: float = 1.0
    low: float = float("-inf")
    high: float = float("inf")
    categories: tuple[str, ...] = ()
    missing: bool = False
    step: float = 0.0
    given: bool = False
    grain: float = 0.0
    zone: str = ""

    @property
    def width(self) -> int:
        """How many numbers the encoder sees for it: one, or one per category."""
        return len(self.categories) if self.kind == "category" else 1


@dataclass(frozen=True)
class Schema:
    """The columns of a data set and the shape of one row.

    ``shape`` is ``(features,)`` for tables, ``(channels, time)`` for series, ``(channels, height, width)`` for
    images; axis 0 of it counts ``columns``. ``dropped`` maps a set-aside source to the reason. ``given`` is the width
    of conditions that are passed beside the rows, 0 for none; given columns are not counted.
    """

    columns: tuple[Column, ...]
    kind: Literal["table", "series", "image"] = "table"
    grid: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    given: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.columns), *self.grid)

    @property
    def missing(self) -> bool:
        """Whether a value was missing in fit."""
        return any(column.missing for column in self.columns)

    @property
    def conditional(self) -> bool:
        """Whether there are given columns."""
        return any(column.given for column in self.columns)

    @property
    def told(self) -> tuple[str, ...]:
        """The sources of the given columns."""
        return tuple(dict.fromkeys(column.source for column in self.columns if column.given))

    @property
    def fingerprint(self) -> str:
        """A short hash of everything learned from the columns: equal data gives equal fingerprints."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Schema:
        columns = tuple(Column(**{**each, "categories": tuple(each["categories"])}) for each in entry["columns"])
        lists = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
        rest: dict[str, Any] = {**lists, "columns": columns}
        return cls(**rest)


def numbers(count: int, kind: Literal["table", "series", "image"] = "table", grid: tuple[int, ...] = ()) -> Schema:
    """A schema of ``count`` standardised number columns (or channels), named x0, x1, ..."""
    names = tuple(f"x{i}" for i in range(count))
    return Schema(tuple(Column(name, source=name) for name in names), kind, grid, names)
