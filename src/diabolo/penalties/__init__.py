"""Prices on one trip during training, in nats per row; the score never contains them.

Some are made by rows together (a rate, a total correlation, a discrepancy): their mean over the batch is the published
number, and each row's price is its own share of it.
"""

from __future__ import annotations

from diabolo.penalties.clusters import Clusters
from diabolo.penalties.code import L1, Contractive, Information, Sparsity
from diabolo.penalties.codes import Covariance, MeanDiscrepancy, TotalCorrelation, total_correlation
from diabolo.penalties.contrast import Contrast
from diabolo.penalties.critics import Adversary, Factors
from diabolo.penalties.dictionary import AuxK, Gate, Prefixes
from diabolo.penalties.discriminator import Discriminator
from diabolo.penalties.rows import Energy, Outliers
from diabolo.penalties.weights import Orthogonality

__all__ = [
    "L1",
    "Adversary",
    "AuxK",
    "Clusters",
    "Contractive",
    "Contrast",
    "Covariance",
    "Discriminator",
    "Energy",
    "Factors",
    "Gate",
    "Information",
    "MeanDiscrepancy",
    "Orthogonality",
    "Outliers",
    "Prefixes",
    "Sparsity",
    "TotalCorrelation",
    "total_correlation",
]
