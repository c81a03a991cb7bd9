"""Scales: numbers to pixels, and the numbers worth a tick."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

Warp = Callable[[np.ndarray | float], np.ndarray]
STEPS = (1.0, 2.0, 5.0)


def straight(values: np.ndarray | float) -> np.ndarray:
    """No warp."""
    return np.asarray(values, dtype=np.float64)


@dataclass(frozen=True)
class Scale:
    """``low`` to ``high`` laid on ``start`` to ``end`` pixels, after ``warp``; what lies beyond stops at the ends.

    >>> float(Scale(0, 10, 100, 200)(5)), float(Scale(1, 100, 0, 50, np.log10)(10))
    (150.0, 25.0)
    """

    low: float
    high: float
    start: float
    end: float
    warp: Warp = straight

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        low, high = float(self.warp(self.low)), float(self.warp(self.high))
        share = (self.warp(values) - low) / ((high - low) or 1.0)
        return self.start + np.clip(share, 0.0, 1.0) * (self.end - self.start)

    def spaced(self, candidates: Iterator[float] | list[float], apart: float) -> list[float]:
        """The candidates inside whose pixels are at least ``apart`` from those taken before."""
        taken: list[float] = []
        for each in candidates:
            inside = self.low <= each <= self.high
            if inside and all(abs(float(self(each)) - float(self(other))) >= apart for other in taken):
                taken.append(each)
        return sorted(taken)


def even(low: float, high: float, most: int) -> list[float]:
    """Round numbers at even steps of 1, 2 or 5 times a power of ten, at most about ``most`` of them.

    >>> even(0, 43, 5)
    [0.0, 10.0, 20.0, 30.0, 40.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (*STEPS, 10.0) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{place * step:.12g}") for place in range(first, last + 1)]


def growing(high: float) -> Iterator[float]:
    """0 and the powers of ten up to ``high``, then twice and five times those: ticks of a logarithmic axis.

    >>> list(growing(30))
    [0.0, 1.0, 10.0, 2.0, 20.0, 5.0]
    """
    yield 0.0
    for factor in STEPS:
        power = 1.0
        while factor * power <= high:
            yield factor * power
            power *= 10
