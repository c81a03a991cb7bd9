"""Puts fences around the drawings and the examples of docstrings, which Markdown would take for text and quotations."""

from __future__ import annotations

import re
from inspect import cleandoc
from textwrap import dedent
from typing import Any

import griffe

DRAWN = re.compile(r"^ *[├│└]|\S {3,}\S", re.MULTILINE)
ROLE = re.compile(r":\w+:(?=`)")


class Fenced(griffe.Extension):
    """Rewrites each docstring before it is rendered."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            paragraphs = re.split(r"\n[ \t]*\n", cleandoc(obj.docstring.value))
            obj.docstring.value = "\n\n".join(map(fenced, paragraphs))


def fenced(paragraph: str) -> str:
    """The paragraph in a fence where it is an example or a drawing, as it is elsewhere."""
    if paragraph.startswith(">>> "):
        return f"```pycon\n{paragraph}\n```"
    if DRAWN.search(paragraph) and "\n" in paragraph:
        return f"```text\n{dedent(paragraph)}\n```"
    return ROLE.sub("", re.sub("::$", ":", paragraph))
