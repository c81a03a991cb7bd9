"""Columnwise: a likelihood under which the columns of a row are independent, and what all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from diabolo.autoencoder import Likelihood
from diabolo.errors import InvalidParameter
from diabolo.schema import Column

if TYPE_CHECKING:
    from jaxtyping import Float

Scale = Literal["learned", "unit", "predicted"]
ROUNDING = 1e-6  # how far a closed-form probability stays away from 0 and 1, and a scale above the smallest


class Columnwise(Likelihood, ABC):
    """A likelihood under which the columns of a row are independent once the decoder has spoken."""

    @classmethod
    @abstractmethod
    def of(cls, columns: Sequence[Column], scale: Scale) -> Columnwise:
        """The likelihood of these columns; ``scale`` is for those that know it."""

    def link(self, values: Float[Tensor, "n values *grid"]) -> Float[Tensor, "n width *grid"]:
        """The ``h`` whose ``best`` are ``values`` (of a category: the weight of each one), for closed-form decoders."""
        return values

    @torch.no_grad()
    def solve(
        self,
        h: Float[Tensor, "n width *grid"],
        x: Float[Tensor, "n columns *grid"],
        weight: Float[Tensor, "n"] | None = None,
    ) -> None:
        """Set the free numbers (scales, degrees of freedom) from residuals, by the weights of the rows.

        NaN in ``x`` is left out.
        """


def one_of(what: str, value: str, allowed: Sequence[str]) -> None:
    """Raise InvalidParameter unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise InvalidParameter(f"The {what} must be one of {', '.join(map(repr, allowed))}. Got {value!r}.")


def along(vector: Tensor, x: Tensor) -> Tensor:
    """``vector``, one number per column, along axis 1 of ``x``.

    An axis before that of the columns holds the members of an ensemble, each of which owns as many rows of ``x``.
    """
    if vector.dim() == 2:
        vector = vector.unsqueeze(1).expand(-1, len(x) // len(vector), -1).flatten(0, 1)
    return vector if x.dim() == 2 else vector.view(*vector.shape, *[1] * (x.dim() - 2))


def average(x: Tensor, weight: Tensor | None = None) -> Tensor:
    """The mean of each column over rows, by their ``weight``, and grid, missing values left out; 1 where none is left.

    >>> average(torch.tensor([[1.0, torch.nan], [4.0, torch.nan]]), torch.tensor([2.0, 1.0]))
    tensor([2., 1.])
    """
    shares = torch.ones_like(x) if weight is None else weight.view(-1, *[1] * (x.dim() - 1)).expand_as(x)
    shares = torch.where(x.isnan(), 0.0, shares)
    total, whole = (each.transpose(0, 1).flatten(1).sum(1) for each in (x.nan_to_num(0.0) * shares, shares))
    return torch.where(whole > 0, total / whole, 1.0)


def unsoftened(x: Tensor) -> Tensor:
    """The number whose softplus is ``x`` > 0.

    >>> unsoftened(torch.nn.functional.softplus(torch.tensor([-3.0, 500.0])))
    tensor([ -3., 500.])
    """
    return x + torch.log(-torch.expm1(-x))
