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
