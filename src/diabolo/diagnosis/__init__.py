"""Diagnosis: what can be seen of a finished fit that its user should know; parts and rows in, findings out.

    Case (autoencoder, rows, history) --every check of CHECKS--> Finding or None

A check is one function. It speaks up where a figure is far from what sound fits show, and is silent otherwise; its
bounds are beside it.
"""

from __future__ import annotations

from diabolo.diagnosis import code, data, training
from diabolo.diagnosis.case import Case, cost, looked_at
from diabolo.diagnosis.drift import drifted
from diabolo.diagnosis.finding import Finding
from diabolo.diagnosis.spectrum import Spectrum
from diabolo.diagnosis.training import disagreement

__all__ = ["CHECKS", "Case", "Finding", "Spectrum", "cost", "disagreement", "drifted", "examined", "looked_at"]

CHECKS = (
    code.narrow,
    code.copying,
    code.collapsed,
    code.dead_numbers,
    code.dead_units,
    code.unused_tokens,
    data.likelihoods,
    data.pressed,
    data.outlying,
    training.over_fitted,
    training.unstable,
    training.unfinished,
    training.behind,
)


def examined(case: Case) -> tuple[Finding, ...]:
    """What all checks find; nothing is drawn from torch's random state, and no weight changes."""
    return tuple(finding for check in CHECKS if (finding := check(case)) is not None)
