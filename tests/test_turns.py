"""Values judged in turns: the short way through dense layers says what the plain way says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diabolo.autoencoder import Autoencoder
from diabolo.checks import KINDS
from diabolo.networks import turns
from diabolo.randomness import seeded
from diabolo.schema import Schema, numbers
from diabolo.variants import Masked

MIXED = KINDS["mixed table"]
SETTINGS = {
    "default": Masked(),
    "squared error": Masked(scale="unit"),
    "learned scale": Masked(scale="learned", hidden=(16, 8), activation="relu"),
    "one layer": Masked(hidden=()),
    "two turns": Masked(turns=2),
    "more turns than values": Masked(turns=99),
}


def rows(schema: Schema, missing: float = 0.2) -> Tensor:
    with seeded(0):
        x = torch.randn(40, *schema.shape)
        for place, column in enumerate(schema.columns):
            if column.kind != "number":
                x[:, place] = (x[:, place] > 0).float()
        x[20:][torch.rand(20, *schema.shape) < missing] = torch.nan
    return x


def built(variant: Masked, schema: Schema) -> Autoencoder:
    with seeded(1):
        autoencoder = variant.build(schema).eval()
        for weight in autoencoder.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    return autoencoder


def plainly(autoencoder: Autoencoder, x: Tensor) -> Tensor:
    """The error of each learned value, a trip per turn."""
    x, given = autoencoder.apart(x)
    errors = torch.zeros_like(x)
    for turn in autoencoder.turns.unique():
        hidden = autoencoder.turns == turn
        errors += autoencoder(x, given, torch.where(hidden, torch.nan, x)).errors * hidden
    return errors


@pytest.mark.parametrize("kind", ["wide", *KINDS])
@pytest.mark.parametrize("setting", SETTINGS)
@torch.no_grad()
def test_errors_are_those_of_a_trip_per_turn(setting: str, kind: str) -> None:
    schema = KINDS.get(kind, numbers(30))
    autoencoder, x = built(SETTINGS[setting], schema), rows(schema)
    trip = autoencoder(x)
    torch.testing.assert_close(autoencoder.apart(trip.errors)[0], plainly(autoencoder, x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(trip.nll, trip.errors.flatten(1).sum(1))


@pytest.mark.parametrize("schema", [numbers(5), MIXED], ids=["numbers", "mixed"])
@torch.no_grad()
def test_best_values_are_those_of_a_trip_per_turn(schema: Schema) -> None:
    autoencoder, x = built(Masked(), schema), rows(schema, missing=0.0)
    best = autoencoder.best(x)
    for turn in autoencoder.turns.unique():
        hidden = autoencoder.turns == turn
        told = autoencoder.likelihood.best(autoencoder(x, seen=torch.where(hidden, torch.nan, x)).output)
        torch.testing.assert_close(best[:, hidden], told[:, hidden], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_value_is_never_judged_by_itself() -> None:
    """The best guess of a value does not move when the value does, and some other guess does."""
    autoencoder, x = built(Masked(), numbers(6)), torch.zeros(6, 6)
    moved = x + 3 * torch.eye(6)
    change = (autoencoder.best(moved) - autoencoder.best(x)).abs()
    assert not change.diagonal().any()
    assert (change.sum(1) > 0.01).all()


@torch.no_grad()
def test_a_row_does_not_notice_the_holes_of_others() -> None:
    autoencoder, x = built(Masked(), numbers(30)), rows(numbers(30))
    assert torch.equal(autoencoder(x).errors[:16], autoencoder(x[:16]).errors)


def test_gradients_reach_the_rows_in_evaluation() -> None:
    x = rows(numbers(6), missing=0.0).requires_grad_()
    built(Masked(), numbers(6))(x).nll.sum().backward()
    assert x.grad.isfinite().all() and x.grad.any()


@torch.no_grad()
def test_outputs_belong_to_the_columns_that_they_move() -> None:
    """``owners`` against what happens to the errors when one output changes."""
    for schema in (numbers(4), MIXED):
        likelihood, x = Masked().build(schema).likelihood, rows(schema, missing=0.0)[:1]
        h = torch.zeros(1, likelihood.width)
        for output, owner in enumerate(likelihood.owners().tolist()):
            other = h.clone()
            other[0, output] = 1.0
            moved = (likelihood.errors(other, x) != likelihood.errors(h, x))[0].nonzero().flatten().tolist()
            assert moved in ([owner], [])


def test_the_mean_over_turns_is_one() -> None:
    x = torch.randn(6, 2, 3)
    torch.testing.assert_close(turns.averaged(x, 3), x.view(2, 3, 2, 3).mean(1))
