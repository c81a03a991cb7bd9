"""Codes of prepared rows, and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from diabolo.autoencoder import Autoencoder
from diabolo.batches import in_blocks
from diabolo.errors import InvalidParameter

# The variant for each kind of rows, where it matters how codes lie to one another.
OF_CODES: Mapping[str, str] = {"table": "Residual", "series": "Residual", "image": "IIC"}


def codes(autoencoder: Autoencoder, x: Tensor) -> Tensor:
    """The codes of prepared rows, one row of numbers each."""
    return in_blocks(x, lambda block: autoencoder.encode(block).z.flatten(1))


@torch.inference_mode()
def outputs(autoencoder: Autoencoder, z: Tensor) -> Tensor:
    """What the decoder makes of codes (n, numbers), for the likelihood to read. Raises InvalidParameter."""
    if not isinstance(autoencoder, Autoencoder):
        raise InvalidParameter("An ensemble has no one code to decode. Fit with variant.members=1.")
    told: Tensor = autoencoder.decoder(z.reshape(len(z), autoencoder.bottleneck.latent, *places(autoencoder)))
    return told


def places(autoencoder: Autoencoder) -> tuple[int, ...]:
    """The grid of the codes of a row, () for one code."""
    return getattr(autoencoder.decoder, "grid", ()) if autoencoder.bottleneck.grid else ()
