"""The report of a denoiser: what was changed, and by how much."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from diabolo.preparation.survey import scattered
from diabolo.readers import Source
from diabolo.report import model, pictures
from diabolo.report.charts import bar
from diabolo.report.findings import EXAMPLES, Kept, Seen, by_cell, natural
from diabolo.report.markup import Markup, joined, name, tag
from diabolo.report.page import Page, Section, paragraph, table, tile, tiles
from diabolo.report.words import count, number, percent, value
from diabolo.schema import Column
from diabolo.stream import feed
from diabolo.tasks.comparison import pca
from diabolo.tasks.denoiser import Denoiser

MOST_CELLS = 6  # changed values shown of an example


class Cleaning:
    """Everything that a denoiser's report says of the data, from one pass over it."""

    def __init__(self, denoiser: Denoiser, seen: Seen) -> None:
        self.denoiser, self.seen, self.schema = denoiser, seen, seen.schema
        self.given, self.made = Kept(EXAMPLES), Kept(EXAMPLES)
        self.squares, self.counts = np.zeros((2, len(self.schema.columns)))

    def add(self, rows: pa.Table) -> None:
        """Clean rows, and take in what became of them; those shown were drawn, not chosen."""
        first, cleaned = self.seen.rows, self.denoiser.transform(rows)
        x, y = self.seen.add(rows), self.denoiser.preparation_.transform(cleaned).numpy()
        for kept, table_ in ((self.given, rows), (self.made, cleaned)):
            kept.add(table_, -scattered(first, len(rows)), first)
        changed = by_cell(x.astype(np.float64)) - by_cell(y.astype(np.float64))
        self.squares += np.nansum(np.square(changed), 0)
        self.counts += (~np.isnan(changed)).sum(0)

    @property
    def changes(self) -> np.ndarray:
        """The root mean square change of each model column, prepared (in standard deviations for numbers)."""
        return np.sqrt(self.squares / np.maximum(self.counts, 1))


def report(denoiser: Denoiser, seen: Seen, source: Source) -> Page:
    """Everything about one denoiser and one data set."""
    cleaning = Cleaning(denoiser, seen)
    feed(denoiser, source, cleaning.add)
    sections = [
        _columns(cleaning),
        _examples(cleaning) if cleaning.seen.rows else None,
        model.comparison(denoiser),
        model.training(denoiser),
        model.diagnosis(seen),
        model.columns(seen),
        model.card(denoiser, _limits(cleaning), {}),
    ]
    headline = f"{count(cleaning.seen.rows, 'row')} cleaned"
    return Page(f"{headline} – {seen.name}", headline, _lead(cleaning), [each for each in sections if each])


def _lead(cleaning: Cleaning) -> Markup:
    told, kept = cleaning.denoiser.comparison_, cleaning.denoiser.keep_
    said = (
        " was cleaned: each value is now a mixture of what was given and of what the model makes of the row, in the "
        "proportion that served held-out rows best once noise was added to them. Missing values stay missing."
    )
    return joined(
        paragraph(name(cleaning.seen.name), said, kind="lead"),
        tiles(
            tile(count(cleaning.seen.rows), "rows"),
            tile(percent(float(kept.median())), "of a value is kept", "median of the columns"),
            tile(number(float(np.median(cleaning.changes)), 2), "typical change", "in standard deviations"),
            tile(number(told["deep"], 2), "error left", f"{pca(told)}: {number(told['linear'], 2)}"),
        ),
    )


def _columns(cleaning: Cleaning) -> Section:
    """What was kept of each column, and how much it changed."""
    order = np.argsort(-cleaning.changes, kind="stable")[: model.MOST_COLUMNS]
    largest = max(float(cleaning.changes.max(initial=0.0)), 1e-12)
    rows = [
        [
            name(cleaning.schema.columns[place].name),
            bar(0.0, float(cleaning.changes[place]) / largest, "marked"),
            tag("span", _amount(cleaning, place), data_sort=f"{cleaning.changes[place]:.9f}"),
            percent(float(cleaning.denoiser.keep_[place])),
        ]
        for place in order.tolist()
    ]
    told = paragraph("The change is the root of the mean squared difference, in the unit of the column.")
    shown = table(["column", "", "change", "kept of the given"], rows, (2, 3), "sortable blame")
    return Section("changes", "Changes", "Changes by column", joined(told, shown))


def _amount(cleaning: Cleaning, place: int) -> str:
    column = cleaning.schema.columns[place]
    return number(float(cleaning.changes[place]) * (column.scale if column.kind == "number" else 1.0))


def _examples(cleaning: Cleaning) -> Section:
    """Some rows, before and after."""
    given, made = cleaning.given.table, cleaning.made.table
    drawn = pictures.restored(cleaning.denoiser, given, made) if cleaning.schema.grid else _texts(cleaning, given, made)
    rows = [[f"{row:,}", each] for row, each in zip(cleaning.given.numbers.tolist(), drawn, strict=True)]
    told = paragraph("Rows drawn at random, before and after. Rows are counted from 0.")
    return Section(
        "examples", "Examples", "Examples", joined(told, table(["row", "what changed"], rows, kind="examples"))
    )


def _texts(cleaning: Cleaning, given: pa.Table, made: pa.Table) -> list[Markup]:
    """The values of each row that changed most."""
    columns, prepare = cleaning.schema.columns, cleaning.denoiser.preparation_.transform
    x, y = (prepare(each).numpy() for each in (given, made))
    told = []
    for before, after, changed in zip(x, y, np.nan_to_num(np.abs(x - y)), strict=True):
        places = [place for place in np.argsort(-changed, kind="stable")[:MOST_CELLS] if changed[place] > 0]
        told.append(joined([_changed(columns[place], before[place], after[place]) for place in places]))
    return told


def _changed(column: Column, before: float, after: float) -> Markup:
    words = [
        column.categories[int(each)] if column.kind == "category" else value(float(natural(column, np.array(each))))
        for each in (before, after)
    ]
    return tag("span", name(column.name, 40), f" {words[0]} → ", tag("b", words[1]))


def _limits(cleaning: Cleaning) -> list[Markup | str]:
    return [
        *model.unseen(cleaning.schema),
        "It takes away noise of the kind that it was trained against; other noise may stay, and fine detail may go.",
    ]
