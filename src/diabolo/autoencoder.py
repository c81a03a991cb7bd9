"""The whole idea: corruption -> encoder -> bottleneck -> decoder -> likelihood, with nothing averaged inside.

             seen            h             z             output           errors (-log p of each value)
x --corruption--> encoder --> bottleneck --> decoder --> likelihood <-- x
                                 |                           |
                              costs (nats per row)        nll = errors added up over the values of a row
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from diabolo.errors import InvalidParameter
from diabolo.networks import turns
from diabolo.networks.features import missing
from diabolo.networks.given import Given

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Code:
    """What the bottleneck hands on.

    ``costs`` are nats per row, already weighted; ``tokens`` is there if the code is discrete, ``posterior`` if it is
    random.
    """

    z: Float[Tensor, "n latent *grid"]
    costs: Mapping[str, Float[Tensor, "n"]]
    tokens: Int[Tensor, "n *grid"] | None = None
    posterior: Distribution | None = None


@dataclass(frozen=True)
class Reconstruction:
    """Everything one trip through the autoencoder made.

    ``output`` is what the likelihood reads; under turns each output comes from the turn that hides its value.
    """

    x: Float[Tensor, "n *features"]
    observed: Bool[Tensor, "n *features"]
    seen: Float[Tensor, "n *features"]
    code: Code
    output: Tensor
    errors: Float[Tensor, "n *features"]
    nll: Float[Tensor, "n"]
    given: Float[Tensor, "n given"] | None = None


class Deviations(NamedTuple):
    """The errors of a trip taken apart, ``errors = least + signed ** 2 / 2``, and what the codes cost.

    ``signed`` is 0 where a value is the best one and has the sign of the difference elsewhere: the deviance residual of
    McCullagh and Nelder (1989); of a Normal it is ``(x - best) / s``.
    """

    least: Float[Tensor, "n *features"]
    signed: Float[Tensor, "n *features"]
    price: Float[Tensor, "n"]


@dataclass(frozen=True)
class Bound:
    """How the costs of the ``samples`` codes drawn for a row in training become one cost.

    By default the importance bound ``-log 1/K sum_k exp(-cost_k)`` (Burda et al., 2016, arXiv:1509.00519). With
    ``groups`` it is the mean over so many groups of the bound of each, and the share ``elbo`` of it is replaced by the
    mean of the costs: the MIWAE and CIWAE of Rainforth et al. (2018, arXiv:1802.04537). ``partial`` is their PIWAE: the
    decoder learns from the bound of all draws, the encoder (and the prior, where it learns) from that of the groups.
    Raises InvalidParameter if the groups cannot be of one size.

    >>> Bound(4, groups=4)(torch.tensor([[1.0, 2.0, 3.0, 6.0]])), Bound(2)(torch.zeros(1, 2))
    (tensor([3.]), tensor([0.]))
    """

    samples: int = 1
    groups: int = 1
    elbo: float = 0.0
    partial: bool = False

    def __post_init__(self) -> None:
        if self.samples % self.groups:
            raise InvalidParameter(f"groups must divide samples = {self.samples}. Got {self.groups}.")

    def __call__(self, cost: Float[Tensor, "n samples"]) -> Float[Tensor, "n"]:
        """The bound of each row."""
        grouped = -cost.unflatten(1, (self.groups, -1))
        tight = (math.log(grouped.shape[2]) - grouped.logsumexp(2)).mean(1)
        return (1 - self.elbo) * tight + self.elbo * cost.mean(1)

    def weights(self, cost: Float[Tensor, "n samples"]) -> Float[Tensor, "n samples"]:
        """The share of each draw in the bound of its row: how much that grows with the draw's cost."""
        tight = torch.softmax(-cost.unflatten(1, (self.groups, -1)), 2).flatten(1) / self.groups
        return (1 - self.elbo) * tight + self.elbo / self.samples


