from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from diabolo.autoencoder import Autoencoder, Bottleneck, Code, Penalty, Reconstruction
from diabolo.bottlenecks import Gaussian, Plain, TopK
from diabolo.corruptions import Hide
from diabolo.errors import InvalidParameter
from diabolo.likelihoods import fitting
from diabolo.networks import mirror
from diabolo.penalties import (
    L1,
    Adversary,
    Clusters,
    Contractive,
    Contrast,
    Covariance,
    Discriminator,
    Energy,
    Factors,
    Information,
    MeanDiscrepancy,
    Orthogonality,
    Outliers,
    Sparsity,
    TotalCorrelation,
)
from diabolo.randomness import seeded
from diabolo.schema import Column, Schema, numbers

LATENT = 3
PENALTIES = {
    "l1": lambda: L1(0.5),
    "clusters": lambda: Clusters(4, LATENT, 0.5),
    "sparsity": lambda: Sparsity(0.5),
    "contractive": lambda: Contractive(0.5),
    "total correlation": lambda: TotalCorrelation(0.5),
    "discrepancy": lambda: MeanDiscrepancy(0.5),
    "gaussian discrepancy": lambda: MeanDiscrepancy(0.5, kernel="gaussian"),
    "covariance": lambda: Covariance(0.5),
    "covariance of codes": lambda: Covariance(0.5, of="codes"),
    "factors": lambda: Factors(LATENT, (8,), 0.5),
    "adversary": lambda: Adversary(LATENT, (8,), 0.5),
    "energy by margin": lambda: Energy(0.5),
    "energy by score": lambda: Energy(0.5, by="score"),
}


def model(schema: Schema, bottleneck: Bottleneck) -> Autoencoder:
    likelihood = fitting(schema)
    encoder, decoder = mirror(schema, (8,), bottleneck.width, bottleneck.latent, likelihood.width)
    return Autoencoder(encoder, bottleneck, decoder, likelihood).train()


def trip_of(z: Tensor, scale: float = 1.0) -> Reconstruction:
    code = Code(z, {}, posterior=Normal(z, torch.full_like(z, scale)))
    zeros = torch.zeros(len(z), 1)
    return Reconstruction(zeros, zeros.bool(), zeros, code, zeros, zeros, zeros[:, 0])


@pytest.fixture
def rows() -> Tensor:
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    x[1, 2] = math.nan
    return x


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("n", [1, 6])
def test_one_finite_price_per_row_whose_gradient_reaches_the_encoder(name: str, n: int, rows: Tensor) -> None:
    penalty = PENALTIES[name]()
    autoencoder = model(numbers(4), Gaussian(LATENT) if name != "sparsity" else Plain(LATENT, nn.Sigmoid()))
    price = penalty(autoencoder, autoencoder(rows[:n]))
    assert price.shape == (n,) and price.isfinite().all()
    price.sum().backward()
    slopes = [each.grad for each in autoencoder.encoder.parameters() if each.grad is not None]
    assert all(slope.isfinite().all() for slope in slopes)
    if n > 1:
        assert sum(float(slope.abs().sum()) for slope in slopes) > 0


@pytest.mark.parametrize("name", PENALTIES)
def test_a_weight_of_zero_frees_the_encoder(name: str, rows: Tensor) -> None:
    penalty = PENALTIES[name]()
    penalty.weight = 0.0  # type: ignore[assignment]
    autoencoder = model(numbers(4), Gaussian(LATENT) if name != "sparsity" else Plain(LATENT, nn.Sigmoid()))
    penalty(autoencoder, autoencoder(rows)).sum().backward()
    assert all(each.grad is None or not each.grad.any() for each in autoencoder.encoder.parameters())


def test_l1_is_the_size_of_the_code() -> None:
    assert L1(2.0)(None, trip_of(torch.tensor([[1.0, -2.0], [0.0, 0.5]]))).tolist() == [6.0, 1.0]  # type: ignore[arg-type]


def test_shares_of_sparsity_have_the_mean_and_the_slope_of_the_divergence() -> None:
    z = torch.rand(9, 4).requires_grad_()
    rate = z.mean(0)
    divergence = (0.1 * (0.1 / rate).log() + 0.9 * (0.9 / (1 - rate)).log()).sum()
    (expected,) = torch.autograd.grad(divergence, z)
    price = Sparsity(1.0, rate=0.1)(None, trip_of(z)).mean()  # type: ignore[arg-type]
    torch.testing.assert_close(price, divergence)
    torch.testing.assert_close(torch.autograd.grad(price, z)[0], expected)


def test_sparsity_of_dead_and_saturated_codes_is_finite() -> None:
    z = torch.tensor([[0.0, 1.0], [0.0, 1.0]]).requires_grad_()
    price = Sparsity(1.0)(None, trip_of(z))  # type: ignore[arg-type]
    price.sum().backward()
    assert price.isfinite().all() and z.grad is not None and z.grad.isfinite().all()


