"""Tensors of a model file: taken by group, put back, compared."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from diabolo.errors import InvalidArtifact
from diabolo.priors import Autoregressive
from diabolo.schema import Schema, numbers
from diabolo.tasks.tensors import alike, filled, group, rebuilt
from diabolo.variants import FSQ, RQVAE, FlowPosterior, Linear, Vanilla, Variant, named
from diabolo.variants.variant import shapes


def test_a_group_is_taken_without_the_others() -> None:
    tensors = {"state.keep": torch.ones(1), "state.prior.mean": torch.zeros(1), "stated.x": torch.ones(1)}
    assert list(group(tensors, "state")) == ["keep", "prior.mean"]


def test_weights_are_put_back_and_others_refused() -> None:
    made = Linear(latent=2).build(numbers(4))
    again = rebuilt(Linear(latent=2), numbers(4), made.state_dict())
    assert all(torch.equal(one, other) for one, other in zip(made.parameters(), again.parameters(), strict=True))
    with pytest.raises(InvalidArtifact, match="not those of the variant"):
        rebuilt(Linear(latent=1), numbers(4), made.state_dict())


def test_nothing_takes_memory_that_the_weights_do_not_have() -> None:
    made: list[Autoregressive] = []

    def build() -> Autoregressive:
        made.append(Autoregressive([10**9]))
        return made[-1]

    with pytest.raises(InvalidArtifact, match="not those of the variant"):
        filled(build, Autoregressive([4]).state_dict())
    assert [each.possible.is_meta for each in made] == [True]


@pytest.mark.parametrize("variant", [each for each in named().values() if "members" in each.parameters()])
def test_shapes_of_members_are_known_from_one(variant: type[Variant]) -> None:
    made = variant(members=3)
    assert made.shapes(numbers(4)) == shapes(made.build(numbers(4)).state_dict())


@pytest.mark.parametrize(
    "variant",
    [
        FSQ(latent=10**9),
        Vanilla(members=10**9),
        RQVAE(stages=10**9),
        FlowPosterior(layers=10**9),
        Vanilla(hidden=(1,) * 10**4),
    ],
)
def test_nothing_takes_time_that_the_weights_do_not_pay_for(variant: Variant) -> None:
    held = Vanilla().build(numbers(4)).state_dict()
    rebuilt(Vanilla(), numbers(4), held)  # once, since torch imports what it needs for that
    begin = time.thread_time()
    with pytest.raises(InvalidArtifact, match="not those of the variant"):
        rebuilt(variant, numbers(4), held)
    assert time.thread_time() - begin < 1
    assert torch.is_grad_enabled() and torch.empty(0).device.type == "cpu"


def test_gaps_are_alike_at_the_same_places_only() -> None:
    one, other = torch.tensor([1.0, torch.nan]), torch.tensor([torch.nan, 1.0])
    assert alike(one, one.clone())
    assert not alike(one, other)
    assert not alike(one, one[:1])


class Slow(Vanilla):
    """Somebody else's, which makes a tensor for each column."""

    def networks(self, schema: Schema, *parts: Any) -> Any:
        assert len([torch.zeros(1) for _ in schema.columns]) == len(schema.columns)
        return super().networks(schema, *parts)


def test_what_takes_a_step_for_each_column_is_rebuilt() -> None:
    schema = numbers(3000)
    held = Slow(hidden=(), latent=1).build(schema).state_dict()
    assert alike(
        rebuilt(Slow(hidden=(), latent=1), schema, held).state_dict()["decoder.layers.0.weight"],
        held["decoder.layers.0.weight"],
    )
