"""The laws that every variant obeys, on rows, images, sequences, mixed and conditional tables; run them on your own.

A variant that obeys them trains with any trainer, saves, explains and imputes like those of the house. The laws find
what usually goes wrong: a cost averaged over the batch, a score that is drawn, a codebook that nothing moves.
``check_task`` does the same for tasks; see ``diabolo.checks.tasks``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args, get_origin

import torch
from torch import Tensor

from diabolo.autoencoder import Autoencoder
from diabolo.checks.tasks import check_task
from diabolo.errors import InvalidParameter, LawBroken
from diabolo.randomness import seeded
from diabolo.schedules import Anneal
from diabolo.schema import Column, Schema, numbers
from diabolo.variants import Variant

__all__ = ["KINDS", "LAWS", "Case", "Law", "check_task", "check_variant", "choices", "every_parameter_matters"]

ROWS = 8
EARLY = 0.05  # share of a training, at which what moves with it is on its way
LETTERS = ("a", "b", "c", "(unseen)")
MIXED = Schema(
    (
        Column("height"),
        Column("income", likelihood="StudentT", missing=True),
        Column("delay", likelihood="Laplace"),
        Column("member", "boolean", "Bernoulli"),
        Column("letter", "category", "Categorical", categories=LETTERS),
        Column("visits", "count", "NegativeBinomial", center=1.0, scale=0.5),
    ),
    sources=("height", "income", "delay", "member", "letter", "visits"),
)
TOLD = ("height", "letter")
CONDITIONAL = replace(MIXED, columns=tuple(replace(each, given=each.name in TOLD) for each in MIXED.columns))
KINDS: Mapping[str, Schema] = {
    "row": numbers(6),
    "image": numbers(1, "image", (16, 16)),
    "sequence": numbers(2, "series", (12,)),
    "mixed table": MIXED,
    "conditional table": CONDITIONAL,
}


@dataclass(frozen=True)
class Case:
    """A variant on one kind of data."""

    variant: Variant
    kind: str
    schema: Schema

    def rows(self, seed: int = 0) -> Tensor:
        """Eight made-up rows of this kind; those of the mixed tables lack some values."""
        with seeded(seed, ROWS):
            x = torch.randn(ROWS, *self.schema.shape)
            for place, column in enumerate(self.schema.columns):
                x[:, place] = _of_kind(column, x[:, place])
        return x

    def build(self, seed: int = 1) -> Autoencoder:
        """The autoencoder in training mode, with the weights of this seed."""
        with seeded(seed):
            return self.variant.build(self.schema).train()

    def demand(self, holds: bool, law: Law, found: str) -> None:
        """Raise LawBroken unless it ``holds``."""
        if not holds:
            raise LawBroken(f"{self.variant!r} breaks a law on the {self.kind}. {law.__doc__} Found: {found}.")


Law = Callable[[Case], None]


def check_variant(variant: Variant, kinds: Sequence[str] = tuple(KINDS)) -> None:
    """Raise LawBroken, naming law, variant and data, for the first law that ``variant`` breaks on any of ``kinds``.

    Under a second for most variants; the global random state is left alone. Raises InvalidParameter for an unknown
    kind.

    >>> from diabolo.variants import VAE
    >>> check_variant(VAE(latent=2), kinds=["row"])
    """
    unknown = set(kinds) - set(KINDS)
    if unknown:
        raise InvalidParameter(f"kinds must be some of {', '.join(KINDS)}. Got {', '.join(sorted(unknown))}.")
    cases = [Case(variant, kind, KINDS[kind]) for kind in kinds]
    for case in cases:
        for law in LAWS:
            law(case)
    every_parameter_matters(cases)


def costs_are_per_row(case: Case) -> None:
    """Every cost is one finite number per row, of shape (n,)."""
    for autoencoder in _both_modes(case):
        for name, cost in _drawn(autoencoder, case.rows()).items():
            case.demand(
                cost.shape == (ROWS,), costs_are_per_row, f"{name} of shape {tuple(cost.shape)} for {ROWS} rows"
            )
            case.demand(bool(cost.isfinite().all()), costs_are_per_row, f"{name} that is not finite")


def errors_add_up(case: Case) -> None:
    """Errors are one number per value, and those of a row add up to its nll."""
    for autoencoder in _both_modes(case):
        x = case.rows()
        with seeded(2):
            trip = autoencoder(x)
        case.demand(trip.errors.shape == x.shape, errors_add_up, f"errors of shape {tuple(trip.errors.shape)}")
        gap = (trip.errors.flatten(1).sum(1) - trip.nll).abs().max()
        case.demand(bool(gap < 1e-4 * (1 + trip.nll.abs().max())), errors_add_up, f"a gap of {gap:.3g} nats")


def every_parameter_learns(case: Case) -> None:
    """Training moves every parameter: each gets a gradient from the sum of the costs."""
    autoencoder = case.build()
    moved: set[str] = set()
    for seed in range(3):
        autoencoder.zero_grad()
        _total(_drawn(autoencoder, case.rows(seed), seed)).backward()
        moved |= {name for name, each in autoencoder.named_parameters() if each.grad is not None and each.grad.any()}
    still = [name for name, _ in autoencoder.named_parameters() if name not in moved]
    case.demand(not still, every_parameter_learns, f"no gradient in {', '.join(still)}")


def every_cost_reaches_the_encoder(case: Case) -> None:
    """Every cost moves the encoder: its gradient there is not zero."""
    autoencoder = case.build()
    weights = list(autoencoder.encoder.parameters())
    for name, cost in _drawn(autoencoder, case.rows()).items():
        slopes = []
        if cost.requires_grad:
            slopes = list(torch.autograd.grad(cost.sum(), weights, retain_graph=True, allow_unused=True))
        reached = any(slope is not None and bool(slope.any()) for slope in slopes)
        case.demand(reached, every_cost_reaches_the_encoder, f"no gradient from {name}")


def scoring_repeats(case: Case) -> None:
    """Scoring in evaluation mode gives the same bits every time, whatever the random state."""
    autoencoder = _trained(case).eval()
    first, second = (_scores(autoencoder, case.rows(), seed) for seed in (2, 3))
    different = [name for name, each in first.items() if not torch.equal(each, second[name])]
    case.demand(not different, scoring_repeats, f"{', '.join(different)} that changed")


def a_row_scores_alone(case: Case) -> None:
    """A row scored alone scores what it scores among others."""
    autoencoder = _trained(case).eval()
    together = _scores(autoencoder, case.rows())
    for row in range(3):
        alone = _scores(autoencoder, case.rows()[row : row + 1])
        different = [
            name for name, each in alone.items() if not torch.allclose(each[0], together[name][row], 1e-4, 1e-4)
        ]
        case.demand(not different, a_row_scores_alone, f"{', '.join(different)} of row {row} that changed")


def rows_do_not_leak(case: Case) -> None:
    """In training, too, a row's nll and code costs do not depend on the other rows, corruptions aside."""
    autoencoder = case.build()
    autoencoder.corruption = None
    changed = torch.cat([case.rows(5)[:1], case.rows()[1:]])
    start = _copied(autoencoder)
    costs = []
    for x in (case.rows(), changed):
        autoencoder.load_state_dict(start)
        with seeded(2):
            trip = autoencoder(x)
        costs.append({"nll": trip.nll, **trip.code.costs})
    different = [
        name for name, each in costs[0].items() if not torch.allclose(each[1:], costs[1][name][1:], 1e-4, 1e-4)
    ]
    case.demand(not different, rows_do_not_leak, f"{', '.join(different)} that changed with another row")


