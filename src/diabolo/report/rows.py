"""Rows of the data as a page shows them: a table of the columns that tell most, or pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa

from diabolo.grids import is_grid, pixels
from diabolo.report import model, pictures
from diabolo.report.findings import Seen
from diabolo.report.markup import Markup, cell, joined, name, tag
from diabolo.report.page import table
from diabolo.report.words import value

MOST_SHOWN = 8  # columns of a row that are shown
UNREAD = 2  # of them, at most, columns that the model does not read, such as ids


def columns(seen: Seen, rows: pa.Table, first: Sequence[str] = ()) -> list[str]:
    """The names of the columns to show: labels, a few that the model does not read, then those ``first`` and others."""
    read = list(dict.fromkeys([*first, *(column.source for column in seen.schema.columns)]))
    names = [field.name for field in rows.schema if not is_grid(field.type)]
    once = [each for each in names if names.count(each) == 1]
    unread = [each for each in once if each not in read and each != seen.labels][:UNREAD]
    labels = [seen.labels] if seen.labels in once else []
    return [*labels, *unread, *(each for each in read if each in once and each not in labels)][:MOST_SHOWN]


def cells(seen: Seen, rows: pa.Table, names: Sequence[str]) -> list[list[Markup]]:
    """The values of each row in these columns."""
    scales = model.scales(seen.schema)
    told = [[cell(value(each, scales.get(key, 0.0)), 24) for each in rows[key].to_pylist()] for key in names]
    return [list(each) for each in zip(*told, strict=True)] if names else [[] for _ in range(len(rows))]


def listed(
    seen: Seen, rows: pa.Table, heads: Sequence[str], told: Sequence[Sequence[object]], first: Sequence[str] = ()
) -> Markup:
    """Rows as a table, each with what is ``told`` of it under ``heads`` before its values."""
    names = columns(seen, rows, first)
    shown = [[*before, *each] for before, each in zip(told, cells(seen, rows, names), strict=True)]
    return table([*heads, *names], shown, kind="rows")


def drawn(seen: Seen, rows: pa.Table, words: Sequence[str]) -> Markup:
    """Rows that are images or series as pictures side by side, each with a word below it."""
    return tag("div", pictures.gallery(seen.schema, pixels(rows, seen.schema), words), class_="gallery")


def grouped(seen: Seen, rows: pa.Table, groups: Sequence[str], words: Sequence[str]) -> Markup:
    """Pictures under the name of their group; rows of a group follow each other."""
    parts, start = [], 0
    for group, each in groupby(groups):
        end = start + len(list(each))
        picked = drawn(seen, rows.slice(start, end - start), words[start:end])
        parts.append(tag("div", tag("p", tag("b", name(group))), picked, class_="group"))
        start = end
    return joined(parts)


def taken(rows: pa.Table, places: np.ndarray | Sequence[int]) -> pa.Table:
    """The rows at these places, in their order."""
    return rows.take(pa.array(np.asarray(places, dtype=np.int64)))
