"""A figure with its interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A figure and the ends of its interval."""

    value: float
    low: float
    high: float


def estimates(values: dict[str, np.ndarray], drawn: dict[str, np.ndarray], level: float) -> dict[str, Estimate]:
    """The figures, each with the quantiles of as many drawn ones."""
    ends = [(1 - level) / 2, (1 + level) / 2]
    return {name: Estimate(float(values[name]), *map(float, np.quantile(drawn[name], ends))) for name in values}


def centred(values: dict[str, np.ndarray], drawn: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Drawn figures moved so that their mean is the figure, of which none is above 1.

    Rows of a bootstrap sample repeat, so that figures of association are larger among them than among the rows, by
    about as much as those of the rows are larger than those of a whole population. What is left is how far the figures
    of as many rows lie from what as many rows say on average.

    >>> centred({"nmi": np.float64(0.5)}, {"nmi": np.array([0.75, 0.875, 1.0])})["nmi"]
    array([0.375, 0.5  , 0.625])
    """
    return {name: (each + (drawn[name] - drawn[name].mean())).clip(max=1.0) for name, each in values.items()}
