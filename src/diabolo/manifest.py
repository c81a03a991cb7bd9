"""The manifest of a model file: a JSON object, written and read strictly.

Strict JSON has no NaN and no infinity. They are written as ``{"$float": "nan"}``; a key of the manifest that itself
begins with ``$`` is written with one more, so nothing is ambiguous. Reading costs a bounded amount of time and memory,
whatever the text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, cast

from diabolo.errors import InvalidArtifact
from diabolo.params import JSON

MAX_LENGTH = 16 << 20  # bytes; 10,000 columns with 20 categories each take 9 MB
MAX_VALUES = 500_000  # an empty list takes 3 bytes of text and 64 of memory: the length alone bounds too little
MAX_DEPTH = 64


def to_text(manifest: Mapping[str, Any]) -> str:
    """Strict JSON, in ASCII, of None, bool, int, float, str, lists, tuples and dicts with text keys.

    Raises InvalidArtifact, naming the place, for anything else and for more than ``from_text`` would read.

    >>> to_text({"low": float("-inf"), "$": [1, True, None]})
    '{"low":{"$float":"-inf"},"$$":[1,true,null]}'
    """
    text = dumped(_marked(manifest, "manifest", MAX_DEPTH))
    check_budget(text.encode(), "manifest")
    return text


def from_text(text: str) -> dict[str, Any]:
    """The inverse of ``to_text`` (tuples come back as lists); raises InvalidArtifact for all other text.

    >>> from_text('{"low":{"$float":"-inf"},"$$":[1,true,null]}')
    {'low': -inf, '$': [1, True, None]}
    """
    value = parsed(text.encode("utf-8", "surrogatepass"), "manifest")
    return {_unescaped(key): _unmarked(each) for key, each in value.items()}


def dumped(value: Any) -> str:
    """Strict JSON without blanks, keys in the order of the value."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def parsed(text: bytes, what: str) -> dict[str, Any]:
    """A JSON object; raises InvalidArtifact, calling the text ``what``.

    Refused are duplicate keys, NaN, numbers beyond float64, deep nesting and more than MAX_VALUES values.
    """
    check_budget(text, what)
    try:
        value = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refused, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidArtifact(f"has a {what} that is not strict JSON ({str(error)[:80]}). Copy it again.") from None
    if not isinstance(value, dict) or _depth(value) > MAX_DEPTH:
        raise InvalidArtifact(f"has a {what} that is no JSON object or is nested deeper than {MAX_DEPTH}.")
    return value


def check_budget(text: bytes, what: str) -> None:
    """Bound what parsing may cost, before parsing: every JSON value has a comma or a bracket of its own."""
    values = sum(text.count(mark) for mark in (b",", b"{", b"["))
    if len(text) > MAX_LENGTH or values > MAX_VALUES:
        raise InvalidArtifact(
            f"has a {what} of {len(text):,} bytes and about {values:,} values; at most {MAX_LENGTH:,} and "
            f"{MAX_VALUES:,} are allowed. Fit on fewer columns, or on columns with fewer categories."
        )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _refused(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refused(text)


def _depth(value: JSON) -> int:
    level: list[Any] = [value]
    depth = 0
    while level:
        level = [child for each in level for child in _children(each)]
        depth += 1
    return depth


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _marked(value: Any, place: str, depth: int) -> JSON:
    if value is None or type(value) in (bool, str) or (type(value) is int and value.bit_length() <= 64):
        return cast(JSON, value)
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, Mapping) and depth and all(type(key) is str for key in value):
        return {_escaped(key): _marked(each, f"{place}.{key}", depth - 1) for key, each in value.items()}
    if isinstance(value, (list, tuple)) and depth:
        return [_marked(each, f"{place}[{i}]", depth - 1) for i, each in enumerate(value)]
    raise InvalidArtifact(
        f"has {place} of type {type(value).__name__}, which a file cannot keep. It keeps None, bool, int (64 bits), "
        f"float, str, lists and dicts with text keys, nested up to {MAX_DEPTH} deep."
    )


def _unmarked(value: JSON) -> JSON:
    if isinstance(value, list):
        return [_unmarked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$float"} and value["$float"] in ("nan", "inf", "-inf"):
        return float(value["$float"])
    return {_unescaped(key): _unmarked(each) for key, each in value.items()}


def _escaped(key: str) -> str:
    return "$" + key if key.startswith("$") else key


def _unescaped(key: str) -> str:
    if key.startswith("$") and not key.startswith("$$"):
        raise InvalidArtifact(f"has a manifest with the mark {key[:40]!r}, which is not understood.")
    return key.removeprefix("$")
