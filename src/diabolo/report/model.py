"""What every report says of its model: columns, training, the linear autoencoder beside it, and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diabolo.report.charts import CurveChart, GapChart, figure, legend, spark
from diabolo.report.findings import Gaps, Seen, by_cell, natural
from diabolo.report.markup import Markup, joined, name, tag
from diabolo.report.page import Section, paragraph, table, tile, tiles
from diabolo.report.words import apart, count, number, percent
from diabolo.schema import UNSEEN, Column, Schema
from diabolo.tasks.comparison import better, pca
from diabolo.tasks.task import Task
from diabolo.trainer import Epoch

MOST_COLUMNS = 300  # that a table lists
BINS = 24  # of a little histogram
LIKELIHOODS = {"StudentT": "Student-t", "NegativeBinomial": "negative binomial"}


def comparison(task: Task) -> Section:
    """Whether the model does better than PCA, in a sentence that does not flatter it."""
    told = task.comparison_
    where = "held-out rows" if task.card()["data"]["held out"] else "training rows (too few to hold any out)"
    sides = ("this model does better", "PCA does better")
    chart = GapChart(told["difference"], told["error"], sides)
    return Section(
        "worth",
        "Deep or linear?",
        "Is a deep model worth it here?",
        joined(
            paragraph(verdict(told), kind="verdict"),
            tiles(
                tile(number(told["deep"], 3), "this model", task.card()["variant"].partition("(")[0]),
                tile(number(told["linear"], 3), pca(told), "linear, in closed form"),
            ),
            figure(chart.draw),
            _sparse(task.card().get("sparsity")),
            paragraph(f"Measured on {count(told['rows'])} {where}: {told['measure']}. Lower is better.", kind="note"),
        ),
    )


def _sparse(told: Mapping[str, Any] | None) -> Markup | None:
    """How sparse and how faithful a code is of which rows use a part."""
    if not told:
        return None
    return paragraph(
        f"Of {count(told['numbers'])} numbers of the code a row uses {number(told['l0'], 3)} (L0). They explain "
        f"{percent(told['explained variance'])} of the variance of {count(told['rows'], 'row')}; "
        f"{percent(told['dead'])} of the numbers are dead, that is used by none of these rows."
    )


def verdict(told: Mapping[str, Any]) -> str:
    """The comparison in one sentence, with its error."""
    figures = f"{number(told['deep'], 3)} here, {number(told['linear'], 3)} with PCA"
    gap = f"a difference of {apart(told['difference'], 2 * told['error'])} (two standard errors)"
    if told["aside"]:
        return f"Labels would tell. Beside {pca(told)} {better(told)}; {figures}, {gap}."
    if told["better"] == "deep":
        return f"Yes: it does better than {pca(told)}, {figures}, {gap}."
    if told["better"] == "linear":
        return f"No: {pca(told)} does better, {figures}, {gap}. Try {_linear(told)}: it is also smaller and faster."
    return (
        f"Not clearly: {pca(told)} does as well, {figures}, {gap}, which may be "
        f"chance. {_linear(told)} would be smaller and faster."
    )


def _linear(told: Mapping[str, Any]) -> str:
    """What to set for the linear autoencoder of the comparison itself."""
    return f"variant=Linear (variant.latent={told['width']}, variant.overcomplete=True)"


def training(task: Task) -> Section:
    """The curve of the costs, of training and of held-out rows."""
    falling = "unfinished training" in {each.name for each in task.diagnose()}
    told = _curve(task.history_, falling=falling) if task.history_ else _unlooped()
    return Section("training", "Training", "Training", told)


def _curve(history: Sequence[Epoch], *, falling: bool) -> Markup:
    train = [sum(epoch.costs.values()) for epoch in history]
    measured = all(epoch.valid for epoch in history)
    valid = [sum((epoch.valid or {}).values()) for epoch in history] if measured else None
    last = max(place for place, epoch in enumerate(history) if epoch.number == 1)  # further trainings begin anew
    kept = last + int(np.argmin(valid[last:])) + 1 if valid else None
    seconds = sum(epoch.seconds for epoch in history)
    told = f"{count(len(history), 'epoch')} in {number(seconds, 2)} seconds. "
    if kept:
        told += f"The weights of epoch {kept} were kept, the best on rows held out of training. "
    return joined(
        paragraph(told, "The cost was still falling at the end: more epochs would help." if falling else ""),
        figure(CurveChart(train, valid, kept).draw, legend(training="training rows", **_held_out(valid))),
        paragraph(
            "Cost is what the model pays for a row, in nats: lower is better. The two lines may stand apart, since "
            "training is made harder on purpose (noise, hidden values, penalties); held-out rows are judged plainly.",
            kind="note",
        )
        if valid
        else paragraph(
            "No rows were held out, so nothing tells how the model does on rows it has not seen.", kind="note"
        ),
    )


def _held_out(valid: Sequence[float] | None) -> dict[str, str]:
    return {"held_out": "held-out rows"} if valid else {}


def _unlooped() -> Markup:
    return paragraph("This model was solved in closed form: there were no epochs, and there is no curve.")


def diagnosis(seen: Seen) -> Section:
    """What is known of the fit, and how a sample of this data differs from it."""
    task, sample = seen.task, seen.sample.table
    listed = [*task.diagnose(), *(task.diagnose(sample) if len(sample) else ())]
    told = [
        tag(
            "li", tag("b", f"{each.name}. "), paragraph(each.seen, " ", each.why), paragraph("To change: ", each.change)
        )
        for each in listed
    ]
    good = paragraph("Nothing was found that speaks against the fit, and this data is like that of the fit.")
    return Section("diagnosis", "Diagnosis", "Diagnosis of the fit", tag("ul", told) if told else good)


def learned(seen: Seen) -> Markup | None:
    """That the model knows the labels, where it does."""
    if seen.labels not in {column.source for column in seen.schema.columns}:
        return None
    told = f"The model has learned from the column {seen.labels!r} itself, so these figures say nothing of its worth."
    return paragraph(told, kind="verdict")


def known(truth: Sequence[pa.Array], told: Sequence[np.ndarray]) -> tuple[pa.ChunkedArray, np.ndarray]:
    """The labels of the rows that have one, and what was told of these rows."""
    labels = pa.chunked_array(truth)
    there = pc.invert(pc.is_null(labels, nan_is_null=True))
    return labels.filter(there), np.concatenate(told)[there.to_numpy()]


def without_labels() -> Section:
    """What is said where a column of labels is empty."""
    return Section("labels", "Labels", "Compared with known labels", paragraph("No row has a label."))


def columns(seen: Seen, marked: np.ndarray | None = None) -> Section:
    """The columns as the model reads them, with the sample of this data and which of its rows are ``marked``."""
    schema, gaps, sample = seen.schema, seen.gaps, by_cell(seen.prepared())
    marked = np.zeros(len(sample), bool) if marked is None else marked.repeat(len(sample) // max(1, len(marked)))
    heads = ["column", "read as", "in the fit", "this data", "missing", "new"]
    shown = range(min(len(schema.columns), MOST_COLUMNS))
    rows = [
        [_named(column), _kind(column), _range(column), _drawn(column, sample[:, place], marked), *_shares(gaps, place)]
        for place, column in ((place, schema.columns[place]) for place in shown)
    ]
    return Section(
        "columns",
        "Columns read",
        "The columns, as the model reads them",
        joined(
            _extent(schema),
            table(heads, rows, numeric=(4, 5), kind="sortable columns"),
            more(len(schema.columns) - len(rows), "column"),
            paragraph(
                "New: values outside the range of the fit, or categories that it never saw. The little histograms show "
                f"{count(len(sample), 'value')} of each column over the range of the fit (heights are square roots; "
                "the outermost bars hold what lies beyond).",
                kind="note",
            ),
            _aside(schema.dropped),
        ),
    )


def _extent(schema: Schema) -> Markup:
    read, parts = len({column.source for column in schema.columns}), len(schema.columns)
    told = f"The model reads {count(read, 'column')}"
    told += (
        f", of which {count(len(schema.told))} {'is' if len(schema.told) == 1 else 'are'} told" if schema.told else ""
    )
    told += f", as {count(parts, 'part')} (a date becomes its cycles)." if parts != read else "."
    return paragraph(told)


def _named(column: Column) -> Markup:
    part = joined(" ", tag("small", column.part)) if column.part != "value" else None
    return joined(name(column.source, 40), part)


def _kind(column: Column) -> Markup:
    likelihood = LIKELIHOODS.get(column.likelihood, column.likelihood.lower())
    plain = column.kind in ("category", "boolean") and likelihood in ("categorical", "bernoulli")
    return joined(
        column.kind,
        None if plain else tag("small", f" {likelihood}"),
        tag("small", " told, not learned") if column.given else None,
    )


def _range(column: Column) -> Markup:
    gaps = tag("small", " with gaps") if column.missing else None
    if column.kind == "category":
        known = [each for each in column.categories if each != UNSEEN]
        told = joined([[", " if place else "", name(each, 16)] for place, each in enumerate(known[:4])])
        rest = f", … ({len(known)} in all)" if len(known) > 4 else None
        return joined(told, rest, gaps)
    if column.kind == "boolean":
        words = column.categories[:2] or ("false", "true")
        return joined(name(words[0], 16), ", ", name(words[1], 16), gaps)
    if column.part == "elapsed":
        return joined(f"{_day(column.low)} to {_day(column.high)}", gaps)
    return joined(f"{number(column.low)} to {number(column.high)}", gaps)


def amount(column: Column, value: float, digits: int = 4) -> str:
    """A number of a column, in its units."""
    return _day(value) if column.part == "elapsed" else number(value, digits)


def _day(seconds: float) -> str:
    with np.errstate(all="ignore"):
        return str(np.datetime64("1970-01-01", "s") + np.timedelta64(int(np.clip(seconds, -6e10, 2.5e11)), "s"))[:10]


def _shares(gaps: Gaps, place: int) -> list[Markup]:
    there = max(1, gaps.rows - int(gaps.missing[place]))
    shares = (gaps.missing[place] / max(1, gaps.rows), gaps.new[place] / there)
    return [
        tag("span", percent(each) if each else "–", class_=None if each else "none", data_sort=f"{each:.9f}")
        for each in shares
    ]


def _drawn(column: Column, values: np.ndarray, marked: np.ndarray) -> Markup | None:
    there = ~np.isnan(values)
    if not there.any():
        return None
    told = natural(column, values[there])
    edges = _edges(column)
    place = np.clip(np.searchsorted(edges, told, side="right"), 0, len(edges))
    plain, strange = (np.bincount(place[marked[there] == kind], minlength=len(edges) + 1) for kind in (0, 1))
    return spark(plain, strange, _spoken(column, told))


def _edges(column: Column) -> np.ndarray:
    """One bar per category or flag; for numbers equal steps over the range of the fit, with one bar beyond each end."""
    if column.kind in ("category", "boolean"):
        return np.arange(1, min(max(2, column.width), BINS)) - 0.5
    low, high = (column.low, column.high) if column.high > column.low else (column.low - 1, column.high + 1)
    slack = 1e-6 * (high - low)
    return np.linspace(low - slack, high + slack, BINS + 1)


def _spoken(column: Column, told: np.ndarray) -> str:
    if column.kind == "category":
        return f"{count(len(told), 'value')}, most frequent in the fit first"
    if column.kind == "boolean":
        return f"true in {percent(float(told.mean()))} of {count(len(told), 'value')}"
    low, middle, high = np.quantile(told, (0.05, 0.5, 0.95))
    return f"5 %: {number(low)}, median: {number(middle)}, 95 %: {number(high)}"


def more(hidden: int, noun: str) -> Markup | None:
    """How many things a list leaves out."""
    return paragraph(f"And {count(hidden, f'further {noun}')}, not listed.", kind="note") if hidden > 0 else None


def _aside(dropped: Mapping[str, str]) -> Markup | None:
    """The columns that the model does not read, with the reason."""
    if not dropped:
        return None
    listed = [
        tag("li", name(column), tag("span", f": {reason}")) for column, reason in list(dropped.items())[:MOST_COLUMNS]
    ]
    head = tag("h3", f"Set aside: {count(len(dropped), 'column')}")
    said = paragraph("The model reads nothing of these, so it cannot see anything strange in them.")
    return joined(head, said, tag("ul", listed), more(len(dropped) - len(listed), "column"))


def card(task: Task, limits: Sequence[Markup | str], facts: Mapping[str, object]) -> Section:
    """The model card: where the model comes from and, in plain words, what it cannot do."""
    told = task.card()
    left_out = told["data"].get("left out", 0)
    entries = {
        "Task": told["task"],
        "Variant": tag("code", told["variant"]),
        "Learned from": f"{count(told['data']['rows'], 'row')}, and {count(told['data']['held out'])} held out",
        **({"Left out of learning": count(left_out, "strange row")} if left_out else {}),
        **facts,
        "Fingerprint of the data": tag("code", told["data"]["fingerprint"]),
        "Seed": tag("code", str(told["seed"])),
        "Fitted": tag("time", told["fitted"].replace("T", " ").replace("+00:00", " UTC"), datetime=told["fitted"]),
        "With": ", ".join(f"{each} {version}" for each, version in told["versions"].items()),
    }
    shown = tag("dl", [joined(tag("dt", key), tag("dd", each)) for key, each in entries.items()], class_="card")
    body = joined(
        tag("h3", "What it cannot see"),
        tag("ul", [tag("li", each) for each in limits]),
        tag("h3", "Where it comes from"),
        shown,
    )
    return Section("card", "Model card", "Model card", body)


def scales(schema: Schema) -> dict[str, float]:
    """By the user's column, how large its numbers are: what is tiny beside it is a rounding error."""
    return {
        column.source: column.scale for column in schema.columns if column.kind == "number" and column.part == "value"
    }


def unseen(schema: Schema) -> list[Markup | str]:
    """The limits that every model of rows has."""
    told: list[Markup | str] = [
        "It judges each row by itself: it cannot see the order of rows, gaps in time, repeated rows or slow drift.",
        "Whatever was frequent in the rows it learned from is normal to it, faults included.",
    ]
    if schema.told:
        names = [[", " if place else "", name(each, 30)] for place, each in enumerate(schema.told)]
        told.append(joined("It takes for true what it is told: ", names, "."))
    if schema.dropped:
        names = [[", " if place else "", name(each, 30)] for place, each in enumerate(list(schema.dropped)[:8])]
        rest = f" and {len(schema.dropped) - 8} more" if len(schema.dropped) > 8 else ""
        told.append(joined("It reads nothing of the columns set aside: ", names, rest, "."))
    return told
