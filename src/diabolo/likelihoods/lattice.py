"""Likelihoods of numbers that lie on a lattice: the brightness of pixels, grades, prices in steps.

A density can be made as high as one likes where all values are multiples of a step, so its nats cannot be compared or
written to a file. These are probabilities: over the lattice they add up to 1, and -log2 p is the bits of a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional

from diabolo.errors import InvalidParameter
from diabolo.likelihoods.columnwise import Columnwise, Scale, along, average, unsoftened
from diabolo.likelihoods.continuous import SMALLEST_PREDICTED, UNIT, Scaled
from diabolo.schema import Column

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch.types import _size

LOGISTIC = 3**0.5 / torch.pi  # scale of a logistic distribution over its standard deviation
SPREAD = 1.5  # standard deviations on either side over which the means of a mixture start
TINY = 1e-6  # how far a uniform number stays away from 0 and 1


@dataclass(frozen=True)
class Lattice:
    """The values ``low``, ``low + step``, ..., ``high`` of each column, shaped to meet rows."""

    low: Tensor
    high: Tensor
    step: Tensor

    def log_mass(self, mean: Tensor, scale: Tensor, x: Tensor) -> Tensor:
        """Log of what a logistic distribution has within half a step of x, in nats.

        With p and m the logits of both ends this is ``log(sigmoid(p) - sigmoid(m)) = log sigmoid(p) + log sigmoid(-m)
        + log(1 - exp(m - p))``, in which nothing cancels. The first and the last value have all that lies beyond them.
        """
        above, below = (x + self.step / 2 - mean) / scale, (x - self.step / 2 - mean) / scale
        first, last = ((x - end).abs() < self.step / 2 for end in (self.low, self.high))
        inside = torch.log(-torch.expm1(-self.step / scale)).expand_as(above)
        rising = functional.logsigmoid(above).masked_fill(last, 0.0)
        falling = functional.logsigmoid(-below).masked_fill(first, 0.0)
        return rising + falling + inside.masked_fill(first | last, 0.0)

    def mean(self, place: Tensor, scale: Tensor) -> Tensor:
        """The mean of a logistic distribution around ``place`` whose ends are heaped up on the first and last value.

        It is ``low + s softplus((h - low) / s) - s softplus((h - high) / s)``, rounded as little as the step is small.
        """
        rising, falling = (functional.softplus((place - end) / scale) for end in (self.low, self.high))
        return torch.minimum(torch.maximum(self.low + scale * (rising - falling), self.low), self.high)

    def nearest(self, x: Tensor) -> Tensor:
        """The value of the lattice that is nearest to each x."""
        on_lattice = self.low + ((x - self.low) / self.step).round() * self.step
        return torch.minimum(torch.maximum(on_lattice, self.low), self.high)


class OnLattice(Columnwise):
    """What likelihoods on a lattice share: the lattice of each column, as the model stores it."""

    low: Tensor
    high: Tensor
    step: Tensor

    def keep(self, columns: Sequence[Column]) -> Self:
        """Learn the lattices of the columns. Raises InvalidParameter for a column without one."""
        for column in columns:
            if not (column.step > 0 and abs(column.low) + abs(column.high) < float("inf")):
                raise InvalidParameter(
                    f"Column {column.name!r} has no lattice: {type(self).__name__} needs its step, low and high."
                )
        for name in ("low", "high", "step"):
            ends = [getattr(column, name) - (column.center if name != "step" else 0.0) for column in columns]
            stored = [each / column.scale for each, column in zip(ends, columns, strict=True)]
            self.register_buffer(name, torch.tensor(stored, dtype=torch.float32), persistent=False)
        return self

    def lattice(self, x: Tensor) -> Lattice:
        """The lattice of each column, along axis 1 of ``x``."""
        return Lattice(along(self.low, x), along(self.high, x), along(self.step, x))


class DiscretisedLogistic(Scaled, OnLattice):
    r"""A logistic distribution around h, summed up over each step of a lattice (Kingma et al., 2016, arXiv:1606.04934).

    ``p(x) = sigmoid((x + d/2 - h) / s) - sigmoid((x - d/2 - h) / s)`` with the step d of the column; the first value
    has all below it, the last all above. Values outside the range of the fit, which it gives no probability, cost what
    they would cost on a longer lattice, so that they stay the stranger the farther out they are. ``scale`` is that of
    :class:`Scaled`. Raises InvalidParameter for a column without a lattice.

    >>> part = DiscretisedLogistic.of([Column("pixel", low=0.0, high=1.0, step=0.5)], "learned")
    >>> (-part.errors(torch.full((3, 1), 0.2), torch.tensor([[0.0], [0.5], [1.0]]))).exp().sum().round(decimals=4)
    tensor(1., grad_fn=<RoundBackward1>)
    """

    @classmethod
    def of(cls, columns: Sequence[Column], scale: Scale) -> Self:
        return cls(len(columns), scale).keep(columns)

    def forward(self, h: Tensor) -> Distribution:
        mean, scale = self._read(h)
        scale = scale.expand_as(mean)
        return Logistics(torch.zeros_like(mean)[:, None], mean[:, None], scale[:, None], self.lattice(mean))

    def errors(self, h: Tensor, x: Tensor) -> Tensor:
        return -self.lattice(x).log_mass(*self._read(h), x)

    def best(self, h: Tensor) -> Tensor:
        place, scale = self._read(h)
        return self.lattice(h).mean(place, scale)

    @torch.no_grad()
    def solve(self, h: Tensor, x: Tensor, weight: Tensor | None = None) -> None:
        """The scale that has the variance of the residuals."""
        self._set(LOGISTIC * average((x - self._read(h)[0]).square(), weight).sqrt())


class LogisticMixture(OnLattice):
    r"""Several such distributions for each value (Salimans et al., 2017, arXiv:1701.05517).

    ``p(x) = sum_k w_k p_k(x)``, every p_k a :class:`DiscretisedLogistic` with a mean and a scale of its own. h holds
    ``parts`` blocks of logits of w, as many of means and as many of raw scales. For values with several likely places,
    such as a pixel at an edge. Raises InvalidParameter for a column without a lattice.

    >>> part = LogisticMixture.of([Column("pixel", low=0.0, high=1.0, step=0.5)], "predicted")
    >>> (-part.errors(torch.zeros(3, 15), torch.tensor([[0.0], [0.5], [1.0]]))).exp().sum().round(decimals=4)
    tensor(1., grad_fn=<RoundBackward1>)
    """

    PARTS: ClassVar[int] = 5

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns, self.width = columns, 3 * self.PARTS * columns
        self.places = nn.Parameter(torch.linspace(-SPREAD, SPREAD, self.PARTS).repeat_interleave(columns))
        self.free = nn.Parameter(torch.zeros(self.PARTS * columns))

    @classmethod
    def of(cls, columns: Sequence[Column], scale: Scale) -> Self:
        return cls(len(columns)).keep(columns)

    def forward(self, h: Tensor) -> Logistics:
        logits, means, raw = h.chunk(3, 1)
        scales = SMALLEST_PREDICTED + functional.softplus(along(self.free + UNIT, h) + raw)
        parts = [each.unflatten(1, (self.PARTS, -1)) for each in (logits, means + along(self.places, h), scales)]
        return Logistics(parts[0].log_softmax(1), parts[1], parts[2], self.lattice(parts[0][:, 0]))

    def errors(self, h: Tensor, x: Tensor) -> Tensor:
        return -self(h).log_prob(x)

    def best(self, h: Tensor) -> Tensor:
        return self(h).mean

    def link(self, values: Tensor) -> Tensor:
        """All parts around the value, which is their mean where they are narrow."""
        means = values.repeat(1, self.PARTS, *[1] * (values.dim() - 2)) - along(self.places, values)
        return torch.cat((torch.zeros_like(means), means, torch.zeros_like(means)), 1)

    @torch.no_grad()
    def solve(self, h: Tensor, x: Tensor, weight: Tensor | None = None) -> None:
        told = self(h)
        middle = (told.log_weight.exp() * told.places).sum(1)
        spread = (LOGISTIC * average((x - middle).square(), weight).sqrt() - SMALLEST_PREDICTED).clamp_min(TINY)
        self.free.copy_((unsoftened(spread) - UNIT).repeat(self.PARTS))


class Logistics(Distribution):
    """Mixtures of discretised logistics: weights, places and scales (n, parts, columns, *grid)."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def __init__(self, log_weight: Tensor, places: Tensor, scales: Tensor, lattice: Lattice) -> None:
        self.log_weight, self.places, self.scales, self.lattice = log_weight, places, scales, lattice
        super().__init__(places[:, 0].shape, validate_args=False)

    @property
    def mean(self) -> Float[Tensor, "n columns *grid"]:
        """The mean of the values, within the lattice."""
        return (self.log_weight.exp() * self.lattice.mean(self.places, self.scales)).sum(1)

    @property
    def mode(self) -> Float[Tensor, "n columns *grid"]:
        """The value nearest to the place of the likeliest part."""
        best = self.log_weight.argmax(1, keepdim=True)
        return self.lattice.nearest(self.places.gather(1, best).squeeze(1))

    def sample(self, sample_shape: _size = ()) -> Tensor:
        shape = (*sample_shape, *self.places.shape)
        axis = len(sample_shape) + 1
        luck = torch.rand(shape, dtype=self.places.dtype, device=self.places.device).clamp(TINY, 1 - TINY)
        gumbel = -(-torch.rand_like(luck).clamp_min(TINY).log()).log()
        part = (self.log_weight + gumbel).argmax(axis, keepdim=True)
        drawn = (self.places + self.scales * torch.logit(luck)).gather(axis, part).squeeze(axis)
        return self.lattice.nearest(drawn)

    def log_prob(self, value: Tensor) -> Tensor:
        axis = value.dim() - len(self.batch_shape) + 1
        mass = self.lattice.log_mass(self.places, self.scales, value.unsqueeze(axis))
        return (self.log_weight + mass).logsumexp(axis)
