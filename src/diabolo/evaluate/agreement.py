"""Whether several fits found the same code, whatever its order and its scale."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from diabolo.errors import InvalidData
from diabolo.evaluate.estimates import Estimate

if TYPE_CHECKING:
    from jaxtyping import Float

ROUNDING = 1e-12  # relative


def linear_cka(one: Any, other: Any) -> float:
    """How alike two codes (n, numbers) of the same rows are up to a rotation and a scale (Kornblith et al., 2019,
    arXiv:1905.00414).

    ``|Y'X|^2 / (|X'X| |Y'Y|)`` with X, Y centred and Frobenius norms: 1 where one is a rotation of the other, 0 where
    nothing of one is a linear function of the other. The widths may differ. It follows the directions of most variance
    and forgets the others; with few rows for many numbers it is high for noise too (Murphy et al., 2024,
    arXiv:2405.01012). Raises InvalidData where rows differ in number, a code is constant, or values are not finite.

    >>> x = np.random.default_rng(0).normal(size=(50, 2))
    >>> round(linear_cka(x, 3 * x @ np.array([[0.6, 0.8], [-0.8, 0.6]])), 6)
    1.0
    """
    x, y = _centred(one, other)
    sizes = [np.linalg.norm(each.T @ each) for each in (x, y)]
    return float(np.linalg.norm(y.T @ x) ** 2 / (sizes[0] * sizes[1]))


def matched_correlation(one: Any, other: Any) -> float:
    """How well the numbers of two codes of the same rows agree one by one, known as MCC (Hyvärinen & Morioka, 2016,
    arXiv:1605.06336).

    The mean ``|correlation|`` over pairs, each number of the narrower code with its own of the other, in the best way
    there is (Kuhn, 1955): 1 where one is the other in another order, sign and scale. Unlike ``linear_cka`` it falls
    with a rotation. It is not 0 for noise: of n rows and d numbers each, the best of many small correlations are taken.
    A number that never varies agrees with nothing. Raises InvalidData as ``linear_cka`` does.

    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(matched_correlation(x, -2 * x[:, [2, 0, 1]]), 6)
    1.0
    """
    from scipy.optimize import linear_sum_assignment

    correlation = np.abs(_unit(_centred(one, other)[0]).T @ _unit(_centred(one, other)[1]))
    return float(correlation[linear_sum_assignment(-correlation)].mean())


def stability(codes: Sequence[Any]) -> dict[str, Estimate]:
    """How alike the codes of the same rows are that several fits made, say with different seeds.

    ``linear_cka`` and ``matched_correlation``, each the mean over all pairs of codes, with the least and the largest as
    the ends. Raises InvalidData for fewer than two codes.

    >>> x = np.random.default_rng(0).normal(size=(50, 2))
    >>> {name: round(each.low, 6) for name, each in stability([x, x + 1, -x]).items()}
    {'linear_cka': 1.0, 'matched_correlation': 1.0}
    """
    if len(codes) < 2:
        raise InvalidData(f"Codes of two fits or more are compared. Got {len(codes)}: fit again with another seed.")
    pairs = list(combinations(codes, 2))
    found = {each.__name__: [each(*pair) for pair in pairs] for each in (linear_cka, matched_correlation)}
    return {name: Estimate(float(np.mean(each)), min(each), max(each)) for name, each in found.items()}


def _centred(one: Any, other: Any) -> list[Float[np.ndarray, "n numbers"]]:
    both = [np.asarray(each, dtype=np.float64) for each in (one, other)]
    if any(each.ndim != 2 for each in both) or len(both[0]) != len(both[1]) or len(both[0]) < 2:
        raise InvalidData(
            f"Codes (n, numbers) of the same two or more rows are compared. Got {[x.shape for x in both]}."
        )
    if not all(np.isfinite(each).all() for each in both):
        raise InvalidData("A code holds NaN or infinity. Leave out its row, in all codes.")
    centred = [_varying(each) for each in both]
    if not all(each.any() for each in centred):
        raise InvalidData("A code that is the same for every row cannot be compared. Give codes that vary.")
    return centred


def _varying(x: np.ndarray) -> np.ndarray:
    """The columns less their means; one that is nothing but rounding is 0."""
    away = x - x.mean(0)
    return np.where(np.abs(away).max(0) > ROUNDING * np.abs(x).max(0), away, 0.0)


def _unit(x: np.ndarray) -> np.ndarray:
    """Columns of length 1; one that is nothing beside the others stays 0."""
    lengths = np.linalg.norm(x, axis=0)
    return np.where(lengths > ROUNDING * lengths.max(initial=0), x, 0.0) / np.maximum(lengths, np.finfo(float).tiny)
