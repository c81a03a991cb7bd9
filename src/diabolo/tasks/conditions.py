"""Conditions: the given columns of rows that nobody gave, told by the user or drawn from the training rows'."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from diabolo.batches import Batch
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.preparation import Preparation
from diabolo.preparation.fields import Fields
from diabolo.schema import Column, Schema
from diabolo.tasks.measures import learned


@dataclass(frozen=True)
class Conditions:
    """Prepared rows (n, columns), missing but for the given columns, and how often each is drawn, (n,)."""

    x: Tensor
    weight: Tensor

    @classmethod
    def of(cls, schema: Schema, rows: Batch, *, complete: bool) -> Self:
        """Those of prepared rows; with ``complete`` of the rows that lack none, where there are such."""
        x = torch.where(nameless(schema.columns, rows.x), torch.nan, rows.x)
        gaps = (x.isnan() & ~learned(schema, x)).flatten(1).any(1)
        kept = ~gaps if complete and not gaps.all() else torch.ones_like(gaps)
        return cls(torch.where(learned(schema, x), torch.nan, x)[kept], rows.weights[kept])

    def draw(self, count: int, known: Tensor | None = None) -> Tensor:
        """Conditions of ``count`` rows, (count, columns), in place of which stands what is ``known`` (columns,).

        They are those of rows that agree with what is known, where there are such.
        """
        known = torch.full_like(self.x[0], torch.nan) if known is None else known
        alike = ((self.x == known) | known.isnan() | self.x.isnan()).all(1)
        weight = self.weight * alike if alike.any() else self.weight
        return torch.where(known.isnan(), self.x[torch.multinomial(weight, count, replacement=True)], known)

    def state(self, schema: Schema) -> dict[str, Tensor]:
        """The tensors by name; of rows only the given columns."""
        return {"x": self.x[:, ~learned(schema, self.x)], "weight": self.weight}

    @classmethod
    def restored(cls, state: Mapping[str, Tensor], schema: Schema) -> Self:
        """The inverse of ``state``. Raises InvalidData if the shapes do not fit."""
        weight, x = state["weight"], torch.full((len(state["weight"]), len(schema.columns)), torch.nan)
        told = ~learned(schema, x)
        if state["x"].shape != (len(x), int(told.sum())) or weight.dim() != 1:
            raise InvalidData(f"The file keeps conditions of the shape {tuple(state['x'].shape)} for {len(x)} rows.")
        x[:, told] = state["x"]
        return cls(x, weight)


def told(preparation: Preparation, fields: Fields, given: Mapping[str, Any], count: int = 1) -> Tensor:
    """Prepared rows (count, columns, *grid) of the values in ``given``, all others missing.

    A value is one for all rows, or a list of one for each. Raises InvalidParameter for columns, categories and values
    that the model does not know.
    """
    schema = preparation.schema_
    _refuse_all_but_dicts(given)
    known = [name for name in schema.sources if name not in schema.dropped]
    unknown = [name for name in given if name not in known]
    if unknown or not given:
        what = f"the column {unknown[0]!r}" if unknown else "nothing"
        raise InvalidParameter(f"given fixes {what}. It may fix {', '.join(known[:8])}.")
    x = preparation.transform(_filled(fields.blank(schema, count), schema, given))
    for column in schema.columns:
        if column.kind == "count" and column.source in given and (np.asarray(given[column.source], float) < 0).any():
            what = f"the column {column.source!r} to {given[column.source]!r}, which are no counts"
            raise InvalidParameter(f"given fixes {what}. Counts are 0 or more.")
    if (strange := nameless(schema.columns, x)).any():
        column = schema.columns[int(strange.transpose(0, 1).flatten(1).any(1).int().argmax())]
        what = f"the column {column.source!r} to {given[column.source]!r}, which the fit never saw"
        raise InvalidParameter(f"given fixes {what}. It saw {', '.join(column.categories[:-1][:8])}.")
    return x


def all_told(preparation: Preparation, fields: Fields, given: Mapping[str, Any] | None, count: int) -> Tensor | None:
    """The same of all given columns and of no other; None where there are none.

    Raises InvalidParameter where ``given`` does not hold just these, since a code stands for nothing without them.
    """
    names = preparation.schema_.told
    _refuse_all_but_dicts(given)
    if set(given or ()) != set(names):
        wanted = f"given={{{', '.join(f'{name!r}: ...' for name in names)}}}" if names else "no given"
        raise InvalidParameter(
            f"What a code stands for depends on the given columns of the fit. Pass {wanted}: a value for all rows, or "
            f"a list of one for each. Got {list(given or ()) or None}."
        )
    return told(preparation, fields, given, count) if given else None


def _refuse_all_but_dicts(given: Any) -> None:
    if not (given is None or isinstance(given, Mapping)):
        raise InvalidParameter(f"given is a dict of columns and values. Got a {type(given).__name__}.")


def blank(
    preparation: Preparation, fields: Fields, count: int, given: Mapping[str, Any] | None
) -> tuple[np.ndarray | pa.Table, Tensor | None]:
    """Rows without any value but those ``given``, of the kind of those of the fit, and where the given ones are."""
    rows = fields.blank(preparation.schema_, count)
    if not given:
        return rows, None
    rows = _filled(rows, preparation.schema_, given)
    return rows, ~preparation.transform(rows).isnan()


def nameless(columns: tuple[Column, ...], x: Tensor) -> Tensor:
    """Which values are of the category that stands for all those never seen."""
    last = [len(column.categories) - 1 if column.kind == "category" else math.nan for column in columns]
    return x == torch.tensor(last).view(-1, *[1] * (x.dim() - 2))


def _filled(rows: np.ndarray | pa.Table, schema: Schema, given: Mapping[str, Any]) -> np.ndarray | pa.Table:
    """Rows with the given values in place of theirs."""
    try:
        if isinstance(rows, np.ndarray):
            for name, value in given.items():
                rows[:, schema.sources.index(name)] = value if rows.ndim > 2 else _each(name, value, len(rows))
            return rows
        own = {name: pa.array(_each(name, value, len(rows))) for name, value in given.items()}
        own = {name: _cast(name, each, rows.schema.field(name).type) for name, each in own.items()}
    except InvalidParameter:
        raise
    except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        raise InvalidParameter(f"given holds a value that its column cannot hold: {error}") from None
    return pa.table(dict(zip(rows.column_names, rows.columns, strict=True)) | own)


def _cast(name: str, values: pa.Array, kind: pa.DataType) -> pa.Array:
    """The values as that type. Raises InvalidParameter where a number other than 0 and 1 would become true."""
    made = values.cast(kind)
    if pa.types.is_boolean(kind) and not made.cast(values.type).equals(values):
        raise InvalidParameter(f"given[{name!r}] holds {values.to_pylist()[0]!r}; its column holds true and false.")
    return made


def _each(name: str, value: Any, count: int) -> list[Any]:
    """One value per row."""
    values = [value] if np.ndim(value) == 0 else list(value)
    if any(each is None or each != each for each in values):
        raise InvalidParameter(f"given[{name!r}] is missing. Leave {name!r} out of given to leave it open.")
    if len(values) not in (1, count):
        told = ": give one for all rows" if count == 1 else f" for {count} rows: give one for all, or one each"
        raise InvalidParameter(f"given[{name!r}] holds {len(values)} values{told}.")
    values = [each.astype("datetime64[us]").item() if isinstance(each, np.datetime64) else each for each in values]
    return values * count if len(values) == 1 else values
