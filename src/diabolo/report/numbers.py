"""The numbers of a code: how wide each is, which go together, and which are dead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diabolo.evaluate import association
from diabolo.report import model
from diabolo.report.charts import bar, figure, spark
from diabolo.report.encoded import TINY, Encoded
from diabolo.report.heatmaps import HeatMap
from diabolo.report.markup import Markup, joined, name, tag
from diabolo.report.page import Section, paragraph, table
from diabolo.report.words import count, fixed, number

MOST_NUMBERS = 100  # of a code that are listed
MOST_CELLS = 60  # numbers along a side of the heat map
BINS = 24
WEAK = 0.2  # correlations below it are not drawn
STILL = 1e-6  # of the widest number of the code: what moves less is dead
ALIKE = 0.95  # correlation from which a number says nearly the same as another


def section(found: Encoded) -> Section:
    """The numbers of the codes: how wide each is, what it goes with, and which are dead or said twice."""
    spread, width = found.z.std(0), found.z.shape[1]
    shown = min(width, MOST_NUMBERS)
    dead = spread <= STILL * max(float(spread.max()), TINY)
    related = association(found.z[:, :shown], np.arange(shown))
    np.fill_diagonal(related, 0.0)
    twice = np.abs(related) > ALIKE
    follows = _follows(found, shown)
    listed = [_number(found, place, spread, related, follows) for place in range(shown)]
    told = (
        f"{count(int((~dead).sum()))} of {count(width, 'number')} move with the rows. Together they are worth about "
        f"{number(even(found.z), 2)} numbers of equal spread that have nothing in common. "
    )
    told += f"{count(int(twice.any(0).sum()))} say nearly the same as another one." if twice.any() else ""
    heads = ["number", "values", "", "spread", "goes with", *(["most of a column"] if follows else [])]
    body = joined(paragraph(told), table(heads, listed, (3,), "sortable numbers"), _heat(related, found.names))
    return Section("numbers", "The code", "The numbers of the code", body)


def _number(
    found: Encoded, place: int, spread: np.ndarray, related: np.ndarray, follows: Sequence[tuple[str, float]]
) -> list[object]:
    z, top = found.z[:, place], max(float(spread.max()), TINY)
    if spread[place] <= STILL * top:
        blank = [tag("span", "dead", class_="none"), *([""] if follows else [])]
        return [name(found.names[place]), None, None, number(float(spread[place]), 3), *blank]
    other = int(np.abs(related[place]).argmax())
    with_ = joined(name(found.names[other]), f" {fixed(related[place, other])}") if len(related) > 1 else "–"
    column = [joined(name(follows[place][0], 28), f" {fixed(follows[place][1])}")] if follows else []
    counts = np.histogram(z, BINS)[0]
    drawn = spark(counts, np.zeros(BINS), f"{number(z.min())} to {number(z.max())}")
    told = tag("span", number(float(spread[place]), 3), data_sort=f"{spread[place]:.9g}")
    return [name(found.names[place]), drawn, bar(0.0, float(spread[place]) / top, "plain"), told, with_, *column]


def _follows(found: Encoded, shown: int) -> list[tuple[str, float]]:
    """For each number the column that it goes with most; nothing for images and series."""
    if found.seen.schema.grid:
        return []
    features, owner = found.features
    few = owner < model.MOST_COLUMNS
    joint = np.column_stack((found.z[:, :shown], features[:, few]))
    told = association(joint, np.concatenate((np.arange(shown), owner[few] + shown)))[:shown, shown:]
    best = np.abs(told).argmax(1)
    return [(found.seen.schema.columns[one].name, float(told[i, one])) for i, one in enumerate(best.tolist())]


def _heat(related: np.ndarray, names: Sequence[str]) -> Markup | None:
    most = float(np.abs(related).max())
    if len(related) < 2:
        return None
    if most < WEAK:
        return paragraph(f"No two numbers of the code have a correlation beyond {fixed(most)}.", kind="note")
    few = related[:MOST_CELLS, :MOST_CELLS].copy()
    np.fill_diagonal(few, np.nan)
    words = names[: len(few)]
    chart = HeatMap(few, words, words, ("−1", "1"), f"Correlations of {len(few)} numbers of the code")
    return figure(chart.draw, caption="Correlations between the numbers of the code.")


def even(z: np.ndarray) -> float:
    """How many numbers of equal spread, unrelated, are as wide as these codes: ``(sum v)^2 / sum v^2`` of variances v.

    >>> float(round(even(np.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])), 6))
    2.0
    """
    variances = np.square(np.linalg.svd(z - z.mean(0), compute_uv=False))
    return float(variances.sum() ** 2 / max(float(np.square(variances).sum()), TINY))
