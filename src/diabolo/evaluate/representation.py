"""How good clusters and codes are where labels are known, and whether new rows are copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from diabolo.errors import InvalidData
from diabolo.evaluate.estimates import Estimate, centred, estimates
from diabolo.evaluate.scores import CELLS, column
from diabolo.networks import Features

if TYPE_CHECKING:
    from diabolo.tasks.task import Task


FOLDS = 5  # of the rows, each told by a classifier of the others


def clustering(
    labels: Any, clusters: Any, *, samples: int = 200, level: float = 0.95, seed: int = 0
) -> dict[str, Estimate]:
    """How well ``clusters`` match ``labels``, any values, one per row; names of clusters play no part.

    ``accuracy`` is the share of rows whose cluster is the one given to their label, one cluster per label at the most,
    in the best way there is (Kuhn, 1955); ``nmi`` the mutual information over the mean of the two entropies;
    ``ari`` the Rand index adjusted for chance (Hubert and Arabie, 1985). Intervals are those of what as
    many rows of this kind say on average, by ``samples`` bootstrap samples of the rows, moved to the figure. With few
    rows per label and cluster accuracy and NMI are larger than those of more rows, and so are their intervals; ARI is
    not. Raises InvalidData for missing labels or where the numbers of rows differ.

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
    figures = {name: each[0] for name, each in _matches(counts[None]).items()}
    step = max(1, CELLS // counts.size)
    parts = [_matches(_resampled(counts, min(step, samples - done), rng)) for done in range(0, samples, step)]
    drawn = {name: np.concatenate([part[name] for part in parts]) for name in figures}
    return estimates(figures, centred(figures, drawn), level)


def _resampled(counts: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Tables of as many rows drawn anew, shape (samples, labels, clusters)."""
    rows = counts.sum()
    return rng.multinomial(rows, counts.ravel() / rows, size=samples).reshape(samples, *counts.shape)


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
    if codes.ndim != 2 or not np.isfinite(codes).all():
        raise InvalidData(
            f"Codes are finite numbers of the shape (n, numbers). Got {codes.shape}: leave out rows with NaN, and give "
            "codes of one number as (n, 1)."
        )
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
    return estimates(shares, drawn, level)


def copying(
    task: Task, new: Any, train: Any, others: Any, *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Estimate]:
    """Whether ``new`` rows lie closer to the rows they were learned from than to ``others`` of the same origin.

    ``closer_to_training`` is the share of new rows whose nearest neighbour among as many rows of both is one of
    ``train``: 0.5 where nothing was copied. ``distance_to_training`` and ``distance_to_others`` are the mean distances
    to the nearest row of each, over the columns as ``task`` prepares them, in standard deviations. A share near 0.5
    finds no copies; it proves no privacy. Raises InvalidData for fewer than 2 rows.

    >>> from diabolo import Synthesizer
    >>> rows = np.random.default_rng(0).normal(size=(200, 3))
    >>> synthesizer = Synthesizer("Linear", random_state=0).fit(rows[:100])
    >>> copying(synthesizer, rows[:50], rows[:100], rows[100:])["closer_to_training"].value  # copies, all of them
    1.0
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
    return estimates({name: each.mean() for name, each in figures.items()}, drawn, level)


def _points(task: Task, rows: Any) -> np.ndarray:
    """Rows as places whose distances mean something: standardised numbers, a 0 or 1 per category."""
    given = task.rows(rows)  # first, since it says so where there was no fit
    x = task.preparation_.transform(given)
    return Features(task.preparation_.schema_)(x).flatten(1).numpy()


def _classes(labels: Any) -> np.ndarray:
    """Labels of any kind as whole numbers from 0 on."""
    encoded = column(labels).dictionary_encode()
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
