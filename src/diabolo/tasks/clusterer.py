"""Clusterer: which rows belong together, found among their codes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from sklearn.base import ClusterMixin
from sklearn.metrics import silhouette_score
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from diabolo.batches import Batch, Batches, drawn, in_blocks
from diabolo.layouts import needs_umap
from diabolo.params import Count
from diabolo.readers import Source
from diabolo.tasks.codes import OF_CODES, codes
from diabolo.tasks.groups import Groups
from diabolo.tasks.measures import missed
from diabolo.tasks.mixture import STARTS, Mixture, fewest
from diabolo.tasks.rows import beside
from diabolo.tasks.task import TRIALS, Task
from diabolo.variants import Variant

CLUSTERED = 20_000  # training rows that clusters are found among
TRIED = 5_000  # of them, to find the number of clusters
MOST = 20  # clusters that are tried where their number is not given


class Clusterer(ClusterMixin, Task):
    """Put each row into one of several clusters of codes.

    ``by="neighbours"`` puts codes together whose neighbours are together, so that the cluster of a row tells most about
    those of its nearest ones; clusters are of any shape. ``by="mixture"`` fits Gaussians to the codes, ``by="means"``
    k-means, that is Gaussians of one size without a shape; a row belongs to the likeliest. ``by="umap"`` fits Gaussians
    to the places that UMAP gives the codes, and a row belongs to the cluster of the nearest codes (N2D: McConville et
    al., 2021, arXiv:1908.05968); it needs ``umap-learn``, else MissingExtra is raised. Clusters are found among at most
    20,000 rows once the autoencoder is trained, and change nothing in it. The variant, where none is named, is
    ``Residual``, for images ``IIC``; unless it is given whole, its codes are as wide as it allows. Columns of numbers
    that share their bounds, as pixels do, are measured by one scale.

    Without ``clusters`` their number, up to 20, is that of the Gaussians of the smallest Bayesian information criterion
    (Schwarz, 1978), for means of the largest mean silhouette of held-out codes (Rousseeuw, 1987).

    ``labels_`` (n,) holds the clusters of the rows of the fit, in their order.

    Examples
    --------
    >>> import numpy as np
    >>> from diabolo import Clusterer
    >>> dice = np.random.default_rng(0)
    >>> rows = np.vstack([dice.normal(each, 0.3, size=(150, 4)) for each in ([0, 0, 0, 0], [3, 3, 0, 0], [0, 3, 0, 3])])
    >>> clusterer = Clusterer("Linear", random_state=0).fit(rows)
    >>> clusterer.clusters_, [len(set(part)) for part in np.split(clusterer.labels_, 3)]
    (3, [1, 1, 1])
    """

    measure: ClassVar[str] = (
        "mean squared distance of held-out rows from the middle of their cluster, in standard deviations (of counts: "
        "of their logarithms); 1 for another category than its most frequent one"
    )

    variant: Annotated[
        Variant | str | Mapping[str, Any] | None,
        "the autoencoder: a Variant, its name, or parameters of the one that suits the rows; None: Residual, on images "
        "IIC",
    ] = None
    usual: ClassVar[Mapping[str, Variant | str]] = OF_CODES
    clusters: Annotated[Count | None, "how many clusters; None: as many as suit the rows"] = None
    by: Annotated[
        Literal["neighbours", "mixture", "means", "umap"],
        "groups of near codes, Gaussians, k-means, or Gaussians in a layout by UMAP",
    ] = "neighbours"
    by_distance: ClassVar[bool] = True
    compresses: ClassVar[bool] = False

    def predict(self, X: Any) -> np.ndarray:
        """The cluster of each row, shape (n,), counted from 0."""
        return self.predict_proba(X).argmax(1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each cluster given the code of the row, shape (n, clusters)."""
        return self._each(self._prepared(X), self._shares).numpy()

    def adds(self, name: str) -> bool:
        return name in ("cluster", "cluster_probability")

    def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with ``cluster`` and ``cluster_probability`` behind its columns, in place of older ones."""
        shares = self.predict_proba(batch)
        added = {"cluster": pa.array(shares.argmax(1)), "cluster_probability": pa.array(shares.max(1))}
        return beside(batch, added, self.preparation_.schema_)

    @property
    def clusters_(self) -> int:
        """How many clusters there are: as many as were asked for, less those without a row."""
        check_is_fitted(self, "autoencoder_")
        return self.grouping_.count

    def _variant(self) -> Variant:
        """The variant; where at most its name was given, with codes as wide as it allows.

        Rows need not be restored from few numbers to be grouped, and of a row of three one number says too little.
        """
        variant = super()._variant()
        told = self.variant if isinstance(self.variant, Mapping) else {}
        open_ = not isinstance(self.variant, Variant) and "overcomplete" in variant.parameters().keys() - told.keys()
        return variant.set_params(overcomplete=True) if open_ else variant

    def _shares(self, x: Tensor) -> Tensor:
        return self.grouping_.shares(self.autoencoder_.encode(x).z.flatten(1))

    def _rounds(self, train: Batches, held_out: Batches) -> Iterator[tuple[Batches, Batches, Batches]]:
        if self.by == "umap":
            needs_umap('Clusterer(by="umap")')  # told before the training, not after it
        yield from super()._rounds(train, held_out)

    def _calibrate(self, train: Batches, held_out: Batches) -> None:
        rows = drawn(train, CLUSTERED, self.seed_)
        found, judged = Batch(self._codes(rows.x), rows.weight), self._codes(held_out.some(TRIALS).x)
        self.grouping_ = self._found(found, self.clusters or self._number(found, judged))
        beside = Batch(codes(self.linear_, rows.x), rows.weight)
        linear = self._found(beside, self.clusters_)
        self._middles = [
            (grouping, self._middle(rows, in_blocks(z, grouping.shares).argmax(1), grouping.count))
            for grouping, z in ((self.grouping_, found.x), (linear, beside.x))
        ]

    def _found(self, found: Batch, count: int) -> Groups | Mixture:
        if self.by == "neighbours":
            return Groups.of_neighbours(found, count, self.seed_)
        if self.by == "umap":
            return Groups.of_layout(found, count, self.seed_)
        return self._tried(found, count, STARTS)

    def _tried(self, found: Batch, count: int, starts: int) -> Mixture:
        """So many Gaussians; neighbours and layouts need to be told a number of groups, and are told theirs."""
        find = Mixture.of_means if self.by == "means" else Mixture.of_gaussians
        return find(found, count, self.seed_, starts)

    def _number(self, found: Batch, judged: Tensor) -> int:
        """The number of clusters that suits the codes best; a cluster has four rows or more on average."""
        found = found[:TRIED]
        most = min(MOST, fewest(found.x), len(found) // 4)
        worths = {count: self._worth(self._tried(found, count, 1), found, judged) for count in range(1, most + 1)}
        return max(worths, key=worths.__getitem__, default=1)

    def _worth(self, mixture: Mixture, found: Batch, judged: Tensor) -> float:
        """Minus half the information criterion of the mixture; of means, the mean silhouette of held-out codes."""
        if self.by != "means":
            free = len(mixture.weights) * (1 + judged.shape[1] * (judged.shape[1] + 3) / 2) - 1
            weights = found.weights / found.weights.mean()  # few rows that stand for many count as few
            return float((mixture.log_density(found.x) * weights).sum()) - free * math.log(len(found)) / 2
        labels = mixture.joint(judged).argmax(1)
        several = 1 < len(labels.unique()) < len(labels)
        return float(silhouette_score(judged.numpy(), labels.numpy())) if several else -1.0

    def _middle(self, rows: Batch, labels: Tensor, count: int) -> Tensor:
        """The mean of the numbers and the most frequent category of each cluster, prepared, (clusters, columns)."""
        middles = []
        for each in range(count):
            x = rows.x[labels == each]
            usual = x.nanmean(0)
            for place, column in enumerate(self.preparation_.schema_.columns):
                if column.kind in ("category", "boolean"):
                    usual[place] = _mode(x[:, place])
            middles.append(usual.nan_to_num(0.0))
        return torch.stack(middles)

    def _trial(self, x: Tensor) -> tuple[Tensor, Tensor]:
        both = zip((self.autoencoder_, self.linear_), self._middles, strict=True)
        deep, linear = (
            missed(self.preparation_.schema_, x, middle[grouping.shares(codes(each, x)).argmax(1)])
            for each, (grouping, middle) in both
        )
        return deep, linear

    def _verdict(self, x: Tensor) -> Tensor:
        return self.grouping_.log_density(self.autoencoder_.encode(x).z.flatten(1))

    def _look_back(self, rows: np.ndarray | pa.Table | Source) -> None:
        blocks = rows.batches() if isinstance(rows, Source) else [rows]
        self.labels_ = np.concatenate([self.predict(block) for block in blocks])

    def _state(self) -> dict[str, Tensor]:
        return self.grouping_.state() | {"rows": torch.from_numpy(self.labels_.astype(np.int32))}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        kind: type[Groups] | type[Mixture] = Groups if self.by in ("neighbours", "umap") else Mixture
        self.grouping_ = kind.restored(state, self._codes(self.probe_[:1]).shape[1])
        self.labels_ = state["rows"].numpy().astype(np.int64)


def _mode(values: Tensor) -> Tensor:
    there = values[~values.isnan()]
    return there.mode().values if len(there) else torch.zeros(())
