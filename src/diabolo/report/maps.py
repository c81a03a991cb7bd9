"""Maps: codes on a plane, as a cloud with marked rows on it, or each in the colour of its kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import numpy as np

from diabolo.report.charts import WIDE, Frame, text
from diabolo.report.markup import Markup, joined, tag
from diabolo.report.scales import Scale
from diabolo.report.words import fixed, number, percent, value

ROOM = 0.6  # of the spread of the cloud, left around it for the marked rows
COLOURS = 10  # kinds that are told apart by colour
BANDS = 5  # colours of numbers, from low to high
FEW = 600  # points that are drawn larger
TURNS = 8  # times that each kind is drawn, a part of it at a time, so that none covers the others
TINY = 1e-12  # in place of a sum of 0


@dataclass(frozen=True)
class Spot:
    """A marked row on the map."""

    x: float
    y: float
    row: int
    score: float
    rank: int
    told: bool  # whether the page explains it


@dataclass(frozen=True)
class MapChart:
    """Codes in their two main directions: a cloud of rows (n, 2), and the marked ones on top."""

    cloud: np.ndarray
    spots: Sequence[Spot]
    titles: tuple[str, str]

    def draw(self, width: int) -> Markup:
        frame = _frame(width)
        x, y = self._spans(frame)
        return frame.drawing(
            _field(frame, self.titles),
            tag("path", d=dots(x, y, self.cloud), class_="cloud"),
            [self._mark(x, y, spot) for spot in reversed(self.spots)],
            label=f"Map of {len(self.cloud)} rows, and {len(self.spots)} marked ones",
        )

    @property
    def far(self) -> int:
        """Marked rows beyond the frame."""
        return sum(map(self._is_far, self.spots))

    @cached_property
    def _ends(self) -> np.ndarray:
        """Left and lower end, right and upper end (2, 2): room for the cloud and for the marked rows near it."""
        marked = np.array([(each.x, each.y) for each in self.spots]).reshape(-1, 2)
        core = self.cloud if len(self.cloud) else marked
        (low, high), most = np.quantile(core, [0.005, 0.995], axis=0), np.concatenate([core, marked])
        room, near = ROOM * (high - low), np.quantile(marked, [0.02, 0.98], axis=0) if len(marked) else [low, high]
        low = np.maximum(most.min(0), np.minimum(low - room, near[0]))
        high = np.minimum(most.max(0), np.maximum(high + room, near[1]))
        gap = np.where(high > low, 0.04 * (high - low), 1.0)
        return np.array([low - gap, high + gap])

    def _spans(self, frame: Frame) -> tuple[Scale, Scale]:
        (left, bottom), (right, top) = self._ends
        return frame.across(left, right), frame.up(bottom, top)

    def _is_far(self, spot: Spot) -> bool:
        place = np.array([spot.x, spot.y])
        return bool(((place < self._ends[0]) | (place > self._ends[1])).any())

    def _mark(self, x: Scale, y: Scale, spot: Spot) -> Markup:
        a, b, far = float(x(spot.x)), float(y(spot.y)), self._is_far(spot)
        told = f"row {spot.row:,}: score {fixed(spot.score)} nats" + (", beyond the frame" if far else "")
        dot = tag("circle", tag("title", told), cx=a, cy=b, r=4.2, class_="mark far" if far else "mark")
        if not spot.told:
            return dot
        beside, anchor = (a + 6, "start") if a < x.end - 24 else (a - 6, "end")
        rank = text(str(spot.rank), beside, max(b - 5, y.end + 14), "rank", anchor) if spot.rank <= 5 else None
        return tag("a", dot, rank, href=f"#row-{spot.row}")


@dataclass(frozen=True)
class Colouring:
    """Which kind each row is of, (n,), -1 for none; ``names`` of the kinds, which have an order if ``ordered``."""

    kinds: np.ndarray
    names: Sequence[str]
    ordered: bool = False

    @classmethod
    def of(cls, values: Sequence[Any]) -> Self:
        """By the values of a column: numbers in five bands of as many rows each, others by name, the most frequent.

        >>> Colouring.of(["b", "a", "b", None]).names, Colouring.of(["b", "a", "b", None]).kinds.tolist()
        (['b', 'a'], [0, 1, 0, -1])
        """
        there = [each for each in values if each is not None and each == each]
        plain = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in there)
        if plain and len(set(there)) > COLOURS:
            return cls._banded(np.array([np.nan if each is None else each for each in values], dtype=np.float64))
        counts = Counter(there)
        kept = sorted(counts, key=lambda each: (-counts[each], str(each)))[:COLOURS]
        kept = sorted(kept) if plain else kept
        places = {each: place for place, each in enumerate(kept)}
        return cls(np.array([places.get(each, -1) for each in values], dtype=np.int64), [value(each) for each in kept])

    @classmethod
    def _banded(cls, values: np.ndarray) -> Self:
        known = values[~np.isnan(values)]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BANDS + 1)))
        bands = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
        names = [f"{number(low, 3)} to {number(high, 3)}" for low, high in pairwise(edges)]
        return cls(np.where(np.isnan(values), -1, bands), names, ordered=True)

    def style(self, kind: int) -> str:
        """The class of the colour of a kind; beyond ten kinds colours come again."""
        if not self.names:
            return "k-all"
        return "k-none" if kind < 0 else f"band-{kind}" if self.ordered else f"k-{kind % COLOURS}"

    def legend(self) -> Markup | None:
        """What the colours stand for; nothing where kinds share them."""
        if len(self.names) > COLOURS:
            return None
        shown = [(self.style(kind), words) for kind, words in enumerate(self.names)]
        shown += [("k-none", "other or missing")] if (self.kinds < 0).any() and shown else []
        return tag("p", [tag("span", tag("i", class_=style), words[:40]) for style, words in shown], class_="legend")


@dataclass(frozen=True)
class KindMap:
    """Rows as points (n, 2), each in the colour of its kind; where ``named``, the kinds' names stand among them."""

    points: np.ndarray
    colouring: Colouring
    titles: tuple[str, str]
    named: Sequence[str] = ()

    def draw(self, width: int) -> Markup:
        frame = _frame(width)
        low, high = self.points.min(0), self.points.max(0)
        size = " large" if len(self.points) < FEW else ""
        gap = np.where(high > low, 0.04 * (high - low), 1.0)
        x, y = frame.across(low[0] - gap[0], high[0] + gap[0]), frame.up(low[1] - gap[1], high[1] + gap[1])
        return frame.drawing(
            _field(frame, self.titles),
            [
                tag("path", d=dots(x, y, part), class_=f"dots{size} {self.colouring.style(kind)}")
                for kind, part in self._parts()
            ],
            [self._name(x, y, kind, words) for kind, words in enumerate(self.named)],
            label=f"Map of {len(self.points)} rows",
        )

    def _parts(self) -> list[tuple[int, np.ndarray]]:
        """The points of each kind in a few parts, the parts of all kinds in turn."""
        cut = {
            kind: np.array_split(self.points[self.colouring.kinds == kind], TURNS)
            for kind in np.unique(self.colouring.kinds)
        }
        return [(int(kind), parts[turn]) for turn in range(TURNS) for kind, parts in cut.items() if len(parts[turn])]

    def _name(self, x: Scale, y: Scale, kind: int, words: str) -> Markup | None:
        own = self.points[self.colouring.kinds == kind]
        if not len(own):
            return None
        middle = np.median(own, 0)
        a, b = own[np.square(own - middle).sum(1).argmin()]
        return text(words, float(x(a)), float(y(b)) + 4, "kind")


