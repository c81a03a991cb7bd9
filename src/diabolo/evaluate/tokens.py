"""How well a discrete code uses its codebooks, counted over a whole set."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from diabolo.errors import InvalidData


class Usage(NamedTuple):
    """The share of all codes that occur, and how many equally frequent codes would say as much."""

    used: float
    perplexity: float


def usage(tokens: Any, codes: int) -> Usage:
    """How many of ``codes`` codes per codebook occur in ``tokens``, and how evenly.

    ``tokens``, whole numbers from 0 to codes - 1 of shape (n, heads, *grid), are those of *all* rows: a batch of them
    always shows fewer codes than there are in use. ``used`` is the share of all codes of all heads that occur,
    ``perplexity = exp(H)`` with H the mean over the heads of the entropy of their codes, in nats; it lies between 1
    and ``codes``. Raises InvalidData where there are no tokens, or tokens outside their range.

    >>> usage([[0], [0], [1], [1]], codes=4)
    Usage(used=0.5, perplexity=2.0)
    """
    tokens = np.asarray(tokens)
    if tokens.ndim < 2 or not tokens.size:
        raise InvalidData(f"Tokens have the shape (n, heads, *grid), n at least 1. Got {tokens.shape}.")
    if tokens.min() < 0 or tokens.max() >= codes:
        raise InvalidData(f"Tokens must lie in 0 to {codes - 1}. Got {tokens.min()} to {tokens.max()}: raise codes.")
    counts = np.stack([np.bincount(each.ravel(), minlength=codes) for each in np.moveaxis(tokens, 1, 0)])
    share = counts / counts.sum(1, keepdims=True)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(1)
    return Usage(float((counts > 0).mean()), float(np.exp(entropy.mean())))