class Bottleneck(nn.Module, ABC):
    """What passes the waist: ``width`` numbers in on axis 1, ``latent`` numbers out on axis 1."""

    width: int
    latent: int
    grid: bool = False  # whether it wants the encoder's grid of codes rather than one code per row

    @abstractmethod
    def forward(self, h: Float[Tensor, "n width *grid"]) -> Code:
        """The code of each row and its costs; in evaluation the same row always gives the same code."""

    def draw(self, h: Float[Tensor, "n width *grid"], samples: int) -> Code:
        """The codes of ``samples`` draws per row, row by row: (n * samples) rows."""
        return self(h.repeat_interleave(samples, 0))

    @abstractmethod
    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        """Codes as the prior would draw them."""


class Likelihood(nn.Module, ABC):
    """How probable values are, given the decoder's output.

    ``width`` is the number of decoder outputs, on axis 1, for the ``columns`` values on axis 1 of a row.
    """

    width: int
    columns: int

    def owners(self) -> Int[Tensor, "width"]:
        """The column that each output tells of; by default h holds a block of all columns per predicted parameter."""
        return torch.arange(self.width) % self.columns

    @abstractmethod
    def forward(self, h: Float[Tensor, "n width *grid"]) -> Distribution:
        """The distribution of the values; its ``sample``, ``mean`` and ``mode`` have the shape of the rows."""

    @abstractmethod
    def errors(
        self, h: Float[Tensor, "n width *grid"], x: Float[Tensor, "n *features"]
    ) -> Float[Tensor, "n *features"]:
        """-log p of each value in nats, without building the distribution."""

    def nominal(self) -> Bool[Tensor, "columns"]:
        """Which values are one of several, such as a category, between which lies nothing."""
        return torch.zeros(self.columns, dtype=torch.bool)

    @abstractmethod
    def best(self, h: Float[Tensor, "n width *grid"]) -> Float[Tensor, "n *features"]:
        """The value to put in place of a missing one: the mean of a number, the mode of a category."""


class Penalty(nn.Module, ABC):
    """A price on one trip in training, in nats per row; one that ``judges`` is a cost of held-out rows too."""

    name: ClassVar[str]
    judges: ClassVar[bool] = False  # whether the best weights are the best by this price too

    @abstractmethod
    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        """The price of each row of the trip."""


