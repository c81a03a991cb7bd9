"""Every law over every variant, on every kind of data, with defaults and with each choice changed."""

from __future__ import annotations

import math

import pytest
import torch

from diabolo.batches import Rows
from diabolo.checks import KINDS, LAWS, Case, choices, every_parameter_matters
from diabolo.ensemble import Ensemble
from diabolo.randomness import seeded, shard
from diabolo.schema import numbers
from diabolo.trainer import Trainer
from diabolo.variants import Contractive, Variant, named


def settings(variant: Variant) -> list[Variant]:
    """The variant and it with each choice changed; of the activations, all for the one that differentiates twice."""
    twice = isinstance(variant, Contractive)
    shown = {"silu", "relu", "gdn", "tanh", "gelu", "elu"} if twice else {"silu", "relu", "gdn"}
    return [variant, *(each for each in choices(variant) if getattr(each, "activation", "silu") in shown)]


EVERY = [setting for each in named().values() for setting in settings(each())]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", EVERY, ids=repr)
def test_laws(variant: Variant, kind: str) -> None:
    case = Case(variant, kind, KINDS[kind])
    for law in LAWS:
        law(case)


@pytest.mark.parametrize("name", named())
def test_every_parameter_matters(name: str) -> None:
    every_parameter_matters([Case(named()[name](), kind, schema) for kind, schema in KINDS.items()])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", named())
def test_samples_are_rows(name: str, kind: str) -> None:
    with torch.no_grad(), seeded(0):
        case = Case(named()[name](), kind, KINDS[kind])
        autoencoder, like = case.build().eval(), case.rows()[:5]
        drawn = autoencoder.whole(autoencoder.sample(5, autoencoder.apart(like)[1]), like).nan_to_num(0.0)
    assert drawn.shape == (5, *KINDS[kind].shape) and drawn.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", named())
def test_a_process_may_have_no_rows_of_a_batch(name: str, kind: str) -> None:
    """It takes part in the step all the same: its costs are none, and what is learned stays finite."""
    case = Case(named()[name](), kind, KINDS[kind])
    with seeded(0):
        autoencoder = case.build().train()
        with shard(8, 8):
            costs = autoencoder.losses(case.rows()[:0])
        torch.stack(list(costs.values())).sum().backward()
        assert all(cost.shape == (0,) for cost in costs.values())
        torch.stack(list(autoencoder.losses(case.rows()).values())).sum().backward()
    assert all(each.isfinite().all() for each in autoencoder.state_dict().values() if each.is_floating_point())


@pytest.mark.parametrize("kind", ["row", "image"])
@pytest.mark.parametrize("name", named())
def test_bf16(name: str, kind: str) -> None:
    case = Case(named()[name](), kind, KINDS[kind])
    rows = Rows(case.rows())
    history = named()[name]().train(case.build(), Trainer(epochs=2, precision="bf16"), rows, rows, seed=0)
    assert all(math.isfinite(epoch.cost) for epoch in history)


@pytest.mark.parametrize("name", named())
def test_members_train_as_one_batched_network(name: str) -> None:
    case = Case(named()[name](), "row", KINDS["row"])
    ensemble = Ensemble([case.build(seed) for seed in range(2)]).train()
    with seeded(0):
        costs = ensemble.losses(case.rows())
    torch.stack(list(costs.values())).sum().backward()
    assert all(cost.shape == (8,) for cost in costs.values())


@pytest.mark.parametrize("name", named())
def test_defaults_learn_what_columns_have_in_common(name: str) -> None:
    """Eight columns made of two: better than -log p of a standard normal per column, on rows not trained on."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1200, 2, generator=generator) @ torch.randn(2, 8, generator=generator)
    x = x / x.std(0) * 0.99 + 0.1 * torch.randn(1200, 8, generator=generator)
    variant = named()[name]()
    with seeded(0):
        autoencoder = variant.build(numbers(8))
    variant.train(autoencoder, Trainer(epochs=25, batch_size=128), Rows(x[:1000]))
    with torch.no_grad():
        trip = autoencoder.eval()(x[1000:])
        found = (trip.nll + sum(trip.code.costs.values())).mean()
    apart = 8 * (0.5 + math.log(2 * math.pi) / 2)
    assert found < apart - 1