def missing_values_cost_nothing(case: Case) -> None:
    """A missing value has error 0, a row of them nll 0, and what training makes of them is finite."""
    x = case.rows()
    x[0].view(-1)[0] = torch.nan
    x[1] = torch.nan
    for autoencoder in _both_modes(case):
        with seeded(2):
            trip = autoencoder(x)
        case.demand(not trip.errors[x.isnan()].any(), missing_values_cost_nothing, "an error that is not 0")
        case.demand(
            not trip.nll[1].any(), missing_values_cost_nothing, f"{trip.nll[1]:.3g} nats for a row without values"
        )
        costs = _drawn(autoencoder, x)
        _total(costs).backward()
        broken = [
            name for name, each in autoencoder.named_parameters() if each.grad is not None and not _finite(each.grad)
        ]
        broken += [name for name, each in costs.items() if not _finite(each)]
        case.demand(not broken, missing_values_cost_nothing, f"numbers that are not finite in {', '.join(broken)}")


def given_columns_are_told(case: Case) -> None:
    """A given column costs nothing, is neither corrupted nor restored, and what it says changes the other costs."""
    told = torch.tensor([column.given for column in case.schema.columns])
    if not told.any():
        return
    x = case.rows()
    for autoencoder in _both_modes(case):
        with seeded(2):
            trip = autoencoder(x)
        case.demand(not trip.errors[:, told].any(), given_columns_are_told, "an error that is not 0")
        case.demand(_equal(trip.seen[:, told], x[:, told]), given_columns_are_told, "a corrupted value")
    with torch.no_grad():
        best = autoencoder.best(x)
    case.demand(_equal(best[:, told], x[:, told]), given_columns_are_told, "another value restored")
    first, second = (_scores(autoencoder, each)["errors"] for each in (x, torch.where(told, x.roll(1, 0), x)))
    case.demand(not torch.equal(first, second), given_columns_are_told, "the same costs whatever is given")


