"""The report of an imputer: which gaps were filled, and with what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diabolo.readers import Source
from diabolo.report import model, pictures
from diabolo.report.charts import bar
from diabolo.report.findings import Completion, Seen
from diabolo.report.markup import Markup, cell, joined, name, tag
from diabolo.report.page import Page, Section, paragraph, table, tile, tiles
from diabolo.report.words import count, number, percent, value
from diabolo.stream import feed
from diabolo.tasks.comparison import pca
from diabolo.tasks.imputer import Imputer

MOST_CELLS = 6  # filled values shown of an example


def report(imputer: Imputer, seen: Seen, source: Source) -> Page:
    """Everything about one imputer and one data set."""
    completion = Completion(imputer, seen)
    feed(imputer, source, completion.add)
    sections = [
        _gaps(completion),
        _examples(completion) if completion.examples else None,
        model.comparison(imputer),
        model.training(imputer),
        model.diagnosis(seen),
        model.columns(seen),
        model.card(imputer, _limits(completion), {"Trips": str(imputer.trips_)}),
    ]
    headline = _headline(completion)
    return Page(f"{headline} – {seen.name}", headline, _lead(completion), [each for each in sections if each])


def by_source(completion: Completion) -> dict[str, int]:
    """Missing values of each column of the user's that the model reads."""
    counts: dict[str, int] = {}
    for column, missing in zip(completion.schema.columns, completion.seen.gaps.missing.tolist(), strict=True):
        counts[column.source] = max(counts.get(column.source, 0), missing)
    return counts


def _headline(completion: Completion) -> str:
    gaps = sum(by_source(completion).values())
    if not completion.seen.rows:
        return "There are no rows to complete"
    return f"{count(gaps, 'gap')} filled" if gaps else "Nothing was missing"


def _lead(completion: Completion) -> Markup:
    filled, told = by_source(completion), completion.imputer.comparison_
    gaps, incomplete = sum(filled.values()), completion.incomplete
    share, of_rows = gaps / max(1, completion.seen.gaps.rows * len(filled)), incomplete / max(1, completion.seen.rows)
    said = (
        f" has {count(completion.seen.rows, 'row')}; {count(incomplete)} of them lack a value that the model can fill. "
        "Values that were there are returned untouched."
    )
    return joined(
        paragraph(name(completion.seen.name), said, kind="lead"),
        tiles(
            tile(count(gaps), "values filled", f"{percent(share)} of all"),
            tile(count(incomplete), "incomplete rows", f"{percent(of_rows)} of the rows"),
            tile(count(sum(map(bool, filled.values()))), "columns with gaps", f"of {len(filled)}"),
            tile(number(told["deep"], 2), "error of a guess", f"{pca(told)}: {number(told['linear'], 2)}"),
        ),
    )


def _gaps(completion: Completion) -> Section:
    """Where values were missing."""
    filled = {column: missing for column, missing in by_source(completion).items() if missing}
    ranked = sorted(filled.items(), key=lambda entry: -entry[1])[: model.MOST_COLUMNS]
    if not ranked:
        return Section(
            "gaps", "Gaps", "Gaps by column", paragraph("No value was missing in the columns that the model reads.")
        )
    total = completion.seen.gaps.rows
    rows = [
        [
            name(column),
            bar(0.0, missing / total, "marked"),
            tag("span", count(missing), data_sort=str(missing)),
            tag("span", percent(missing / total), data_sort=f"{missing / total:.9f}"),
        ]
        for column, missing in ranked
    ]
    whole = len(by_source(completion)) - len(filled)
    told = paragraph(
        "Bars are shares of the values of a column. ", f"{count(whole, 'column')} had no gap." if whole else ""
    )
    return Section(
        "gaps",
        "Gaps",
        "Gaps by column",
        joined(told, table(["column", "", "filled", "share"], rows, (2, 3), "sortable blame")),
    )


def _examples(completion: Completion) -> Section:
    """The first completed rows."""
    scales = model.scales(completion.schema)
    told = [_cells(filled, scales) for _, filled in completion.examples]
    if completion.grids:
        told = [pictures.restored(completion.imputer, *each, gaps=1.0)[0] for each in completion.grids]
    rows = [[f"{row:,}", each] for (row, _), each in zip(completion.examples, told, strict=True)]
    words = paragraph("The first rows that were completed, with what was filled in. Rows are counted from 0.")
    return Section(
        "examples", "Examples", "Examples", joined(words, table(["row", "filled in"], rows, kind="examples"))
    )


def _cells(filled: dict[str, Any], scales: Mapping[str, float]) -> Markup:
    shown = [
        tag("span", name(column, 40), " ", tag("b", cell(value(told, scales.get(column, 0.0)))))
        for column, told in list(filled.items())[:MOST_CELLS]
    ]
    hidden = len(filled) - len(shown)
    return joined(shown, tag("span", f"and {hidden} more") if hidden else None)


def _limits(completion: Completion) -> list[Markup | str]:
    return [
        *model.unseen(completion.schema),
        "A filled value is one best guess: completed columns vary less than true ones, so do not take spreads, "
        "correlations or p-values from them.",
        "It assumes that whether a value is missing depends on what is there in the row, not on the missing value.",
    ]
