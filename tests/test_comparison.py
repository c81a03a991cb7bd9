"""The linear autoencoder beside a fit is as wide as the code, never copies rows, and says how wide it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diabolo import AnomalyDetector, Clusterer, Denoiser, Embedder, Imputer, Synthesizer, Trainer, load
from diabolo.schema import UNSEEN, Column, Schema, numbers
from diabolo.tasks.comparison import better, line, pca, used
from diabolo.tasks.task import Task
from diabolo.variants import FSQ, Contrastive, Denoising, JumpReLU, Linear, Masked, TopKDictionary, Vanilla

BRIEF = Trainer(epochs=3)
ROWS = np.random.default_rng(0).normal(size=(200, 12)) @ np.random.default_rng(1).normal(size=(12, 12))


def fitted(of: type[Task], variant: Any, **params: Any) -> Task:
    return of(variant=variant, trainer=BRIEF, random_state=0, **params).fit(ROWS)


@pytest.mark.parametrize("task", [Embedder, Denoiser, Synthesizer])
@pytest.mark.parametrize(
    "variant, width",
    [
        (Denoising(latent=8), 8),
        (Vanilla(latent=8), 6),
        (Vanilla(latent=9, overcomplete=True), 9),
        (Denoising(latent=40), 11),
        (TopKDictionary(latent=64, k=3), 3),
        (FSQ(latent=4, levels=5), 4),
    ],
)
def test_it_is_as_wide_as_the_code_that_rows_use(task: type[Task], variant: Any, width: int) -> None:
    told = fitted(task, variant)
    assert told.linear_.bottleneck.latent == told.comparison_["width"] == width


def test_of_an_ensemble_it_is_as_wide_as_the_code_of_a_member() -> None:
    assert fitted(Embedder, Denoising(latent=5, members=3)).comparison_["width"] == 5


@pytest.mark.parametrize("task", [AnomalyDetector, Imputer])
def test_values_are_not_judged_by_a_pca_that_copies_them(task: type[Task]) -> None:
    assert fitted(task, Masked(latent=32)).comparison_["width"] == 6
    assert fitted(task, Denoising(latent=4)).comparison_["width"] == 4


def test_it_is_the_same_line_for_linear_itself() -> None:
    for variant in (Linear(latent=4), Linear(), Linear(latent=40, overcomplete=True)):
        told = fitted(Embedder, variant).comparison_
        assert told["width"] == told["code"] and told["deep"] == pytest.approx(told["linear"])
    assert fitted(Clusterer, "Linear", clusters=3).comparison_["width"] == 8


def test_a_category_is_one_number_less_than_its_values() -> None:
    three = Column("kind", "category", "Categorical", categories=("a", "b", "c", UNSEEN))
    told = Column("mode", given=True)
    schema = Schema((three, Column("flow"), told))
    assert line(9, schema, judged=False).latent == 2 and line(9, schema, judged=True).latent == 1
    assert line(9, numbers(1), judged=False).latent == 1
    assert line(9999, numbers(1, "image", (64, 64)), judged=False).latent == 256


def test_numbers_in_use_are_those_that_are_not_0() -> None:
    autoencoder = JumpReLU(latent=64, k=3).build(numbers(12)).eval()
    x = torch.randn(100, 12)
    assert used(autoencoder, x) == max(1, round(float((autoencoder.encode(x).z != 0).sum(1).double().mean())))


def test_codes_that_are_for_something_else_are_said_to_be() -> None:
    told = [fitted(of, Contrastive(latent=4)).comparison_ for of in (Embedder, Denoiser)]
    assert told[1]["aside"] is None and "not for" not in better(told[1])
    assert better(told[0]).endswith("not for (rows that differ by a small change alone should have like codes)")
    assert fitted(Embedder, Denoising()).comparison_["aside"] is None


def test_the_width_is_said_and_kept(tmp_path: Path) -> None:
    told = fitted(Denoiser, Denoising(latent=40))
    assert pca(told.comparison_) == "a PCA of 11 numbers (the code has 40)"
    told.save(tmp_path / "m.diabolo")
    loaded = load(tmp_path / "m.diabolo")
    assert loaded.linear_.bottleneck.latent == 11 and loaded.card() == told.card()
