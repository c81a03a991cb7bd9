"""Neighbours: how far a row lies from the places where normal rows are, measured by how far those lie apart."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional

from diabolo.batches import in_blocks
from diabolo.linear import Trend
from diabolo.networks import Features, Given
from diabolo.pixels import Cells
from diabolo.schema import Schema

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

ROUNDS = 8  # of k-means; more move the places by little
GROUPS = 16  # the places are cut into as many groups; each gives its nearest place
NEAREST = 5  # of these, as many are averaged
EVEN = 1.0  # by how much of the median spread every place's own spread is widened
BLOCK = 256  # rows whose distances are held at once, so that they stay in the cache
FEW = 16  # rows that matrix products are filled up to
NEAR = 1e-2  # relative distances below are rounding
FAR = 1e4  # features beyond are as far as this


class Neighbours:
    r"""The distance from a row to the nearest of some places, relative to how spread out those are.

    ``d(x) = mean of the 5 smallest over groups g of min over r in g of |x - r| / (spread_r + median spread)``

    where ``spread_r`` is the same mean distance of place r from the others. The places are the centres of k-means over
    normal rows, at most one for two rows: a bounded memory of where normal rows are. Groups make the search one matrix
    product and one minimum (Sugiyama and Borgwardt, 2013; Chern et al., 2022, arXiv:2206.14286); the spread makes it
    local, as in the local outlier factor (Breunig et al., 2000). Rows are compared by the features a network would
    see, of an image by its ``pixels.Cells``; a feature that is missing in a row is left out and the rest is scaled up.
    Where the schema has given columns, rows are compared by what these do not explain of the features (see
    ``linear.Trend``), and add nothing themselves.

    ``places`` has shape (places, features), those of all cells of a grid; ``kept`` holds a real row near each of them.

    >>> from diabolo.schema import numbers
    >>> rows = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    >>> near, far = Neighbours.learn(numbers(2), rows, 64)(torch.tensor([[0.0, 0.0], [9.0, 9.0]]))
    >>> bool(far > 5 * near)
    True
    """

    def __init__(
        self,
        schema: Schema,
        kept: Float[Tensor, "places columns *grid"],
        places: Float[Tensor, "places features"],
        scale: Float[Tensor, "places"] | None = None,
        trend: Float[Tensor, "given features"] | None = None,
    ) -> None:
        self.seen = Seen(schema, trend)
        self.groups = max(1, min(GROUPS, len(places) // 8))
        whole = len(places) // self.groups * self.groups
        self.kept, self.places = kept[:whole], places[:whole]
        self.scale = self._spread() if scale is None else scale
        self._lay_out()

    @classmethod
    def learn(
        cls,
        schema: Schema,
        rows: Float[Tensor, "n columns *grid"],
        count: int,
        weight: Float[Tensor, "n"] | None = None,
        seed: int = 0,
    ) -> Self:
        """At most ``count`` places from prepared normal rows, to which rows of more weight count for more."""
        seen = Seen(schema)
        features, _ = seen.learn(rows, weight)(rows)
        each = np.ones(len(rows)) if weight is None else weight.double().numpy()
        places = torch.from_numpy(centres(features.numpy(), each, min(count, max(1, len(rows) // 2)), seed))
        nearest = torch.cat([torch.cdist(block, features).argmin(1) for block in places.split(BLOCK)])
        return cls(schema, rows[nearest], places, trend=seen.trend)

    @property
    def trend(self) -> Float[Tensor, "given features"] | None:
        """What the given columns explain; None where there are none."""
        return self.seen.trend

    def __call__(self, x: Float[Tensor, "n columns *grid"]) -> Float[Tensor, "n"]:
        """The relative distance of each row."""
        blocks = zip(*(each.split(BLOCK) for each in self.seen(x)), strict=True)
        return self._mean(torch.cat([self._least(self._squares(*block)) for block in blocks]))

    def nearest(self, x: Float[Tensor, "n columns *grid"], count: int) -> Int[Tensor, "n count"]:
        """Which places are nearest, nearest first."""
        count = min(count, len(self.kept))
        return in_blocks(x, lambda rows: self._squares(*self.seen(rows)).topk(count, 1, largest=False).indices)

    def terms(self, x: Float[Tensor, "n columns *grid"]) -> Float[Tensor, "n columns *grid"]:
        """What each value adds to the squared distance from the nearest places."""
        near = self.nearest(x, NEAREST)
        places, there = self.seen(x)
        squares = torch.where(there.unsqueeze(1), places.unsqueeze(1) - self.places[near], 0.0).square()
        parts = self.seen.back((squares / self.scale[near].square().unsqueeze(2)).mean(1), x)
        return torch.zeros_like(x).index_add_(1, self.seen.owner, parts)

    def _spread(self) -> Tensor:
        """The distance of each place from the others, and the usual one once more."""
        self.scale = torch.ones(len(self.places))
        self._lay_out()
        if len(self.places) == 1:
            return self.scale
        squares = self._squares(self.places, torch.ones_like(self.places, dtype=torch.bool))
        apart = self._mean(self._least(squares.fill_diagonal_(torch.inf)))
        return apart + EVEN * apart.median().clamp_min(1e-6)

    def _least(self, squares: Tensor) -> Tensor:
        """The smallest of each group, (n, groups)."""
        return squares.unflatten(1, (self.groups, -1)).amin(2)

    def _mean(self, least: Tensor) -> Tensor:
        near = least.topk(min(NEAREST, self.groups), 1, largest=False, sorted=False).values
        return near.clamp_(NEAR * NEAR, FAR * FAR).sqrt_().mean(1)

    def _lay_out(self) -> None:
        """What the squared distances need of the places, as one matrix: |x - r|^2 = |x|^2 - 2 x.r + |r|^2."""
        weight = self.scale.square().reciprocal()
        product = -2 * (self.places * weight.unsqueeze(1)).T
        self.matrix = torch.cat((product, weight.unsqueeze(0))).contiguous()
        self.offset = (self.places.square() * weight.unsqueeze(1)).sum(1)

    def _squares(self, places: Tensor, there: Tensor) -> Tensor:
        """Squared relative distances (n, places); those of a row do not depend on the rows beside it."""
        length = places.square().sum(1, keepdim=True)
        squares = torch.addmm(self.offset, torch.cat((places, length), 1), self.matrix)
        rows = (~there.all(1)).nonzero().squeeze(1)
        if len(rows):
            squares[rows] = self._of_some(places[rows], there[rows])
        return squares

    def _of_some(self, places: Tensor, there: Tensor) -> Tensor:
        """Squared distances by the features that are there."""
        here = there.to(places.dtype)
        squares = _product(here, self.places.square()) - 2 * _product(places * here, self.places)
        squares += (places * here).square().sum(1, keepdim=True)
        return squares * (places.shape[1] / here.sum(1, keepdim=True).clamp_min(0.5)) / self.scale.square()


class Seen:
    """What of rows is compared: features within bounds, of images their cells, less what given columns explain of them.

    ``owner`` names the column of each feature, ``trend`` holds the table of a ``linear.Trend``, if there is one.
    """

    def __init__(self, schema: Schema, trend: Float[Tensor, "given features"] | None = None) -> None:
        self.given = Given(schema) if schema.conditional else None
        self.features = Features(schema if self.given is None else self.given.learned)
        self.trend = trend
        own = self.features.owner
        self.owner = own if self.given is None else self.given.rest[own]
        self.cells = Cells(schema.grid) if schema.kind == "image" else None

    def learn(self, x: Float[Tensor, "n columns *grid"], weight: Float[Tensor, "n"] | None) -> Self:
        """Itself, knowing what the given columns explain of these rows."""
        if self.given is not None:
            learned, told = self.given(x)
            self.trend = Trend.learn(told, self._bounded(learned), weight).table
        return self

    def __call__(
        self, x: Float[Tensor, "n columns *grid"]
    ) -> tuple[Float[Tensor, "n features"], Bool[Tensor, "n features"]]:
        """What is compared of each row, and which of it is there."""
        there = self._there(x)
        if self.given is not None and self.trend is not None:
            learned, told = self.given(x)
            return Trend(self.trend).rest(told, self._bounded(learned)), there
        seen = self._bounded(x)
        if self.cells is not None:
            seen, there = self.cells(seen, there)
        return seen.flatten(1), there.flatten(1)

    def back(self, parts: Float[Tensor, "n features"], x: Float[Tensor, "n columns *grid"]) -> Tensor:
        """What is compared added to something, by feature and place of the rows, (n, features, *grid)."""
        if self.cells is None:
            return parts.unflatten(1, (-1, *x.shape[2:]))
        return self.cells.back(parts.unflatten(1, (-1, *self.cells.grid)), self._there(x))

    def _there(self, x: Tensor) -> Tensor:
        there = ~x.isnan()
        return there if self.given is None and self.features.plain else there.index_select(1, self.owner)

    def _bounded(self, x: Tensor) -> Tensor:
        return self.features(x).clamp_(-FAR, FAR)


def centres(points: np.ndarray, weight: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The centres of k-means in random order, shape (at most ``count``, width); few distinct points are their own."""
    distinct, place = np.unique(points, axis=0, return_inverse=True)
    order = np.random.default_rng(seed)
    if len(distinct) <= count:
        return order.permutation(distinct)
    means = KMeans(count, init="random", n_init=1, max_iter=ROUNDS, random_state=seed % 2**32)
    with threadpool_limits(1), warnings.catch_warnings():  # sums over threads would be rounded differently each time
        warnings.simplefilter("ignore", ConvergenceWarning)  # of points that are nearly the same some stay without any
        means.fit(distinct, sample_weight=np.bincount(place.ravel(), weight))
    return order.permutation(means.cluster_centers_).astype(np.float32)


def _product(rows: Tensor, kept: Tensor) -> Tensor:
    """``rows @ kept.T``; of few rows the products are rounded differently, so that there are never few."""
    return functional.pad(rows, (0, 0, 0, -len(rows) % FEW)).mm(kept.T)[: len(rows)]
