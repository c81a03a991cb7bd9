"""Scorer: one row at a time, for streams and services, in tens of microseconds.

    row --standardised--> x --layers, in turns--> surprise --evidence--> nats --+--> score
                          x --kept rows---------> distance --evidence--> nats --+ (pooled)

The weights of a fitted detector laid out for numpy, whose calls cost a tenth of torch's. The scores are the detector's,
up to the rounding of 32-bit numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from diabolo.autoencoder import Autoencoder, Likelihood
from diabolo.bottlenecks import Plain
from diabolo.errors import InvalidData, InvalidParameter, SchemaMismatch
from diabolo.evidence import Evidence
from diabolo.likelihoods import Mixed, Normal, StudentT
from diabolo.likelihoods.continuous import HALF_LOG_TAU, UNIT, Scaled
from diabolo.neighbours import FAR, NEAR, NEAREST, Neighbours
from diabolo.networks import Decoder, Encoder, turns
from diabolo.networks.dense import Tied
from diabolo.preparation.encodings import FARTHEST
from diabolo.schema import Schema

Array = npt.NDArray[np.float32]
Map = Callable[[Array], Array]
View = Callable[[Array, Array | None], float]
Errors = Callable[[Array, Array], Array]
Spread = Callable[[Array, int], Array]

ZERO = np.float32(0)
STEEPEST = 80.0  # e to this is still a 32-bit number


class Scorer:
    """The anomaly score of one row, in nats, of a detector for tables of numbers.

    ``row`` (columns,) holds a number for each column of the training data, in its order; NaN where it is missing. A
    scorer keeps what the detector knew when it was made, and may be called by one thread at a time. Raises
    InvalidParameter for a detector of other columns than numbers or of other than dense layers, and, for a row,
    SchemaMismatch and InvalidData.

    >>> from diabolo import AnomalyDetector
    >>> rows = np.random.default_rng(0).normal(size=(200, 3))
    >>> detector = AnomalyDetector("Linear", random_state=0).fit(rows)
    >>> score = Scorer(detector.preparation_.schema_, detector.autoencoder_, detector.evidence_, detector.neighbours_)
    >>> bool(np.isclose(score([0.0, 9.0, 0.0]), detector.anomaly_score([[0.0, 9.0, 0.0]])[0], rtol=1e-5))
    True
    """

    def __init__(
        self,
        schema: Schema,
        autoencoder: Autoencoder,
        evidence: Mapping[str, Evidence],
        neighbours: Neighbours | None = None,
    ) -> None:
        self._read = _Reading(schema)
        views: dict[str, View] = {"surprise": _Surprise(autoencoder)}
        if neighbours is not None:
            views["distance"] = _Distance(neighbours)
        self._views = [(view, _Nats(evidence[name])) for name, view in views.items()]

    def __call__(self, row: Sequence[float] | npt.NDArray[Any]) -> float:
        """The score of the row, in nats."""
        x = self._read(row)
        missing = np.isnan(x)
        holes = missing.astype(np.float32) if missing.any() else None
        if holes is not None:
            x[missing] = 0.0
        return _pooled([nats(view(x, holes)) for view, nats in self._views])


class _Reading:
    """From the user's numbers to those of the model, as ``Preparation`` does it."""

    def __init__(self, schema: Schema) -> None:
        conditional = schema.conditional or schema.given > 0
        strange = [c.source for c in schema.columns if (c.kind, c.part) != ("number", "value") and not conditional]
        if strange or schema.grid or conditional:
            whole = "these have given columns" if conditional else f"these are {schema.kind}s"
            told = f"the column {strange[0]!r} is none" if strange else whole
            fix = f", or, if it holds numbers, fit with likelihoods={{{strange[0]!r}: 'Normal'}}" if strange else ""
            raise InvalidParameter(
                f"A scorer reads rows of numbers; {told}. Call anomaly_score with the whole table{fix}."
            )
        self.sources = schema.sources
        self.kept = np.array([schema.sources.index(column.source) for column in schema.columns])
        self.whole = list(self.kept) == list(range(len(schema.sources)))
        self.center = np.array([column.center for column in schema.columns])
        self.scale = np.array([column.scale for column in schema.columns])

    def __call__(self, row: Sequence[float] | npt.NDArray[Any]) -> Array:
        try:
            given = np.asarray(row, dtype=np.float64)
        except (TypeError, ValueError):
            raise InvalidData("A row is a list of numbers, with nan where one is missing.") from None
        if given.shape != (len(self.sources),):
            raise SchemaMismatch(
                f"A row has the shape ({len(self.sources)},): {_few(self.sources)}. Got {given.shape}."
            )
        given = given if self.whole else given[self.kept]
        if np.isinf(given).any():
            place = self.sources[self.kept[np.argmax(np.isinf(given))]]
            raise InvalidData(f"The value of {place!r} is infinite. Write nan where a value is missing.")
        with np.errstate(over="ignore"):
            x = (given - self.center) / self.scale
        np.minimum(np.maximum(x, -FARTHEST, out=x), FARTHEST, out=x)
        return x.astype(np.float32)


