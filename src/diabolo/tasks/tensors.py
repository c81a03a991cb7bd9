"""Tensors of a model file: by their group, as the weights of an autoencoder again, and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from diabolo.autoencoder import Autoencoder
from diabolo.errors import InvalidArtifact
from diabolo.randomness import seeded
from diabolo.schema import Schema
from diabolo.variants import Variant

M = TypeVar("M", bound=nn.Module)


def group(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors under ``name``, without it.

    >>> group({"state.keep": torch.ones(1), "probe.x": torch.ones(1)}, "state")
    {'keep': tensor([1.])}
    """
    return {key.removeprefix(f"{name}."): each for key, each in tensors.items() if key.startswith(f"{name}.")}


def rebuilt(variant: Variant, schema: Schema, weights: Mapping[str, Tensor]) -> Autoencoder:
    """The autoencoder with its weights."""
    return filled(lambda: variant.build(schema), weights)


def filled(build: Callable[[], M], weights: Mapping[str, Tensor]) -> M:
    """What ``build`` makes, with its weights; made without memory first, since a hostile file may ask for any size."""
    with torch.device("meta"):
        expected = {name: tuple(each.shape) for name, each in build().state_dict().items()}
    if expected != {name: tuple(each.shape) for name, each in weights.items()}:
        raise InvalidArtifact("The weights in the file are not those of the variant it names.")
    with seeded(0):
        module = build()
    module.load_state_dict(weights)
    return module.eval()


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same, gaps at the same places included.

    >>> alike(torch.tensor([1.0, torch.nan]), torch.tensor([1.0, torch.nan]))
    True
    """
    return torch.equal(one.nan_to_num(torch.inf), other.nan_to_num(torch.inf))
