"""Codes that are distributions."""

from __future__ import annotations

from typing import Annotated, Literal

from diabolo.autoencoder import Bottleneck, Bound, Penalty
from diabolo.bottlenecks import Gaussian, Plain
from diabolo.params import Count, Fraction, NonNegative, Positive, Within
from diabolo.penalties import Covariance, Factors, MeanDiscrepancy, TotalCorrelation
from diabolo.priors import Prior, StandardNormal
from diabolo.schedules import Anneal
from diabolo.variants.variant import Deep

__all__ = [
    "CIWAE",
    "DIPVAE",
    "IWAE",
    "MIWAE",
    "PIWAE",
    "VAE",
    "WAE",
    "AnnealedVAE",
    "BetaTCVAE",
    "FactorVAE",
    "InfoVAE",
]

WARMUP = "share of the training in which the price of the code rises from 0 to its full height"


class VAE(Deep):
    """A distribution per row, held near the prior (Kingma & Welling, 2014, arXiv:1312.6114).

    For generating rows, and for ``importance_bound``, which bounds -log p of a row; scores take the mean code instead
    of draws, and may lie on either side of -log p. With ``beta`` other than 1 it is the beta-VAE (Higgins et al.,
    2017), with ``scale="learned"`` the sigma-VAE, a spread per column (Rybkin et al., 2021, arXiv:2006.13202). Where
    the schema has conditions it is the conditional VAE (Sohn et al., 2015), as every variant. With more ``samples`` it
    learns from the importance bound, as ``IWAE``, and so do the variants made of it, whatever their prior.
    """

    beta: Annotated[Positive, "price of a nat of information in the code"] = 1.0
    free: Annotated[NonNegative, "nats per code number that are always paid, so that using them costs no more"] = 0.0
    warmup: Annotated[Fraction, WARMUP] = 0.2
    samples: Annotated[Count, "codes drawn per row in training, weighed as the IWAE's"] = 1

    def bottleneck(self, width: int) -> Bottleneck:
        return Gaussian(self.latent, Anneal(0.0, self.beta, self.warmup), self.free, prior=self.prior())

    def prior(self) -> Prior:
        """What codes are drawn from."""
        return StandardNormal(self.latent)

    def bound(self) -> Bound:
        return Bound(self.samples)


class AnnealedVAE(Deep):
    """A VAE whose rows are to tell a given number of nats, few at first (Burgess et al., 2018, arXiv:1804.03599).

    For codes whose numbers are learned one after the other, each before it is needed. The cost of the code is
    ``weight * |KL - C|``, C going from 0 to ``capacity``.
    """

    weight: Annotated[Positive, "the paper's gamma: price of a nat above or below the capacity"] = 2.0
    capacity: Annotated[Positive, "nats that a row tells in the end"] = 8.0
    warmup: Annotated[Fraction, "share of the training in which the capacity is reached"] = 0.5

    def bottleneck(self, width: int) -> Bottleneck:
        return Gaussian(self.latent, self.weight, capacity=Anneal(0.0, self.capacity, self.warmup))


class BetaTCVAE(VAE):
    """A VAE that pays extra only for dependence between code numbers (Chen et al., 2018, arXiv:1802.04942).

    For codes whose numbers mean one thing each.
    """

    weight: Annotated[NonNegative, "extra price of a nat of total correlation"] = 5.0

    def penalties(self) -> list[Penalty]:
        return [TotalCorrelation(self.weight)]


class FactorVAE(VAE):
    """A VAE that pays for dependence between code numbers, as told by a critic (Kim & Mnih, 2018, arXiv:1802.05983).

    For codes whose numbers mean one thing each, where batches are too small for BetaTCVAE.
    """

    weight: Annotated[NonNegative, "the paper's gamma: price of a nat of total correlation"] = 5.0
    critic: Annotated[tuple[Count, ...], "units of the critic's hidden layers"] = (64, 64)

    def penalties(self) -> list[Penalty]:
        return [Factors(self.latent, self.critic, self.weight)]


