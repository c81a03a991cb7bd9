"""The model card tells where a model comes from, as JSON."""

from __future__ import annotations

import json

import numpy as np

from diabolo import Denoiser
from diabolo.tasks.cards import card, versions


def test_the_card_is_that_of_the_fit() -> None:
    denoiser = Denoiser("Linear", random_state=0).fit(np.random.default_rng(0).normal(size=(50, 4)))
    again = card(denoiser, 40, 10)
    assert json.loads(json.dumps(again)) == again
    assert again | {"fitted": ""} == denoiser.card() | {"fitted": ""}
    assert again["comparison"]["width"] == 2 and again["findings"] == {}


def test_versions_are_those_that_run() -> None:
    assert versions()["numpy"] == np.__version__ and next(iter(versions())) == "diabolo"
