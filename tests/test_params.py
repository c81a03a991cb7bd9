"""Params: what an annotation allows, what is said when it is refused, and what scikit-learn and JSON make of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from sklearn.base import clone

from diabolo.errors import InvalidParameter
from diabolo.params import Count, Fraction, Params, Positive, Seed, Within, accepts, describe


class Inner(Params):
    latent: Annotated[Count, "numbers in the code"] = 8
    hidden: Annotated[tuple[Count, ...], "units"] = (16, 8)


class Outer(Params):
    inner: Annotated[Inner | str, "a part, or its name"] = "Inner"
    other: Inner | None = None
    level: Annotated[Fraction, "a share"] = 0.5
    names: Mapping[str, str] | None = None
    tied: bool = False
    random_state: Seed = None


KNOWN = {"Inner": Inner, "Outer": Outer}
HINTS: list[tuple[Any, str, list[Any], list[Any]]] = [
    (int, "an int", [0, -3, np.int64(2)], [1.0, "1", None, True, np.True_]),
    (float, "a float", [0, 0.5, np.float32(1)], ["1", True, None, float("nan"), float("inf")]),
    (bool, "a bool", [True, np.False_], [0, 1, "True", None]),
    (str, "a str", ["", "a"], [1, None, ["a"]]),
    (Count, "an int >= 1", [1, 7], [0, -1, 1.0, True]),
    (Fraction, "a float >= 0 and <= 1", [0, 1, 0.3], [-0.1, 1.1, False]),
    (Positive, "a float > 0", [1e-9, 5], [0, 0.0, -1]),
    (Annotated[float, Within(high=2)], "a float <= 2", [-9, 2], [2.1]),
    (Count | None, "an int >= 1 or None", [None, 3], [0, "None", True]),
    (Literal["a", 1], "one of 'a', 1", ["a", 1], ["b", True, 1.0, None]),
    (tuple[Count, ...], "a tuple of an int >= 1", [(), (3, 1), [2]], [(0,), 3, "3", (1, None), {1: 2}]),
    (Mapping[str, int], "a mapping from a str to an int", [{}, {"a": 1}], [{1: 1}, {"a": "b"}, [("a", 1)], None]),
    (Any, "anything", [None, object()], []),
    (Inner, "an Inner", [Inner()], [Inner, "Inner", Outer(), None]),
    (Seed, "an int >= 0 or a RandomState or None", [3, None, np.random.RandomState(0)], [0.5, True, "3", -1]),
]


@pytest.mark.parametrize(("hint", "words", "good", "bad"), HINTS, ids=[words for _, words, *_ in HINTS])
def test_every_hint(hint: Any, words: str, good: list[Any], bad: list[Any]) -> None:
    assert describe(hint) == words
    assert [value for value in good if not accepts(hint, value)] == []
    assert [value for value in bad if accepts(hint, value)] == []


WRONG = {
    "The 'level' parameter of Outer must be a float >= 0 and <= 1. Got 1.5.": Outer(level=1.5),
    "The 'tied' parameter of Outer must be a bool. Got 1.": Outer(tied=1),  # type: ignore[arg-type]
    "The 'latent' parameter of Inner must be an int >= 1. Got 0.": Outer(inner=Inner(latent=0)),
}


@pytest.mark.parametrize("said", WRONG)
def test_check_says_what_is_allowed_and_what_was_given(said: str) -> None:
    with pytest.raises(InvalidParameter, match=re.escape(said)):
        WRONG[said].check_params()


def test_items_of_a_tuple_of_fixed_length_have_hints_of_their_own() -> None:
    values = [(1, "a"), (1,), (1, 2), (1, "a", "a")]
    assert [accepts(tuple[int, str], value) for value in values] == [True, False, False, False]


def test_parameters_are_told_as_declared() -> None:
    assert list(Outer.parameters()) == ["inner", "other", "level", "names", "tied", "random_state"]
    latent = Inner.parameters()["latent"]
    assert (latent.default, latent.doc, latent.allowed) == (8, "numbers in the code", "an int >= 1")


def test_scikit_learn_copies_and_reads() -> None:
    outer = Outer(Inner(4, (2,)), names={"a": "b"})
    copy = clone(outer).set_params(inner__latent=5)
    assert (outer.inner.latent, copy.inner.latent, copy.inner.hidden) == (4, 5, (2,))  # type: ignore[union-attr]
    assert outer.get_params()["inner__latent"] == 4 and set(outer.get_params(deep=False)) == set(Outer.parameters())


@pytest.mark.parametrize("outer", [Outer(), Outer(Inner(3, ()), Inner(hidden=(5,)), 1, {"a": "b"}, True, 7)])
def test_round_trip_through_json(outer: Outer) -> None:
    back = Outer.from_dict(json.loads(json.dumps(outer.to_dict())), KNOWN.values())
    assert back.to_dict() == outer.to_dict() and repr(back) == repr(outer)
    assert not isinstance(back.inner, Inner) or isinstance(back.inner.hidden, tuple)


def test_numbers_of_numpy_become_those_of_python() -> None:
    given = Outer(level=np.float32(0.5), tied=np.True_, random_state=np.int64(3), inner=Inner())
    own = given.in_python()
    assert (type(own.level), own.tied, type(own.random_state), own.inner) == (float, True, int, given.inner)
    assert own.to_dict() == given.to_dict() and type(given.level) is np.float32


def test_numbers_of_numpy_and_generators_become_json() -> None:
    entry = Outer(level=np.float64(0.25), tied=np.True_, random_state=np.random.RandomState(0)).to_dict()
    assert json.loads(json.dumps(entry)) == entry and (entry["level"], entry["tied"]) == (0.25, True)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"class": "Outer", "inner": {"class": "Evil"}}, "No class named 'Evil' is known"),
        ({"class": "Inner"}, "Outer. Got 'Inner'"),
        ({}, "Outer. Got None"),
        ({"class": "Outer", "colour": 1}, "Outer has no parameter 'colour'"),
        ({"class": "Outer", "level": 2}, "'level' parameter of Outer must be"),
        ({"class": "Outer", "inner": {"class": "Inner", "latent": 0}}, "'latent' parameter of Inner must be"),
    ],
)
def test_strange_entries_are_refused(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidParameter, match=re.escape(said)):
        Outer.from_dict(entry, KNOWN.values())
