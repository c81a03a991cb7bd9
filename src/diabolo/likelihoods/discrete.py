"""Likelihoods of truth values, categories and counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributions, nn
from torch.distributions import Distribution
from torch.nn import functional

from diabolo.errors import InvalidParameter
from diabolo.likelihoods.columnwise import ROUNDING, Columnwise, Scale, along, average
from diabolo.schema import Column

if TYPE_CHECKING:
    from torch.types import _size

EVEN = 1e-4  # the share of a category's probability spread evenly, so that an unseen one costs no infinite nats
MOST = 30.0  # the largest log of a predicted count


class Bernoulli(Columnwise):
    """True or false: ``-log p = -x log p - (1 - x) log(1 - p)``, ``p = sigmoid(h)``.

    x may be any fraction from 0 to 1, such as the brightness of a pixel; ``fractions`` says so, and the best guess is
    then p itself instead of 0 or 1. Of a fraction it is a cross-entropy and no log of a density (Loaiza-Ganem and
    Cunningham, 2019, arXiv:1907.06845).

    >>> Bernoulli(1).errors(torch.zeros(1, 1), torch.ones(1, 1))
    tensor([[0.6931]])
    """

    def __init__(self, columns: int, *, fractions: bool = False) -> None:
        super().__init__()
        self.columns = self.width = columns
        self.fractions = fractions

    @classmethod
    def of(cls, columns: Sequence[Column], scale: Scale) -> Bernoulli:
        return cls(len(columns), fractions=any(column.kind != "boolean" for column in columns))

    def nominal(self) -> Tensor:
        return torch.full((self.columns,), not self.fractions)

    def forward(self, h: Tensor) -> Distribution:
        return distributions.Bernoulli(logits=h, validate_args=False)

    def errors(self, h: Tensor, x: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(h, x, reduction="none")

    def best(self, h: Tensor) -> Tensor:
        return h.sigmoid() if self.fractions else (h > 0).to(h.dtype)

    def link(self, values: Tensor) -> Tensor:
        return torch.logit(values, ROUNDING)


class Categorical(Columnwise):
    r"""One of several categories per column: ``-log p = -log((1 - e) softmax(h)[x] + e / categories)``.

    ``counts`` holds the categories of each column, the place of unseen ones (the last) included; h holds their
    logits, column after column; x holds the index. The share e = 1e-4 is spread evenly, so that a category never seen
    costs at most ``log(categories / e)`` nats, about 11. The best guess is a category that has a name.

    Shapes: h (n, sum of counts, \*grid), x (n, columns, \*grid). Raises InvalidParameter where a count is below 1.

    >>> Categorical([2, 3]).errors(torch.zeros(1, 5), torch.tensor([[0.0, 2.0]])).exp().round()
    tensor([[2., 3.]])
    """

    sizes: Tensor
    starts: Tensor
    places: Tensor
    even: Tensor
    nameless: Tensor

    def __init__(self, counts: Sequence[int]) -> None:
        super().__init__()
        if any(count < 1 for count in counts):
            raise InvalidParameter(f"The counts of Categorical must be ints >= 1. Got {list(counts)}.")
        self.columns, self.width, self.most = len(counts), sum(counts), max(counts, default=1)
        self.level = all(count == self.most for count in counts)
        sizes = torch.tensor(list(counts), dtype=torch.long)
        starts = sizes.cumsum(0) - sizes
        steps = torch.arange(self.most)
        places = torch.where(steps < sizes[:, None], starts[:, None] + steps, self.width)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("starts", starts, persistent=False)
        self.register_buffer("places", places.flatten(), persistent=False)
        self.register_buffer("even", EVEN / sizes, persistent=False)
        last = (steps == sizes[:, None] - 1) & (sizes[:, None] > 1)
        self.register_buffer("nameless", last, persistent=False)

    @classmethod
    def of(cls, columns: Sequence[Column], scale: Scale) -> Categorical:
        return cls([column.width for column in columns])

    def owners(self) -> Tensor:
        return torch.arange(self.columns, device=self.sizes.device).repeat_interleave(self.sizes)

    def nominal(self) -> Tensor:
        return torch.ones(self.columns, dtype=torch.bool)

    def forward(self, h: Tensor) -> Distribution:
        chances = self._padded(h).softmax(2) * (1 - EVEN)
        even = torch.where(self.places < self.width, self.even.repeat_interleave(self.most), 0.0)
        chances = chances + along(even, h).view(1, self.columns, self.most, *[1] * (h.dim() - 2))
        return Levels(probs=chances.movedim(2, -1), validate_args=False)

    def errors(self, h: Tensor, x: Tensor) -> Tensor:
        picked = h.gather(1, x.long() + along(self.starts, h))
        return -torch.log((picked - self._padded(h).logsumexp(2)).exp() * (1 - EVEN) + along(self.even, h))

    def best(self, h: Tensor) -> Tensor:
        never = self.nameless.view(*self.nameless.shape, *[1] * (h.dim() - 2))
        return self._padded(h).masked_fill(never, -math.inf).argmax(2).to(h.dtype)

    def link(self, values: Tensor) -> Tensor:
        return values.clamp(ROUNDING, 1).log()

    def _padded(self, h: Tensor) -> Tensor:
        """The logits with an axis of their own, -inf where a column has fewer categories: (n, columns, most, *grid)."""
        if not self.level:
            nothing = h.new_full((len(h), 1, *h.shape[2:]), -math.inf)
            h = torch.cat((h, nothing), 1).index_select(1, self.places)
        return h.reshape(len(h), self.columns, self.most, *h.shape[2:])


class Levels(distributions.Categorical):
    """torch's Categorical whose values are numbers of the logits' type, and whose mean is the likeliest one."""

    @property
    def mean(self) -> Tensor:
        return self.mode

    @property
    def mode(self) -> Tensor:
        return self.logits.argmax(-1).to(self.logits.dtype)

    def sample(self, sample_shape: _size = ()) -> Tensor:
        drawn: Tensor = super().sample(torch.Size(sample_shape))  # type: ignore[no-untyped-call]
        return drawn.to(self.logits.dtype)


class NegativeBinomial(Columnwise):
    r"""Counts whose variance ``m + m^2 / t`` exceeds their mean m (Hilbe, 2011).

    ``-log p = log G(t) + log G(x + 1) - log G(x + t) - t log(t / (t + m)) - x log(m / (t + m))`` with
    ``log m = center + scale h``, the column's own centre and scale of log(1 + x), so that h = 0 is a typical count. The
    dispersion t of each column is learned between 0.01 and 1e6 (nearly Poisson); x holds raw counts.

    >>> NegativeBinomial([0.0], [1.0])(torch.zeros(1, 1)).mean
    tensor([[1.]], grad_fn=<MulBackward0>)
    """

    LOW, HIGH = math.log(1e-2), math.log(1e6)
    center: Tensor
    scale: Tensor

    def __init__(self, centers: Sequence[float], scales: Sequence[float]) -> None:
        super().__init__()
        self.columns = self.width = len(centers)
        self.register_buffer("center", torch.tensor(centers, dtype=torch.float32), persistent=False)
        self.register_buffer("scale", torch.tensor(scales, dtype=torch.float32), persistent=False)
        self.free = nn.Parameter(torch.zeros(self.columns))
        self._set(torch.ones(self.columns))

    @classmethod
    def of(cls, columns: Sequence[Column], scale: Scale) -> NegativeBinomial:
        return cls([column.center for column in columns], [column.scale for column in columns])

    def forward(self, h: Tensor) -> Distribution:
        spread = along(self._dispersion(), h)
        logits = self._log_mean(h) - spread.log()
        return distributions.NegativeBinomial(spread.expand_as(logits), logits=logits, validate_args=False)

    def errors(self, h: Tensor, x: Tensor) -> Tensor:
        spread = along(self._dispersion(), h)
        logits = self._log_mean(h) - spread.log()
        slope = spread * functional.softplus(logits) + x * functional.softplus(-logits)
        return slope + _log_ways(x, spread)

    def best(self, h: Tensor) -> Tensor:
        return self._log_mean(h).exp()

    def link(self, values: Tensor) -> Tensor:
        return (values.clamp_min(1e-2).log() - along(self.center, values)) / along(self.scale, values)

    @torch.no_grad()
    def solve(self, h: Tensor, x: Tensor, weight: Tensor | None = None) -> None:
        mean = torch.where(x.isnan(), torch.nan, self.best(h))
        extra = average((x - mean) ** 2 - mean, weight)
        self._set(average(mean * mean, weight) / extra.clamp_min(1e-12))

    def _log_mean(self, h: Tensor) -> Tensor:
        return (along(self.center, h) + along(self.scale, h) * h).clamp_max(MOST)

    def _dispersion(self) -> Tensor:
        return torch.exp(self.LOW + (self.HIGH - self.LOW) * torch.sigmoid(self.free))

    @torch.no_grad()
    def _set(self, spread: Tensor) -> None:
        self.free.copy_(torch.logit((spread.log() - self.LOW) / (self.HIGH - self.LOW), 1e-3))


def _log_ways(x: Tensor, spread: Tensor) -> Tensor:
    """``log G(t) + log G(x + 1) - log G(x + t)``; in double precision, since millions of nats cancel to a few."""
    wide, t = x.double(), spread.double()
    return (torch.lgamma(t) + torch.lgamma(wide + 1) - torch.lgamma(wide + t)).to(x.dtype)