class _Surprise:
    """nll and costs of the code, all turns as one matrix (turns, units)."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        if not isinstance(autoencoder, Autoencoder):
            raise InvalidParameter(
                "A scorer runs one network, not an ensemble. Call anomaly_score with the whole table."
            )
        encoder, decoder, likelihood = autoencoder.encoder, autoencoder.decoder, autoencoder.likelihood
        if not (isinstance(encoder, Encoder) and isinstance(decoder, Decoder)):
            raise InvalidParameter("A scorer runs dense layers only. Call anomaly_score with the whole table.")
        self._lay_out(encoder, autoencoder.turns)
        layers = [*list(encoder.layers)[1:], autoencoder.bottleneck, *decoder.layers]
        self.layers = [_Coding(layer) if layer is autoencoder.bottleneck else _numpy(layer) for layer in layers]
        of = torch.zeros(likelihood.width) if autoencoder.turns is None else autoencoder.turns[likelihood.owners()]
        self.own = of.long().numpy() * likelihood.width + np.arange(likelihood.width)
        self.coding = next(layer for layer in self.layers if isinstance(layer, _Coding))
        self.errors = _errors(likelihood)

    def __call__(self, x: Array, holes: Array | None) -> float:
        h = self.first @ np.minimum(np.maximum(x, -self.reach), self.reach)
        h += self.bias
        if holes is not None and self.flags is not None:
            h += self.flags @ holes
        h = h.reshape(self.turns, -1)
        for layer in self.layers:
            h = layer(h)
        errors = self.errors(h.ravel()[self.own], x)
        return float(errors.sum() if holes is None else errors @ (1 - holes)) + self.coding.cost

    @torch.no_grad()
    def _lay_out(self, encoder: Encoder, turn: Tensor | None) -> None:
        """The first layer of all turns as one: a value that a turn hides has no weight there, and its flag is up."""
        first, columns = encoder.layers[0], encoder.features.columns
        if not isinstance(first, nn.Linear):
            raise InvalidParameter("A scorer runs dense layers only. Call anomaly_score with the whole table.")
        hidden = torch.zeros(1, columns, dtype=torch.bool) if turn is None else turns.hidden(turn)
        values, flags = first.weight[:, :columns], first.weight[:, columns:]
        bias = first.bias.expand(len(hidden), -1)
        self.turns, self.flags, self.reach = len(hidden), None, np.float32(encoder.features.reach)
        if encoder.features.flags:
            bias = bias + hidden.float() @ flags.T
            self.flags = _matrix((flags * ~hidden.unsqueeze(1)).flatten(0, 1))
        self.first, self.bias = _matrix((values * ~hidden.unsqueeze(1)).flatten(0, 1)), _matrix(bias.flatten())


class _Coding:
    """The bottleneck, which leaves the cost of the code behind."""

    def __init__(self, bottleneck: nn.Module) -> None:
        self.cost = 0.0
        self.bottleneck = bottleneck
        self.plain = _numpy(bottleneck.activation) if isinstance(bottleneck, Plain) else None

    def __call__(self, h: Array) -> Array:
        if self.plain is not None:
            return self.plain(h)
        with torch.inference_mode():
            code = self.bottleneck(torch.from_numpy(h))
        self.cost = sum(float(cost.mean()) for cost in code.costs.values())
        return code.z.numpy()


class _Distance:
    """``Neighbours`` of one row."""

    def __init__(self, neighbours: Neighbours) -> None:
        self.groups, self.count = neighbours.groups, min(NEAREST, neighbours.groups)
        self.places, self.scale = _matrix(neighbours.places), _matrix(neighbours.scale)
        self.matrix, self.offset = _matrix(neighbours.matrix.T), _matrix(neighbours.offset)
        self.point = np.empty(self.matrix.shape[1], np.float32)

    def __call__(self, x: Array, holes: Array | None) -> float:
        x = np.minimum(np.maximum(x, -FAR), FAR)
        if holes is None:
            self.point[:-1], self.point[-1] = x, x @ x
            squares = self.matrix @ self.point
            squares += self.offset
        else:
            squares = self._of_some(x, 1 - holes)
        least = np.minimum.reduce(squares.reshape(self.groups, -1), 1)
        least.partition(self.count - 1)
        near = np.sqrt(np.minimum(np.maximum(least[: self.count], NEAR * NEAR), FAR * FAR))
        return float(np.add.reduce(near)) / self.count

    def _of_some(self, x: Array, here: Array) -> Array:
        """Squared distances by the features that are there."""
        x = x * here
        squares = (self.places * self.places) @ here - 2 * (self.places @ x) + x @ x
        return squares * (len(x) / max(float(here.sum()), 0.5)) / (self.scale * self.scale)


class _Nats:
    """``Evidence`` of one score."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence, tail = evidence, evidence.tail_
        self.start, self.spread, self.shape = tail.start, tail.scale, tail.shape
        knots, nats = evidence.knots_, evidence.nats_
        self.knots, self.nats = knots.tolist(), nats.tolist()
        self.slopes = [*(np.diff(nats) / np.diff(knots)).tolist(), 0.0]

    def __call__(self, score: float) -> float:
        if score < self.knots[0] or self.shape < 0:
            return float(self.evidence(score))
        if score > self.knots[-1]:
            return self.nats[-1] + self._hazard(score)
        below = max(bisect_left(self.knots, score), 1) - 1
        return self.nats[below] + (score - self.knots[below]) * self.slopes[below]

    def _hazard(self, score: float) -> float:
        excess = max(score - self.start, 0.0) / self.spread
        return math.log1p(self.shape * excess) / self.shape if self.shape else excess


