"""Neighbours: how far a row lies from a bounded set of kept rows, measured by how far those lie from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from diabolo.networks import Features
from diabolo.schema import Schema

if TYPE_CHECKING:
    from jaxtyping import Float, Int

GROUPS = 16  # the kept rows are cut into as many groups; each gives its nearest row
NEAREST = 5  # of these, as many are averaged
EVEN = 1.0  # by how much of the median spread every kept row's own spread is widened
BLOCK = 256  # rows whose distances are held at once, so that they stay in the cache
FAR = 1e4  # features beyond are as far as this


class Neighbours:
    r"""The distance from a row to the nearest of some kept rows, relative to how spread out those are.

    ``d(x) = mean of the 5 smallest over groups g of min over r in g of |x - r| / (spread_r + median spread)``

    where ``spread_r`` is the same mean distance of r from the other kept rows. Groups make the search one matrix
    product and one minimum (Sugiyama and Borgwardt, 2013; Chern et al., 2022, arXiv:2206.14286); the spread makes it
    local, as in the local outlier factor (Breunig et al., 2000). Rows are compared by the features a network would
    see; a feature that is missing in either row is left out and the rest is scaled up.

    ``kept`` has shape (rows, columns).

    >>> from diabolo.schema import numbers
    >>> rows = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    >>> near, far = Neighbours(numbers(2), rows)(torch.tensor([[0.0, 0.0], [9.0, 9.0]]))
    >>> bool(far > 5 * near)
    True
    """

    def __init__(self, schema: Schema, kept: Float[Tensor, "rows columns"]) -> None:
        self.features = Features(schema)
        widths = torch.tensor([column.width for column in schema.columns])
        self.owner = torch.arange(len(schema.columns)).repeat_interleave(widths)
        self.groups = max(1, min(GROUPS, len(kept) // 8))
        self.kept = kept[: len(kept) // self.groups * self.groups]
        self.places, self.there = self._placed(self.kept)
        self.complete = bool(self.there.all())
        self.scale = torch.ones(len(self.kept))
        self._lay_out()
        alone = ~torch.eye(len(self.kept), dtype=torch.bool) if len(self.kept) > 1 else None
        spread = self._distance(self.kept, alone)
        self.scale = spread + EVEN * spread.median().clamp_min(1e-6)
        self._lay_out()
        self.alone = self._distance(self.kept, alone)  # the distance of each kept row from the others

    @classmethod
    def of(cls, schema: Schema, kept: Tensor, scale: Tensor) -> Self:
        """The neighbours that were kept in a file."""
        made = cls(schema, kept)
        made.scale = scale
        made._lay_out()
        return made

    def __call__(self, x: Float[Tensor, "n columns"]) -> Float[Tensor, "n"]:
        """The relative distance of each row."""
        return torch.cat([self._distance(block) for block in x.split(BLOCK)])

    def nearest(self, x: Float[Tensor, "n columns"], count: int) -> Int[Tensor, "n count"]:
        """Which kept rows are nearest, nearest first."""
        return self._squares(x).topk(min(count, len(self.kept)), 1, largest=False).indices

    def terms(self, x: Float[Tensor, "n columns"]) -> Float[Tensor, "n columns"]:
        """What each value adds to the squared distance from the nearest rows."""
        near = self.nearest(x, NEAREST)
        places, there = self._placed(x)
        both = there.unsqueeze(1) & self.there[near]
        squares = torch.where(both, places.unsqueeze(1) - self.places[near], 0.0).square()
        parts = (squares / self.scale[near].square().unsqueeze(2)).mean(1)
        return torch.zeros_like(x).index_add_(1, self.owner, parts)

    def _distance(self, x: Tensor, others: Tensor | None = None) -> Tensor:
        squares = self._squares(x)
        if others is not None:
            squares = torch.where(others, squares, torch.inf)
        least = squares.view(len(x), self.groups, -1).amin(2)
        return least.topk(min(NEAREST, self.groups), 1, largest=False).values.clamp(0, FAR * FAR).sqrt().mean(1)

    def _lay_out(self) -> None:
        """What the squared distances need of the kept rows, as one matrix: |x - r|^2 = |x|^2 - 2 x.r + |r|^2."""
        weight = self.scale.square().reciprocal()
        product = -2 * (self.places * weight.unsqueeze(1)).T
        self.matrix = torch.cat((product, weight.unsqueeze(0))).contiguous()
        self.offset = (self.places.square() * weight.unsqueeze(1)).sum(1)

    def _squares(self, x: Tensor) -> Tensor:
        """Squared relative distances (n, kept)."""
        places, there = self._placed(x)
        if self.complete and there.all():
            return torch.addmm(self.offset, torch.cat((places, places.square().sum(1, keepdim=True)), 1), self.matrix)
        here, kept = there.to(x.dtype), self.there.to(x.dtype)
        both = places.square() @ kept.T - 2 * places @ self.places.T + here @ self.places.square().T
        shared = (here @ kept.T).clamp_min(0.5)
        return both * (places.shape[1] / shared) / self.scale.square()

    def _placed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The features of rows, and which of them are there."""
        return self.features(x).clamp(-FAR, FAR), ~x.isnan().index_select(1, self.owner)
