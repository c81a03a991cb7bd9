"""Spellings of numbers and dates that are read one way here and another there: told apart, never guessed at."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

NUMBER = r"\(?[+-]?((?!0)\d{1,3}([ .,'’\u00a0\u202f]\d{3})+|\d+)([.,]\d+)?\)?"  # 12,345 or 1.234,5 or 37
MONEY = "[$€£¥₹]|EUR|USD|GBP|CHF|JPY|CNY|INR"
DAY = r"\d{1,2}[./-]\d{1,2}[./-]\d{4}|\d\d[./]\d\d[./]\d\d|\d{4}[./]\d{1,2}[./]\d{1,2}"
NAMED = r"\d{1,2}[. -]+[^\W\d]{3,9}[. -]+\d{4}|[^\W\d]{3,9}\.? \d{1,2},? \d{4}"
UNIT = r"(\s[^\W\d_]{1,4}|\s?(°[CF]|[a-zµ]{2,4}))([²³]|/[a-z]{1,3})?"  # 44.1 kg, 20 °C, 5m/s, 30 m²
PLAIN = ""  # a number as it should be
SPELLINGS = {
    PLAIN: r"[+-]?\d+(\.\d+)?",
    "dates such as {}: write them by ISO 8601, 2024-02-29": rf"({DAY}|{NAMED})([ ,T]+\d{{1,2}}:\d\d.*)?",
    "percentages such as {}: write them as numbers, 37.5": rf"{NUMBER}\s?%",
    "amounts of money such as {}: write them as numbers, 1234.5": rf"[+-]?({MONEY})\s?{NUMBER}|{NUMBER}\s?({MONEY})",
    "numbers with a unit such as {}: write them as numbers, 44.1": rf"{NUMBER}({UNIT})",
    "numbers such as {}: write them with a point before the decimals and no other mark, 1234.5": NUMBER,
}
FORMS = {form: re.compile(spelled) for form, spelled in SPELLINGS.items()}
NEARLY = 0.95  # of the texts


class Spellings:
    """How texts are spelled, so that a column of them can be named for what it seems to be.

    >>> spellings = Spellings()
    >>> spellings.add(["12,345", "1,300"])
    >>> spellings.told
    "numbers such as '12,345': write them with a point before the decimals and no other mark, 1234.5"
    """

    def __init__(self) -> None:
        self._tried = 0
        self._found: Counter[str | None] = Counter()
        self._first: dict[str, str] = {}

    def add(self, texts: Iterable[str | None]) -> None:
        """Take in some texts."""
        for text in texts:
            self._tried += 1
            form = next((form for form, spelled in FORMS.items() if spelled.fullmatch((text or "").strip())), None)
            self._found[form] += 1
            if form:
                self._first.setdefault(form, str(text)[:40])

    @property
    def told(self) -> str:
        """What nearly all of them look like, and how to write that; empty where they look like nothing known."""
        form = max(self._first, key=lambda form: self._found[form], default=PLAIN)
        agreeing = self._found[form] + self._found[PLAIN]
        return form.format(repr(self._first.get(form))) if agreeing >= NEARLY * self._tried else ""
