r"""Dictionaries: a linear encoder and a linear decoder whose columns, the atoms, have length 1.

::

    f = features(x)             as the encoder sees a row, missing values filled; no reach, a strong feature is no error
    h = W f + c                 encoder; it starts as g D^T (f - b)
    f' = D z + b                decoder; |D_j| = 1 for every atom j, b starts at the geometric median of the rows

The subtraction of b before the encoder (the pre-bias of Bricken et al., 2023) is part of c, which is free. The factor g
keeps the first reconstructions as short as the rows: many atoms that are used at once add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from diabolo.autoencoder import Autoencoder, still
from diabolo.batches import Batches, drawn
from diabolo.errors import InvalidData
from diabolo.likelihoods import Columnwise
from diabolo.linear import Link
from diabolo.networks import Decoder, Encoder, Features
from diabolo.schema import Schema

if TYPE_CHECKING:
    from jaxtyping import Float

DRAWN = 4096  # rows that the median is taken of
STEPS = 50  # of Weiszfeld's iteration, which gains a digit in a few
TINY = 1e-8
SIZE = 4096  # rows judged together


class Dictionary(nn.Module):
    """``f' = D z + b`` with columns D_j of length 1: each weight column is divided by its length on the way.

    So no step of any optimiser can make the atoms longer, and gradients along an atom are 0 by themselves. Conditions,
    the last ``given`` inputs, have columns of any length.

    >>> layer = Dictionary(latent=3, out=2)
    >>> bool((layer.atoms.norm(dim=0) - 1).abs().max() < 1e-6)
    True
    """

    def __init__(self, latent: int, out: int, given: int = 0) -> None:
        super().__init__()
        self.latent = latent
        self.weight = nn.Parameter(functional.normalize(torch.randn(out, latent + given), dim=0))
        self.bias = nn.Parameter(torch.zeros(out))

    @property
    def atoms(self) -> Float[Tensor, "out latent"]:
        """The columns of the decoder, each of length 1."""
        return functional.normalize(self.weight[:, : self.latent], dim=0)

    def forward(self, z: Float[Tensor, "n latent"]) -> Float[Tensor, "n out"]:
        return functional.linear(z, torch.cat((self.atoms, self.weight[:, self.latent :]), 1), self.bias)


class Conditions(nn.Module):
    """The last ``count`` inputs alone: the conditions, without the features that stand before them."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Float[Tensor, "n width"]) -> Float[Tensor, "n count"]:
        return x[:, -self.count :]

    def extra_repr(self) -> str:
        return f"{self.count}"


def gain(width: int, latent: int, above: float) -> float:
    """The factor g with which ``D z`` is on average no longer than f, for random atoms and z the ``g D^T f`` above g t.

    The numbers ``D^T f`` of standardised rows are about standard normal, and those above t = ``above`` add up to
    ``latent / width * E[h^2; h > t]`` times the row, with ``E[h^2; h > t] = t phi(t) + Phi(-t)``. Never more than 1: an
    atom alone fits best as it is.

    >>> gain(64, 512, 0.0), gain(64, 512, 3.0)
    (0.25, 1.0)
    """
    normal = NormalDist()
    return min(1.0, width / (latent * (above * normal.pdf(above) + normal.cdf(-above))))


def pair(
    schema: Schema, latent: int, likelihood: Columnwise, factor: float = 1.0, *, across: bool = False
) -> tuple[Encoder, Decoder]:
    r"""The encoder to ``latent`` numbers, started as ``factor`` times the transposed dictionary, and the dictionary.

    With ``across`` the encoder reads the conditions instead of the row, if there are some, and starts in any direction;
    the dictionary then knows them only by the code. Shapes: x (n, columns, \*grid) to h (n, latent) and z (n, latent)
    to (n, likelihood.width, \*grid). A grid is laid out in one line: an atom is a whole row.

    >>> from diabolo.likelihoods import fitting
    >>> from diabolo.schema import numbers
    >>> encoder, decoder = pair(numbers(4), 16, fitting(numbers(4)))
    >>> decoder(encoder(torch.zeros(3, 4))).shape
    torch.Size([3, 4])
    """
    features, across = Features(schema), across and schema.given > 0
    wide, beside = features.width * math.prod(schema.grid), 0 if across else schema.given
    there, back = nn.Linear(schema.given if across else wide + beside, latent), Dictionary(latent, wide, beside)
    with torch.no_grad():
        any_way = functional.normalize(torch.randn(latent, schema.given), dim=1)
        there.weight.zero_()[:, : schema.given if across else wide] = factor * (any_way if across else back.atoms.T)
        there.bias.zero_()
    layers = nn.Sequential(*([Conditions(schema.given)] if across else []), there)
    encoder = Encoder(features, layers, schema.given, flat=bool(schema.grid))
    shape = [nn.Unflatten(1, (features.width, *schema.grid))] if schema.grid else []
    return encoder, Decoder(nn.Sequential(back, *shape, Link(features, likelihood)), beside)


