"""A schema is plain data: it survives JSON, and widths and shapes follow from its columns."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest
import torch

from diabolo import manifest
from diabolo.networks import Features
from diabolo.schema import UNSEEN, Column, Schema, numbers

ABC = ("a", "b", UNSEEN)
TABLE = Schema(
    (
        Column("price", source="price", center=3.5, scale=0.1, low=-1.0, high=7.25),
        Column("visits", "count", "NegativeBinomial", "visits", center=1.0, scale=0.5, low=0.0, missing=True),
        Column("member", "boolean", "Bernoulli", "member"),
        Column("letter", "category", "Categorical", "letter", categories=ABC),
        Column("day.sin", source="day", part="sin of the weekday"),
        Column("day.cos", source="day", part="cos of the weekday"),
    ),
    sources=("id", "price", "visits", "member", "letter", "day"),
    dropped={"id": "a value of its own in every row"},
    given=3,
)
SCHEMAS = {
    "table": TABLE,
    "series": numbers(2, "series", (12,)),
    "image": numbers(3, "image", (5, 7)),
    "empty": Schema(()),
}


def through_json(schema: Schema) -> Schema:
    return Schema.from_dict(json.loads(json.dumps(schema.to_dict())))


@pytest.mark.parametrize("name", SCHEMAS)
def test_round_trip_through_json(name: str) -> None:
    schema = SCHEMAS[name]
    assert through_json(schema) == schema
    assert Schema.from_dict(manifest.from_text(manifest.to_text(schema.to_dict()))) == schema
    assert Schema.from_dict(schema.to_dict()) == schema


@pytest.mark.parametrize("name", [field.name for field in fields(Column)])
def test_round_trip_forgets_no_part_of_a_column(name: str) -> None:
    other: dict[str, object] = {"kind": "category", "categories": ABC, "missing": True}
    value = other.get(name, "other" if isinstance(getattr(Column("x"), name), str) else 0.1)
    column = replace(Column("x"), **{name: value})
    assert through_json(Schema((column,))).columns == (column,) != (Column("x"),)


@pytest.mark.parametrize("name", [field.name for field in fields(Schema)])
def test_round_trip_forgets_no_part_of_a_schema(name: str) -> None:
    bare = replace(TABLE, sources=(), dropped={}, given=0)
    value = {"columns": TABLE.columns[:1], "kind": "series", "grid": (4,), "given": 3}.get(name, getattr(TABLE, name))
    changed = replace(bare, **{name: value})
    assert through_json(changed) == changed != bare


def test_what_comes_back_cannot_be_changed() -> None:
    """Lists of JSON are tuples again: a schema is shared by every part that was built from it."""
    back = through_json(SCHEMAS["image"]), through_json(TABLE)
    assert isinstance(back[0].grid, tuple) and isinstance(back[0].shape, tuple)
    assert isinstance(back[1].sources, tuple) and isinstance(back[1].columns[3].categories, tuple)
    with pytest.raises(FrozenInstanceError):
        back[1].given = 0  # type: ignore[misc]
    assert hash(back[1].columns) == hash(TABLE.columns)


def test_changing_the_dictionary_changes_no_schema() -> None:
    entry = TABLE.to_dict()
    entry["dropped"]["price"] = "changed"
    assert set(TABLE.dropped) == {"id"}


def test_unknown_entries_are_refused() -> None:
    entry = json.loads(json.dumps(TABLE.to_dict()))
    with pytest.raises(TypeError, match="colour"):
        Schema.from_dict(entry | {"colour": 1})
    entry["columns"][0]["colour"] = 1
    with pytest.raises(TypeError, match="colour"):
        Schema.from_dict(entry)


def test_widths_are_what_the_encoder_sees() -> None:
    assert [column.width for column in TABLE.columns] == [1, 1, 1, 3, 1, 1]
    assert Column("x", "number", categories=ABC).width == 1
    assert Features(TABLE, flags=False)(torch.zeros(2, 6)).shape == (2, sum(column.width for column in TABLE.columns))


@pytest.mark.parametrize(
    ("name", "shape"), [("table", (6,)), ("series", (2, 12)), ("image", (3, 5, 7)), ("empty", (0,))]
)
def test_shape_is_that_of_a_row(name: str, shape: tuple[int, ...]) -> None:
    assert SCHEMAS[name].shape == shape


def test_missing_if_any_column_is() -> None:
    assert TABLE.missing
    assert not replace(TABLE, columns=TABLE.columns[:1] + TABLE.columns[2:]).missing
    assert not SCHEMAS["empty"].missing


def test_numbers_are_standardised_columns_of_their_own() -> None:
    schema = numbers(11)
    assert schema.sources == tuple(column.source for column in schema.columns) == tuple(f"x{i}" for i in range(11))
    assert {(column.kind, column.center, column.scale) for column in schema.columns} == {("number", 0.0, 1.0)}
    assert (schema.columns[0].low, schema.columns[0].high) == (-math.inf, math.inf)
