"""Blocks: what can stand between two layers beside a function of each number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from jaxtyping import Float

OWN = (
    3.0  # how much of its own square a number is divided by at first; 0.1, for images of 256 levels, bends nothing here
)
SMALLEST = 1e-6  # of what a number is divided by


class Residual(nn.Module):
    r"""``x + layers(x)``: layers that say what is to be added (He et al., 2016, arXiv:1603.05027).

    Shapes: x (n, width, \*grid), which ``layers`` keep.

    >>> Residual(nn.ReLU())(torch.tensor([[-1.0, 2.0]]))
    tensor([[-1.,  4.]])
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "n width *grid"]) -> Float[Tensor, "n width *grid"]:
        added: Tensor = self.layers(x)
        return x + added


class GDN(nn.Module):
    r"""Each number divided by what the others at its place amount to (Ballé et al., 2016, arXiv:1511.06281).

    ``y_i = x_i / sqrt(b_i + sum_j g_ij x_j^2)``, and with ``back`` times that root: the form for decoders. b and g are
    learned and positive. Numbers of natural images become nearly independent so. Shapes: x and y (n, width, \*grid).

    >>> x = torch.tensor([[3.0]])
    >>> round(GDN(1)(x).item(), 2), round(GDN(1, back=True)(x).item(), 2)
    (0.57, 15.9)
    """

    def __init__(self, width: int, *, back: bool = False) -> None:
        super().__init__()
        self.back = back
        start = OWN * torch.eye(width) + 0.01 / width  # a little of the others, so that all of them learn
        self.offset = nn.Parameter(torch.full((width,), math.log(math.e - 1)))  # softplus of it is 1
        self.weight = nn.Parameter(start.expm1().log())

    def forward(self, x: Float[Tensor, "n width *grid"]) -> Float[Tensor, "n width *grid"]:
        weight = functional.softplus(self.weight)
        energy = (x.square().movedim(1, -1) @ weight.T + functional.softplus(self.offset) + SMALLEST).movedim(-1, 1)
        return x * (energy.sqrt() if self.back else energy.rsqrt())

    def extra_repr(self) -> str:
        return f"{len(self.offset)}, back={self.back}"
