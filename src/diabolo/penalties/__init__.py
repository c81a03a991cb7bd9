"""Prices on one trip during training, in nats per row; the score never contains them.

Some are made by rows together (a rate, a total correlation, a discrepancy): their mean over the batch is the published
number, and each row's price is its own share of it.
"""

from __future__ import annotations

from diabolo.penalties.code import L1, Contractive, Sparsity
from diabolo.penalties.codes import Covariance, MeanDiscrepancy, TotalCorrelation, total_correlation
from diabolo.penalties.critics import Adversary, Factors

__all__ = [
    "L1",
    "Adversary",
    "Contractive",
    "Covariance",
    "Factors",
    "MeanDiscrepancy",
    "Sparsity",
    "TotalCorrelation",
    "total_correlation",
]
