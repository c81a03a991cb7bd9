"""Prices on one trip during training, in nats per row; the score never contains them.

Some are made by rows together (a rate, a total correlation, a discrepancy): their mean over the batch is the published
number, and each row's price is its own share of it.
"""

from __future__ import annotations

from diabolo.penalties.code import L1, Contractive, Sparsity
from diabolo.penalties.codes import MeanDiscrepancy, TotalCorrelation, total_correlation
from diabolo.penalties.critics import Adversary
from diabolo.penalties.dictionary import AuxK, Gate, Prefixes

__all__ = [
    "L1",
    "Adversary",
    "AuxK",
    "Contractive",
    "Gate",
    "MeanDiscrepancy",
    "Prefixes",
    "Sparsity",
    "TotalCorrelation",
    "total_correlation",
]
