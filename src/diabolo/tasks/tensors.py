"""Tensors of a model file: by their group, as the weights of an autoencoder again, and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from diabolo.autoencoder import Autoencoder
from diabolo.errors import InvalidArtifact
from diabolo.randomness import seeded
from diabolo.schema import Schema
from diabolo.variants import Variant
from diabolo.variants.variant import Shapes, shapes

M = TypeVar("M", bound=nn.Module)
CALLS = 50  # that make a tensor, for each one of a module, and one more for each place of an axis; ours need 15 at most
MOST_NUMBERS = 100_000  # of a code, whatever the weights
OTHERS = "The weights in the file are not those of the variant it names."


def group(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors under ``name``, without it.

    >>> group({"state.keep": torch.ones(1), "probe.x": torch.ones(1)}, "state")
    {'keep': tensor([1.])}
    """
    return {key.removeprefix(f"{name}."): each for key, each in tensors.items() if key.startswith(f"{name}.")}


class Sparing(TorchFunctionMode):
    """Refuses to make a tensor more than ``left`` times: a hostile file may ask for any number of layers."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def __torch_function__(
        self, call: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = call(*args, **(kwargs or {}))
        self.left -= isinstance(made, Tensor)
        if isinstance(made, Tensor) and self.left < 0:  # what makes none, such as the end of ``no_grad``, must not fail
            raise InvalidArtifact(OTHERS)
        return made


def rebuilt(variant: Variant, schema: Schema, weights: Mapping[str, Tensor]) -> Autoencoder:
    """The autoencoder with its weights; those pay for the numbers of its code, which some parts list one by one."""
    if variant.latent > max(MOST_NUMBERS, sum(each.numel() for each in weights.values())):
        raise InvalidArtifact(OTHERS)
    return filled(lambda: variant.build(schema), weights, lambda: variant.shapes(schema))


def filled(build: Callable[[], M], weights: Mapping[str, Tensor], expected: Callable[[], Shapes] | None = None) -> M:
    """What ``build`` makes, with its weights, whose shapes are compared with the ``expected`` ones first.

    Those are found without memory, and in time that the file pays for, since a hostile one may ask for any size.
    """
    left = CALLS * (len(weights) + 1) + sum(sum(each.shape) for each in weights.values())
    with Sparing(left), torch.device("meta"):
        known = shapes(build().state_dict()) if expected is None else expected()
    if known != shapes(weights):
        raise InvalidArtifact(OTHERS)
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
