"""Pixels: smoothing against scipy's and its own law, cells against torch's resizing, gaps, and what goes back."""

from __future__ import annotations

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from diabolo.pixels import MOST, SPREAD, Cells, smoothed


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_smoothing_is_a_gaussian_of_unit_length() -> None:
    x = noise(2, 3, 56, 56)
    point = torch.zeros(1, 1, 56, 56)
    point[0, 0, 28, 28] = 1.0
    plain = [gaussian_filter(each.numpy(), (0, 0, 2.0, 2.0), mode="constant", truncate=8) for each in (x, point)]
    expected = torch.from_numpy(plain[0] / (plain[1] ** 2).sum() ** 0.5)
    assert torch.allclose(smoothed(x), expected, atol=1e-4)


def test_smoothing_leaves_noise_and_raises_what_lies_together() -> None:
    alone, stain = noise(200, 1, 28, 28), torch.zeros(1, 1, 28, 28)
    stain[..., 10:16, 10:16] = 1.0
    middle = smoothed(alone)[..., 5:-5, 5:-5]
    assert abs(float(middle.square().mean()) - 1) < 0.02
    assert 5 < float(smoothed(stain).square().sum() / stain.square().sum()) < 4 * torch.pi  # (its reach) / (one pixel)


def test_smoothing_does_not_hang_on_the_resolution() -> None:
    x = noise(8, 1, 28, 28)
    small, large = (
        smoothed(each).square().flatten(1).sum(1) for each in (x, x.repeat_interleave(3, 2).repeat_interleave(3, 3))
    )
    assert torch.allclose(small / small.sum(), large / large.sum(), rtol=0.1)


def test_tiny_images_are_not_smoothed() -> None:
    x = noise(4, 2, 5, 5)
    assert SPREAD * 5 < 0.2 and torch.allclose(smoothed(x), x, atol=1e-4)


@pytest.mark.parametrize(
    "grid, cells", [((32, 32), (16, 16)), ((64, 48), (16, 12)), ((40, 28), (16, 11)), ((9, 90), (2, 16))]
)
def test_cells_are_what_resizing_makes(grid: tuple[int, int], cells: tuple[int, int]) -> None:
    x, small = noise(3, 2, *grid), Cells(grid)
    assert small.grid == cells and max(cells) == MOST
    expected = functional.interpolate(x, size=cells, mode="bilinear", antialias=True)
    made, there = small(x, torch.ones_like(x, dtype=torch.bool))
    assert torch.allclose(made, expected, atol=1e-5) and there.shape == made.shape and there.all()


def test_small_images_stay_as_they_are() -> None:
    x, there = noise(3, 1, 16, 7), torch.ones(3, 1, 16, 7, dtype=torch.bool)
    assert Cells((16, 7)).grid == (16, 7) and torch.equal(Cells((16, 7))(x, there)[0], x)


def test_cells_leave_out_missing_pixels() -> None:
    x, cells = torch.ones(1, 1, 32, 32), Cells((32, 32))
    there = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0)) < 0.8
    there[..., :8, :8] = False
    made, seen = cells(torch.where(there, x, torch.nan), there)
    assert not seen[..., :3, :3].any() and seen[..., 5:, 5:].all()
    assert torch.allclose(made[seen], torch.ones(int(seen.sum())))


def test_a_cell_with_less_than_a_quarter_of_its_weight_is_missing() -> None:
    """The four pixels in the middle of a cell bear 9/64 of its weight each."""
    there = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
    there[0, 0, 8, 8] = there[1, 0, 8, 8:10] = True
    assert Cells((32, 32))(torch.ones(2, 1, 32, 32), there)[1][:, 0, 4, 4].tolist() == [False, True]


def test_what_cells_add_goes_back_to_the_pixels_that_are_there() -> None:
    cells, there = Cells((40, 33)), torch.rand(4, 2, 40, 33, generator=torch.Generator().manual_seed(0)) < 0.7
    parts = noise(4, 2, *cells.grid).square()
    back = cells.back(parts, there)
    assert (back >= 0).all() and not back[~there].any()
    assert torch.allclose(back.flatten(1).sum(1), parts.flatten(1).sum(1), rtol=1e-4)
    corner = torch.zeros(1, 1, *cells.grid)
    corner[..., 0, 0] = 1.0
    far = cells.back(corner, torch.ones(1, 1, 40, 33, dtype=torch.bool))
    assert far[..., :5, :5].sum() > 0.99
