"""How probable rows are to a model whose code is drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diabolo.autoencoder import Autoencoder, still
from diabolo.batches import Batch, contents
from diabolo.bottlenecks import Random
from diabolo.errors import InvalidParameter
from diabolo.randomness import mix, seeded

if TYPE_CHECKING:
    from jaxtyping import Float


CELLS = 4_000_000  # values of decoded draws held at once


def importance_bound(
    autoencoder: Autoencoder,
    x: Float[Tensor, "n *features"],
    samples: int = 5000,
    *,
    given: Float[Tensor, "n given"] | None = None,
    seed: int = 0,
) -> Float[Tensor, "n"]:
    """-log p of each row in nats, bounded from above by weighed draws of its code (Burda et al., 2016,
    arXiv:1509.00519).

    ``-log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x)`` with K = ``samples``. Its mean over all draws falls with K and
    reaches -log p; K = 1 gives the VAE's bound, without the prices (``beta``, free bits) of training. Of a row that
    lacks values, p is that of the others. The draws follow from ``seed`` and the row's values: a row alone gets what it
    gets among others, and the random state and the mode are left as they were. Raises InvalidParameter for an ensemble,
    and where the code is not drawn.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import VAE
    >>> importance_bound(VAE(latent=2).build(numbers(5)), torch.zeros(3, 5), samples=10).shape
    torch.Size([3])
    """
    _check_drawn(autoencoder, samples)
    with still(autoencoder), torch.inference_mode():
        x, given = autoencoder.apart(x, given)
        h, rows = autoencoder.encoder(x, given), Batch(x, given=given)
        places = [slice(row, row + 1) for row in range(len(x))]
        seeds = [mix(seed, own) for own in contents(x).tolist()]
        return torch.cat(
            [_bound(autoencoder, h[at], rows[at], samples, own) for at, own in zip(places, seeds, strict=True)]
        )


def _check_drawn(autoencoder: Autoencoder, samples: int) -> None:
    if not isinstance(getattr(autoencoder, "bottleneck", None), Random):
        raise InvalidParameter(
            f"The code of {type(autoencoder).__name__} is not drawn: take a single VAE, or another variant of its kind."
        )
    if samples < 1:
        raise InvalidParameter(f"samples must be an int >= 1. Got {samples}.")


def _bound(autoencoder: Autoencoder, h: Tensor, row: Batch, samples: int, seed: int) -> Float[Tensor, "1"]:
    """The bound of one row, from as many draws at once as there is room for."""
    step = max(1, CELLS // row.x.numel())
    with seeded(seed):
        costs = [_costs(autoencoder, h, row, min(step, samples - done)) for done in range(0, samples, step)]
    return math.log(samples) - torch.logsumexp(-torch.cat(costs), 0, keepdim=True)


def _costs(autoencoder: Autoencoder, h: Tensor, row: Batch, samples: int) -> Float[Tensor, "samples"]:
    """``-log p(x | z) - log p(z) + log q(z | x)`` of draws for one row."""
    z, nats = autoencoder.bottleneck.propose(h.expand(samples, *h.shape[1:]), 1)  # type: ignore[operator]
    output = autoencoder.decoder(z, None if row.given is None else row.given.expand(samples, -1))
    x, observed = (each.expand(samples, *row.x.shape[1:]) for each in (row.x, ~row.x.isnan()))
    return autoencoder.nll_of(output, x, observed) + nats
