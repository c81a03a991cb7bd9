"""Activity of code numbers against torch's own divergence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from diabolo.batches import Rows
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.evaluate import active_units, activity
from diabolo.randomness import seeded
from diabolo.schema import numbers
from diabolo.variants import VAE, VampPrior, Vanilla, Variant


def test_units_are_counted_by_the_variance_of_their_mean() -> None:
    codes = np.random.default_rng(0).normal(size=(5000, 3)) * [1.0, 0.12, 0.08]
    assert active_units(codes) == 2
    assert active_units(codes, threshold=0.001) == 3
    with pytest.raises(InvalidData, match="shape"):
        active_units(codes[0])


def test_nats_are_those_of_torch_over_all_rows() -> None:
    with seeded(0):
        autoencoder, x = VAE(latent=3).build(numbers(5)), torch.randn(5000, 5)
    found = activity(autoencoder.train(), Rows(x))
    with torch.no_grad():
        posterior = autoencoder.eval().encode(x).posterior
        nats = kl_divergence(posterior, Normal(0.0, 1.0))
        cost = float(autoencoder.encode(x).costs["kl"].mean())
    np.testing.assert_allclose(found.nats, nats.mean(0), rtol=1e-4)
    assert found.active == active_units(posterior.mean.numpy())
    assert found.nats.sum() == pytest.approx(cost, rel=1e-4)


def test_a_number_that_hears_nothing_has_collapsed() -> None:
    """The encoder's last layer gives the mean and the scale of each number; that of the second is cut."""
    with seeded(0):
        autoencoder, x = VAE(latent=3).build(numbers(5)), 9 * torch.randn(500, 5)
    last = [each for each in autoencoder.encoder.modules() if isinstance(each, torch.nn.Linear)][-1]
    with torch.no_grad():
        for cut in (1, 4):
            last.weight[cut], last.bias[cut] = 0.0, 0.0
        last.weight[[0, 2]] *= 5
    found = activity(autoencoder, Rows(x))
    assert (found.active, found.collapsed) == (2, 1)
    assert found.nats[1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("wrong", [Vanilla(latent=2), VAE(latent=2, members=2), VampPrior(latent=2)])
def test_other_codes_are_refused(wrong: Variant) -> None:
    with pytest.raises(InvalidParameter, match="take a single VAE"):
        activity(wrong.build(numbers(5)), Rows(torch.zeros(4, 5)))


def test_no_rows_are_refused() -> None:
    with pytest.raises(InvalidData, match="none"):
        activity(VAE(latent=2).build(numbers(5)), Rows(torch.zeros(0, 5)))
