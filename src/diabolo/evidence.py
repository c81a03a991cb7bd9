"""Scores as evidence: how surprising a score is among held-out normal rows, in nats.

    scores of held-out normal rows -> Sample (distinct values, rows at each) -> Tail (the upper end, fitted)
                                                        |                            |
    a new score ------------------------------> empirical survival  ------->  extrapolated survival -> -log p

One score in metres and another in counts become the same unit, and ``pooled`` makes one number of several views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import NotFittedError

from diabolo.errors import InvalidArtifact, InvalidData
from diabolo.params import Params, Within

Array = npt.NDArray[np.float64]
Shape = Literal["exponential", "heavy", "free"]

LARGEST = 1e150  # beyond it, squares leave float64
SMALLEST = 1e-150  # below it, a score counts as 0, so that no slope overflows
FAINTEST = 1e-9  # a row weighing less than this part of the heaviest counts as none
EXCESSES = 10  # a scale is never learned from fewer, if there are more scores at all
PRIOR = 10.0  # excesses that the exponential shape counts for against the fitted one
THINNED = 8192  # excesses that a shape is fitted to; more would move it by less than 0.01
DEPTH = 7  # a table of 2 ** DEPTH - 1 knots is searched in DEPTH steps
FEW = 1000  # scores that a plain search finds sooner
CHUNK = 16_384  # scores looked up at a time, so that they stay in the cache


@dataclass(frozen=True)
class Sample:
    """Distinct scores in ascending order and the rows at each.

    ``mass`` counts rows; under weights ``w`` it adds up to Kish's effective number of rows,
    ``sum(w)**2 / sum(w**2)``, so uneven weights make every estimate more cautious.

    >>> Sample.of([3.0, 1.0, 3.0])
    Sample(values=array([1., 3.]), mass=array([1., 2.]))
    """

    values: Array
    mass: Array

    @classmethod
    def of(cls, scores: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> Self:
        """The sample of scores (n,) and weights (n,); raises InvalidData for anything but finite numbers."""
        scores = _checked_scores(scores)
        if weight is None:
            values, count = np.unique(scores, return_counts=True)
            return cls(values, count.astype(np.float64))
        weight = _checked_weight(weight, len(scores))
        values, place = np.unique(scores[weight > 0], return_inverse=True)
        kept = weight[weight > 0]
        return cls(values, np.bincount(place, kept) * (kept.sum() / np.square(kept).sum()))

    @property
    def size(self) -> float:
        """The (effective) number of rows."""
        return float(self.mass.sum())

    @property
    def at_least(self) -> Array:
        """Rows at or above each value."""
        return np.cumsum(self.mass[::-1])[::-1]

    @property
    def above(self) -> Array:
        """Rows strictly above each value."""
        return np.append(self.at_least[1:], 0.0)

    def quantile(self, level: float) -> float:
        """The smallest value with at least the share ``level`` of the rows at or below it."""
        beyond = self.above <= (1 - level) * self.size * (1 + 1e-12)
        return float(self.values[np.argmax(beyond)])

    @property
    def median(self) -> float:
        """Between the smallest value with half of the rows at or below it and the largest with half at or above it."""
        half = self.at_least >= 0.5 * self.size * (1 - 1e-12)
        return (self.quantile(0.5) + float(self.values[half][-1])) / 2

    def upper(self, level: float) -> float:
        """The smallest value with at most the share ``1 - level`` at or above it, or the largest value.

        It is the next value after the quantile, so what lies beyond it has a small probability even under ties.
        """
        rare = self.at_least <= (1 - level) * self.size * (1 + 1e-12)
        return float(self.values[np.argmax(rare) if rare.any() else -1])


@dataclass(frozen=True)
class Tail:
    """The survival beyond ``start``: generalised Pareto, p(s) / p(start) = (1 + shape (s - start) / scale)^(-1/shape).

    Shape 0 is the exponential; below 0 the scores have an upper end. Pickands (1975): beyond a high quantile the
    excesses of nearly every distribution come near this family.
    """

    start: float
    scale: float
    shape: float

    @classmethod
    def fit(cls, sample: Sample, level: float, shape: Shape) -> Self:
        """The tail beyond the upper value of ``level``, from the scores above it or the ten largest if those are more.

        ``shape`` "exponential" keeps 0, "heavy" fits a number >= 0, so that no score is impossible, "free" any. One
        distinct score says nothing about a scale: its own size is taken, or 1 if it is 0.
        """
        start = sample.upper(level)
        origin = min(start, float(sample.values[-EXCESSES - 1 :][0]))
        beyond = sample.values > origin
        if not beyond.any():
            return cls(start, abs(start) or 1.0, 0.0)
        scale, fitted = _fitted(sample.values[beyond] - origin, sample.mass[beyond], shape)
        return cls(start, max(scale + fitted * (start - origin), scale * 1e-3), fitted)

    def hazard(self, scores: Array) -> Array:
        """-log p(s) / p(start) in nats; 0 up to the start."""
        with np.errstate(over="ignore", divide="ignore"):
            excess = np.maximum(scores - self.start, 0.0) / self.scale
            return np.log1p(np.maximum(self.shape * excess, -1.0)) / self.shape if self.shape else excess

    def score(self, hazard: float) -> float:
        """The score whose hazard this is: the inverse of ``hazard``."""
        excess = np.expm1(self.shape * hazard) / self.shape if self.shape else hazard
        return float(self.start + self.scale * excess)

    def state(self) -> Array:
        return np.array([self.start, self.scale, self.shape])

    @classmethod
    def restore(cls, state: Mapping[str, npt.ArrayLike]) -> Self:
        start, scale, shape = kept(state, "tail", 3)
        if not scale > 0:
            raise InvalidArtifact(f"The tail kept in the file has the scale {scale:g}; it must be > 0. Fit again.")
        return cls(float(start), float(scale), float(shape))


class Evidence(Params):
    """A strictly increasing map from a score to -log p(score >= s) among held-out normal rows, in nats.

    With n rows, k of them at or above s: ``p = (1/2 + k) / (n + 1)``, linear in nats between the rows, up to the
    quantile ``start``; beyond it a fitted tail, so that larger scores keep their order for ever. The evidence of
    normal rows is close to Exp(1): mean 1 nat. Below the smallest row it falls towards 0 and never reaches it.

    The table is bounded (127 knots), whatever the number of rows.

    >>> evidence = Evidence().fit(np.arange(1000.0))
    >>> evidence([0.0, 500.0, 900.0, 5000.0]).round(1)
    array([ 0. ,  0.7,  2.3, 84.3])
    """

    start: Annotated[float, Within(0, 1), "quantile of the normal rows at which the fitted tail begins"] = 0.9
    tail: Annotated[Literal["exponential", "pareto"], "tail: linear in the score, or logarithmic (heavy)"] = (
        "exponential"
    )

    def fit(self, scores: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> Self:
        """Learn the map from scores (n,) of normal rows that were held out of training, n >= 1.

        Raises InvalidData for NaN, infinite or no scores.
        """
        self.check_params()
        sample = Sample.of(scores, weight)
        nats = -np.log((sample.at_least + 0.5) / (sample.size + 1.0))
        last = int(np.searchsorted(sample.values, sample.upper(self.start)))
        places = np.unique(np.searchsorted(nats[: last + 1], np.linspace(nats[0], nats[last], 2**DEPTH - 1)))
        shape: Shape = "exponential" if self.tail == "exponential" else "heavy"
        return self._learn(sample.values[places], nats[places], Tail.fit(sample, self.start, shape))

    def __call__(self, scores: npt.ArrayLike) -> Array:
        """Evidence in nats, of the shape of ``scores``; +inf has infinite evidence, NaN raises InvalidData."""
        if not hasattr(self, "knots_"):
            raise NotFittedError("This Evidence knows no normal rows yet: call fit(scores) first.")
        given = comparable(scores)
        flat = given.reshape(-1)
        out = np.empty_like(flat)
        for begin in range(0, len(flat), CHUNK):
            rows = slice(begin, begin + CHUNK)
            self._look_up(flat[rows], out[rows])
        return out.reshape(given.shape)

    def state(self) -> dict[str, Array]:
        """All that was learned, as arrays: ``knots`` (k,), ``nats`` (k,) and ``tail`` (3,)."""
        return {"knots": self.knots_, "nats": self.nats_, "tail": self.tail_.state()}

    def restore(self, state: Mapping[str, npt.ArrayLike]) -> Self:
        """The inverse of ``state``; raises InvalidArtifact for arrays that are no such map."""
        knots, nats = kept(state, "knots"), kept(state, "nats")
        rising = np.all(np.diff(knots) > 0) and np.all(np.diff(nats) > 0)
        if len(knots) != len(nats) or len(knots) >= 2**DEPTH or not rising or nats[0] <= 0:
            raise InvalidArtifact("The evidence kept in the file is not an increasing table. Fit again.")
        return self._learn(knots, nats, Tail.restore(state))

    def _learn(self, knots: Array, nats: Array, tail: Tail) -> Self:
        self.knots_, self.nats_, self.tail_ = knots, nats, tail
        self._ladder = np.append(knots, np.full(2**DEPTH - 1 - len(knots), np.inf))
        self._left = np.append(knots[0], knots)
        self._base = np.append(nats[0], nats)
        self._slope = np.concatenate([[0.0], np.diff(nats) / np.diff(knots), [0.0]])
        return self

    def _look_up(self, scores: Array, out: Array) -> None:
        inside = np.minimum(np.maximum(scores, self.knots_[0]), self.knots_[-1])
        place = _below(self._ladder, inside)
        np.subtract(inside, self._left.take(place), out=out)
        out *= self._slope.take(place)
        out += self._base.take(place)
        beyond, before = scores > self.knots_[-1], scores < self.knots_[0]
        if beyond.any():
            out[beyond] = self.nats_[-1] + self.tail_.hazard(scores[beyond])
        if before.any():
            out[before] = self._faint(scores[before])

    def _faint(self, scores: Array) -> Array:
        """Evidence below the smallest row: positive, and smaller the further."""
        with np.errstate(over="ignore"):
            return np.asarray(self.nats_[0] / (1.0 + (self.knots_[0] - scores) / self.tail_.scale))


def pooled(nats: Sequence[Array]) -> Array:
    r"""The evidence of several views of the same rows, each (n,), in nats: ``log(mean_v exp(nats_v))``.

    It is -log of the harmonic mean of their p (Wilson, 2019, PNAS 116, 1195-1200), which holds for views that depend on
    each other, as those of one row do; a sum (Fisher, 1932) would count twice what two views see. What only one view
    sees loses no more than the log of the number of views.

    >>> pooled([np.array([1.0, 9.0]), np.array([1.0, 1.0])]).round(1)
    array([1. , 8.3])
    """
    return reduce(np.logaddexp, nats) - np.log(len(nats))


def _below(ladder: Array, scores: Array) -> npt.NDArray[np.intp]:
    """How many knots are below each score; the same steps for every score, hence no mispredicted branch."""
    if len(scores) < FEW:
        return np.searchsorted(ladder, scores)
    place = np.zeros(len(scores), np.intp)
    for step in (1 << bit for bit in reversed(range(DEPTH))):
        place += (ladder.take(place + (step - 1)) < scores) * step
    return place


def _fitted(excess: Array, mass: Array, shape: Shape) -> tuple[float, float]:
    """Scale and shape of excesses > 0, the shape drawn towards 0 by ``PRIOR`` rows."""
    mean = float(np.average(excess, weights=mass))
    if shape == "exponential" or len(excess) < 2:
        return mean, 0.0
    scale, fitted = pareto(excess / mean, mass)
    shrunk = fitted * mass.sum() / (mass.sum() + PRIOR)
    if shape == "heavy" and shrunk <= 0:
        return mean, 0.0
    return scale * mean, float(shrunk)


def pareto(excess: Array, mass: Array) -> tuple[float, float]:
    """Scale and shape of a generalised Pareto distribution, by the posterior mean of Zhang and Stephens (2009).

    The likelihood is profiled over the shape and averaged over a grid of ``theta = -shape / scale``: close to maximum
    likelihood, without its failures (Technometrics 51, 316-325). ``excess`` (n,) > 0 in ascending order, ``mass`` (n,).

    >>> exponential = -3 * np.log(1 - (np.arange(1000) + 0.5) / 1000)
    >>> scale, shape = pareto(exponential, np.ones(1000))
    >>> round(scale, 1), round(abs(shape), 1)
    (3.0, 0.0)
    """
    excess, mass = _thinned(excess, mass)
    size, weight = mass.sum(), mass / mass.sum()
    quartile = max(excess[np.searchsorted(np.cumsum(weight), 0.25)], excess[-1] * 1e-9)
    count = 20 + int(np.sqrt(size))
    theta = 1 / excess[-1] + (1 - np.sqrt(count / (np.arange(count) + 0.5))) / (3 * quartile)
    theta = np.where(np.abs(theta * excess[-1]) < 1e-9, 1e-9 / excess[-1], theta)
    inner = np.array([_minus_shape(each, excess, weight) for each in theta])
    cost = size * (np.log(theta / inner) + inner - 1)
    belief = np.exp(cost - cost.max())
    best = float(belief @ theta / belief.sum())
    best = best if abs(best * excess[-1]) >= 1e-9 else 1e-9 / float(excess[-1])
    shape = -_minus_shape(best, excess, weight)
    return -shape / best, shape


def _minus_shape(theta: float, excess: Array, weight: Array) -> float:
    return -float(weight @ np.log1p(-theta * excess))


def _thinned(excess: Array, mass: Array) -> tuple[Array, Array]:
    """At most ``THINNED`` excesses, evenly spaced in rank."""
    if len(excess) <= THINNED:
        return excess, mass
    rank = (np.arange(THINNED) + 0.5) / THINNED * mass.sum()
    return excess[np.searchsorted(np.cumsum(mass), rank)], np.full(THINNED, mass.sum() / THINNED)


def comparable(scores: npt.ArrayLike) -> Array:
    """Scores as float64; infinite ones can be compared, NaN cannot and raises InvalidData."""
    given = _numbers(scores, "scores")
    if np.isnan(given).any():
        row = int(np.argmax(np.isnan(given).reshape(-1)))
        raise InvalidData(f"The score at position {row} is NaN. Score rows whose values are finite or missing.")
    return given


def _checked_scores(scores: npt.ArrayLike) -> Array:
    given = _numbers(scores, "scores")
    if given.ndim != 1 or not len(given):
        raise InvalidData(f"Scores must be one number for each of >= 1 rows. Got the shape {given.shape}.")
    wrong = ~(np.abs(given) <= LARGEST)
    if wrong.any():
        raise InvalidData(
            f"{wrong.sum()} of {len(given)} scores are not finite (or beyond {LARGEST:g}); the first is "
            f"{given[np.argmax(wrong)]} at position {np.argmax(wrong)}. Leave these rows out or scale the data down."
        )
    return np.where(np.abs(given) < SMALLEST, 0.0, given)


def _checked_weight(weight: npt.ArrayLike, count: int) -> Array:
    given = _numbers(weight, "weights")
    if given.shape != (count,):
        raise InvalidData(f"Weights must be one number per score, ({count},). Got the shape {given.shape}.")
    top = given.max()
    if not (np.all(given >= 0) and 0 < top < np.inf):
        raise InvalidData("Weights must be finite, >= 0 and not all 0. Drop rows that have no such weight.")
    return np.where(given < top * FAINTEST, 0.0, given / top)


def _numbers(values: npt.ArrayLike, name: str) -> Array:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidData(f"The {name} must be numbers. Got {type(values).__name__} of something else.") from None


def kept(state: Mapping[str, Any], name: str, count: int | None = None) -> Array:
    """The finite, one-dimensional array ``name`` of a state; raises InvalidArtifact if it is something else."""
    if name not in state:
        raise InvalidArtifact(f"The file keeps no array {name!r}; it has {sorted(state)}. Fit again.")
    array = np.array(state[name], dtype=np.float64)
    if array.ndim != 1 or not len(array) or (count or len(array)) != len(array) or not np.isfinite(array).all():
        raise InvalidArtifact(f"The array {name!r} kept in the file is not a list of finite numbers. Fit again.")
    return array
