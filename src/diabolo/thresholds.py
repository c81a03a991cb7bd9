"""From scores to decisions: where to cut, how sure to be, and how many false alarms to accept in a batch.

    scores of held-out normal rows -> Threshold.fit -> cut_       (score > cut_: an anomaly)
                                                    -> p_value    (how often a normal row scores as high)
                                                         -> false_discovery (which rows of a batch to report)

A threshold only decides where to cut. The p-values are the same for all of them: conformal, hence valid whatever the
distribution of the scores, as long as the calibration rows were not trained on and are exchangeable with the new
normal rows.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import NotFittedError

from diabolo.errors import InvalidArtifact, InvalidData, InvalidParameter
from diabolo.evidence import Array, Sample, Tail, comparable, kept
from diabolo.params import Fraction, Params, Positive, Within

__all__ = [
    "THRESHOLDS",
    "Conformal",
    "MedianDeviation",
    "PeaksOverThreshold",
    "Quantile",
    "Threshold",
    "adjusted",
    "false_discovery",
]

Share = Annotated[float, Within(0, 1, above=True)]
Correction = Literal["bh", "by"]

TAIL_START = 0.9
RESOLUTION = 1000  # a p-value of a thinned calibration is at most 1/RESOLUTION of itself too large


@dataclass(frozen=True)
class Calibration:
    """Conformal p-values: ``p(s) = (1 + rows >= s) / (n + 1)``, n calibration rows.

    P(p <= a) <= a for a new row exchangeable with the calibration rows and every a >= 1 / (n + 1) (Vovk, Gammerman
    and Shafer, 2005; Bates et al., 2023, arXiv:2104.08279), and about a, not far below it, when scores are not tied.
    Beyond the largest calibration score all rows would share ``1 / (n + 1)``; there the value is multiplied by
    ``P(score > s) / P(score > largest)`` of a tail fitted above the 90 % quantile (shape >= 0, drawn to exponential),
    so that stranger stays smaller, down to the smallest float. Values below 1 / (n + 1) are thus as good as that tail.

    Of more than a thousand scores the largest thousand are kept exactly and the others at ranks of rows 0.1 % apart: a
    p-value is then never too small and at most 0.1 % of itself too large.

    ``knots`` (k,) ascending scores; ``p`` (k + 1,) the value up to the first knot, up to the second, ..., beyond all.
    """

    knots: Array
    p: Array
    tail: Tail

    @classmethod
    def of(cls, sample: Sample) -> Self:
        places = _thinned(sample)
        p = (1.0 + np.append(sample.size, sample.above[places])) / (sample.size + 1.0)
        return cls(sample.values[places], p, Tail.fit(sample, TAIL_START, "heavy"))

    def p_value(self, scores: npt.ArrayLike, smooth: bool = False) -> Array:
        """p-values of the shape of ``scores``; +inf gets 0, NaN raises InvalidData.

        ``smooth`` joins the steps from above by straight lines: strictly decreasing, still valid, a bit more cautious.
        """
        given = comparable(scores)
        p = self.p[np.searchsorted(self.knots, given)]
        if smooth:
            p = np.maximum(p, np.interp(given, self.knots, self.p[:-1]))  # which is rounded
        beyond = self.tail.hazard(np.maximum(given, self.knots[-1])) - self._reach
        return np.asarray(p * np.exp(-beyond))

    def cut(self, level: float, smooth: bool = False) -> float:
        """The score beyond which p-values are at most ``level``."""
        last = self.p[-2] if smooth else self.p[-1]
        if level >= 1:
            return -math.inf
        if level < last:
            return self.tail.score(self._reach + math.log(last / level))
        if smooth:
            return float(np.interp(-level, -self.p[:-1], self.knots))
        return float(self.knots[np.argmax(self.p <= level) - 1])

    @property
    def _reach(self) -> float:
        """The hazard of the largest calibration score."""
        return float(self.tail.hazard(self.knots[-1:])[0])

    def state(self) -> dict[str, Array]:
        return {"knots": self.knots, "p": self.p, "tail": self.tail.state()}

    @classmethod
    def restore(cls, state: Mapping[str, npt.ArrayLike]) -> Self:
        knots, p = kept(state, "knots"), kept(state, "p")
        falling = np.all(np.diff(knots) > 0) and np.all(np.diff(p) <= 0)
        if len(p) != len(knots) + 1 or not falling or p[0] > 1 or p[-1] <= 0:
            raise InvalidArtifact("The calibration kept in the file is not a falling table of p-values. Fit again.")
        return cls(knots, p, Tail.restore(state))


class Threshold(Params, ABC):
    """Where scores become decisions: ``score > cut_`` is an anomaly.

    ``fit`` wants scores of normal rows that were held out of training; then p-values are valid.
    """

    def fit(self, scores: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> Self:
        """Learn the cut and the p-values from scores (n,) and weights (n,), n >= 1.

        Raises InvalidData for NaN, infinite or no scores, InvalidParameter for parameters that do not fit together.
        """
        self.check_params()
        sample = Sample.of(scores, weight)
        self.calibration_: Calibration = Calibration.of(sample)
        self.cut_: float = self._cut(sample)
        return self

    @abstractmethod
    def _cut(self, sample: Sample) -> float:
        """The score above which a row is an anomaly."""

    def exceeded(self, scores: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether each score is beyond the cut; NaN raises InvalidData."""
        self._check_fitted()
        return np.asarray(comparable(scores) > self.cut_)

    def p_value(self, scores: npt.ArrayLike) -> Array:
        """How often a normal row scores at least as high, of the shape of ``scores``; see ``Calibration``."""
        self._check_fitted()
        return self.calibration_.p_value(scores)

    def state(self) -> dict[str, Array]:
        """All that was learned, as arrays (at most some ten thousand numbers); parameters are not in it."""
        self._check_fitted()
        return {"cut": np.array([self.cut_]), **self.calibration_.state()}

    def restore(self, state: Mapping[str, npt.ArrayLike]) -> Self:
        """The inverse of ``state``; raises InvalidArtifact for arrays that are no such state."""
        cut = np.asarray(state.get("cut", ()), dtype=np.float64)
        if cut.shape != (1,) or np.isnan(cut[0]):
            raise InvalidArtifact("The file keeps no cut of its threshold. Fit again.")
        self.calibration_ = Calibration.restore(state)
        self.cut_ = float(cut[0])
        return self

    def _check_fitted(self) -> None:
        if not hasattr(self, "calibration_"):
            raise NotFittedError(f"This {type(self).__name__} knows no scores yet: call fit(scores) first.")


