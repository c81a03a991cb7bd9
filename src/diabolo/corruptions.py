"""Corruptions: what is done to rows in training before the encoder sees them.

Each is a module from rows to rows of the same shape, drawing through :mod:`diabolo.randomness`, and never changes its
input. ``hides`` tells whether it writes NaN. A missing value stays missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from diabolo.errors import InvalidData, InvalidParameter
from diabolo.randomness import normal_like, uniform_like
from diabolo.schema import Column, Schema

if TYPE_CHECKING:
    from jaxtyping import Float

FAR = 3.0  # standard deviations: the extreme of a column whose limits are not known
# How far a warp goes: two shifts in halves of the grid, logarithms of two stretches, a turn in radians, a shear.
REACHES = (1 / 3, 1 / 3, 0.5, 0.5, math.radians(50), 2 / 3)
IN_TIME = (1.0, 0.0, 1.0, 0.0, 0.0, 0.0)  # those of them that a series knows


class GaussianNoise(nn.Module):
    r"""Add normal noise: ``x + scale e``, ``e ~ N(0, 1)`` (Vincent et al., 2010, JMLR 11).

    Numbers are standardised, so ``scale`` is in standard deviations. A count gets the noise on log(1 + x), in its
    standard deviations there; booleans and categories stay as they are.

    >>> from diabolo.schema import numbers
    >>> GaussianNoise(numbers(2), 0.1)(torch.zeros(3, 2)).shape
    torch.Size([3, 2])
    """

    hides: ClassVar[bool] = False
    numbers: Tensor
    counts: Tensor

    def __init__(self, schema: Schema, scale: float = 0.1) -> None:
        super().__init__()
        _at_least_zero("scale", scale, self)
        self.scale = scale
        kinds = [column.kind for column in schema.columns]
        self.plain = all(kind == "number" for kind in kinds)
        self.register_buffer("numbers", _vector(schema, [kind == "number" for kind in kinds]), persistent=False)
        logs = [column.scale if column.kind == "count" else 0.0 for column in schema.columns]
        self.register_buffer("counts", _vector(schema, logs), persistent=False)

    def forward(self, x: Float[Tensor, "n *features"]) -> Float[Tensor, "n *features"]:
        """Rows with noise."""
        noise = normal_like(x)
        if self.plain:
            return torch.add(x, noise, alpha=self.scale)
        noise = noise * self.scale
        numbers = x + noise * self.numbers
        counts = torch.expm1(torch.log1p(x) + noise * self.counts).clamp_min(0)
        return torch.where(self.counts > 0, counts, numbers)

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


class SaltPepper(nn.Module):
    """Set a ``share`` of the values to an extreme of their column, low or high by the toss of a coin.

    The extremes are the limits the column had in fit, 0 and 1 of a boolean, and 3 standard deviations to either side
    where no limits are known. Categories stay as they are (Vincent et al., 2010, JMLR 11).

    >>> from diabolo.schema import numbers
    >>> SaltPepper(numbers(2), 1.0)(torch.zeros(3, 2)).abs().unique()
    tensor([3.])
    """

    hides: ClassVar[bool] = False
    low: Tensor
    high: Tensor

    def __init__(self, schema: Schema, share: float = 0.1) -> None:
        super().__init__()
        _at_least_zero("share", share, self, 1)
        self.share = share
        low, high = zip(*(_extremes(column) for column in schema.columns), strict=True)
        self.register_buffer("low", _vector(schema, low), persistent=False)
        self.register_buffer("high", _vector(schema, high), persistent=False)

    def forward(self, x: Float[Tensor, "n *features"]) -> Float[Tensor, "n *features"]:
        """Rows with some values at an extreme."""
        coin = uniform_like(x)
        extreme = torch.where(coin < self.share / 2, self.low, self.high)
        hit = (coin < self.share) & ~extreme.isnan() & ~x.isnan()
        return torch.where(hit, extreme, x)

    def extra_repr(self) -> str:
        return f"share={self.share}"


class Hide(nn.Module):
    """Hide each value with probability ``share``: masked training (Vincent et al., 2008, with NaN in place of 0).

    With ``least`` each row draws its own probability between ``least`` and ``share``, so that rows of which much and
    rows of which little is known are both learned from.

    >>> Hide(0.5)(torch.zeros(100, 100)).isnan().float().mean().round(decimals=1)
    tensor(0.5000)
    """

    hides: ClassVar[bool] = True

    def __init__(self, share: float = 0.3, least: float | None = None) -> None:
        super().__init__()
        _at_least_zero("share", share, self, 1)
        _at_least_zero("least", share if least is None else least, self, 1)
        self.share = share
        self.least = least

    def forward(self, x: Float[Tensor, "n *features"]) -> Float[Tensor, "n *features"]:
        """Rows with some values missing."""
        # The root is NaN where the draw is below the share; to compare and to fill costs five times as much.
        return torch.add(x, (uniform_like(x) - _shares(x, self.share, self.least)).sqrt(), alpha=0)

    def extra_repr(self) -> str:
        return f"share={self.share}" + ("" if self.least is None else f", least={self.least}")


class HidePatches(nn.Module):
    """Hide whole patches of a grid, in all channels, each with probability ``share``.

    Follows He et al. (2022, arXiv:2111.06377). A patch is a stretch of ``size`` steps of a series or a square of
    ``size`` pixels of an image; in a table it is one value, as in :class:`Hide`, whose ``least`` it also has.

    >>> HidePatches(1.0, 2)(torch.zeros(1, 1, 4)).isnan().all()
    tensor(True)
    """

    hides: ClassVar[bool] = True

    def __init__(self, share: float = 0.5, size: int = 4, least: float | None = None) -> None:
        super().__init__()
        _at_least_zero("share", share, self, 1)
        _at_least_zero("least", share if least is None else least, self, 1)
        _at_least_one("size", size, self)
        self.share, self.size, self.least = share, size, least

    def forward(self, x: Float[Tensor, "n *features"]) -> Float[Tensor, "n *features"]:
        """Rows with some patches missing."""
        patches = (slice(None), slice(1), *[slice(None, None, self.size)] * (x.dim() - 2))
        drawn = uniform_like(x if x.dim() == 2 else x[patches])
        for axis in range(2, x.dim()):
            drawn = drawn.repeat_interleave(self.size, axis).narrow(axis, 0, x.shape[axis])
        return x.masked_fill(drawn < _shares(x, self.share, self.least), torch.nan)

    def extra_repr(self) -> str:
        return f"share={self.share}, size={self.size}" + ("" if self.least is None else f", least={self.least}")


class HideEnd(nn.Module):
    """Hide the last ``steps`` of a series (the last rows of an image): the future is a missing value.

    Raises InvalidData for rows without a time axis and for series that are not longer than ``steps``.

    >>> HideEnd(2)(torch.zeros(1, 1, 5))
    tensor([[[0., 0., 0., nan, nan]]])
    """

    hides: ClassVar[bool] = True

    def __init__(self, steps: int) -> None:
        super().__init__()
        _at_least_one("steps", steps, self)
        self.steps = steps

    def forward(self, x: Float[Tensor, "n *features"]) -> Float[Tensor, "n *features"]:
        """Rows without their end."""
        if x.dim() < 3 or x.shape[2] <= self.steps:
            raise InvalidData(
                f"HideEnd(steps={self.steps}) needs rows of more than {self.steps} steps on axis 2. Got rows of shape "
                f"{tuple(x.shape[1:])}: pass longer series or hide fewer steps."
            )
        known = torch.arange(x.shape[2], device=x.device) < x.shape[2] - self.steps
        return torch.where(known.view(-1, *[1] * (x.dim() - 3)), x, torch.nan)

    def extra_repr(self) -> str:
        return f"steps={self.steps}"


class SwapRows(nn.Module):
    """Replace a ``share`` of the values by the same column's value in another row of the batch (swap noise).

    Every column keeps its own distribution, so it suits any kind of column. A value whose counterpart is missing
    stays. The other row is one of the rows that this process holds.

    >>> SwapRows(1.0)(torch.ones(4, 2)).mean()
    tensor(1.)
    """

    hides: ClassVar[bool] = False

    def __init__(self, share: float = 0.15) -> None:
        super().__init__()
        _at_least_zero("share", share, self, 1)
        self.share = share

    def forward(self, x: Float[Tensor, "n *features"]) -> Float[Tensor, "n *features"]:
        """Rows with some values from other rows."""
        away = 1 + (uniform_like(x) * (len(x) - 1)).long()  # never the row itself, unless it is alone
        row = torch.arange(len(x), device=x.device).view(-1, *[1] * (x.dim() - 1))
        other = x.gather(0, (row + away) % len(x))
        swapped = (uniform_like(x) < self.share) & ~other.isnan() & ~x.isnan()
        return torch.where(swapped, other, x)

    def extra_repr(self) -> str:
        return f"share={self.share}"


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
        _at_least_zero("strength", strength, self)
        if len(schema.grid) not in (1, 2):
            raise InvalidParameter(f"Warp bends series and images: 1 or 2 axes per row. Got {len(schema.grid)}.")
        self.strength = strength
        self.axes = len(schema.grid)
        smooth = all(column.kind in ("number", "count") for column in schema.columns)
        self.mode = "bilinear" if smooth else "nearest"

    def forward(self, x: Float[Tensor, "n *features"]) -> Float[Tensor, "n *features"]:
        """Rows seen from elsewhere."""
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


def _shares(x: Tensor, share: float, least: float | None) -> Tensor | float:
    """The share to be hidden: one for all rows, or each row's own between ``least`` and ``share``."""
    if least is None:
        return share
    one_per_row = x.new_empty(len(x), *[1] * (x.dim() - 1))
    return least + (share - least) * uniform_like(one_per_row)


