"""Random numbers that depend on the seed and the row's place in the global batch, not on the number of processes.

Every part draws through these functions. Under data-parallel training each process draws for the whole global
batch and keeps its own rows, so one, two or four processes see the same noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import RLock
from typing import NamedTuple

import torch
from torch import Tensor

TINY = 1e-12  # how far a uniform number whose logarithm is taken stays away from 0


class Shard(NamedTuple):
    """Rows ``start`` to ``start + rows of x`` of a global batch of ``total`` rows."""

    total: int
    start: int


_shard: ContextVar[Shard | None] = ContextVar("shard", default=None)
_copies: ContextVar[int] = ContextVar("copies", default=1)
_ONE_AT_A_TIME = RLock()  # torch has one generator for all threads


@contextmanager
def shard(total: int, start: int) -> Iterator[None]:
    """Draw as the owner of the rows from ``start`` on, of a global batch of ``total`` rows."""
    token = _shard.set(Shard(total, start))
    try:
        yield
    finally:
        _shard.reset(token)


@contextmanager
def copied(count: int) -> Iterator[None]:
    """Draw for ``count`` copies of the rows, one after the other, each with noise of its own."""
    token = _copies.set(count)
    try:
        yield
    finally:
        _copies.reset(token)


def place(rows: int) -> Shard:
    """Where this process's ``rows`` rows lie in the global batch; alone, they are the batch."""
    return _shard.get() or Shard(rows, 0)


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Seed torch's CPU generator from ``numbers`` inside, and leave its state as it was outside; a thread at a time."""
    with noise(mix(*numbers)):
        yield


@contextmanager
def noise(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """The same by one number, and of the generator of ``device`` too, where it has one of its own."""
    own = [device] if device is not None and device.type == "cuda" else []
    with _ONE_AT_A_TIME, torch.random.fork_rng(own):
        for generator in (torch.default_generator, *(torch.cuda.default_generators[each.index] for each in own)):
            generator.manual_seed(seed)
        yield


def mix(*numbers: int) -> int:
    """One 63-bit seed from several numbers, e.g. (seed, epoch, step); the order matters."""
    seed = 0x9E3779B97F4A7C15
    for number in numbers:
        seed = (seed ^ (number & 0xFFFFFFFFFFFFFFFF)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        seed ^= seed >> 31
    return seed >> 1


def normal_like(x: Tensor) -> Tensor:
    """Standard normal numbers of the shape of ``x`` (rows on axis 0)."""
    return _own_rows(torch.randn, x)


def uniform_like(x: Tensor) -> Tensor:
    """Uniform numbers in [0, 1) of the shape of ``x`` (rows on axis 0)."""
    return _own_rows(torch.rand, x)


def gumbel_like(x: Tensor) -> Tensor:
    """Numbers of the standard Gumbel distribution; the largest of ``log p + gumbel`` is a draw from p."""
    return -(TINY - uniform_like(x).clamp_min(TINY).log()).log()


def _own_rows(draw: Callable[..., Tensor], x: Tensor) -> Tensor:
    place = _shard.get()
    if place is None:
        return draw(x.shape, dtype=x.dtype, device=x.device)
    copies = _copies.get()
    whole = draw((copies, place.total, *x.shape[1:]), dtype=x.dtype, device=x.device)
    return whole[:, place.start : place.start + len(x) // copies].flatten(0, 1)