def weights_round_trip(case: Case) -> None:
    """The weights loaded into a new build give the same bits."""
    trained, fresh = _trained(case).eval(), case.build(seed=9).eval()
    fresh.load_state_dict(_copied(trained))
    first, second = _scores(trained, case.rows()), _scores(fresh, case.rows())
    different = [name for name, each in first.items() if not torch.equal(each, second[name])]
    case.demand(not different, weights_round_trip, f"{', '.join(different)} that changed")


LAWS: tuple[Law, ...] = (
    costs_are_per_row,
    errors_add_up,
    every_parameter_learns,
    every_cost_reaches_the_encoder,
    scoring_repeats,
    a_row_scores_alone,
    rows_do_not_leak,
    missing_values_cost_nothing,
    given_columns_are_told,
    weights_round_trip,
)


def every_parameter_matters(cases: Sequence[Case]) -> None:
    """Changing any parameter of the variant changes the built parts, the costs or the scores on some kind of data."""
    for name in cases[0].variant.parameters():
        pairs = list(_pairs(cases[0].variant, name))
        matters = any(_differ(a, b, case) for a, b in pairs for case in cases)
        cases[0].demand(matters or not pairs, every_parameter_matters, f"'{name}' that changes nothing")  # type: ignore[arg-type]


def choices(variant: Variant) -> list[Variant]:
    """``variant`` with each choice (a bool, or one of several names) changed, one at a time.

    >>> from diabolo.variants import Vanilla
    >>> [each.tied for each in choices(Vanilla(scale="unit")) if each.tied]
    [True]
    """
    picked = [
        (name, each) for name, each in variant.parameters().items() if _plain(each.hint) is bool or _names(each.hint)
    ]
    return [
        _changed(variant, name, other) for name, each in picked for other in _others(each.hint, getattr(variant, name))
    ]


def _pairs(variant: Variant, name: str) -> Iterator[tuple[Variant, Variant]]:
    """Pairs that differ in ``name`` only; some parameters matter only where a choice is made."""
    for base in (variant, *choices(variant)):
        for other in _others(variant.parameters()[name].hint, getattr(base, name)):
            yield base, _changed(base, name, other)


