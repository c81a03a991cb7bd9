"""The report of a synthesizer: new rows beside real ones, column by column, pair by pair and all together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import torch

from diabolo.evaluate import Estimate, association, copying, density_coverage, precision_recall
from diabolo.networks import Features
from diabolo.readers import Source
from diabolo.report import model, rows
from diabolo.report.charts import figure, legend
from diabolo.report.findings import SAMPLE, Seen, bounded, by_cell
from diabolo.report.heatmaps import HeatMap
from diabolo.report.markup import Markup, joined, name, tag
from diabolo.report.page import Page, Section, paragraph, table, tile, tiles
from diabolo.report.twins import Twin, by_chance, twins
from diabolo.report.words import count, fixed, percent
from diabolo.stream import feed
from diabolo.tasks.measures import told_apart
from diabolo.tasks.synthesizer import Synthesizer

FEWEST = 20  # real rows from which they can be cut in halves
CELLS = 20_000  # cells of images and series that are compared
DRAWN = 60  # columns that are drawn
PAIRED = 30  # columns of the heat map
PAIRS = 10  # pairs of columns that are listed
SHOWN, PICTURED = 10, 24  # new rows in the table, images on either side


@dataclass(frozen=True)
class Likeness:
    """The sample of a synthesizer's data and new rows, of which the first are as many as the sample has."""

    synthesizer: Synthesizer
    seen: Seen
    parted: tuple[np.ndarray, np.ndarray] | None

    @cached_property
    def new(self) -> pa.Table:
        """New rows, as many whatever the data."""
        return pa.Table.from_batches(self.synthesizer.batches(bounded(SAMPLE, self.seen.schema)))

    @cached_property
    def real_x(self) -> np.ndarray:
        return self.seen.prepared()

    @cached_property
    def new_x(self) -> np.ndarray:
        found: np.ndarray = self.synthesizer.preparation_.transform(self.new).numpy()
        return found

    @cached_property
    def twins(self) -> list[Twin]:
        """Each column of both, those most apart first."""
        found = twins(self.seen.schema.columns, _cells(self.real_x), _cells(self.new_x))
        return sorted(found, key=lambda each: -np.nan_to_num(each.apart, nan=2.0))

    def features(self, x: np.ndarray) -> np.ndarray:
        """Prepared rows as a network sees them, (n, width, *grid)."""
        return Features(self.seen.schema)(torch.from_numpy(x)).double().numpy()

    def related(self, x: np.ndarray) -> np.ndarray:
        """How strongly columns go together, (columns, columns)."""
        owner = Features(self.seen.schema).owner.numpy()
        few = owner < model.MOST_COLUMNS
        return association(_cells(self.features(x))[:, few], owner[few])

    @property
    def halves(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Half of the real rows, the other half, and as many new ones, prepared; the sample has no order."""
        half = len(self.real_x) // 2
        return self.real_x[:half], self.real_x[half : 2 * half], self.new_x[:half]


def report(synthesizer: Synthesizer, seen: Seen, source: Source) -> Page:
    """Everything about one synthesizer and one data set."""
    feed(synthesizer, source, seen.add)
    whole = seen.rows == synthesizer.rows_seen_ and not source.once
    likeness = Likeness(synthesizer, seen, synthesizer.parted(source) if whole else None)
    pictured = bool(seen.schema.grid)
    sections = [
        _pictures(likeness) if pictured and seen.rows else None,
        _alike(likeness) if seen.rows else None,
        _columns(likeness) if seen.rows else None,
        _pairs(likeness) if len(seen.schema.columns) > 1 and seen.rows > 2 else None,
        _copies(likeness) if seen.rows else None,
        None if pictured else _sample(likeness),
        model.comparison(synthesizer),
        model.training(synthesizer),
        model.diagnosis(seen),
        model.columns(seen),
        model.card(synthesizer, _limits(likeness), _facts(synthesizer)),
    ]
    headline = _headline(likeness)
    return Page(f"{headline} – {seen.name}", headline, _lead(likeness), [each for each in sections if each])


def _cells(x: np.ndarray) -> np.ndarray:
    """Rows (n, columns), of images and series some of their cells."""
    cells = by_cell(x)
    return cells[:: max(1, len(cells) // CELLS)] if x.ndim > 2 else cells


def _headline(likeness: Likeness) -> str:
    if not likeness.seen.rows:
        return "There are no rows to compare with"
    return f"New rows beside {count(likeness.seen.rows, 'real row')}"


def _lead(likeness: Likeness) -> Markup:
    told, seen = likeness.synthesizer.comparison_, likeness.seen
    said = f" was compared with {count(len(likeness.new))} rows that the model drew anew."
    known = [each.apart for each in likeness.twins if np.isfinite(each.apart)] if seen.rows else []
    worst = next((each.column.name[:28] for each in likeness.twins if np.isfinite(each.apart)), "") if known else ""
    learned = count(likeness.synthesizer.card()["data"]["rows"], "row")
    return joined(
        paragraph(name(seen.name), said, kind="lead"),
        tiles(
            tile(count(seen.rows), "real rows", f"the model learned from {learned}"),
            tile(fixed(told["deep"]), "told apart", "on held-out rows; 0.5: not at all, 1: always"),
            tile(fixed(float(np.median(known))) if known else "–", "a usual column", "apart, from 0 to 1"),
            tile(fixed(max(known)) if known else "–", "the worst column", worst),
        ),
    )


def _alike(likeness: Likeness) -> Section:
    """All figures of new rows, beside those of real rows that played new ones."""
    heading = "As like as other real rows?"
    if len(likeness.real_x) < FEWEST:
        said = paragraph(f"There are too few rows for figures: {FEWEST} are needed.", kind="verdict")
        return Section("alike", "How alike", heading, said)
    half, other, new = likeness.halves
    measured = [_measured(likeness, half, each) for each in (new, other)]
    rows_ = [
        [joined(words, tag("small", f" {best}")), tag("b", fixed(measured[0][key], 3)), fixed(measured[1][key], 3)]
        for key, (words, best) in WORDS.items()
        if key in measured[0]
    ]
    told = (
        f"One half of the real rows is compared with {count(len(new))} new ones, and then with the other half of the "
        "real rows: no new rows can be expected to do better than these."
    )
    body = joined(paragraph(told), table(["figure", "new rows", "real rows"], rows_, (1, 2), "alike"))
    return Section("alike", "How alike", heading, body)


WORDS = {
    "apart": ("nearest neighbour of its own kind", "0.5 is best"),
    "precision": ("rows that lie among the real ones", "share"),
    "recall": ("real rows that lie among them", "share"),
    "coverage": ("real rows with one near", "share"),
    "columns": ("columns apart, on average", "0 is best"),
    "pairs": ("relations of two columns apart, on average", "0 is best"),
}


def _measured(likeness: Likeness, half: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """How like the half the others are, by every measure."""
    points = [likeness.features(each).reshape(len(each), -1) for each in (half, other)]
    known = [each.apart for each in twins(likeness.seen.schema.columns, _cells(half), _cells(other))]
    found = {"apart": float(told_apart(*points).mean()), **precision_recall(*points)._asdict()}
    found["coverage"] = density_coverage(*points).coverage
    found["columns"] = float(np.nanmean(known)) if np.isfinite(known).any() else 0.0
    if len(likeness.seen.schema.columns) > 1:
        found["pairs"] = _difference(likeness.related(half), likeness.related(other))
    return found


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """The mean difference of two symmetric tables above their diagonal."""
    return float(np.abs(one - other)[np.triu_indices(len(one), 1)].mean())


def _columns(likeness: Likeness) -> Section:
    """Each column of real and of new rows, drawn over each other."""
    chance = by_chance(len(likeness.real_x), len(likeness.new_x))
    shown = likeness.twins[:DRAWN]
    told = (
        "Real rows filled, new rows as a line; the column most apart first. Apart is the largest difference of the two "
        f"distributions, from 0 to 1. Two samples of this size from the same rows would seldom be more than "
        f"{fixed(chance)} apart."
    )
    body = joined(
        paragraph(told),
        legend(plain="real rows", stairs="new rows"),
        tag("div", [each.draw() for each in shown], class_="twins"),
        model.more(len(likeness.twins) - len(shown), "column"),
        _gaps(likeness),
    )
    return Section("distributions", "Distributions", "Column by column", body)


def _gaps(likeness: Likeness) -> Markup | None:
    """How often values are missing on either side."""
    real, new = (float(np.isnan(each).mean()) for each in (likeness.real_x, likeness.new_x))
    if not real and not new:
        return None
    told = f"{percent(real)} of the values of real rows are missing, {percent(new)} of those of new rows."
    hint = "" if likeness.synthesizer.gaps else " With gaps=true, new rows have gaps as the rows of the fit."
    return paragraph(told + hint, kind="note")


def _pairs(likeness: Likeness) -> Section:
    """Which columns go together, in real and in new rows."""
    real, new = (likeness.related(each) for each in (likeness.real_x, likeness.new_x[: len(likeness.real_x)]))
    away, names = np.abs(real - new), [column.name for column in likeness.seen.schema.columns[: len(real)]]
    few = np.sort(np.argsort(-np.abs(real - np.eye(len(real))).max(1), kind="stable")[:PAIRED])
    mixed = np.where(np.tri(len(few), k=-1, dtype=bool), real[np.ix_(few, few)], new[np.ix_(few, few)])
    np.fill_diagonal(mixed, np.nan)
    words = [names[place] for place in few]
    chart = HeatMap(mixed, words, words, ("−1", "1"), "Relations of columns, real below the diagonal and new above")
    one, other = np.triu_indices(len(real), 1)
    order = np.argsort(-away[one, other], kind="stable")[:PAIRS]
    lines = [_pair(names, real, new, int(one[each]), int(other[each])) for each in order]
    told = (
        "How strongly two columns go together: the correlation of numbers, with its sign; with a category from 0 to 1, "
        "the share of the spread that it tells, by its root. Below the diagonal of real rows, above it of new ones: "
        "where the two are mirror images, new rows have the relations of real ones."
    )
    heads = ["column", "and", "real", "new", "difference"]
    hidden = len(real) - len(few)
    body = joined(
        paragraph(told),
        figure(chart.draw, caption=f"The {len(few)} columns that go with another most." if hidden else None),
        tag("h3", "The pairs most apart"),
        table(heads, lines, (2, 3, 4), "pairs"),
    )
    return Section("relations", "Relations", "Pair by pair", body)


def _pair(names: list[str], real: np.ndarray, new: np.ndarray, one: int, other: int) -> list[object]:
    told = [real[one, other], new[one, other], new[one, other] - real[one, other]]
    return [name(names[one], 30), name(names[other], 30), *(fixed(float(each)) for each in told)]


def _copies(likeness: Likeness) -> Section:
    """Whether new rows lie closer to what was learned from than to other rows of the same origin."""
    heading, parts = "Are they copies?", _learned_and_held(likeness)
    if parts is None:
        said = (
            "That cannot be told here: it takes rows that the model learned from and rows that it did not. A report on "
            "the file of the fit tells it, and diabolo.evaluate.copying."
        )
        return Section("copies", "Copies", heading, paragraph(said))
    few = likeness.new.slice(0, len(likeness.real_x))
    told = copying(likeness.synthesizer, few, *parts)
    closer = told["closer_to_training"]
    lines = [_distance(*each) for each in told.items()]
    note = (
        f"Nearest of {count(min(map(len, parts)))} rows that the model learned from, and of as many that were held "
        "out; distances are over all columns, in standard deviations. This finds copies, and proves no privacy."
    )
    shown = table(["figure", "value", "95 % interval"], lines, (1, 2), "alike")
    body = joined(paragraph(_suspicion(closer), kind="verdict"), shown, paragraph(note, kind="note"))
    return Section("copies", "Copies", heading, body)


def _learned_and_held(likeness: Likeness) -> tuple[pa.Table, pa.Table] | None:
    """The rows of the sample that were learned from, and those that were held out."""
    if likeness.parted is None:
        return None
    kept = likeness.seen.sample
    train, held = (rows.taken(kept.table, np.flatnonzero(np.isin(kept.numbers, each))) for each in likeness.parted)
    return (train, held) if min(len(train), len(held)) > 1 else None


def _suspicion(closer: Estimate) -> str:
    share = f"{percent(closer.value)} of new rows lie closer to a row of the fit than to any held-out row"
    if closer.low > 0.5:
        return f"Perhaps: {share}; 50 % would be chance. Some may be near copies."
    return f"None were found: {share}, no more than chance, which is 50 %."


def _distance(figure: str, at: Estimate) -> list[object]:
    return [figure.replace("_", " "), tag("b", fixed(at.value, 3)), f"{fixed(at.low, 3)} to {fixed(at.high, 3)}"]


def _sample(likeness: Likeness) -> Section:
    """Some of the new rows."""
    new, read = likeness.new.slice(0, SHOWN), list(dict.fromkeys(each.source for each in likeness.seen.schema.columns))
    names = read[: 2 * rows.MOST_SHOWN]
    told = paragraph("The first of the new rows, as ", tag("code", f"diabolo run MODEL {SHOWN}"), " draws them.")
    shown = table(names, rows.cells(likeness.seen, new, names), kind="rows")
    body = joined(told, shown, model.more(len(read) - len(names), "column"))
    return Section("sample", "New rows", "Some new rows", body)


def _pictures(likeness: Likeness) -> Section:
    """New images or series, and real ones."""
    real, new = likeness.seen.sample.table.slice(0, PICTURED), likeness.new.slice(0, PICTURED)
    parts = [
        joined(tag("h3", words), rows.drawn(likeness.seen, each, [""] * len(each)))
        for words, each in (("New", new), ("Real", real))
    ]
    return Section("pictures", "Side by side", "New and real, side by side", joined(parts))


def _facts(synthesizer: Synthesizer) -> dict[str, object]:
    prior = "the bottleneck's own" if synthesizer.prior_ is None else type(synthesizer.prior_).__name__.lower()
    return {"Codes are drawn from": f"a {prior} fitted to codes" if synthesizer.prior_ is not None else prior}


def _limits(likeness: Likeness) -> list[Markup | str]:
    return [
        *model.unseen(likeness.seen.schema),
        "New rows are no anonymous rows: nothing bounds what they tell of a person who is in the rows of the fit.",
        "Rare kinds of rows are the first that are missing among new ones; figures over all rows hardly show it.",
    ]
