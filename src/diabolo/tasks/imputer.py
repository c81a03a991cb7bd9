"""Imputer: rows with missing values in, complete rows out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import pyarrow as pa
import torch
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from torch import Tensor

from diabolo.autoencoder import Autoencoder
from diabolo.batches import Batches
from diabolo.params import Natural
from diabolo.randomness import seeded, uniform_like
from diabolo.schema import Schema
from diabolo.tasks.measures import learned, missed, within
from diabolo.tasks.task import TRIALS, Task
from diabolo.variants import Masked, Variant

TRIPS = 6  # at most, of which the best is taken: an autoencoder that does not know of gaps may gain from more
FILLING = Masked(scale="learned")  # a scale per value forgives the network what is hard to fill
HOLES = Masked(latent=64, hidden=(32, 64, 128), scale="learned", boxes=0.5)  # those of images and series are large
HIDDEN = 0.2  # share of the values that are hidden to see how well they are filled


class Imputer(OneToOneFeatureMixin, TransformerMixin, Task):
    """Fill each missing value with the autoencoder's best guess given the row's other values.

    The first guess comes from the observed values alone; each of ``rounds`` further trips shows the autoencoder the
    completed row (pseudo-Gibbs, Rezende et al., 2014, arXiv:1401.4082), which may help those that were not trained to
    tell hidden values from others. Observed values are returned untouched, and so are gaps in given columns: these are
    not learned.

    Examples
    --------
    >>> import numpy as np
    >>> from diabolo import Imputer
    >>> t = np.linspace(0, 1, 200)
    >>> rows = np.c_[t, 2 * t, -t]
    >>> rows[7, 1] = np.nan
    >>> filled = Imputer("Linear", random_state=0).fit_transform(rows)
    >>> bool(abs(filled[7, 1] - 2 * t[7]) < 0.2), bool(filled[8, 0] == rows[8, 0])
    (True, True)
    """

    variant: Annotated[
        Variant | str | Mapping[str, Any] | None,
        "the autoencoder: a Variant, its name, or parameters of the usual one; None: Masked of one learned scale per "
        "column, in grids also of boxes",
    ] = None
    usual: ClassVar[Mapping[str, Variant | str]] = {"table": FILLING, "series": HOLES, "image": HOLES}
    longest: ClassVar[int] = 240  # each time other values are hidden: few rows teach more often before they are known
    restores: ClassVar[bool] = True
    judges: ClassVar[bool] = True
    measure: ClassVar[str] = (
        "mean squared error of hidden values, in standard deviations (of counts: of their logarithms); 1 for a wrong "
        "category"
    )

    rounds: Annotated[
        Natural | None,
        "further trips that see the guesses of the trip before; None: up to 5, if held-out rows are filled better",
    ] = None

    def transform(self, X: Any) -> Any:
        """``X`` with every missing value filled in, of the type of ``X``."""
        return self._rewritten(X, self._fill)

    def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The completed batch."""
        return self.transform(batch)

    def _fill(self, x: Tensor) -> Tensor:
        *_, filled = _trips(self.autoencoder_, self.preparation_.schema_, x, self.trips_)
        return filled

    def _calibrate(self, train: Batches, held_out: Batches) -> None:
        """Learn ``trips_``, how often a row goes through the autoencoder: once, unless more clearly fill better."""
        self.trips_ = TRIPS if self.rounds is None else self.rounds + 1
        if self.rounds is None:
            with seeded(self.seed_), torch.inference_mode():
                costs = self._tried(self.autoencoder_, *self._hidden(held_out.some(TRIALS).x))
            best = min(range(TRIPS), key=lambda trip: float(costs[trip].mean()))
            gain = costs[0] - costs[best]
            self.trips_ = 1 + best if gain.mean() > 2 * gain.std(correction=0) / math.sqrt(len(gain)) else 1

    def _trial(self, x: Tensor) -> tuple[Tensor, Tensor]:
        given = self._hidden(x)
        linear = min(self._tried(self.linear_, *given), key=lambda costs: float(costs.mean()))
        return self._tried(self.autoencoder_, *given, self.trips_)[-1], linear

    def _hidden(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows, and the same with some values hidden."""
        hidden = (uniform_like(x) < HIDDEN) & learned(self.preparation_.schema_, x)
        return x, torch.where(hidden, torch.nan, x)

    def _tried(self, autoencoder: Autoencoder, x: Tensor, holes: Tensor, trips: int = TRIPS) -> list[Tensor]:
        """What the hidden values of each row cost after each trip."""
        schema, hidden = self.preparation_.schema_, holes.isnan() & ~x.isnan()
        return [missed(schema, x, filled, hidden) for filled in _trips(autoencoder, schema, holes, trips)]

    def _verdict(self, x: Tensor) -> Tensor:
        return self._fill(x).double().nan_to_num(0.0).flatten(1).sum(1)  # a given value that is missing stays so

    def _state(self) -> dict[str, Tensor]:
        return {"trips": torch.tensor(self.trips_)}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        self.trips_ = int(state["trips"])


def _trips(autoencoder: Autoencoder, schema: Schema, x: Tensor, count: int) -> Iterator[Tensor]:
    """The completed rows after each trip; a trip sees the guesses of the one before."""
    missing = x.isnan()
    for _ in range(count):
        x = torch.where(missing, within(schema.columns, autoencoder.best(x)), x)
        yield x
