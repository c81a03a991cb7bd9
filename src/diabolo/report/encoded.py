"""Encoded rows: a sample of an embedder's data, its codes, and what they keep of each column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from diabolo.batches import in_blocks
from diabolo.networks import Features
from diabolo.report.findings import Seen, by_cell
from diabolo.schema import Column
from diabolo.tasks.codes import codes
from diabolo.tasks.embedder import Embedder
from diabolo.tasks.measures import wrong

TINY = 1e-12  # in place of a sum of 0


@dataclass(frozen=True)
class Encoded:
    """The sample of an embedder's data with its codes, and what they and those of PCA keep."""

    embedder: Embedder
    seen: Seen

    @cached_property
    def x(self) -> torch.Tensor:
        return torch.from_numpy(self.seen.prepared())

    @cached_property
    def z(self) -> np.ndarray:
        """The codes (n, numbers)."""
        return codes(self.embedder.autoencoder_, self.x).double().numpy()

    @cached_property
    def linear(self) -> np.ndarray:
        """The codes of the linear autoencoder (n, numbers)."""
        return codes(self.embedder.linear_, self.x).double().numpy()

    @cached_property
    def errors(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What each column costs on average: restored from codes, from those of PCA, and without looking at the row.

        NaN of given columns, which nothing restores.
        """
        told = (self.embedder.autoencoder_.best, self.embedder.linear_.best)
        deep, linear = (by_cell(wrong(self.seen.schema, self.x, in_blocks(self.x, each)).numpy()) for each in told)
        given = [column.given for column in self.seen.schema.columns]
        without = blind(self.seen.schema.columns, self.x.numpy())
        return _means(deep), _means(linear), np.where(given, np.nan, without)

    @cached_property
    def kept(self) -> tuple[np.ndarray, np.ndarray]:
        """The share of each column that the codes keep, and PCA: of its variance, or of its rarer categories."""
        deep, linear, without = self.errors
        varied = without > TINY
        share = [np.where(varied, 1 - each / np.where(varied, without, 1.0), np.nan) for each in (deep, linear)]
        return share[0], share[1]

    @property
    def overall(self) -> tuple[float, float]:
        """The share of all columns together that the codes keep, and PCA."""
        deep, linear, without = (float(np.nansum(each)) for each in self.errors)
        return 1 - deep / max(without, TINY), 1 - linear / max(without, TINY)

    @cached_property
    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows as a network sees them (n, width), and which column each feature is of."""
        features = Features(self.seen.schema)
        return features(self.x).double().numpy(), features.owner.numpy()

    @property
    def names(self) -> list[str]:
        return list(self.embedder.get_feature_names_out())


def blind(columns: Sequence[Column], x: np.ndarray) -> np.ndarray:
    """What each column of prepared rows (n, columns, *grid) costs if its mean, or most frequent category, is named.

    Of images and series each place has its own.

    >>> from diabolo.schema import numbers
    >>> blind(numbers(1, "series", (2,)).columns, np.array([[[0.0, 5.0]], [[2.0, 5.0]]])).tolist()
    [0.5]
    """
    each = zip(columns, x.reshape(*x.shape[:2], -1).swapaxes(0, 1), strict=True)
    return np.array([np.mean([_blind(column, place) for place in values.T]) for column, values in each])


def _blind(column: Column, values: np.ndarray) -> float:
    there = values[~np.isnan(values)].astype(np.float64)
    if not len(there):
        return 0.0
    if column.kind in ("category", "boolean"):
        return 1 - float(np.unique(there, return_counts=True)[1].max()) / len(there)
    return float((np.log1p(there.clip(0)) / column.scale if column.kind == "count" else there).var())


def _means(errors: np.ndarray) -> np.ndarray:
    """Means over the rows (n, columns) of what is known."""
    known = (~np.isnan(errors)).sum(0)
    return np.nansum(errors.astype(np.float64), 0) / np.maximum(known, 1)


def explained(points: np.ndarray, features: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """The share of each column's variance that a plane over the map (n, 2) tells, (columns,).

    >>> features = np.array([[0.0, 1], [5, 1], [10, 1]])
    >>> explained(np.array([[0.0, 1], [1, 0], [2, 1]]), features, np.array([0, 1])).round(3)
    array([1., 0.])
    """
    centred = features - features.mean(0)
    ground = np.column_stack((np.ones(len(points)), points))
    left = centred - ground @ np.linalg.lstsq(ground, centred, rcond=None)[0]
    whole, rest = (np.bincount(owner, np.square(each).sum(0)) for each in (centred, left))
    return np.where(whole > TINY * len(points), 1 - rest / np.maximum(whole, TINY), 0.0)
