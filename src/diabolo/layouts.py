"""Layouts: places for codes by UMAP, near where their neighbours are; umap-learn is an optional package."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch

from diabolo.errors import MissingExtra

if TYPE_CHECKING:
    from jaxtyping import Float

NEIGHBOURS = 15
FEWEST = 3  # codes that UMAP can lay out


def laid_out(
    codes: Float[np.ndarray, "n d"], numbers: int = 2, *, apart: float = 0.1, seed: int = 0
) -> Float[np.ndarray, "n numbers"]:
    """Each code's place, by the neighbours it has (UMAP: McInnes, Healy & Melville, 2018, arXiv:1802.03426).

    No two lie much nearer than ``apart``; fewer than 3 codes lie anywhere. It is seeded and so on one thread, since on
    several its result differs from time to time; torch keeps its own threads. Raises MissingExtra.
    """
    needs_umap("A layout by UMAP")
    if len(codes) < FEWEST:
        return np.eye(len(codes), numbers)
    threads = torch.get_num_threads()  # numba, which umap-learn runs on, changes them for the whole process
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what else it could do with what else were installed
        from umap import UMAP

        near = min(NEIGHBOURS, len(codes) - 1)
        start = "spectral" if len(codes) > max(NEIGHBOURS, numbers + 1) else "random"
        laying = UMAP(near, numbers, min_dist=apart, init=start, random_state=seed, n_jobs=1)
        try:
            places: np.ndarray = laying.fit_transform(codes)
        finally:
            torch.set_num_threads(threads)
    return places


def needs_umap(what: str) -> None:
    """Raises MissingExtra where umap-learn is not installed."""
    if find_spec("umap") is None:
        raise MissingExtra(f'{what} needs umap-learn. Type: pip install "diabolo[plot]", or choose another way.')
