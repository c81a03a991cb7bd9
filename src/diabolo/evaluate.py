"""How good scores, clusters and codes are where the truth is known; how probable rows are to a model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from diabolo.autoencoder import Autoencoder
from diabolo.batches import Batch, contents
from diabolo.bottlenecks import Random
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.randomness import mix, seeded

if TYPE_CHECKING:
    from jaxtyping import Float

if TYPE_CHECKING:
    from diabolo.tasks.task import Task

_WORDS = {"false": False, "true": True, "normal": False, "anomaly": True}
_NUMBERS = ({"0": False, "1": True}, {"-1": True, "1": False})
ALLOWED = "0/1, false/true, normal/anomaly, or 1/-1 where -1 is the anomaly, as scikit-learn has it"
FOLDS = 5  # of the rows, each told by a classifier of the others
_CELLS = 4_000_000  # bootstrap counts, or values of decoded draws, held at once


class Estimate(NamedTuple):
    """A figure and the ends of its interval."""

    value: float
    low: float
    high: float


def anomalies(labels: Any) -> np.ndarray:
    """True where a label says anomaly, shape (n,).

    ``labels`` is an array, a list, a pandas or polars Series or an Arrow array of 0/1, false/true, normal/anomaly
    (upper or lower case) or 1/-1, where -1 is the anomaly. Raises InvalidData for other or missing labels, and where
    all labels are the same.

    >>> anomalies(["normal", "Anomaly", "normal"])
    array([False,  True, False])
    """
    encoded = _column(labels).dictionary_encode()
    if encoded.null_count:
        row = encoded.is_null().index(True).as_py()
        raise InvalidData(f"The label of row {row} is missing. Leave out the rows without one. Allowed: {ALLOWED}.")
    words = [_word(value) for value in encoded.dictionary.to_pylist()]
    meaning = _meaning(set(words))
    return np.array([meaning[word] for word in words], dtype=bool)[encoded.indices.to_numpy()]


def _column(labels: Any) -> pa.Array:
    if not isinstance(labels, (pa.Array, pa.ChunkedArray)):
        labels = pa.array(labels.tolist() if isinstance(labels, np.ndarray) else labels, from_pandas=True)
    return labels.combine_chunks() if isinstance(labels, pa.ChunkedArray) else labels


def _word(value: Any) -> str:
    """One spelling for 1, 1.0, "1" and " 1 "."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().lower()


def _meaning(words: set[str]) -> dict[str, bool]:
    fitting = [each for each in (_WORDS, *_NUMBERS) if words <= each.keys()]
    if not fitting:
        shown = ", ".join(sorted(words)[:5])
        raise InvalidData(f"The labels are {shown}{', ...' if len(words) > 5 else ''}. Allowed: {ALLOWED}.")
    if len(words) < 2:
        raise InvalidData(
            f"Every label is {next(iter(words), 'absent')}; rows of both kinds are needed. Allowed: {ALLOWED}."
        )
    return fitting[0]


def detection(
    labels: Any, scores: Any, predicted: Any = None, *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Estimate]:
    """How well ``scores`` (higher = stranger) and the decisions ``predicted`` (True = anomaly) find the anomalies.

    ``auroc`` is P(score of an anomaly > score of a normal row), a tie counting one half; ``average_precision`` is
    ``sum_k (R_k - R_{k-1}) P_k`` over the distinct scores, so rows that tie are taken together. With ``predicted``
    come ``f1``, ``precision``, ``recall`` and ``false_positive_rate``. ``labels`` are those of :func:`anomalies`.

    The intervals are percentiles of ``samples`` bootstrap samples (Efron, 1979), drawn from the anomalies and from
    the normal rows apart, so that both keep their number; the same ``seed`` gives the same intervals. Raises
    InvalidData for unusable labels or scores, InvalidParameter for decisions that are not true or false.

    >>> figures = detection([0, 0, 0, 1], [0.1, 0.2, 0.9, 0.8])
    >>> round(figures["auroc"].value, 3), figures["average_precision"].value
    (0.667, 0.5)
    """
    truth = anomalies(labels)
    groups = _groups(truth, _checked(scores, len(truth)))
    rng = np.random.default_rng(seed)
    figures = _estimates(_ranking(groups), _ranked_samples(groups, samples, rng), level)
    if predicted is None:
        return figures
    found = _confusion(truth, _decisions(predicted, len(truth)))
    return figures | _estimates(_decided(found), _decided(_confusion_samples(found, samples, rng)), level)


