"""What can be shown and set from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from diabolo import Trainer
from diabolo.catalogue import chosen, known, look_up
from diabolo.errors import InvalidArtifact, InvalidParameter
from diabolo.tasks import TASKS
from diabolo.thresholds import PeaksOverThreshold
from diabolo.variants import VAE, named


def test_every_class_is_known() -> None:
    assert {*named(), "AnomalyDetector", "Imputer", "Trainer", "PeaksOverThreshold"} <= set(known())


def test_lists_are_whole() -> None:
    assert list(look_up("variants")) == list(named())
    assert list(look_up("tasks")) == list(TASKS)
    assert look_up(None) == {"tasks": look_up("tasks"), "variants": look_up("variants")}


@pytest.mark.parametrize("name", [*TASKS, *known()])
def test_every_class_is_described(name: str) -> None:
    entry = look_up(name)
    assert entry["what"]
    assert set(entry["parameters"]) == set((known() | TASKS)[entry["name"] if name in TASKS else name].parameters())
    assert all(row["allowed"] and row["meaning"] for row in entry["parameters"].values())


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(InvalidParameter, match=r"'denoisng'\. Did you mean 'Denoising'\?"):
        look_up("denoisng")


def test_unknown_file_is_a_bad_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidArtifact):
        look_up(str(tmp_path / "pump.diabolo"))


def test_whole_parts_are_set_before_their_parameters() -> None:
    task = chosen(
        "detect", ["variant.latent=3", "variant=VAE", "trainer.epochs=7", "threshold=PeaksOverThreshold"], seed=5
    )
    assert (type(task.variant), task.variant.latent) == (VAE, 3)
    assert isinstance(task.trainer, Trainer)
    assert task.trainer.epochs == 7
    assert isinstance(task.threshold, PeaksOverThreshold)
    assert task.random_state == 5


def test_parameters_of_a_variant_that_was_not_named_wait_for_the_rows() -> None:
    settings = ["variant.latent=3", "variant.temperature=0.2", "variant.hidden=9,9"]
    assert chosen("embed", settings, seed=0).variant == {"latent": 3, "temperature": 0.2, "hidden": (9, 9)}
    assert chosen("embed", [*settings[:1], "variant=IIC"], seed=0).variant.latent == 3


def test_likelihoods_are_set_one_by_one() -> None:
    settings = ["likelihoods.price=StudentT", "likelihoods.net.weight=Laplace"]
    assert chosen("impute", settings, seed=0).likelihoods == {"price": "StudentT", "net.weight": "Laplace"}


@pytest.mark.parametrize(
    ("task", "setting", "said"),
    [
        ("detct", "", "no task 'detct'. Did you mean 'detect'? There are: detect"),
        ("detect", "varaint=VAE", "no parameter 'varaint'. Did you mean 'variant'?"),
        ("detect", "variant=Denoisng", "no variant 'Denoisng'. Did you mean 'Denoising'?"),
        ("detect", "variant.latnet=3", "no parameter 'latnet'. Did you mean 'latent'?"),
        ("detect", "variant.latent=0", "must be an int >= 1|'0' is not an int >= 1"),
        ("detect", "variant.latent=many", "'many' is not an int >= 1"),
        ("detect", "validation=2", "'2' is not a float >= 0 and <= 1"),
        ("detect", "trainer.schedule=cosin", "one of 'cosine', 'constant', 'plateau'"),
        ("detect", "variant", "-p variant has no value"),
        ("detect", "validation.rate=2", "has no parameters of its own"),
    ],
)
def test_a_mistyped_parameter_says_what_to_type(task: str, setting: str, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said.replace("?", r"\?").replace(".", r"\.")):
        chosen(task, [setting] if setting else [], seed=0)
