"""Likelihoods of real numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, distributions, nn
from torch.distributions import Distribution
from torch.nn import functional

from diabolo.errors import InvalidParameter
from diabolo.likelihoods.columnwise import ROUNDING, Columnwise, Scale, along, average, one_of
from diabolo.schema import Column

SMALLEST = 1e-3  # of a standard deviation: a column that is predicted exactly must not be worth infinite nats
SMALLEST_PREDICTED = 1e-2  # a scale per value collapses sooner than a scale per column
PACE = 3.0  # times as fast as a weight: slower lags behind the fit, faster lets easy columns starve the others
HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
UNIT = math.log(math.e - 1)  # softplus of it is 1
FREEDOMS = (1.2, 1.6, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 50.0, 99.0)  # the ones that a closed form tries


class Normal(Columnwise):
    r"""Normal values: ``-log p = (x - h)^2 / (2 s^2) + log s + log(2 pi) / 2``.

    ``scale="learned"`` learns one s per column, ``"unit"`` keeps s = 1 (mean squared error up to a constant) and
    ``"predicted"`` reads one s per value from the decoder (Nix and Weigend, 1994): h = (means, raw scales). A scale
    is never below 1e-3 (predicted: 1e-2), so that a constant or a discrete-valued column that the model predicts
    exactly does not drive the cost to minus infinity. A learned scale per column keeps a model's costs calibrated
    (Rybkin et al., 2021, arXiv:2006.13202).

    >>> Normal(1, "unit").errors(torch.tensor([[0.0]]), torch.tensor([[2.0]]))
    tensor([[2.9189]])
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
    def of(cls, columns: Sequence[Column], scale: Scale) -> Normal:
        return cls(len(columns), scale)

    def forward(self, h: Tensor) -> Distribution:
        mean, scale = self._read(h)
        return distributions.Normal(mean, scale.expand_as(mean), validate_args=False)

    def errors(self, h: Tensor, x: Tensor) -> Tensor:
        if self.scale == "unit":
            away = x - h
            return torch.addcmul(away.new_tensor(HALF_LOG_TAU), away, away, value=0.5)
        mean, scale = self._read(h)
        away = (x - mean) * scale.reciprocal()
        return torch.addcmul(scale.log() + HALF_LOG_TAU, away, away, value=0.5)

    def best(self, h: Tensor) -> Tensor:
        return h[:, : self.columns]

    def link(self, values: Tensor) -> Tensor:
        return values if self.scale != "predicted" else torch.cat((values, torch.zeros_like(values)), 1)

    @torch.no_grad()
    def solve(self, h: Tensor, x: Tensor) -> None:
        if self.scale != "unit":
            away = x - self.best(h)
            self.free.copy_(self._free(average(away * away).sqrt()))

    def _read(self, h: Tensor) -> tuple[Tensor, Tensor]:
        if self.scale == "predicted":
            mean, raw = h.chunk(2, 1)
            return mean, self.smallest + functional.softplus(along(self.free + UNIT, h) + raw)
        scale = torch.ones_like(h[:1]) if self.scale == "unit" else along(_scale(self.free), h)
        return h, scale

    def _free(self, scale: Tensor) -> Tensor:
        if self.scale == "predicted":
            above = (scale - self.smallest).clamp_min(ROUNDING)
            return above + torch.log(-torch.expm1(-above)) - UNIT
        return _free(scale)