def flat(codes: np.ndarray) -> tuple[np.ndarray, tuple[str, str], float]:
    """Codes (n, width) seen from where they are widest, (n, 2), titles of both axes, the share of the spread kept."""
    centred = codes - codes.mean(0)
    axes, shares = directions(centred)
    first, second = (f"{percent(share)} of the spread" for share in shares)
    return centred @ axes, (f"first direction, {first}", f"second direction, {second}"), sum(shares)


def directions(centred: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """The two main directions (width, 2) of centred rows (n, width), and their shares of the spread.

    >>> directions(np.array([[-2.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]))[1]
    (0.8, 0.2)
    """
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    spread = np.append(np.square(sizes), [0.0, 0.0])[:2] / max(float(np.square(sizes).sum()), TINY)
    found = np.zeros((centred.shape[1], 2))
    found[:, : len(axes[:2])] = axes[:2].T
    return found * np.where(found.sum(0) < 0, -1, 1), (float(spread[0]), float(spread[1]))


def dots(x: Scale, y: Scale, points: np.ndarray) -> str:
    """Points (n, 2) as one path."""
    return "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x(points[:, 0]), y(points[:, 1]), strict=True))


def _frame(width: int) -> Frame:
    return Frame(width, 460 if width == WIDE else 340, left=28, top=8, bottom=28)


def _field(frame: Frame, titles: tuple[str, str]) -> Markup:
    """The ground of a map, with the titles of its axes."""
    across, up = frame.end - frame.left, frame.floor - frame.top
    turned = f"translate(14 {(frame.top + frame.floor) / 2}) rotate(-90)"
    return joined(
        tag("rect", x=frame.left, y=frame.top, width=across, height=up, class_="field"),
        text(titles[0], (frame.left + frame.end) / 2, frame.height - 6, "title"),
        tag("text", titles[1], class_="title", text_anchor="middle", transform=turned),
    )
