from __future__ import annotations

import copy

import pytest
import torch

from diabolo.batches import Rows
from diabolo.schedules import Anneal
from diabolo.schema import numbers
from diabolo.trainer import Trainer
from diabolo.variants import VAE


@pytest.mark.parametrize("start, end", [(0.0, 1.0), (2.0, -1.0), (0.5, 0.5)])
def test_moves_with_the_training_and_stays(start: float, end: float) -> None:
    number = Anneal(start, end, 0.5)
    values = [float(number.reach(done)()) for done in (0.0, 0.125, 0.25, 0.375, 0.5, 1.0)]
    assert values == pytest.approx([start + (end - start) * share for share in (0, 0.25, 0.5, 0.75, 1, 1)])


def test_it_is_at_its_end_in_evaluation_and_where_nobody_tells_how_far_the_training_is() -> None:
    number = Anneal(0.0, 3.0, 0.5)
    assert number() == 3.0 and not number.moving()
    assert number.reach(0.1)() < 3.0 and number.moving()
    assert number.eval()() == 3.0


def test_it_never_goes_back() -> None:
    number = Anneal(0.0, 1.0, 1.0).reach(0.75)
    assert number.reach(0.25)() == 0.75


def test_no_share_is_a_constant() -> None:
    assert Anneal(0.0, 2.0, 0.0).reach(0.0)() == 2.0


def test_how_far_it_is_is_saved_with_the_weights() -> None:
    first = Anneal(0.0, 1.0, 0.5).reach(0.25)
    second = Anneal(0.0, 1.0, 0.5)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second() == first() == 0.5


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_trainer_tells_it_once_per_step_and_not_again(members: int, accumulate: int) -> None:
    variant = VAE(latent=1, hidden=(4,), warmup=0.5, members=members)
    autoencoder, rows = variant.build(numbers(3)), Rows(torch.randn(40, 3))
    price = next(part for part in autoencoder.modules() if isinstance(part, Anneal))
    seen: list[float] = []
    trainer = Trainer(epochs=2, batch_size=10, accumulate=accumulate)
    costs = type(price).reach
    price.reach = lambda done: seen.append(done) or costs(price, done)  # type: ignore[method-assign, func-returns-value]
    variant.train(autoencoder, trainer, rows)
    assert seen == pytest.approx([step / 8 for step in range(1, 9)])
    assert price.done.tolist() == ([1.0] * members if members > 1 else 1.0)
    assert (price.train()() == 1).all()
