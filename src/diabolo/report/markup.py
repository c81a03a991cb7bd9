"""HTML and SVG from plain calls: whatever is not Markup already is escaped, so no value of the data can become code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Any

UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters and halves of characters
BREAKS = re.compile(r"(?<=[_./\\-])(?=\w)")  # where a long name may go on in the next line
FIGURE = re.compile(r"[−\d][\d.,]*(\s×\s10\S+)?|missing")
MOMENT = re.compile(r"[\d-]{10}( [\d:]+)?")  # a date, and perhaps a time
EMPTY = frozenset({"br", "circle", "col", "hr", "line", "link", "meta", "path", "rect", "wbr"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(element: str, *children: Any, **attributes: Any) -> Markup:
    """An element; ``class_`` is written class, ``text_anchor`` text-anchor; None and False leave a part out.

    >>> tag("p", "a < b", tag("b", "!"), class_="note", hidden=False)
    '<p class="note">a &lt; b<b>!</b></p>'
    """
    told = "".join(map(_attribute, attributes, attributes.values()))
    if element in EMPTY and not children:
        return Markup(f"<{element}{told}/>")
    return Markup(f"<{element}{told}>{joined(*children)}</{element}>")


def joined(*parts: Any) -> Markup:
    """Parts one after the other; lists are unrolled and everything but Markup is escaped.

    >>> joined("<", [tag("i", 1), None], 2)
    '&lt;<i>1</i>2'
    """
    return Markup("".join(map(_written, parts)))


def name(text: Any, longest: int = 60) -> Markup:
    """A name or a value that a stranger wrote: shortened, and unable to turn the direction of the text around it."""
    told = str(text)
    short = told if len(told) <= longest else told[: longest - 1] + "…"
    pieces = BREAKS.split(_written(short))
    return tag("bdi", Markup("<wbr/>".join(pieces)), title=told[:300] if short != told else None)


def cell(words: str, longest: int = 40) -> Markup:
    """A value of the data: numbers keep on one line, texts are treated like names."""
    if MOMENT.fullmatch(words):
        return tag("span", words)
    return tag("span", words, class_="figure") if FIGURE.fullmatch(words) else name(words, longest)


def _written(part: Any) -> str:
    if part is None or part is False:
        return ""
    if isinstance(part, Markup):
        return part
    if isinstance(part, Iterable) and not isinstance(part, str):
        return joined(*part)
    return escape(_clean(part), quote=False)


def _attribute(key: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    label = key.rstrip("_").replace("_", "-")
    return f" {label}" if value is True else f' {label}="{escape(_clean(value))}"'


def _clean(value: Any) -> str:
    """Numbers as short as a pixel's hundredth; texts without characters that a page cannot hold."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", str(value))
