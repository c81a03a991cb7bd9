"""The autoencoder with parts so small that everything it says can be computed by hand.

The code is the sum of a row; the decoder tells the columns to be the code times 1, 2 and 3; conditions are added.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal as Density

from diabolo.autoencoder import Autoencoder
from diabolo.bottlenecks import Gaussian, Plain
from diabolo.likelihoods import Normal
from diabolo.randomness import seeded

NAN = math.nan
CONSTANT = 0.5 * math.log(2 * math.pi)
ROWS = torch.tensor([[1.0, 2.0, 4.0], [0.5, NAN, -1.0], [NAN, NAN, NAN]])
FACTORS, TURNS = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 1, 0])


def total(x: Tensor, given: Tensor | None = None) -> Tensor:
    return x.nan_to_num().sum(1, keepdim=True) + (0 if given is None else given)


def uncertain(x: Tensor, given: Tensor | None = None) -> Tensor:
    return nn.functional.pad(total(x, given), (0, 1))


def spread(z: Tensor, given: Tensor | None = None) -> Tensor:
    return z * FACTORS + (0 if given is None else given)


class Price(nn.Module):
    name, forward = "price", lambda self, autoencoder, trip: torch.full_like(trip.nll, 7.0)


def hiding(x: Tensor) -> Tensor:
    return torch.where(torch.tensor([True, False, False]), NAN, x)


def plain(**parts: Any) -> Autoencoder:
    return Autoencoder(total, Plain(1), spread, Normal(3, "unit"), **parts).eval()


def weighted(samples: int) -> Autoencoder:
    return Autoencoder(uncertain, Gaussian(1), spread, Normal(3, "unit"), samples=samples)


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
    trip = plain(turns=turns)(ROWS, given)
    expected = costs(ROWS, told(ROWS, given, turns))
    torch.testing.assert_close(trip.errors, expected)
    torch.testing.assert_close(trip.nll, expected.sum(1))
    assert trip.nll[2] == 0 and torch.equal(trip.observed, ~ROWS.isnan())


def test_best_fills_holes_from_the_whole_row_and_guesses_values_without_themselves() -> None:
    np.testing.assert_allclose(plain().best(ROWS), told(ROWS), rtol=1e-6)
    expected = np.where(ROWS.isnan(), told(ROWS), told(ROWS, turns=TURNS))
    np.testing.assert_allclose(plain(turns=TURNS).best(ROWS), expected, rtol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_seen_is_shown_and_x_is_judged(training: bool) -> None:
    seen = torch.tensor([[10.0, NAN, 0.0]]).expand(3, 3)
    trip = plain(corruption=hiding).train(training)(ROWS, seen=seen)
    torch.testing.assert_close(trip.errors, costs(ROWS, np.tile([10.0, 20.0, 30.0], (3, 1))))


def test_in_training_turns_judge_only_what_the_corruption_hides() -> None:
    trip = plain(turns=TURNS, corruption=hiding).train()(ROWS)
    expected = costs(ROWS, told(torch.cat((torch.full((3, 1), NAN), ROWS[:, 1:]), 1))) * torch.tensor([1.0, 0, 0])
    torch.testing.assert_close(trip.errors, expected)


def test_corruption_and_penalties_are_for_training() -> None:
    autoencoder = plain(corruption=hiding, penalties=[Price()])
    assert set(autoencoder.losses(ROWS)) == {"nll"} and torch.equal(autoencoder(ROWS).seen[:1], ROWS[:1])
    losses = autoencoder.train().losses(ROWS)
    assert losses["price"].tolist() == [7.0] * 3 and not torch.equal(
        losses["nll"], autoencoder.eval().losses(ROWS)["nll"]
    )


@pytest.mark.parametrize("given", [None, torch.tensor([[0.1], [0.2], [0.3]])], ids=["alone", "given"])
@pytest.mark.parametrize("k", [2, 5])
def test_importance_weighted_costs_add_up_to_the_bound(k: int, given: Tensor | None) -> None:
    """-log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x), of the very codes that were drawn."""
    x, autoencoder = ROWS / 4, weighted(k).train()
    with seeded(3):
        trip = autoencoder(x, given)
    with seeded(3):  # the same codes again
        z = autoencoder.bottleneck.draw(uncertain(x, given), k).z.view(3, k, 1)
    output = spread(z, None if given is None else given[:, None])
    log_p = torch.where(x.isnan()[:, None], 0.0, Density(output, 1.0).log_prob(x.nan_to_num()[:, None])).sum(-1)
    posterior = Density(total(x, given)[:, None], 1.0001)
    ratio = log_p + (Density(0.0, 1.0).log_prob(z) - posterior.log_prob(z)).squeeze(-1)
    bound = math.log(k) - ratio.logsumexp(1)
    torch.testing.assert_close(trip.nll + sum(trip.code.costs.values()), bound, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(trip.errors.sum(1), trip.nll)
    assert trip.code.z.shape == (3, 1)


def test_evaluation_draws_nothing() -> None:
    torch.testing.assert_close(weighted(4).eval()(ROWS).errors, costs(ROWS, told(ROWS)))


def test_samples_vary_by_code_and_by_value() -> None:
    """A standard normal code times (1, 2, 3), plus the conditions, plus noise of spread 1."""
    with seeded(0):
        rows = plain().sample(40_000, torch.full((40_000, 1), 5.0))
    torch.testing.assert_close(rows.mean(0), torch.full((3,), 5.0), rtol=0, atol=0.06)
    torch.testing.assert_close(rows.T.cov(), torch.outer(FACTORS, FACTORS) + torch.eye(3), rtol=0.04, atol=0.04)
