"""How few bits a model that knows probabilities would need for rows, beside their size as they are and as packed."""

from __future__ import annotations

import lzma
import math
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diabolo.errors import InvalidData, InvalidParameter
from diabolo.evaluate.bound import importance_bound
from diabolo.randomness import seeded
from diabolo.schema import Column

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from diabolo.tasks.task import Task

SAMPLES = 64  # draws of the code per row
WIDTHS = ((8, np.uint8), (16, np.uint16), (32, np.uint32), (64, np.uint64))


class Compression(NamedTuple):
    """Bits per value: as the model tells, with its standard error over rows; as whole numbers; as those are packed."""

    bits: float
    error: float
    raw: float
    zlib: float
    lzma: float

    @property
    def ratio(self) -> float:
        """How many times smaller than as whole numbers."""
        return self.raw / self.bits


def compression(
    task: Task,
    X: Any,
    precision: float | Mapping[str, float] | None = None,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Compression:
    """How many bits per value a model needs for rows that it has not seen, beside simple coders.

    ``bits = (-log p(row) in nats) / ln 2 / values``, -log p being bounded from above by ``importance_bound`` with
    ``samples`` draws; bits-back coding gets as near to it as one likes (Townsend et al., 2019, arXiv:1901.04866; Ruan
    et al., 2021, arXiv:2102.11086), so that it could be written, though nothing is written here.

    A density has no bits of its own. Numbers are therefore rounded to multiples of ``precision``, in the user's units,
    one for all or one by column, and the model is asked for the probability of the interval around each: ``-log p`` of
    a value drawn from it, less the logarithm of its width, is as much or more (Theis et al., 2016, arXiv:1511.01844).
    Half the precision costs one bit more per value, of the model and of what it is compared with. Counts, categories,
    booleans and numbers on a lattice (those of ``DiscretisedLogistic``) have probabilities, and take no precision.

    ``raw`` is the smallest whole number (8 to 64 bits per column) that holds each column's rounded values, ``zlib`` and
    ``lzma`` those packed at the highest level, rows first or columns first, whichever is smaller. The model itself, the
    columns that it set aside, and how to round are known to both sides and are not counted.

    Raises InvalidParameter for a model without a likelihood of whole rows (its code must be drawn, see
    ``importance_bound``) or with given columns, and for a missing precision; InvalidData for missing values and columns
    that several numbers stand for, such as dates.

    >>> from diabolo import Embedder, Trainer
    >>> t = np.random.default_rng(0).normal(size=(600, 1)) @ np.ones((1, 4))
    >>> model = Embedder("VAE", trainer=Trainer(epochs=5), random_state=0).fit(t[:500])
    >>> found = compression(model, t[500:], precision=0.1, samples=4)
    >>> found.bits < found.raw == 8
    True
    """
    x = task.preparation_.transform(task.rows(X))
    columns = task.preparation_.schema_.columns
    _check(x, columns)
    steps = _steps(columns, precision)
    whole = _rounded(x, columns, steps)
    with seeded(seed):
        shown, width = _within(whole, columns, steps)
    nats = importance_bound(task.autoencoder_, shown, samples, seed=seed).double() - width
    bits = nats.numpy() / math.log(2) / x[0].numel()
    error = float(bits.std(ddof=1) / math.sqrt(len(bits))) if len(bits) > 1 else math.nan
    return Compression(float(bits.mean()), error, *(each / x.numel() for each in _sizes(whole)))


def _check(x: Tensor, columns: tuple[Column, ...]) -> None:
    if told := [column.source for column in columns if column.given]:
        raise InvalidParameter(f"The model is told the column {told[0]!r}, of which it has no bits. Fit without given.")
    if not len(x):
        raise InvalidData("There are no rows to count the bits of.")
    if x.isnan().any():
        raise InvalidData("A missing value has no bits. Leave out the rows that lack values, or fill them.")
    parts = [column.source for column in columns if column.part != "value"]
    if parts:
        raise InvalidData(f"Several numbers stand for the column {parts[0]!r}. Fit the model without it.")


def _steps(columns: tuple[Column, ...], precision: float | Mapping[str, float] | None) -> list[float]:
    """The precision of each column in the user's units; that of a lattice is its own, and 1 where values are whole."""
    chosen = precision if isinstance(precision, Mapping) else {column.source: precision for column in columns}
    steps = [chosen.get(column.source) if _dense(column) else column.step or 1.0 for column in columns]
    for column, step in zip(columns, steps, strict=True):
        if step is None or not 0 < step < math.inf:
            raise InvalidParameter(
                f"The column {column.source!r} holds numbers, which have bits only up to a precision above 0. Pass "
                "precision=0.01 or precision={name: 0.01}, in the units of the column."
            )
    return [float(step) for step in steps if step is not None]


def _dense(column: Column) -> bool:
    """Whether the values of the column have a density instead of probabilities."""
    return column.kind == "number" and not column.step


def _first(column: Column) -> float:
    """The value from which steps are counted."""
    return column.low if column.step else 0.0


def _rounded(x: Tensor, columns: tuple[Column, ...], steps: list[float]) -> Int[np.ndarray, "n columns *grid"]:
    """Every value as a whole number of steps."""
    values = x.double().numpy().copy()
    for place, (column, step) in enumerate(zip(columns, steps, strict=True)):
        if column.kind == "number":
            values[:, place] = (values[:, place] * column.scale + column.center - _first(column)) / step
    return np.rint(values).astype(np.int64)


def _within(
    whole: np.ndarray, columns: tuple[Column, ...], steps: list[float]
) -> tuple[Float[Tensor, "n columns *grid"], float]:
    """A prepared value from the interval of each whole number, and the sum of the logarithms of widths per row."""
    x, width = torch.from_numpy(whole).double(), 0.0
    for place, (column, step) in enumerate(zip(columns, steps, strict=True)):
        if _dense(column):
            x[:, place] += torch.rand(x[:, place].shape, dtype=torch.float64) - 0.5
            width += math.log(step / column.scale) * x[0, place].numel()
        if column.kind == "number":
            x[:, place] = (x[:, place] * step + _first(column) - column.center) / column.scale
    return x.float(), width


def _sizes(whole: np.ndarray) -> list[int]:
    """The bits of whole numbers as they are, by zlib and by lzma."""
    columns = [_narrow(each) for each in np.moveaxis(whole, 1, 0)]
    orders = [b"".join(each.tobytes() for each in columns), _by_row(columns)]
    coders: list[Callable[[bytes], bytes]] = [
        lambda each: zlib.compress(each, 9),
        lambda each: lzma.compress(each, preset=9),
    ]
    return [8 * size for size in (len(orders[0]), *(min(len(pack(each)) for each in orders) for pack in coders))]


def _narrow(values: np.ndarray) -> np.ndarray:
    """Whole numbers from 0 on, in the smallest type that holds them."""
    values = values - values.min()
    kind = next(kind for bits, kind in WIDTHS if bits == 64 or values.max() < 2**bits)
    return values.astype(kind)


def _by_row(columns: list[np.ndarray]) -> bytes:
    """The bytes of the columns, row after row."""
    flat = (np.ascontiguousarray(each).reshape(len(each), math.prod(each.shape[1:])) for each in columns)
    return np.concatenate([each.view(np.uint8) for each in flat], 1).tobytes()
