"""Which variant a task trains: the one given or named, or the one that suits the rows, with what is told of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from diabolo import Embedder, Trainer, load
from diabolo.checks.tasks import made_up
from diabolo.errors import InvalidParameter
from diabolo.tasks import TASKS


@pytest.mark.parametrize("verb", TASKS)
def test_parameters_are_told_of_the_variant_that_suits_the_rows(verb: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((40, 1, 6, 6))
    short = Trainer(epochs=1)
    for rows in (made_up(), images):
        usual = TASKS[verb](trainer=short, random_state=0).fit(rows).card()["variant"]
        task = clone(TASKS[verb](trainer=short, random_state=0).set_params(variant__latent=2)).fit(rows)
        told = task.card()["variant"]
        assert "latent=2" in told and told.partition("(")[0] == usual.partition("(")[0]
        task.save(tmp_path / "told.diabolo")
        assert load(tmp_path / "told.diabolo").card() == task.card()


def test_what_is_told_of_no_variant_at_all() -> None:
    with pytest.raises(InvalidParameter, match=r"Residual or IIC, used .* 'latnet'. Did you mean 'latent'\?"):
        Embedder({"latnet": 3}).fit(made_up())
    with pytest.raises(InvalidParameter, match=r"Residual, used .* 'temperature'"):
        Embedder({"temperature": 0.5}).fit(made_up())
    with pytest.raises(InvalidParameter, match=r"'latent' parameter of Residual must be an int >= 1\. Got 0"):
        Embedder({"latent": 0}).fit(made_up())


def test_few_different_rows_are_enough_for_a_mixture_of_many() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 4)).repeat(40, 0)
    assert np.isfinite(Embedder("VaDE", trainer=Trainer(epochs=4), random_state=0).fit(rows).encode(rows)).all()
