"""The marked rows of a detector's report: each with its reasons, the columns behind them, and where their codes lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from diabolo.explain import Explanation, Reason, reasons
from diabolo.regions import Regions
from diabolo.report import model, pictures
from diabolo.report.charts import bar, figure, legend
from diabolo.report.findings import Findings
from diabolo.report.maps import MapChart, Spot, directions
from diabolo.report.markup import Markup, cell, joined, name, tag
from diabolo.report.page import Section, paragraph, table
from diabolo.report.words import count, fixed, listed, parts, percent, rarity, value
from diabolo.tasks.anomaly_detector import AnomalyDetector

REASONS = 6  # values named for each row; the others are added up
OPEN = 3  # rows whose reasons are shown without a click
UNMARKED = 3  # rows shown where none is marked
MOST_BLAMED = 25  # columns in the table of contributions
MOST_CARRIED = 6  # columns that the model does not read, shown with a row
NEAREST = ["nearest", "2nd nearest"]
TINY = 1e-12  # in place of a sum of 0


def calibration_rows(detector: AnomalyDetector) -> int:
    """Rows that p-values are counted on: the smallest that they can count is 1 in so many and one."""
    return round(1 / float(detector.threshold_.calibration_.p[-1])) - 1


def rows(findings: Findings) -> Section:
    """The strangest rows with their reasons."""
    shown = min(findings.seen.top, findings.marked or UNMARKED, findings.seen.rows)
    heading = "The strangest rows, and why"
    if not shown:
        return Section("rows", "Rows", heading, paragraph("There are none."))
    detector, picked = findings.detector, findings.strangest.table.slice(0, shown)
    near = 0 if detector.preparation_.schema_.grid else len(NEAREST)
    told = reasons(detector, picked, top=len(Regions(detector.preparation_.schema_).names), nearest=near)
    least, scales = 1 / (calibration_rows(detector) + 1), model.scales(detector.preparation_.schema_)
    seen = zip(told, _carried(detector, picked), pictures.strange(detector, picked), strict=True)
    each = zip(findings.strangest.numbers.tolist(), seen, strict=False)
    cards = [
        _card(place, row, _summary(place, row, why, kept, least), joined(drawn, _because(why, scales)))
        for place, (row, (why, kept, drawn)) in enumerate(each, 1)
    ]
    return Section("rows", "Rows", heading, joined(_introduced(findings, shown), cards))


def _card(place: int, row: int, summary: Markup, because: Markup) -> Markup:
    return tag("details", summary, because, id=f"row-{row}", class_="row", open=place <= OPEN)


def _introduced(findings: Findings, shown: int) -> Markup:
    which = "All marked rows, the strangest first."
    if not findings.marked:
        which = f"No row was marked. These {shown} score highest, and are still within what normal rows do."
    elif shown < findings.marked:
        which = f"The {shown} strangest of {count(findings.marked)} marked rows."
    ending = "; nearest are the kept normal rows most like it."
    if findings.detector.preparation_.schema_.grid:
        ending = ". A region is told by the mean of its values."
    return paragraph(
        f"{which} Rows are counted from 0. Each bar goes on where the one before it ended: together they make up the "
        f"score. “Normal here” is what the model would have expected, given the other values of the row{ending}"
    )


def _carried(detector: AnomalyDetector, picked: pa.Table) -> list[dict[str, Any]]:
    """Values that the model is told, or does not read, such as ids: they tell a person which row it is."""
    told, names = detector.preparation_.schema_.told, picked.schema.names
    known = set(detector.explained_names_) - set(told)
    places = [place for place, each in enumerate(names) if each not in known and names.count(each) == 1]
    places.sort(key=lambda place: names[place] not in told)
    return picked.select(places[:MOST_CARRIED]).to_pylist() if places else [{} for _ in range(len(picked))]


def _summary(place: int, row: int, told: Explanation, carried: Mapping[str, Any], least: float) -> Markup:
    """The line of a row; a p-value below ``least`` is not counted on any row, so only this bound is told."""
    leading = listed([reason.column for reason in told.reasons[:2]]) or "no single value"
    known = [tag("small", name(column, 30), " ", tag("b", cell(value(each)))) for column, each in carried.items()]
    chance = f"p < {rarity(least)}" if told.p_value < least else f"p = {rarity(told.p_value)}"
    return tag(
        "summary",
        tag("span", str(place), class_="place"),
        tag("span", tag("b", f"Row {row:,}"), known, class_="which"),
        tag("span", name(leading, 70), class_="why"),
        tag("span", tag("b", fixed(told.score)), tag("small", chance), class_="score"),
    )


def _because(told: Explanation, scales: Mapping[str, float]) -> Markup:
    """The reasons as a table whose last row is their sum."""
    named, others = told.reasons[:REASONS], told.reasons[REASONS:]
    amounts = [reason.contribution for reason in named]
    amounts += [told.score - sum(amounts)] if others else []
    share, nats = np.array(amounts) / max(told.score, TINY), parts(amounts)
    starts, near = np.cumsum(share) - share, NEAREST[: len(told.nearest)]
    blank = [""] * (2 + len(near))
    shown: list[list[object]] = [
        [*_values(reason, told, scales), bar(start, wide, "marked"), amount]
        for reason, start, wide, amount in zip(named, starts, share, nats, strict=False)
    ]
    if others:
        words = tag("i", count(len(others), "other"))
        shown.append([words, *blank, bar(starts[-1], share[-1], "rest"), nats[-1]])
    shown.append([tag("b", "score"), *blank, "", tag("b", fixed(sum(amounts)))])
    heads = ["column", "this row", "normal here", *near, "part of the score", "nats"]
    return table(heads, shown, numeric=(len(heads) - 1,), kind="reasons")


def _values(reason: Reason, told: Explanation, scales: Mapping[str, float]) -> list[Markup]:
    """A column: its value, what would have been normal, and what the nearest normal rows have there."""
    scale = scales.get(reason.column, 0.0)
    here, normal, *near = (
        cell(value(each, scale))
        for each in (reason.value, reason.normal, *(row[reason.column] for row in told.nearest))
    )
    return [name(reason.column), tag("b", here), normal, *near]


def columns(findings: Findings) -> Section:
    """Which columns the marked rows are strange in."""
    order = np.argsort(-findings.shares, kind="stable")[:MOST_BLAMED]
    hidden = len(findings.totals) - len(order)
    rest = f" The other {count(hidden, 'column')} share the remainder." if hidden else ""
    heads = ["column", "", "mean share", "nats in all", "main reason in"]
    told = paragraph(
        f"What each column contributes to the scores of {count(findings.marked, 'marked row')}. The share is that of "
        f"the average marked row; in the sum of nats the very strangest rows weigh most.{rest}"
    )
    blamed = table(heads, [_blamed(findings, place) for place in order.tolist()], (2, 3, 4), "sortable blame")
    return Section("blame", "By column", "Where the marked rows are strange", joined(told, blamed))


def _blamed(findings: Findings, place: int) -> list[object]:
    share, nats, leading = findings.shares[place], findings.totals[place], int(findings.leading[place])
    mean = share / findings.marked
    return [
        name(findings.detector.explained_names_[place]),
        bar(0.0, share / max(float(findings.shares.max()), TINY), "marked"),
        tag("span", percent(mean), data_sort=f"{mean:.9f}"),
        tag("span", fixed(nats, 1), data_sort=f"{nats:.6f}"),
        tag("span", count(leading, "row") if leading else "–", class_=None if leading else "none", data_sort=leading),
    ]


def codes(findings: Findings) -> Section:
    """The codes of a sample and of the strangest rows, seen from where the sample is widest."""
    detector, sample = findings.detector, findings.seen.sample.table
    cloud = _codes(detector, sample)
    middle = cloud.mean(0)
    axes, shares = directions(cloud - middle)
    plain = cloud[detector.predict(sample) > 0]
    spots = _spots(findings, middle, axes, min(findings.seen.top, findings.marked))
    first, second = (f"{percent(share)} of the spread" for share in shares)
    chart = MapChart((plain - middle) @ axes, spots, (f"first direction, {first}", f"second direction, {second}"))
    told = (
        f"The autoencoder describes every row by {count(cloud.shape[1], 'number')}, its code; rows with near codes "
        f"look alike to it. This is a flat view of the codes of {count(len(plain), 'row')} that were not marked and of "
        f"{count(len(spots))} that were. It keeps {percent(sum(shares))} of the spread, and the score sees more than "
        "the code: a strange row may lie inside the cloud."
    )
    kinds = {"plain": "not marked"} | ({"marked": "marked"} if spots else {})
    kinds |= {"far": "marked, beyond the frame"} if chart.far else {}
    return Section("map", "Map", "Map of the codes", joined(paragraph(told), figure(chart.draw, legend(**kinds))))


def _spots(findings: Findings, middle: np.ndarray, axes: np.ndarray, explained: int) -> list[Spot]:
    """The marked ones among the strangest rows, on the map; the first ``explained`` of them are told elsewhere."""
    kept = findings.strangest
    marked = kept.keys > findings.detector.threshold_.cut_
    if not marked.any():
        return []
    found = (_codes(findings.detector, kept.table.filter(pa.array(marked))) - middle) @ axes
    each = zip(found.tolist(), kept.numbers[marked].tolist(), kept.keys[marked].tolist(), strict=True)
    return [Spot(x, y, row, score, rank, rank <= explained) for rank, ((x, y), row, score) in enumerate(each, 1)]


def _codes(detector: AnomalyDetector, picked: pa.Table) -> np.ndarray:
    found = detector.encode(picked)
    return found.reshape(len(found), -1).astype(np.float64)