class Autoencoder(nn.Module):
    """A distribution reached through a bottleneck.

    A ``bound`` of more than one sample draws that many codes per row in training, whose costs it makes one.

    ``turns``, one whole number per value of a row, makes it an autoencoder of hidden values: a value is judged only
    while it is hidden. In training the corruption hides; in evaluation every value is hidden in its turn, together
    with those of the same number, so that nll is the sum of ``-log p(value | the values of other turns)``.

    Everything is ``p(x | given)`` where there are conditions (Sohn, Lee and Yan, 2015, NeurIPS): they are passed as
    ``given`` beside rows of the learned columns, or are columns of the rows (:meth:`reading`). Then rows go in and come
    out whole, and a given column is never corrupted, hidden or judged: its error is 0, its best value what it is.
    """

    turns: Tensor | None
    conditions: Given | None

    def __init__(
        self,
        encoder: nn.Module,
        bottleneck: Bottleneck,
        decoder: nn.Module,
        likelihood: Likelihood,
        *,
        corruption: nn.Module | None = None,
        penalties: Sequence[Penalty] = (),
        bound: Bound = Bound(),
        turns: Int[Tensor, "*features"] | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.bottleneck = bottleneck
        self.decoder = decoder
        self.likelihood = likelihood
        self.corruption = corruption
        self.penalties = nn.ModuleList(penalties)
        self.bound = bound
        self.register_buffer("turns", turns, persistent=False)
        self.register_module("conditions", None)

    def reading(self, conditions: Given | None) -> Self:
        """Itself, from now on of rows that hold their conditions as columns."""
        self.conditions = conditions
        return self

    def apart(self, x: Float[Tensor, "n *features"], given: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The learned columns of rows, and their conditions; what comes with ``given`` is apart already."""
        return (x, given) if given is not None or self.conditions is None else self.conditions(x)

    def whole(self, learned: Tensor, x: Tensor | None) -> Float[Tensor, "n *features"]:
        """Values of the learned columns beside the given columns of ``x``, if there are any."""
        return learned if self.conditions is None or x is None else self.conditions.whole(learned, x)

    def forward(
        self,
        x: Float[Tensor, "n *features"],
        given: Float[Tensor, "n given"] | None = None,
        seen: Float[Tensor, "n *features"] | None = None,
    ) -> Reconstruction:
        """One trip of ``x``, of which the encoder is shown ``seen``.

        By default that is ``x`` itself, corrupted in training mode; the sampling happens in training mode only.
        """
        if given is None and self.conditions is not None:
            return self._whole_trip(x, seen)
        if seen is None and self.turns is not None and not self.training:
            return self._in_turns(x, self.turns, given)
        if seen is None:
            seen = self.corruption(x) if self.training and self.corruption is not None else x
        observed = here(x)
        if self.training and self.bound.samples > 1:
            return self._weighted_trip(x, observed, seen, given)
        code = self.bottleneck(self.encoder(seen, given))
        output = self.decoder(code.z, given)
        errors = self._errors(output, x, observed, observed if self.turns is None else missing(seen))
        return Reconstruction(x, observed, seen, code, output, errors, errors.flatten(1).sum(1), given)

    def losses(self, x: Float[Tensor, "n *features"], given: Tensor | None = None) -> dict[str, Float[Tensor, "n"]]:
        """Every cost of every row in nats: ``nll``, the costs of the code and the penalties.

        In evaluation only those penalties count that judge.
        """
        trip = self(*self.apart(x, given))
        costs = {"nll": trip.nll, **trip.code.costs}
        due = [penalty for penalty in self.penalties if self.training or penalty.judges]
        return costs | {penalty.name: penalty(self, trip) for penalty in due}

    def encode(self, x: Float[Tensor, "n *features"], given: Tensor | None = None) -> Code:
        """The code of each row."""
        return self.bottleneck(self.encoder(*self.apart(x, given)))

    def best(self, x: Float[Tensor, "n *features"], given: Tensor | None = None) -> Float[Tensor, "n *features"]:
        """What the autoencoder would put in place of each value."""
        if given is None and self.conditions is not None:
            return self.conditions.whole(self.best(*self.conditions(x)), x)
        told = self.likelihood.best(self(x, given).output)
        if self.turns is None:
            return told
        return torch.where(x.isnan(), self.likelihood.best(self(x, given, x).output), told)

    def deviations(self, x: Float[Tensor, "n *features"], given: Tensor | None = None) -> Deviations:
        """How far each value of the learned columns is from the best one; 0 of a missing one."""
        trip = self(*self.apart(x, given))
        best = self.likelihood.best(trip.output)
        beyond = trip.errors - self.likelihood.errors(trip.output, best)
        signed = torch.sign(trip.x - best) * (2 * beyond.clamp_min(0)).sqrt()
        signed = torch.where(trip.observed, signed, 0.0)
        price = sum(trip.code.costs.values(), torch.zeros_like(trip.nll))
        return Deviations(trip.errors - signed.square() / 2, signed, price)

    def decode(self, z: Float[Tensor, "n latent *grid"], given: Tensor | None = None) -> Distribution:
        """The distribution of the values that a code stands for."""
        return self.likelihood(self.decoder(z, given))

    def sample(self, n: int, given: Tensor | None = None) -> Float[Tensor, "n *features"]:
        """New rows, of learned columns: a code from the prior, then values from the likelihood."""
        grid = getattr(self.decoder, "grid", ()) if self.bottleneck.grid else ()
        return self.decode(self.bottleneck.sample(n, grid), given).sample()

    def _whole_trip(self, x: Tensor, seen: Tensor | None) -> Reconstruction:
        """A trip of rows that hold their conditions, which cost nothing."""
        learned, given = self.apart(x)
        trip: Reconstruction = self(learned, given, None if seen is None else self.apart(seen)[0])
        seen, errors = self.whole(trip.seen, x), self.whole(trip.errors, torch.zeros_like(x))
        return replace(trip, x=x, observed=here(x), seen=seen, errors=errors)

    def _in_turns(self, x: Tensor, turn: Tensor, given: Tensor | None) -> Reconstruction:
        """Every value while it is hidden; the code and its costs are means over the turns."""
        hidden = turns.hidden(turn)
        code = self.bottleneck(turns.encoded(self.encoder, x, hidden, given))
        of = turn.index_select(0, self.likelihood.owners().to(turn.device))
        output, observed = turns.decoded(self.decoder, code.z, of, len(hidden), given), here(x)
        errors = self._errors(output, x, observed, observed)
        z, *costs = (turns.averaged(each, len(hidden)) for each in (code.z, *code.costs.values()))
        code = Code(z, dict(zip(code.costs, costs, strict=True)))
        return Reconstruction(x, observed, x, code, output, errors, errors.flatten(1).sum(1), given)

    def nll_of(self, output: Tensor, x: Tensor, observed: Tensor) -> Float[Tensor, "n"]:
        """-log p of each row under another output of the decoder; missing values cost nothing."""
        errors = self.likelihood.errors(output, torch.where(observed, x, 0.0))
        return torch.where(observed, errors, 0.0).flatten(1).sum(1)

    def _errors(self, output: Tensor, x: Tensor, observed: Tensor, judged: Tensor) -> Tensor:
        """-log p of each value, times 1 where it is judged and 0 elsewhere; 0 of a missing one."""
        whole = math.isfinite(x.detach().sum())
        errors = self.likelihood.errors(output, x if whole else torch.where(observed, x, 0.0))
        errors = errors if judged is observed else errors * judged
        return errors if whole else torch.where(observed, errors, 0.0)

    def _weighted_trip(self, x: Tensor, observed: Tensor, seen: Tensor, given: Tensor | None) -> Reconstruction:
        """K draws per row; errors weighed so that they and the cost of the code add up to the bound."""
        k, n = self.bound.samples, len(x)
        code = self.bottleneck.draw(self.encoder(seen, given), k)
        x_k, observed_k = x.repeat_interleave(k, 0), observed.repeat_interleave(k, 0)
        conditions = None if given is None else given.repeat_interleave(k, 0)
        output = self.decoder(code.z, conditions)
        judged = observed_k if self.turns is None else missing(seen).repeat_interleave(k, 0)
        errors = self._errors(output, x_k, observed_k, judged)
        price = sum(code.costs.values(), x.new_zeros(n * k)).view(n, k)
        total = errors.flatten(1).sum(1).view(n, k) + price
        bound = self.bound(total)
        if self.bound.partial:
            apart = self._errors(self.decoder(code.z.detach(), conditions), x_k, observed_k, judged)
            apart = apart.flatten(1).sum(1).view(n, k) + price.detach()  # moves only what lies behind the code
            bound = bound + Bound(k)(apart) - self.bound(apart)
        weight = self.bound.weights(total)
        errors = (weight.view(n, k, *[1] * (errors.dim() - 1)) * errors.view(n, k, *errors.shape[1:])).sum(1)
        first = slice(None, None, k)
        nll = errors.flatten(1).sum(1)
        costs = {"kl": bound - nll}
        code = Code(code.z[first], costs, None if code.tokens is None else code.tokens[first], code.posterior)
        return Reconstruction(x, observed, seen, code, output[first], errors, nll, given)


@contextmanager
def still(part: nn.Module) -> Iterator[None]:
    """A part as in evaluation, where it neither draws nor moves, and as it was outside."""
    training = part.training
    part.eval()
    try:
        yield
    finally:
        part.train(training)


def here(x: Float[Tensor, "n *features"]) -> Bool[Tensor, "n *features"]:
    """Which values are there. Comparing each costs five times as much as the sum that tells that none is NaN."""
    return torch.ones_like(x, dtype=torch.bool) if math.isfinite(x.detach().sum()) else ~x.isnan()
