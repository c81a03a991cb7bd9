"""Mixtures of Gaussians against scipy and scikit-learn, and their samples against themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans

from diabolo.batches import Batch
from diabolo.errors import InvalidData
from diabolo.randomness import seeded
from diabolo.tasks.mixture import Mixture


def groups(count: int = 200, scale: float = 1.0) -> torch.Tensor:
    dice = np.random.default_rng(0)
    shape = np.array([[1.0, 0.0], [0.8, 0.6]])
    return torch.from_numpy(
        scale * np.vstack([np.add(place, dice.normal(size=(count, 2)) @ shape.T) for place in ([0, 0], [9, 0], [0, 9])])
    ).float()


def test_density_is_that_of_scipy() -> None:
    z = groups()
    mixture = Mixture.of_gaussians(Batch(z), 3, seed=0)
    parts = [
        float(weight) * multivariate_normal(mean.numpy(), (factor @ factor.T).numpy()).pdf(z.double().numpy())
        for weight, mean, factor in zip(mixture.weights, mixture.means, mixture.factors, strict=True)
    ]
    assert mixture.log_density(z).numpy() == pytest.approx(np.log(np.sum(parts, 0)), abs=1e-9)
    assert mixture.shares(z).numpy() == pytest.approx((np.array(parts) / np.sum(parts, 0)).T, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_groups_are_found_whatever_the_unit(scale: float) -> None:
    mixture = Mixture.of_gaussians(Batch(groups(scale=scale)), 3, seed=0)
    found = mixture.joint(groups(scale=scale)).argmax(1).view(3, -1)
    assert (found == found[:, :1]).all() and len(found[:, 0].unique()) == 3
    assert sorted(mixture.means.sum(1).tolist()) == pytest.approx([0, 9 * scale, 9 * scale], abs=0.3 * scale)


def test_means_are_those_of_k_means() -> None:
    z = groups()
    mixture = Mixture.of_means(Batch(z), 3, seed=0)
    model = KMeans(3, n_init=3, random_state=0).fit(z.numpy())
    pairs = np.c_[mixture.joint(z).argmax(1).numpy(), model.labels_]
    assert len(np.unique(pairs, axis=0)) == 3


def test_samples_have_the_moments_of_the_mixture() -> None:
    mixture = Mixture.of_gaussians(Batch(groups()), 3, seed=0)
    with seeded(0):
        drawn = mixture.sample(40_000).double()
    assert drawn.mean(0).tolist() == pytest.approx((mixture.weights @ mixture.means).tolist(), abs=0.1)
    assert np.cov(drawn.T.numpy()) == pytest.approx(np.cov(groups().T.numpy()), abs=0.5)


def test_a_weight_is_so_many_rows() -> None:
    z, weight = groups(60), torch.arange(180) % 3
    some = weight > 0
    weighed = Mixture.of_means(Batch(z[some], weight[some].float()), 3, seed=0)
    repeated = Mixture.of_means(Batch(z.repeat_interleave(weight, 0)), 3, seed=0)
    assert sorted(weighed.means.sum(1).tolist()) == pytest.approx(sorted(repeated.means.sum(1).tolist()), abs=1e-6)
    first = (torch.arange(180) < 60).float() + 1e-6  # the other groups hardly weigh anything
    assert Mixture.of_gaussians(Batch(z, first), 1, seed=0).means.abs().max() < 1


def test_few_codes_make_few_clusters() -> None:
    z = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    for find in (Mixture.of_gaussians, Mixture.of_means):
        mixture = find(Batch(z), 5, seed=0)
        assert len(mixture.weights) == 2 and torch.isfinite(mixture.log_density(z)).all()
        assert len(find(Batch(z[:2]), 5, seed=0).weights) == 1


def test_no_direction_is_narrower_than_a_hundredth_of_the_deviation_of_the_codes() -> None:
    z = torch.tensor([[0.0, 0.0], [6.0, 8.0]])
    for find in (Mixture.of_gaussians, Mixture.of_means):
        spread = find(Batch(z.repeat(5, 1)), 2, seed=0).factors.diagonal(dim1=1, dim2=2)
        assert spread.flatten().tolist() == pytest.approx([0.01 * 12.5**0.5] * 4, rel=1e-3)


def test_state_is_everything_and_is_checked() -> None:
    mixture = Mixture.of_gaussians(Batch(groups()), 3, seed=0)
    again = Mixture.restored(mixture.state(), 2)
    assert torch.equal(again.log_density(groups()), mixture.log_density(groups()))
    for spoilt in ({"means": mixture.means[:, :1]}, {"weights": mixture.weights[:2]}, {"factors": mixture.means}):
        with pytest.raises(InvalidData, match="codes of 2 numbers"):
            Mixture.restored(mixture.state() | spoilt, 2)
