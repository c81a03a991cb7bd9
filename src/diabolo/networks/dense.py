"""Dense layers, and the encoder and decoder that every network of the house is put into."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from diabolo.errors import InvalidData
from diabolo.networks.blocks import GDN, Residual
from diabolo.networks.features import Features
from diabolo.randomness import uniform_like
from diabolo.schema import Schema

if TYPE_CHECKING:
    from jaxtyping import Float

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "gdn"]
Network = Literal["plain", "residual", "patches"]
Normalisation = Literal["none", "layer"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
KEEPING: dict[int, Callable[[int], nn.Module]] = {  # layers that keep the width and the grid of so many axes
    0: lambda width: nn.Linear(width, width),
    1: lambda width: nn.Conv1d(width, width, kernel_size=3, padding=1),
    2: lambda width: nn.Conv2d(width, width, kernel_size=3, padding=1),
}
REACH = 5.0  # standard deviations that a network sees
ADDED = 0.5  # share of a signal that a residual block adds at first
# sqrt 2 for all that pass about half of their input (He et al., 2015, arXiv:1502.01852)
GAINS = {"tanh": 5 / 3, "gdn": 1.0}


@dataclass(frozen=True)
class Layers:
    """How dense or convolutional layers are built: what stands between two of them, and whether weights are shared.

    Behind a hidden layer come a residual block if ``network`` is "residual" (two more layers of the same width, each
    after an activation, and nothing that reads other rows), ``normalisation`` over the row, ``activation`` and
    ``dropout``; with ``tied`` the decoder uses the encoder's weights, transposed. ``back`` marks a decoder, which
    inverts the activation "gdn".
    """

    activation: Activation = "relu"
    dropout: float = 0.0
    normalisation: Normalisation = "none"
    tied: bool = False
    network: Network = "plain"
    back: bool = False

    def after(self, width: int, axes: int = 0) -> list[nn.Module]:
        """The modules behind a hidden layer of ``width`` units (or channels, on a grid of so many axes)."""
        parts: list[nn.Module] = [self._block(width, axes)] if self.network == "residual" else []
        parts += [nn.GroupNorm(1, width)] if self.normalisation == "layer" else []
        parts.append(GDN(width, back=self.back) if self.activation == "gdn" else self.bend())
        return [*parts, Dropout(self.dropout)] if self.dropout else parts

    def bend(self) -> nn.Module:
        """A function of each number by itself: the activation, or SiLU where that reads all numbers."""
        return ACTIVATIONS.get(self.activation, nn.SiLU)()

    @property
    def backwards(self) -> Layers:
        """The layers of the decoder."""
        return replace(self, back=True)

    @property
    def gain(self) -> float:
        """By how much the weights before the activation are widened so that signals keep their size."""
        return GAINS.get(self.activation, math.sqrt(2))

    def _block(self, width: int, axes: int) -> Residual:
        first, second = (KEEPING[axes](width) for _ in range(2))
        return Residual(self.bend(), started(first, self.gain), self.bend(), started(second, ADDED))


PLAIN = Layers()


class Dropout(nn.Module):
    """Zero a share of the units in training (Srivastava et al., 2014), drawn for the global batch."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x * (uniform_like(x) >= self.share) / (1 - self.share)

    def extra_repr(self) -> str:
        return f"{self.share}"


class Encoder(nn.Module):
    """Rows to what the bottleneck reads: features, then layers; conditions stand beside the features.

    ``flat`` lays the cells of a grid out in one line for layers that know no grid.
    """

    def __init__(self, features: Features, layers: nn.Sequential, given: int = 0, *, flat: bool = False) -> None:
        super().__init__()
        self.features = features
        self.layers = layers
        self.given = given
        self.flat = flat

    def forward(
        self, x: Float[Tensor, "n columns *grid"], given: Float[Tensor, "n given"] | None = None
    ) -> Float[Tensor, "n width *codes"]:
        """What the bottleneck reads of each row. Raises InvalidData where conditions are due and not given."""
        seen = self.features(x)
        seen = seen.flatten(1) if self.flat else seen
        h: Tensor = self.layers(beside(seen, given, self.given) if self.given else seen)
        return h