def clustering(
    labels: Any, clusters: Any, *, samples: int = 200, level: float = 0.95, seed: int = 0
) -> dict[str, Estimate]:
    """How well ``clusters`` match ``labels``, any values, one per row; names of clusters play no part.

    ``accuracy`` is the share of rows whose cluster is the one given to their label, one cluster per label at the most,
    in the best way there is (Kuhn, 1955); ``nmi`` the mutual information over the mean of the two entropies;
    ``ari`` the Rand index adjusted for chance (Hubert and Arabie, 1985). Intervals are percentiles of ``samples``
    bootstrap samples of the rows. Raises InvalidData for missing labels or where the numbers of rows differ.

    >>> figures = clustering(["a", "a", "b", "b"], [1, 1, 0, 2])
    >>> figures["accuracy"].value, round(figures["ari"].value, 3)
    (0.75, 0.571)
    """
    truth, found = _classes(labels), _classes(clusters)
    if len(truth) != len(found):
        raise InvalidData(f"There are {len(truth)} labels and {len(found)} clusters; give one of each per row.")
    counts = np.zeros((truth.max() + 1, found.max() + 1), np.int64)
    np.add.at(counts, (truth, found), 1)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(truth), counts.ravel() / len(truth), size=samples).reshape(samples, *counts.shape)
    figures = {name: each[0] for name, each in _matches(counts[None]).items()}
    return _estimates(figures, _matches(drawn), level)


