"""report: one HTML file about a fitted task and a data set, to be opened, printed or sent; it asks no network.

source --one pass, bounded memory--> what was seen of it --> sections --> page.html, its style and script inside
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from diabolo.errors import InvalidParameter, SchemaMismatch, suggestion
from diabolo.evaluate import read
from diabolo.files import replacing
from diabolo.grids import grid_column
from diabolo.readers import Source, as_rows, open_source
from diabolo.report import anomalies, cleanings, codes, completions, groups, likenesses
from diabolo.report.findings import Held, Seen
from diabolo.report.page import Page
from diabolo.tasks.anomaly_detector import AnomalyDetector
from diabolo.tasks.clusterer import Clusterer
from diabolo.tasks.denoiser import Denoiser
from diabolo.tasks.embedder import Embedder
from diabolo.tasks.imputer import Imputer
from diabolo.tasks.synthesizer import Synthesizer
from diabolo.tasks.task import Task

__all__ = ["MOST_ROWS", "write"]

MOST_ROWS = 100  # explained rows, so that the page stays small
REPORTS: Mapping[type[Task], Callable[[Any, Seen, Source], Page]] = {  # THE one place to add one
    AnomalyDetector: anomalies.report,
    Clusterer: groups.report,
    Denoiser: cleanings.report,
    Embedder: codes.report,
    Imputer: completions.report,
    Synthesizer: likenesses.report,
}


def write(task: Task, data: Any, path: str | Path, *, labels: str | None = None, top: int = 20) -> None:
    """Write a page about a fitted ``task`` and what it makes of ``data`` to the file ``path``.

    ``data`` is a Source, the path of a file, or rows in memory. ``labels`` names a column of known labels, such as
    ``evaluate.judged`` takes, to compare a detector's scores, clusters or codes with; ``top`` is how many rows of a
    detector are explained, 1 to 100. The data is streamed: memory does not grow with its rows, but for about 20 bytes
    per row where there are labels.
    Raises InvalidParameter, SchemaMismatch if there is no column ``labels``, InvalidData for rows that cannot be read.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from diabolo import AnomalyDetector, report
    >>> rows = np.random.default_rng(0).normal(size=(300, 3))
    >>> detector = AnomalyDetector("Linear", random_state=0).fit(rows)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report.write(detector, rows, f"{folder}/report.html")
    ...     page = Path(folder, "report.html").read_text(encoding="utf-8")
    >>> page[:15], "300 rows" in page
    ('<!DOCTYPE html>', True)
    """
    source = _source(task, data)
    _check(task, source, labels, top)
    seen = Seen(task, Path(source.name).name, labels, top)
    page = _page(task, seen, source).html().encode()
    with replacing(path) as file:
        file.write(page)


def _page(task: Task, seen: Seen, source: Source) -> Page:
    for kind, report in REPORTS.items():
        if isinstance(task, kind):
            return report(task, seen, source)
    known = ", ".join(kind.__name__ for kind in REPORTS)
    raise InvalidParameter(
        f"There is no report for {type(task).__name__}; there is one for {known}. What "
        "the model is and how it compares with PCA: `diabolo show MODEL`, or card() in Python."
    )


def _source(task: Task, data: Any) -> Source:
    if isinstance(data, Source):
        return data
    if isinstance(data, (str, Path)):
        return open_source(data, None, task.preparation_.schema_, task.fields_.types)
    rows = as_rows(data)
    if hasattr(rows, "schema"):
        return Held(rows)
    names = task.preparation_.schema_.sources
    columns = np.moveaxis(task.rows(rows), 1, 0)
    make = grid_column if columns.ndim > 2 else pa.array
    return Held(pa.table([make(column) for column in columns], names=list(names)))


def _check(task: Task, source: Source, labels: str | None, top: int) -> None:
    if not (isinstance(top, int) and 1 <= top <= MOST_ROWS):
        raise InvalidParameter(f"The 'top' of a report must be an int from 1 to {MOST_ROWS}. Got {top!r}.")
    names = source.schema.names
    if labels is not None:
        read(task)  # says so where labels have no say
    if labels is not None and labels not in names:
        raise SchemaMismatch(f"{source.name} has no column {labels!r}.{suggestion(labels, names)}")
