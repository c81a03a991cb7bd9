"""How strongly columns go together, whatever their kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int

NEGLIGIBLE = 1e-8  # of the largest singular value of a column's features: what is below is rounding


def association(
    features: Float[np.ndarray, "n width"], owner: Int[np.ndarray, "width"] | Sequence[int]
) -> Float[np.ndarray, "columns columns"]:
    """How strongly each two columns go together, by the features of rows; ``owner`` says of which column each is.

    The largest canonical correlation (Hotelling, 1936): the correlation of two columns of one feature each, with its
    sign; of a category in indicators and a number the correlation ratio; of two categories the most that any scores
    given to both can correlate. A column that never varies goes with nothing, not even itself. Of n rows and a
    categories it is not 0 by chance, but about ``(a / n)^(1/2)``: compare what has as many rows.

    >>> x = np.array([[1.0, -1.0, 0.0], [2.0, -2.0, 1.0], [3.0, -3.0, 0.0], [4.0, -4.0, 1.0]])
    >>> association(x, [0, 1, 2]).round(2).tolist()
    [[1.0, -1.0, 0.45], [-1.0, 1.0, -0.45], [0.45, -0.45, 1.0]]
    """
    owner = np.asarray(owner)
    axes = [_axes(features[:, owner == column]) for column in range(int(owner.max(initial=-1)) + 1)]
    widths = [each.shape[1] for each in axes]
    shared = np.concatenate(axes, 1).T @ np.concatenate(axes, 1)
    ends = np.cumsum(widths)
    found = np.zeros((len(axes), len(axes)))
    plain = np.array(widths) == 1
    found[np.ix_(plain, plain)] = shared[np.ix_(ends[plain] - 1, ends[plain] - 1)]
    for one in np.flatnonzero(np.array(widths) > 1).tolist():
        rows = shared[ends[one] - widths[one] : ends[one]]
        found[one] = found[:, one] = [_norm(each) for each in np.split(rows, ends[:-1], 1)]
    return found.clip(-1, 1)


def _axes(block: np.ndarray) -> np.ndarray:
    """Columns of length 1, at right angles, that span the centred block; those that one feature has keep its sign."""
    centred = block - block.mean(0)
    if block.shape[1] == 1:
        length = np.linalg.norm(centred)
        return centred / length if length > NEGLIGIBLE * (1 + np.abs(block).max(initial=0)) else centred[:, :0]
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, sizes > NEGLIGIBLE * max(float(sizes.max(initial=0)), 1.0)]


def _norm(block: np.ndarray) -> float:
    """The largest singular value."""
    return float(np.linalg.norm(block, 2)) if block.shape[1] else 0.0
