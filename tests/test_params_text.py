"""Params as a user types them: what a text may mean under an annotation, and where a dotted path leads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import pytest

from diabolo.errors import InvalidParameter
from diabolo.params import Count, Fraction, Params, Seed, assign, describe, parse


class Inner(Params):
    latent: Count = 8
    hidden: tuple[Count, ...] = (16, 8)


class Outer(Params):
    inner: Inner | str = "Inner"
    other: Inner | None = None
    level: Fraction = 0.5
    names: Mapping[str, str] | None = None
    random_state: Seed = None


KNOWN = {"Inner": Inner, "Outer": Outer}

TEXTS = [(Count, "4", 4), (float, "1e-3", 1e-3), (bool, "TRUE", True), (bool, "false", False), (str, "4", "4")]
TEXTS += [(Count | None, "none", None), (str | None, "Null", None), (str, "none", "none"), (Literal["a"], "a", "a")]
TEXTS += [(tuple[int, ...], text, (16, 8)) for text in ("16,8", "(16, 8)", "[16,8]", "16, 8,")]
TEXTS += [(tuple[int, ...], "()", ()), (tuple[int, ...], "7,", (7,)), (tuple[str, ...], "a,b", ("a", "b"))]
TEXTS += [(tuple[str, ...], '"a,b", c', ("a,b", "c")), (tuple[str, ...], "x (m),y[0]", ("x (m)", "y[0]"))]
TEXTS += [(tuple[float, ...], "1,.5", (1.0, 0.5)), (str, "a,b", "a,b"), (int | float, "3", 3), (float, "-2", -2)]


@pytest.mark.parametrize(("hint", "text", "value"), TEXTS)
def test_text_is_read_as_the_hint_allows(hint: Any, text: str, value: Any) -> None:
    assert parse(hint, text, KNOWN) == value and type(parse(hint, text, KNOWN)) is type(value)


@pytest.mark.parametrize(
    ("hint", "text"),
    [(Count, "0"), (Count, "4.5"), (bool, "1"), (int, "none"), (float, "nan"), (tuple[int, ...], "1,x"), (int, "")],
)
def test_text_without_an_allowed_reading_is_refused(hint: Any, text: str) -> None:
    with pytest.raises(InvalidParameter, match=re.escape(f"{text!r} is not {describe(hint)}.")):
        parse(hint, text, KNOWN)


def test_a_known_name_stands_for_a_new_part_where_one_is_allowed() -> None:
    first, second = parse(Inner | None, "Inner", KNOWN), parse(Inner | None, "Inner", KNOWN)
    assert isinstance(first, Inner) and first is not second
    assert parse(str, "Inner", KNOWN) == "Inner"


def test_assign_follows_paths() -> None:
    outer = Outer()
    for path, text in {"level": "0.25", "inner.latent": "3", "inner.hidden": "4,2", "other.latent": "9"}.items():
        assign(outer, path, text, KNOWN)
    for path, text in {"names.price.usd": "Laplace", "names.age": "Normal", "random_state": "none"}.items():
        assign(outer, path, text, KNOWN)
    made = Outer(Inner(3, (4, 2)), Inner(9), 0.25, {"price.usd": "Laplace", "age": "Normal"})
    assert outer.to_dict() == made.to_dict() and Outer().inner == "Inner" and Inner().latent == 8


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("levle", "1", "Outer has no parameter 'levle'. Did you mean 'level'? It has: inner, other"),
        ("inner.laten", "1", "Inner has no parameter 'laten'. Did you mean 'latent'?"),
        ("latent", "1", "Outer has no parameter 'latent'. Did you mean 'inner.latent'? It has: inner, other"),
        ("level", "high", "The 'level' parameter of Outer: 'high' is not a float >= 0 and <= 1."),
        ("level.deep", "1", "The 'level' parameter of Outer has no parameters of its own."),
        ("inner.latent", "0", "The 'latent' parameter of Inner: '0' is not an int >= 1."),
    ],
)
def test_assign_refuses_typos(path: str, text: str, said: str) -> None:
    with pytest.raises(InvalidParameter, match=re.escape(said)):
        assign(Outer(), path, text, KNOWN)
