"""Neighbours: how far a row lies from a bounded set of kept rows, measured by how far those lie from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor
from torch.nn import functional

from diabolo.batches import contents
from diabolo.networks import Features
from diabolo.schema import Schema

if TYPE_CHECKING:
    from jaxtyping import Float, Int

GROUPS = 16  # the kept rows are cut into as many groups; each gives its nearest row
NEAREST = 5  # of these, as many are averaged
EVEN = 1.0  # by how much of the median spread every kept row's own spread is widened
BLOCK = 256  # rows whose distances are held at once, so that they stay in the cache
FEW = 16  # rows that matrix products are filled up to
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
        spread = self._apart()
        self.scale = spread + EVEN * spread.median().clamp_min(1e-6)
        self._lay_out()
        self.known, self.order = contents(self.kept).sort(stable=True)
        self.alone = self._apart()

    @classmethod
    def of(cls, schema: Schema, kept: Tensor, scale: Tensor) -> Self:
        """The neighbours that were kept in a file."""
        made = cls(schema, kept)
        made.scale = scale
        made._lay_out()
        made.alone = made._apart()
        return made

    def __call__(self, x: Float[Tensor, "n columns"]) -> Float[Tensor, "n"]:
        """The relative distance of each row; one that is itself a kept row is measured from the others."""
        blocks = zip(*(each.split(BLOCK) for each in self._placed(x)), strict=True)
        distance = self._mean(torch.cat([self._least(self._squares(*block)) for block in blocks]))
        own, place = self._own(x)
        return torch.where(own, self.alone[place], distance)

    def nearest(self, x: Float[Tensor, "n columns"], count: int) -> Int[Tensor, "n count"]:
        """Which kept rows are nearest, nearest first; a row that is itself one of them comes last."""
        squares = self._squares(*self._placed(x))
        own, place = self._own(x)
        squares[own, place[own]] = torch.inf
        return squares.topk(min(count, len(self.kept)), 1, largest=False).indices

    def terms(self, x: Float[Tensor, "n columns"]) -> Float[Tensor, "n columns"]:
        """What each value adds to the squared distance from the nearest rows."""
        near = self.nearest(x, NEAREST)
        places, there = self._placed(x)
        both = there.unsqueeze(1) & self.there[near]
        squares = torch.where(both, places.unsqueeze(1) - self.places[near], 0.0).square()
        parts = (squares / self.scale[near].square().unsqueeze(2)).mean(1)
        return torch.zeros_like(x).index_add_(1, self.owner, parts)

    def _own(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Whether each row is one of the kept rows, and which."""
        found = contents(x)
        place = torch.searchsorted(self.known, found).clamp_max_(len(self.known) - 1)
        return self.known[place] == found, self.order[place]

    def _apart(self) -> Tensor:
        """The distance of each kept row from the others."""
        squares = self._squares(self.places, self.there)
        return self._mean(self._least(squares.fill_diagonal_(torch.inf) if len(squares) > 1 else squares))

    def _least(self, squares: Tensor) -> Tensor:
        """The smallest of each group, (n, groups)."""
        return squares.unflatten(1, (self.groups, -1)).amin(2)

    def _mean(self, least: Tensor) -> Tensor:
        near = least.topk(min(NEAREST, self.groups), 1, largest=False, sorted=False).values
        return near.clamp_(0, FAR * FAR).sqrt_().mean(1)

    def _lay_out(self) -> None:
        """What the squared distances need of the kept rows, as one matrix: |x - r|^2 = |x|^2 - 2 x.r + |r|^2."""
        weight = self.scale.square().reciprocal()
        product = -2 * (self.places * weight.unsqueeze(1)).T
        self.matrix = torch.cat((product, weight.unsqueeze(0))).contiguous()
        self.offset = (self.places.square() * weight.unsqueeze(1)).sum(1)

    def _squares(self, places: Tensor, there: Tensor) -> Tensor:
        """Squared relative distances (n, kept); those of a row do not depend on the rows beside it."""
        if not self.complete:
            return self._of_some(places, there)
        length = places.square().sum(1, keepdim=True)
        squares = torch.addmm(self.offset, torch.cat((places, length), 1), self.matrix)
        rows = (~there.all(1)).nonzero().squeeze(1) if not there.all() else ()
        if len(rows):
            squares[rows] = self._of_some(places[rows], there[rows])
        return squares

    def _of_some(self, places: Tensor, there: Tensor) -> Tensor:
        """Squared distances by the features that are there in both rows."""
        here, kept = (each.to(places.dtype) for each in (there, self.there))
        both = _product(places.square(), kept) - 2 * _product(places, self.places)
        both += _product(here, self.places.square())
        shared = _product(here, kept).clamp_min(0.5)
        return both * (places.shape[1] / shared) / self.scale.square()

    def _placed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The features of rows, and which of them are there."""
        there = ~x.isnan()
        return self.features(x).clamp_(-FAR, FAR), there if self.features.plain else there.index_select(1, self.owner)


def _product(rows: Tensor, kept: Tensor) -> Tensor:
    """``rows @ kept.T``; of few rows the products are rounded differently, so that there are never few."""
    return functional.pad(rows, (0, 0, 0, -len(rows) % FEW)).mm(kept.T)[: len(rows)]
