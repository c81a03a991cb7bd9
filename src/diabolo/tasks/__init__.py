"""The tasks by the verb that the command line knows them by, and ``load``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from diabolo.params import Params
from diabolo.tasks.anomaly_detector import AnomalyDetector
from diabolo.tasks.clusterer import Clusterer
from diabolo.tasks.denoiser import Denoiser
from diabolo.tasks.embedder import Embedder
from diabolo.tasks.imputer import Imputer
from diabolo.tasks.synthesizer import Synthesizer
from diabolo.tasks.task import Task

TASKS: dict[str, type[Task]] = {
    "detect": AnomalyDetector,
    "impute": Imputer,
    "denoise": Denoiser,
    "embed": Embedder,
    "cluster": Clusterer,
    "synthesize": Synthesizer,
}


def load(path: str | Path, custom: Iterable[type[Params]] = ()) -> Task:
    """The task that ``task.save(path)`` wrote; its scores are checked against those kept in the file.

    ``custom`` names variants of your own. Raises InvalidArtifact for a file that is damaged, hostile or does not
    reproduce its own scores here.
    """
    return Task.load(path, [*TASKS.values(), *custom])
