"""Charts as inline SVG. Each is drawn twice, for a page and for a phone, so that letters keep their size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from diabolo.report.markup import Markup, joined, tag
from diabolo.report.scales import Scale, even, growing
from diabolo.report.words import THIN, number

WIDE, NARROW = 900, 350  # pixels
LETTER = 7.6  # pixels of a letter of a label
FEWEST = 0.5  # expected rows below which nothing is drawn

Draw = Callable[[int], Markup]


@dataclass(frozen=True)
class Frame:
    """The area inside the axes of a chart, in pixels from the top left."""

    width: int
    height: int
    left: int = 52
    right: int = 14
    top: int = 14
    bottom: int = 44

    @property
    def end(self) -> int:
        return self.width - self.right

    @property
    def floor(self) -> int:
        return self.height - self.bottom

    def across(self, low: float, high: float, **warp: Callable[..., np.ndarray]) -> Scale:
        return Scale(low, high, self.left, self.end, **warp)

    def up(self, low: float, high: float, **warp: Callable[..., np.ndarray]) -> Scale:
        return Scale(low, high, self.floor, self.top, **warp)

    def drawing(self, *parts: object, label: str) -> Markup:
        box = f"0 0 {self.width} {self.height}"
        size = "wide" if self.width == WIDE else "narrow"
        return tag("svg", *parts, viewBox=box, class_=f"chart {size}", role="img", aria_label=label)

    def below(self, scale: Scale, ticks: Sequence[float], title: str) -> Markup:
        """The axis along the floor."""
        marks = [
            text(number(each), float(scale(each)), self.floor + 19, "tick", _anchor(scale, float(scale(each))))
            for each in ticks
        ]
        line = tag("line", x1=self.left, x2=self.end, y1=self.floor, y2=self.floor, class_="axis")
        return joined(line, marks, text(title, (self.left + self.end) / 2, self.height - 6, "title"))

    def beside(self, scale: Scale, ticks: Sequence[float]) -> Markup:
        """Lines across the area with their numbers on the left."""
        return joined(
            [
                tag("line", x1=self.left, x2=self.end, y1=float(scale(each)), y2=float(scale(each)), class_="grid"),
                text(number(each), self.left - 8, float(scale(each)) + 4, "tick", anchor="end"),
            ]
            for each in ticks
        )


def text(words: str, x: float, y: float, kind: str, anchor: str = "middle") -> Markup:
    """A label whose ``anchor`` (start, middle or end) is at ``x``, on the line ``y``."""
    return tag("text", words, x=float(x), y=float(y), class_=kind, text_anchor=anchor)


def _anchor(scale: Scale, x: float) -> str:
    """Labels at the right end stay inside."""
    return "end" if x > scale.end - 12 else "middle"


def figure(draw: Draw, *before: Markup, caption: object = None) -> Markup:
    """A chart at both sizes, with a legend before and a caption below."""
    told = tag("figcaption", caption) if caption else None
    return tag("figure", *before, draw(WIDE), draw(NARROW), told)


def legend(**kinds: str) -> Markup:
    """What the colours stand for."""
    return tag(
        "p",
        [tag("span", tag("i", class_=kind.replace("_", "-")), words) for kind, words in kinds.items()],
        class_="legend",
    )


@dataclass(frozen=True)
class ScoreChart:
    """The histogram of scores: rows by score on logarithmic counts, the cut, and how rare a score is.

    ``binned`` counts rows (2, bins) between edges, those not marked and those marked; ``p_value`` says how often normal
    rows score as high, ``score_at`` which score a share of them reaches. Beyond the score ``observed`` that is an
    extrapolation, told down to a share of ``faintest``.
    """

    binned: Callable[[np.ndarray], np.ndarray]
    largest: float
    cut: float
    rows: int
    p_value: Callable[[np.ndarray], np.ndarray]
    score_at: Callable[[float], float]
    observed: float
    faintest: float

    def draw(self, width: int) -> Markup:
        frame = Frame(width, 340 if width == WIDE else 300, top=58)
        x = frame.across(0.0, self._high, **self._warp)
        edges = self._edges(x, 13 if width == WIDE else 10)
        counts = self.binned(edges)
        y = frame.up(FEWEST, max(float(counts.sum(0).max(initial=1)), 10.0) * 1.15, warp=np.log10)
        return frame.drawing(
            frame.beside(y, y.spaced([1.0, *(10.0**power for power in range(1, 12))], 14)),
            [self._bar(x, y, edges, place, counts) for place in np.flatnonzero(counts.sum(0)).tolist()],
            self._expected(x, y, edges),
            frame.below(x, self._ticks(x), "anomaly score, nats"),
            text("rows", 4, frame.top - 10, "tick", anchor="start") if width == WIDE else None,
            self._rarity(frame, x),
            self._threshold(frame, x),
            label=f"Histogram of {self.rows:,} scores up to {number(self.largest)}, cut at {number(self.cut)}",
        )

    @property
    def _reach(self) -> float:
        """A score that lies beyond nearly all normal rows."""
        return self.cut if np.isfinite(self.cut) and self.cut > 0 else 4 * self.score_at(0.5)

    @property
    def _warp(self) -> dict[str, Callable[..., np.ndarray]]:
        """Logarithmic where anomalies lie far beyond all others."""
        return {"warp": np.log1p} if self.largest > 4 * max(self._reach, 1e-9) else {}

    @property
    def _high(self) -> float:
        """The end of the axis, with a bar's room beyond the largest score."""
        end = max(self.largest, 1.15 * self._reach) or 1.0
        return float(np.expm1(1.03 * np.log1p(end))) if self._warp else 1.03 * end

    def _ticks(self, x: Scale) -> list[float]:
        if self._warp:
            return x.spaced(growing(self._high), LETTER * len(f"{self._high:,.0f}") + 6)
        return even(0.0, self._high, int((x.end - x.start) / 60))

    def _edges(self, x: Scale, apart: int) -> np.ndarray:
        """Edges of equal width on the page, one of them at the cut."""
        low, high = float(x.warp(0.0)), float(x.warp(x.high))
        step = (high - low) / max(1, int((x.end - x.start) / apart))
        anchor = float(x.warp(self.cut)) if np.isfinite(self.cut) and self.cut > 0 else 0.0
        places = anchor + step * np.arange(-int(anchor / step), int((high - anchor) / step) + 2)
        places = np.unique(np.clip(places, low, high))
        return np.expm1(places) if self._warp else places

    def _bar(self, x: Scale, y: Scale, edges: np.ndarray, place: int, counts: np.ndarray) -> Markup:
        plain, marked = (int(each) for each in counts[:, place])
        left, right = float(x(edges[place])) + 0.5, float(x(edges[place + 1])) - 0.5
        told = f"score {number(edges[place])} to {number(edges[place + 1])}: {plain + marked:,} rows"
        told += f", {marked:,} of them marked" if marked else ""
        middle = float(y(float(plain))) if plain else y.start
        top = float(y(float(plain + marked)))
        bars = [("plain", middle, y.start), ("marked", top, middle)]
        return tag("g", tag("title", told), [_column(left, right, *each) for each in bars])

    def _expected(self, x: Scale, y: Scale, edges: np.ndarray) -> Markup | None:
        """A staircase of the rows that would fall into each bin if all were normal."""
        expected = -np.diff(self.p_value(edges)) * self.rows
        steps = [
            f"{'L' if drawn else 'M'}{x(left):.1f} {y(max(rows, FEWEST)):.1f}H{x(right):.1f}"
            for left, right, rows, drawn in zip(edges, edges[1:], expected, np.arange(len(expected)) > 0, strict=False)
        ]
        last = np.flatnonzero(expected > FEWEST)
        return tag("path", d="".join(steps[: last[-1] + 2]), class_="expected") if len(last) else None

    def _rarity(self, frame: Frame, x: Scale) -> Markup:
        """The upper axis: the share of normal rows that score at least as high."""
        shares = [0.5, *(10.0**-power for power in range(1, 16))]
        spots = {share: self.score_at(share) for share in shares if share >= self.faintest}
        shown = x.spaced([score for score in spots.values() if score <= self._high * 0.99], 52)
        line = {"y1": frame.top - 20, "y2": frame.top - 20}
        known = float(x(self.observed))
        return joined(
            tag("line", x1=frame.left, x2=known, class_="axis", **line),
            tag("line", x1=known, x2=frame.end, class_="axis guess", **line),
            text("share of normal rows that score at least this high", frame.left, 12, "title", anchor="start"),
            [_share(share, float(x(score)), frame) for share, score in spots.items() if score in shown],
        )

    def _threshold(self, frame: Frame, x: Scale) -> Markup | None:
        if not np.isfinite(self.cut) or self.cut <= 0:
            return None
        place = float(x(self.cut))
        right = place + 150 < frame.end
        spot, anchor = (place + 6, "start") if right else (place - 6, "end")
        line = tag("line", x1=place, x2=place, y1=frame.top - 20, y2=frame.floor, class_="cut")
        return joined(line, text(f"threshold {number(self.cut)}", spot, frame.top + 4, "cut-label", anchor))


