"""Embedder: rows in, codes out: few numbers per row that hold what the row holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from diabolo.batches import Batches
from diabolo.errors import SchemaMismatch
from diabolo.preparation.fields import framed
from diabolo.tasks.codes import OF_CODES, guesses
from diabolo.tasks.conditions import all_told
from diabolo.tasks.measures import missed
from diabolo.tasks.rows import beside
from diabolo.tasks.task import Task
from diabolo.variants import Variant


class Embedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Task):
    """Turn each row into its code, ``z = encoder(x)``, shape (n, latent), for whatever reads numbers.

    The variant, where none is named, is ``Residual`` for tables and series: principal components and what networks add
    to them, at most half as many numbers as a row has; and ``IIC`` for images, whose codes part into groups and change
    little where an image is lit otherwise, or shifted, turned or stretched a little. Columns of numbers that share
    their bounds, as pixels do, are measured by one scale. ``members`` put their codes side by side.

    Examples
    --------
    >>> import numpy as np
    >>> from diabolo import Embedder
    >>> t = np.random.default_rng(0).normal(size=(300, 1))
    >>> rows = np.hstack([t, 2 * t, -t, 3 * t])
    >>> embedder = Embedder("Linear", random_state=0).set_params(variant__latent=1).fit(rows)
    >>> codes = embedder.transform(rows)
    >>> codes.shape, bool(np.abs(embedder.inverse_transform(codes) - rows).max() < 0.01)
    ((300, 1), True)
    """

    variant: Annotated[
        Variant | str | Mapping[str, Any] | None,
        "the autoencoder: a Variant, its name, or parameters of the one that suits the rows; None: Residual, on images "
        "IIC",
    ] = None
    usual: ClassVar[Mapping[str, Variant | str]] = OF_CODES
    by_distance: ClassVar[bool] = True
    measure: ClassVar[str] = (
        "mean squared error of held-out rows restored from their codes, in standard deviations (of counts: of their "
        "logarithms); 1 for a wrong category"
    )

    def transform(self, X: Any) -> Any:
        """The codes (n, numbers): an array, or where ``X`` is a table a table of its class, with its index."""
        rows = self.rows(X)
        kind = np.float32 if getattr(rows, "dtype", None) == np.float32 else np.float64
        codes = self._codes(self.preparation_.transform(rows)).numpy().astype(kind)
        return framed(codes, list(self.get_feature_names_out()), X)

    def inverse_transform(self, codes: Any, given: Mapping[str, Any] | None = None) -> Any:
        """The rows that codes (n, numbers) stand for, of the type of the rows of the fit.

        ``given`` holds the given columns of these rows, if the fit had any: a value for all rows, or a list of one for
        each. Columns that were set aside are missing. Raises SchemaMismatch for codes of another width and
        InvalidParameter for a missing ``given`` and for an ensemble, whose members have a code each.

        >>> import numpy as np
        >>> from diabolo import Embedder
        >>> rows = np.outer(np.random.default_rng(0).normal(size=300), [1, 2, -1, 3])
        >>> embedder = Embedder("Linear", random_state=0).set_params(variant__latent=1).fit(rows)
        >>> (step,) = np.diff(embedder.inverse_transform([[0.0], [1.0]]), axis=0)  # what the number stands for
        >>> (step / step[0]).round(1)
        array([ 1.,  2., -1.,  3.])
        """
        check_is_fitted(self, "autoencoder_")
        z = torch.tensor(np.asarray(codes, dtype=np.float32))
        if z.dim() != 2 or z.shape[1] != self._n_features_out:
            raise SchemaMismatch(f"A code has {self._n_features_out} numbers, an array (n, numbers). Got {z.shape}.")
        like = all_told(self.preparation_, self.fields_, given, len(z))
        return self._new(guesses(self.autoencoder_, z, like), given)

    def adds(self, name: str) -> bool:
        return re.fullmatch(r"embedder\d+", name) is not None

    def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with the numbers of the code behind its columns, in place of older ones."""
        codes = self._codes(self._prepared(batch)).numpy()
        added = dict(zip(self.get_feature_names_out(), map(pa.array, codes.T), strict=True))
        return beside(batch, added, self.preparation_.schema_)

    @property
    def _n_features_out(self) -> int:
        return self._codes(self.probe_[:1]).shape[1]

    def _calibrate(self, train: Batches, held_out: Batches) -> None:
        """Nothing beyond the autoencoder is needed to encode."""

    def _trial(self, x: Tensor) -> tuple[Tensor, Tensor]:
        schema = self.preparation_.schema_
        deep, linear = (missed(schema, x, each.best(x)) for each in (self.autoencoder_, self.linear_))
        return deep, linear

    def _verdict(self, x: Tensor) -> Tensor:
        return self.autoencoder_.encode(x).z.flatten(1).double().sum(1)

    def _state(self) -> dict[str, Tensor]:
        return {}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        """Nothing was kept."""
