"""Flows: invertible bends of a code whose change of volume is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float


class Coupling(nn.Module):
    """Every second number stretched and moved as the others say (Dinh et al., 2017, arXiv:1605.08803).

    ``y = z * exp(s) + t`` where ``s`` in (-1, 1) and ``t`` follow from the numbers that stay and from ``context``, and
    are 0 for those. ``log |det dy/dz| = sum s``, in nats. Shapes: z and y (..., latent), context (..., context).
    ``first`` is 0 or 1: the first number that stays.
    """

    stays: Tensor

    def __init__(self, latent: int, first: int, hidden: int, context: int = 0) -> None:
        super().__init__()
        self.register_buffer("stays", (torch.arange(latent) % 2 == first).float(), persistent=False)
        last = nn.Linear(hidden, 2 * latent)
        with torch.no_grad():
            last.weight.mul_(0.1)  # a new flow bends little
            last.bias.zero_()
        self.said = nn.Sequential(nn.Linear(latent + context, hidden), nn.SiLU(), last)

    def forward(
        self, z: Float[Tensor, "*n latent"], context: Float[Tensor, "*n context"] | None = None
    ) -> tuple[Float[Tensor, "*n latent"], Float[Tensor, "*n"]]:
        """The bent code and log |det|."""
        stretch, shift = self._read(z, context)
        return z * stretch.exp() + shift, stretch.sum(-1)

    def inverse(
        self, y: Float[Tensor, "*n latent"], context: Float[Tensor, "*n context"] | None = None
    ) -> Float[Tensor, "*n latent"]:
        """The code that is bent to ``y``."""
        stretch, shift = self._read(y, context)
        return (y - shift) * (-stretch).exp()

    def _read(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        kept = z * self.stays
        stretch, shift = self.said(kept if context is None else torch.cat([kept, context], -1)).chunk(2, -1)
        moves = 1 - self.stays
        return stretch.tanh() * moves, shift * moves


class Couplings(nn.Module):
    """Several ``Coupling`` one after the other, which take turns in what stays.

    >>> flow = Couplings(3, layers=4, hidden=8)
    >>> z = torch.randn(5, 3)
    >>> torch.allclose(flow.inverse(flow(z)[0]), z, atol=1e-4)
    True
    """

    def __init__(self, latent: int, layers: int, hidden: int, context: int = 0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Coupling(latent, layer % 2, hidden, context) for layer in range(layers))

    def forward(
        self, z: Float[Tensor, "*n latent"], context: Float[Tensor, "*n context"] | None = None
    ) -> tuple[Float[Tensor, "*n latent"], Float[Tensor, "*n"]]:
        """The bent code and log |det|, in nats."""
        nats = torch.zeros_like(z[..., 0])
        for layer in self.layers:
            z, more = layer(z, context)
            nats = nats + more
        return z, nats

    def inverse(
        self, y: Float[Tensor, "*n latent"], context: Float[Tensor, "*n context"] | None = None
    ) -> Float[Tensor, "*n latent"]:
        """The code that is bent to ``y``."""
        for layer in reversed(list(self.layers)):
            y = layer.inverse(y, context)  # type: ignore[operator]
        return y
