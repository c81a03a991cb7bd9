"""Ensemble: autoencoders of one design, each with weights of its own, trained and run as one batched network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Self

from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from diabolo.autoencoder import Autoencoder, Code, Reconstruction


class Ensemble(nn.Module):
    """``members`` side by side: every weight is stacked on a new axis 0 and every product is a batched product.

    Errors, nll and costs are the means over the members, the code is the members' codes one after the other
    (n, members * latent), and the best value is their median (of categories the lower one, where two are in the
    middle). Members draw noise of their own and learn as if they were alone.

    >>> import torch
    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import Vanilla
    >>> ensemble = Vanilla(latent=2, members=3).build(numbers(5))
    >>> ensemble(torch.zeros(4, 5)).code.z.shape
    torch.Size([4, 6])
    """

    def __init__(self, members: Sequence[Autoencoder]) -> None:
        super().__init__()
        first, learned = members[0], members[0].state_dict()
        weights, buffers = stack_module_state(list(members))
        self.weights = nn.ParameterDict({_flat(name): nn.Parameter(each.detach()) for name, each in weights.items()})
        self.moving = {name: f"moving_{_flat(name)}" for name in buffers if name in learned}
        self.constant = {name: f"constant_{_flat(name)}" for name in buffers if name not in learned}
        for name, place in self.moving.items():
            self.register_buffer(place, buffers[name].detach())
        for name, place in self.constant.items():  # the same in all members, such as the turns
            self.register_buffer(place, first.get_buffer(name), persistent=False)
        self.names = list(weights)
        self._member = [_Call(deepcopy(first))]  # in a list, so that its weights are nobody's parameters

    def forward(self, x: Tensor, given: Tensor | None = None) -> Reconstruction:
        """One trip through every member; ``output`` is theirs, (members, n, width)."""
        z, output, errors, nll, costs = self._each(_trip, x, given)
        code = Code(z.transpose(0, 1).flatten(1, 2), {name: each.mean(0) for name, each in costs.items()})
        observed = ~x.isnan()
        return Reconstruction(x, observed, x, code, output, errors.mean(0), nll.mean(0), given)

    def losses(self, x: Tensor, given: Tensor | None = None) -> dict[str, Tensor]:
        """Every cost of every row in nats, averaged over the members."""
        costs = self._each(Autoencoder.losses, x, given)
        return {name: each.mean(0) for name, each in costs.items()}

    def encode(self, x: Tensor, given: Tensor | None = None) -> Code:
        """The members' codes, one after the other, and the means of their costs."""
        z, costs = self._each(_encoded, x, given)
        return Code(z.transpose(0, 1).flatten(1, 2), {name: each.mean(0) for name, each in costs.items()})

    def best(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """The median of the members' best values."""
        return self._each(Autoencoder.best, x, given).median(0).values

    def train(self, mode: bool = True) -> Self:
        """Switch every member between training and evaluation."""
        self._member[0].train(mode)
        return super().train(mode)

    def _each(self, read: Callable[..., Any], x: Tensor, given: Tensor | None) -> Any:
        """``read(member, x, given)`` for all members at once."""
        own = {f"member.{name}": self.weights[_flat(name)] for name in self.names}
        own |= {f"member.{name}": self.get_buffer(place) for name, place in self.moving.items()}
        same = {f"member.{name}": self.get_buffer(place) for name, place in self.constant.items()}

        def call(mine: dict[str, Tensor]) -> Any:
            return functional_call(self._member[0], mine | same, (read, x, given))

        return vmap(call, randomness="different")(own)


class _Call(nn.Module):
    """A member whose ``forward`` is whatever is asked of it, since ``functional_call`` calls nothing else."""

    def __init__(self, member: Autoencoder) -> None:
        super().__init__()
        self.member = member

    def forward(self, read: Callable[..., Any], x: Tensor, given: Tensor | None) -> Any:
        return read(self.member, x, given)


def _trip(
    member: Autoencoder, x: Tensor, given: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Tensor]]:
    trip = member(x, given)
    return trip.code.z, trip.output, trip.errors, trip.nll, dict(trip.code.costs)


def _encoded(member: Autoencoder, x: Tensor, given: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
    code = member.encode(x, given)
    return code.z, dict(code.costs)


def _flat(name: str) -> str:
    """Parameter names may not hold dots."""
    return name.replace(".", "/")
