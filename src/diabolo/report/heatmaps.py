"""Heat maps: a number from -1 to 1 in each cell, by shade; of either sign its own colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diabolo.report.charts import LETTER, Frame, text
from diabolo.report.markup import Markup, joined, tag

SHADES = 8  # of either colour
LETTERS = 18  # of a name beside the cells
LEAST = 12.0  # pixels of a cell that has a name beside it
SQUARE, WIDEST, TALLEST = 34.0, 72.0, 24.0  # pixels of a cell at most
KEY = 30  # pixels below the cells


@dataclass(frozen=True)
class HeatMap:
    """Cells (down, across) of numbers from -1 to 1, NaN for none, with the names of rows and columns.

    ``ends`` say in words what -1 and 1 are, ``told`` what the whole is.
    """

    values: np.ndarray
    down: Sequence[str]
    across: Sequence[str]
    ends: tuple[str, str]
    told: str

    def draw(self, width: int) -> Markup:
        left, (across, down) = _room(self.down), self._cell(width)
        named = across >= LEAST
        flat = max((len(_short(each)) for each in self.across), default=0) * LETTER < across
        top = 2 if not named else 24 if flat else _room(self.across)
        height = round(top + down * len(self.down) + KEY + 12)
        frame = Frame(width, height, left=left if named else 2, top=top)
        return frame.drawing(
            self._ground(frame, across, down),
            [self._shade(frame, across, down, shade) for shade in range(-SHADES, SHADES + 1) if shade],
            self._names(frame, across, down, flat) if named else None,
            self._key(frame),
            label=self.told,
        )

    def _cell(self, width: int) -> tuple[float, float]:
        """The width and height of a cell: with names if they have room, else from edge to edge."""
        named = (width - _room(self.down) - 14) / len(self.across)
        room = named if named >= LEAST else (width - 16) / len(self.across)
        if self.down == self.across:
            return min(room, SQUARE), min(room, SQUARE)
        return min(room, WIDEST), min(max(room, LEAST), TALLEST)

    def _ground(self, frame: Frame, across: float, down: float) -> Markup:
        width, height = across * len(self.across), down * len(self.down)
        return tag("rect", x=frame.left, y=frame.top, width=width, height=height, class_="field")

    def _shade(self, frame: Frame, across: float, down: float, shade: int) -> Markup | None:
        """All cells of one shade as one path."""
        level = np.rint(np.nan_to_num(self.values).clip(-1, 1) * SHADES)
        gap = 1 if across >= 8 else 0
        cells = "".join(
            f"M{frame.left + across * column:.1f} {frame.top + down * row:.1f}h{across - gap:.1f}v{down - gap:.1f}"
            f"h-{across - gap:.1f}z"
            for row, column in np.argwhere(level == shade).tolist()
        )
        kind = "marked" if shade > 0 else "below"
        return tag("path", d=cells, class_=kind, fill_opacity=f"{abs(shade) / SHADES:.2f}") if cells else None

    def _names(self, frame: Frame, across: float, down: float, flat: bool) -> Markup:
        middles = [frame.left + across * (place + 0.5) for place in range(len(self.across))]
        above = zip(self.across, middles, strict=True)
        return joined(
            [
                text(_short(name), frame.left - 6, frame.top + down * (place + 0.5) + 4, "tick", "end")
                for place, name in enumerate(self.down)
            ],
            [
                text(_short(name), x, frame.top - 8, "tick") if flat else _upright(_short(name), x + 4, frame.top - 6)
                for name, x in above
            ],
        )

    def _key(self, frame: Frame) -> Markup:
        """What the shades stand for."""
        step, y = 9, frame.height - 16
        before, after = (LETTER * len(each) * 0.85 + 8 for each in self.ends)
        left = max(0.0, min(frame.left, frame.width - before - after - step * (2 * SHADES + 1)))
        start = left + before
        shades = [
            tag(
                "rect",
                x=start + step * (place + SHADES),
                y=y - 10,
                width=step,
                height=11,
                class_="marked" if place > 0 else "below",
                fill_opacity=f"{abs(place) / SHADES:.2f}",
            )
            for place in range(-SHADES, SHADES + 1)
        ]
        words = [
            text(self.ends[0], left, y, "title", "start"),
            text(self.ends[1], start + step * (2 * SHADES + 1) + 8, y, "title", "start"),
        ]
        return joined(shades, words)


def _room(names: Sequence[str]) -> int:
    """Pixels for the longest name."""
    return round(max((len(_short(each)) for each in names), default=0) * LETTER * 0.92) + 14


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"


def _upright(words: str, x: float, y: float) -> Markup:
    return tag("text", words, class_="tick upright", transform=f"translate({x:.1f} {y:.1f}) rotate(-90)")
