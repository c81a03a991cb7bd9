"""How like real rows new ones are, by features of both.

No network that is known to others comes with diabolo, so no figure here can be compared with published ones, such as
an FID: features are what you give, or the codes of an Embedder of yours (``Embedder("Linear")``: principal components).
Compare models on the same features, the same real rows and as many new ones.

``real`` and ``new`` are features (n, numbers). All raise InvalidData for other shapes, values that are not finite, or
too few rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diabolo.errors import InvalidData, InvalidParameter

if TYPE_CHECKING:
    from jaxtyping import Float

    from diabolo.tasks.task import Task

CELLS = 4_000_000  # distances, or values, held at once


class PrecisionRecall(NamedTuple):
    """The share of new rows that lie among the real ones, and of real rows that lie among the new ones."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """How densely real rows lie around the new ones (1 as among real ones), and the share of them that has one near."""

    density: float
    coverage: float


class Generation(NamedTuple):
    """The figures of ``frechet_distance``, ``precision_recall`` and ``density_coverage``."""

    frechet: float
    precision: float
    recall: float
    density: float
    coverage: float


def generation(embedder: Task, new: Any, real: Any) -> Generation:
    """How like ``real`` rows ``new`` ones are on features of our own: the codes that ``embedder`` makes of both.

    ``embedder`` is a fitted task, best an Embedder fitted to rows of the same origin that are neither judged nor were
    made; rows are what it takes. Figures of different embedders have nothing to do with each other.

    >>> from diabolo import Embedder
    >>> rows = np.random.default_rng(0).normal(size=(900, 4))
    >>> embedder = Embedder("Linear", random_state=0).set_params(variant__latent=2).fit(rows[:300])
    >>> figures = generation(embedder, rows[300:600], rows[600:])
    >>> figures.frechet < 0.1, figures.precision > 0.8, figures.coverage > 0.8
    (True, True, True)
    """
    made, true = (embedder.encode(rows).reshape(len(rows), -1) for rows in (new, real))
    return Generation(frechet_distance(true, made), *precision_recall(true, made), *density_coverage(true, made))


def frechet_distance(real: Any, new: Any) -> float:
    """The Fréchet distance of two normal distributions with the moments of the features (Heusel et al., 2017,
    arXiv:1706.08500).

    ``|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))``, squared units of the features; 0 where the moments are the same. The
    trace of the root is the sum of the roots of the eigenvalues of ``C^(1/2) C' C^(1/2)``, which is symmetric, so that
    no root of a negative or complex number is ever taken, singular C included. It sees means and covariances only, and
    is too large by about 1/n: compare at the same n (Chong & Forsyth, 2020, arXiv:1911.07023), and have many more rows
    than numbers.

    >>> x = np.random.default_rng(0).normal(size=(500, 3))
    >>> round(abs(frechet_distance(x, x)), 9), round(frechet_distance(x, x + 2), 9)
    (0.0, 12.0)
    """
    (mean, cov), (other, beside) = (_moments(each) for each in _checked(real, new, 2))
    root = _root(cov)
    shared = np.linalg.eigvalsh(root @ beside @ root).clip(0)
    shared[shared < np.finfo(float).eps * len(shared) * shared.max()] = 0  # roots of roundings would be no roundings
    return float(np.square(mean - other).sum() + np.trace(cov) + np.trace(beside) - 2 * np.sqrt(shared).sum())


def precision_recall(real: Any, new: Any, *, k: int = 3) -> PrecisionRecall:
    """How many new rows are plausible, and how many real ones are met (Kynkäänniemi et al., 2019, arXiv:1904.06991).

    A row lies among others if it is nearer to one of them than that one's k-th neighbour among themselves. Rows alike
    in distribution score well below 1 in many dimensions; one outlier among the real rows covers much space and lifts
    precision. The figures change with n and k. Time grows with n^2, memory does not.

    >>> x = np.random.default_rng(0).normal(size=(400, 2))
    >>> precision_recall(x, np.zeros((400, 2)) + x[0])  # one real row, again and again
    PrecisionRecall(precision=1.0, recall=0.0025)
    """
    real, new = _checked(real, new, k + 1)
    return PrecisionRecall(_among(new, real, k), _among(real, new, k))


def density_coverage(real: Any, new: Any, *, k: int = 5) -> DensityCoverage:
    """How densely real rows surround new ones, and how many real ones have a new one near (Naeem et al., 2020,
    arXiv:2002.09797).

    With the ball of a real row reaching to its k-th neighbour among them, ``density`` is the number of balls that a new
    row lies in, on average and over k, and may exceed 1; ``coverage`` is the share of balls with a new row in them, for
    rows alike in distribution ``1 - 2^-k`` if there are as many of both. An outlier counts for one ball among many.
    Time grows with n^2, memory does not.

    >>> x = np.random.default_rng(0).normal(size=(400, 2))
    >>> density_coverage(x, np.zeros((400, 2)) + x[0]).coverage < 0.1
    True
    """
    real, new = _checked(real, new, k + 1)
    inside = np.zeros(len(real), np.int64)
    reach, start = _reach(real, k), 0
    for block in _distances(real, new):
        rows = slice(start, start := start + len(block))
        inside[rows] = (block <= reach[rows, None]).sum(1)
    return DensityCoverage(float(inside.sum() / (k * len(new))), float((inside > 0).mean()))


def _checked(real: Any, new: Any, fewest: int) -> list[Float[np.ndarray, "n numbers"]]:
    if fewest < 2:
        raise InvalidParameter(f"k must be an int >= 1. Got {fewest - 1}.")
    both = [np.asarray(each, dtype=np.float64) for each in (real, new)]
    if any(each.ndim != 2 or len(each) < fewest for each in both) or both[0].shape[1] != both[1].shape[1]:
        raise InvalidData(
            f"Features (n, numbers) of one width are compared, {fewest} rows or more of both. Got "
            f"{both[0].shape} and {both[1].shape}."
        )
    if not all(np.isfinite(each).all() for each in both):
        raise InvalidData("A feature is NaN or infinite. Leave out its row.")
    return both


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance, a block of rows at a time."""
    mean, cov = x.mean(0), np.zeros((x.shape[1], x.shape[1]))
    step = max(1, CELLS // x.shape[1])
    for start in range(0, len(x), step):
        away = x[start : start + step] - mean
        cov += away.T @ away
    return mean, cov / (len(x) - 1)


def _root(cov: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(cov)
    root: np.ndarray = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    return root


def _distances(rows: np.ndarray, others: np.ndarray) -> Iterator[Float[np.ndarray, "block others"]]:
    """The distances of some rows after the other to all others."""
    from scipy.spatial.distance import cdist

    step = max(1, CELLS // len(others))
    return (cdist(rows[start : start + step], others) for start in range(0, len(rows), step))


def _reach(x: np.ndarray, k: int) -> Float[np.ndarray, "n"]:
    """The distance of each row to its k-th neighbour among the others; the row itself comes first, at 0."""
    return np.concatenate([np.partition(each, k, 1)[:, k] for each in _distances(x, x)])


def _among(rows: np.ndarray, others: np.ndarray, k: int) -> float:
    """The share of rows that lie within the reach of one of the others."""
    reach = _reach(others, k)
    return sum(int((each <= reach).any(1).sum()) for each in _distances(rows, others)) / len(rows)