@torch.no_grad()
def start(autoencoder: Autoencoder, batches: Batches, seed: int) -> None:
    """Put the dictionary's bias at the geometric median of (at most 4096) rows, unless it has moved from 0 before."""
    reading: nn.Sequential = autoencoder.encoder.layers  # type: ignore[assignment]
    there: nn.Linear = reading[-1]  # type: ignore[assignment]
    back: Dictionary = autoencoder.decoder.layers[0]  # type: ignore[assignment, index]
    if back.bias.any():
        return
    batch = drawn(batches, DRAWN, seed)
    x, given = autoencoder.apart(batch.x, batch.given)
    features = autoencoder.encoder.features(x).flatten(1)  # type: ignore[operator]
    back.bias.copy_(geometric_median(features, batch.weights))
    middle: Tensor = back.bias
    if isinstance(reading[0], Conditions) and given is not None:
        middle = geometric_median(given, batch.weights)
    there.bias.sub_(there.weight[:, : len(middle)] @ middle)


def geometric_median(x: Float[Tensor, "n d"], weight: Float[Tensor, "n"]) -> Float[Tensor, "d"]:
    """The point of least ``sum_i weight_i |x_i - point|``, by Weiszfeld's iteration (1937).

    A few huge rows, which move a mean, do not move it.

    >>> x = torch.tensor([[0.0], [1.0], [1000.0]])
    >>> round(geometric_median(x, torch.ones(3)).item(), 2)
    1.0
    """
    point = torch.einsum("n,nd->d", weight, x) / weight.sum()
    for _ in range(STEPS):
        pull = weight / (x - point).norm(dim=1).clamp_min(TINY)
        point = torch.einsum("n,nd->d", pull, x) / pull.sum()
    return point


class Fidelity(NamedTuple):
    """Numbers in use per row (``l0``), share of the variance explained, and share of the atoms that no row uses."""

    l0: float
    explained_variance: float
    dead: float


@torch.no_grad()
def fidelity(autoencoder: Autoencoder, rows: Batches) -> Fidelity:
    """The three figures over all ``rows``, in one walk and in evaluation mode.

    ``explained_variance = 1 - sum (x - x')^2 / sum (x - mean)^2`` over all observed values of prepared rows, the mean
    being that of each column. Raises InvalidData where there are no rows or nothing varies.

    >>> from diabolo.batches import Rows
    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import TopKDictionary
    >>> fidelity(TopKDictionary(latent=8, k=2).build(numbers(4)), Rows(torch.randn(50, 4))).l0 <= 2
    True
    """
    with still(autoencoder):
        sums = [torch.stack(each).sum(0) for each in zip(*_walk(autoencoder, rows), strict=True)]
    if not sums:
        raise InvalidData("A dictionary is judged on rows. Got none: pass at least two.")
    uses, observed, total, squares, missed = sums
    variation = (squares - total.square() / observed.clamp_min(1)).sum()
    if not variation > 0:
        raise InvalidData("The rows do not vary, so there is nothing to explain. Pass rows that differ.")
    explained = 1 - float(missed.sum() / variation)
    return Fidelity(float(uses.sum()) / rows.rows, explained, float((uses == 0).double().mean()))


def _walk(autoencoder: Autoencoder, rows: Batches) -> Iterator[tuple[Tensor, ...]]:
    """Of each batch: uses of each atom; count, sum and squares of each value; squared errors."""
    for batch in rows.ordered(SIZE):
        x, given = autoencoder.apart(batch.x, batch.given)
        trip = autoencoder(x, given)
        x = x.nan_to_num(0.0).double()
        away = torch.where(trip.observed, autoencoder.likelihood.best(trip.output) - x, 0.0)
        uses = trip.code.z.ne(0).sum(0)
        yield uses, trip.observed.sum(0), x.sum(0), x.square().sum(0), away.square().sum(0)