def embedding(
    labels: Any, codes: Any, *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Estimate]:
    """How well ``codes`` (n, numbers) tell ``labels`` of rows that a classifier has not seen.

    ``knn_accuracy`` is the share of rows told by their 5 nearest neighbours, ``linear_probe_accuracy`` by logistic
    regression on standardised codes, both in 5-fold cross-validation with shuffled folds. Intervals are percentiles of
    ``samples`` bootstrap samples. Raises InvalidData for labels that are missing or of which some are in fewer than 5
    rows.

    >>> codes = np.r_[np.zeros(10), np.ones(10)][:, None] + np.linspace(0, 0.1, 20)[:, None]
    >>> embedding(["low"] * 10 + ["high"] * 10, codes)["knn_accuracy"].value
    1.0
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    truth, codes = _classes(labels), np.asarray(codes, dtype=np.float64)
    if len(np.unique(truth)) < 2 or np.bincount(truth).min() < FOLDS or len(codes) != len(truth):
        raise InvalidData(
            f"Labels of two kinds or more are needed, each for {FOLDS} rows or more, and one code per label; there are "
            f"{len(truth)} labels and {len(codes)} codes. Leave out rare labels, or give more rows."
        )
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    told = {"knn_accuracy": KNeighborsClassifier(), "linear_probe_accuracy": probe}
    folds, rng = StratifiedKFold(FOLDS, shuffle=True, random_state=seed), np.random.default_rng(seed)
    shares = {name: (cross_val_predict(each, codes, truth, cv=folds) == truth).mean() for name, each in told.items()}
    drawn = {name: rng.binomial(len(truth), each, samples) / len(truth) for name, each in shares.items()}
    return _estimates(shares, drawn, level)


def copying(
    task: Task, new: Any, train: Any, others: Any, *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Estimate]:
    """Whether ``new`` rows lie closer to the rows they were learned from than to ``others`` of the same origin.

    ``closer_to_training`` is the share of new rows whose nearest neighbour among as many rows of both is one of
    ``train``: 0.5 where nothing was copied. ``distance_to_training`` and ``distance_to_others`` are the mean distances
    to the nearest row of each, over the columns as ``task`` prepares them, in standard deviations. A share near 0.5
    finds no copies; it proves no privacy. Raises InvalidData for fewer than 2 rows.
    """
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(seed)
    points = [_points(task, each) for each in (new, train, others)]
    count = min(len(points[1]), len(points[2]))
    if min(count, len(points[0])) < 2:
        raise InvalidData("At least 2 new rows, 2 training rows and 2 others are needed to compare distances.")
    near = [
        NearestNeighbors(n_neighbors=1).fit(rng.permutation(each)[:count]).kneighbors(points[0])[0][:, 0]
        for each in points[1:]
    ]
    closer = (near[0] < near[1]) + (near[0] == near[1]) / 2
    figures = {"closer_to_training": closer, "distance_to_training": near[0], "distance_to_others": near[1]}
    picks = rng.integers(len(closer), size=(samples, len(closer)))
    drawn = {name: np.array([each[pick].mean() for pick in picks]) for name, each in figures.items()}
    return _estimates({name: each.mean() for name, each in figures.items()}, drawn, level)


def _points(task: Task, rows: Any) -> np.ndarray:
    """Rows as places whose distances mean something: standardised numbers, a 0 or 1 per category."""
    x = task.preparation_.transform(task.rows(rows))
    return task.linear_.encoder.features(x).flatten(1).numpy()  # type: ignore[operator]


def read(task: Task) -> list[str]:
    """The columns of what ``task.run`` says that are compared with labels.

    Raises InvalidParameter for a task whose answers labels have no say in.
    """
    return _compared(task)[0]


def judged(task: Task, labels: Any, *told: Any) -> dict[str, Estimate]:
    """The figures that suit a task: those of ``detection``, ``clustering`` or ``embedding``.

    ``told`` are the columns that ``read`` names.
    """
    return _compared(task)[1](labels, *told)


def _compared(task: Task) -> tuple[list[str], Callable[..., dict[str, Estimate]]]:
    from diabolo.tasks.anomaly_detector import AnomalyDetector
    from diabolo.tasks.clusterer import Clusterer
    from diabolo.tasks.embedder import Embedder

    if isinstance(task, AnomalyDetector):
        return ["anomaly_score", "anomaly"], lambda labels, scores, marked: detection(labels, scores, marked.to_numpy())
    if isinstance(task, Clusterer):
        return ["cluster"], clustering
    if isinstance(task, Embedder):
        return list(task.get_feature_names_out()), lambda labels, *codes: embedding(labels, np.column_stack(codes))
    raise InvalidParameter(
        "Labels are compared with what a detector, a clusterer or an embedder says; this is a model of the task "
        f"{type(task).__name__}. Make one: diabolo fit detect (or cluster, or embed) DATA -o MODEL"
    )


def _classes(labels: Any) -> np.ndarray:
    """Labels of any kind as whole numbers from 0 on."""
    encoded = _column(labels).dictionary_encode()
    if not len(encoded):
        raise InvalidData("There are no labels; give one per row.")
    if encoded.null_count:
        row = encoded.is_null().index(True).as_py()
        raise InvalidData(f"The label of row {row} is missing. Leave out the rows without one.")
    return encoded.indices.to_numpy()


def _matches(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy, NMI and ARI from counts of shape (samples, labels, clusters)."""
    from scipy.optimize import linear_sum_assignment

    n = counts.sum((1, 2)).astype(float)
    best = np.array([each[linear_sum_assignment(-each)].sum() for each in counts])
    labels, clusters = counts.sum(2), counts.sum(1)
    entropies = [_entropy(each) for each in (labels, clusters)]
    shared = sum(entropies) - _entropy(counts.reshape(len(counts), -1))
    pairs, all_pairs = [_pairs(each) for each in (labels, clusters)], n * (n - 1) / 2
    chance = pairs[0] * pairs[1] / np.maximum(all_pairs, 1)
    room = sum(pairs) / 2 - chance
    ari = np.where(room > 0, (_pairs(counts.reshape(len(counts), -1)) - chance) / np.where(room > 0, room, 1.0), 1.0)
    nmi = np.where(sum(entropies) > 0, 2 * shared / np.where(sum(entropies) > 0, sum(entropies), 1.0), 1.0)
    return {"accuracy": best / n, "nmi": nmi.clip(0, 1), "ari": ari}


