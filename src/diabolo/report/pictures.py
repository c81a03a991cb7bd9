"""Images and series of a report: what was given, what the model makes of it, and where the two part."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from diabolo.grids import pixels
from diabolo.report.charts import text
from diabolo.report.markup import Markup, joined, tag
from diabolo.report.words import number
from diabolo.schema import Schema
from diabolo.tasks.anomaly_detector import AnomalyDetector
from diabolo.tasks.task import Task

LARGEST = 72  # cells along a side that are drawn; larger images are shrunk
SMALL = 40  # the same where many images stand side by side
CHANNELS = 4  # of a series that are drawn
MARK = np.array([207.0, 74.0, 51.0])  # the page's colour of what is marked
COLOURS = ("red", "green", "blue")
WIDTH, HEIGHT = 640, 90  # of the drawing of a series
BOXES = 320  # stretches of a series that are drawn apart


def strange(detector: AnomalyDetector, rows: pa.Table) -> Sequence[Markup | None]:
    """For each row that is an image or a series: itself, what the model makes of it, and where it is strange."""
    if not detector.preparation_.schema_.grid:
        return [None] * len(rows)
    return _shown(detector, rows, detector.reconstruct(rows), detector.explain(rows), "normal here", "where")


def restored(
    task: Task, given: pa.Table, made: pa.Table, words: tuple[str, str] = ("after", "changed"), gaps: float = 0.0
) -> list[Markup]:
    """Each row before and after, and where it was changed, in scales; a missing value counts as ``gaps`` of them."""
    schema = task.preparation_.schema_
    before, after = (pixels(rows, schema) for rows in (given, made))
    changed = np.where(np.isnan(before), gaps, np.abs(before - after) / _spread(schema))
    return _shown(task, given, made, changed, *words)


def _shown(task: Task, given: pa.Table, made: pa.Table, heat: np.ndarray, second: str, third: str) -> list[Markup]:
    schema = task.preparation_.schema_
    sides = zip(pixels(given, schema), pixels(made, schema), heat, strict=True)
    draw = _image if schema.kind == "image" else _series
    return [tag("div", draw(schema, *each, (second, third)), class_="pictures") for each in sides]


def _image(schema: Schema, given: np.ndarray, made: np.ndarray, heat: np.ndarray, words: tuple[str, str]) -> Markup:
    low, high = min(column.low for column in schema.columns), max(column.high for column in schema.columns)
    names = [column.source for column in schema.columns]
    before, after = (coloured(each, names, low, high) for each in (given, made))
    marked = heated(before, heat.sum(0))
    return joined([_framed(each, word) for each, word in zip((before, after, marked), ("given", *words), strict=True)])


def gallery(schema: Schema, rows: np.ndarray, words: Sequence[str]) -> list[Markup]:
    """Rows (n, channels, *grid) in the user's units as small pictures, each with a word below it."""
    if schema.kind == "image":
        low, high = min(column.low for column in schema.columns), max(column.high for column in schema.columns)
        names = [column.source for column in schema.columns]
        return [_framed(coloured(each, names, low, high, SMALL), word) for each, word in zip(rows, words, strict=True)]
    first = schema.columns[0]
    return [_thumb(each[0], first.low, first.high, word) for each, word in zip(rows, words, strict=True)]


def _thumb(values: np.ndarray, low: float, high: float, word: str) -> Markup:
    """The first channel of a series as a line."""
    line = _line(np.clip(values, low, high), low, high, "line training")
    drawn = tag("svg", line, viewBox=f"0 0 {WIDTH} {HEIGHT}", class_="thumb", preserveAspectRatio="none", role="img")
    return tag("figure", drawn, tag("figcaption", word))


def _framed(drawn: np.ndarray, word: str) -> Markup:
    source = f"data:image/png;base64,{b64encode(png(drawn)).decode()}"
    return tag("figure", tag("img", src=source, alt=word), tag("figcaption", word))


def coloured(values: np.ndarray, names: Sequence[str], low: float, high: float, largest: int = LARGEST) -> np.ndarray:
    """Channels (channels, height, width) as colours (height, width, 3), 0 to 255; the mean where there are no three.

    >>> coloured(np.array([[[0.0, 2.0]]]), ["grey"], 0, 2)[0, :, 0].tolist()
    [0.0, 255.0]
    """
    small = np.stack([shrunk(each, largest) for each in values])
    scaled = np.clip((np.nan_to_num(small, nan=low) - low) / ((high - low) or 1.0), 0, 1) * 255
    if set(COLOURS) <= set(names):
        return np.stack([scaled[names.index(each)] for each in COLOURS], -1)
    return np.repeat(scaled.mean(0)[..., None], 3, -1)