def _others(hint: Any, value: Any) -> list[Any]:
    """Other values to try in place of ``value``."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, str):
        return [each for each in _names(hint) if each != value]
    if isinstance(value, (int, float)):
        step = 1 if _plain(hint) is int else 0.5
        return [
            each for each in (value + step, 2 * value, value / 2, value + 16) if each != value and _fits(hint, each)
        ]
    return [value + value[-1:], value[:-1]] if isinstance(value, tuple) and value else []


def _fits(hint: Any, value: float) -> bool:
    return _plain(hint) is not int or float(value).is_integer()


def _plain(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _names(hint: Any) -> tuple[str, ...]:
    return get_args(_plain(hint)) if get_origin(_plain(hint)) is Literal else ()


def _changed(variant: Variant, name: str, value: Any) -> Variant:
    value = int(value) if _plain(variant.parameters()[name].hint) is int else value
    return type(variant)(**(variant.get_params(deep=False) | {name: value}))


def _differ(first: Variant, second: Variant, case: Case) -> bool:
    """Whether anything differs between two variants; a pair of which one is not allowed shows nothing."""
    try:
        a, b = (list(_traces(Case(each, case.kind, case.schema))) for each in (first, second))
    except InvalidParameter:
        return False
    return len(a) != len(b) or any(x.shape != y.shape or not torch.equal(x, y) for x, y in zip(a, b, strict=True))


def _traces(case: Case) -> Iterator[Tensor]:
    autoencoder = case.build()
    for part in autoencoder.modules():
        if isinstance(part, Anneal):
            part.reach(EARLY)
    yield from autoencoder.state_dict().values()
    for seed in range(2):
        yield from _drawn(autoencoder, case.rows(seed)).values()
    yield from _scores(autoencoder.eval(), case.rows()).values()


def _both_modes(case: Case) -> Iterator[Autoencoder]:
    autoencoder = case.build()
    yield autoencoder
    yield autoencoder.eval()


def _trained(case: Case) -> Autoencoder:
    """After three steps, so that running numbers have moved."""
    autoencoder = case.build()
    optimiser = torch.optim.SGD(autoencoder.parameters(), 1e-3)
    for seed in range(3):
        optimiser.zero_grad()
        (_total(_drawn(autoencoder, case.rows(seed), seed)) / ROWS).backward()
        torch.nn.utils.clip_grad_norm_(autoencoder.parameters(), 10.0)
        optimiser.step()
    return autoencoder


def _drawn(autoencoder: Autoencoder, x: Tensor, seed: int = 2) -> dict[str, Tensor]:
    with seeded(seed):
        return autoencoder.losses(x)


def _scores(autoencoder: Autoencoder, x: Tensor, seed: int = 2) -> dict[str, Tensor]:
    with torch.no_grad(), seeded(seed):
        trip = autoencoder(x)
        return {"nll": trip.nll, "errors": trip.errors, "the code": trip.code.z, **trip.code.costs}


def _total(costs: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([cost.sum() for cost in costs.values()]).sum()


def _copied(autoencoder: Autoencoder) -> dict[str, Tensor]:
    return {name: each.clone() for name, each in autoencoder.state_dict().items()}


def _equal(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first, second, 0.0, 0.0, equal_nan=True)


def _finite(x: Tensor) -> bool:
    return bool(x.isfinite().all())


def _of_kind(column: Column, noise: Tensor) -> Tensor:
    """Standard normal numbers turned into values of the column."""
    if column.kind == "category":
        return (noise.abs() * 2).floor().clamp(max=len(column.categories) - 1)
    if column.kind == "count":
        return torch.expm1(column.center + column.scale * noise).clamp_min(0).round()
    values = (noise > 0).float() if column.kind == "boolean" else noise
    return torch.where(noise > 1, torch.nan, values) if column.missing else values
