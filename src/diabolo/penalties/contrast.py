"""Prices on two views of a row: they should be alike, and unlike those of other rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.func import grad
from torch.nn import functional as F

from diabolo.autoencoder import Autoencoder, Penalty, Reconstruction
from diabolo.errors import InvalidParameter

if TYPE_CHECKING:
    from jaxtyping import Float

By = Literal["infonce", "barlow", "vicreg", "information"]

APART = 0.005  # Barlow Twins: price of a squared correlation of two numbers
INVARIANCE, SPREAD, COVARIANCE = 25.0, 25.0, 1.0  # VICReg: prices of its three terms
GROUPINGS = 4  # times that rows are put into groups, each in its own way
TINY = 1e-4
APART_AT_FIRST = 0.7  # deviation of the weights that groups are told by
RARE = 1e-9  # share of rows below which two groups have none in common


class Contrast(Penalty):
    """How unlike two corruptions of a row are, next to those of other rows: ``weight * price``, in nats per row (n,).

    The trip's code is the one view, the code of a second corruption by the autoencoder's own part the other; both go
    through a small network to ``width`` numbers, which learns beside the encoder.

    ``by="infonce"`` is the cross entropy, in nats, of telling the other view among those of all rows by
    ``cosine / temperature`` (van den Oord et al., 2018, arXiv:1807.03748; Chen et al., 2020, arXiv:2002.05709).
    ``"barlow"`` is ``sum_j (1 - C_jj)^2 + 0.005 sum_{j != k} C_jk^2`` with C the correlations of the views' numbers
    (Zbontar et al., 2021, arXiv:2103.03230). ``"vicreg"`` is ``25`` times the mean squared difference, ``25`` times
    the mean of what the numbers' deviations lack to 1, and their squared covariances per number (Bardes et al., 2022,
    arXiv:2105.04906). ``"information"`` puts the views into ``width`` soft groups, several times side by side, and is
    ``log width - I``, I the mean information in nats that the group of one view has of the other's (Ji et al., 2019,
    arXiv:1807.06653): codes part into groups of alike rows. The last three are made by the rows together: a row's price
    is its share, whose mean over the batch and its gradient are those of the whole. ``pairs`` times the price of
    ``"infonce"`` is added, on numbers of its own. Held-out rows, seen as they are, are compared with a corruption.
    Raises InvalidParameter without a corruption.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import Contrastive
    >>> autoencoder = Contrastive(latent=2).build(numbers(3))
    >>> price = Contrast(latent=2)(autoencoder, autoencoder(torch.zeros(4, 3)))  # 4 rows that nothing tells apart
    >>> price.exp().round().tolist()
    [7.0, 7.0, 7.0, 7.0]
    """

    name = "contrast"
    judges = True

    def __init__(
        self,
        latent: int,
        width: int = 32,
        weight: float = 1.0,
        by: By = "infonce",
        temperature: float = 0.5,
        pairs: float = 0.0,
    ) -> None:
        super().__init__()
        kinds: list[By] = [by, "infonce"] if pairs else [by]
        self.weights = [weight, pairs][: len(kinds)]
        self.projections = nn.ModuleList(_projection(latent, width, kind) for kind in kinds)
        prices: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "infonce": partial(infonce, temperature=temperature),
            "barlow": barlow,
            "vicreg": vicreg,
            "information": information,
        }
        self.prices = [prices[kind] for kind in kinds]

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        if autoencoder.corruption is None:
            raise InvalidParameter("Contrast compares two corruptions of a row. Give the autoencoder a corruption.")
        other = autoencoder.encode(autoencoder.corruption(trip.x), trip.given)
        views = [code.z.flatten(1) for code in (trip.code, other)]
        parts = zip(self.weights, self.projections, self.prices, strict=True)
        return sum(weight * price(*map(projection, views)) for weight, projection, price in parts)  # type: ignore[return-value]


class Standardised(nn.Module):
    """Numbers of mean 0 and deviation 1 over the rows of the batch."""

    def forward(self, z: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        return _standardised(z)


def _projection(latent: int, width: int, by: By) -> nn.Module:
    """The numbers that codes are compared by; groups are told by the codes themselves, so that these part."""
    if by == "information":
        return nn.Sequential(Standardised(), spread(nn.Linear(latent, GROUPINGS * width)))
    return nn.Sequential(nn.Linear(latent, width), nn.SiLU(), nn.Linear(width, width))


def spread(layer: nn.Linear) -> nn.Linear:
    """The layer with weights by which rows differ in their groups from the start: where all are alike, no slope is."""
    nn.init.normal_(layer.weight, std=APART_AT_FIRST)
    return layer


def infonce(a: Float[Tensor, "n k"], b: Float[Tensor, "n k"], temperature: float) -> Float[Tensor, "n"]:
    """The mean of both views' cross entropies, each among the 2 n - 1 others.

    >>> infonce(torch.eye(2), torch.eye(2), temperature=0.01)
    tensor([0., 0.])
    """
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    both = torch.cat([a, b])
    alike = both @ both.T / temperature
    others = alike.masked_fill(torch.eye(len(both), dtype=torch.bool, device=a.device), -torch.inf)
    own = (a * b).sum(1) / temperature
    return others.logsumexp(1).view(2, -1).mean(0) - own


def barlow(a: Float[Tensor, "n k"], b: Float[Tensor, "n k"]) -> Float[Tensor, "n"]:
    """Each row's share of Barlow Twins."""
    return _shares(_standardised(a), _standardised(b), _from_identity)


