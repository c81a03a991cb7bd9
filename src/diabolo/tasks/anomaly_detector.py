"""AnomalyDetector: which rows are strange, how strange, and which of their values make them so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import torch
from sklearn.base import OutlierMixin, clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from diabolo.batches import Batch, Batches, Rows, contents, drawn, joined
from diabolo.diagnosis import cost
from diabolo.errors import InvalidParameter
from diabolo.evidence import Evidence, pooled
from diabolo.neighbours import GROUPS, Neighbours
from diabolo.params import Fraction, Natural
from diabolo.pixels import smoothed
from diabolo.randomness import mix
from diabolo.scorer import Scorer
from diabolo.tasks.measures import learned, somewhere
from diabolo.tasks.rows import beside
from diabolo.tasks.task import BLOCK, Task
from diabolo.tasks.tensors import group
from diabolo.tasks.weights import uncut
from diabolo.thresholds import Conformal, Threshold
from diabolo.trainer import Trainer
from diabolo.variants import Variant
from diabolo.variants.variant import cells

CLUSTERED, VALUES = 20_000, 20_000_000  # training rows, and features, that the neighbours are found among
KEPT = 4_000_000  # features of the places that are kept; of wide rows there are fewer places
PLACED = ("kept", "places", "scale", "trend")  # what the neighbours are kept by; the last where columns are given
CALIBRATION = 20_000  # held-out rows that evidence and p-values are learned from
FOLDS = 10  # of the held-out rows, each scored by evidence learned from the others
RESERVE = 2_000  # held-out rows kept in the model, so that partial_fit calibrates with old and new ones
REHEARSED = 1_024  # training rows kept in the model, so that partial_fit forgets less
FURTHER = 5  # epochs of a partial_fit at most
RARE, FEW = 0.01, 0.05  # share of normal rows that is marked by default, and where few rows are held out
VERDICTS = ("anomaly_score", "p_value", "anomaly", "reasons")  # the columns that ``run`` and its reasons add
STRANGEST = 0.3  # share of contaminated rows that is left out; most of them are normal, and normal ones abound


class AnomalyDetector(OutlierMixin, Task):
    r"""Score rows by how surprising they are to an autoencoder of normal rows, and how far from normal rows they lie.

    Two views of a row, each turned into evidence in nats, ``-log p`` among held-out normal rows::

        surprise   what the autoencoder pays for the row: -log p(value | other values), added over its values
        distance   how far the row is from the nearest of some kept normal rows, relative to their own spacing

    In an image deviations of pixels count together with those around them, and distances are between at most 16 x 16
    cells (see ``pixels``): wrong pixels here and there say less than as many side by side.

    With ``given`` columns a row is strange for its conditions: the network is told them, and distances are between what
    they do not explain of the other values.

    A score is -log of the harmonic mean of the two p (see ``evidence.pooled``): what one view finds rare is rare.
    Normal rows score about 1. ``explain`` divides the score among the values. ``neighbours=0`` leaves the autoencoder
    alone.

    A float ``threshold`` is the share of normal rows that may be marked (conformal); or pass a ``Threshold``. By
    default it is 1 %, or the smallest share, up to 5 %, that the held-out rows can tell: 2 of n + 1.

    Examples
    --------
    >>> import numpy as np
    >>> from diabolo import AnomalyDetector
    >>> rows = np.random.default_rng(0).normal(size=(500, 4))
    >>> detector = AnomalyDetector(random_state=0).fit(rows)
    >>> detector.predict([[0, 0, 0, 0], [0, 0, 8, 0]]), int(detector.explain([[0, 0, 8, 0]]).argmax())
    (array([ 1, -1]), 2)
    """

    judges: ClassVar[bool] = True
    measure: ClassVar[str] = (
        "share of rows with one value (of images and series: a part of them) swapped from another row that score no "
        "higher than unswapped"
    )

    variant: Annotated[
        Variant | str | Mapping[str, Any] | None,
        "the autoencoder: a Variant, its name, or parameters of the one that suits the rows; None: Masked, on images "
        "and series Vanilla",
    ] = None
    usual: ClassVar[Mapping[str, Variant | str]] = {"table": "Masked", "series": "Vanilla", "image": "Vanilla"}
    neighbours: Annotated[Natural, "places of normal rows kept to measure distances from; 0: network alone"] = 1024
    threshold: Annotated[
        Threshold | Fraction | None,
        "share of normal rows that may be marked, or a Threshold; None: 0.01, up to 0.05 where few rows are held out",
    ] = None
    training: Annotated[
        Literal["mostly normal", "clean", "contaminated"],
        "contaminated: the strangest 30 % of the rows are not learned from, and are named in dropped_rows_",
    ] = "mostly normal"

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from further rows, those of earlier fits kept in mind; the first call is ``fit``.

        The columns stay as they were. Training goes on for a few epochs on the new rows and on kept ones, which stand
        for all rows seen; evidence and threshold are learned anew from old and new held-out rows. The kept rows are
        bounded and part of the model file.

        >>> import numpy as np
        >>> from diabolo import AnomalyDetector
        >>> rows = np.random.default_rng(0).normal(size=(300, 3))
        >>> detector = AnomalyDetector("Linear", random_state=0).fit(rows)
        >>> detector.predict([[0, 0, 0], [9, 9, 9]]), detector.partial_fit(rows + 9).predict([[0, 0, 0], [9, 9, 9]])
        (array([ 1, -1]), array([1, 1]))
        """
        if not hasattr(self, "autoencoder_"):
            return self.fit(X, y, sample_weight)
        self.check_params()
        with self.all_or_nothing():
            self.autoencoder_ = deepcopy(self.autoencoder_)
            train, held_out = self._recalled(self._further(X, sample_weight))
            further = self._train(train, held_out, _briefly(self._trainer(train)))
            self.history_ = [*self.history_, *further]
            self._settle(train, held_out)
        return self

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
        scores = self.anomaly_score(X)  # first, since it says so where there was no fit
        return np.where(self.threshold_.exceeded(scores), -1, 1)

    def p_value(self, X: Any) -> np.ndarray:
        """The share of normal rows that score at least as high, shape (n,); calibrated on held-out rows."""
        scores = self.anomaly_score(X)
        return self.threshold_.p_value(scores)

    def explain(self, X: Any) -> np.ndarray:
        """Contributions in nats that add up to the score, shape (n, len(explained_names_)).

        Of images and series they are maps, one number per value: (n, channels, height, width) or (n, channels, time).
        A given column contributes nothing.
        """
        contributions = self._each(self._prepared(X), self._contributions).numpy()
        places = {name: place for place, name in enumerate(self.explained_names_)}
        told = np.zeros((len(contributions), len(places), *contributions.shape[2:]))
        for column, parts in zip(self.preparation_.schema_.columns, np.moveaxis(contributions, 1, 0), strict=True):
            told[:, places[column.source]] += parts
        return told

    def nearest(self, X: Any, count: int = 2) -> Tensor | None:
        """The nearest kept normal rows of each row, prepared, shape (n, count, columns); None without neighbours.

        A row that is one of them itself is not among its own, where there are others.

        >>> import numpy as np
        >>> from diabolo import AnomalyDetector
        >>> rows = np.random.default_rng(0).normal(size=(300, 3))
        >>> detector = AnomalyDetector("Linear", random_state=0).fit(rows)
        >>> near = detector.nearest([[2, 2, 2]], count=3)
        >>> near.shape, bool((near > 0).all())
        (torch.Size([1, 3, 3]), True)
        """
        x = self._prepared(X)
        if self.neighbours_ is None:
            return None
        kept = self.neighbours_.nearest(x, count + 1)
        own = contents(self.neighbours_.kept)[kept] == contents(x).unsqueeze(1)
        return self.neighbours_.kept[kept.gather(1, own.int().argsort(dim=1, stable=True)[:, :count])]

    def scorer(self) -> Scorer:
        """The score of one row at a time, in tens of microseconds; as the detector is now, for tables of numbers.

        >>> import numpy as np
        >>> from diabolo import AnomalyDetector
        >>> rows = np.random.default_rng(0).normal(size=(300, 3))
        >>> score = AnomalyDetector("Linear", random_state=0).fit(rows).scorer()
        >>> score([0.0, 0.0, 0.0]) < 2 < score([0.0, 9.0, 0.0])
        True
        """
        check_is_fitted(self, "autoencoder_")
        return Scorer(self.preparation_.schema_, self.autoencoder_, self.evidence_, self.neighbours_)

    def adds(self, name: str) -> bool:
        return name in VERDICTS

    def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with ``anomaly_score``, ``p_value`` and ``anomaly`` behind its columns, in place of older ones."""
        scores = self.anomaly_score(batch)
        verdicts = {
            "anomaly_score": pa.array(scores),
            "p_value": pa.array(self.threshold_.p_value(scores)),
            "anomaly": pa.array(self.threshold_.exceeded(scores)),
        }
        return beside(batch, verdicts, self.preparation_.schema_)

    @property
    def explained_names_(self) -> list[str]:
        """The columns that explanations speak of: those of the data, without the ones set aside."""
        check_is_fitted(self, "autoencoder_")
        return list(dict.fromkeys(column.source for column in self.preparation_.schema_.columns))

    @property
    def offset_(self) -> float:
        """The ``score_samples`` below which a row is an anomaly."""
        check_is_fitted(self, "autoencoder_")
        return -self.threshold_.cut_

    def _views(self, x: Tensor) -> dict[str, Tensor]:
        """The raw score of each view, shape (n,)."""
        views = {"surprise": self._paid(x)[1]}
        return views if self.neighbours_ is None else views | {"distance": self.neighbours_(x)}

    def _paid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the autoencoder pays for each value and for each row; in images for a pixel with those around it."""
        if self.preparation_.schema_.kind != "image":
            trip = self.autoencoder_(x)
            return trip.errors, cost(trip)
        least, signed, price = self.autoencoder_.deviations(x)
        errors = torch.where(x.isnan(), 0.0, least + smoothed(signed).square() / 2)
        return errors, errors.flatten(1).sum(1) + price

    def _verdict(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self._pooled({name: raw.numpy() for name, raw in self._views(x).items()}))

    def _pooled(self, views: Mapping[str, np.ndarray]) -> np.ndarray:
        return pooled(_nats(self.evidence_, views))

    def _contributions(self, x: Tensor) -> Tensor:
        """The score, divided among the views by their evidence, and then by what the values added to each view."""
        nats = _nats(self.evidence_, {name: raw.numpy() for name, raw in self._views(x).items()})
        score, total = pooled(nats) / np.sum(nats, axis=0), torch.zeros(x.shape, dtype=torch.float64).flatten(1)
        for each, part in zip(nats, self._parts(x).values(), strict=True):
            shares = (part.double() + 1e-12 * learned(self.preparation_.schema_, x)).flatten(1)
            total += torch.from_numpy(score * each).unsqueeze(1) * shares / shares.sum(1, keepdim=True)
        return total.view(x.shape)

    def _parts(self, x: Tensor) -> dict[str, Tensor]:
        """What each value adds to each view, at least 0: its error beyond the usual, and its squared distance."""
        parts = {"surprise": (self._paid(x)[0] - self.usual_).clamp_min(0)}
        return parts if self.neighbours_ is None else parts | {"distance": self.neighbours_.terms(x)}

    def _trial(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Whether a copy of each row with one value from another row goes unnoticed: 1, noticed: 0, a draw: 1/2.

        Of images and series it is a part, half as wide as the row along every axis.
        """
        copy = torch.where(somewhere(x), torch.roll(x, 1, 0), x)
        deep, linear = (
            ((score(copy) < score(x)).double() + (score(copy) <= score(x)).double()) / 2
            for score in (self._verdict, lambda rows: self.linear_(rows).nll)
        )
        return deep, linear

    @property
    def _rehearsals(self) -> int:
        return int(self.training == "contaminated")

    def _rounds(self, train: Batches, held_out: Batches) -> Iterator[tuple[Batches, Batches, Batches]]:
        """Contaminated rows are learned from twice: all of them, then all but the strangest.

        The threshold sees every held-out row both times, so that anomalies among them make p-values too large, not too
        small.
        """
        self.reserve_ = Batch(torch.empty(0, *self.preparation_.schema_.shape))
        if self.training != "contaminated":
            yield train, held_out, held_out
            return
        if not (isinstance(train, Rows) and isinstance(held_out, Rows)):
            raise InvalidParameter(
                "training='contaminated' scores the rows it learns from and needs them in memory; this file is too "
                "large for that. Fit a sample of its rows, or leave out known anomalies and fit as 'mostly normal'."
            )
        yield train, held_out, held_out
        kept = self._sifted(train)
        yield (kept, kept, kept) if held_out is train else (kept, self._sifted(held_out), held_out)

    def _recalled(self, new: Rows) -> tuple[Rows, Rows]:
        """The new rows together with the kept ones: to train on, and to calibrate with."""
        new = self._sifted(new) if self.training == "contaminated" else new
        luck = np.random.default_rng(mix(self.seed_, self.rows_seen_)).random()  # so that single rows are held out too
        count = uncut(new.all.x, int(new.rows * self.validation + luck))
        self.reserve_ = joined(self.reserve_, new[:count].all)
        train, held_out = (Rows(each.x, each.weight) for each in (joined(self.memory_, new[count:].all), self.reserve_))
        return train, held_out if held_out.rows > 1 else train

    def _sifted(self, rows: Rows) -> Rows:
        """The rows without the strangest; their numbers go to ``dropped_rows_``."""
        order = np.argsort(self._pooled(self._raw(rows.all.x)), kind="stable")
        count = len(order) - int(STRANGEST * len(order))
        self.dropped_rows_ = np.union1d(self.dropped_rows_, rows.numbers[order[count:]])
        return rows[torch.from_numpy(np.sort(order[:count]))]

    def _calibrate(self, train: Batches, held_out: Batches) -> None:
        self.memory_ = drawn(train, REHEARSED, self.seed_)
        self.neighbours_ = self._placed(train) if self.neighbours else None
        rows = self.memory_ if held_out is train else drawn(held_out, CALIBRATION, self.seed_)
        views = self._raw(rows.x)
        self.evidence_ = _evidence(views, rows.weights)
        self.usual_ = _usual(self._each(rows.x, lambda x: self._paid(x)[0]), rows)
        self.threshold_ = self._threshold(len(rows)).fit(_crossed(views, rows.weights), rows.weights)
        if held_out is not train:
            self.reserve_ = drawn(Rows(rows.x, rows.weight), RESERVE, self.seed_)

    def _placed(self, train: Batches) -> Neighbours:
        """Where normal rows are, found among a bounded sample; fewer places hold no place for rare strange rows."""
        schema = self.preparation_.schema_
        values = cells(schema)
        some = drawn(train, max(2, min(CLUSTERED, VALUES // values)), self.seed_)
        count = -(-self.neighbours // 4) if self.training == "contaminated" else self.neighbours
        count = min(count, max(GROUPS, KEPT // values))
        return Neighbours.learn(schema, some.x, count, some.weight, self.seed_)

    def _threshold(self, rows: int) -> Threshold:
        """A threshold to fit to as many rows; the default marks the strangest of them, if not more than 1 in 20."""
        if isinstance(self.threshold, Threshold):
            return clone(self.threshold)
        return Conformal(min(max(RARE, 2 / (rows + 1)), FEW) if self.threshold is None else self.threshold)

    @property
    def _placed_by(self) -> tuple[str, ...]:
        """What the neighbours are kept by."""
        return PLACED if self.preparation_.schema_.conditional else PLACED[:-1]

    def _raw(self, x: Tensor) -> dict[str, np.ndarray]:
        """The views of many rows."""
        with torch.inference_mode():
            blocks = [self._views(block) for block in x.split(BLOCK)]
        return {name: torch.cat([block[name] for block in blocks]).numpy() for name in blocks[0]}

    def _state(self) -> dict[str, Tensor]:
        state = {f"threshold.{name}": torch.as_tensor(each) for name, each in self.threshold_.state().items()}
        for view, evidence in self.evidence_.items():
            state |= {f"{view}.{name}": torch.as_tensor(each) for name, each in evidence.state().items()}
        if self.neighbours_ is not None:
            state |= {name: getattr(self.neighbours_, name) for name in self._placed_by}
        for name, rows in {"memory": self.memory_, "reserve": self.reserve_}.items():
            state |= {f"{name}.x": rows.x, f"{name}.weight": rows.weights}
        return state | {"usual": self.usual_}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        self.usual_ = state["usual"]
        schema, near = self.preparation_.schema_, "scale" in state
        self.memory_ = Batch(state["memory.x"], state["memory.weight"])
        self.reserve_ = Batch(state["reserve.x"], state["reserve.weight"])
        self.neighbours_ = Neighbours(schema, *(state[name] for name in self._placed_by)) if near else None
        views = ["surprise", "distance"] if near else ["surprise"]
        self.evidence_ = {view: Evidence().restore(_part(state, view)) for view in views}
        self.threshold_ = self._threshold(len(self.reserve_)).restore(_part(state, "threshold"))


def _evidence(views: Mapping[str, np.ndarray], weight: Tensor) -> dict[str, Evidence]:
    return {name: Evidence().fit(raw, weight) for name, raw in views.items()}


def _usual(errors: Tensor, rows: Batch) -> Tensor:
    """The mean error of each value where it is there, by the weights of the rows; 0 where it never is."""
    shares = rows.weights.view(-1, *[1] * (errors.dim() - 1)) * ~rows.x.isnan()
    return ((errors * shares).sum(0) / shares.sum(0)).nan_to_num(0.0)


def _nats(evidence: Mapping[str, Evidence], views: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return [evidence[name](raw) for name, raw in views.items()]


def _crossed(views: Mapping[str, np.ndarray], weight: Tensor) -> np.ndarray:
    """The score of each held-out row by evidence learned from other held-out rows, as that of a new row is."""
    scores = np.empty(len(weight))
    fold = np.arange(len(weight)) % FOLDS
    for rows in (fold == each for each in range(min(FOLDS, len(weight)))):
        others = rows if rows.all() else ~rows
        evidence = _evidence({name: raw[others] for name, raw in views.items()}, weight[others])
        scores[rows] = pooled(_nats(evidence, {name: raw[rows] for name, raw in views.items()}))
    return scores


def _part(state: Mapping[str, Tensor], name: str) -> dict[str, np.ndarray]:
    return {key: each.numpy() for key, each in group(state, name).items()}


def _briefly(trainer: Trainer) -> Trainer:
    """The same training for a few epochs, and apart from its checkpoint."""
    return clone(trainer).set_params(epochs=min(trainer.epochs or FURTHER, FURTHER), checkpoint=None)