class Decoder(nn.Module):
    """Codes to what the likelihood reads; ``grid`` is the shape of a grid of codes, () for one code per row."""

    def __init__(self, layers: nn.Sequential, given: int = 0, grid: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.layers = layers
        self.given = given
        self.grid = grid

    def forward(
        self, z: Float[Tensor, "n latent *codes"], given: Float[Tensor, "n given"] | None = None
    ) -> Float[Tensor, "n out *grid"]:
        """What the likelihood reads of each code. Raises InvalidData where conditions are due and not given."""
        output: Tensor = self.layers(beside(z, given, self.given) if self.given else z)
        return output


class Sum(nn.Module):
    """What two encoders, or two decoders, of the same inputs say, added up."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        total: Tensor = self.first(x, given) + self.second(x, given)
        return total


class Tied(nn.Module):
    """A linear layer that reads another one backwards: its weights are the first ``out`` inputs' of ``source``."""

    def __init__(self, source: nn.Linear, out: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(out))
        self._source = (source,)  # in a tuple, so that the weights are counted and saved once, with their owner

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self._source[0].weight[:, : len(self.bias)].T, self.bias)


def beside(x: Tensor, given: Tensor | None, width: int) -> Tensor:
    """``x`` with the conditions behind it on axis 1, the same in every cell of a grid."""
    if given is None or given.shape[1:] != (width,):
        found = "none" if given is None else f"an array of shape {tuple(given.shape)}"
        raise InvalidData(
            f"This model reads {width} conditions per row. Got {found}: pass given of shape (n, {width})."
        )
    cells = given.view(*given.shape, *[1] * (x.dim() - 2)).expand(-1, -1, *x.shape[2:])
    return torch.cat((x, cells), 1)


def encoder(schema: Schema, hidden: Sequence[int], width: int, *, flags: bool, layers: Layers) -> Encoder:
    """Dense layers from the features of a row (of all cells of its grid) to ``width`` numbers."""
    features = Features(schema, flags=flags, reach=REACH)
    wide = features.width * math.prod(schema.grid)
    stack = chain((wide + schema.given, *hidden, width), layers)
    return Encoder(features, nn.Sequential(*stack), schema.given, flat=bool(schema.grid))


def decoder(schema: Schema, hidden: Sequence[int], latent: int, out: int, *, layers: Layers) -> Decoder:
    """Dense layers from a code, through ``hidden`` backwards, to ``out`` numbers in each cell of the grid."""
    stack = chain((latent + schema.given, *reversed(hidden), out * math.prod(schema.grid)), layers.backwards)
    shape = [nn.Unflatten(1, (out, *schema.grid))] if schema.grid else []
    return Decoder(nn.Sequential(*stack, *shape), schema.given)


def chain(widths: Sequence[int], layers: Layers) -> list[nn.Module]:
    """Linear layers through ``widths`` with ``layers`` between them; the last one stays linear."""
    parts: list[nn.Module] = []
    for into, out in pairwise(widths[:-1]):
        parts += [started(nn.Linear(into, out), layers.gain), *layers.after(out)]
    return [*parts, started(nn.Linear(widths[-2], widths[-1]), 1.0)]


def started(layer: nn.Module, gain: float) -> nn.Module:
    """``layer`` with orthogonal weights, widened by ``gain``, and no bias (Saxe et al., 2014, arXiv:1312.6120).

    Signals keep their length through any depth.
    """
    with torch.no_grad():
        nn.init.orthogonal_(layer.get_parameter("weight"), gain)
        layer.get_parameter("bias").zero_()
    return layer


def tie(encoder: Encoder, decoder: Decoder, *, ends: bool) -> None:
    """Give the decoder the encoder's weights, transposed, layer by mirrored layer, where the shapes agree.

    ``ends`` says whether the outputs are the columns in the order of the features; if not, the last layer keeps its
    own weights. Conditions keep the layer that reads them its own as well.
    """
    forth = [layer for layer in encoder.layers if isinstance(layer, nn.Linear)]
    back = [(i, layer) for i, layer in enumerate(decoder.layers) if isinstance(layer, nn.Linear)]
    for source, (place, layer) in zip(reversed(forth), back, strict=True):
        whole = layer.out_features == source.in_features
        if layer.in_features == source.out_features and (ends if source is forth[0] else whole):
            decoder.layers[place] = Tied(source, layer.out_features)


def in_order(schema: Schema, out: int) -> bool:
    """Whether the ``out`` outputs of a decoder are the columns in the order of the features."""
    single = len({column.likelihood for column in schema.columns}) == 1
    return single and out == len(schema.columns) == sum(column.width for column in schema.columns)