def vicreg(a: Float[Tensor, "n k"], b: Float[Tensor, "n k"]) -> Float[Tensor, "n"]:
    """Each row's share of VICReg."""
    centred = (a - a.mean(0), b - b.mean(0))
    return INVARIANCE * (a - b).square().mean(1) + sum(_shares(each, each, _from_spread) for each in centred)


def information(a: Float[Tensor, "n k"], b: Float[Tensor, "n k"]) -> Float[Tensor, "n"]:
    """Each row's share of the nats that the group of one view lacks to tell the group of the other."""
    groups = (each.unflatten(1, (GROUPINGS, -1)).softmax(2) for each in (a, b))
    pairs = zip(*(each.unbind(1) for each in groups), strict=True)
    return sum(_shares(p, q, _untold) for p, q in pairs) / GROUPINGS  # type: ignore[return-value]


def _shares(a: Float[Tensor, "n k"], b: Float[Tensor, "n k"], cost: Callable[[Tensor], Tensor]) -> Float[Tensor, "n"]:
    """The tangent of ``cost(mean_i a_i b_i')`` at that mean, taken at each row's own product."""
    mean = (a.T @ b / len(a)).detach()
    slope = grad(cost)(mean)
    return cost(mean) - (slope * mean).sum() + ((a @ slope) * b).sum(1)


def _from_identity(c: Float[Tensor, "k k"]) -> Tensor:
    return (1 - c.diagonal()).square().sum() + APART * _off_diagonal(c)


def _from_spread(c: Float[Tensor, "k k"]) -> Tensor:
    lacking = F.relu(1 - (c.diagonal() + TINY).sqrt()).mean()
    return SPREAD / 2 * lacking + COVARIANCE * _off_diagonal(c) / len(c)


def _untold(c: Float[Tensor, "k k"]) -> Tensor:
    """``log k`` less the mutual information of two groups, ``c`` the share of rows in each pair of them."""
    pair = ((c + c.T) / 2).clamp_min(RARE)
    one = pair.sum(1)
    return math.log(len(c)) - (pair * pair.log()).sum() + 2 * (one * one.log()).sum()


def _off_diagonal(c: Float[Tensor, "k k"]) -> Tensor:
    return c.square().sum() - c.diagonal().square().sum()


def _standardised(a: Float[Tensor, "n k"]) -> Tensor:
    centred = a - a.mean(0)
    return centred * (centred.square().mean(0) + TINY).rsqrt()
