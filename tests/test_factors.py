"""Images of known factors against what geometry says of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from diabolo.errors import InvalidParameter
from diabolo.evaluate import shapes

SQUARE, ELLIPSE, HEART = range(3)


def middle(images: np.ndarray) -> np.ndarray:
    """The centre of mass (x, y) of each image, in widths of the image."""
    place = (np.arange(images.shape[-1]) + 0.5) / images.shape[-1]
    mass = images[:, 0].sum((1, 2))
    return np.stack([(images[:, 0].sum(axis) * place).sum(1) / mass for axis in (1, 2)], 1)


@pytest.mark.parametrize("side", [16, 32, 64])
def test_shapes_are_where_and_as_large_as_their_factors_say(side: int) -> None:
    images, factors = shapes(400, side)
    even = factors[:, 0] != HEART
    np.testing.assert_allclose(middle(images)[even], 0.3 + 0.4 * factors[even, 3:] / 31, atol=0.2 / side)
    size = 0.12 + 0.13 * factors[:, 1] / 5
    area = np.select([factors[:, 0] == SQUARE, factors[:, 0] == ELLIPSE], [(1.6 * size) ** 2, np.pi * 0.55 * size**2])
    np.testing.assert_allclose(images.mean((1, 2, 3))[even], area[even], rtol=0.25 * 16 / side, atol=0.5 / side**2)


def test_nothing_reaches_over_the_edge() -> None:
    images, _ = shapes(2000, 32)
    assert images.min() == 0 and images.max() == 1
    assert not images[..., [0, -1], :].any() and not images[..., [0, -1]].any()


def test_factors_are_drawn_apart_and_evenly() -> None:
    _, factors = shapes(5000, 16, levels=(3, 2, 4, 5, 6))
    assert np.abs(np.corrcoef(factors.T) - np.eye(5)).max() < 0.06
    for levels, column in zip((3, 2, 4, 5, 6), factors.T, strict=True):
        assert np.bincount(column).min() > 0.85 * 5000 / levels and column.max() == levels - 1


def test_no_two_levels_look_alike() -> None:
    """Not even the rotations of a square, of which four of a whole turn do."""
    images, factors = shapes(3000, 32, levels=(3, 2, 4, 2, 2))
    kinds, rows = np.unique(factors, axis=0, return_index=True)
    flat = images[rows].reshape(len(kinds), -1)
    apart = np.linalg.norm(flat[:, None] - flat[None], axis=2) + np.eye(len(kinds))
    assert len(kinds) == 96 and apart.min() > 0.5


def test_equal_factors_give_equal_images_and_seeds_other_ones() -> None:
    images, factors = shapes(300, 16, levels=(2, 1, 1, 1, 2))
    for kind in np.unique(factors, axis=0):
        same = images[(factors == kind).all(1)]
        assert (same == same[0]).all()
    assert (shapes(20, 16).images == shapes(300, 16).images[:20]).all()
    assert (shapes(20, 16, seed=1).factors != shapes(20, 16).factors).any()


@pytest.mark.parametrize(
    ("n", "side", "levels"),
    [(0, 32, (3,) * 5), (5, 8, (3,) * 5), (5, 32, (4,) * 5), (5, 32, (3,) * 4), (5, 32, (0,) * 5)],
)
def test_other_images_are_not_drawn(n: int, side: int, levels: Sequence[int]) -> None:
    with pytest.raises(InvalidParameter, match=r"Images are drawn|levels are those"):
        shapes(n, side, levels=levels)
