"""Tensors of a model file: taken by group, put back, compared."""

from __future__ import annotations

import pytest
import torch

from diabolo.errors import InvalidArtifact
from diabolo.priors import Autoregressive
from diabolo.schema import numbers
from diabolo.tasks.tensors import alike, filled, group, rebuilt
from diabolo.variants import Linear


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


def test_gaps_are_alike_at_the_same_places_only() -> None:
    one, other = torch.tensor([1.0, torch.nan]), torch.tensor([torch.nan, 1.0])
    assert alike(one, one.clone())
    assert not alike(one, other)
    assert not alike(one, one[:1])
