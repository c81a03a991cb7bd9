"""diabolo: learn what is normal in unlabelled data.

The public names are imported when first used, so that ``import diabolo`` and ``diabolo --help`` load neither torch
nor scikit-learn.

>>> import diabolo
>>> diabolo.AnomalyDetector.__name__
'AnomalyDetector'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diabolo.advice import choose
    from diabolo.checks import check_task, check_variant
    from diabolo.errors import DiaboloError, DiaboloWarning
    from diabolo.tasks import load
    from diabolo.tasks.anomaly_detector import AnomalyDetector
    from diabolo.tasks.clusterer import Clusterer
    from diabolo.tasks.denoiser import Denoiser
    from diabolo.tasks.embedder import Embedder
    from diabolo.tasks.imputer import Imputer
    from diabolo.tasks.synthesizer import Synthesizer
    from diabolo.trainer import Trainer
    from diabolo.variants import Variant

__version__ = "0.1.0.dev0"

__all__ = [
    "AnomalyDetector",
    "Clusterer",
    "Denoiser",
    "DiaboloError",
    "DiaboloWarning",
    "Embedder",
    "Imputer",
    "Synthesizer",
    "Trainer",
    "Variant",
    "check_task",
    "check_variant",
    "choose",
    "load",
]

_HOME = {
    "AnomalyDetector": "diabolo.tasks.anomaly_detector",
    "Clusterer": "diabolo.tasks.clusterer",
    "Denoiser": "diabolo.tasks.denoiser",
    "DiaboloError": "diabolo.errors",
    "DiaboloWarning": "diabolo.errors",
    "Embedder": "diabolo.tasks.embedder",
    "Imputer": "diabolo.tasks.imputer",
    "Synthesizer": "diabolo.tasks.synthesizer",
    "Trainer": "diabolo.trainer",
    "Variant": "diabolo.variants",
    "check_task": "diabolo.checks",
    "check_variant": "diabolo.checks",
    "choose": "diabolo.advice",
    "load": "diabolo.tasks",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'diabolo' has no attribute {name!r}; it has: {', '.join(__all__)}.")
    globals()[name] = value = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