class DIPVAE(VAE):
    """A VAE whose code numbers are uncorrelated and of variance 1 over the rows (Kumar, Sattigeri & Balakrishnan,
    2018, arXiv:1711.00848).

    For codes whose numbers mean one thing each, with nothing but a covariance to compute.
    """

    weight: Annotated[NonNegative, "nats per squared covariance of two code numbers"] = 5.0
    diagonal: Annotated[NonNegative, "the same for a variance's squared distance from 1, as a multiple"] = 1.0
    of: Annotated[Literal["codes", "means"], "covariance of drawn codes (DIP-VAE-II) or of means (DIP-VAE-I)"] = "codes"

    def penalties(self) -> list[Penalty]:
        return [Covariance(self.weight, self.diagonal, self.of)]


class IWAE(VAE):
    """A VAE with several draws per row, weighed by how well they explain it (Burda et al., 2016, arXiv:1509.00519).

    For tighter bounds on log p and richer codes than the VAE's. Draws are made in training; scores use the mean code.
    """

    samples: Annotated[Count, "codes drawn per row in training"] = 8


class MIWAE(IWAE):
    """The IWAE's bound averaged over groups of draws (Rainforth et al., 2018, arXiv:1802.04537).

    For the IWAE's richer codes where its encoder stops learning: more draws in a group blur the encoder's gradient.
    """

    groups: Annotated[Count, "groups that the draws are split into; must divide samples"] = 2

    def bound(self) -> Bound:
        return Bound(self.samples, self.groups)


class CIWAE(IWAE):
    """Between the VAE's bound and the IWAE's (Rainforth et al., 2018, arXiv:1802.04537).

    For the IWAE's richer codes with an encoder that also learns from the VAE's bound.
    """

    elbo: Annotated[Fraction, "the paper's beta: share of the VAE's bound"] = 0.5

    def bound(self) -> Bound:
        return Bound(self.samples, elbo=self.elbo)


class PIWAE(MIWAE):
    """The decoder learns from the IWAE's bound, the encoder from the MIWAE's (Rainforth et al., 2018,
    arXiv:1802.04537).

    For tight bounds on log p together with a well trained encoder; the codes are decoded twice in training.
    """

    def bound(self) -> Bound:
        return Bound(self.samples, self.groups, partial=True)


class InfoVAE(Deep):
    """A VAE whose codes, all together, match the prior while each may stay informative (Zhao et al., 2019,
    arXiv:1706.02262).

    For generation where the VAE's code collapses. The paper's objective: ``(1 - alpha) KL + (alpha + weight - 1) MMD``.
    """

    alpha: Annotated[Fraction, "how much of the price on each row's information is waived"] = 0.5
    weight: Annotated[float, Within(1), "the paper's lambda: price of the discrepancy from the prior"] = 20.0
    kernel: Annotated[Literal["imq", "gaussian"], "how codes are compared: with heavy or light tails"] = "imq"
    warmup: Annotated[Fraction, WARMUP] = 0.2

    def bottleneck(self, width: int) -> Bottleneck:
        return Gaussian(self.latent, Anneal(0.0, 1 - self.alpha, self.warmup))

    def penalties(self) -> list[Penalty]:
        return [MeanDiscrepancy(self.alpha + self.weight - 1, self.kernel)]


class WAE(Deep):
    """A code that is a point, and all codes together match the prior (Tolstikhin et al., 2018, arXiv:1711.01558).

    For generation with sharper reconstructions than the VAE's: the WAE-MMD of the paper.
    """

    weight: Annotated[NonNegative, "price of the discrepancy from the prior"] = 20.0
    kernel: Annotated[Literal["imq", "gaussian"], "how codes are compared: with heavy or light tails"] = "imq"

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(self.latent)

    def penalties(self) -> list[Penalty]:
        return [MeanDiscrepancy(self.weight, self.kernel)]
