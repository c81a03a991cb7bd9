"""How well scores and decisions find anomalies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diabolo.errors import InvalidData, InvalidParameter
from diabolo.evaluate.estimates import Estimate, estimates
from diabolo.grids import is_grid
from diabolo.readers.plain import plain_column

_WORDS = {"false": False, "true": True, "normal": False, "anomaly": True}
_NUMBERS = ({"0": False, "1": True}, {"-1": True, "1": False})
ALLOWED = "0/1, false/true, normal/anomaly, or 1/-1 where -1 is the anomaly, as scikit-learn has it"
CELLS = 4_000_000  # bootstrap counts held at once


def anomalies(labels: Any) -> np.ndarray:
    """True where a label says anomaly, shape (n,).

    ``labels`` is an array, a list, a pandas or polars Series or an Arrow array of 0/1, false/true, normal/anomaly
    (upper or lower case) or 1/-1, where -1 is the anomaly. Raises InvalidData for other or missing labels, and where
    all labels are the same.

    >>> anomalies(["normal", "Anomaly", "normal"])
    array([False,  True, False])
    """
    encoded = column(labels).dictionary_encode()
    if encoded.null_count:
        row = encoded.is_null().index(True).as_py()
        raise InvalidData(f"The label of row {row} is missing. Leave out the rows without one. Allowed: {ALLOWED}.")
    words = [_word(value) for value in encoded.dictionary.to_pylist()]
    meaning = _meaning(set(words))
    return np.array([meaning[word] for word in words], dtype=bool)[encoded.indices.to_numpy()]


def column(labels: Any) -> pa.Array:
    """Labels of any kind as an Arrow array; of categories those that occur. Raises InvalidData for others."""
    if not isinstance(labels, (pa.Array, pa.ChunkedArray)):
        try:
            labels = pa.array(labels.tolist() if isinstance(labels, np.ndarray) else labels, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise InvalidData(f"Labels are values of one type, one per row: {error}.") from None
    if pa.types.is_nested(labels.type):
        raise InvalidData(f"Labels are single values, one per row. Got {labels.type}.")
    if is_grid(labels.type):
        raise InvalidData("The labels are images or series. Name a column that holds one value per row.")
    if pa.types.is_floating(labels.type):
        labels = pc.if_else(pc.is_nan(labels), None, labels)
    whole = plain_column(labels.combine_chunks() if isinstance(labels, pa.ChunkedArray) else labels)
    return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole


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
    figures = estimates(_ranking(groups), _ranked_samples(groups, samples, rng), level)
    if predicted is None:
        return figures
    found = _confusion(truth, _decisions(predicted, len(truth)))
    return figures | estimates(_decided(found), _decided(_confusion_samples(found, samples, rng)), level)


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
    step = max(1, CELLS // groups.shape[1])
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