class Quantile(Threshold):
    """Cut at a quantile of the scores: the smallest score with at least the share ``level`` at or below it.

    >>> Quantile(level=0.9).fit(np.arange(1.0, 101.0)).cut_
    90.0
    """

    level: Annotated[Fraction, "share of the calibration rows at or below the cut"] = 0.99

    def _cut(self, sample: Sample) -> float:
        return sample.quantile(self.level)


class MedianDeviation(Threshold):
    """Cut at ``median + deviations * 1.4826 * median |score - median|``; a few anomalies do not move it.

    1.4826 makes the deviation that of a normal distribution. If more than half of the scores are equal, the mean
    absolute deviation (times 1.2533) takes its place (Iglewicz and Hoaglin, 1993, who recommend 3.5).

    >>> MedianDeviation(deviations=3.0).fit([1.0, 2.0, 3.0, 4.0, 1000.0]).cut_
    7.4478
    """

    deviations: Annotated[Positive, "robust standard deviations above the median"] = 3.5

    def _cut(self, sample: Sample) -> float:
        median = sample.median
        distance = np.abs(sample.values - median)
        order = np.argsort(distance, kind="stable")
        spread = 1.4826 * Sample(distance[order], sample.mass[order]).median
        return median + self.deviations * (spread or 1.2533 * float(np.average(distance, weights=sample.mass)))


class PeaksOverThreshold(Threshold):
    """Cut where a generalised Pareto tail leaves the probability ``risk`` (Siffer et al., 2017, KDD).

    ``cut = u + scale / shape * ((share / risk)^shape - 1)``: u the quantile ``start``, share the part of the rows
    beyond it. It reaches risks far below 1 / n. The tail is fitted by Zhang and Stephens (2009), see ``pareto``,
    its shape drawn towards 0 as by ten more excesses, which few rows need.

    >>> scores = -np.log(1 - (np.arange(10_000) + 0.5) / 10_000)  # an exponential: 1 in 1e6 is beyond 13.8
    >>> round(PeaksOverThreshold(risk=1e-6).fit(scores).cut_)
    14
    """

    risk: Annotated[Share, "probability that a normal row is beyond the cut"] = 1e-3
    start: Annotated[Fraction, "quantile at which the fitted tail begins"] = 0.98

    def _cut(self, sample: Sample) -> float:
        if self.risk > 1 - self.start:
            raise InvalidParameter(
                f"The 'risk' parameter of PeaksOverThreshold must be at most 1 - start = {1 - self.start:g}. "
                f"Got {self.risk:g}. Lower the start or use Quantile(level={1 - self.risk:g})."
            )
        tail = Tail.fit(sample, self.start, "free")
        share = (1 + sample.mass[sample.values > tail.start].sum()) / (sample.size + 1)
        return tail.score(max(0.0, math.log(share / self.risk)))


