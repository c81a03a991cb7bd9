"""AnomalyDetector: which rows are strange, how strange, and which of their values make them so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from sklearn.base import OutlierMixin
from torch import Tensor

from diabolo.batches import Batches, Rows
from diabolo.evidence import Evidence
from diabolo.neighbours import Neighbours
from diabolo.params import Fraction, Natural
from diabolo.randomness import mix, uniform_like
from diabolo.tasks.task import BLOCK, Task
from diabolo.thresholds import Conformal, Threshold
from diabolo.variants import Variant

CALIBRATION = 20_000  # held-out rows that evidence and p-values are learned from


class AnomalyDetector(OutlierMixin, Task):
    r"""Score rows by how surprising they are to an autoencoder of normal rows, and how far from normal rows they lie.

    Two views of a row, each turned into evidence in nats, ``-log p`` among held-out normal rows, and added::

        surprise   what the autoencoder pays for the row: -log p(value | other values), added over its values
        distance   how far the row is from the nearest of some kept normal rows, relative to their own spacing

    A score is therefore ``-log p`` of the row's surprise plus ``-log p`` of its distance; normal rows score about 2.
    ``explain`` divides it among the values. ``neighbours=0`` leaves the autoencoder alone.

    A float ``threshold`` is the share of normal rows that may be marked (conformal); or pass a ``Threshold``.

    Examples
    --------
    >>> import numpy as np
    >>> from diabolo import AnomalyDetector
    >>> rows = np.random.default_rng(0).normal(size=(500, 4))
    >>> detector = AnomalyDetector(random_state=0).fit(rows)
    >>> detector.predict([[0, 0, 0, 0], [0, 0, 8, 0]]), detector.explain([[0, 0, 8, 0]]).argmax()
    (array([ 1, -1]), 2)
    """

    measure: ClassVar[str] = "share of rows with one value swapped from another row that score no higher than unswapped"

    variant: Annotated[Variant | str, "the autoencoder: a Variant, or the name of one"] = "Masked"
    neighbours: Annotated[Natural, "normal rows kept to measure distances from; 0 for the autoencoder alone"] = 1024
    threshold: Annotated[Threshold | Fraction, "share of normal rows that may be marked, or a Threshold"] = 0.01
    training: Annotated[
        Literal["mostly normal", "clean", "contaminated"],
        "contaminated: the strangest tenth of the rows is left out, and named in dropped_rows_",
    ] = "mostly normal"

    def anomaly_score(self, X: Any) -> np.ndarray:
        """How strange each row is, in nats, shape (n,); higher is stranger."""
        return self._each(self._prepared(X), self._verdict).numpy()

    def score_samples(self, X: Any) -> np.ndarray:
        """``-anomaly_score``, the sign that scikit-learn uses: higher is more normal."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """``score_samples - offset_``: negative for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """-1 for anomalies, 1 for normal rows, shape (n,)."""
        return np.where(self.threshold_.exceeded(self.anomaly_score(X)), -1, 1)

    def p_value(self, X: Any) -> np.ndarray:
        """The share of normal rows that score at least as high, shape (n,); calibrated on held-out rows."""
        return self.threshold_.p_value(self.anomaly_score(X))

    def explain(self, X: Any) -> np.ndarray:
        """Contributions in nats that add up to the score, shape (n, len(explained_names_))."""
        contributions = self._each(self._prepared(X), self._contributions).numpy()
        told = np.zeros((len(contributions), len(self.explained_names_)))
        for place, column in enumerate(self.preparation_.schema_.columns):
            told[:, self.explained_names_.index(column.source)] += contributions[:, place]
        return told

    def nearest(self, X: Any, count: int = 2) -> Tensor | None:
        """The nearest kept normal rows of each row, prepared, shape (n, count, columns); None without neighbours."""
        if self.neighbours_ is None:
            return None
        return self.neighbours_.kept[self.neighbours_.nearest(self._prepared(X), count)]

    def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with ``anomaly_score``, ``p_value`` and ``anomaly`` behind its columns, in place of older ones."""
        scores = self.anomaly_score(batch)
        verdicts = {
            "anomaly_score": pa.array(scores),
            "p_value": pa.array(self.threshold_.p_value(scores)),
            "anomaly": pa.array(self.threshold_.exceeded(scores)),
        }
        kept = {name: batch[name] for name in batch.schema.names if name not in verdicts}
        return pa.RecordBatch.from_pydict(kept | verdicts)

    @property
    def explained_names_(self) -> list[str]:
        """The columns that explanations speak of: those of the data, without the ones set aside."""
        return list(dict.fromkeys(column.source for column in self.preparation_.schema_.columns))

    @property
    def offset_(self) -> float:
        """The ``score_samples`` below which a row is an anomaly."""
        return -self.threshold_.cut_

    def _views(self, x: Tensor) -> dict[str, Tensor]:
        """The raw score of each view, shape (n,)."""
        trip = self.autoencoder_(x)
        views = {"surprise": trip.nll + sum(trip.code.costs.values())}
        return views if self.neighbours_ is None else views | {"distance": self.neighbours_(x)}

    def _verdict(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self._added({name: raw.numpy() for name, raw in self._views(x).items()}))

    def _added(self, views: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.sum([self.evidence_[name](raw) for name, raw in views.items()], axis=0)

    def _contributions(self, x: Tensor) -> Tensor:
        """Each view's evidence, divided among the values by what they added to the view."""
        views, parts = self._views(x), self._parts(x)
        total = torch.zeros(x.shape, dtype=torch.float64)
        for name, raw in views.items():
            shares = parts[name].double() + 1e-12
            nats = torch.from_numpy(self.evidence_[name](raw.numpy()))
            total += nats.unsqueeze(1) * shares / shares.sum(1, keepdim=True)
        return total

    def _parts(self, x: Tensor) -> dict[str, Tensor]:
        """What each value adds to each view, at least 0: its error beyond the usual, and its squared distance."""
        parts = {"surprise": (self.autoencoder_(x).errors - self.usual_).clamp_min(0)}
        return parts if self.neighbours_ is None else parts | {"distance": self.neighbours_.terms(x)}

    def _trial(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Whether a copy of each row with one value from another row goes unnoticed: 1, noticed: 0, a draw: 1/2."""
        copy, place = x.clone(), (uniform_like(x[:, 0]) * x.shape[1]).long()
        donors, rows = torch.roll(x, 1, 0), torch.arange(len(x))
        copy[rows, place] = donors[rows, place]
        return tuple(
            ((score(copy) < score(x)).double() + (score(copy) <= score(x)).double()) / 2
            for score in (self._verdict, lambda rows: self.linear_(rows).nll)
        )

    def _calibrate(self, train: Batches, held_out: Batches) -> None:
        schema = self.preparation_.schema_
        kept = _some(train, self.neighbours, self.seed_) if self.neighbours else None
        self.neighbours_ = None if kept is None else Neighbours(schema, kept)
        x = _some(held_out, CALIBRATION, self.seed_)
        if held_out is train and self.neighbours_ is not None:
            x = self.neighbours_.kept
        views = self._raw(x, seen=held_out is train)
        self.evidence_ = {name: Evidence().fit(raw) for name, raw in views.items()}
        self.usual_ = self._each(x, lambda rows: self.autoencoder_(rows).errors).mean(0)
        given = self.threshold
        self.threshold_ = (given if isinstance(given, Threshold) else Conformal(given)).fit(self._added(views))

    def _raw(self, x: Tensor, *, seen: bool) -> dict[str, np.ndarray]:
        """The views of many rows; rows that are kept themselves (``seen``) are measured from the others."""
        with torch.inference_mode():
            blocks = [self._views(block) for block in x.split(BLOCK)]
        views = {name: torch.cat([block[name] for block in blocks]).numpy() for name in blocks[0]}
        if seen and self.neighbours_ is not None:
            views["distance"] = self.neighbours_.alone.numpy()
        return views

    def _state(self) -> dict[str, Tensor]:
        state = {f"threshold.{name}": torch.as_tensor(each) for name, each in self.threshold_.state().items()}
        for view, evidence in self.evidence_.items():
            state |= {f"{view}.{name}": torch.as_tensor(each) for name, each in evidence.state().items()}
        if self.neighbours_ is not None:
            state |= {"kept": self.neighbours_.kept, "scale": self.neighbours_.scale}
        return state | {"usual": self.usual_}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        self.usual_ = state["usual"]
        schema, near = self.preparation_.schema_, "kept" in state
        self.neighbours_ = Neighbours.of(schema, state["kept"], state["scale"]) if near else None
        views = ["surprise", "distance"] if near else ["surprise"]
        self.evidence_ = {view: Evidence().restore(_part(state, view)) for view in views}
        given = self.threshold
        self.threshold_ = given if isinstance(given, Threshold) else Conformal(given)
        self.threshold_.restore(_part(state, "threshold"))


def _some(rows: Batches, count: int, seed: int) -> Tensor:
    """At most ``count`` rows, drawn with the seed."""
    found, size = [], 0
    for batch in rows.shuffled(min(count, rows.rows), mix(seed, -2), 0):
        found.append(batch.x)
        size += len(batch)
        if size >= count:
            break
    return torch.cat(found)[:count]


def _part(state: Mapping[str, Tensor], name: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(f"{name}."): each.numpy() for key, each in state.items() if key.startswith(f"{name}.")}