def heated(drawn: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The drawing in pale grey, and in the colour of what is marked where ``heat`` (height, width) is high."""
    small = np.maximum(shrunk(heat), 0)
    part = (small / (small.max() or 1.0))[..., None]
    pale = 150 + 0.4 * drawn.mean(-1, keepdims=True)
    return (1 - part) * pale + part * MARK


def shrunk(values: np.ndarray, largest: int = LARGEST) -> np.ndarray:
    """Means of equal boxes (height, width), so that no side has more than ``largest``; a side's rest is cut off."""
    box = -(-max(values.shape) // largest)
    height, width = (max(1, side // box) for side in values.shape)
    kept = values[: height * box, : width * box]
    return kept.reshape(height, kept.shape[0] // height, width, kept.shape[1] // width).mean((1, 3))


def png(drawn: np.ndarray) -> bytes:
    """An image (height, width, 3), from 0 to 255, as a PNG file."""
    lines = np.clip(np.rint(drawn), 0, 255).astype(np.uint8)
    raw = b"".join(b"\0" + line.tobytes() for line in lines)
    head = struct.pack(">IIBBBBB", drawn.shape[1], drawn.shape[0], 8, 2, 0, 0, 0)
    chunks = (_chunk(b"IHDR", head), _chunk(b"IDAT", zlib.compress(raw, 9)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _series(schema: Schema, given: np.ndarray, made: np.ndarray, heat: np.ndarray, words: tuple[str, str]) -> Markup:
    shown = zip(schema.columns[:CHANNELS], given, made, heat / (heat.max() or 1.0), strict=False)
    hidden = len(schema.columns) - CHANNELS
    more = tag("figcaption", f"and {hidden} further channels") if hidden > 0 else None
    drawn = [_channel(column.source, before, after, part, words) for column, before, after, part in shown]
    return joined(drawn, more)


def _channel(name: str, given: np.ndarray, made: np.ndarray, heat: np.ndarray, words: tuple[str, str]) -> Markup:
    """The channel as a line, what the model makes of it thinner, and bars behind where it counts."""
    both = np.concatenate([given, made])
    if np.isnan(both).all():
        return tag("figcaption", f"{name}: missing throughout")
    low, high = float(np.nanmin(both)), float(np.nanmax(both))
    heat = np.array([box.max() for box in np.array_split(heat, min(len(heat), BOXES))])
    step = WIDTH / len(heat)
    bars = [
        tag(
            "rect",
            x=f"{place * step:.1f}",
            y="0",
            width=f"{step:.1f}",
            height=HEIGHT,
            opacity=f"{part:.2f}",
            class_="marked",
        )
        for place, part in enumerate(heat)
        if part > 0.02
    ]
    lines = [_line(made, low, high, "line expected"), _line(given, low, high, "line training")]
    ends = [text(number(high), 4, 12, "tick", "start"), text(number(low), 4, HEIGHT - 4, "tick", "start")]
    drawn = tag("svg", bars, lines, ends, viewBox=f"0 0 {WIDTH} {HEIGHT}", class_="chart series", role="img")
    return tag("figure", drawn, tag("figcaption", f"{name}: given; {words[0]} (thin); {words[1]} (shaded)"))


def _line(values: np.ndarray, low: float, high: float, kind: str) -> Markup:
    """The values as a line with gaps where they are missing; a value between two gaps is a dot."""
    values = _ends(values)
    heights = 4 + (HEIGHT - 8) * (1 - (values - low) / ((high - low) or 1.0))
    step = WIDTH / len(values)
    there = np.r_[False, ~np.isnan(values), False]
    pieces = []
    for place, height in enumerate(heights):
        before, here, after = there[place : place + 3]
        if here:
            pieces.append(f"{'L' if before else 'M'}{(place + 0.5) * step:.1f} {height:.1f}")
            pieces += [] if before or after else ["h1"]
    return tag("path", d="".join(pieces), class_=kind)


def _ends(values: np.ndarray) -> np.ndarray:
    """The values, or of many the lowest and the highest of each box."""
    if len(values) <= 2 * BOXES:
        return values
    boxes = np.array_split(values, BOXES)
    return np.array([end.reduce(box) for box in boxes for end in (np.fmin, np.fmax)])


def _spread(schema: Schema) -> np.ndarray:
    return np.array([column.scale for column in schema.columns]).reshape(-1, *[1] * len(schema.grid))
