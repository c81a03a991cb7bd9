"""Prices on the codes of all rows together: how dependent, how far from the prior."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from diabolo.autoencoder import Autoencoder, Penalty, Reconstruction
from diabolo.errors import InvalidParameter
from diabolo.randomness import normal_like

if TYPE_CHECKING:
    from jaxtyping import Float


class TotalCorrelation(Penalty):
    """How dependent the numbers of the code are: ``weight * KL(q(z) || prod_j q(z_j))`` (Chen et al., 2018,
    arXiv:1802.04942).

    ``q`` is the mixture of the batch's posteriors. A row's price (n,), in nats, is ``log q(z) - sum_j log q(z_j)`` at
    its own code. The paper's minibatch weights add ``(latent - 1) * log(rows of the data)``, a constant without
    gradient, which is left out so that independent codes cost nothing. Raises InvalidParameter if the bottleneck has
    no posterior.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import VAE
    >>> autoencoder = VAE(latent=1).build(numbers(3))  # one number alone depends on none
    >>> bool(TotalCorrelation(1.0)(autoencoder, autoencoder(torch.randn(9, 3))).abs().max() < 1e-5)
    True
    """

    name = "total_correlation"

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        return self.weight * total_correlation(trip.code.z.flatten(1), *_moments(trip))


def total_correlation(
    z: Float[Tensor, "n latent"], mean: Float[Tensor, "m latent"], scale: Float[Tensor, "m latent"]
) -> Float[Tensor, "n"]:
    """``log q(z_i) - sum_j log q(z_ij)`` of each row, in nats, with q the mean of m normal distributions.

    >>> total_correlation(torch.zeros(1, 3), torch.zeros(1, 3), torch.ones(1, 3))
    tensor([0.])
    """
    each = -((z[:, None] - mean) / scale).square() / 2 - scale.log()  # row i under posterior j, constants cancel
    log_m = math.log(max(len(mean), 1))
    return (each.sum(-1).logsumexp(1) - log_m) - (each.logsumexp(1) - log_m).sum(-1)


def _moments(trip: Reconstruction) -> tuple[Tensor, Tensor]:
    if trip.code.posterior is None:
        raise InvalidParameter("This penalty needs a code with a posterior. Use the Gaussian bottleneck.")
    return trip.code.posterior.mean.flatten(1), trip.code.posterior.stddev.flatten(1)


class Covariance(Penalty):
    """How far the covariance C of the codes is from 1: ``weight * (sum_{i != j} C_ij^2 + diagonal * sum_i
    (C_ii - 1)^2)`` (Kumar, Sattigeri & Balakrishnan, 2018, arXiv:1711.00848).

    ``of="means"`` takes the covariance of the posteriors' means (DIP-VAE-I), ``"codes"`` that of codes drawn from
    them, ``Cov(mean) + E diag(scale^2)`` (DIP-VAE-II). A row's price (n,), in nats, is its share: the tangent of that
    sum at the batch's covariance, taken at the row's own part of it. The mean of the shares and its gradient are those
    of the sum. Raises InvalidParameter if the bottleneck has no posterior.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import VAE
    >>> autoencoder = VAE(latent=2).build(numbers(3))
    >>> trip = autoencoder(torch.randn(50, 3))
    >>> away = (trip.code.posterior.mean.T.cov(correction=0) - torch.eye(2)).square()
    >>> price = Covariance(0.5, diagonal=10.0)(autoencoder, trip).mean()
    >>> torch.allclose(price, 0.5 * (away.sum() + 9 * away.trace()), rtol=1e-3)
    True
    """

    name = "covariance"

    def __init__(self, weight: float, diagonal: float = 10.0, of: Literal["means", "codes"] = "means") -> None:
        super().__init__()
        self.weight, self.diagonal, self.of = weight, diagonal, of

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        mean, scale = _moments(trip)
        away = mean - mean.detach().mean(0)
        own = away[:, :, None] * away[:, None]
        if self.of == "codes":
            own = own + torch.diag_embed(scale.square())
        reached, one = own.detach().mean(0), torch.eye(own.shape[1]).to(own)
        slope = 2 * (1 + (self.diagonal - 1) * one) * (reached - one)
        return self.weight * ((slope * (reached - one)).sum() / 2 + (slope * (own - reached)).sum((1, 2)))


class MeanDiscrepancy(Penalty):
    """How far the codes, all together, are from the prior: ``weight * MMD^2`` (Gretton et al., 2012, JMLR 13;
    Tolstikhin et al., 2018, arXiv:1711.01558; Zhao et al., 2019, arXiv:1706.02262).

    With p as many draws from the standard normal, a row's price (n,) is its share
    ``weight * (mean_j k(z_i, z_j) - 2 mean_j k(z_i, p_j) + mean_j k(p_i, p_j))``, the means over other rows than i
    where both are of one kind, so that equal distributions cost 0 on average. ``kernel="imq"`` is
    ``sum_s s C / (s C + d^2) / 7`` for seven s from 0.1 to 10, ``"gaussian"`` is ``exp(-d^2 / C)``; C = 2 * latent,
    the mean squared distance of two draws.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import Vanilla
    >>> autoencoder = Vanilla(latent=2).build(numbers(4))
    >>> trip = autoencoder(torch.zeros(500, 4))  # codes that are all 0
    >>> price = MeanDiscrepancy(1.0, kernel="gaussian")(autoencoder, trip).mean()
    >>> bool((price - (1 - 2 * 2 / 3 + 1 / 2)).abs() < 0.1)
    True
    """

    name = "discrepancy"

    def __init__(self, weight: float, kernel: Literal["imq", "gaussian"] = "imq") -> None:
        super().__init__()
        self.weight, self.kernel = weight, kernel

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        z = trip.code.z.flatten(1)
        prior = normal_like(z)
        shares = _to_others(self._kernel(z, z)) - 2 * self._kernel(z, prior).mean(1)
        return self.weight * (shares + _to_others(self._kernel(prior, prior)))

    def _kernel(self, a: Tensor, b: Tensor) -> Float[Tensor, "n m"]:
        distance = (a[:, None] - b).square().sum(-1) / (2 * a.shape[1])
        if self.kernel == "gaussian":
            return (-distance).exp()
        scales = torch.tensor([0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]).to(a)
        return (scales / (scales + distance[..., None])).mean(-1)


def _to_others(kernel: Float[Tensor, "n n"]) -> Float[Tensor, "n"]:
    """The mean over the other rows; a row alone has nobody to differ from."""
    return (kernel.sum(1) - kernel.diagonal()) / max(len(kernel) - 1, 1)
