"""Corruptions: how much, where and of what; missing values stay missing, inputs stay as they are."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from diabolo.corruptions import (
    Cover,
    GaussianNoise,
    Hide,
    HideBoxes,
    HideEnd,
    HidePatches,
    Relight,
    SaltPepper,
    SwapRows,
    Views,
    Warp,
)
from diabolo.corruptions.views import boxes
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.randomness import seeded, shard
from diabolo.schema import Column, Schema, numbers

MIXED = Schema(
    (
        Column("a", center=10.0, scale=2.0, low=4.0, high=30.0),
        Column("color", "category", "Categorical", categories=("red", "blue", "(unseen)")),
        Column("member", "boolean", "Bernoulli"),
        Column("visits", "count", "NegativeBinomial", center=2.0, scale=0.5, low=1.0, high=60.0),
    )
)
IMAGE = numbers(2, "image", (12, 9))


@pytest.fixture(autouse=True)
def _same_draws_in_any_order() -> None:
    torch.manual_seed(0)


def mixed_rows(n: int = 2000) -> Tensor:
    u = torch.rand((n, 4), generator=torch.Generator().manual_seed(5))
    return torch.stack((u[:, 0], (u[:, 1] * 3).floor(), (u[:, 2] * 2).floor(), (u[:, 3] * 30).floor()), 1)


def images(n: int = 300) -> Tensor:
    return torch.randn((n, *IMAGE.shape), generator=torch.Generator().manual_seed(6))


EVERY: dict[str, Callable[[Schema], nn.Module]] = {
    "GaussianNoise": lambda schema: GaussianNoise(schema, 0.3),
    "SaltPepper": lambda schema: SaltPepper(schema, 0.3),
    "Hide": lambda schema: Hide(0.3),
    "HidePatches": lambda schema: HidePatches(0.3, 4),
    "HideBoxes": lambda schema: HideBoxes(Hide(0.3), 0.5),
    "SwapRows": lambda schema: SwapRows(0.3),
}
VIEWS: dict[str, Callable[[Schema], nn.Module]] = {"Warp": Warp, "Relight": Relight, "Cover": Cover, "Views": Views}
PIXELS = Schema(MIXED.columns, "image", (8, 6))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("schema", "draw"), [(MIXED, mixed_rows), (IMAGE, images)], ids=["mixed", "image"])
class TestEveryCorruption:
    def test_keeps_shape_input_and_missing_values(self, name: str, schema: Schema, draw: Callable[[], Tensor]) -> None:
        x = draw()
        x[::3, 0] = torch.nan
        before, corrupted = x.clone(), EVERY[name](schema)(x)
        assert corrupted.shape == x.shape
        assert torch.equal(x.nan_to_num(99), before.nan_to_num(99))
        assert corrupted[::3, 0].isnan().all()
        assert not torch.equal(corrupted.nan_to_num(99), before.nan_to_num(99))

    def test_hides_if_it_says_so(self, name: str, schema: Schema, draw: Callable[[], Tensor]) -> None:
        corruption = EVERY[name](schema)
        assert corruption(draw()).isnan().any().item() == corruption.hides

    def test_the_seed_decides(self, name: str, schema: Schema, draw: Callable[[], Tensor]) -> None:
        corruption, x, drawn = EVERY[name](schema), draw(), []
        for seed in (1, 1, 2):
            with seeded(seed):
                drawn.append(corruption(x).nan_to_num(99))
        assert torch.equal(drawn[0], drawn[1])
        assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("name", EVERY)
def test_values_stay_possible(name: str) -> None:
    corrupted = EVERY[name](MIXED)(mixed_rows()).nan_to_num(0)
    assert torch.isin(corrupted[:, 1], torch.arange(3.0)).all()
    assert torch.isin(corrupted[:, 2], torch.tensor([0.0, 1.0])).all()
    assert (corrupted[:, 3] >= 0).all()


@pytest.mark.parametrize("name", ["GaussianNoise", "SaltPepper", "Hide", "HidePatches", "HideBoxes", *VIEWS])
def test_two_processes_draw_what_one_would(name: str) -> None:
    corruption, x, halves = (EVERY | VIEWS)[name](IMAGE), images(10), []
    with seeded(7):
        whole = corruption(x)
    for start in (0, 5):
        with seeded(7), shard(10, start):
            halves.append(corruption(x[start : start + 5]))
    torch.testing.assert_close(torch.cat(halves), whole, equal_nan=True)


class TestGaussianNoise:
    def test_has_the_scale_asked_for(self) -> None:
        x = images()
        assert (GaussianNoise(IMAGE, 0.25)(x) - x).std().item() == pytest.approx(0.25, rel=0.02)

    def test_is_in_standard_deviations_of_each_continuous_column(self) -> None:
        x = mixed_rows(20_000).clamp_min(20)
        noisy = GaussianNoise(MIXED, 0.2)(x)
        assert (noisy - x)[:, 0].std().item() == pytest.approx(0.2, rel=0.05)
        assert (noisy.log1p() - x.log1p())[:, 3].std().item() == pytest.approx(0.2 * 0.5, rel=0.05)
        assert torch.equal(noisy[:, 1:3], x[:, 1:3])


class TestSaltPepper:
    def test_goes_to_the_limits_of_the_column(self) -> None:
        extreme = SaltPepper(MIXED, 1.0)(mixed_rows())
        assert extreme[:, 0].unique().tolist() == [-3.0, 10.0]
        assert extreme[:, 2].unique().tolist() == [0.0, 1.0]
        assert extreme[:, 3].unique().tolist() == [1.0, 60.0]
        assert torch.equal(extreme[:, 1], mixed_rows()[:, 1])

    def test_goes_three_deviations_where_limits_are_unknown(self) -> None:
        counts = Schema((Column("n", "count", center=1.0, scale=0.5),))
        assert SaltPepper(IMAGE, 1.0)(images()).unique().tolist() == [-3.0, 3.0]
        assert SaltPepper(counts, 1.0)(torch.ones(50, 1)).max().log1p().item() == pytest.approx(2.5)

    def test_hits_the_share_asked_for_evenly(self) -> None:
        hit = SaltPepper(IMAGE, 0.2)(images())
        for value in (-3.0, 3.0):
            assert (hit == value).float().mean().item() == pytest.approx(0.1, abs=0.01)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1))
def test_hide_hides_its_share(share: float) -> None:
    with seeded(8):
        hidden = Hide(share)(torch.zeros(100, 100)).isnan().float().mean().item()
    assert hidden == pytest.approx(share, abs=0.03)


class TestHidePatches:
    def test_hides_whole_patches_in_all_channels(self) -> None:
        hidden = HidePatches(0.5, 3)(images()).isnan()
        assert torch.equal(hidden[:, 0], hidden[:, 1])
        patches = hidden[:, 0].view(-1, 4, 3, 3, 3).transpose(2, 3).flatten(3)
        assert (patches.all(3) | ~patches.any(3)).all()
        assert hidden.float().mean().item() == pytest.approx(0.5, abs=0.03)

    def test_draws_a_share_for_each_row(self) -> None:
        shares = HidePatches(0.9, 1, least=0.3)(torch.zeros(400, 1, 20, 20)).isnan().float().mean((1, 2, 3))
        assert 0.2 < shares.min() < 0.4 and 0.8 < shares.max() < 1.0

    def test_cuts_patches_at_the_edge(self) -> None:
        assert HidePatches(1.0, 5)(torch.zeros(2, 1, 7)).isnan().all()

    def test_hides_single_values_of_a_table(self) -> None:
        hidden = HidePatches(0.5, 3)(torch.zeros(500, 8)).isnan()
        assert 0 < hidden.float().sum(1).std().item() < 2


class TestHideEnd:
    @pytest.mark.parametrize("grid", [(9,), (9, 4)])
    def test_hides_the_end_only(self, grid: tuple[int, ...]) -> None:
        hidden = HideEnd(3)(torch.zeros(2, 2, *grid)).isnan()
        assert hidden[:, :, 6:].all()
        assert not hidden[:, :, :6].any()

    @pytest.mark.parametrize("shape", [(4, 5), (4, 2, 3)])
    def test_needs_something_before_the_end(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(InvalidData, match="more than 3 steps"):
            HideEnd(3)(torch.zeros(shape))


class TestSwapRows:
    def test_takes_values_of_the_same_column(self) -> None:
        x = torch.arange(40.0).view(10, 4)
        swapped = SwapRows(1.0)(x)
        assert (swapped % 4 == x % 4).all()
        assert (swapped != x).all()

    def test_swaps_the_share_asked_for(self) -> None:
        x = torch.arange(40_000.0).view(10_000, 4)
        assert (SwapRows(0.25)(x) != x).float().mean().item() == pytest.approx(0.25, abs=0.02)

    def test_leaves_a_row_alone_as_it_is(self) -> None:
        assert torch.equal(SwapRows(1.0)(torch.ones(1, 3)), torch.ones(1, 3))

    def test_never_brings_in_a_missing_value(self) -> None:
        x = torch.ones(50, 3)
        x[::2] = torch.nan
        assert torch.equal(SwapRows(1.0)(x).isnan(), x.isnan())


class TestWarp:
    def test_leaves_what_is_the_same_everywhere_and_all_without_strength(self) -> None:
        x = images(5)
        torch.testing.assert_close(Warp(IMAGE, 0.0)(x), x)
        torch.testing.assert_close(Warp(IMAGE)(torch.full_like(x, 3.0)), torch.full_like(x, 3.0))

    def test_moves_an_image_as_a_whole(self) -> None:
        x = images(50)
        x[:, 1] = 2 * x[:, 0]
        bent = Warp(IMAGE)(x)
        torch.testing.assert_close(bent[:, 1], 2 * bent[:, 0])
        assert ((bent - x).flatten(1).abs().amax(1) > 0.1).all()

    def test_goes_as_far_as_it_says(self) -> None:
        place = torch.linspace(-1, 1, 41)[None, None, :, None].expand(500, 1, 41, 41).clone()
        middle = Warp(numbers(1, "image", (41, 41)))(place)[:, 0, 20, 20]  # only the shift moves it
        assert 0.08 < middle.abs().max() < 0.11

    def test_keeps_the_order_of_time(self) -> None:
        x = torch.linspace(0, 1, 30).expand(20, 2, 30).clone()
        bent = Warp(numbers(2, "series", (30,)))(x)
        assert bent.shape == x.shape and (bent.diff(dim=2) >= 0).all()
        assert (bent[:, 0] - x[:, 0]).abs().amax(1).min() > 0

    def test_names_no_category_that_there_is_not(self) -> None:
        schema = Schema((Column("kind", "category", "Categorical", categories=("a", "b", "c")),), "image", (9, 9))
        x = torch.randint(3, (20, 1, 9, 9)).float()
        assert torch.isin(Warp(schema)(x), torch.arange(3.0)).all()

    def test_what_is_missing_moves_along(self) -> None:
        x = images(4)
        x[0, 0], x[1] = torch.nan, torch.nan
        gaps = Warp(IMAGE)(x).isnan().flatten(2).all(2)
        assert gaps.tolist() == [[True, False], [True, True], [False, False], [False, False]]

    def test_bends_no_table(self) -> None:
        with pytest.raises(InvalidParameter, match="1 or 2 axes"):
            Warp(MIXED)


class TestRelight:
    def test_stays_within_the_limits_and_keeps_the_order_of_values(self) -> None:
        x = torch.linspace(-3.0, 10.0, 48).expand(40, 4, 48).reshape(40, 4, 8, 6).clone()
        seen = Relight(PIXELS)(x)
        assert -3.0 <= seen[:, 0].min() and seen[:, 0].max() <= 10.0
        assert (seen[:, 0].flatten(1).diff(dim=1) >= -1e-5).all()
        assert torch.equal(seen[:, 1:3], x[:, 1:3])  # categories and booleans

    def test_black_stays_black_and_no_two_rows_are_lit_alike(self) -> None:
        x = torch.full((30, 4, 8, 6), -3.0)
        torch.testing.assert_close(Relight(PIXELS)(x)[:, 0], x[:, 0])
        x += 6.0
        assert len(Relight(PIXELS)(x)[:, 0, 0, 0].unique()) == 30

    def test_goes_as_far_as_it_says(self) -> None:
        grey = torch.zeros(4000, 1, 4)  # half way between limits that are not known, 3 deviations to either side
        seen = (Relight(numbers(1, "series", (4,)), 0.1)(grey) + 3) / 6
        assert 0.41 < seen.min() < 0.43 and 0.57 < seen.max() < 0.59  # (0.5 x 0.9)^1.105, (0.5 x 1.1)^0.905

    def test_without_strength_there_is_no_change(self) -> None:
        x = images(3).clamp(-3, 3)
        torch.testing.assert_close(Relight(IMAGE, 0.0)(x), x)


class TestCover:
    def test_covers_one_box_with_the_mean(self) -> None:
        x = images(200) + 10
        covered = Cover(IMAGE, 0.9)(x)
        touched = covered != x
        assert (covered[touched] == 0).all() and touched.flatten(1).any(1).float().mean() > 0.8
        assert torch.equal(touched[:, 0], touched[:, 1])
        rows, columns = touched[:, 0].any(2), touched[:, 0].any(1)
        assert torch.equal(touched[:, 0], rows[:, :, None] & columns[:, None, :])

    def test_is_as_large_as_it_says(self) -> None:
        shares = boxes(torch.empty(4000, 1, 100), 0.5).float().mean((1, 2))
        assert shares.max() <= 0.5
        assert shares.mean().item() == pytest.approx(0.25 - 1 / 48, abs=0.005)  # of a side s, s^2 / 4 hangs over

    def test_values_stay_possible_and_missing_ones_missing(self) -> None:
        x = torch.ones(200, 4, 8, 6)
        x[:, 3, 0] = torch.nan
        covered = Cover(PIXELS, 1.0)(x)
        assert torch.equal(covered[:, 1:3], x[:, 1:3])  # categories and booleans
        assert covered[:, 3, 0].isnan().all()
        assert covered[:, 3, 1:].unique().tolist() == [1.0, 6.0]  # e^2 - 1 = 6.39


class TestViews:
    def test_is_its_parts_one_after_the_other(self) -> None:
        x = images(6)
        with seeded(3):
            whole = Views(IMAGE, 0.2)(x)
        with seeded(3):
            noise = GaussianNoise(IMAGE, 0.2 * math.sqrt(12 * 9) / 20)
            for part in (Relight(IMAGE, 0.8), Warp(IMAGE, 0.2), Cover(IMAGE, 0.3), noise):
                x = part(x)
        torch.testing.assert_close(whole, x)

    def test_large_images_bear_more_noise(self) -> None:
        scales = [Views(numbers(1, "image", (side, side)), 0.2)[3].scale for side in (5, 10, 1000)]
        assert scales == pytest.approx([0.05, 0.1, 0.5])

    def test_takes_no_rows(self) -> None:
        assert Views(IMAGE)(images(0)).shape == (0, 2, 12, 9)

    def test_takes_any_strength(self) -> None:
        assert Views(IMAGE, 1.5)(images(3)).isfinite().all()

    def test_names_itself_and_its_own_strength_where_that_cannot_be(self) -> None:
        with pytest.raises(InvalidParameter, match=r"of Views must be .* Got -0.1"):
            Views(IMAGE, -0.1)


class TestHideBoxes:
    def test_hides_one_box_in_all_channels(self) -> None:
        hidden = HideBoxes(Hide(0.0), 1.0)(torch.zeros(300, 2, 12, 9)).isnan()
        assert torch.equal(hidden[:, 0], hidden[:, 1])
        down, across = hidden[:, 0].any(2), hidden[:, 0].any(1)
        assert torch.equal(hidden[:, 0], down.unsqueeze(2) & across.unsqueeze(1))
        assert ((down[:, 1:] != down[:, :-1]).sum(1) <= 2).all() and down.float().mean() > 0.2

    def test_hides_boxes_in_a_share_of_the_rows_and_single_values_in_the_rest(self) -> None:
        hidden = HideBoxes(Hide(1.0), 0.25)(torch.zeros(2000, 1, 30)).isnan()
        assert hidden.all(2).float().mean().item() == pytest.approx(0.75, abs=0.03)

    def test_leaves_tables_to_the_other(self) -> None:
        assert HideBoxes(Hide(1.0), 1.0)(torch.zeros(20, 8)).isnan().all()
        assert not HideBoxes(Hide(0.0), 1.0)(torch.zeros(20, 8)).isnan().any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Warp(IMAGE, -0.1),
        lambda: Relight(IMAGE, -0.1),
        lambda: Cover(IMAGE, 1.1),
        lambda: Views(IMAGE, -0.1),
        lambda: GaussianNoise(IMAGE, -0.1),
        lambda: SaltPepper(IMAGE, 1.5),
        lambda: Hide(float("nan")),
        lambda: HidePatches(0.5, 0),
        lambda: HideBoxes(Hide(0.3), 1.5),
        lambda: HideEnd(0),
        lambda: SwapRows(-1.0),
    ],
)
def test_impossible_parameters_are_refused(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(InvalidParameter, match=r"must be .* Got"):
        make()


def test_parts_say_what_they_do() -> None:
    parts = [*(make(IMAGE) for make in EVERY.values()), HideEnd(3), Warp(IMAGE), Relight(IMAGE), Cover(IMAGE)]
    assert [repr(part) for part in parts] == [
        "GaussianNoise(scale=0.3)",
        "SaltPepper(share=0.3)",
        "Hide(share=0.3)",
        "HidePatches(share=0.3, size=4)",
        "HideBoxes(\n  share=0.5\n  (other): Hide(share=0.3)\n)",
        "SwapRows(share=0.3)",
        "HideEnd(steps=3)",
        "Warp(strength=0.3)",
        "Relight(strength=1.0)",
        "Cover(largest=0.3)",
    ]
