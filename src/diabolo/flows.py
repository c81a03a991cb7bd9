r"""Flows: invertible bends of a code whose change of volume is known.

::

                     y                                                   there           back
    Coupling         z exp(s) + t, s and t told by every second number   one pass        one pass
    Autoregressive   z_i exp(s_i) + t_i, told by the numbers before i    one pass        a pass per number
    Planar           z + u tanh(w z + b)                                 one pass        by halving an interval
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

Kind = Literal["coupling", "autoregressive", "planar"]
LITTLE = 0.1  # of what weights are usually: a new flow bends little
HALVINGS = 40  # of an interval, down to what a number can tell apart
UNIT = math.log(math.e - 1)  # softplus of it is 1
TINY = 1e-12


class Bend(nn.Module, ABC):
    """One bend. Shapes: z and y (..., latent), context (..., context); log-determinants (...) in nats."""

    @abstractmethod
    def forward(
        self, z: Float[Tensor, "*n latent"], context: Float[Tensor, "*n context"] | None = None
    ) -> tuple[Float[Tensor, "*n latent"], Float[Tensor, "*n"]]:
        """The bent code and log |det dy/dz|."""

    @abstractmethod
    def inverse(
        self, y: Float[Tensor, "*n latent"], context: Float[Tensor, "*n context"] | None = None
    ) -> Float[Tensor, "*n latent"]:
        """The code that is bent to ``y``."""


class Coupling(Bend):
    """Every second number stretched and moved as the others say (Dinh et al., 2017, arXiv:1605.08803).

    ``y = z * exp(s) + t`` where ``s`` in (-1, 1) and ``t`` follow from the numbers that stay and from ``context``, and
    are 0 for those. ``log |det dy/dz| = sum s``, in nats. ``turn`` even or odd says which numbers stay.
    """

    stays: Tensor

    def __init__(self, latent: int, turn: int, hidden: int, context: int = 0) -> None:
        super().__init__()
        self.register_buffer("stays", (torch.arange(latent) % 2 == turn % 2).float(), persistent=False)
        self.said = nn.Sequential(nn.Linear(latent + context, hidden), nn.SiLU(), little(nn.Linear(hidden, 2 * latent)))

    def forward(
        self, z: Float[Tensor, "*n latent"], context: Float[Tensor, "*n context"] | None = None
    ) -> tuple[Float[Tensor, "*n latent"], Float[Tensor, "*n"]]:
        stretch, shift = self._read(z, context)
        return z * stretch.exp() + shift, stretch.sum(-1)

    def inverse(
        self, y: Float[Tensor, "*n latent"], context: Float[Tensor, "*n context"] | None = None
    ) -> Float[Tensor, "*n latent"]:
        stretch, shift = self._read(y, context)
        return (y - shift) * (-stretch).exp()

    def _read(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        stretch, shift = self.said(_beside(z * self.stays, context)).chunk(2, -1)
        moves = 1 - self.stays
        return stretch.tanh() * moves, shift * moves


class Autoregressive(Bend):
    """Each number stretched and moved as those before it say (Kingma et al., 2016, arXiv:1606.04934; Papamakarios et
    al., 2017, arXiv:1705.07057).

    ``y_i = z_i exp(s_i) + t_i`` where ``s_i`` in (-1, 1) and ``t_i`` follow from ``z_1 ... z_(i-1)`` and ``context``,
    all at once by a masked network (Germain et al., 2015, arXiv:1502.03509). ``log |det dy/dz| = sum s``, in nats. In a
    posterior, which only goes from noise to codes, it is the inverse autoregressive flow, in one pass. An odd ``turn``
    reads the numbers from the last to the first.
    """

    def __init__(self, latent: int, turn: int, hidden: int, context: int = 0) -> None:
        super().__init__()
        self.order = list(range(latent))[:: -1 if turn % 2 else 1]
        rank = torch.tensor(self.order).argsort()
        # a unit of rank r knows the first r numbers; few units have ranks spread over all of them
        inner = torch.arange(hidden) % latent if hidden > latent else torch.arange(hidden) * latent // hidden
        known = torch.cat((inner[:, None] > rank, torch.ones(hidden, context, dtype=torch.bool)), 1)
        told = (rank[:, None] >= inner).repeat(2, 1)
        self.said = nn.Sequential(Masked(known), nn.SiLU(), little(Masked(told)))

    def forward(
        self, z: Float[Tensor, "*n latent"], context: Float[Tensor, "*n context"] | None = None
    ) -> tuple[Float[Tensor, "*n latent"], Float[Tensor, "*n"]]:
        stretch, shift = self._read(z, context)
        return z * stretch.exp() + shift, stretch.sum(-1)

    def inverse(
        self, y: Float[Tensor, "*n latent"], context: Float[Tensor, "*n context"] | None = None
    ) -> Float[Tensor, "*n latent"]:
        z = torch.zeros_like(y)
        for _ in self.order:  # each pass makes one more number right
            stretch, shift = self._read(z, context)
            z = (y - shift) * (-stretch).exp()
        return z

    def _read(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        stretch, shift = self.said(_beside(z, context)).chunk(2, -1)
        return stretch.tanh(), shift


class Masked(nn.Linear):
    """A linear layer of which only the weights that are ``kept`` (outputs, inputs) count."""

    kept: Tensor

    def __init__(self, kept: Bool[Tensor, "out into"]) -> None:
        super().__init__(kept.shape[1], kept.shape[0])
        self.register_buffer("kept", kept, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return functional.linear(input, self.weight * self.kept, self.bias)


class Planar(Bend):
    """A push along one direction, by how far the code is along another (Rezende & Mohamed, 2015, arXiv:1505.05770).

    ``y = z + u tanh(w z + b)``, u kept at ``w u >= -1``, so that there is a way back; ``log |det dy/dz| =
    log(1 + w u (1 - tanh^2(w z + b)))``, in nats. u, w and b are learned, and moved as ``context`` says. The way back
    is found by halving, since ``w y`` grows with ``w z``. There is no hidden layer, whatever ``hidden`` says.
    """

    def __init__(self, latent: int, turn: int, hidden: int, context: int = 0) -> None:
        super().__init__()
        self.free = nn.Parameter(torch.cat((LITTLE * torch.randn(latent), torch.randn(latent + 1) / latent**0.5)))
        self.moved = little(nn.Linear(context, 2 * latent + 1)) if context else None

    def forward(
        self, z: Float[Tensor, "*n latent"], context: Float[Tensor, "*n context"] | None = None
    ) -> tuple[Float[Tensor, "*n latent"], Float[Tensor, "*n"]]:
        push, along, start, both = self._read(z, context)
        rise = ((along * z).sum(-1, keepdim=True) + start).tanh()
        return z + push * rise, torch.log1p(both * (1 - rise.square())).squeeze(-1)

    def inverse(
        self, y: Float[Tensor, "*n latent"], context: Float[Tensor, "*n context"] | None = None
    ) -> Float[Tensor, "*n latent"]:
        push, along, start, both = self._read(y, context)
        far = (along * y).sum(-1, keepdim=True)
        low, high = far - both.abs(), far + both.abs()
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            beyond = middle + both * (middle + start).tanh() > far
            low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
        return y - push * ((low + high) / 2 + start).tanh()

    def _read(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """u, w, b and ``w u``; b and ``w u`` with a last axis of 1."""
        numbers = self.free if context is None or self.moved is None else self.free + self.moved(context)
        push, along, start = numbers.split((z.shape[-1], z.shape[-1], 1), -1)
        asked = (push * along).sum(-1, keepdim=True)
        both = functional.softplus(asked + UNIT) - 1
        push = push + (both - asked) * along / along.square().sum(-1, keepdim=True).clamp_min(TINY)
        return push, along, start, both


KINDS: dict[Kind, type[Coupling] | type[Autoregressive] | type[Planar]] = {
    "coupling": Coupling,
    "autoregressive": Autoregressive,
    "planar": Planar,
}


class Bends(Bend):
    """Several bends of one ``kind`` one after the other, which take turns in what stays or what comes first.

    >>> flow = Bends(3, layers=4, hidden=8)
    >>> z = torch.randn(5, 3)
    >>> torch.allclose(flow.inverse(flow(z)[0]), z, atol=1e-4)
    True
    """

    def __init__(self, latent: int, layers: int, hidden: int, context: int = 0, kind: Kind = "coupling") -> None:
        super().__init__()
        self.layers = nn.ModuleList(KINDS[kind](latent, turn, hidden, context) for turn in range(layers))

    def forward(
        self, z: Float[Tensor, "*n latent"], context: Float[Tensor, "*n context"] | None = None
    ) -> tuple[Float[Tensor, "*n latent"], Float[Tensor, "*n"]]:
        nats = torch.zeros_like(z[..., 0])
        for layer in self.layers:
            z, more = layer(z, context)
            nats = nats + more
        return z, nats

    def inverse(
        self, y: Float[Tensor, "*n latent"], context: Float[Tensor, "*n context"] | None = None
    ) -> Float[Tensor, "*n latent"]:
        for layer in reversed(list(self.layers)):
            y = layer.inverse(y, context)  # type: ignore[operator]
        return y


def little(layer: nn.Linear) -> nn.Linear:
    """The layer with small weights and no bias."""
    with torch.no_grad():
        layer.weight.mul_(LITTLE)
        layer.bias.zero_()
    return layer


def _beside(z: Tensor, context: Tensor | None) -> Tensor:
    return z if context is None else torch.cat([z, context], -1)