def _share(share: float, place: float, frame: Frame) -> Markup:
    words = f"{number(100 * share)}{THIN}%" if share >= 1e-3 else f"10{str(round(np.log10(share))).translate(RAISED)}"
    tick = tag("line", x1=place, x2=place, y1=frame.top - 20, y2=frame.top - 16, class_="axis")
    return joined(tick, text(words, place, frame.top - 25, "tick"))


RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _column(left: float, right: float, kind: str, top: float, bottom: float) -> Markup | None:
    if bottom - top < 0.05:
        return None
    return tag("rect", x=left, y=top, width=max(right - left, 0.6), height=bottom - top, class_=kind)


@dataclass(frozen=True)
class CurveChart:
    """Costs by epoch: of the training rows, and of the held-out rows where there are any; ``kept`` is marked."""

    train: Sequence[float]
    valid: Sequence[float] | None
    kept: int | None

    def draw(self, width: int) -> Markup:
        frame = Frame(width, 280 if width == WIDE else 240)
        costs = [*self.train, *(self.valid or ())]
        low, high = min(costs), max(costs)
        gap = 0.06 * (high - low) or 1.0
        x, y = frame.across(1.0, float(max(2, len(self.train)))), frame.up(low - gap, high + gap)
        return frame.drawing(
            frame.beside(y, even(low - gap, high + gap, 5)),
            _line(x, y, self.train, "training"),
            _line(x, y, self.valid, "held-out") if self.valid else None,
            self._best(frame, x, y),
            frame.below(x, self._ticks(width), "epoch"),
            text("nats per row", 4, 10, "tick", anchor="start"),
            label=f"Costs of {len(self.train)} epochs, from {number(self.train[0])} to {number(self.train[-1])}",
        )

    def _ticks(self, width: int) -> list[float]:
        found = [each for each in even(0, len(self.train), 10 if width == WIDE else 5) if each >= 1]
        return [1.0, *(each for each in found if each >= 0.06 * len(self.train) + 1 and each.is_integer())]

    def _best(self, frame: Frame, x: Scale, y: Scale) -> Markup | None:
        if self.kept is None or not self.valid:
            return None
        spot, level = float(x(self.kept)), float(y(self.valid[self.kept - 1]))
        anchor = "end" if spot > frame.end - 90 else "middle"
        label = text(f"kept: epoch {self.kept}", spot, level - 12, "cut-label plain-label", anchor)
        return joined(tag("circle", cx=spot, cy=level, r=4.5, class_="best"), label)


