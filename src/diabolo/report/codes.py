"""The report of an embedder: what the codes keep, how their numbers lie, and which rows are near each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from diabolo.errors import InvalidData
from diabolo.evaluate import Estimate, embedding
from diabolo.readers import Source
from diabolo.report import model, numbers, pictures, rows
from diabolo.report.charts import bar, figure
from diabolo.report.encoded import Encoded, explained
from diabolo.report.findings import Seen
from diabolo.report.maps import Colouring, KindMap, flat
from diabolo.report.markup import Markup, joined, name, tag
from diabolo.report.page import Page, Section, paragraph, table, tile, tiles
from diabolo.report.words import count, number, percent
from diabolo.schema import Column
from diabolo.stream import feed
from diabolo.tasks.comparison import pca
from diabolo.tasks.embedder import Embedder

ASKED, NEAR = 4, 4  # rows whose nearest ones are shown, and how many of them
SHOWN = 8  # images that are shown restored
FEWEST = 5  # rows of a label that can be told from neighbours


def report(embedder: Embedder, seen: Seen, source: Source) -> Page:
    """Everything about one embedder and one data set."""
    feed(embedder, source, seen.add)
    found = Encoded(embedder, seen)
    several = seen.rows > 1
    sections = [
        _kept(found) if seen.rows else None,
        _restored(found) if seen.rows and seen.schema.grid else None,
        _map(found) if several else None,
        _labelled(found) if several and seen.labels else None,
        _near(found) if several else None,
        numbers.section(found) if several else None,
        model.comparison(embedder),
        model.training(embedder),
        model.diagnosis(seen),
        model.columns(seen),
        model.card(embedder, _limits(found), {"Numbers of a code": count(len(found.names))}),
    ]
    headline = _headline(found)
    return Page(f"{headline} – {seen.name}", headline, _lead(found), [each for each in sections if each])


def _headline(found: Encoded) -> str:
    if not found.seen.rows:
        return "There are no rows to embed"
    values, width = math.prod(found.seen.schema.shape), count(len(found.names), "number")
    return f"{count(found.seen.rows, 'row')} of {count(values, 'value')}, told by {width} each"


def _lead(found: Encoded) -> Markup:
    said = (
        " was read row by row; each row became its code, and codes were turned back into rows to see what they keep. "
        "Rows with near codes are alike to the model."
    )
    deep, linear = found.overall if found.seen.rows else (0.0, 0.0)
    drawn, all_ = len(found.x), found.seen.rows
    return joined(
        paragraph(name(found.seen.name), said, kind="lead"),
        tiles(
            tile(count(all_), "rows", f"figures from {count(drawn)} of them" if drawn < all_ else None),
            tile(count(len(found.names)), "numbers per row", f"for {count(math.prod(found.seen.schema.shape))} values"),
            tile(percent(max(deep, 0.0)), "kept by the codes", "of what differs between rows"),
            tile(percent(max(linear, 0.0)), "kept by PCA", pca(found.embedder.comparison_)),
        ),
    )


def _kept(found: Encoded) -> Section:
    """Which columns the codes keep, and which they lose."""
    deep, linear = found.kept
    order = np.argsort(np.nan_to_num(-deep, nan=np.inf), kind="stable")[: model.MOST_COLUMNS]
    listed = [_kept_row(found, place) for place in order.tolist()]
    told = paragraph(
        "How well each column is restored from the codes. Kept is the share of its variance that is not lost (of a "
        "category: of the mistakes of always naming the most frequent one); 0 is no better than not looking at the "
        f"row. Beside it what {pca(found.embedder.comparison_)} keeps."
    )
    heads = ["column", "", "kept", "PCA", "usual error"]
    body = joined(told, table(heads, listed, (2, 3, 4), "sortable blame kept"), _verdict(deep, linear))
    return Section("kept", "What is kept", "What the codes keep of each column", body)


def _kept_row(found: Encoded, place: int) -> list[object]:
    column, (deep, linear) = found.seen.schema.columns[place], found.kept
    return [
        name(column.name, 40),
        bar(0.0, float(np.clip(np.nan_to_num(deep[place]), 0, 1)), "plain"),
        _share(deep[place]),
        _share(linear[place]),
        _usual(column, float(found.errors[0][place])),
    ]


def _share(kept: float) -> Markup:
    if not np.isfinite(kept):
        return tag("span", "–", class_="none", data_sort="-9")
    told = percent(float(kept)) if kept > 0 else "0" if kept > -0.005 else "worse"
    return tag("span", told, data_sort=f"{kept:.9f}")


def _usual(column: Column, error: float) -> str:
    """The error of a column in its own units: the root mean square, or how often the category is wrong."""
    if column.kind in ("category", "boolean"):
        return f"wrong in {percent(error)}"
    root = math.sqrt(max(error, 0.0))
    if column.kind == "count":
        return f"factor {number(math.exp(min(root * column.scale, 50.0)), 3)}"
    return f"± {number(root * column.scale, 3)}{' s' if column.part == 'elapsed' else ''}"


def _verdict(deep: np.ndarray, linear: np.ndarray) -> Markup | None:
    """How many columns are lost, and how many are restored better than by PCA."""
    known = np.isfinite(deep)
    if known.sum() < 2:
        return None
    lost, better = int((deep[known] < 0.5).sum()), int((deep[known] > linear[known]).sum())
    still = int((~known).sum())
    told = f"Lost by more than half: {count(lost)} of {count(int(known.sum()), 'column')}. "
    told += f"Kept better than by PCA: {count(better)}."
    told += f" {count(still, 'column')} did not vary in these rows." if still else ""
    return paragraph(told, kind="note")


def _restored(found: Encoded) -> Section:
    """Images or series beside what their codes say of them."""
    given = found.seen.sample.table.slice(0, SHOWN)
    pairs = pictures.restored(found.embedder, given, found.embedder.reconstruct(given), ("restored", "lost"))
    listed = [[f"{row:,}", each] for row, each in zip(found.seen.sample.numbers[:SHOWN].tolist(), pairs, strict=True)]
    told = paragraph("Rows drawn at random, what their codes restore, and where something was lost, by its share.")
    shown = table(["row", "restored"], listed, kind="examples")
    return Section("restored", "Restored", "Restored from the codes", joined(told, shown))


def _map(found: Encoded) -> Section:
    """The codes on a plane, each in a colour."""
    points, titles, share = flat(found.z)
    what, values = _coloured_by(found, points)
    colouring = Colouring.of(values)
    by = joined("Coloured by ", name(what), ". ") if what else ""
    why = "" if found.seen.labels or not what else "Of all columns it lies most in order on this map. "
    told = f"A flat view of the codes of {count(len(points), 'row')}; it keeps {percent(share)} of their spread. "
    body = joined(
        paragraph(told, by, why),
        figure(KindMap(points, colouring, titles).draw, *filter(None, [colouring.legend()])),
        paragraph("Rows beside each other here may be far apart in directions that are not shown.", kind="note"),
    )
    return Section("map", "Map", "Map of the codes", body)


def _coloured_by(found: Encoded, points: np.ndarray) -> tuple[str, Sequence[object]]:
    """The labels, or else the column that lies most in order on the map."""
    table_ = found.seen.sample.table
    if found.seen.labels:
        return found.seen.labels, table_[found.seen.labels].to_pylist()
    if found.seen.schema.grid:
        return "", [None] * len(points)
    told = explained(points, *found.features)
    plain = [column.part == "value" and column.source in table_.schema.names for column in found.seen.schema.columns]
    best = int(np.where(plain, told, -1.0).argmax())
    if told[best] <= 0 or not plain[best]:
        return "", [None] * len(points)
    source = found.seen.schema.columns[best].source
    return source, table_[source].to_pylist()


def _labelled(found: Encoded) -> Section:
    """How well codes tell labels that somebody gave, and how well those of PCA do."""
    values = found.seen.sample.table[found.seen.labels].to_pylist()
    there = [each for each in values if each is not None and each == each]
    counts = Counter(there)
    usable = np.array([counts.get(each, 0) >= FEWEST for each in values])
    labels = [each for each, good in zip(values, usable, strict=True) if good]
    told = paragraph(
        "How many rows are told right from their codes, in 5 parts of which each is told by the others; beside them "
        f"those of {pca(found.embedder.comparison_)}."
    )
    return Section("labels", "Labels", "Compared with known labels", joined(told, _told(found, labels, usable)))


def _told(found: Encoded, labels: Sequence[object], usable: np.ndarray) -> Markup:
    try:
        deep, linear = (embedding(pa.array(labels), each[usable]) for each in (found.z, found.linear))
    except InvalidData:
        return paragraph(
            f"There is nothing to compare: labels of two kinds or more are needed, each for {FEWEST} rows or more.",
            kind="verdict",
        )
    words = {"knn_accuracy": "by the 5 nearest codes", "linear_probe_accuracy": "by a linear model of the codes"}
    listed = [_figure(words[key], deep[key], linear[key]) for key in words]
    usual = max(Counter(labels).values()) / len(labels)
    left_out = len(usable) - int(usable.sum())
    note = f"Always naming the most frequent label is right in {percent(usual)}. "
    note += f"{count(left_out, 'row')} with a missing or rare label were left out." if left_out else ""
    heads = ["told right", "codes", "", "95 % interval", "PCA"]
    return joined(model.learned(found.seen), table(heads, listed, (1, 3, 4), "figures"), paragraph(note, kind="note"))


def _figure(words: str, deep: Estimate, linear: Estimate) -> list[object]:
    interval = f"{percent(deep.low)} to {percent(deep.high)}"
    return [words, percent(deep.value), bar(0.0, deep.value, "plain"), interval, percent(linear.value)]


def _near(found: Encoded) -> Section:
    """Some rows with those whose codes are nearest."""
    table_, order = found.seen.sample.table, found.seen.sample.numbers
    near, away = nearest(found.z, np.arange(min(ASKED, len(found.z))), NEAR)
    places = np.column_stack((np.arange(len(near)), near))
    picked = rows.taken(table_, places.ravel())
    if found.seen.schema.grid:
        words = [["asked", *(number(each, 3) for each in line)] for line in away.tolist()]
        groups = [f"Row {order[line[0]]:,}" for line in places for _ in line]
        body = rows.grouped(found.seen, picked, groups, [each for line in words for each in line])
    else:
        told = [
            _line(int(order[place]), far)
            for line, each in zip(places, away, strict=True)
            for place, far in zip(line, [None, *each.tolist()], strict=True)
        ]
        body = rows.listed(found.seen, picked, ["row", "distance"], told, _best_kept(found))
    said = (
        f"Some rows, drawn at random, each with the {near.shape[1]} of {count(len(found.z))} with the nearest codes. "
    )
    said += "Rows are counted from 0; distances are those between codes."
    return Section("near", "Neighbours", "Which rows are near each other", joined(paragraph(said), body))


def _line(row: int, far: float | None) -> list[object]:
    if far is None:
        return [tag("b", f"{row:,}", class_="asked"), "asked"]
    return [f"{row:,}", number(far, 3)]


def _best_kept(found: Encoded) -> list[str]:
    """The user's columns, those that the codes keep best first."""
    order = np.argsort(np.nan_to_num(-found.kept[0], nan=np.inf), kind="stable")
    return list(dict.fromkeys(found.seen.schema.columns[place].source for place in order.tolist()))


def nearest(z: np.ndarray, asked: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of the codes nearest to those asked for, themselves left out, and their distances, (asked, count).

    >>> nearest(np.array([[0.0], [3.0], [4.0]]), np.array([0]), 1)
    (array([[1]]), array([[3.]]))
    """
    away = np.sqrt(np.square(z[asked, None] - z[None]).sum(2))
    away[np.arange(len(asked)), asked] = np.inf
    order = np.argsort(away, 1, kind="stable")[:, : min(count, len(z) - 1)]
    return order, np.take_along_axis(away, order, 1)


def _limits(found: Encoded) -> list[Markup | str]:
    return [
        *model.unseen(found.seen.schema),
        "Distances between codes are those of the model, not of the world: columns that are not kept play no part.",
        "The axes of a code have no meaning of their own, unless the variant gives them one.",
    ]
