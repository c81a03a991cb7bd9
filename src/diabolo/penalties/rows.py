"""Prices on the error of other rows than the trip's: without their outliers, or with noise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.func import grad
from torch.nn import functional as F

from diabolo.autoencoder import Autoencoder, Penalty, Reconstruction, still
from diabolo.corruptions import SwapRows
from diabolo.randomness import normal_like

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

TINY = 1e-12


class Outliers(Penalty):
    """Split a row into what is normal and what is not, ``x = l + s``, and learn from l alone (Zhou & Paffenroth, 2017,
    KDD).

    One number per row (n,), in nats, that turns the row's nll into ``nll(l) + weight * |s|``. From the trip's
    reconstruction r, ``s`` is the minimiser of ``|x - s - r|^2 / 2 + weight * |s|``, in standard deviations of the
    columns: with ``by="values"`` the L1 norm, each value shrunk by ``weight``; with ``by="rows"`` the length of s
    times the square root of how many numbers the row has, its whole error shrunk. Only numbers have outliers; s is
    held fixed, as in the paper's alternation. Runs the autoencoder a second time.

    >>> Outliers(1.0).split(torch.tensor([[0.5, 3.0]]), torch.tensor([[True, True]]))
    (tensor([[0., 2.]]), tensor([2.]))
    """

    name = "outliers"

    def __init__(self, weight: float, by: Literal["values", "rows"] = "values") -> None:
        super().__init__()
        self.weight, self.by = weight, by

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        told = autoencoder.likelihood.best(trip.output).detach()
        judged = trip.observed & _numbers(autoencoder, trip.x)
        outliers, size = self.split(torch.where(judged, trip.x - told, 0.0), judged)
        return energy(autoencoder, trip.x - outliers, trip) - trip.nll + self.weight * size

    def split(
        self, error: Float[Tensor, "n *features"], judged: Bool[Tensor, "n *features"]
    ) -> tuple[Float[Tensor, "n *features"], Float[Tensor, "n"]]:
        """The outliers in an error, and their norm per row."""
        if self.by == "values":
            outliers = F.softshrink(error, self.weight)
            return outliers, outliers.abs().flatten(1).sum(1)
        unit = judged.flatten(1).sum(1).sqrt()
        length = error.flatten(1).norm(dim=1).clamp_min(TINY)
        kept = (1 - self.weight * unit / length).clamp_min(0)
        return error * kept.view(-1, *[1] * (error.dim() - 1)), unit * kept * length


class Energy(Penalty):
    """The error of a row as its energy: low on the data, high or rising around it; in nats per row (n,).

    ``E(x) = nll(x)``. ``by="margin"`` is ``weight * max(0, margin + E(x) - E(y))`` with y the row with half of its
    values from other rows (LeCun et al., 2006, "A tutorial on energy-based learning"; as an autoencoder's energy Zhao
    et al., 2017, arXiv:1609.03126). ``by="score"`` matches the slope of the energy at a noisy row ``y = x + scale * e``
    with that of the noise, ``weight * scale^2 / 2 * |dE(y)/dy - (y - x) / scale^2|^2`` (Vincent, 2011; Alain & Bengio,
    2014, arXiv:1211.4246); only numbers have slopes.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import Vanilla
    >>> autoencoder = Vanilla().build(numbers(4))
    >>> Energy(2.0, margin=5.0)(autoencoder, autoencoder(torch.zeros(3, 4))).tolist()  # mixed, they stay the same
    [10.0, 10.0, 10.0]
    """

    name = "energy"

    def __init__(
        self, weight: float, by: Literal["margin", "score"] = "margin", margin: float = 5.0, scale: float = 0.3
    ) -> None:
        super().__init__()
        self.weight, self.by, self.margin, self.scale = weight, by, margin, scale
        self.swap = SwapRows(0.5)

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        if self.by == "score":
            return self.weight * self._mismatch(autoencoder, trip)
        own, other = (energy(autoencoder, each, trip) for each in (trip.x, self.swap(trip.x)))
        return self.weight * F.relu(self.margin + own - other)

    def _mismatch(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        moved = trip.observed & _numbers(autoencoder, trip.x)
        noise = torch.where(moved, self.scale * normal_like(trip.x), 0.0)

        def cost(shift: Tensor) -> Tensor:
            shift = torch.where(moved, shift, 0.0)
            with _moved(autoencoder, trip.x, shift):
                return energy(autoencoder, trip.x + shift, trip).sum()

        slope = grad(cost)(noise)
        return self.scale**2 / 2 * (slope - noise / self.scale**2).square().flatten(1).sum(1)


@contextmanager
def _moved(autoencoder: Autoencoder, x: Tensor, shift: Tensor) -> Iterator[None]:
    """The encoder sees ``x`` with its numbers moved: their features are they, and no other feature has a slope."""
    features = autoencoder.encoder.get_submodule("features")
    owner = features.get_buffer("owner")
    values, flags = features(x).tensor_split((len(owner),), 1)
    seen = torch.cat((values + shift.index_select(1, owner), flags), 1)
    with features.register_forward_hook(lambda *call: seen):
        yield


def energy(autoencoder: Autoencoder, x: Float[Tensor, "n *features"], trip: Reconstruction) -> Float[Tensor, "n"]:
    """The nll of rows ``x`` that lack what the trip's lack, seen as they are, without the noise of a random code."""
    with still(autoencoder.bottleneck):
        code = autoencoder.encode(x, trip.given)
    return autoencoder.nll_of(autoencoder.decoder(code.z, trip.given), x, trip.observed)


def _numbers(autoencoder: Autoencoder, x: Tensor) -> Bool[Tensor, "columns *ones"]:
    """Which columns are numbers, shaped to meet rows."""
    features = autoencoder.encoder.get_submodule("features")
    columns = torch.arange(x.shape[1], device=x.device)
    own = columns if features.plain else features.get_buffer("number_columns")
    return torch.isin(columns, own).view(-1, *[1] * (x.dim() - 2))
