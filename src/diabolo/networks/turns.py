"""Turns: what an encoder and a decoder say of every value while it is hidden, together with those of its turn.

The plain way is a copy of each row per turn. Dense layers need less than half of that work:

    first layer   one product for all turns: the weights of a value that a turn hides are 0 in that turn
    last layer    a turn makes the outputs of its own values only

Rows of turns stand together: row 0 in turn 0, row 0 in turn 1, ..., row 1 in turn 0, ...
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from diabolo.networks.dense import Decoder, Encoder, beside

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


def hidden(turn: Int[Tensor, "*features"]) -> Bool[Tensor, "turns *features"]:
    """Which values are hidden in which turn, from the turn of each value.

    >>> hidden(torch.tensor([0, 1, 0])).int()
    tensor([[1, 0, 1],
            [0, 1, 0]], dtype=torch.int32)
    """
    count = int(turn.max()) + 1
    return torch.eq(turn, torch.arange(count, device=turn.device).view(-1, *[1] * turn.dim()))


def encoded(
    encoder: nn.Module,
    x: Float[Tensor, "n *features"],
    hidden: Bool[Tensor, "turns *features"],
    given: Float[Tensor, "n given"] | None = None,
) -> Float[Tensor, "n*turns width *codes"]:
    """What ``encoder`` makes of each row in each turn, with the values hidden that this turn hides.

    >>> from diabolo.networks import mirror
    >>> from diabolo.schema import numbers
    >>> encoder, _ = mirror(numbers(2), (4,), 3, 3, 2, flags=True)
    >>> encoded(encoder, torch.zeros(5, 2), torch.eye(2, dtype=torch.bool)).shape
    torch.Size([10, 3])
    """
    if isinstance(encoder, Encoder) and not encoder.flat and isinstance(encoder.layers[0], nn.Linear):
        h = _first(encoder, encoder.layers[0], x, hidden, given)
        for layer in list(encoder.layers)[1:]:
            h = layer(h)
        return h
    seen = torch.where(hidden, torch.nan, x.unsqueeze(1)).flatten(0, 1)
    return encoder(seen, None if given is None else given.repeat_interleave(len(hidden), 0))


def decoded(
    decoder: nn.Module,
    z: Float[Tensor, "n*turns latent *codes"],
    of: Int[Tensor, "width *grid"],
    turns: int,
    given: Float[Tensor, "n given"] | None = None,
) -> Float[Tensor, "n width *grid"]:
    """What ``decoder`` says, each output in the turn that ``of`` names for it.

    >>> from diabolo.networks import mirror
    >>> from diabolo.schema import numbers
    >>> _, decoder = mirror(numbers(2), (4,), 3, 3, 2)
    >>> decoded(decoder, torch.zeros(10, 3), torch.tensor([0, 1]), 2).shape
    torch.Size([5, 2])
    """
    told = None if given is None else given.repeat_interleave(turns, 0)
    if isinstance(decoder, Decoder) and isinstance(decoder.layers[-1], nn.Linear):
        z = beside(z, told, decoder.given) if decoder.given else z
        for layer in list(decoder.layers)[:-1]:
            z = layer(z)
        return _last(decoder.layers[-1], z.unflatten(0, (-1, turns)), of)
    output = decoder(z, told)
    return output.unflatten(0, (-1, turns)).take_along_dim(of[None, None], 1).squeeze(1)


def averaged(each: Float[Tensor, "n*turns *rest"], turns: int) -> Float[Tensor, "n *rest"]:
    """The mean over the turns of a row.

    >>> averaged(torch.arange(4.0), 2)
    tensor([0.5000, 2.5000])
    """
    return reduce(torch.add, each.unflatten(0, (-1, turns)).unbind(1)) / turns  # faster than a mean over a middle axis


def _first(encoder: Encoder, layer: nn.Linear, x: Tensor, hidden: Tensor, given: Tensor | None) -> Tensor:
    """The first layer in all turns; the sum of a row without missing values never depends on the other rows."""
    features = encoder.features
    widths = (features.values_width, features.width - features.values_width, encoder.given)
    values, flags, told = layer.weight.split(widths, 1)
    seen = ~hidden.index_select(1, features.owner)
    bias, missing = layer.bias.expand(len(hidden), -1), x.isnan()
    if features.flags:
        bias = bias + hidden.to(x.dtype) @ flags.T
    h = torch.addmm(bias.flatten(), features.filled(x), (values * seen.unsqueeze(1)).flatten(0, 1).T)
    if features.flags and missing.any():
        h = torch.addmm(h, missing.to(x.dtype), (flags * ~hidden.unsqueeze(1)).flatten(0, 1).T)
    h = h.unflatten(1, (len(hidden), -1))
    if encoder.given:
        h = h + (beside(x[:, :0], given, encoder.given) @ told.T).unsqueeze(1)
    return h.flatten(0, 1)


def _last(layer: nn.Linear, h: Tensor, of: Tensor) -> Tensor:
    """The last layer, from h (n, turns, units), a product per turn."""
    order = of.argsort(stable=True)
    own = order.split(of.bincount(minlength=h.shape[1]).tolist())
    parts = [functional.linear(h[:, turn], layer.weight[each], layer.bias[each]) for turn, each in enumerate(own)]
    return torch.cat(parts, 1).index_select(1, order.argsort())
