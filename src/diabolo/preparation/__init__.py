"""Preparation: between the user's rows and the tensors of the model.

rows --fit--> Schema        one pass (survey), then a choice per column (detection)
rows --transform--> tensor  float32, shape (n, columns, *grid), NaN where a value is missing
tensor --inverse_transform--> rows, in the user's units and type
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from diabolo.batches import side_by_side
from diabolo.errors import InvalidData, InvalidParameter, SchemaMismatch, suggestion
from diabolo.grids import channels, grid_column, is_grid, of_dtype, stacked
from diabolo.params import Count, Params
from diabolo.preparation.dates import kind_of, written
from diabolo.preparation.detection import Detected, detect, is_spoiled, number
from diabolo.preparation.encodings import Where, after, cells, decode, encode, natural, of_cells, standardised
from diabolo.preparation.returned import chosen, of_type
from diabolo.preparation.streamed import Streamed
from diabolo.preparation.survey import Profile, Survey, is_number, refuse_infinity
from diabolo.preparation.units import in_one_unit
from diabolo.preparation.values import words
from diabolo.readers import Source, as_rows
from diabolo.readers.source import rows_at_once
from diabolo.schema import Column, Schema

__all__ = ["Preparation", "Streamed"]

EVERY = "*"  # the name that stands for all columns without an entry of their own
BLOCK = 1 << 17  # values standardised at once: they stay in the cache from one step to the next
IGNORED = "left out on request"
BESIDE = "a single value beside images or series"
GRIDS: dict[int, Literal["table", "series", "image"]] = {2: "table", 3: "series", 4: "image"}


class Preparation(Params):
    """Learn what the columns are, then turn rows into numbers and numbers into rows.

    The columns of a table or of an array of rows are what ``detection`` finds them to be: numbers, counts, booleans,
    categories, dates, or set aside with a reason. On a grid every column is a number. A number is
    ``(value - mean) / standard deviation``, clipped to +-1e6. ``schema_`` holds everything that was learned. The
    ``given`` columns are prepared as all others are, and marked as told.

    Examples
    --------
    >>> import pyarrow as pa
    >>> rows = pa.table({"flow": [1.0, 3.0, None], "state": ["on", "off", "on"]})
    >>> preparation = Preparation().fit(rows)
    >>> preparation.transform(rows)
    tensor([[-1., 0.],
            [ 1., 1.],
            [nan, 0.]])
    >>> preparation.inverse_transform(torch.tensor([[0.0, 1.0]]), like=rows.slice(0, 1)).to_pylist()
    [{'flow': 2.0, 'state': 'off'}]
    """

    likelihoods: Annotated[Mapping[str, str] | None, "likelihood by column name, '*' for all others"] = None
    ignore: Annotated[tuple[str, ...], "columns that are not learned from"] = ()
    given: Annotated[tuple[str, ...], "columns of a table that are told, not learned"] = ()
    categories: Annotated[Count, "most frequent categories of a column that are told apart"] = 64
    sample: Annotated[Count, "rows that quantiles are taken from"] = 50_000
    units: Annotated[bool, "measure columns of numbers that share their bounds by one scale"] = False
    clocks: Annotated[bool, "learn when rows were written also where they are in that order"] = False

    def fit(self, rows: Any) -> Self:
        """Learn the schema in one pass over rows in memory or a Source.

        Raises InvalidData for rows that cannot be learned from, InvalidParameter for a likelihood that does not suit
        and for a given column that there is not, or that cannot be one.
        """
        self.check_params()
        rows = rows if isinstance(rows, Source) else as_rows(rows)
        self.schema_ = self._told(self._of_array(rows) if isinstance(rows, np.ndarray) else self._of_table(rows))
        return self

    @classmethod
    def from_schema(cls, schema: Schema) -> Self:
        """A fitted preparation from what an earlier one learned."""
        preparation = cls()
        preparation.schema_ = schema
        return preparation

    def transform(self, rows: Any, where: Where | None = None) -> Tensor:
        """Rows as a float32 tensor (n, columns, *grid); columns are found by name, further ones are ignored.

        ``where`` names a row in messages. Raises SchemaMismatch for a missing column, InvalidData for an infinite
        value or one of the wrong type.
        """
        rows, where = as_rows(rows), where or _row
        if not isinstance(rows, np.ndarray):
            return self._from_channels(rows, where) if self.schema_.grid else self._from_table(rows, where)
        self._check_width(rows)
        plain = all(column.kind == "number" and column.part == "value" for column in self.schema_.columns)
        if plain or self.schema_.grid:
            return self._from_numbers(rows, where)
        return self._from_table(_named(rows, self.schema_.sources), where)

    def inverse_transform(
        self, x: Tensor, like: Any = None, *, keep: Tensor | None = None, rounded: bool = False
    ) -> Any:
        """Rows of the type of ``like`` from a prepared tensor (n, columns, *grid).

        What the model columns do not tell (columns set aside, a clock) is copied from ``like``. Where ``keep``, of the
        shape of ``x``, is true, a value stays exactly as it is in ``like``. Numbers of tables are as fine as those of
        the fit, of arrays only if they are to be ``rounded``. Without ``like``: an Arrow table of the columns that the
        model knows.
        """
        values = x.detach().cpu().to(torch.float64).numpy()
        if like is None:
            return self._new_table(values)
        rows = as_rows(like)
        if len(rows) != len(values):
            raise InvalidData(f"{len(values)} rows cannot be written like {len(rows)} rows. Give as many of both.")
        kept = self._kept(torch.zeros_like(x, dtype=torch.bool) if keep is None else keep)
        if isinstance(rows, np.ndarray):
            return self._array_like(values, rows, kept, rounded)
        return of_type(self._table_like(values, rows, kept), like)

    def _of_array(self, rows: np.ndarray) -> Schema:
        _refuse_channels_last(rows.shape)
        names = tuple(f"x{j}" for j in range(rows.shape[1]))
        return _schema(self._of_cells(_blocks(rows), names, rows.shape[2:], _row), names, rows.shape[2:])

    def _of_cells(
        self,
        blocks: Iterable[np.ndarray],
        names: Sequence[str],
        grid: tuple[int, ...],
        where: Where,
        beside: Sequence[str] = (),
    ) -> dict[str, Detected]:
        """What is found in blocks of rows (n, columns, *grid), of which every cell counts; columns lie ``beside``."""
        cells = math.prod(grid)
        survey = Survey(
            pa.schema([(name, pa.float64()) for name in names]), self.sample, lambda cell: where(cell // cells)
        )
        for block in blocks:
            survey.add_numbers(_flat(block))
        chosen, profiles = self._chosen(names, beside), survey.profiles()
        found = {
            each.name: IGNORED if each.name in self.ignore else self._of_number(each, chosen.get(each.name), grid)
            for each in profiles
        }
        return self._measured(found, profiles, chosen)

    def _of_number(self, profile: Profile, likelihood: str | None, grid: tuple[int, ...]) -> Detected:
        if likelihood is None and grid and profile.rows:
            return (number(profile),)  # most cells of an image may be of one colour: that makes no heavy tail
        if likelihood == "Categorical" and grid:
            raise InvalidParameter(
                f"Column {profile.name!r} cannot be Categorical: the cells of images and series hold numbers. Choose "
                "'Normal', or 'Bernoulli' where they are 0 and 1."
            )
        return detect(profile, self.categories, likelihood)

    def _of_table(self, rows: pa.Table | Source) -> Schema:
        fields, where = rows.schema, rows.locate if isinstance(rows, Source) else _row
        if names := channels(fields):
            return self._of_channels(rows, names, where)
        if not fields.names and isinstance(rows, Source) and (aside := dict(rows.set_aside)):
            name, why = next(iter(aside.items()))
            raise InvalidData(
                f"There is no column to learn: {name!r} holds {why}. Write its numbers as a column each, or as lists "
                "whose type tells their length, pyarrow.list_(pyarrow.float32(), 8), or as Arrow's fixed_shape_tensor."
            )
        chosen = self._chosen(fields.names)
        survey = Survey(fields, self.sample, where)
        for batch in _batches(rows):
            survey.add(batch)
        found: dict[str, Detected] = {}
        profiles = survey.profiles()
        for profile, field in zip(profiles, fields, strict=True):
            likelihood = chosen.get(profile.name)
            if field.name in self.ignore:
                found[profile.name] = IGNORED
                continue
            if likelihood is None and is_spoiled(profile):
                _refuse_spoiled(profile.name, rows, where)
            profile = replace(profile, rising=profile.rising and not self.clocks)
            found[profile.name] = _aside(field) or detect(profile, self.categories, likelihood)
        unread = rows.set_aside if isinstance(rows, Source) else {}
        return _schema(self._measured(found, profiles, chosen) | dict(unread), tuple(fields.names))

    def _measured(
        self, found: Mapping[str, Detected], profiles: Sequence[Profile], chosen: Mapping[str, str]
    ) -> dict[str, Detected]:
        """The columns, by one scale where they are of one unit; given ones and those of ``chosen`` likelihoods stay."""
        free = [each for each in profiles if each.name not in chosen and each.name not in self.given]
        return in_one_unit(found, free) if self.units else dict(found)

    def _of_channels(self, rows: pa.Table | Source, names: list[str], where: Where) -> Schema:
        """Columns of grids are the channels of images or series; what lies beside them is not read."""
        grid = tuple(rows.schema.field(names[0]).type.shape)
        blocks = (stacked(batch, names, grid) for batch in _batches(rows))
        beside = {each.name: _aside(each) or BESIDE for each in rows.schema if each.name not in names}
        found = self._of_cells(blocks, names, grid, where, tuple(beside))
        return _schema(found | beside, tuple(names), grid)

    def _chosen(self, names: Sequence[str], beside: Sequence[str] = ()) -> Mapping[str, str]:
        """The likelihoods asked for. Raises InvalidParameter for names of no column; those ``beside`` are not read."""
        chosen = dict(self.likelihoods or {})
        if EVERY in chosen and EVERY not in names:
            chosen = dict.fromkeys(names, chosen.pop(EVERY)) | chosen
        everywhere = (*names, *beside)
        asked = (("likelihoods", chosen, names), ("ignore", self.ignore, everywhere), ("given", self.given, everywhere))
        for parameter, named, known in asked:
            there = frozenset(known)
            if unknown := [name for name in named if name not in there]:
                raise InvalidParameter(
                    f"{parameter} names the column {unknown[0]!r}.{suggestion(unknown[0], known)} The columns are "
                    f"{_some(known)}."
                )
        return chosen

    def _told(self, schema: Schema) -> Schema:
        """The schema with the given columns marked. Raises InvalidParameter for one that cannot be told."""
        if self.given and schema.grid:
            raise InvalidParameter(f"given names columns of tables; these rows are {GRIDS[2 + len(schema.grid)]}s.")
        if aside := [name for name in self.given if name in schema.dropped]:
            raise InvalidParameter(
                f"given names the column {aside[0]!r}, which is set aside: {schema.dropped[aside[0]]}. Take it out of "
                f"given, or say how to read it: likelihoods={{{aside[0]!r}: 'Categorical'}}."
            )
        columns = tuple(replace(column, given=column.source in self.given) for column in schema.columns)
        if all(column.given for column in columns):
            raise InvalidParameter("given names every column that could be learned. Leave one out.")
        return replace(schema, columns=columns)

    def _check_width(self, rows: np.ndarray) -> None:
        expected = len(self.schema_.sources)
        shape = (expected, *self.schema_.grid)
        if rows.shape[1] != expected:
            raise SchemaMismatch(
                f"X has {rows.shape[1]} features, but the fit had {expected} features as input (rows of shape {shape}, "
                f"not {rows.shape[1:]}). Give {_some(self.schema_.sources)}."
            )
        if rows.shape[1:] != shape:
            raise SchemaMismatch(f"Rows of X have the shape {rows.shape[1:]}, those of the fit had {shape}. Give such.")

    def _from_channels(self, rows: pa.Table, where: Where) -> Tensor:
        names = [column.source for column in self.schema_.columns]
        _refuse_absent(names, rows.schema.names)
        return self._from_numbers(stacked(rows, names, self.schema_.grid), where, names)

    def _from_numbers(self, rows: np.ndarray, where: Where, names: Sequence[str] = ()) -> Tensor:
        """Rows (n, names, *grid) of numbers, prepared; ``names`` are by default the columns of the fit."""
        columns = self.schema_.columns
        places = {name: j for j, name in enumerate(names or self.schema_.sources)}
        kept = [places[column.source] for column in columns]
        grid = (len(columns), *(1,) * len(self.schema_.grid))
        center = np.array([column.center for column in columns]).reshape(grid)
        scale = np.array([column.scale for column in columns]).reshape(grid)
        out = np.empty((len(rows), len(columns), *rows.shape[2:]), np.float32)
        size = max(1, BLOCK // max(1, rows[:1].size))

        def prepare(start: int) -> None:
            block = rows[start : start + size]
            block = block if len(kept) == rows.shape[1] else block[:, kept]
            if block.dtype.kind == "f" and np.isinf(block).any():
                self._refuse_infinity(block, start, where)
            out[start : start + size] = standardised(block, center, scale)
            for place, column in enumerate(columns):
                if column.kind != "number":
                    out[start : start + size, place] = of_cells(column, block[:, place], after(where, start))

        side_by_side(prepare, range(0, len(rows), size))
        return torch.from_numpy(out)

    def _refuse_infinity(self, block: np.ndarray, start: int, where: Where) -> None:
        for column, values in zip(self.schema_.columns, np.moveaxis(block, 1, 0), strict=True):
            strange = values.reshape(len(values), -1)
            refuse_infinity(np.where(np.isinf(strange).any(1), np.inf, 0.0), column.source, start, where)

    def _from_table(self, rows: pa.Table, where: Where) -> Tensor:
        groups = self._groups()
        _refuse_absent(list(groups), rows.schema.names)
        out = np.empty((rows.num_rows, len(self.schema_.columns)), np.float32)
        start = 0
        for batch in _batches(rows.select(list(groups))):
            self._encode(batch, groups, out[start : start + batch.num_rows], after(where, start))
            start += batch.num_rows
        return torch.from_numpy(out)

    def _encode(self, batch: pa.RecordBatch, groups: Mapping[str, list[Column]], out: np.ndarray, where: Where) -> None:
        place = 0
        for name, columns in groups.items():
            for values in encode(columns, batch.column(name), where):
                out[:, place] = values
                place += 1

    def _groups(self) -> dict[str, list[Column]]:
        """The model columns by source, in their order."""
        groups: dict[str, list[Column]] = {}
        for column in self.schema_.columns:
            groups.setdefault(column.source, []).append(column)
        return groups

    def _decoded(self, x: np.ndarray, kinds: Mapping[str, pa.DataType], *, rounded: bool = True) -> dict[str, pa.Array]:
        """The columns that the model columns tell, by source; of tables ``rounded`` as finely as those of the fit."""
        found, place = {}, 0
        for name, columns in self._groups().items():
            parts = [x[:, place + i] for i in range(len(columns))]
            place += len(columns)
            if name in kinds:
                found[name] = decode(columns, parts, kinds[name], rounded=rounded)
        return {name: array for name, array in found.items() if array is not None}

    def _new_table(self, x: np.ndarray) -> pa.Table:
        if self.schema_.grid:
            return pa.table({name: grid_column(values) for name, values in self._grid_like(x).items()})
        return pa.table(self._decoded(x, {name: natural(columns) for name, columns in self._groups().items()}))

    def _kept(self, keep: Tensor) -> dict[str, np.ndarray]:
        """Which values stay, by source: those of which all model columns do."""
        parts: dict[str, np.ndarray] = {}
        for column, each in zip(self.schema_.columns, keep.cpu().unbind(1), strict=True):
            parts[column.source] = parts.get(column.source, True) & each.numpy()
        return parts

    def _table_like(self, x: np.ndarray, rows: pa.Table, kept: Mapping[str, np.ndarray]) -> pa.Table:
        if self.schema_.grid:
            return self._channels_like(x, rows, kept)
        kinds = self._kinds(rows)
        made = self._decoded(x, kinds)
        told = {name: pa.chunked_array([written(array, rows[name].type)]) for name, array in made.items()}
        columns = [
            column if name not in told else chosen(kept[name], column, told[name])
            for name, column in zip(rows.column_names, rows.columns, strict=True)
        ]
        fields = [field.with_type(column.type) for field, column in zip(rows.schema, columns, strict=True)]
        return pa.table(columns, schema=pa.schema(fields, rows.schema.metadata))

    def _channels_like(self, x: np.ndarray, rows: pa.Table, kept: Mapping[str, np.ndarray]) -> pa.Table:
        for name, values in self._grid_like(x).items():
            given = stacked(rows, [name], self.schema_.grid)[:, 0] if kept[name].any() else values
            place, field = rows.schema.get_field_index(name), rows.schema.field(name)
            kind = field.type if is_grid(field.type) else None
            column = grid_column(np.where(kept[name], given, values), kind)
            rows = rows.set_column(place, field.with_type(column.type), column)
        return rows

    def _kinds(self, rows: pa.Table) -> dict[str, pa.DataType]:
        """The types of columns; of one without a single value, the type that it most plausibly had in fit."""
        kinds = {field.name: field.type for field in rows.schema}
        groups = {name: columns for name, columns in self._groups().items() if name in kinds}
        empty = {name: natural(groups[name]) for name in groups if pa.types.is_null(kinds[name])}
        texts = {name: kind_of(rows[name], each) for name, each in groups.items() if each[0].part != "value"}
        return kinds | texts | empty

    def _array_like(self, x: np.ndarray, rows: np.ndarray, kept: Mapping[str, np.ndarray], rounded: bool) -> np.ndarray:
        self._check_width(rows)
        out = rows.copy()
        if rows.ndim > 2:
            made = {name: of_dtype(each, rows.dtype) for name, each in self._grid_like(x).items()}
        else:
            kinds = dict.fromkeys(self.schema_.sources, pa.from_numpy_dtype(rows.dtype))
            told = self._decoded(x, kinds, rounded=rounded)
            made = {name: array.to_numpy(zero_copy_only=False) for name, array in told.items()}
        for place, name in enumerate(self.schema_.sources):
            if name in made:
                out[:, place] = np.where(kept[name], rows[:, place], made[name])
        return out

    def _grid_like(self, x: np.ndarray) -> dict[str, np.ndarray]:
        return {column.source: cells(column, x[:, place]) for place, column in enumerate(self.schema_.columns)}


def _schema(found: Mapping[str, Detected], names: tuple[str, ...], grid: tuple[int, ...] = ()) -> Schema:
    columns = tuple(column for each in found.values() if not isinstance(each, str) for column in each)
    dropped = {name: each for name, each in found.items() if isinstance(each, str)}
    if not columns:
        told = "; ".join(f"{name!r} is set aside ({reason})" for name, reason in list(dropped.items())[:5])
        raise InvalidData(
            f"There is no column to learn from: {told}. To use one all the same, pass "
            "likelihoods={'NAME': 'LIKELIHOOD'}."
        )
    return Schema(columns, GRIDS[2 + len(grid)], grid, names, dropped)


def _aside(field: pa.Field) -> str:
    """Why a reader set the column aside, if it did."""
    return (field.metadata or {}).get(b"set aside", b"").decode()


def _refuse_channels_last(shape: tuple[int, ...]) -> None:
    if len(shape) == 4 and shape[-1] in (1, 3, 4) and min(shape[1:3]) > 8:
        raise InvalidData(
            f"Rows of shape {shape[1:]} look like images with their channels last; axis 1 holds the channels here. "
            "Pass X.transpose(0, 3, 1, 2)."
        )


def _refuse_absent(names: Sequence[str], found: Sequence[str]) -> None:
    known = set(found)
    absent = [name for name in names if name not in known]
    if absent:
        raise SchemaMismatch(
            f"The column {absent[0]!r} of the fit is missing ({len(absent)} of {len(names)} are). "
            f"Found: {_some(found)}."
        )


def _batches(rows: pa.Table | Source) -> Iterator[pa.RecordBatch]:
    return rows.batches() if isinstance(rows, Source) else iter(rows.to_batches(rows_at_once(rows.schema)))


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    size = max(1, (1 << 20) // max(1, rows[:1].size))
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _flat(block: np.ndarray) -> np.ndarray:
    """A block of rows with the grid folded into the rows: (n * grid, channels), float64."""
    return np.moveaxis(block, 1, -1).reshape(-1, block.shape[1]).astype(np.float64)


def _named(rows: np.ndarray, names: tuple[str, ...]) -> pa.Table:
    return pa.table({name: pa.array(rows[:, j]) for j, name in enumerate(names)})


def _refuse_spoiled(name: str, rows: pa.Table | Source, where: Where) -> None:
    """Raise InvalidData that points at the first text among numbers, found in a second pass where there can be one.

    Where all are numbers they are texts on purpose, such as 0042.
    """
    place = ""
    if not (isinstance(rows, Source) and rows.once):
        texts = enumerate(text for batch in _batches(rows) for text in words(batch.column(name)).to_pylist())
        found = next(((row, text) for row, text in texts if text is not None and not is_number(text)), None)
        if found is None:
            return
        place = f"{where(found[0])}, column {name!r}: {found[1]!r:.80} is not a number. "
    raise InvalidData(
        f"{place}Column {name!r} holds numbers with some text among them. Correct the text, or write NA where a value "
        f"is missing; if they are codes, pass likelihoods={{{name!r}: 'Categorical'}}."
    )


def _row(row: int) -> str:
    return f"row {row}"


def _some(names: Any) -> str:
    shown = [repr(name) for name in list(names)[:8]]
    return ", ".join(shown) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
