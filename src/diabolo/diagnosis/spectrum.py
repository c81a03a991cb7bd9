"""Spectrum: what the columns of a data set have in common, as principal components of their features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diabolo.networks import Features

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

WIDE = 512  # features from which fewer rows are looked at, since the work grows with the cube
FEWER = 500
CHANCE = 1.05  # times the largest variance of shuffled columns, which differs from shuffle to shuffle
FLOOR = 1e-3  # of a standard deviation, squared: what no direction tells is never taken to be less


@dataclass(frozen=True)
class Spectrum:
    """The principal components of features of unit scale.

    ``variances`` (k,) fall, ``axes`` (width, k) are their directions. ``shared`` of them are larger than the largest of
    the same columns once each was shuffled by itself (parallel analysis: Horn, 1965).

    >>> t = torch.linspace(-1.7, 1.7, 200)
    >>> Spectrum.of(torch.stack([t, t, -t, t.cos()], 1)).shared
    1
    """

    mean: Float[Tensor, "width"]
    variances: Float[Tensor, "k"]
    axes: Float[Tensor, "width k"]
    shared: int

    @classmethod
    def of(cls, features: Float[Tensor, "n width"], owner: Int[Tensor, "width"] | None = None) -> Spectrum:
        """The components of these rows; of wide ones, of the first 500.

        ``owner`` is the column that each feature tells of, by default its own; those of one column stay together.
        """
        rows = (features[:FEWER] if features.shape[1] > WIDE else features).double()
        mean, (n, width) = rows.mean(0), rows.shape
        rows = (rows - mean) / math.sqrt(n)
        if n < width:
            variances, turns = torch.linalg.eigh(rows @ rows.T)
            axes = rows.T @ turns * variances.clamp_min(1e-12).rsqrt()
        else:
            variances, axes = torch.linalg.eigh(rows.T @ rows)
        variances, axes = variances.flip(0).clamp_min(0), axes.flip(1)
        edge = _largest(_shuffled(rows, torch.arange(width) if owner is None else owner))
        return cls(mean, variances, axes, int((variances > CHANCE * edge).sum()))

    @classmethod
    def learned(cls, features: Features, x: Float[Tensor, "n *columns"]) -> Spectrum:
        """The components of what ``features`` sees of prepared rows, those of a grid in one line."""
        seen = features.filled(x)
        return cls.of(seen.flatten(1), features.owners(seen[0, 0].numel()))

    def explained(self, count: int) -> float:
        """The share of the variance that lies in the first ``count`` directions."""
        return float(self.variances[:count].sum() / self.variances.sum().clamp_min(1e-12))

    def restored(
        self, features: Float[Tensor, "n width"], count: int, hidden: Bool[Tensor, "turns width"] | None = None
    ) -> Float[Tensor, "n width"]:
        """What ``count`` components say of each feature, as the mean of probabilistic PCA (Tipping & Bishop, 1999).

        With ``hidden`` each feature is told from those that its turn does not hide.
        """
        away, main = features.double() - self.mean, self.axes[:, :count]
        if hidden is None:
            return self.mean + away @ main @ main.T
        rest = (self.variances[count:].sum() / max(1, len(self.mean) - count)).clamp_min(FLOOR)
        common = main * (self.variances[:count] - rest).clamp_min(0).sqrt()
        told = torch.zeros_like(away)
        for out in hidden:
            seen = common[~out]
            inner = seen.T @ seen + rest * torch.eye(count, dtype=seen.dtype)
            told[:, out] = away[:, ~out] @ seen @ torch.linalg.solve(inner, common[out].T)
        return self.mean + told


def _shuffled(rows: Float[Tensor, "n width"], owner: Int[Tensor, "width"]) -> Float[Tensor, "n width"]:
    """The rows with every column in an order of its own: what columns have in common is gone."""
    dice = torch.Generator().manual_seed(0)
    order = torch.rand(len(rows), int(owner.max()) + 1, generator=dice).argsort(0)
    return rows.gather(0, order[:, owner])


def _largest(rows: Float[Tensor, "n width"]) -> float:
    """The largest variance in any direction."""
    products = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    return float(torch.linalg.eigvalsh(products)[-1])
