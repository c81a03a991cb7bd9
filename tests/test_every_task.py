"""Every task under our own laws, as it comes and with other parts; scikit-learn's checks: test_scikit_learn."""

from __future__ import annotations

import pytest

from diabolo.checks.tasks import LAWS, Law, Subject
from diabolo.tasks import TASKS, AnomalyDetector, Clusterer, Denoiser, Embedder, Imputer, Synthesizer
from diabolo.tasks.task import Task
from diabolo.thresholds import PeaksOverThreshold
from diabolo.trainer import Trainer
from diabolo.variants import VAE, Denoising, Masked, Vanilla

SHORT = Trainer(epochs=3, batch_size=64)
EVERY: list[Task] = [
    *(task() for task in TASKS.values()),
    AnomalyDetector("Linear"),
    AnomalyDetector(Denoising(latent=2, hidden=(8,)), trainer=SHORT),
    AnomalyDetector(Vanilla(latent=2), neighbours=0, threshold=PeaksOverThreshold(risk=0.02), trainer=SHORT),
    AnomalyDetector(Masked(latent=4, hidden=(8,)), training="contaminated", trainer=SHORT),
    Imputer("Linear"),
    Imputer(Vanilla(latent=2, tied=True), rounds=2, trainer=SHORT),
    Denoiser(Denoising(latent=4, noise="swap"), trainer=SHORT),
    Embedder(Vanilla(latent=2, members=2), trainer=SHORT),
    Clusterer("Linear", clusters=3, by="means"),
    Synthesizer("Linear", components=2),
    Synthesizer(VAE(latent=2), prior="own", trainer=SHORT),
]
SUBJECTS = [Subject(task) for task in EVERY]  # each is fitted once for all laws


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: repr(subject.task))
def test_laws(subject: Subject, law: Law) -> None:
    law(subject)
