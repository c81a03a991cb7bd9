"""The report of a detector: how many rows stand out, which, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from diabolo.evaluate import Estimate, detection
from diabolo.explain import Explanation, reasons
from diabolo.report import model
from diabolo.report.charts import MapChart, ScoreChart, Spot, bar, figure, legend
from diabolo.report.findings import Findings
from diabolo.report.markup import Markup, joined, name, tag
from diabolo.report.page import Page, Section, paragraph, table, tile, tiles
from diabolo.report.words import count, fixed, listed, number, parts, percent, rarity, value
from diabolo.tasks.anomaly_detector import CALIBRATION, AnomalyDetector

REASONS = 6  # values named for each row; the others are added up
OPEN = 3  # rows whose reasons are shown without a click
MOST_BLAMED = 25  # columns in the table of contributions
MOST_CARRIED = 6  # columns that the model does not read, shown with a row
DIRECTIONS = ("first", "second")


def page(findings: Findings, source: str, top: int) -> Page:
    """Everything about one detector and one data set."""
    sections = [
        _scores(findings),
        _rows(findings, top),
        _blame(findings) if findings.marked else None,
        _map(findings, top) if findings.rows else None,
        _labelled(findings) if findings.labels is not None else None,
        model.comparison(findings.detector),
        model.training(findings.detector),
        model.columns(findings.detector.preparation_.schema_, findings.gaps, *_sample(findings)),
        model.card(findings.detector, _limits(findings.detector), _facts(findings.detector)),
    ]
    headline = _headline(findings)
    return Page(f"{headline} – {source}", headline, _lead(findings, source), [each for each in sections if each])


class Chance:
    """How many rows would be marked if all were normal: about ``mean``, and seldom more than ``most``.

    The number is beta-binomial: the share of normal rows beyond the cut is itself known from n rows only.
    """

    def __init__(self, detector: AnomalyDetector, rows: int) -> None:
        cut = detector.threshold_.cut_
        known = calibration_rows(detector)
        self.share = float(detector.threshold_.p_value([np.nextafter(cut, np.inf)])[0]) if np.isfinite(cut) else 1.0
        self.mean = self.share * rows
        spread = math.sqrt(self.mean * (1 - self.share) * (1 + rows / (known + 1)))
        self.most = self.mean + 2 * spread + 1


def calibration_rows(detector: AnomalyDetector) -> int:
    """Rows that p-values are counted from: held-out ones, or those of the fit where none were held out."""
    data = detector.card()["data"]
    return min(data["held out"] or data["rows"], CALIBRATION)


def _headline(findings: Findings) -> str:
    if not findings.rows:
        return "There are no rows to judge"
    if not findings.marked:
        return f"None of {count(findings.rows, 'row')} stands out"
    verb = "stands" if findings.marked == 1 else "stand"
    return f"{count(findings.marked)} of {count(findings.rows, 'row')} {verb} out"


def _lead(findings: Findings, source: str) -> Markup:
    detector = findings.detector
    cut, chance = detector.threshold_.cut_, Chance(detector, findings.rows)
    learned = detector.card()["data"]["rows"]
    return joined(
        paragraph(
            name(source), f" was compared with what a model learned from {count(learned, 'row')} taken as normal. ",
            _surprise(findings, chance), kind="lead",
        ),
        tiles(
            tile(count(findings.rows), "rows"),
            tile(count(findings.marked), "anomalies", percent(findings.marked / max(1, findings.rows)) + " of the rows"),
            tile(f"≈ {number(chance.mean, 2)}", "expected by chance", "if every row were normal"),
            tile(number(cut), "threshold, nats", f"{rarity(chance.share)} normal rows score higher"),
        ),
    )  # fmt: skip


def _surprise(findings: Findings, chance: Chance) -> str:
    """Whether the marked rows are more than chance would mark."""
    if not findings.rows:
        return ""
    usual = f"chance alone would mark about {number(chance.mean, 2)} if every row were normal"
    if findings.marked <= chance.most:
        return f"That is no more than normal rows would show: {usual}."
    return f"That is more than normal rows would show: {usual}."


def _scores(findings: Findings) -> Section:
    detector, threshold = findings.detector, findings.detector.threshold_
    calibration, rows = threshold.calibration_, calibration_rows(detector)
    chart = ScoreChart(
        findings.spectrum.binned,
        findings.spectrum.largest,
        threshold.cut_,
        findings.rows,
        lambda scores: calibration.p_value(scores, smooth=True),
        lambda share: calibration.cut(share, smooth=True),
        float(calibration.knots[-1]),
    )
    share = Chance(detector, findings.rows).share
    told = (
        f"A score says how unlike normal rows a row is, in nats: half of all normal rows score below "
        f"{number(calibration.cut(0.5, smooth=True), 2)}. A row is marked when it scores above the threshold of "
        f"{number(threshold.cut_)}, as {rarity(share)} normal rows would."
    )
    kinds = {"plain": "not marked", "marked": "marked", "expected": "what normal rows alone would give"}
    return Section(
        "scores",
        "Scores",
        joined(
            paragraph(told),
            figure(chart.draw, legend(**kinds)),
            paragraph(
                f"Counts are logarithmic. Shares of normal rows are counted on {count(rows, 'row')}; where the upper "
                f"axis is dashed, below {rarity(1 / (rows + 1))}, they are extrapolated from a fitted tail.",
                kind="note",
            ),
        ),
    )


def _rows(findings: Findings, top: int) -> Section:
    """The strangest rows with their reasons."""
    shown = min(top, findings.marked or 3, len(findings.strangest.numbers))
    if not shown:
        return Section("rows", "Strangest rows", paragraph("There are none."))
    table = findings.strangest.table.slice(0, shown)
    told = reasons(findings.detector, table, top=len(findings.totals), nearest=2)
    carried = _carried(findings.detector, table)
    cards = [
        _card(place, int(number), each, kept, place <= OPEN)
        for place, (number, each, kept) in enumerate(zip(findings.strangest.numbers, told, carried, strict=False), 1)
    ]
    return Section("rows", "Strangest rows", joined(_introduced(findings, shown), cards))


def _introduced(findings: Findings, shown: int) -> Markup:
    if not findings.marked:
        which = f"No row was marked. These {shown} score highest, and are still within what normal rows do."
    elif shown < findings.marked:
        which = f"The {shown} strangest of {count(findings.marked)} marked rows."
    else:
        which = "All marked rows, the strangest first."
    return paragraph(
        which,
        " Rows are counted from 0. Each bar goes on where the one before it ended: together they make up the score. "
        "“Normal here” is what the model would have expected, given the other values of the row.",
    )


def _carried(detector: AnomalyDetector, rows: pa.Table) -> list[Mapping[str, Any]]:
    """Values that the model does not read, such as ids: they tell a person which row it is."""
    known = set(detector.explained_names_)
    places = [place for place, column in enumerate(rows.schema.names) if column not in known]
    names = [rows.schema.names[place] for place in places]
    unique = [place for place, column in zip(places, names, strict=True) if names.count(column) == 1]
    return rows.select(unique[:MOST_CARRIED]).to_pylist() if unique else [{}] * len(rows)


def _card(place: int, row: int, told: Explanation, carried: Mapping[str, Any], is_open: bool) -> Markup:
    leading = listed([reason.column for reason in told.reasons[:2]]) if told.reasons else "no single value"
    known = [joined(" · ", name(column, 30), " ", tag("b", name(value(cell), 40))) for column, cell in carried.items()]
    summary = tag(
        "summary",
        tag("span", str(place), class_="place"),
        tag("span", tag("b", f"Row {row:,}"), tag("small", known), class_="which"),
        tag("span", name(leading, 70), class_="why"),
        tag("span", tag("b", fixed(told.score)), tag("small", f"p = {rarity(told.p_value)}"), class_="score"),
    )
    return tag("details", summary, _because(told), id=f"row-{row}", class_="row", open=is_open)


def _because(told: Explanation) -> Markup:
    """The reasons as a table whose last row is their sum."""
    named, others = told.reasons[:REASONS], told.reasons[REASONS:]
    rest = told.score - sum(reason.contribution for reason in named)
    amounts = [reason.contribution for reason in named] + ([rest] if others else [])
    nats, starts = parts(amounts), np.cumsum([0.0, *amounts]) / max(told.score, 1e-12)
    near = [f"like it {place}" for place in range(1, len(told.nearest) + 1)]
    rows: list[list[object]] = [
        [
            name(reason.column),
            tag("b", name(value(reason.value), 40)),
            name(value(reason.normal), 40),
            *(name(value(each[reason.column]), 40) for each in told.nearest),
            bar(start, reason.contribution / max(told.score, 1e-12), "marked"),
            shown,
        ]
        for reason, start, shown in zip(named, starts, nats, strict=False)
    ]
    blank = [""] * (2 + len(near))
    if others:
        words = tag("i", count(len(others), "other value") + " together")
        rows.append([words, *blank, bar(starts[len(named)], rest / max(told.score, 1e-12), "rest"), nats[-1]])
    rows.append([tag("b", "score"), *blank, "", tag("b", fixed(round(sum(amounts), 2)))])
    heads = ["column", "this row", "normal here", *near, "part of the score", "nats"]
    return table(heads, rows, numeric=(len(heads) - 1,), kind="reasons")


def _blame(findings: Findings) -> Section:
    """Which columns the marked rows are strange in."""
    names, totals = findings.detector.explained_names_, findings.totals
    order = np.argsort(-totals, kind="stable")[:MOST_BLAMED]
    whole, largest = max(float(totals.sum()), 1e-12), max(float(totals.max(initial=0)), 1e-12)
    rows = [
        [
            name(names[place]),
            bar(0.0, totals[place] / largest, "marked"),
            tag("span", percent(totals[place] / whole), data_sort=f"{totals[place] / whole:.9f}"),
            tag("span", fixed(totals[place], 1), data_sort=f"{totals[place]:.6f}"),
            tag("span", count(int(findings.leading[place])), data_sort=str(findings.leading[place])),
        ]
        for place in order
    ]
    hidden = len(names) - len(rows)
    rest = f" The other {count(hidden, 'column')} share the remainder." if hidden else ""
    return Section(
        "blame",
        "Where the anomalies are strange",
        joined(
            paragraph(
                f"Contributions of each column, added over {count(findings.marked, 'marked row')}. The very strangest "
                f"rows weigh most in the sum; “main reason in” counts every row once.{rest}"
            ),
            table(["column", "", "share", "nats", "main reason in"], rows, numeric=(2, 3, 4), kind="sortable blame"),
        ),
    )


def _map(findings: Findings, top: int) -> Section:
    """The codes of a sample and of the strangest rows, seen from where the sample is widest."""
    sample, strange = findings.sample, findings.strangest
    cloud, marked = _codes(findings.detector, sample.table), strange.keys > findings.detector.threshold_.cut_
    found = _codes(findings.detector, strange.table)[marked]
    middle = cloud.mean(0)
    axes, shares = _directions(cloud - middle)
    places = (found - middle) @ axes
    explained = min(top, findings.marked)
    spots = [
        Spot(float(a), float(b), int(row), float(score), rank + 1, rank < explained)
        for rank, (a, b, row, score) in enumerate(zip(*places.T, strange.numbers[marked], strange.keys[marked], strict=True))
    ]
    plain = (cloud - middle)[~np.isin(sample.numbers, strange.numbers[marked])] @ axes
    titles = tuple(f"{which} direction, {percent(share)} of the spread" for which, share in zip(DIRECTIONS, shares, strict=True))
    return Section(
        "map",
        "Map of the codes",
        joined(
            paragraph(
                f"The autoencoder describes every row by {count(cloud.shape[1], 'number')}, its code. This is a flat view of "
                f"the codes of {count(len(cloud), 'row')}, with {count(len(spots), 'marked row')} on top; rows near each "
                "other look alike to the model. A strange row may also lie inside the cloud: this view keeps only "
                f"{percent(sum(shares))} of the spread."
            ),
            figure(MapChart(plain, spots, (titles[0], titles[1])).draw, legend(plain="a sample of the rows", marked="marked rows")),
        ),
    )


def _codes(detector: AnomalyDetector, rows: pa.Table) -> np.ndarray:
    codes = detector.encode(rows)
    return codes.reshape(len(codes), -1).astype(np.float64)


def _directions(codes: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """The two main directions (width, 2) of centred codes, and their shares of the spread."""
    _, sizes, axes = np.linalg.svd(codes, full_matrices=False)
    spread = np.append(np.square(sizes), [0.0, 0.0])[:2] / max(float(np.square(sizes).sum()), 1e-12)
    flat = np.zeros((codes.shape[1], 2))
    flat[:, : len(axes[:2])] = axes[:2].T
    return flat * np.where(flat.sum(0) < 0, -1, 1), (float(spread[0]), float(spread[1]))


def _sample(findings: Findings) -> tuple[np.ndarray, np.ndarray]:
    """The prepared sample (n, columns), and which of its rows are marked."""
    rows, detector = findings.sample.table, findings.detector
    if not len(rows):
        return np.empty((0, len(detector.preparation_.schema_.columns))), np.empty(0, bool)
    return detector.preparation_.transform(rows).numpy(), detector.predict(rows) < 0


def _labelled(findings: Findings) -> Section:
    """How the scores compare with labels that somebody gave."""
    scores = np.concatenate(findings.scores)
    figures = detection(pa.chunked_array(findings.truth), scores, findings.detector.threshold_.exceeded(scores))
    return Section(
        "labels",
        "Compared with known labels",
        joined(
            paragraph("Against the labels in ", name(findings.labels), ", which the model did not need. Bars are 95 % bootstrap intervals."),
            table(["figure", "value", "", "95 % interval"], [_figure(*each) for each in figures.items()], numeric=(1, 3), kind="figures"),
        ),
    )  # fmt: skip


def _figure(figure: str, at: Estimate) -> list[object]:
    words = "AUROC" if figure == "auroc" else figure.replace("_", " ")
    return [words, fixed(at.value, 3), bar(at.low, at.high - at.low, "plain"), f"{fixed(at.low, 3)} – {fixed(at.high, 3)}"]


def _facts(detector: AnomalyDetector) -> dict[str, object]:
    kept = 0 if detector.neighbours_ is None else len(detector.neighbours_.kept)
    return {
        "Calibrated on": count(calibration_rows(detector), "row"),
        "Neighbours kept": count(kept, "normal row") if kept else "none: the autoencoder alone",
        "Threshold": f"{type(detector.threshold_).__name__}, {number(detector.threshold_.cut_)} nats",
    }


def _limits(detector: AnomalyDetector) -> Sequence[Markup | str]:
    rows, held_out = calibration_rows(detector), detector.card()["data"]["held out"]
    counted = (
        f"p-values are counted on {count(rows, 'row')}: below {rarity(1 / (rows + 1))} they are extrapolated, and they "
        "hold only while normal rows keep coming from where those came from."
    )
    unheld = "No rows could be held out, so p-values come from rows the model has seen and are too small."
    said = "A contribution says which value surprised the model, not what caused it: the fault may sit in another column."
    return [*model.unseen(detector.preparation_.schema_), counted, *([] if held_out else [unheld]), said]
