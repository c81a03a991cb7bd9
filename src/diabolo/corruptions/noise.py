"""Noise: values that are a little, or altogether, wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from diabolo.corruptions.limits import at_least_zero, extremes, one_per_column
from diabolo.randomness import normal_like, uniform_like
from diabolo.schema import Schema

if TYPE_CHECKING:
    from jaxtyping import Float


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
        at_least_zero("scale", scale, self)
        self.scale = scale
        kinds = [column.kind for column in schema.columns]
        self.plain = all(kind == "number" for kind in kinds)
        self.register_buffer("numbers", one_per_column(schema, [kind == "number" for kind in kinds]), persistent=False)
        logs = [column.scale if column.kind == "count" else 0.0 for column in schema.columns]
        self.register_buffer("counts", one_per_column(schema, logs), persistent=False)

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
        at_least_zero("share", share, self, 1)
        self.share = share
        low, high = zip(*(extremes(column) for column in schema.columns), strict=True)
        self.register_buffer("low", one_per_column(schema, low), persistent=False)
        self.register_buffer("high", one_per_column(schema, high), persistent=False)

    def forward(self, x: Float[Tensor, "n *features"]) -> Float[Tensor, "n *features"]:
        """Rows with some values at an extreme."""
        coin = uniform_like(x)
        extreme = torch.where(coin < self.share / 2, self.low, self.high)
        hit = (coin < self.share) & ~extreme.isnan() & ~x.isnan()
        return torch.where(hit, extreme, x)

    def extra_repr(self) -> str:
        return f"share={self.share}"


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
        at_least_zero("share", share, self, 1)
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
