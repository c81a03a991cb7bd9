"""Images whose factors are known, to judge codes with; they are drawn, not downloaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diabolo.errors import InvalidParameter

if TYPE_CHECKING:
    from jaxtyping import Float, Int

NAMES = ("shape", "size", "rotation", "x", "y")
LEVELS = (3, 6, 40, 32, 32)  # as many as dSprites has
SIDES = (16, 64)
FINE = 3  # points per pixel and direction whose mean is its grey
BLOCK = 256  # images drawn at once

Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Shapes(NamedTuple):
    """Grey images from 0 to 1, and of each the level of every factor, from 0 on, in the order of ``NAMES``."""

    images: Float[np.ndarray, "n 1 side side"]
    factors: Int[np.ndarray, "n 5"]


def shapes(n: int, side: int = 32, *, levels: Sequence[int] = LEVELS, seed: int = 0) -> Shapes:
    """``n`` images of a square, an ellipse or a heart: shape, size, rotation, x and y are drawn apart from each other.

    After dSprites (Matthey et al., 2017), whose factors and ``levels`` these are, with two differences: edges are soft,
    so that a move by less than a pixel shows in a small image, and rotations cover a quarter of a turn, since of those
    of a whole turn four of a square, and two of an ellipse, look alike and no code could tell them. Equal seeds give
    equal images, and the first ones are the same however many are drawn. Raises InvalidParameter for a ``side`` outside
    16 to 64 pixels, or levels that are not five whole numbers above 0, the first at most 3.

    >>> images, factors = shapes(100, side=16, levels=(3, 2, 4, 8, 8))
    >>> images.shape, factors.shape, factors.max(0).tolist()
    ((100, 1, 16, 16), (100, 5), [2, 1, 3, 7, 7])
    """
    _check(n, side, levels)
    dice = np.random.default_rng(seed)
    factors = np.floor(dice.random((n, len(NAMES))) * levels).astype(np.int64)
    images = np.empty((n, 1, side, side), np.float32)
    for start in range(0, n, BLOCK):
        images[start : start + BLOCK, 0] = _drawn(factors[start : start + BLOCK], side, levels)
    return Shapes(images, factors)


def _check(n: int, side: int, levels: Sequence[int]) -> None:
    whole = all(isinstance(each, (int, np.integer)) and each >= 1 for each in (n, side, *levels))
    if not (whole and SIDES[0] <= side <= SIDES[1]):
        raise InvalidParameter(
            f"Images are drawn in any number from 1 on, {SIDES[0]} to {SIDES[1]} pixels wide. Got {n!r}, side={side!r}."
        )
    if len(levels) != len(NAMES) or levels[0] > len(DRAWN):
        raise InvalidParameter(
            f"levels are those of {', '.join(NAMES)}: five whole numbers, the first at most {len(DRAWN)}. Got {levels}."
        )


def _drawn(factors: np.ndarray, side: int, levels: Sequence[int]) -> np.ndarray:
    """The images of some rows of factors, (n, side, side)."""
    size, x, y = (_between(factors[:, i], levels[i], *ENDS[i]) for i in (1, 3, 4))
    turn = (np.pi / 2 / levels[2] * factors[:, 2]).astype(np.float32)[:, None, None]
    grid = (np.arange(side * FINE, dtype=np.float32) + 0.5) / (side * FINE)
    across, down = grid[None, None, :] - x, grid[None, :, None] - y
    u = (np.cos(turn) * across + np.sin(turn) * down) / size
    v = (np.cos(turn) * down - np.sin(turn) * across) / size
    fine = np.empty(u.shape, bool)
    for kind, inside in enumerate(DRAWN):
        rows = factors[:, 0] == kind
        fine[rows] = inside(u[rows], v[rows])
    return fine.reshape(-1, side, FINE, side, FINE).mean((2, 4))


def _between(level: np.ndarray, levels: int, low: float, high: float) -> np.ndarray:
    """The number that a level stands for, (n, 1, 1); a single level is the middle."""
    share = level / (levels - 1) if levels > 1 else np.full(len(level), 0.5)
    return (low + (high - low) * share).astype(np.float32)[:, None, None]


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) <= 0.8


def _ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u**2 + (v / 0.55) ** 2 <= 1


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    across, up = 1.25 * u, 0.15 - 1.25 * v
    return (across**2 + up**2 - 1) ** 3 <= across**2 * up**3


DRAWN: tuple[Inside, ...] = (_square, _ellipse, _heart)
ENDS = {1: (0.12, 0.25), 3: (0.3, 0.7), 4: (0.3, 0.7)}  # size (half a width), x and y of the middle, in image widths
