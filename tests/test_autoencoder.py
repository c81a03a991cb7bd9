"""The autoencoder with parts so small that everything it says can be computed by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal as Density

from diabolo.autoencoder import Autoencoder, Bound, Penalty, Reconstruction, still
from diabolo.bottlenecks import Gaussian, Plain
from diabolo.likelihoods import Bernoulli, Normal
from diabolo.randomness import seeded
from diabolo.schema import numbers
from diabolo.variants import Vanilla

NAN, CONSTANT = math.nan, 0.5 * math.log(2 * math.pi)
ROWS = torch.tensor([[1.0, 2.0, 4.0], [NAN, 0.5, -1.0], [NAN, NAN, NAN]])
FACTORS, TURNS = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 1, 0])


def total(x: Tensor, given: Tensor | None = None) -> Tensor:
    return x.nan_to_num().sum(1, keepdim=True) + (0 if given is None else given)


def uncertain(x: Tensor, given: Tensor | None = None) -> Tensor:
    return nn.functional.pad(total(x, given), (0, 1))


def spread(z: Tensor, given: Tensor | None = None) -> Tensor:
    return z * FACTORS + (0 if given is None else given)


def hide_first(x: Tensor) -> Tensor:
    return torch.cat((torch.full_like(x[:, :1], NAN), x[:, 1:]), 1)


def built(encoder: Callable[..., Tensor] = total, **parts: Any) -> Autoencoder:
    bottleneck = Gaussian(1) if encoder is uncertain else Plain(1)
    return Autoencoder(encoder, bottleneck, spread, Normal(3, "unit"), **parts).eval()


def told(x: Tensor, given: Tensor | None = None, turns: Tensor | None = None) -> np.ndarray:
    """What the parts say of each value, in loops: the sum of the values it may see, times its factor."""
    rows, out, more = x.numpy(), np.zeros(x.shape), np.zeros(len(x)) if given is None else given[:, 0].numpy()
    for i, j in np.ndindex(*x.shape):
        seen = [k for k in range(3) if turns is None or turns[k] != turns[j]]
        out[i, j] = (np.nansum(rows[i, seen]) + more[i]) * (j + 1) + more[i]
    return out


def costs(x: Tensor, guess: np.ndarray) -> Tensor:
    """-log p of each value under a normal of spread 1; 0 of a missing one."""
    return torch.tensor(np.nan_to_num(0.5 * (x.numpy() - guess) ** 2 + CONSTANT)).float()


@pytest.mark.parametrize("turns", [None, TURNS], ids=["at once", "in turns"])
@pytest.mark.parametrize("given", [None, torch.tensor([[1.0], [-2.0], [5.0]])], ids=["alone", "given"])
def test_nll_by_hand(turns: Tensor | None, given: Tensor | None) -> None:
    trip = built(turns=turns)(ROWS, given)
    expected = costs(ROWS, told(ROWS, given, turns))
    torch.testing.assert_close(trip.errors, expected)
    torch.testing.assert_close(trip.nll, expected.sum(1))
    assert trip.nll[2] == 0 and torch.equal(trip.observed, ~ROWS.isnan())


def test_best_fills_holes_from_the_whole_row_and_guesses_values_without_themselves() -> None:
    expected = np.where(ROWS.isnan(), told(ROWS), told(ROWS, turns=TURNS))
    np.testing.assert_allclose(built(turns=TURNS).best(ROWS), expected, rtol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_seen_is_shown_and_x_is_judged(training: bool) -> None:
    trip = built(corruption=hide_first).train(training)(ROWS, seen=torch.tensor([[10.0, NAN, 0.0]] * 3))
    torch.testing.assert_close(trip.errors, costs(ROWS, np.tile([10.0, 20.0, 30.0], (3, 1))))


def test_in_training_turns_judge_only_what_the_corruption_hides() -> None:
    trip = built(turns=TURNS, corruption=hide_first).train()(ROWS)
    torch.testing.assert_close(trip.errors, costs(ROWS, told(hide_first(ROWS))) * torch.tensor([1.0, 0, 0]))


def test_turns_judge_only_what_is_hidden_also_under_several_draws() -> None:
    built_so = built(uncertain, turns=TURNS, corruption=hide_first, bound=Bound(4)).train()
    assert (built_so(ROWS).errors != 0).tolist() == [[not each.isnan(), False, False] for each in ROWS[:, 0]]


def test_corruption_is_for_training() -> None:
    assert built(corruption=hide_first).train()(ROWS).seen[:, 0].isnan().all()
    assert built(corruption=hide_first)(ROWS).seen is ROWS


@pytest.mark.parametrize("given", [None, torch.tensor([[0.1], [0.2], [0.3]])], ids=["alone", "given"])
@pytest.mark.parametrize("k", [2, 5])
def test_importance_weighted_costs_add_up_to_the_bound(k: int, given: Tensor | None) -> None:
    """-log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x), of the very codes that were drawn."""
    x, autoencoder = ROWS / 4, built(uncertain, bound=Bound(k)).train()
    with seeded(3):
        trip = autoencoder(x, given)
    with seeded(3):  # the same codes again
        z = autoencoder.bottleneck.draw(uncertain(x, given), k).z.view(3, k, 1)
    values = Density(spread(z, None if given is None else given[:, None]), 1.0).log_prob(x.nan_to_num()[:, None])
    log_p = torch.where(x.isnan()[:, None], 0.0, values).sum(-1)
    log_q = Density(total(x, given)[:, None], 1.0001).log_prob(z)
    ratio = log_p + (Density(0.0, 1.0).log_prob(z) - log_q).squeeze(-1)
    bound = math.log(k) - ratio.logsumexp(1)
    torch.testing.assert_close(trip.nll, -(ratio.softmax(1) * log_p).sum(1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(trip.nll + sum(trip.code.costs.values()), bound, rtol=1e-4, atol=1e-4)
    assert torch.equal(trip.errors.sum(1), trip.nll) and trip.code.z.shape == (3, 1)


def test_under_several_draws_a_row_keeps_a_code_of_its_own() -> None:
    """Code and output are those of the first draw, whatever the other rows are."""
    autoencoder, trips = built(uncertain, bound=Bound(4)).train(), []
    for others in (0.0, 9.0):
        with seeded(3):
            trips.append(autoencoder(torch.cat((torch.full((2, 3), others), ROWS[:1]))))
    first, again = trips
    assert torch.equal(first.code.z[2], again.code.z[2]) and torch.equal(first.output[2], again.output[2])
    assert not torch.equal(first.code.z[0], again.code.z[0])


class Halved(Penalty):
    """Half of what a row costs."""

    name = "halved"

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Tensor:
        return trip.nll / 2


class Judged(Halved):
    """The same, of held-out rows too."""

    name = "judged"
    judges = True


def test_in_evaluation_only_penalties_that_judge_are_costs() -> None:
    autoencoder = built(penalties=[Halved(), Judged()])
    held_out = autoencoder.losses(ROWS)
    assert list(held_out) == ["nll", "judged"] and torch.equal(held_out["judged"], held_out["nll"] / 2)
    assert list(autoencoder.train().losses(ROWS)) == ["nll", "halved", "judged"]


def test_evaluation_draws_nothing() -> None:
    torch.testing.assert_close(built(uncertain, bound=Bound(4))(ROWS).errors, costs(ROWS, told(ROWS)))


def test_samples_vary_by_code_and_by_value() -> None:
    """A standard normal code times (1, 2, 3), plus the conditions, plus noise of spread 1."""
    with seeded(0):
        rows = built().sample(40_000, torch.full((40_000, 1), 5.0))
    torch.testing.assert_close(rows.mean(0), torch.full((3,), 5.0), rtol=0, atol=0.06)
    torch.testing.assert_close(rows.T.cov(), torch.outer(FACTORS, FACTORS) + torch.eye(3), rtol=0.04, atol=0.04)


@pytest.mark.parametrize("turns", [None, TURNS], ids=["at once", "in turns"])
def test_deviations_take_errors_apart(turns: Tensor | None) -> None:
    """Under a normal of spread 1 they are the differences themselves, and the best values cost its constant."""
    apart = built(turns=turns).deviations(ROWS)
    away = torch.tensor(np.nan_to_num(ROWS.numpy() - told(ROWS, turns=turns))).float()
    there = (~ROWS.isnan()).float()
    assert torch.allclose(apart.signed, away, atol=1e-5) and torch.allclose(apart.least, CONSTANT * there, atol=1e-4)
    assert torch.equal(apart.price, torch.zeros(3))


def test_deviations_hold_the_price_of_the_code() -> None:
    trip, apart = built(uncertain)(ROWS), built(uncertain).deviations(ROWS)
    assert torch.equal(apart.price, trip.code.costs["kl"]) and apart.price[0] > 0
    assert torch.allclose(apart.least + apart.signed.square() / 2, trip.errors)


def test_a_value_likelier_than_the_best_one_deviates_by_nothing() -> None:
    """The mean of a boolean is no value that it takes: the likelier of the two costs less."""
    likely = Autoencoder(total, Plain(1), spread, Bernoulli(3)).eval()
    x = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    apart = likely.deviations(torch.cat((x, 1 - x)))
    assert not apart.signed[0].any() and (likely.deviations(torch.tensor([[1.0, 0.0, 1.0]])).signed[0, 1] < -1).all()
    assert torch.allclose(apart.least + apart.signed.square() / 2, likely(torch.cat((x, 1 - x))).errors)


def test_several_draws_of_a_code_without_a_price() -> None:
    autoencoder = Vanilla(latent=2).build(numbers(4))
    autoencoder.bound = Bound(3)
    assert autoencoder.losses(torch.zeros(5, 4))["nll"].shape == (5,)


def test_a_part_is_still_inside_and_as_it_was_outside() -> None:
    part = nn.Dropout(0.5)
    for training in (True, False):
        with pytest.raises(ZeroDivisionError), still(part.train(training)):
            assert not part.training
            raise ZeroDivisionError
        assert part.training == training
