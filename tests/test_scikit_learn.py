"""Every task under scikit-learn's own checks: none fails, none is expected to fail, none is skipped."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from diabolo.tasks import TASKS, AnomalyDetector, Clusterer, Denoiser, Embedder, Imputer, Synthesizer
from diabolo.tasks.task import Task
from diabolo.trainer import Trainer
from diabolo.variants import Denoising, Vanilla

SMALL: list[Task] = [
    AnomalyDetector(Denoising(latent=2, hidden=(8,)), trainer=Trainer(epochs=5)),
    AnomalyDetector("Linear", training="contaminated", neighbours=0),
    Imputer(Vanilla(latent=2, tied=True), rounds=2, trainer=Trainer(epochs=3)),
    Denoiser("Linear"),
    Embedder(Denoising(latent=2, hidden=(8,)), trainer=Trainer(epochs=5)),
    Clusterer("Linear", clusters=3, by="means"),
    Synthesizer("Linear", components=2),
]


@pytest.fixture
def array_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it scikit-learn would skip one of its checks."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")


@parametrize_with_checks([*(task() for task in TASKS.values()), *SMALL])
def test_check(estimator: Task, check, array_api: None) -> None:
    check(estimator)