def _pooled(nats: Sequence[float]) -> float:
    """``evidence.pooled`` of one row."""
    top = max(nats)
    return top + math.log(sum(math.exp(each - top) for each in nats) / len(nats))


def _numpy(layer: nn.Module) -> Map:
    """A layer for rows (turns, units); torch itself does the rare ones."""
    if isinstance(layer, Tied):
        return _product(layer._source[0].weight[:, : len(layer.bias)], layer.bias)
    if isinstance(layer, nn.Linear):
        return _product(layer.weight.T, layer.bias)
    return ACTIVATIONS.get(type(layer), _by_torch(layer))


def _product(weight: Tensor, bias: Tensor) -> Map:
    matrix, offset = _matrix(weight), _matrix(bias)
    return lambda h: h @ matrix + offset


def _by_torch(layer: nn.Module) -> Map:
    def called(h: Array) -> Array:
        with torch.inference_mode():
            return layer(torch.from_numpy(h)).numpy()

    return called


ACTIVATIONS: Mapping[type[nn.Module], Map] = {
    nn.Identity: lambda h: h,
    nn.ReLU: lambda h: np.maximum(h, 0.0),
    nn.SiLU: lambda h: h / (1 + np.exp(np.minimum(-h, STEEPEST))),
    nn.Sigmoid: lambda h: np.reciprocal(1 + np.exp(np.minimum(-h, STEEPEST))),
    nn.Tanh: np.tanh,
}


def _errors(likelihood: Likelihood) -> Errors:
    """-log p of each value of a row, from its outputs; torch itself does the likelihoods that are rare."""
    if isinstance(likelihood, Mixed):
        return _mixed(likelihood)
    if isinstance(likelihood, Normal):
        return partial(_normal, _spread(likelihood))
    if isinstance(likelihood, StudentT):
        return partial(_student, _spread(likelihood), *_tails(likelihood))
    return partial(_asked, likelihood)


def _mixed(likelihood: Mixed) -> Errors:
    """The errors of each part, put in the order of the columns."""
    ends = np.cumsum([part.width for part in likelihood.kinds()])
    parts = [
        (slice(end - part.width, end), own.numpy(), _errors(part))
        for part, end, own in zip(likelihood.kinds(), ends, likelihood.places(), strict=True)
    ]

    def read(h: Array, x: Array) -> Array:
        errors = np.empty_like(x)
        for outputs, own, of in parts:
            errors[own] = of(h[outputs], x[own])
        return errors

    return read


def _spread(likelihood: Scaled) -> Spread:
    """The scale of each column, from the outputs of a row and the number of columns."""
    if likelihood.scale == "predicted":
        free, smallest = _matrix(likelihood.free + UNIT), likelihood.smallest
        return lambda h, columns: np.logaddexp(h[columns:] + free, ZERO) + smallest
    scale = _matrix(likelihood._read(torch.zeros(1, likelihood.columns))[1].reshape(-1))
    return lambda h, columns: scale


def _normal(spread: Spread, h: Array, x: Array) -> Array:
    scale = spread(h, len(x))
    away: Array = (x - h[: len(x)]) / scale
    return 0.5 * away * away + np.log(scale) + HALF_LOG_TAU


def _tails(likelihood: StudentT) -> tuple[Array, Array, Array]:
    """The degrees of freedom of each column, what the logarithm weighs, and -log p of the middle at scale 1."""
    freedom = likelihood.freedoms(torch.zeros(1, likelihood.columns)).double()
    constant = torch.lgamma(freedom / 2) - torch.lgamma((freedom + 1) / 2) + 0.5 * (freedom * math.pi).log()
    return _matrix(freedom), _matrix((freedom + 1) / 2), _matrix(constant)


def _student(spread: Spread, freedom: Array, weight: Array, constant: Array, h: Array, x: Array) -> Array:
    scale = spread(h, len(x))
    away = (x - h[: len(x)]) / scale
    return constant + np.log(scale) + weight * np.log1p(away * away / freedom)


def _asked(likelihood: Likelihood, h: Array, x: Array) -> Array:
    with torch.inference_mode():
        return likelihood.errors(torch.from_numpy(h)[None], torch.from_numpy(x)[None])[0].numpy()


def _matrix(tensor: Tensor) -> Array:
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=np.float32)


def _few(names: Sequence[str]) -> str:
    return ", ".join([*names[:5], "..."][: len(names)])
