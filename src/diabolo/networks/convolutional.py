"""Convolutions for series (1-D) and images (2-D) of any size: each stage halves the grid, its mirror doubles it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from diabolo.errors import InvalidParameter
from diabolo.networks.dense import REACH, Decoder, Encoder, Layers, in_order, started, tie
from diabolo.networks.features import Features
from diabolo.schema import Schema

Halving = nn.Conv1d | nn.Conv2d
Doubling = nn.ConvTranspose1d | nn.ConvTranspose2d
CONVOLUTIONS: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
TRANSPOSED: dict[int, type[nn.ConvTranspose1d] | type[nn.ConvTranspose2d]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
}
BACKWARDS: dict[int, Callable[..., Tensor]] = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d}


class Crop(nn.Module):
    """Cut every axis of the grid to ``sizes``: what doubling an odd size's half leaves over."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes

    def forward(self, x: Tensor) -> Tensor:
        for axis, size in enumerate(self.sizes, start=2):
            x = x.narrow(axis, 0, size)
        return x

    def extra_repr(self) -> str:
        return f"{self.sizes}"


class TiedConvolution(nn.Module):
    """A convolution read backwards: the weights of the first ``out`` inputs of ``source``, exactly ``sizes`` cells."""

    def __init__(self, source: Halving, out: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(out))
        self.sizes = sizes
        self._source = (source,)  # in a tuple, so that the weights are counted and saved once, with their owner

    def forward(self, x: Tensor) -> Tensor:
        extra = [1 - size % 2 for size in self.sizes]
        weight = self._source[0].weight[:, : len(self.bias)]
        return BACKWARDS[len(self.sizes)](x, weight, self.bias, stride=2, padding=1, output_padding=extra)


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
    """The convolutional encoder and decoder of :func:`diabolo.networks.mirror`.

    ::

        (n, features, 15, 9) -> (n, hidden[0], 8, 5) -> (n, hidden[1], 4, 3) -> (n, width) or (n, width, 4, 3)

    Raises InvalidParameter for a grid of more than two axes.
    """
    if len(schema.grid) not in CONVOLUTIONS:
        raise InvalidParameter(f"Convolutions read series and images: 1 or 2 axes per row. Got {len(schema.grid)}.")
    sizes = halves(schema.grid, len(hidden))
    features = Features(schema, flags=flags, reach=REACH)
    down = _down((features.width + schema.given, *hidden), len(schema.grid), layers)
    closed = waist(hidden[-1] if hidden else features.width + schema.given, width, sizes[-1], grid)
    encoder = Encoder(features, nn.Sequential(*down, *closed), schema.given)
    inner = hidden[-1] if hidden else out
    opened = fan(latent + schema.given, inner, sizes[-1], grid, layers.backwards if hidden else None)
    up = _up((*reversed(hidden), out), sizes, layers.backwards)
    decoder = Decoder(nn.Sequential(*opened, *up), schema.given, sizes[-1] if grid else ())
    if layers.tied:
        _tie(encoder, decoder, sizes, ends=in_order(schema, out))
    return encoder, decoder


def halves(grid: tuple[int, ...], times: int) -> list[tuple[int, ...]]:
    """The grid before and after each stage, odd sizes rounded up.

    >>> halves((15, 9), 2)
    [(15, 9), (8, 5), (4, 3)]
    """
    sizes = [grid]
    for _ in range(times):
        sizes.append(tuple((size + 1) // 2 for size in sizes[-1]))
    return sizes


def _down(channels: Sequence[int], axes: int, layers: Layers) -> list[nn.Module]:
    parts: list[nn.Module] = []
    for into, out in pairwise(channels):
        halving = CONVOLUTIONS[axes](into, out, kernel_size=3, stride=2, padding=1)
        parts += [started(halving, layers.gain), *layers.after(out, axes)]
    return parts


def waist(channels: int, width: int, sizes: tuple[int, ...], grid: bool) -> list[nn.Module]:
    """From the smallest grid to one code per cell, or to one code per row."""
    if grid:
        return [started(CONVOLUTIONS[len(sizes)](channels, width, kernel_size=1), 1.0)]
    return [nn.Flatten(), started(nn.Linear(channels * math.prod(sizes), width), 1.0)]


def fan(latent: int, channels: int, sizes: tuple[int, ...], grid: bool, layers: Layers | None) -> list[nn.Module]:
    """The waist backwards; with ``layers`` behind it where a stage follows."""
    after = layers.after(channels, len(sizes)) if layers else []
    gain = layers.gain if layers else 1.0
    if grid:
        return [started(CONVOLUTIONS[len(sizes)](latent, channels, kernel_size=1), gain), *after]
    wide = nn.Linear(latent, channels * math.prod(sizes))
    return [started(wide, gain), nn.Unflatten(1, (channels, *sizes)), *after]


def _up(channels: Sequence[int], sizes: list[tuple[int, ...]], layers: Layers) -> list[nn.Module]:
    """Stages that double the grid (kernel 4, so that every cell hears as many inputs) and crop to the mirrored size."""
    parts: list[nn.Module] = []
    axes, stages = len(sizes[0]), len(channels) - 1
    for stage, (into, out) in enumerate(pairwise(channels)):
        last = stage == stages - 1
        doubling = TRANSPOSED[axes](into, out, kernel_size=4, stride=2, padding=1)
        size = sizes[stages - stage - 1]
        crop = [Crop(size)] if any(each % 2 for each in size) else []
        parts += [started(doubling, 1.0 if last else layers.gain), *crop, *([] if last else layers.after(out, axes))]
    return parts


def _tie(encoder: Encoder, decoder: Decoder, sizes: list[tuple[int, ...]], *, ends: bool) -> None:
    """Share the weights of every stage whose channels agree; ``ends`` as in :func:`diabolo.networks.dense.tie`."""
    tie(encoder, decoder, ends=True)  # the dense waist, if there is one
    forth = [layer for layer in encoder.layers if isinstance(layer, Halving) and layer.stride[0] == 2]
    back = [i for i, layer in enumerate(decoder.layers) if isinstance(layer, Doubling)]
    for stage, (source, place) in enumerate(zip(forth, reversed(back), strict=True)):
        out = decoder.layers[place].out_channels
        if ends if stage == 0 else out == source.in_channels:
            decoder.layers[place] = TiedConvolution(source, out, sizes[stage])  # type: ignore[arg-type]