class Conformal(Threshold):
    """Cut so that at most the share ``level`` of new normal rows is beyond it, whatever their distribution.

    Split conformal: ``score > cut_`` exactly where ``p_value <= level``, with ``p = (1 + rows >= s) / (n + 1)``. With
    fewer than ``1 / level - 1`` rows the guarantee leans on the fitted tail. ``smooth`` joins the steps of p by lines.

    >>> threshold = Conformal(level=0.05).fit(np.arange(99.0))
    >>> threshold.cut_, threshold.p_value([94.0, 94.5])
    (94.0, array([0.06, 0.05]))
    """

    level: Annotated[Share, "share of normal rows that may be beyond the cut"] = 0.01
    smooth: Annotated[bool, "whether p-values fall between calibration scores too"] = False

    def _cut(self, sample: Sample) -> float:
        return self.calibration_.cut(self.level, self.smooth)

    def p_value(self, scores: npt.ArrayLike) -> Array:
        self._check_fitted()
        return self.calibration_.p_value(scores, self.smooth)


THRESHOLDS: tuple[type[Threshold], ...] = (Conformal, MedianDeviation, PeaksOverThreshold, Quantile)


def false_discovery(p: npt.ArrayLike, level: float = 0.05, method: Correction = "bh") -> npt.NDArray[np.bool_]:
    """Which rows of a batch to report so that at most the share ``level`` of the reported is expected to be normal.

    ``method`` "bh" (Benjamini and Hochberg, 1995) holds for independent and for conformal p-values, which depend on
    each other positively (Bates et al., 2023, arXiv:2104.08279); "by" (Benjamini and Yekutieli, 2001) for any.
    Raises InvalidData for p-values outside [0, 1].

    >>> false_discovery([0.001, 0.012, 0.04, 0.6], level=0.05)
    array([ True,  True, False, False])
    """
    if not 0 < level <= 1:
        raise InvalidParameter(f"The 'level' of false_discovery must be a float > 0 and <= 1. Got {level!r}.")
    return adjusted(p, method) <= level


def adjusted(p: npt.ArrayLike, method: Correction = "bh") -> Array:
    """q-values: the smallest level at which ``false_discovery`` would report each row; of the shape of ``p``.

    ``q_(i) = min over j >= i of p_(j) m / j`` for the i-th smallest of m, times ``1 + 1/2 + ... + 1/m`` for "by".

    >>> adjusted([0.01, 0.02, 0.03, 0.5])
    array([0.04, 0.04, 0.04, 0.5 ])
    """
    if method not in ("bh", "by"):
        raise InvalidParameter(f"The 'method' must be one of 'bh', 'by'. Got {method!r}.")
    given = comparable(p)
    if given.size and not (given.min() >= 0 and given.max() <= 1):
        raise InvalidData(f"p-values lie between 0 and 1. Got {given.min():g} to {given.max():g}: pass p_value(rows).")
    flat = given.reshape(-1)
    rank = np.arange(1, flat.size + 1)
    order = np.argsort(flat, kind="stable")
    q = flat[order] * (flat.size / rank) * ((1 / rank).sum() if method == "by" else 1.0)
    out = np.empty_like(flat)
    out[order] = np.minimum(np.minimum.accumulate(q[::-1])[::-1], 1.0)
    return out.reshape(given.shape)


def _thinned(sample: Sample) -> npt.NDArray[np.intp]:
    """Places of the largest RESOLUTION values, and of those that hold the rows at ranks 1 / RESOLUTION apart below."""
    count, at_least = len(sample.values), sample.at_least
    exact = np.arange(max(count - RESOLUTION, 0), count)
    first, last = at_least[exact[0]], at_least[0]
    ranks = np.geomspace(first, last, math.ceil(RESOLUTION * math.log(last / first)) + 1)
    spaced = count - 1 - np.searchsorted(at_least[::-1], ranks)
    return np.union1d(exact, np.maximum(spaced, 0))
