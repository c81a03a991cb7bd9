"""Why a row was marked: the values that made it strange, what would have been normal, and the nearest normal rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from diabolo.batches import in_blocks
from diabolo.grids import pixels
from diabolo.preparation.cycles import CYCLIC, in_words
from diabolo.preparation.dates import kind_of
from diabolo.preparation.values import Role, role
from diabolo.readers import taken
from diabolo.regions import Regions
from diabolo.tasks.anomaly_detector import AnomalyDetector
from diabolo.tasks.measures import within


@dataclass(frozen=True)
class Reason:
    """One value's part in a score: ``contribution`` in nats, ``share`` of the whole score.

    Of images and series ``column`` is a region, and ``value`` and ``normal`` are means over it. Of a date ``normal`` is
    in words: the day, the weekday, the hour and the month that would have been normal, as far as they were learned.
    """

    column: str
    value: Any
    normal: Any
    contribution: float
    share: float

    def __str__(self) -> str:
        return f"{self.column} = {shown(self.value)} (normal here: {shown(self.normal)}; {self.share:.0%} of the score)"


@dataclass(frozen=True)
class Explanation:
    """Why one row has its score; ``row`` counts from 0 in the data asked about, ``name`` is that of its file."""

    row: int
    score: float
    p_value: float
    anomaly: bool
    reasons: tuple[Reason, ...]
    nearest: tuple[Mapping[str, Any], ...]
    name: str = ""

    def __str__(self) -> str:
        verdict = "anomaly" if self.anomaly else "normal"
        row = f"row {self.row}" + (f", {self.name}" if self.name else "")
        head = f"{row}: {verdict}, score {self.score:.2f} nats, p = {self.p_value:.2g}"
        return "\n".join([head, *(f"  {reason}" for reason in self.reasons)])


def reasons(detector: AnomalyDetector, X: Any, top: int = 3, nearest: int = 2) -> list[Explanation]:
    """An explanation of every row of ``X``: its ``top`` reasons and its ``nearest`` normal rows.

    Contributions add up to the score over all columns, so the shares of the reasons told are at most 1 together.

    Examples
    --------
    >>> import numpy as np
    >>> from diabolo import AnomalyDetector
    >>> from diabolo.explain import reasons
    >>> rows = np.random.default_rng(0).normal(size=(300, 4))
    >>> detector = AnomalyDetector(random_state=0).fit(rows)
    >>> why = reasons(detector, [[0.0, 0.0, 9.0, 0.0]])[0]
    >>> why.reasons[0].column, why.anomaly
    ('x2', True)
    """
    rows, regions = detector.rows(X), Regions(detector.preparation_.schema_)
    names, contributions = regions.names, regions.sums(detector.explain(rows))
    scores = detector.anomaly_score(rows)
    verdicts = zip(scores, detector.threshold_.p_value(scores), detector.threshold_.exceeded(scores), strict=True)
    best = in_blocks(detector.preparation_.transform(rows), detector.autoencoder_.best)
    usual = within(detector.preparation_.schema_.columns, best)
    cells, normal = _cells(rows, detector), _made(usual, rows, detector, guessed=True)
    near = _nearest(detector, rows, nearest)
    told = zip(contributions, cells, normal, scores, strict=True)
    why = [_told(names, *each, top) for each in told]
    return [
        Explanation(row, float(score), float(p), bool(anomaly), why[row], near[row])
        for row, (score, p, anomaly) in enumerate(verdicts)
    ]


def _told(
    names: list[str], parts: np.ndarray, cells: Mapping[str, Any], normal: Mapping[str, Any], score: float, top: int
) -> tuple[Reason, ...]:
    """The largest contributions of one row, largest first."""
    largest = [i for i in np.argsort(-parts, kind="stable")[:top] if parts[i] > 0]
    return tuple(
        Reason(names[i], cells[names[i]], normal[names[i]], float(parts[i]), float(parts[i] / score)) for i in largest
    )


def _nearest(detector: AnomalyDetector, rows: Any, count: int) -> list[tuple[Mapping[str, Any], ...]]:
    """The nearest kept normal rows of each row, in the user's units."""
    found = detector.nearest(rows, count) if count else None
    if found is None:
        return [()] * len(rows)
    cells = _made(
        found.flatten(0, 1), taken(rows, np.repeat(np.arange(len(rows)), found.shape[1])), detector, guessed=False
    )
    return [tuple(cells[i * found.shape[1] : (i + 1) * found.shape[1]]) for i in range(len(rows))]


def _made(x: Tensor, like: np.ndarray | pa.Table, detector: AnomalyDetector, *, guessed: bool) -> list[dict[str, Any]]:
    """Prepared rows as cells in the user's units; dates that their parts do not make are put in words.

    They do not where the day itself was not learned, or where each part is a guess of its own.
    """
    cells = _cells(detector.preparation_.inverse_transform(x, like=like), detector)
    columns = detector.preparation_.schema_.columns
    for name in dict.fromkeys(column.source for column in columns if column.part in CYCLIC):
        places = [place for place, column in enumerate(columns) if column.source == name]
        model = [columns[place] for place in places]
        dated = role(kind_of(like[name], model)) is Role.DATE
        if dated and (guessed or model[0].part != "elapsed"):
            for row, words in zip(cells, in_words(model, x[:, places].double().numpy()), strict=True):
                row[name] = words
    return cells


def _cells(rows: Any, detector: AnomalyDetector) -> list[dict[str, Any]]:
    """Each row as a mapping from the explained columns to their values."""
    schema = detector.preparation_.schema_
    if schema.grid:
        regions = Regions(schema)
        means = regions.means(pixels(rows, schema))
        return [dict(zip(regions.names, row.tolist(), strict=True)) for row in means]
    if isinstance(rows, np.ndarray):
        names = detector.preparation_.schema_.sources
        return [dict(zip(names, row.tolist(), strict=True)) for row in rows]
    return pa.table(rows).select(list(detector.explained_names_)).to_pylist()


def shown(value: Any) -> str:
    """A value as a person would write it."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "missing"
    if isinstance(value, str) and value != value.strip():
        return repr(value)  # so that blanks at its ends are seen
    return f"{value:.4g}" if isinstance(value, float) else str(value)
