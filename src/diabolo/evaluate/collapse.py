"""Which numbers of a random code are in use, and which have collapsed to the prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal

from diabolo.autoencoder import Autoencoder, still
from diabolo.batches import Batches
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.priors import StandardNormal

if TYPE_CHECKING:
    from jaxtyping import Float

SIZE = 4096  # rows looked at together
MOVES = 0.01  # variance of the mean above which a number is active
TELLS = 0.01  # nats below which a number says nothing of a row
ALMOST_ALL = 0.99  # share of rows of which a collapsed number says nothing


class Activity(NamedTuple):
    """How many code numbers are active and how many have collapsed; what each tells of a row on average, in nats."""

    active: int
    collapsed: int
    nats: Float[np.ndarray, "latent"]


def active_units(codes: Any, threshold: float = MOVES) -> int:
    """How many code numbers move with the rows: ``Var_x(E[z_j | x]) > threshold`` (Burda et al., 2016,
    arXiv:1509.00519).

    ``codes`` (n, latent) are the means of drawn codes, as ``encode`` gives them. The threshold is one for codes whose
    prior has variance 1; of other codes it says nothing. Raises InvalidData for another shape.

    >>> active_units(np.array([[0.0, 1.0, 0.01], [0.0, -1.0, 0.0]]))
    1
    """
    codes = np.asarray(codes, dtype=np.float64)
    if codes.ndim != 2 or not len(codes):
        raise InvalidData(f"Codes have the shape (n, latent), n at least 1. Got {codes.shape}.")
    return int((codes.var(0) > threshold).sum())


@torch.no_grad()
def activity(autoencoder: Autoencoder, rows: Batches) -> Activity:
    """Active and collapsed code numbers over all ``rows``, in one walk and in evaluation mode.

    ``active`` is that of ``active_units``. A number has collapsed if ``KL(q(z_j | x) || N(0, 1))`` is below 0.01 nats
    for 99 % of the rows (Lucas et al., 2019, arXiv:1911.02469); ``nats`` is its mean. They differ in between: a number
    that is neither tells little. On a grid the places are looked at as rows are. Raises InvalidParameter where the
    posterior or the prior of a code number is no normal distribution.

    >>> from diabolo.batches import Rows
    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import VAE
    >>> activity(VAE(latent=3).build(numbers(4)), Rows(torch.randn(50, 4))).nats.shape
    (3,)
    """
    with still(autoencoder):
        parts = [_moments(autoencoder, batch.x, batch.given) for batch in rows.ordered(SIZE)]
    if not parts:
        raise InvalidData("Codes are judged on rows. Got none.")
    mean, nats = (torch.cat(each).double().numpy() for each in zip(*parts, strict=True))
    quiet = (nats < TELLS).mean(0) >= ALMOST_ALL
    return Activity(active_units(mean), int(quiet.sum()), nats.mean(0))


def _moments(autoencoder: Autoencoder, x: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
    """The posterior means of some rows and their divergence from N(0, 1), both (rows * places, latent)."""
    prior = getattr(getattr(autoencoder, "bottleneck", None), "prior", None)
    posterior = autoencoder.encode(x, given).posterior if isinstance(prior, StandardNormal) else None
    if not isinstance(posterior, Normal):
        raise InvalidParameter(
            "Collapse is told of codes whose numbers have normal posteriors and the standard normal prior: take a "
            "single VAE, or another variant of its kind. For other codes there are `active_units` and `usage`."
        )
    mean, scale = posterior.mean, posterior.stddev
    nats = (mean.square() + scale.square() - 1) / 2 - scale.log()
    return _flat(mean), _flat(nats)


def _flat(x: Tensor) -> Tensor:
    """Places as rows."""
    return x.movedim(1, -1).flatten(0, -2)
