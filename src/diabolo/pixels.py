"""Pixels: what those of an image that lie beside each other say together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

SPREAD = 1 / 28  # standard deviation of a smoothing, as a part of the side of a square of as many pixels
MOST = 16  # cells along the longer side
KNOWN = 0.25  # of its weight a cell must have, not to be missing


def smoothed(deviations: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n channels height width"]:
    r"""Each deviation together with those around it: a sum weighed by a Gaussian whose squared weights add up to 1.

    ``s(p) = sum_q g(p - q) d(q)``, with a standard deviation of 1/28 of the side. Deviations that have nothing to do
    with each other keep the sum of their squares (but at the edges), those of one sign gain. Squared distances between
    images smoothed like this are those of Wang et al. (2005, IEEE TPAMI 27, 1334-1339).

    >>> apart, together = torch.zeros(2, 1, 1, 40, 40)
    >>> apart[..., 4::10, 4::10], together[..., 18:22, 18:22] = 1.0, 1.0
    >>> [round(float(smoothed(each).square().sum())) for each in (apart, together)]
    [16, 154]
    """
    height, width = deviations.shape[2:]
    spread = SPREAD * math.sqrt(height * width)
    down, across = (_gaussian(size, spread).to(deviations) for size in (height, width))
    return down @ deviations @ across


class Cells:
    r"""An image as at most 16 x 16 larger cells: each the mean of the pixels around it, weighed by a tent.

    ``c(a, b) = sum_pq A(a, p) B(b, q) x(p, q)``: noise of single pixels matters little to it. Smaller images stay as
    they are.

    >>> Cells((32, 24)).grid
    (16, 12)
    """

    def __init__(self, grid: tuple[int, ...]) -> None:
        size = max(1.0, max(grid) / MOST)
        self.grid = tuple(max(1, round(each / size)) for each in grid)
        self.down, self.across = (_tents(*each) for each in zip(grid, self.grid, strict=True))

    def __call__(
        self, x: Float[Tensor, "n features height width"], there: Bool[Tensor, "n features height width"]
    ) -> tuple[Float[Tensor, "n features rows columns"], Bool[Tensor, "n features rows columns"]]:
        """The cells, of what is there of their pixels, and which of them are there."""
        if there.all():
            return self._means(x), there.new_ones(*x.shape[:2], *self.grid)
        weight = self._means(there.to(x.dtype))
        return self._means(torch.where(there, x, 0.0)) / weight.clamp_min(1e-6), weight > KNOWN

    def back(
        self, parts: Float[Tensor, "n features rows columns"], there: Bool[Tensor, "n features height width"]
    ) -> Float[Tensor, "n features height width"]:
        """What the cells add to something, divided among the pixels that are there by their weights."""
        weight = self._means(there.to(parts.dtype)).clamp_min(1e-6)
        return (self.down.T @ (parts / weight) @ self.across) * there

    def _means(self, x: Tensor) -> Tensor:
        return self.down @ x @ self.across.T


def _gaussian(size: int, spread: float) -> Tensor:
    """Weights (size, size) of each place for each, of length 1 but for what the edges cut off."""
    apart = torch.arange(size).unsqueeze(1) - torch.arange(size)
    reach = torch.arange(-size, size + 1)
    weight, whole = (torch.exp(-0.5 * (each / spread) ** 2) for each in (apart, reach))
    return weight / whole.square().sum().sqrt()


def _tents(size: int, cells: int) -> Tensor:
    """Weights (cells, size) of the places in each cell, which add up to 1."""
    wide = size / cells
    middles, places = (torch.arange(cells) + 0.5) * wide, torch.arange(size) + 0.5
    weight = (1 - (middles.unsqueeze(1) - places).abs() / wide).clamp_min(0)
    return weight / weight.sum(1, keepdim=True)
