"""Ensemble: autoencoders of one design, each with weights of its own, trained and run as one batched network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from diabolo.autoencoder import Autoencoder, Code, Deviations, Reconstruction
from diabolo.bottlenecks import Plain, TopK
from diabolo.likelihoods import Columnwise
from diabolo.likelihoods.columnwise import along
from diabolo.networks.dense import Tied
from diabolo.randomness import copied


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
        first = members[0]
        weights, buffers = stack_module_state(list(members))
        self.members, self.moving = len(members), [name for name in first.state_dict() if name in buffers]
        self.stack = deepcopy(first)  # what is the same in all members, such as the turns, is kept once
        for name, each in weights.items():
            _put(self.stack, name, nn.Parameter(each.detach()))
        for name in self.moving:
            _put(self.stack, name, buffers[name].detach())
        self.side_by_side = alike(first)
        if self.side_by_side:
            _put_dense(self.stack)
        self._member = [_Call(deepcopy(first))]  # in a list, so that its weights are nobody's parameters

    def forward(self, x: Tensor, given: Tensor | None = None) -> Reconstruction:
        """One trip through every member; ``output`` is theirs, (members, n, width)."""
        z, output, errors, nll, costs = self._each(_trip, x, given)
        code = Code(z.transpose(0, 1).flatten(1, 2), {name: each.mean(0) for name, each in costs.items()})
        observed = ~x.isnan()
        return Reconstruction(x, observed, x, code, output, errors.mean(0), nll.mean(0), given)

    def losses(self, x: Tensor, given: Tensor | None = None) -> dict[str, Tensor]:
        """Every cost of every row in nats, averaged over the members."""
        costs = (self._copied if self.side_by_side and self.training else self._each)(Autoencoder.losses, x, given)
        return {name: each.mean(0) for name, each in costs.items()}

    def encode(self, x: Tensor, given: Tensor | None = None) -> Code:
        """The members' codes, one after the other, and the means of their costs."""
        z, costs = self._each(_encoded, x, given)
        return Code(z.transpose(0, 1).flatten(1, 2), {name: each.mean(0) for name, each in costs.items()})

    def best(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """The median of the members' best values."""
        if given is None and self.stack.conditions is not None:
            return self.stack.whole(self.best(*self.stack.apart(x)), x)
        told = self._each(Autoencoder.best, x, given).sort(0).values
        lower, upper = told[(self.members - 1) // 2], told[self.members // 2]
        return torch.where(along(self.stack.likelihood.nominal(), lower), lower, torch.lerp(lower, upper, 0.5))

    def deviations(self, x: Tensor, given: Tensor | None = None) -> Deviations:
        """The means of the members' deviations, signs kept."""
        return Deviations(*(each.mean(0) for each in self._each(Autoencoder.deviations, x, given)))

    def train(self, mode: bool = True) -> Self:
        """Switch every member between training and evaluation."""
        self._member[0].train(mode)
        return super().train(mode)

    def _copied(self, read: Callable[..., dict[str, Tensor]], x: Tensor, given: Tensor | None) -> dict[str, Tensor]:
        """What ``_each`` tells, by one trip of as many copies of the rows."""
        own = None if given is None else given.repeat(self.members, 1)
        with copied(self.members):
            costs = read(self.stack, x.repeat(self.members, *[1] * (x.dim() - 1)), own)
        return {name: each.view(self.members, len(x)) for name, each in costs.items()}

    def _each(self, read: Callable[..., Any], x: Tensor, given: Tensor | None) -> Any:
        """``read(member, x, given)`` for all members at once."""
        buffers = {f"member.{name}": each for name, each in self.stack.named_buffers()}
        own: dict[str, Tensor] = {f"member.{name}": each for name, each in self.stack.named_parameters()}
        own |= {name: buffers.pop(name) for name in (f"member.{each}" for each in self.moving)}

        def call(mine: dict[str, Tensor]) -> Any:
            return functional_call(self._member[0], mine | buffers, (read, x, given))

        return vmap(call, randomness="different")(own)


class Stacked(nn.Module):
    """A linear layer of each member: (members * n, width), member after member, to as many rows of its outputs."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return _product(x, self.weight.transpose(1, 2), self.bias)


class StackedTied(nn.Module):
    """A stacked layer read backwards."""

    def __init__(self, layer: Tied, source: Stacked) -> None:
        super().__init__()
        self.bias = layer.bias
        self._source = (source,)  # in a tuple, as in ``Tied``

    def forward(self, x: Tensor) -> Tensor:
        return _product(x, self._source[0].weight[:, :, : self.bias.shape[1]], self.bias)


def alike(member: Autoencoder) -> bool:
    """Whether members can run side by side as copies of the rows: all weights are of dense layers or of columns."""
    owners = {type(part) for part in member.modules() if next(part.parameters(recurse=False), None) is not None}
    plain = type(member.bottleneck) in (Plain, TopK) and not len(member.penalties)
    dense = all(issubclass(each, (nn.Linear, Tied, Columnwise)) for each in owners)
    return plain and dense and isinstance(member.likelihood, Columnwise)


def _put_dense(stack: nn.Module) -> None:
    """Let dense layers read a row of each member with the weights of that member."""
    parts = dict(stack.named_modules())
    stacked = {part: Stacked(part) for part in parts.values() if isinstance(part, nn.Linear)}
    for name, part in parts.items():
        if isinstance(part, nn.Linear):
            _put(stack, name, stacked[part])
        elif isinstance(part, Tied):
            _put(stack, name, StackedTied(part, stacked[part._source[0]]))


def _put(whole: nn.Module, name: str, part: nn.Module | Tensor) -> None:
    """Set a weight, a buffer or a module by its full name."""
    owner, _, leaf = name.rpartition(".")
    setattr(whole.get_submodule(owner), leaf, part)


def _product(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    rows = x.reshape(len(weight), len(x) // len(weight), x.shape[1])
    return torch.baddbmm(bias.unsqueeze(1), rows, weight).flatten(0, 1)


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
