"""Denoiser: nearer to the truth than before, and never much worse than leaving rows alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from diabolo import Denoiser, Imputer, Trainer, load
from diabolo.batches import Batch
from diabolo.checks.tasks import made_up
from diabolo.variants import Denoising, Linear, Masked


def smooth(count: int = 500, seed: int = 0) -> np.ndarray:
    """Rows of one wave each: two numbers hold them."""
    dice = np.random.default_rng(seed)
    turn, size = dice.uniform(0, 2 * np.pi, (count, 1)), dice.uniform(1, 2, (count, 1))
    return size * np.sin(turn + np.linspace(0, 3, 12))


def noisy(rows: np.ndarray, part: float = 0.2) -> np.ndarray:
    return rows + part * rows.std(0) * np.random.default_rng(9).normal(size=rows.shape)


@pytest.mark.parametrize("variant", [Linear(latent=2), Denoising(latent=4, hidden=(32,)), Masked(latent=8)])
def test_noise_is_taken_away(variant) -> None:
    denoiser = Denoiser(variant, trainer=Trainer(epochs=40, batch_size=32), random_state=0).fit(noisy(smooth()))
    true = smooth(300, seed=1)
    before, after = (np.square(each - true).mean() for each in (noisy(true), denoiser.transform(noisy(true))))
    assert after < (0.5 if isinstance(variant, Linear) else 0.95) * before


def test_rows_without_structure_are_left_alone() -> None:
    rows = np.random.default_rng(0).normal(size=(500, 6))
    denoiser = Denoiser("Linear", random_state=0).fit(rows)
    assert (denoiser.keep_ > 0.9).all()
    assert (
        np.square(denoiser.transform(rows) - rows).mean() < 0.02 < np.square(denoiser.reconstruct(rows) - rows).mean()
    )


def test_keep_is_the_least_squares_answer() -> None:
    denoiser = Denoiser(Linear(latent=1), random_state=0).fit(smooth())
    true = torch.from_numpy(smooth(400, seed=2)).float()
    given = true + 0.3 * torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    weight = torch.arange(400) % 3
    keep = denoiser._kept(Batch(true, weight.float()), given, denoiser.autoencoder_)
    with torch.inference_mode():
        best = denoiser.autoencoder_.best(given)

    def cost(part: torch.Tensor) -> torch.Tensor:
        return (weight.unsqueeze(1) * (best + part * (given - best) - true).square()).mean(0)

    assert all((cost(keep) <= cost((keep + step).clamp(0, 1)) + 1e-7).all() for step in (-0.05, 0.05))


def test_missing_values_stay_missing_and_types_stay() -> None:
    rows = made_up()
    cleaned = Denoiser("Linear", random_state=0).fit(rows).transform(rows)
    assert cleaned.schema.equals(rows.schema)
    assert cleaned["heat"].is_null().equals(rows["heat"].is_null())
    frame = rows.to_pandas()
    assert Denoiser("Linear", random_state=0).fit(frame).transform(frame).dtypes.equals(frame.dtypes)


def test_what_is_kept_and_what_is_given_stays_exactly() -> None:
    """Rare categories and new ones, and whole numbers that 32 bits do not hold."""
    dice = np.random.default_rng(0)
    rows = pd.DataFrame({"a": dice.normal(size=600), "city": [f"city {i % 200}" for i in range(600)]})
    rows = rows.assign(b=2 * rows.a, mode=["u", "v", "w"] * 200, serial=dice.integers(10**9, 2 * 10**9, 600))
    denoiser = Denoiser("Linear", given=("mode", "serial"), random_state=0).fit(rows)
    new = rows.assign(mode=["x", *rows["mode"][1:]], city=["elsewhere", *rows["city"][1:]])
    for made in (denoiser.transform(new), denoiser.reconstruct(new)):
        pd.testing.assert_frame_equal(made[["mode", "serial"]], new[["mode", "serial"]])
    assert denoiser.keep_[[each.name for each in denoiser.preparation_.schema_.columns].index("city")] == 1
    assert denoiser.transform(new)["city"].equals(new["city"])


def test_wrong_categories_are_put_right() -> None:
    """One cause is told by four columns; a few of them were written down wrongly."""
    dice = np.random.default_rng(0)
    kind = dice.integers(2, size=600)
    true = {name: np.where(kind == 1, "left", "right") for name in "abcd"}
    spoilt = {name: np.where(dice.random(600) < 0.03, "left", each) for name, each in true.items()}
    variant = Denoising(latent=4, hidden=(16,), noise="swap", strength=0.1)
    cleaned = (
        Denoiser(variant, trainer=Trainer(epochs=40, batch_size=32), random_state=0)
        .fit(pa.table(spoilt))
        .transform(pa.table(spoilt))
    )
    before, after = (sum((np.array(rows[name]) != true[name]).sum() for name in "abcd") for rows in (spoilt, cleaned))
    assert after < before / 2


def test_saved_and_loaded(tmp_path: Path) -> None:
    denoiser = Denoiser("Linear", random_state=0).fit(smooth())
    denoiser.save(tmp_path / "m.diabolo")
    assert np.array_equal(load(tmp_path / "m.diabolo").transform(smooth(9)), denoiser.transform(smooth(9)))
    denoiser.keep_ = denoiser.keep_[:3]
    with pytest.raises(ValueError, match="parts for"):
        denoiser._restore({"keep": denoiser.keep_})


def test_unlike_an_imputer() -> None:
    gap = smooth(3)
    gap[1, 4] = np.nan
    rows = smooth()
    assert np.isnan(Denoiser("Linear", random_state=0).fit(rows).transform(gap)[1, 4])
    assert np.isfinite(Imputer("Linear", random_state=0).fit(rows).transform(gap)[1, 4])
