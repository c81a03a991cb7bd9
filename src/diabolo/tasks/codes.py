"""Codes of prepared rows, and what they stand for.

What a code stands for may depend on conditions: those of code i are the given columns of row i of ``x``.
"""

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
def outputs(autoencoder: Autoencoder, z: Tensor, x: Tensor | None = None) -> Tensor:
    """What the decoder makes of codes (n, numbers), for the likelihood to read. Raises InvalidParameter."""
    if not isinstance(autoencoder, Autoencoder):
        raise InvalidParameter("An ensemble has no one code to decode. Fit with variant.members=1.")
    z = z.reshape(len(z), autoencoder.bottleneck.latent, *places(autoencoder))
    told: Tensor = autoencoder.decoder(z, None if x is None else autoencoder.apart(x)[1])
    return told


def guesses(autoencoder: Autoencoder, z: Tensor, x: Tensor | None = None) -> Tensor:
    """The prepared rows that codes (n, numbers) stand for, every value being the best guess."""

    def read(block: Tensor) -> Tensor:
        like = None if x is None else x[block]
        told = outputs(autoencoder, z[block], like)  # first, since it says so where there is no one code
        return autoencoder.whole(autoencoder.likelihood.best(told), like)

    return in_blocks(torch.arange(len(z)), read)


def places(autoencoder: Autoencoder) -> tuple[int, ...]:
    """The grid of the codes of a row, () for one code."""
    return getattr(autoencoder.decoder, "grid", ()) if autoencoder.bottleneck.grid else ()