def test_contractive_is_the_norm_of_the_jacobian(rows: Tensor) -> None:
    autoencoder = model(numbers(4), Plain(LATENT, nn.Tanh()))
    whole = rows.nan_to_num(0.0)
    price = Contractive(2.0)(autoencoder, autoencoder(whole))
    jacobian = torch.stack([torch.autograd.functional.jacobian(_code_of(autoencoder), row) for row in whole])
    torch.testing.assert_close(price, 2 * jacobian.square().sum((1, 2)))


def test_contractive_estimate_is_unbiased(rows: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    autoencoder = model(numbers(4), Plain(LATENT, nn.Tanh()))
    trip = autoencoder(rows)
    exact = Contractive(1.0)(autoencoder, trip)
    monkeypatch.setattr("diabolo.penalties.code.EXACT_UP_TO", 0)
    drawn = torch.stack([Contractive(1.0)(autoencoder, trip).detach() for _ in range(400)])
    assert ((drawn.mean(0) - exact).abs() < 5 * drawn.std(0) / 20).all()
    assert (drawn.std(0) > 0).any()


def test_contractive_reads_categories() -> None:
    schema = Schema((Column("a", "category", "Categorical", categories=("u", "v", "w")),))
    autoencoder = model(schema, Plain(2))
    price = Contractive(1.0)(autoencoder, autoencoder(torch.tensor([[0.0], [2.0], [math.nan]])))
    assert (price[:2] > 0).all() and price.isfinite().all()


def _code_of(autoencoder: Autoencoder):  # type: ignore[no-untyped-def]
    return lambda row: autoencoder.encode(row[None]).z[0]


@pytest.mark.parametrize("penalty", [TotalCorrelation(1.0), Covariance(1.0)], ids=["correlation", "covariance"])
def test_some_penalties_need_a_posterior(penalty: Penalty, rows: Tensor) -> None:
    autoencoder = model(numbers(4), Plain(LATENT))
    with pytest.raises(InvalidParameter, match="Gaussian"):
        penalty(autoencoder, autoencoder(rows))


@pytest.mark.parametrize("kernel", ["imq", "gaussian"])
def test_discrepancy_is_nothing_for_the_prior_and_grows_with_the_distance(kernel: str) -> None:
    penalty = MeanDiscrepancy(1.0, kernel=kernel)  # type: ignore[arg-type]
    near, middle, far = (float(penalty(None, trip_of(torch.randn(800, 2) + shift)).mean()) for shift in (0, 1, 3))  # type: ignore[arg-type]
    assert abs(near) < 0.01 < middle < far


def test_shares_of_discrepancy_point_at_the_row_that_differs() -> None:
    z = torch.randn(200, 2)
    z[7] = 20.0
    assert MeanDiscrepancy(1.0)(None, trip_of(z)).argmax() == 7  # type: ignore[arg-type]


def test_critic_learns_to_tell_and_encoder_to_fool() -> None:
    """One loss, one optimiser: free codes that start far from the prior end near it."""
    z = nn.Parameter(torch.randn(256, 2) * 0.2 + 3.0)
    penalty = Adversary(2, (32,), 1.0)
    optimiser = torch.optim.Adam(
        [{"params": [z], "lr": 0.03}, {"params": penalty.parameters(), "lr": 0.01}], betas=(0.5, 0.9)
    )
    for _ in range(400):
        optimiser.zero_grad()
        penalty(None, trip_of(z)).mean().backward()  # type: ignore[arg-type]
        optimiser.step()
    assert z.detach().mean(0).abs().max() < 1.0


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_repeat_for_a_seed(name: str, rows: Tensor) -> None:
    penalty = PENALTIES[name]()
    autoencoder = model(numbers(4), Gaussian(LATENT))
    prices = []
    for _ in range(2):
        with seeded(4):
            prices.append(penalty(autoencoder, autoencoder(rows)))
    assert torch.equal(*prices)


def test_codes_of_zeros_and_images_have_prices() -> None:
    schema = numbers(1, "image", (8, 8))
    autoencoder = model(schema, TopK(20, 3))
    trip = autoencoder(torch.randn(2, 1, 8, 8))
    penalties: list[Penalty] = [L1(1.0), Contractive(1.0)]  # 20 code numbers: the estimate
    assert all(penalty(autoencoder, trip).shape == (2,) for penalty in penalties)


def test_information_needs_signs(rows: Tensor) -> None:
    autoencoder = model(numbers(4), Plain(LATENT))
    with pytest.raises(InvalidParameter, match="LookupFree"):
        Information(1.0)(autoencoder, autoencoder(rows))


@pytest.mark.parametrize("by", ["infonce", "barlow", "vicreg", "information"])
def test_contrast_is_lower_where_views_are_alike(by: str, rows: Tensor) -> None:
    penalty = Contrast(LATENT, by=by)  # type: ignore[arg-type]
    prices = []
    for share in (0.0, 0.9):
        autoencoder = model(numbers(4), Plain(LATENT))
        autoencoder.corruption = Hide(share)
        prices.append(penalty(autoencoder, autoencoder(torch.randn(64, 4))))
        assert prices[-1].shape == (64,)
        alone = penalty(autoencoder, autoencoder(rows[:1]))
        alone.sum().backward()
        assert alone.isfinite().all() and all(each.grad.isfinite().all() for each in penalty.parameters())  # type: ignore[union-attr]
    assert prices[0].mean() < prices[1].mean()


def test_pairs_are_another_price_on_numbers_of_their_own() -> None:
    autoencoder = model(numbers(4), Plain(LATENT))
    autoencoder.corruption = Hide(0.0)  # so that both copies are the row itself, whatever is drawn
    trip = autoencoder(torch.randn(32, 4))
    both = Contrast(LATENT, weight=3.0, by="information", pairs=2.0, temperature=0.3)
    groups, pairs = Contrast(LATENT, weight=3.0, by="information"), Contrast(LATENT, weight=2.0, temperature=0.3)
    for one, projection in zip((groups, pairs), both.projections, strict=True):
        one.projections[0].load_state_dict(projection.state_dict())
    torch.testing.assert_close(both(autoencoder, trip), groups(autoencoder, trip) + pairs(autoencoder, trip))


def test_contrast_needs_a_corruption(rows: Tensor) -> None:
    autoencoder = model(numbers(4), Plain(LATENT))
    with pytest.raises(InvalidParameter, match="corruption"):
        Contrast(LATENT)(autoencoder, autoencoder(rows))


def test_what_is_missing_in_a_row_is_missing_in_the_rows_made(rows: Tensor) -> None:
    """A critic that looks at missing values only cannot tell them apart."""
    seen: list[Tensor] = []

    class Reading(nn.Linear):
        def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
            seen.append(x.isnan())
            return super().forward(x.nan_to_num(0.0))

    autoencoder = model(numbers(4), Gaussian(LATENT))
    Discriminator(Reading(4, 2), 2)(autoencoder, autoencoder(rows))
    assert len(seen) == 7 and all(torch.equal(each, rows.isnan()) for each in seen)


@pytest.mark.parametrize("by", ["values", "rows"])
def test_outliers_are_the_cheapest_split(by: str) -> None:
    """No other split found by descent costs less than |x - s - r|^2 / 2 + weight * |s|."""
    penalty, error = Outliers(0.8, by=by), torch.randn(5, 6) * 2  # type: ignore[arg-type]

    def cost(s: Tensor) -> Tensor:
        size = s.abs().sum(1) if by == "values" else 6**0.5 * s.norm(dim=1)
        return (error - s).square().sum(1) / 2 + 0.8 * size

    found, size = penalty.split(error, torch.ones(5, 6, dtype=torch.bool))
    torch.testing.assert_close((error - found).square().sum(1) / 2 + 0.8 * size, cost(found))
    other = nn.Parameter(torch.randn(5, 6) * 0.1)
    optimiser = torch.optim.Adam([other], 0.02)
    for _ in range(800):
        optimiser.zero_grad()
        cost(other).sum().backward()
        optimiser.step()
    gap = cost(other.detach()) - cost(found)
    assert (gap > -1e-5).all() and (gap < 0.1).all()


def test_outliers_leave_the_error_of_the_rest(rows: Tensor) -> None:
    autoencoder, rows = model(numbers(4), Plain(LATENT)), rows * 3
    trip = autoencoder(rows)
    error = (rows - autoencoder.likelihood.best(trip.output).detach()).nan_to_num(0.0)
    outliers, size = Outliers(1.0).split(error, trip.observed)
    price = Outliers(1.0)(autoencoder, trip)
    torch.testing.assert_close(trip.nll + price, autoencoder(rows - outliers).nll + size)
    assert (size > 0).any() and price.isfinite().all()


def test_orthogonality_is_the_distance_from_orthogonal_weights(rows: Tensor) -> None:
    autoencoder = model(numbers(4), Plain(LATENT))
    trip, last = autoencoder(rows), autoencoder.encoder.get_submodule("layers")[-1]
    assert Orthogonality(2.0)(autoencoder, trip).abs().max() < 1e-6
    with torch.no_grad():
        last.weight.mul_(2.0)
    torch.testing.assert_close(Orthogonality(2.0)(autoencoder, trip), torch.full((6,), 2.0 * 9 * LATENT))


def test_clusters_cost_what_the_paper_says() -> None:
    """KL between the sharpened and the plain memberships, by loops."""
    z, price = torch.randn(7, 3), Clusters(4, 3, weight=2.0)
    q = np.array([[1 / (1 + float((row - centre).square().sum())) for centre in price.centres.detach()] for row in z])
    q /= q.sum(1, keepdims=True)
    p = q**2 / q.sum(0)
    p /= p.sum(1, keepdims=True)
    trip = SimpleNamespace(code=SimpleNamespace(z=z))
    assert price(None, trip).tolist() == pytest.approx((2 * (p * np.log(p / q)).sum(1)).tolist(), rel=1e-4)


def test_codes_at_their_centres_far_from_others_cost_next_to_nothing() -> None:
    price = Clusters(3, 2)
    with torch.no_grad():
        price.centres.copy_(torch.tensor([[0.0, 0.0], [1e4, 0.0], [0.0, 1e4]]))
    trip = SimpleNamespace(code=SimpleNamespace(z=price.centres.detach().repeat(2, 1)))
    assert price(None, trip).sum().item() < 1e-5
