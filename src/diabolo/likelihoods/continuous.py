"""Likelihoods of real numbers."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, distributions, nn
from torch.distributions import Distribution
from torch.nn import functional

from diabolo.errors import InvalidParameter
from diabolo.likelihoods.columnwise import ROUNDING, Columnwise, Scale, along, average, one_of, unsoftened
from diabolo.schema import Column

SMALLEST = 1e-3  # of a standard deviation: a column that is predicted exactly must not be worth infinite nats
SMALLEST_PREDICTED = 1e-2  # a scale per value collapses sooner than a scale per column
PACE = 3.0  # times as fast as a weight: slower lags behind the fit, faster lets easy columns starve the others
FEWEST, FEWEST_PREDICTED = 1.0, 10.0  # degrees of freedom: a scale per value tells most of a heavy tail already
MOST = 100.0
HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
UNIT = math.log(math.e - 1)  # softplus of it is 1
FREEDOMS = (1.2, 1.6, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 50.0, 99.0)  # the ones that a closed form tries


class Scaled(Columnwise, ABC):
    """A distribution around a mean with a scale s, h = (means) or, with a predicted scale, (means, raw scales).

    ``scale="learned"`` learns one s per column, ``"unit"`` keeps s = 1 and ``"predicted"`` reads one s per value from
    the decoder (Nix and Weigend, 1994). A scale is never below 1e-3 (predicted: 1e-2), so that a constant or a
    discrete-valued column that the model predicts exactly does not drive the cost to minus infinity. A learned scale
    per column keeps a model's costs calibrated (Rybkin et al., 2021, arXiv:2006.13202).
    """

    def __init__(self, columns: int, scale: Scale = "learned") -> None:
        super().__init__()
        one_of("scale", scale, ("learned", "unit", "predicted"))
        self.columns = columns
        self.scale = scale
        self.width = columns * (2 if scale == "predicted" else 1)
        self.smallest = SMALLEST_PREDICTED if scale == "predicted" else SMALLEST
        if scale != "unit":
            self.free = nn.Parameter(torch.zeros(columns))

    @classmethod
    def of(cls, columns: Sequence[Column], scale: Scale) -> Self:
        return cls(len(columns), scale)

    def best(self, h: Tensor) -> Tensor:
        return h[:, : self.columns]

    def link(self, values: Tensor) -> Tensor:
        return values if self.scale != "predicted" else torch.cat((values, torch.zeros_like(values)), 1)

    def _read(self, h: Tensor) -> tuple[Tensor, Tensor]:
        if self.scale == "predicted":
            mean, raw = h.chunk(2, 1)
            return mean, self.smallest + functional.softplus(along(self.free + UNIT, h) + raw)
        if self.scale == "unit":
            return h, torch.ones_like(h[:1])
        return h, along(self.smallest + torch.exp(PACE * self.free), h)

    def _set(self, scale: Tensor) -> None:
        """Make ``scale`` (one per column) the scale that is read where the raw scales are 0."""
        if self.scale == "unit":
            return
        above = (scale - self.smallest).clamp_min(ROUNDING)
        predicted = self.scale == "predicted"
        self.free.copy_(unsoftened(above) - UNIT if predicted else above.log() / PACE)


class Normal(Scaled):
    r"""Normal values: ``-log p = (x - h)^2 / (2 s^2) + log s + log(2 pi) / 2``; with s = 1 the squared error.

    >>> Normal(1, "unit").errors(torch.tensor([[0.0]]), torch.tensor([[2.0]]))
    tensor([[2.9189]])
    """

    def forward(self, h: Tensor) -> Distribution:
        mean, scale = self._read(h)
        return distributions.Normal(mean, scale.expand_as(mean), validate_args=False)

    def errors(self, h: Tensor, x: Tensor) -> Tensor:
        if self.scale == "unit":
            away = x - h
            return torch.addcmul(away.new_tensor(HALF_LOG_TAU), away, away, value=0.5)
        if self.scale == "learned":
            scale = self.smallest + torch.exp(PACE * self.free)  # one per column until the last moment
            away = (x - h) * along(scale.reciprocal(), h)
            return torch.addcmul(along(scale.log() + HALF_LOG_TAU, h), away, away, value=0.5)
        mean, scale = self._read(h)
        away = (x - mean) * scale.reciprocal()
        return torch.addcmul(scale.log() + HALF_LOG_TAU, away, away, value=0.5)

    @torch.no_grad()
    def solve(self, h: Tensor, x: Tensor, weight: Tensor | None = None) -> None:
        away = x - self.best(h)
        self._set(average(away * away, weight).sqrt())


class StudentT(Scaled):
    r"""Heavy-tailed values: ``-log p = (v + 1) / 2 log(1 + r^2 / v) + log s + log B(v)``, ``r = (x - h) / s``.

    The degrees of freedom v are learned per column, between 1 and 100 (with a predicted scale between 10 and 100: there
    fewer would forgive every value that is far out), or fixed by ``freedom`` (Lange, Little and Taylor, 1989). Raises
    InvalidParameter where ``freedom`` is not above 0.

    >>> StudentT(1, freedom=3.0).best(torch.ones(1, 1))
    tensor([[1.]])
    """

    def __init__(self, columns: int, scale: Scale = "learned", freedom: float | None = None) -> None:
        super().__init__(columns, scale)
        if freedom is not None and not 0 < freedom < math.inf:
            raise InvalidParameter(f"The freedom of StudentT must be None (learned) or a float > 0. Got {freedom!r}.")
        self.fewest = FEWEST_PREDICTED if scale == "predicted" else FEWEST
        start = torch.full((columns,), math.log(4 / 95) / PACE)  # near the fewest: 5, or 14
        self.tails = nn.Parameter(start) if freedom is None else None
        self.freedom = freedom

    def forward(self, h: Tensor) -> Distribution:
        mean, scale = self._read(h)
        freedom = along(self.freedoms(mean), mean)
        return distributions.StudentT(freedom, mean, scale.expand_as(mean), validate_args=False)

    def errors(self, h: Tensor, x: Tensor) -> Tensor:
        mean, scale = self._read(h)
        freedom = self.freedoms(mean)
        constant = torch.lgamma(freedom / 2) - torch.lgamma((freedom + 1) / 2) + 0.5 * (freedom * math.pi).log()
        away = (x - mean) * (scale * along(freedom.sqrt(), mean)).reciprocal()
        return torch.addcmul(
            along(constant, mean) + scale.log(), along(0.5 * (freedom + 1), mean), torch.log1p(away * away)
        )

    @torch.no_grad()
    def solve(self, h: Tensor, x: Tensor, weight: Tensor | None = None) -> None:
        """Degrees of freedom by trial of a few values, the scale of each by expectation-maximisation."""
        away = (x - self.best(h)) ** 2
        learned = tuple(each for each in FREEDOMS if each > self.fewest)
        trials = learned if self.freedom is None else (self.freedom,)
        fits = [self._fit(away, freedom, weight) for freedom in trials]
        pick = torch.stack([cost for _, cost in fits]).argmin(0)
        scales = torch.stack([scale for scale, _ in fits])
        self._set(scales.gather(0, pick[None])[0])
        if self.tails is not None:
            share = (scales.new_tensor(trials)[pick] - self.fewest) / (MOST - self.fewest)
            self.tails.copy_(torch.logit(share) / PACE)

    def freedoms(self, mean: Tensor) -> Tensor:
        """The degrees of freedom of each column, where ``mean`` is and of its type."""
        if self.tails is None:
            return mean.new_full((self.columns,), self.freedom or 0.0)
        return self.fewest + (MOST - self.fewest) * torch.sigmoid(PACE * self.tails)

    @staticmethod
    def _fit(away: Tensor, freedom: float, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        """The scale of each column at this freedom, and the mean cost per value there."""
        variance = average(away, weight).clamp_min(SMALLEST**2)
        for _ in range(30):
            trust = (freedom + 1) / (freedom + away / along(variance, away))
            variance = average(trust * away, weight).clamp_min(SMALLEST**2)
        constant = math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2) + 0.5 * math.log(freedom * math.pi)
        cost = (freedom + 1) / 2 * average(torch.log1p(away / (freedom * along(variance, away))), weight)
        return variance.sqrt(), cost + 0.5 * variance.log() + constant


class Laplace(Scaled):
    """Values with double-exponential tails: ``-log p = |x - h| / s + log 2 s``, the absolute error in nats.

    >>> Laplace(1).errors(torch.zeros(1, 1), torch.zeros(1, 1)).exp()
    tensor([[2.0020]], grad_fn=<ExpBackward0>)
    """

    def forward(self, h: Tensor) -> Distribution:
        mean, scale = self._read(h)
        return distributions.Laplace(mean, scale.expand_as(mean), validate_args=False)

    def errors(self, h: Tensor, x: Tensor) -> Tensor:
        mean, scale = self._read(h)
        return torch.addcmul((2 * scale).log(), (x - mean).abs(), scale.reciprocal())

    @torch.no_grad()
    def solve(self, h: Tensor, x: Tensor, weight: Tensor | None = None) -> None:
        self._set(average((x - self.best(h)).abs(), weight))
