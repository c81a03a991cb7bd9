"""Denoiser: noisy rows in, cleaned rows out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pyarrow as pa
import torch
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from torch import Tensor

from diabolo.autoencoder import Autoencoder
from diabolo.batches import Batch, Batches
from diabolo.corruptions import GaussianNoise
from diabolo.errors import InvalidData
from diabolo.randomness import seeded
from diabolo.tasks.measures import learned, missed, within
from diabolo.tasks.task import TRIALS, Task

NOISE = 0.2  # standard deviations: of the noise that is taken away where the variant is not trained against any


class Denoiser(OneToOneFeatureMixin, TransformerMixin, Task):
    r"""Take away noise of the kind that the variant is trained against, as far as that does more good than harm.

    A reconstruction loses noise, and detail that does not pass the bottleneck. How much of the given value is kept is
    learned per column, from held-out rows to which noise was added::

        cleaned = best + keep (given - best)
        keep    = <true - best, given - best> / <given - best, given - best>, within 0 and 1

    ``keep_`` (columns,) is the least-squares answer: with ``keep`` 1 a column stays as it is. Of a category the given
    or the restored one is kept, whichever is wrong less often. Missing values stay missing: see ``Imputer``. Noise of
    another size: ``Denoiser(Denoising(strength=0.5))`` (Vincent et al., 2010, JMLR 11).

    Examples
    --------
    >>> import numpy as np
    >>> from diabolo import Denoiser
    >>> dice = np.random.default_rng(0)
    >>> true = np.outer(dice.normal(size=400), [1, 2, -1, 3, 1, 2])
    >>> noisy = true + 0.2 * true.std(0) * dice.normal(size=true.shape)
    >>> cleaned = Denoiser(random_state=0).fit(noisy).transform(noisy)
    >>> bool(np.square(cleaned - true).mean() < 0.6 * np.square(noisy - true).mean())
    True
    """

    restores: ClassVar[bool] = True
    measure: ClassVar[str] = (
        "mean squared error of held-out rows once noise was added and taken away, in standard deviations (of counts: "
        "of their logarithms); 1 for a wrong category"
    )

    def transform(self, X: Any) -> Any:
        """``X`` without the noise, of the type of ``X``."""
        return self._rewritten(X, self._clean)

    def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The cleaned batch."""
        return self.transform(batch)

    def _clean(self, x: Tensor) -> Tensor:
        return self._mixed(x, within(self.preparation_.schema_.columns, self.autoencoder_.best(x)), self.keep_)

    def _mixed(self, x: Tensor, best: Tensor, keep: Tensor) -> Tensor:
        """The given and the restored value of each column in its proportion; NaN stays NaN."""
        keep = keep.view(-1, *[1] * (x.dim() - 2))
        return torch.where(keep == 1, x, best + keep * (x - best))

    def _calibrate(self, train: Batches, held_out: Batches) -> None:
        rows = held_out.some(TRIALS)
        with seeded(self.seed_, 1), torch.inference_mode():
            noisy = self._noisy(rows.x)
            self.keep_, self._linear_keep = (
                self._kept(rows, noisy, each) for each in (self.autoencoder_, self.linear_)
            )

    def _noisy(self, x: Tensor) -> Tensor:
        """The rows with the noise of the variant; with normal noise where it has none, or hides values instead."""
        schema = self.preparation_.schema_
        own = self._variant().corruption(schema)
        noise = GaussianNoise(schema, NOISE) if own is None or getattr(own, "hides", False) else own
        return torch.where(learned(schema, x), noise(x), x)

    def _kept(self, true: Batch, given: Tensor, autoencoder: Autoencoder) -> Tensor:
        """How much of the given value is to be kept, for each column."""
        best = within(self.preparation_.schema_.columns, self._each(given, autoencoder.best))
        weights = true.weights.view(-1, *[1] * (given.dim() - 1)).expand_as(given)
        keep = torch.ones(given.shape[1])
        for place, column in enumerate(self.preparation_.schema_.columns):
            there = ~true.x[:, place].isnan()
            one, two, three, weight = (each[:, place][there] for each in (true.x, given, best, weights))
            away = two - three
            part = (weight * (one - three) * away).sum() / (weight * away.square()).sum()
            if column.kind in ("category", "boolean"):
                part = ((weight * (one != two)).sum() <= (weight * (one != three.round())).sum()).float()
            keep[place] = part.clamp(0, 1).nan_to_num(1.0)
        return keep

    def _trial(self, x: Tensor) -> tuple[Tensor, Tensor]:
        schema, noisy = self.preparation_.schema_, self._noisy(x)
        deep = missed(schema, x, self._clean(noisy))
        return deep, missed(
            schema, x, self._mixed(noisy, within(schema.columns, self.linear_.best(noisy)), self._linear_keep)
        )

    def _verdict(self, x: Tensor) -> Tensor:
        return self._clean(x).double().nan_to_num(0.0).flatten(1).sum(1)

    def _state(self) -> dict[str, Tensor]:
        return {"keep": self.keep_}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        self.keep_ = state["keep"]
        if self.keep_.shape != (len(self.preparation_.schema_.columns),):
            raise InvalidData(f"The file keeps {tuple(self.keep_.shape)} parts for as many columns.")
