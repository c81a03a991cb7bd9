"""The report of a detector: how many rows stand out, which, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from diabolo.evaluate import Estimate, anomalies, detection
from diabolo.readers import Source
from diabolo.report import model, strangest
from diabolo.report.charts import ScoreChart, bar, figure, legend
from diabolo.report.findings import Findings, Seen
from diabolo.report.markup import Markup, joined, name
from diabolo.report.page import Page, Section, paragraph, table, tile, tiles
from diabolo.report.words import count, fixed, number, percent, rarity
from diabolo.tasks.anomaly_detector import AnomalyDetector

TRUSTED = 1e-3  # of the rarest share that was counted: how far extrapolated ones are told

FAR = 5.0  # nats by which a row is beyond the strangest of as many normal rows, which score about log(rows)


def report(detector: AnomalyDetector, seen: Seen, source: Source) -> Page:
    """Everything about one detector and one data set."""
    findings = Findings(detector, seen)
    findings.gather(source)
    sections = [
        _scores(findings),
        strangest.rows(findings),
        strangest.columns(findings) if findings.marked else None,
        strangest.codes(findings) if seen.rows else None,
        _labelled(findings, seen.labels) if seen.labels is not None and seen.rows else None,
        model.comparison(detector),
        model.training(detector),
        model.diagnosis(seen),
        model.columns(seen, _marked(findings)),
        model.card(detector, _limits(detector), _facts(detector)),
    ]
    headline = _headline(findings)
    return Page(f"{headline} – {seen.name}", headline, _lead(findings), [each for each in sections if each])


class Chance:
    """How many rows would be marked if all were normal: about ``mean``, and seldom more than ``most``.

    The number is beta-binomial, since the share of normal rows beyond the cut is itself known from so many rows only.
    """

    def __init__(self, detector: AnomalyDetector, rows: int) -> None:
        cut = detector.threshold_.cut_
        self.share = float(detector.threshold_.p_value([np.nextafter(cut, np.inf)])[0]) if math.isfinite(cut) else 1.0
        self.mean = self.share * rows
        spread = math.sqrt(self.mean * (1 - self.share) * (1 + rows / (strangest.calibration_rows(detector) + 1)))
        self.most = self.mean + 2 * spread + 1


def _headline(findings: Findings) -> str:
    if not findings.seen.rows:
        return "There are no rows to judge"
    if not findings.marked:
        return f"None of {count(findings.seen.rows, 'row')} stands out"
    verb = "stands" if findings.marked == 1 else "stand"
    return f"{count(findings.marked)} of {count(findings.seen.rows, 'row')} {verb} out"


def _lead(findings: Findings) -> Markup:
    cut, chance = findings.detector.threshold_.cut_, Chance(findings.detector, findings.seen.rows)
    learned = count(findings.detector.card()["data"]["rows"], "row")
    share = percent(findings.marked / max(1, findings.seen.rows))
    told = f" was compared with what a model learned from {learned} taken as normal. {_surprise(findings, chance)}"
    return joined(
        paragraph(name(findings.seen.name), told, kind="lead"),
        tiles(
            tile(count(findings.seen.rows), "rows", count(len(findings.totals), "column") + " read"),
            tile(count(findings.marked), "anomalies", f"{share} of the rows"),
            tile(f"≈ {number(chance.mean, 2)}", "expected by chance", "if every row were normal"),
            tile(number(cut, 3), "threshold, nats", f"{rarity(chance.share)} normal rows exceed it"),
        ),
    )


def _surprise(findings: Findings, chance: Chance) -> str:
    """Whether the marked rows are more than chance would mark."""
    usual = f"chance would mark about {number(chance.mean, 2)}"
    if not findings.seen.rows:
        return ""
    if findings.marked > chance.most:
        most, here = count(int(chance.most)), count(findings.marked)
        return f"If every row were normal, {usual}, seldom more than {most}: here it is {here}."
    if findings.marked > chance.mean:
        return f"If every row were normal, {usual}, and up to {count(int(chance.most))} would not be unusual."
    told = f"So many are no more than normal rows would show: if every row were normal, {usual}."
    if findings.spectrum.largest <= math.log(findings.seen.rows) + FAR:
        return told
    highest = f"{number(findings.spectrum.largest, 3)} nats"
    return f"{told} But the strangest row scores {highest}, far beyond the others: look at it."


def _scores(findings: Findings) -> Section:
    known = strangest.calibration_rows(findings.detector)
    kinds = {"plain": "not marked", "marked": "marked", "expected": "what normal rows alone would give"}
    said = (
        f"Counts are logarithmic. Shares of normal rows are counted on {count(known, 'row')}; where the upper axis is "
        f"dotted, beyond the strangest of these, they are extrapolated from a fitted tail."
    )
    body = joined(
        paragraph(_meaning(findings)),
        figure(_chart(findings, known).draw, legend(**kinds)),
        paragraph(said, kind="note"),
    )
    return Section("scores", "Scores", "Scores", body)


def _meaning(findings: Findings) -> str:
    """What a score is, and what the threshold means."""
    threshold = findings.detector.threshold_
    share = Chance(findings.detector, findings.seen.rows).share
    return (
        "A score says how unlike normal rows a row is, in nats: half of all normal rows score below "
        f"{number(threshold.calibration_.cut(0.5), 2)}. A row is marked when it scores above the threshold of "
        f"{number(threshold.cut_, 3)}, as {rarity(share)} normal rows would."
    )


def _chart(findings: Findings, known: int) -> ScoreChart:
    threshold = findings.detector.threshold_
    return ScoreChart(
        binned=findings.spectrum.binned,
        largest=findings.spectrum.largest,
        cut=threshold.cut_,
        rows=findings.seen.rows,
        p_value=lambda scores: threshold.calibration_.p_value(scores, smooth=True),
        score_at=threshold.calibration_.cut,
        observed=float(threshold.calibration_.knots[-1]),
        faintest=TRUSTED / (known + 1),
    )


def _marked(findings: Findings) -> np.ndarray:
    """Which rows of the sample are marked."""
    rows = findings.seen.sample.table
    return findings.detector.predict(rows) < 0 if len(rows) else np.empty(0, bool)


def _labelled(findings: Findings, labels: str) -> Section:
    """How the scores compare with labels that somebody gave."""
    truth, scores = model.known(findings.truth, findings.scores)
    if not len(truth):
        return model.without_labels()
    figures = detection(truth, scores, findings.detector.threshold_.exceeded(scores))
    rows = [_figure(*each) for each in figures.items()]
    told = paragraph("Against the labels in ", name(labels), ". Bars span the 95 % bootstrap intervals, from 0 to 1.")
    shown = table(["figure", "value", "", "95 % interval"], rows, numeric=(1, 3), kind="figures")
    body = joined(told, shown, _caution(findings, anomalies(truth)))
    return Section("labels", "Labels", "Compared with known labels", body)


def _caution(findings: Findings, truth: np.ndarray) -> Markup:
    """What the figures are worth: that of a score that knows nothing, and what would flatter the model."""
    strange, rows = int(truth.sum()), len(truth)
    left = findings.seen.rows - rows
    told = f"{count(left, 'row')} without a label {'is' if left == 1 else 'are'} left out. " if left else ""
    told += (
        f"{count(strange, 'row')} of {count(rows)} {'is an anomaly' if strange == 1 else 'are anomalies'} by "
        "these labels. A score that knows nothing has an AUROC of 0.5 and an average precision of "
        f"{fixed(strange / rows, 3)}. Where anomalies are rarer, average precision, precision and F1 are "
        "lower. On rows that the model was fitted to, the figures flatter it."
    )
    return joined(model.learned(findings.seen), paragraph(told, kind="note"))


def _figure(figure: str, at: Estimate) -> list[object]:
    words = {"auroc": "AUROC", "f1": "F1"}.get(figure, figure.replace("_", " "))
    interval = f"{fixed(at.low, 3)} to {fixed(at.high, 3)}"
    return [words, fixed(at.value, 3), bar(at.low, at.high - at.low, "plain"), interval]


def _facts(detector: AnomalyDetector) -> dict[str, object]:
    kept = 0 if detector.neighbours_ is None else len(detector.neighbours_.kept)
    return {
        "Calibrated on": count(strangest.calibration_rows(detector), "row"),
        "Neighbours kept": count(kept, "normal row") if kept else "none: the autoencoder alone",
        "Threshold": f"{type(detector.threshold_).__name__}, {number(detector.threshold_.cut_, 3)} nats",
    }


def _limits(detector: AnomalyDetector) -> Sequence[Markup | str]:
    rows = strangest.calibration_rows(detector)
    told: list[Markup | str] = [
        *model.unseen(detector.preparation_.schema_),
        f"p-values are counted on {count(rows, 'row')}: below {rarity(1 / (rows + 1))} they are extrapolated, and they "
        "hold only while normal rows keep coming from where those came from.",
        "A contribution says which value surprised the model, not what caused it: the fault may sit in another column.",
    ]
    if not detector.card()["data"]["held out"]:
        told.append("No rows could be held out, so p-values come from rows the model has seen and are too small.")
    return told