def _extremes(column: Column) -> tuple[float, float]:
    """The lowest and the highest value of a column as the model stores it; NaN for a category, which has none."""
    if column.kind == "category":
        return math.nan, math.nan
    if column.kind == "boolean":
        return 0.0, 1.0
    low, high = column.low, column.high
    if column.kind == "number":
        low, high = (low - column.center) / column.scale, (high - column.center) / column.scale
        return (low if math.isfinite(low) else -FAR), (high if math.isfinite(high) else FAR)
    far = math.expm1(column.center + FAR * column.scale)
    return max(low, 0.0), (high if math.isfinite(high) else far)


def _vector(schema: Schema, each: Sequence[float]) -> Tensor:
    """One number per column, shaped to meet rows: (columns, 1, ..., 1)."""
    return torch.tensor(each, dtype=torch.float32).view(-1, *[1] * len(schema.grid))


def _at_least_zero(name: str, value: float, owner: nn.Module, most: float = math.inf) -> None:
    if not 0 <= value <= most:
        limit = f" and <= {most:g}" if most < math.inf else ""
        raise InvalidParameter(
            f"The '{name}' parameter of {type(owner).__name__} must be a float >= 0{limit}. Got {value!r}."
        )


def _at_least_one(name: str, value: int, owner: nn.Module) -> None:
    if value < 1:
        raise InvalidParameter(f"The '{name}' parameter of {type(owner).__name__} must be an int >= 1. Got {value!r}.")
