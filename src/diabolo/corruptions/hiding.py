"""Hiding: values that the encoder does not see, and is told so."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from diabolo.corruptions.limits import at_least_one, at_least_zero
from diabolo.corruptions.views import boxes
from diabolo.errors import InvalidData
from diabolo.randomness import uniform_like

if TYPE_CHECKING:
    from jaxtyping import Float


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
        at_least_zero("share", share, self, 1)
        at_least_zero("least", share if least is None else least, self, 1)
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
        at_least_zero("share", share, self, 1)
        at_least_zero("least", share if least is None else least, self, 1)
        at_least_one("size", size, self)
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


class HideBoxes(nn.Module):
    """Hide a box of an image, or a stretch of a series, in a ``share`` of the rows, in the rest as ``other``.

    The sides of a box are uniform from 0 to those of the grid, its middle anywhere, as in the holes that are to be
    filled (Pathak et al., 2016, arXiv:1604.07379). Rows of a table are all hidden as ``other`` does.

    >>> HideBoxes(Hide(0.0), 1.0)(torch.zeros(100, 1, 9)).isnan().any(2).float().mean().round()
    tensor(1.)
    """

    hides: ClassVar[bool] = True

    def __init__(self, other: nn.Module, share: float = 0.5) -> None:
        super().__init__()
        at_least_zero("share", share, self, 1)
        self.other, self.share = other, share

    def forward(self, x: Float[Tensor, "n *features"]) -> Float[Tensor, "n *features"]:
        """Rows with some values missing."""
        hidden: Tensor = self.other(x)
        if x.dim() == 2:
            return hidden
        boxed = uniform_like(x.new_empty(len(x), *[1] * (x.dim() - 1))) < self.share
        return torch.where(boxed, x.masked_fill(boxes(x, 1.0), torch.nan), hidden)

    def extra_repr(self) -> str:
        return f"share={self.share}"


class HideEnd(nn.Module):
    """Hide the last ``steps`` of a series (the last rows of an image): the future is a missing value.

    Raises InvalidData for rows without a time axis and for series that are not longer than ``steps``.

    >>> HideEnd(2)(torch.zeros(1, 1, 5))
    tensor([[[0., 0., 0., nan, nan]]])
    """

    hides: ClassVar[bool] = True

    def __init__(self, steps: int) -> None:
        super().__init__()
        at_least_one("steps", steps, self)
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


def _shares(x: Tensor, share: float, least: float | None) -> Tensor | float:
    """The share to be hidden: one for all rows, or each row's own between ``least`` and ``share``."""
    if least is None:
        return share
    one_per_row = x.new_empty(len(x), *[1] * (x.dim() - 1))
    return least + (share - least) * uniform_like(one_per_row)