MOST_POINTS = 500  # of a line


def _line(x: Scale, y: Scale, values: Sequence[float], kind: str) -> Markup:
    places = np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST_POINTS)).round().astype(int))
    points = "L".join(f"{x(place + 1.0):.1f} {y(values[place]):.1f}" for place in places)
    alone = "h0.01" if len(places) == 1 else ""
    return tag("path", d=f"M{points}{alone}", class_=f"line {kind}")


@dataclass(frozen=True)
class GapChart:
    """A difference with its error of two standard errors, on an axis whose middle is no difference."""

    difference: float
    error: float
    better: tuple[str, str]  # what the left side means, and the right

    def draw(self, width: int) -> Markup:
        frame = Frame(width, 118, left=14, top=30, bottom=50)
        reach = max(abs(self.difference) + 2 * self.error, 1e-9) * 1.25
        x, level = frame.across(-reach, reach), (frame.top + frame.floor) / 2
        low, spot, high = (float(x(self.difference + side * 2 * self.error)) for side in (-1, 0, 1))
        zero = float(x(0.0))
        return frame.drawing(
            tag("line", x1=zero, x2=zero, y1=frame.top - 6, y2=frame.floor, class_="cut zero"),
            text(f"← {self.better[0]}", zero - 12, 14, "title", anchor="end"),
            text(f"{self.better[1]} →", zero + 12, 14, "title", anchor="start"),
            tag("line", x1=low, x2=high, y1=level, y2=level, class_="whisker"),
            tag("circle", cx=spot, cy=level, r=6, class_="best"),
            frame.below(x, even(-reach, reach, 8 if width == WIDE else 4), "difference, with two standard errors"),
            label=f"Difference {number(self.difference)}, plus or minus {number(2 * self.error)}",
        )


def spark(plain: np.ndarray, marked: np.ndarray, told: str) -> Markup:
    """A histogram the size of a word; the marked rows stand on top of the others."""
    total = plain + marked
    heights = np.sqrt(total / max(float(total.max(initial=0.0)), 1.0)) * 26
    share = np.divide(marked, total, out=np.zeros(len(total)), where=total > 0)
    step = min(120 / max(1, len(total)), 20)
    bars = {"marked": (28 - heights, heights * share), "plain": (28 - heights * (1 - share), heights * (1 - share))}
    drawn = [tag("path", d=_bars(step, *each), class_=kind) for kind, each in bars.items() if each[1].any()]
    return tag("svg", tag("title", told), drawn, viewBox="0 0 120 28", class_="spark", role="img", aria_label=told)


def _bars(step: float, tops: np.ndarray, heights: np.ndarray) -> str:
    width = max(step - 0.8, step * 0.6)
    return "".join(
        f"M{place * step:.1f} {top:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z"
        for place, (top, height) in enumerate(zip(tops, heights, strict=True))
        if height > 0
    )


def bar(start: float, share: float, kind: str) -> Markup:
    """A bar from ``start`` over ``share`` of its cell, both in parts of 1."""
    left, wide = f"{100 * start:.2f}%", f"{max(100 * share, 0.4):.2f}%"
    track = tag("rect", x=0, y=0, width="100%", height="100%", rx=2, class_="track")
    filled = tag("rect", x=left, y=0, width=wide, height="100%", rx=2, class_=kind)
    return tag("svg", track, filled, class_="bar", aria_hidden="true")
