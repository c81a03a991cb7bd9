"""The model card tells where a model comes from, as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from diabolo import Denoiser, Embedder, Trainer, load, report
from diabolo.batches import Rows
from diabolo.evaluate import fidelity
from diabolo.tasks.cards import card, versions
from diabolo.variants import Dictionary, JumpReLU, KSparse, Sparse, TopKDictionary, Variant


def test_the_card_is_that_of_the_fit() -> None:
    denoiser = Denoiser("Linear", random_state=0).fit(np.random.default_rng(0).normal(size=(50, 4)))
    again = card(denoiser, 40, 10)
    assert json.loads(json.dumps(again)) == again
    assert again | {"fitted": ""} == denoiser.card() | {"fitted": ""}
    assert again["comparison"]["width"] == 2 and again["findings"] == {}


def test_a_sparse_code_has_its_figures(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(400, 6))
    embedder = Embedder(TopKDictionary(latent=32, k=3), trainer=Trainer(epochs=4), random_state=0).fit(rows)
    told = embedder.card()["sparsity"]
    judged = embedder.preparation_.transform(rows[embedder.parted(rows)[1]])
    figures = [told[each] for each in ("l0", "explained variance", "dead")]
    assert figures == pytest.approx(list(fidelity(embedder.autoencoder_, Rows(judged))))
    assert told["numbers"] == 32 and told["rows"] == 80
    embedder.save(tmp_path / "m.diabolo")
    loaded = load(tmp_path / "m.diabolo")
    assert loaded.card() == embedder.card() and loaded.sparsity_ == told
    report.write(loaded, rows, tmp_path / "page.html")
    assert "Of 32 numbers of the code a row uses 3 (L0)" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("variant", [Dictionary(latent=32), JumpReLU(latent=32), Sparse(), KSparse(k=3)])
def test_whatever_is_sparse_has_them(variant: Variant) -> None:
    rows = np.random.default_rng(0).normal(size=(200, 6))
    told = Embedder(variant, trainer=Trainer(epochs=3), random_state=0).fit(rows).card()["sparsity"]
    assert 0 < told["l0"] < 32 and told["explained variance"] <= 1


@pytest.mark.parametrize("variant", ["Vanilla", "VAE", "FSQ", KSparse(k=3, members=2)])
def test_other_codes_have_none(variant: Variant | str) -> None:
    rows = np.random.default_rng(0).normal(size=(200, 6))
    assert "sparsity" not in Embedder(variant, trainer=Trainer(epochs=2), random_state=0).fit(rows).card()
    assert "sparsity" not in Embedder("Sparse", trainer=Trainer(epochs=2), random_state=0).fit(np.ones((50, 3))).card()


def test_a_number_that_rows_do_not_need_makes_no_sparse_code() -> None:
    plane = np.random.default_rng(0).normal(size=(200, 2)) @ np.random.default_rng(1).normal(size=(2, 8))
    embedder = Embedder("Linear", random_state=0).fit(plane)
    assert embedder.comparison_["code"] == 2 and "sparsity" not in embedder.card()


def test_versions_are_those_that_run() -> None:
    assert versions()["numpy"] == np.__version__ and next(iter(versions())) == "diabolo"
