"""Rows near a plane and a small autoencoder of them, for the tests of training and of its states on disk."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from diabolo.randomness import seeded
from diabolo.schema import numbers
from diabolo.trainer import Epoch
from diabolo.variants import Denoising, Variant


def some(rows: int, columns: int = 6, seed: int = 0) -> Tensor:
    """Rows near a plane of two dimensions."""
    generator = torch.Generator().manual_seed(seed)
    plane = torch.randn(2, columns, generator=torch.Generator().manual_seed(99))
    return torch.randn(rows, 2, generator=generator) @ plane + 0.1 * torch.randn(rows, columns, generator=generator)


def built(variant: Variant | None = None, columns: int = 6) -> Any:
    with seeded(3):
        return (variant or Denoising(latent=2, hidden=(8,))).build(numbers(columns))


def equal(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(each, b.state_dict()[name]) for name, each in a.state_dict().items())


def curve(history: list[Epoch]) -> list[Any]:
    return [(epoch.number, epoch.costs, epoch.valid, epoch.lr) for epoch in history]