class StudentT(Columnwise):
    r"""Heavy-tailed values: ``-log p = (v + 1) / 2 log(1 + r^2 / v) + log s + log B(v)``, ``r = (x - h) / s``.

    The scale s >= 1e-3 of each column is learned; the degrees of freedom v are learned per column, between 1 and 100,
    or fixed by ``freedom`` (Lange, Little and Taylor, 1989). Raises InvalidParameter where ``freedom`` is not above 0.

    >>> StudentT(1, freedom=3.0).best(torch.ones(1, 1))
    tensor([[1.]])
    """

    def __init__(self, columns: int, freedom: float | None = None) -> None:
        super().__init__()
        if freedom is not None and not 0 < freedom < math.inf:
            raise InvalidParameter(f"The freedom of StudentT must be None (learned) or a float > 0. Got {freedom!r}.")
        self.columns = self.width = columns
        self.free = nn.Parameter(torch.zeros(columns))
        start = torch.full((columns,), math.log(4 / 95) / PACE)  # 5 degrees of freedom
        self.tails = nn.Parameter(start) if freedom is None else None
        self.freedom = freedom

    @classmethod
    def of(cls, columns: Sequence[Column], scale: Scale) -> StudentT:
        return cls(len(columns))

    def forward(self, h: Tensor) -> Distribution:
        freedom = along(self._freedom(), h)
        return distributions.StudentT(freedom, h, along(_scale(self.free), h).expand_as(h), validate_args=False)

    def errors(self, h: Tensor, x: Tensor) -> Tensor:
        freedom, scale = self._freedom(), _scale(self.free)
        constant = torch.lgamma(freedom / 2) - torch.lgamma((freedom + 1) / 2) + 0.5 * (freedom * math.pi).log()
        away = (x - h) * along(1 / (scale * freedom.sqrt()), h)
        constant = along(constant + scale.log(), h)
        return torch.addcmul(constant, along(0.5 * (freedom + 1), h), torch.log1p(away * away))

    def best(self, h: Tensor) -> Tensor:
        return h

    @torch.no_grad()
    def solve(self, h: Tensor, x: Tensor) -> None:
        """Degrees of freedom by trial of a few values, the scale of each by expectation-maximisation."""
        away = (x - h) ** 2
        trials = FREEDOMS if self.freedom is None else (self.freedom,)
        fits = [self._fit(away, freedom) for freedom in trials]
        pick = torch.stack([cost for _, cost in fits]).argmin(0)
        scales = torch.stack([scale for scale, _ in fits])
        self.free.copy_(_free(scales.gather(0, pick[None])[0]))
        if self.tails is not None:
            self.tails.copy_(torch.logit((scales.new_tensor(trials)[pick] - 1) / 99) / PACE)

    def _freedom(self) -> Tensor:
        if self.tails is None:
            return torch.full_like(self.free, self.freedom or 0.0)
        return 1 + 99 * torch.sigmoid(PACE * self.tails)

    @staticmethod
    def _fit(away: Tensor, freedom: float) -> tuple[Tensor, Tensor]:
        """The scale of each column at this freedom, and the mean cost per value there."""
        variance = average(away).clamp_min(SMALLEST**2)
        for _ in range(30):
            weight = (freedom + 1) / (freedom + away / along(variance, away))
            variance = average(weight * away).clamp_min(SMALLEST**2)
        constant = math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2) + 0.5 * math.log(freedom * math.pi)
        cost = (freedom + 1) / 2 * average(torch.log1p(away / (freedom * along(variance, away))))
        return variance.sqrt(), cost + 0.5 * variance.log() + constant


class Laplace(Columnwise):
    """Values with double-exponential tails: ``-log p = |x - h| / s + log 2 s``, the absolute error in nats.

    The scale s >= 1e-3 of each column is learned.

    >>> Laplace(1).errors(torch.zeros(1, 1), torch.zeros(1, 1)).exp()
    tensor([[2.0020]], grad_fn=<ExpBackward0>)
    """

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = self.width = columns
        self.free = nn.Parameter(torch.zeros(columns))

    @classmethod
    def of(cls, columns: Sequence[Column], scale: Scale) -> Laplace:
        return cls(len(columns))

    def forward(self, h: Tensor) -> Distribution:
        return distributions.Laplace(h, along(_scale(self.free), h).expand_as(h), validate_args=False)

    def errors(self, h: Tensor, x: Tensor) -> Tensor:
        scale = along(_scale(self.free), h)
        return torch.addcmul((2 * scale).log(), (x - h).abs(), scale.reciprocal())

    def best(self, h: Tensor) -> Tensor:
        return h

    @torch.no_grad()
    def solve(self, h: Tensor, x: Tensor) -> None:
        self.free.copy_(_free(average((x - h).abs())))


def _scale(free: Tensor) -> Tensor:
    return SMALLEST + torch.exp(PACE * free)


def _free(scale: Tensor) -> Tensor:
    return (scale - SMALLEST).clamp_min(ROUNDING).log() / PACE
