"""Views: changes of a series or an image that leave alone what it shows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from diabolo.corruptions.limits import at_least_zero, extremes, one_per_column
from diabolo.corruptions.noise import GaussianNoise
from diabolo.errors import InvalidParameter
from diabolo.randomness import uniform_like
from diabolo.schema import Column, Schema

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

# How far a warp goes: two shifts in halves of the grid, logarithms of two stretches, a turn in radians, a shear.
REACHES = (1 / 3, 1 / 3, 0.5, 0.5, math.radians(50), 2 / 3)
IN_TIME = (1.0, 0.0, 1.0, 0.0, 0.0, 0.0)  # those of them that a series knows
# Per unit of a view's strength: how far the light changes, the side of what is covered, deviations of noise per root of
# the places and at most.
LIT, COVERED, NOISY, NOISIEST = 4.0, 1.5, 0.05, 2.5
TINY = 1e-12


class Warp(nn.Module):
    r"""Shift, turn, stretch and shear each image a little, as a whole; a series is shifted and stretched in time.

    ::

        seen(place) = x(A place + t)     A = (turn (to 50 degrees) + shear (to 2/3)) . stretch (to exp 1/2)
                                         t: to a third of half the grid; all times ``strength``, uniform

    What such a change leaves alone is what the image shows (Simard et al., 2003, ICDAR). Values between places are
    interpolated, those of booleans and categories taken from the nearest place, and what leaves the grid at one edge
    is replaced by that edge. Missing values move along.

    >>> from diabolo.schema import numbers
    >>> Warp(numbers(1, "image", (4, 4)))(torch.ones(2, 1, 4, 4)).mean()
    tensor(1.)
    """

    hides: ClassVar[bool] = False

    def __init__(self, schema: Schema, strength: float = 0.3) -> None:
        super().__init__()
        at_least_zero("strength", strength, self)
        if len(schema.grid) not in (1, 2):
            raise InvalidParameter(f"Warp bends series and images: 1 or 2 axes per row. Got {len(schema.grid)}.")
        self.strength = strength
        self.axes = len(schema.grid)
        smooth = all(column.kind in ("number", "count") for column in schema.columns)
        self.mode = "bilinear" if smooth else "nearest"

    def forward(self, x: Float[Tensor, "n *features"]) -> Float[Tensor, "n *features"]:
        """Rows seen from elsewhere."""
        if not len(x):  # what one of many processes may get of a small batch; torch makes no grid for it
            return x
        images = x if self.axes == 2 else x.unsqueeze(2)
        where = functional.affine_grid(self._affine(x), list(images.shape), align_corners=False)
        bent = functional.grid_sample(images, where, self.mode, padding_mode="border", align_corners=False)
        return bent.view(x.shape)

    def _affine(self, x: Tensor) -> Float[Tensor, "n 2 3"]:
        """One map of places per row; that of a series leaves the second axis as it is."""
        draws = (2 * uniform_like(x.new_empty(len(x), len(REACHES))) - 1) * x.new_tensor(REACHES) * self.strength
        along, down, across, up, turn, shear = (draws if self.axes == 2 else draws * x.new_tensor(IN_TIME)).unbind(1)
        wide, high, cos, sin = across.exp(), up.exp(), turn.cos(), turn.sin()
        rows = (cos * wide, (shear - sin) * high, along), (sin * wide, cos * high, down)
        return torch.stack([torch.stack(row, 1) for row in rows], 1)

    def extra_repr(self) -> str:
        return f"strength={self.strength}"


class Relight(nn.Module):
    r"""Make each image brighter or darker and change its contrast, as other light would; of a series, its height.

    ::

        seen = low + (high - low) min(gain u, 1) ** gamma      u = (x - low) / (high - low)
        gain uniform in 1 +- min(strength, 1), log gamma in +- strength: one of each per row

    ``low`` and ``high`` are the limits of a column as :class:`SaltPepper` has them. Booleans and categories stay as
    they are (the jitter of Chen et al., 2020, arXiv:2002.05709, here of all channels alike).

    >>> from diabolo.schema import numbers
    >>> x = torch.zeros(2, 1, 4, 4)
    >>> [len(image.unique()) for image in Relight(numbers(1, "image", (4, 4)))(x)]
    [1, 1]
    """

    hides: ClassVar[bool] = False
    low: Tensor
    width: Tensor
    lit: Tensor

    def __init__(self, schema: Schema, strength: float = 1.0) -> None:
        super().__init__()
        at_least_zero("strength", strength, self)
        self.strength = strength
        low, high = (one_per_column(schema, each) for each in zip(*map(extremes, schema.columns), strict=True))
        lit = one_per_column(schema, [column.kind in ("number", "count") for column in schema.columns]).bool()
        for name, each in {"low": low, "width": (high - low).clamp_min(TINY), "lit": lit}.items():
            self.register_buffer(name, each, persistent=False)

    def forward(self, x: Float[Tensor, "n *features"]) -> Float[Tensor, "n *features"]:
        """Rows in other light."""
        draws = 2 * uniform_like(x.new_empty(len(x), 2)) - 1
        gain, gamma = 1 + draws[:, 0] * min(self.strength, 1), (draws[:, 1] * self.strength).exp()
        gain, gamma = (each.view(-1, *[1] * (x.dim() - 1)) for each in (gain, gamma))
        seen = self.low + self.width * (gain * (x - self.low) / self.width).clamp(0, 1) ** gamma
        return torch.where(self.lit, seen, x)

    def extra_repr(self) -> str:
        return f"strength={self.strength}"


class Cover(nn.Module):
    """Cover a box of each image, or a stretch of each series, with the mean (DeVries & Taylor, 2017, arXiv:1708.04552).

    The sides are uniform from 0 to ``largest`` of those of the grid, the middle anywhere. A count gets the whole number
    next to the mean of its logarithms; booleans, categories and missing values stay as they are.

    >>> from diabolo.schema import numbers
    >>> len(Cover(numbers(1, "image", (9, 9)), 1.0)(torch.ones(1, 1, 9, 9)).unique()) <= 2
    True
    """

    hides: ClassVar[bool] = False
    value: Tensor

    def __init__(self, schema: Schema, largest: float = 0.3) -> None:
        super().__init__()
        at_least_zero("largest", largest, self, 1)
        self.largest = largest
        self.register_buffer(
            "value", one_per_column(schema, [_middle(each) for each in schema.columns]), persistent=False
        )

    def forward(self, x: Float[Tensor, "n *features"]) -> Float[Tensor, "n *features"]:
        """Rows with a part covered."""
        return torch.where(boxes(x, self.largest) & ~self.value.isnan() & ~x.isnan(), self.value, x)

    def extra_repr(self) -> str:
        return f"largest={self.largest}"


class Views(nn.Sequential):
    """Each image or series as it might as well have been recorded: in other light, bent, partly covered and noisy.

    :class:`Relight`, :class:`Warp`, :class:`Cover` and :class:`GaussianNoise`, one after the other, of 4, 1, 3/2 and
    ``min(sqrt(places) / 20, 5/2)`` times ``strength``: what is shown takes up more places the more there are, and bears
    as much more noise at each. The idea of many small changes at once is that of Chen et al. (2020, arXiv:2002.05709);
    ours neither mirrors nor cuts out a part, since digits and letters do not stay what they are.

    >>> from diabolo.schema import numbers
    >>> Views(numbers(1, "image", (4, 4)))(torch.ones(2, 1, 4, 4)).shape
    torch.Size([2, 1, 4, 4])
    """

    hides: ClassVar[bool] = False

    def __init__(self, schema: Schema, strength: float = 0.2) -> None:
        at_least_zero("strength", strength, self)
        noisy = min(NOISY * math.sqrt(math.prod(schema.grid)), NOISIEST)
        super().__init__(
            Relight(schema, LIT * strength),
            Warp(schema, strength),
            Cover(schema, min(COVERED * strength, 1.0)),
            GaussianNoise(schema, noisy * strength),
        )


def boxes(x: Float[Tensor, "n columns *grid"], largest: float) -> Bool[Tensor, "n 1 *grid"]:
    """A box of each row's grid: its sides uniform from 0 to ``largest`` of the grid's, its middle anywhere.

    >>> boxes(torch.zeros(5, 3, 4, 6), 0.0).shape, boxes(torch.zeros(5, 3, 4), 0.0).any().item()
    (torch.Size([5, 1, 4, 6]), False)
    """
    sizes = x.shape[2:]
    middle, side = uniform_like(x.new_empty(len(x), 2, len(sizes))).unbind(1)
    inside = torch.ones((), dtype=torch.bool, device=x.device)
    for axis, size in enumerate(sizes):
        places = (torch.arange(size, device=x.device) + 0.5) / size
        near = (places - middle[:, axis, None]).abs() < largest * side[:, axis, None] / 2
        inside = inside & near.view(-1, 1, *[size if other == axis else 1 for other in range(len(sizes))])
    return inside


def _middle(column: Column) -> float:
    """The mean of a column as the model stores it; NaN where there is none."""
    if column.kind == "count":
        return float(round(math.expm1(column.center)))
    return 0.0 if column.kind == "number" else math.nan
