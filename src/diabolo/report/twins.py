"""Two sets of rows drawn over each other, column by column: the first filled, the second as a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diabolo.report import model
from diabolo.report.findings import natural
from diabolo.report.markup import Markup, joined, name, tag
from diabolo.report.words import NOTHING, fixed, percent
from diabolo.schema import Column

BINS = 24
WIDTH, HEIGHT = 220, 84
NAMED = 3  # categories whose shares are told


@dataclass(frozen=True)
class Twin:
    """The values of a column among some rows and among others, prepared, without those that are missing."""

    column: Column
    first: np.ndarray
    second: np.ndarray

    @property
    def apart(self) -> float:
        """The largest difference of the two distributions, 0 to 1; NaN where one side is empty.

        Of numbers that of the shares below any value (Kolmogorov and Smirnov), of categories that of any set of them
        (the total variation).
        """
        if not len(self.first) or not len(self.second):
            return np.nan
        if self.column.kind in ("category", "boolean"):
            return float(np.abs(np.subtract(*self._shares())).sum() / 2)
        grid = np.sort(np.concatenate((self.first, self.second)))
        below = [np.searchsorted(np.sort(side), grid, side="right") / len(side) for side in (self.first, self.second)]
        return float(np.abs(below[0] - below[1]).max())

    def draw(self) -> Markup:
        """The column as a small figure."""
        words = f"apart {fixed(self.apart)}" if np.isfinite(self.apart) else "no values on one side"
        head = tag("b", name(self.column.name, 28))
        if not np.isfinite(self.apart):
            return tag("figure", tag("figcaption", head, tag("span", words)))
        return tag("figure", tag("figcaption", head, tag("span", words)), self._bars(), self._ends())

    def _shares(self) -> tuple[np.ndarray, np.ndarray]:
        """The share of each category, or bin, on either side."""
        if self.column.kind in ("category", "boolean"):
            most = max(float(side.max(initial=0)) for side in (self.first, self.second))
            edges = np.arange(max(2, int(most) + 1) + 1) - 0.5
        else:
            low, high = self._span()
            edges = np.linspace(low, high, BINS + 1)
        first, second = (
            np.histogram(np.clip(side, edges[0], edges[-1]), edges)[0] / len(side) for side in (self.first, self.second)
        )
        return first, second

    def _span(self) -> tuple[float, float]:
        """Where nearly all values lie; the outermost bars hold the others."""
        both = np.concatenate((self.first, self.second))
        low, high = np.quantile(both, (0.002, 0.998))
        return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)

    def _bars(self) -> Markup:
        first, second = self._shares()
        top, step = max(float(first.max()), float(second.max())), WIDTH / len(first)
        y = HEIGHT - (HEIGHT - 6) * np.stack((first, second)) / top
        room = 0.8 if len(first) > 1 else 0.0
        filled = "".join(
            f"M{place * step:.1f} {HEIGHT}V{level:.1f}h{step - room:.1f}V{HEIGHT}z"
            for place, level in enumerate(y[0])
            if level < HEIGHT
        )
        stairs = "".join(f"V{level:.1f}H{(place + 1) * step:.1f}" for place, level in enumerate(y[1]))
        told = f"{self.column.name}: real rows filled, new rows as a line"
        return tag(
            "svg",
            tag("path", d=filled, class_="plain"),
            tag("path", d=f"M0 {HEIGHT}{stairs}V{HEIGHT}", class_="stairs"),
            viewBox=f"0 0 {WIDTH} {HEIGHT + 1}",
            class_="twin",
            role="img",
            aria_label=told,
        )

    def _ends(self) -> Markup:
        if self.column.kind in ("category", "boolean"):
            return tag("figcaption", tag("small", self._told()))
        ends = natural(self.column, np.array(self._span())).tolist()
        tiny = NOTHING * max(map(abs, ends))
        return tag(
            "figcaption",
            [tag("small", model.amount(self.column, each if abs(each) > tiny else 0.0, 3)) for each in ends],
        )

    def _told(self) -> Markup:
        """The most frequent categories, with their shares on both sides."""
        words = self.column.categories or ("false", "true")
        first, second = self._shares()
        shown = np.argsort(-first, kind="stable")[:NAMED]
        told = [
            [name(words[each] if each < len(words) else "", 14), f" {percent(first[each])} → {percent(second[each])}"]
            for each in shown
        ]
        return joined([[", " if place else "", each] for place, each in enumerate(told)])


def twins(columns: Sequence[Column], first: np.ndarray, second: np.ndarray) -> list[Twin]:
    """Both sides of each column; ``first`` (n, columns) and ``second`` (m, columns) are prepared rows."""
    sides = zip(columns, first.T, second.T, strict=True)
    return [Twin(column, one[~np.isnan(one)], other[~np.isnan(other)]) for column, one, other in sides]


def by_chance(first: int, second: int) -> float:
    """How far apart two samples of the same numbers are at most, 19 times of 20.

    >>> round(by_chance(2000, 2000), 3)
    0.043
    """
    return float(1.36 * np.sqrt((first + second) / max(1, first * second)))
