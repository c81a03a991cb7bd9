"""Transformers over the patches of a series or an image (Vaswani et al., 2017, arXiv:1706.03762; Dosovitskiy et al.,
2021, arXiv:2010.11929), as in the masked autoencoder of He et al. (2022, arXiv:2111.06377).

::

    encoder   x (n, features, 28, 28) --patches of 4--> (n, 49 tokens, 16 features) --blocks--> (n, 49, w) --> h
    decoder   z --> (n, 49 tokens, w) --blocks--> (n, 49, 16 out) --put together--> (n, out, 28, 28)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from diabolo.networks.convolutional import Crop, fan, halves, waist
from diabolo.networks.dense import REACH, Decoder, Dropout, Encoder, Layers, started, tie
from diabolo.networks.features import Features
from diabolo.schema import Schema

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

HEADS = (4, 2, 1)
WIDER = 2  # times the width of a token, of the layer inside a block


class Block(nn.Module):
    """Tokens that read each other, then think for themselves; both are added to what they were.

    ``x + attention(norm(x))``, then ``x + layers(norm(x))`` (the order of Xiong et al., 2020, arXiv:2002.04745). No
    token reads a ``barred`` one. Shapes: x (n, tokens, width), barred (n or 1, tokens or 1, tokens).

    >>> Block(8, Layers())(torch.zeros(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, width: int, layers: Layers) -> None:
        super().__init__()
        self.heads = next(heads for heads in HEADS if width % heads == 0)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.asked = nn.Linear(width, 3 * width, bias=False)
        with torch.no_grad():
            self.asked.weight[width : 2 * width] = self.asked.weight[:width]  # at first tokens read what is like them
        self.told = started(nn.Linear(width, width), 1.0)
        inner = started(nn.Linear(width, WIDER * width), layers.gain)
        rest = [Dropout(layers.dropout)] if layers.dropout else []
        self.thought = nn.Sequential(inner, layers.bend(), *rest, started(nn.Linear(WIDER * width, width), 1.0))

    def forward(
        self, x: Float[Tensor, "n tokens width"], barred: Bool[Tensor, "n asking tokens"] | None = None
    ) -> Float[Tensor, "n tokens width"]:
        return self._finished(x, *self._questions(x), barred)

    def step(
        self, x: Float[Tensor, "n 1 width"], past: tuple[Tensor, Tensor] | None
    ) -> tuple[Float[Tensor, "n 1 width"], tuple[Tensor, Tensor]]:
        """One more token, which reads those before it; and what tokens to come will read of all of them."""
        query, key, value = self._questions(x)
        if past is not None:
            key, value = torch.cat((past[0], key), 2), torch.cat((past[1], value), 2)
        return self._finished(x, query, key, value, None), (key, value)

    def _questions(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of each head: (n, heads, tokens, width / heads) each."""
        parts = self.asked(self.norms[0](x)).chunk(3, -1)
        query, key, value = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in parts)
        return query, key, value

    def _finished(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor, barred: Tensor | None) -> Tensor:
        fit = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        if barred is not None:
            fit = fit.masked_fill(barred.unsqueeze(1), -math.inf)
        x = x + self.told((fit.softmax(-1) @ value).transpose(1, 2).flatten(2))
        added: Tensor = self.thought(self.norms[1](x))
        return x + added


class Blocks(nn.Module):
    """A block of each width, with a linear layer where the width changes, and a norm behind the last."""

    def __init__(self, widths: Sequence[int], layers: Layers) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, layers) for width in widths)
        self.changes = nn.ModuleList(
            nn.Identity() if into == out else started(nn.Linear(into, out), 1.0) for into, out in pairwise(widths)
        )
        self.norm = nn.LayerNorm(widths[-1])

    def forward(self, x: Float[Tensor, "n tokens first"], barred: Tensor | None = None) -> Tensor:
        for block, change in zip(self.blocks, [*self.changes, self.norm], strict=True):
            x = change(block(x, barred))
        return x


class FromPatches(nn.Module):
    """The cells of each patch as a token that has read the others.

    A token of which no value is seen reads and is not read: what is said of the seen patches does not depend on how
    many others there are to guess. One token that belongs to no patch is always there. ``flags`` are the channels
    that say that a value is missing. Shapes: x (n, channels, *grid) to (n, widths[-1], *patches).
    """

    def __init__(
        self, channels: int, grid: tuple[int, ...], side: int, widths: Sequence[int], layers: Layers, flags: slice
    ) -> None:
        super().__init__()
        self.side, self.flags = side, flags
        self.patches = tuple(-(-size // side) for size in grid)
        self.read = started(nn.Linear(channels * side ** len(grid), widths[0]), 1.0)
        self.places = nn.Parameter(places(self.patches, widths[0]))
        self.nowhere = nn.Parameter(torch.zeros(1, widths[0]))
        self.blocks = Blocks(widths, layers)

    def forward(self, x: Float[Tensor, "n channels *grid"]) -> Float[Tensor, "n width *patches"]:
        tokens = self.read(cut(x, self.side)) + self.places
        tokens = torch.cat((self.nowhere.expand(len(x), 1, -1), tokens), 1)
        told = self.blocks(tokens, self._unseen(x))[:, 1:]
        return told.transpose(1, 2).unflatten(2, self.patches)

    def _unseen(self, x: Tensor) -> Tensor | None:
        flags = x[:, self.flags]
        if not flags.shape[1]:
            return None
        unseen = cut(1 - flags, self.side).sum(-1) == 0
        return functional.pad(unseen, (1, 0)).unsqueeze(1)


class ToPatches(nn.Module):
    """Tokens that have read each other, put together to a grid. Shapes: (n, widths[0], *patches) to (n, out, *grid)."""

    def __init__(self, out: int, grid: tuple[int, ...], side: int, widths: Sequence[int], layers: Layers) -> None:
        super().__init__()
        self.side, self.out, self.grid = side, out, grid
        self.patches = tuple(-(-size // side) for size in grid)
        self.places = nn.Parameter(places(self.patches, widths[0]))
        self.blocks = Blocks(widths, layers)
        self.write = started(nn.Linear(widths[-1], out * side ** len(grid)), 1.0)
        self.crop = Crop(grid)

    def forward(self, z: Float[Tensor, "n width *patches"]) -> Float[Tensor, "n out *grid"]:
        tokens = self.blocks(z.flatten(2).transpose(1, 2) + self.places)
        whole: Tensor = self.crop(joined(self.write(tokens), self.patches, self.side, self.out))
        return whole


def pair(
    schema: Schema,
    hidden: Sequence[int],
    width: int,
    latent: int,
    out: int,
    *,
    grid: bool,
    flags: bool,
    layers: Layers,
) -> tuple[Encoder, Decoder]:
    """The encoder and decoder over patches of :func:`diabolo.networks.mirror`.

    One block per entry of ``hidden``, the width of its tokens; the side of a patch is 2 to the power of their number,
    so that the grid of codes is that of as many convolutions.
    """
    sizes, side = halves(schema.grid, len(hidden))[-1], 2 ** len(hidden)
    features = Features(schema, flags=flags, reach=REACH)
    told = slice(features.values_width, features.width)
    there = FromPatches(features.width + schema.given, schema.grid, side, hidden, layers, told)
    encoder = Encoder(features, nn.Sequential(there, *waist(hidden[-1], width, sizes, grid)), schema.given)
    back = ToPatches(out, schema.grid, side, hidden[::-1], layers.backwards)
    opened = fan(latent + schema.given, hidden[-1], sizes, grid, None)
    decoder = Decoder(nn.Sequential(*opened, back), schema.given, sizes if grid else ())
    if layers.tied:
        tie(encoder, decoder, ends=True)  # the dense waist, if there is one
    return encoder, decoder


def places(patches: tuple[int, ...], width: int) -> Float[Tensor, "tokens width"]:
    """Waves over each axis of the grid, from 4 patches long to twice the axis: near places are alike.

    >>> places((4, 4), 8).shape
    torch.Size([16, 8])
    """
    count, waves = width // (2 * len(patches)), []
    for axis, size in enumerate(patches):
        length = torch.logspace(1, math.log2(max(size, 2)), count, base=2.0)
        angle = torch.arange(size).view(-1, *[1] * (len(patches) - axis)) * math.pi / length
        waves += [wave.expand(*patches, count).flatten(0, -2) for wave in (angle.sin(), angle.cos())]
    return functional.pad(torch.cat(waves, 1), (0, width - 2 * len(patches) * count))


def cut(x: Float[Tensor, "n channels *grid"], side: int) -> Float[Tensor, "n patches cells"]:
    """The values of each patch in one line, the patches in raster order; beyond the edge there are zeros.

    >>> cut(torch.arange(5.0).view(1, 1, 5), 2)
    tensor([[[0., 1.],
             [2., 3.],
             [4., 0.]]])
    """
    n, channels, *grid = x.shape
    x = functional.pad(x, [each for size in reversed(grid) for each in (0, -size % side)])
    x = x.reshape(n, channels, *(part for size in x.shape[2:] for part in (size // side, side)))
    axes = range(len(grid))
    x = x.permute(0, *(2 + 2 * axis for axis in axes), 1, *(3 + 2 * axis for axis in axes))
    return x.flatten(1 + len(grid)).flatten(1, len(grid))


def joined(
    tokens: Float[Tensor, "n patches cells"], patches: tuple[int, ...], side: int, channels: int
) -> Float[Tensor, "n channels *grid"]:
    """The inverse of ``cut``, zeros beyond the edge included.

    >>> joined(cut(torch.arange(6.0).view(1, 1, 6), 2), (3,), 2, 1)
    tensor([[[0., 1., 2., 3., 4., 5.]]])
    """
    axes = range(len(patches))
    x = tokens.view(len(tokens), *patches, channels, *[side] * len(patches))
    order = [each for axis in axes for each in (1 + axis, 2 + len(patches) + axis)]
    return x.permute(0, 1 + len(patches), *order).reshape(len(x), channels, *(size * side for size in patches))
