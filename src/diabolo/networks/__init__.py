"""Networks: encoder and decoder pairs that fit the shape of a row."""

from __future__ import annotations

from collections.abc import Sequence

from diabolo.networks import convolutional, dense, transformer
from diabolo.networks.dense import PLAIN, Decoder, Encoder, Layers
from diabolo.networks.features import Features
from diabolo.networks.given import Given
from diabolo.schema import Schema

__all__ = ["Decoder", "Encoder", "Features", "Given", "Layers", "convolutional", "dense", "mirror", "transformer"]


def mirror(
    schema: Schema,
    hidden: Sequence[int],
    width: int,
    latent: int,
    out: int,
    *,
    grid: bool = False,
    flags: bool = False,
    layers: Layers = PLAIN,
) -> tuple[Encoder, Decoder]:
    """An encoder to ``width`` numbers and the decoder, its mirror image, from ``latent`` to ``out`` numbers.

    ::

        x (n, columns)         --encoder--> h (n, width)         z (n, latent)         --decoder--> (n, out)
        x (n, columns, *cells) --encoder--> h (n, width)         z (n, latent)         --decoder--> (n, out, *cells)
          with ``grid``        --encoder--> h (n, width, *codes) z (n, latent, *codes) --decoder--> (n, out, *cells)

    Tables take dense layers of ``hidden`` units. Series and images take convolutions, one per entry of ``hidden``
    (its channels), each halving the grid; without an entry and without ``grid`` one dense layer reads all cells.
    ``flags`` shows the encoder where values are missing; ``layers`` says how the layers are built, and whether series
    and images are read by patches instead of convolutions: patches as wide as those convolutions see, and a block per
    entry of ``hidden``.

    >>> import torch
    >>> from diabolo.schema import numbers
    >>> encoder, decoder = mirror(numbers(30), (64,), 8, 8, 30)
    >>> decoder(encoder(torch.zeros(5, 30))).shape
    torch.Size([5, 30])
    """
    if schema.grid and (hidden or grid):
        by = transformer if hidden and layers.network == "patches" else convolutional
        return by.pair(schema, hidden, width, latent, out, grid=grid, flags=flags, layers=layers)
    encoder = dense.encoder(schema, hidden, width, flags=flags, layers=layers)
    decoder = dense.decoder(schema, hidden, latent, out, layers=layers)
    if layers.tied:
        dense.tie(encoder, decoder, ends=dense.in_order(schema, out))
    return encoder, decoder
