"""The page around the sections: one file, its style and script inside, and a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from diabolo import __version__
from diabolo.report.markup import Markup, joined, tag

FOLDER = files("diabolo.report")


@dataclass(frozen=True)
class Section:
    """A part of the page under its own heading; ``key`` is its address, ``short`` its name in the list of parts."""

    key: str
    short: str
    heading: str
    body: Markup

    def markup(self) -> Markup:
        return tag("section", tag("h2", self.heading), self.body, id=self.key)


@dataclass(frozen=True)
class Page:
    """The headline in plain words, what is said below it, and the sections."""

    title: str
    headline: object
    lead: Markup
    sections: Sequence[Section]

    def html(self) -> str:
        """The whole file. Its only script and style are named by their hashes, so that no other can run."""
        style, script = _part("page.css"), _part("page.js")
        policy = (
            f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
            "base-uri 'none'; form-action 'none'"
        )
        return Template(_part("page.html")).substitute(
            policy=policy, title=tag("title", self.title), style=style, script=script, body=self._body()
        )

    def _body(self) -> Markup:
        links = [tag("a", section.short, href=f"#{section.key}") for section in self.sections]
        head = tag("header", _brand(), tag("h1", self.headline), self.lead, tag("nav", links, aria_label="Sections"))
        foot = tag(
            "footer", f"Written by diabolo {__version__}. This page is one file and asks no network for anything."
        )
        return joined(head, tag("main", [section.markup() for section in self.sections]), foot)


def paragraph(*parts: object, kind: str | None = None) -> Markup:
    """Sentences; ``kind`` lead, verdict or note sets them apart."""
    return tag("p", *parts, class_=kind)


def tile(figure: object, label: str, note: object = None) -> Markup:
    """A figure that should be seen first, and what it means."""
    return tag("div", tag("dt", label), tag("dd", tag("b", figure), tag("span", note) if note else None))


def tiles(*each: Markup | None) -> Markup:
    """Tiles side by side."""
    return tag("dl", *each, class_="tiles")


def table(
    heads: Sequence[str], rows: Sequence[Sequence[object]], numeric: Sequence[int] = (), kind: str = ""
) -> Markup:
    """A table that scrolls inside its own frame where it is too wide; ``numeric`` columns are aligned to the right."""
    sides = ["number" if place in numeric else None for place in range(len(heads))]
    head = tag("tr", [tag("th", words, class_=side, scope="col") for words, side in zip(heads, sides, strict=True)])
    body = [
        tag(
            "tr",
            [
                tag("td", cell, class_=side, data_label=words)
                for cell, side, words in zip(row, sides, heads, strict=True)
            ],
        )
        for row in rows
    ]
    whole = tag("table", tag("thead", head), tag("tbody", body), class_=kind or None)
    return tag("div", whole, class_="frame", tabindex=0)


def _brand() -> Markup:
    cones = tag("path", d="M3 3L12 12L3 21zM21 3L12 12L21 21z")
    return tag("p", tag("svg", cones, viewBox="0 0 24 24", aria_hidden="true"), "diabolo report", class_="brand")


def _part(name: str) -> str:
    return FOLDER.joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How a content security policy names what may run: the digest of all between the tags."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
