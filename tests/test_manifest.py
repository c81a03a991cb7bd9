"""The manifest as strict JSON: everything a schema holds comes back, and nothing unbounded is parsed."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diabolo import manifest
from diabolo.errors import InvalidArtifact
from diabolo.schema import Column, Schema

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=8)
KEYS = st.text(max_size=5) | st.sampled_from(["$", "$$", "$float", "$$float", "__metadata__"])
CONTENTS = st.dictionaries(
    KEYS,
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)),
    max_size=6,
)


def nested(depth: int, brackets: str = "[]") -> str:
    return brackets[0] * depth + brackets[1] * depth


@given(CONTENTS)
@settings(max_examples=300, deadline=None)
def test_round_trip(content: dict) -> None:
    text = manifest.to_text(content)
    assert repr(manifest.from_text(text)) == repr(content)  # repr tells nan, -0.0 and 1 from 1.0
    assert text.isascii()
    json.loads(text, parse_constant=pytest.fail)


def test_a_schema_with_open_ends_comes_back() -> None:
    schema = Schema((Column("$price", categories=("a", "$float")), Column("Größe", low=0.0)), dropped={"$id": "an id"})
    assert Schema.from_dict(manifest.from_text(manifest.to_text(schema.to_dict()))) == schema


@pytest.mark.parametrize("value", [np.float32(1), np.arange(2), {1: 2}, b"x", {3}, frozenset(), 2**64, 1j], ids=repr)
def test_what_json_cannot_hold_is_named(value: object) -> None:
    with pytest.raises(InvalidArtifact, match=r"manifest\.a\[1\] of type"):
        manifest.to_text({"a": [0, value]})


def test_what_is_too_deep_is_refused_on_both_sides() -> None:
    deep: list = []
    for _ in range(manifest.MAX_DEPTH - 2):
        deep = [deep]
    text = manifest.to_text({"a": deep})
    assert manifest.from_text(text) == {"a": deep}
    with pytest.raises(InvalidArtifact, match="nested"):
        manifest.to_text({"a": [deep, [deep]]})
    with pytest.raises(InvalidArtifact, match="nested"):
        manifest.from_text(text.replace("[[", "[[["[:3], 1).replace("]]", "]]]", 1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "1",
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":1e999}',
        '{"a":1,"a":1}',
        '{"a":{"b":1,"b":2}}',
        '{"a":1}{}',
        '\ufeff{"a":1}',
        '{"a":"\x01"}',
        '{"a":\ud800}',
        '{"$a":1}',
        '{"a":{"$float":"1"}}',
        '{"a":{"$float":"nan","b":1}}',
        '{"a":' + "9" * 5000 + "}",
        '{"a":' + nested(manifest.MAX_DEPTH) + "}",
        '{"a":' + nested(5_000) + "}",
        '{"a":' * 5_000 + "1" + "}" * 5_000,
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidArtifact):
        manifest.from_text(text)


def test_the_number_of_values_is_bounded_before_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("parsed"))
    for filling in ("[],", "{},", "0,", '"",'):
        text = '{"a":[' + filling * manifest.MAX_VALUES + "0]}"
        with pytest.raises(InvalidArtifact, match="are allowed"):
            manifest.from_text(text)
    with pytest.raises(InvalidArtifact, match="are allowed"):
        manifest.from_text('{"a":"' + "x" * manifest.MAX_LENGTH + '"}')


def test_ten_thousand_columns_with_categories_fit() -> None:
    names = tuple(f"category {k:03d}" for k in range(20))
    columns = tuple(Column(f"column {i:05d}", "category", "Categorical", categories=names) for i in range(10_000))
    text = manifest.to_text(Schema(columns).to_dict())
    manifest.check_budget(json.dumps(text).encode(), "header")
    assert len(manifest.from_text(text)["columns"]) == 10_000


def test_the_recursion_limit_is_left_alone() -> None:
    before = sys.getrecursionlimit()
    with pytest.raises(InvalidArtifact):
        manifest.from_text('{"a":' + nested(100_000) + "}")
    assert sys.getrecursionlimit() == before
    assert math.isnan(manifest.from_text('{"a":{"$float":"nan"}}')["a"])
