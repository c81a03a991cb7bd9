"""What labels have to say of a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from diabolo.errors import InvalidParameter
from diabolo.evaluate.estimates import Estimate
from diabolo.evaluate.representation import clustering, embedding
from diabolo.evaluate.scores import detection

if TYPE_CHECKING:
    from diabolo.tasks.task import Task


def read(task: Task) -> list[str]:
    """The columns of what ``task.run`` says that are compared with labels.

    Raises InvalidParameter for a task whose answers labels have no say in.

    >>> from diabolo import AnomalyDetector, Clusterer
    >>> read(AnomalyDetector()), read(Clusterer())
    (['anomaly_score', 'anomaly'], ['cluster'])
    """
    return _compared(task)[0]


def judged(task: Task, labels: Any, *told: Any) -> dict[str, Estimate]:
    """The figures that suit a task: those of ``detection``, ``clustering`` or ``embedding``.

    ``told`` are the columns that ``read`` names.

    >>> from diabolo import Clusterer
    >>> judged(Clusterer(), ["on", "on", "off", "off"], [1, 1, 0, 0])["accuracy"].value
    1.0
    """
    return _compared(task)[1](labels, *told)


def _compared(task: Task) -> tuple[list[str], Callable[..., dict[str, Estimate]]]:
    from diabolo.tasks.anomaly_detector import AnomalyDetector
    from diabolo.tasks.clusterer import Clusterer
    from diabolo.tasks.embedder import Embedder

    if isinstance(task, AnomalyDetector):
        return ["anomaly_score", "anomaly"], lambda labels, scores, marked: detection(labels, scores, marked.to_numpy())
    if isinstance(task, Clusterer):
        return ["cluster"], clustering
    if isinstance(task, Embedder):
        return list(task.get_feature_names_out()), lambda labels, *codes: embedding(labels, np.column_stack(codes))
    raise InvalidParameter(
        "Labels are compared with what a detector, a clusterer or an embedder says; this is a model of the task "
        f"{type(task).__name__}. Make one: diabolo fit detect (or cluster, or embed) DATA -o MODEL"
    )
