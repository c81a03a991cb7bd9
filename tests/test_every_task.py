"""Every task under scikit-learn's checks and under our own laws, as it comes and with other parts."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from diabolo.checks.tasks import LAWS, Law, Subject
from diabolo.tasks import TASKS, AnomalyDetector, Imputer
from diabolo.tasks.task import Task
from diabolo.thresholds import PeaksOverThreshold
from diabolo.trainer import Trainer
from diabolo.variants import Denoising, Masked, Vanilla

SHORT = Trainer(epochs=3, batch_size=64)
DEFAULTS: list[Task] = [task() for task in TASKS.values()]
SMALL: list[Task] = [
    AnomalyDetector(Denoising(latent=2, hidden=(8,)), trainer=Trainer(epochs=5)),
    Imputer(Vanilla(latent=2, tied=True), rounds=2, trainer=SHORT),
]
OTHERS: list[Task] = [
    AnomalyDetector("Linear"),
    AnomalyDetector(Vanilla(latent=2), neighbours=0, threshold=PeaksOverThreshold(risk=0.02), trainer=SHORT),
    AnomalyDetector(Masked(latent=4, hidden=(8,)), training="contaminated", trainer=SHORT),
    Imputer("Linear"),
]
SUBJECTS = [Subject(task) for task in (*DEFAULTS, *SMALL, *OTHERS)]  # each is fitted once for all laws


@pytest.fixture
def array_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it scikit-learn would skip one of its checks."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")


@parametrize_with_checks([*DEFAULTS, *SMALL])
def test_scikit_learn(estimator: Task, check, array_api: None) -> None:
    check(estimator)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: repr(subject.task))
def test_laws(subject: Subject, law: Law) -> None:
    law(subject)