def _entropy(counts: np.ndarray) -> np.ndarray:
    share = counts / counts.sum(-1, keepdims=True)
    return -(share * np.log(np.where(share > 0, share, 1.0))).sum(-1)


def _pairs(counts: np.ndarray) -> np.ndarray:
    return (counts * (counts - 1.0) / 2).sum(-1)


def _checked(scores: Any, rows: int) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape != (rows,):
        raise InvalidData(
            f"There are {rows} labels but the scores have shape {scores.shape}; give one score per label."
        )
    if np.isnan(scores).any():
        raise InvalidData(f"The score of row {int(np.isnan(scores).argmax())} is NaN; a score must be a number.")
    return scores


def _decisions(predicted: Any, rows: int) -> np.ndarray:
    predicted = np.asarray(predicted)
    if predicted.dtype != bool or predicted.shape != (rows,):
        raise InvalidParameter(
            f"'predicted' must be {rows} booleans, True for an anomaly, such as predict(X) == -1. "
            f"Got {predicted.dtype} of shape {predicted.shape}."
        )
    return predicted


def _groups(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """How many anomalies and normal rows there are, group by group from the highest score down, shape (2, groups).

    A group is one distinct score. Neighbouring groups without an anomaly are put together: neither figure can tell
    them apart, and a bootstrap sample then costs as much as there are anomalies, not rows.
    """
    order = np.argsort(-scores, kind="stable")
    scores, truth = scores[order], truth[order]
    first = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
    hits = np.add.reduceat(truth, first, dtype=np.int64)
    counts = np.stack([hits, np.diff(np.append(first, len(scores))) - hits])
    kept = np.flatnonzero(np.append(True, (hits[1:] > 0) | (hits[:-1] > 0)))
    return np.add.reduceat(counts, kept, axis=1)


def _ranking(groups: np.ndarray) -> dict[str, np.ndarray]:
    """AUROC and average precision from counts of shape (..., 2, groups)."""
    hits, others = groups[..., 0, :], groups[..., 1, :]
    above = hits.cumsum(-1)
    reached = above + others.cumsum(-1)
    all_hits, all_others = hits.sum(-1), others.sum(-1)
    auroc = (others * (above - hits / 2)).sum(-1) / (all_hits * all_others)
    precision = (hits * above / np.maximum(reached, 1)).sum(-1) / all_hits
    return {"auroc": auroc, "average_precision": precision}


def _ranked_samples(groups: np.ndarray, samples: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    step = max(1, _CELLS // groups.shape[1])
    parts = [_ranking(_resampled(groups, min(step, samples - done), rng)) for done in range(0, samples, step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _resampled(groups: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    drawn = [rng.multinomial(kind.sum(), kind / kind.sum(), size=samples) for kind in groups]
    return np.stack(drawn, axis=1)


def _confusion(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Found anomalies, missed ones, false alarms, quiet normal rows, shape (4,)."""
    pairs = ((truth, predicted), (truth, ~predicted), (~truth, predicted), (~truth, ~predicted))
    return np.array([(one & other).sum() for one, other in pairs])


def _confusion_samples(found: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    hits = rng.multinomial(found[:2].sum(), found[:2] / found[:2].sum(), size=samples)
    alarms = rng.multinomial(found[2:].sum(), found[2:] / found[2:].sum(), size=samples)
    return np.concatenate([hits, alarms], axis=1)


def _decided(found: np.ndarray) -> dict[str, np.ndarray]:
    """The figures of decisions; the precision of no alarm at all is taken as 0."""
    hits, missed, alarms, quiet = np.moveaxis(found, -1, 0)
    return {
        "f1": 2 * hits / (2 * hits + alarms + missed),
        "precision": hits / np.maximum(hits + alarms, 1),
        "recall": hits / (hits + missed),
        "false_positive_rate": alarms / (alarms + quiet),
    }


def _estimates(values: dict[str, np.ndarray], drawn: dict[str, np.ndarray], level: float) -> dict[str, Estimate]:
    ends = [(1 - level) / 2, (1 + level) / 2]
    return {name: Estimate(float(values[name]), *map(float, np.quantile(drawn[name], ends))) for name in values}


def importance_bound(
    autoencoder: Autoencoder,
    x: Float[Tensor, "n *features"],
    samples: int = 5000,
    *,
    given: Float[Tensor, "n given"] | None = None,
    seed: int = 0,
) -> Float[Tensor, "n"]:
    """-log p of each row in nats, bounded from above by weighed draws of its code (Burda et al., 2016,
    arXiv:1509.00519).

    ``-log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x)`` with K = ``samples``. Its mean over all draws falls with K and
    reaches -log p; K = 1 gives the VAE's bound, without the prices (``beta``, free bits) of training. Of a row that
    lacks values, p is that of the others. The draws follow from ``seed`` and the row's values: a row alone gets what it
    gets among others, and the random state and the mode are left as they were. Raises InvalidParameter for an ensemble,
    and where the code is not drawn.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import VAE
    >>> importance_bound(VAE(latent=2).build(numbers(5)), torch.zeros(3, 5), samples=10).shape
    torch.Size([3])
    """
    _check_drawn(autoencoder, samples)
    training = autoencoder.training
    autoencoder.eval()
    try:
        with torch.inference_mode():
            h, rows = autoencoder.encoder(x, given), Batch(x, given=given)
            places = [slice(row, row + 1) for row in range(len(x))]
            seeds = [mix(seed, own) for own in contents(x).tolist()]
            return torch.cat(
                [_bound(autoencoder, h[at], rows[at], samples, own) for at, own in zip(places, seeds, strict=True)]
            )
    finally:
        autoencoder.train(training)


def _check_drawn(autoencoder: Autoencoder, samples: int) -> None:
    if not isinstance(getattr(autoencoder, "bottleneck", None), Random):
        raise InvalidParameter(
            f"The code of {type(autoencoder).__name__} is not drawn: take a single VAE, or another variant of its kind."
        )
    if samples < 1:
        raise InvalidParameter(f"samples must be an int >= 1. Got {samples}.")


def _bound(autoencoder: Autoencoder, h: Tensor, row: Batch, samples: int, seed: int) -> Float[Tensor, "1"]:
    """The bound of one row, from as many draws at once as there is room for."""
    step = max(1, _CELLS // row.x.numel())
    with seeded(seed):
        costs = [_costs(autoencoder, h, row, min(step, samples - done)) for done in range(0, samples, step)]
    return math.log(samples) - torch.logsumexp(-torch.cat(costs), 0, keepdim=True)


def _costs(autoencoder: Autoencoder, h: Tensor, row: Batch, samples: int) -> Float[Tensor, "samples"]:
    """``-log p(x | z) - log p(z) + log q(z | x)`` of draws for one row."""
    z, nats = autoencoder.bottleneck.propose(h.expand(samples, *h.shape[1:]), 1)  # type: ignore[operator]
    output = autoencoder.decoder(z, None if row.given is None else row.given.expand(samples, -1))
    errors = autoencoder.likelihood.errors(output, row.x.nan_to_num(0.0).expand(samples, *row.x.shape[1:]))
    return torch.where(row.x.isnan(), 0.0, errors).flatten(1).sum(1) + nats
