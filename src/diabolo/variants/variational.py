"""Codes that are distributions."""

from __future__ import annotations

from typing import Annotated, Literal

from diabolo.autoencoder import Bottleneck, Penalty
from diabolo.bottlenecks import Gaussian
from diabolo.params import Count, Fraction, Natural, NonNegative, Positive, Within
from diabolo.penalties import MeanDiscrepancy, TotalCorrelation
from diabolo.schedules import Anneal
from diabolo.variants.variant import Deep

__all__ = [
    "IWAE",
    "VAE",
    "AnnealedVAE",
    "BetaTCVAE",
    "InfoVAE",
]


class VAE(Deep):
    """A distribution per row, held near the prior (Kingma & Welling, 2014, arXiv:1312.6114).

    For generating rows, and for scores that bound -log p of a row; with ``beta`` other than 1 it is the beta-VAE
    (Higgins et al., 2017), with ``scale="learned"`` the sigma-VAE, a spread per column (Rybkin et al., 2021,
    arXiv:2006.13202). Where the schema has conditions it is the conditional VAE (Sohn et al., 2015), as every variant.
    """

    beta: Annotated[Positive, "price of a nat of information in the code"] = 1.0
    free: Annotated[NonNegative, "nats per code number that are always paid, so that using them costs no more"] = 0.0
    warmup: Annotated[Natural, "training batches until the full price"] = 0

    def bottleneck(self, width: int) -> Bottleneck:
        return Gaussian(self.latent, Anneal(0.0, self.beta, self.warmup), self.free)


class AnnealedVAE(Deep):
    """A VAE whose rows are to tell a given number of nats, few at first (Burgess et al., 2018, arXiv:1804.03599).

    For codes whose numbers are learned one after the other, each before it is needed. The cost of the code is
    ``weight * |KL - C|``, C going from 0 to ``capacity`` in ``steps`` training batches.
    """

    weight: Annotated[Positive, "the paper's gamma: price of a nat above or below the capacity"] = 2.0
    capacity: Annotated[Positive, "nats that a row tells in the end"] = 8.0
    steps: Annotated[Natural, "training batches until the capacity is reached"] = 100

    def bottleneck(self, width: int) -> Bottleneck:
        return Gaussian(self.latent, self.weight, capacity=Anneal(0.0, self.capacity, self.steps))


class BetaTCVAE(VAE):
    """A VAE that pays extra only for dependence between code numbers (Chen et al., 2018, arXiv:1802.04942).

    For codes whose numbers mean one thing each.
    """

    weight: Annotated[NonNegative, "extra price of a nat of total correlation"] = 5.0

    def penalties(self) -> list[Penalty]:
        return [TotalCorrelation(self.weight)]


class IWAE(Deep):
    """A VAE with several draws per row, weighed by how well they explain it (Burda et al., 2016, arXiv:1509.00519).

    For tighter bounds on log p and richer codes than the VAE's. Draws are made in training; scores use the mean code.
    """

    samples: Annotated[Count, "codes drawn per row in training"] = 8

    def bottleneck(self, width: int) -> Bottleneck:
        return Gaussian(self.latent)


class InfoVAE(Deep):
    """A VAE whose codes, all together, match the prior while each may stay informative (Zhao et al., 2019,
    arXiv:1706.02262).

    For generation where the VAE's code collapses. The paper's objective: ``(1 - alpha) KL + (alpha + weight - 1) MMD``.
    """

    alpha: Annotated[Fraction, "how much of the price on each row's information is waived"] = 0.5
    weight: Annotated[float, Within(1), "the paper's lambda: price of the discrepancy from the prior"] = 20.0
    kernel: Annotated[Literal["imq", "gaussian"], "how codes are compared: with heavy or light tails"] = "imq"

    def bottleneck(self, width: int) -> Bottleneck:
        return Gaussian(self.latent, 1 - self.alpha)

    def penalties(self) -> list[Penalty]:
        return [MeanDiscrepancy(self.alpha + self.weight - 1, self.kernel)]
