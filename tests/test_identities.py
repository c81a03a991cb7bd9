"""The mathematics against an independent truth: a closed form, a Monte Carlo mean, another library, two optimisers."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import ive
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.distributions import MultivariateNormal
from torch.distributions import Normal as Bell
from torch.nn import functional as F

from diabolo.autoencoder import Autoencoder, Bound, Code, Reconstruction
from diabolo.batches import Rows
from diabolo.bottlenecks import (
    Bent,
    Categorical,
    FiniteScalar,
    Gaussian,
    Ladder,
    LookupFree,
    Quantised,
    Residual,
    Spherical,
)
from diabolo.evaluate import importance_bound
from diabolo.likelihoods import Normal
from diabolo.networks import mirror
from diabolo.penalties import Adversary, Covariance, Discriminator, Energy, Factors, Information, total_correlation
from diabolo.penalties.contrast import barlow, infonce, information, vicreg
from diabolo.penalties.critics import permuted
from diabolo.priors import Flow, Mixture, Prior, moments
from diabolo.randomness import normal_like, seeded
from diabolo.schema import numbers
from diabolo.trainer import Trainer
from diabolo.variants import Linear, Vanilla


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_kl_is_its_monte_carlo_mean() -> None:
    part, h = Gaussian(3, weight=1.5).train(), torch.randn(4, 6)
    drawn = part.draw(h, 50_000).costs["kl"].view(4, -1)
    error = drawn.std(1) / math.sqrt(drawn.shape[1])
    assert ((drawn.mean(1) - part(h).costs["kl"]).abs() < 4 * error).all()
    assert (error < 0.05).all()


@pytest.mark.parametrize("latent", [2, 3, 8, 40])
def test_divergence_of_a_direction_is_that_of_bessel_functions(latent: int) -> None:
    """KL = k A(k) + log C(k) + log(area), against scipy's Bessel functions, and against an integral of another kind."""
    k = torch.tensor([0.01, 0.3, 1.0, 5.0, 40.0, 300.0, 5000.0])
    raw = torch.where(k < 20, torch.log(torch.expm1(k - 1e-4)), k - 1e-4) - math.log(math.e - 1)
    h = torch.cat([torch.randn(len(k), latent), raw[:, None]], 1)
    found = Spherical(latent).eval()(h).costs["kl"].double().numpy()
    wide, order = k.double().numpy(), latent / 2 - 1
    mean = ive(order + 1, wide) / ive(order, wide)
    log_c = order * np.log(wide) - latent / 2 * np.log(2 * np.pi) - np.log(ive(order, wide)) - wide
    area = math.log(2) + latent / 2 * math.log(math.pi) - math.lgamma(latent / 2)
    np.testing.assert_allclose(found, wide * mean + log_c + area, atol=2e-3, rtol=2e-4)
    if latent == 3:  # the cosine of the angle has the density k exp(k w) / (2 sinh k)
        chance = 5 / (1 - np.exp(-10))
        integral = quad(lambda w: chance * np.exp(5 * (w - 1)) * (5 * (w - 1) + np.log(2 * chance)), -1, 1)
        np.testing.assert_allclose(found[3], integral[0], atol=1e-3)


@pytest.mark.parametrize("latent, k", [(2, 0.5), (3, 2.0), (8, 30.0), (5, 1000.0)])
def test_directions_are_drawn_from_von_mises_and_fisher(latent: int, k: float) -> None:
    """Mean and variance of the cosine, against Bessel functions; isotropy across; and the price of each draw."""
    raw = (math.log(math.expm1(k - 1e-4)) if k < 20 else k - 1e-4) - math.log(math.e - 1)
    h = torch.cat([F.normalize(torch.randn(1, latent)), torch.tensor([[raw]])], 1)
    part = Spherical(latent).train()
    z, nats = part.propose(h, 40_000)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(40_000))
    cosine = (z * h[:, :-1]).sum(1).double()
    mean = ive(latent / 2, k) / ive(latent / 2 - 1, k)
    variance = 1 - mean**2 - (latent - 1) / k * mean
    assert abs(cosine.mean() - mean) < 4 * math.sqrt(variance / 40_000) + 1e-6
    assert abs(cosine.var() / variance - 1) < 0.05
    across = z - cosine.float()[:, None] * h[:, :-1]
    assert across.mean(0).abs().max() < 4 * across.std(0).max() / 200
    kl = part(h).costs["kl"]
    assert abs(nats.mean() - kl) < 4 * nats.std() / 200 + 1e-3


def test_the_slope_of_a_drawn_direction_is_that_of_its_mean() -> None:
    """d E[cos a] / dk is the variance of cos a, whatever the way by which directions are drawn."""
    raw = torch.full((40_000, 1), 2.0, requires_grad=True)
    z = Spherical(4).train()(torch.cat([torch.tensor([[1.0, 0, 0, 0]]).expand(40_000, -1), raw], 1)).z
    k = float(F.softplus(torch.tensor(2.0 + math.log(math.e - 1)))) + 1e-4
    slope = torch.autograd.grad(z[:, 0].mean(), raw)[0].sum() / torch.sigmoid(torch.tensor(2.0 + math.log(math.e - 1)))
    mean = ive(2, k) / ive(1, k)
    assert abs(slope / (1 - mean**2 - 3 / k * mean) - 1) < 0.05


def test_price_of_a_bent_code_is_log_q_minus_log_p() -> None:
    """q by the change of variables with autograd's Jacobian at the draw's own noise."""
    part = Bent(3, weight=1.5, layers=3, hidden=8).train()
    for each in part.parameters():
        nn.init.normal_(each, std=0.5)
    h = torch.randn(5, 9)
    with seeded(2):
        code = part(h)
    with seeded(2):
        noise = normal_like(code.z)

    def code_of(noise: Tensor, row: Tensor) -> Tensor:
        mean, scale, context = part._read(row[None])
        return part.flow(mean + scale * noise, context)[0][0]

    jacobian = torch.func.vmap(torch.func.jacrev(code_of))(noise, h)
    normal = torch.distributions.Normal(0.0, 1.0)
    log_q = normal.log_prob(noise).sum(1) - torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(code.z, torch.func.vmap(code_of)(noise, h))
    torch.testing.assert_close(code.costs["kl"], 1.5 * (log_q - normal.log_prob(code.z).sum(1)), atol=1e-4, rtol=1e-4)


def test_a_ladder_of_one_level_is_a_gaussian() -> None:
    h = torch.randn(5, 6)
    for one, other in ((Ladder(3, ()), Gaussian(3)), (Ladder(3, (), weight=2.0, free=0.1), Gaussian(3, 2.0, 0.1))):
        for mode in (True, False):
            with seeded(1):
                first = one.train(mode)(h)
            with seeded(1):
                second = other.train(mode)(h)
            torch.testing.assert_close(first.z, second.z)
            torch.testing.assert_close(first.costs["kl"], second.costs["kl"])


def test_price_of_a_ladder_is_that_of_its_chain() -> None:
    """log q - log p level by level with torch's distributions; its mean is the cost; z is drawn from p's chain."""
    part = Ladder(2, (3,), 8, weight=1.5).train()
    for each in part.parameters():
        nn.init.normal_(each, std=0.4)
    h = torch.randn(4, 10)
    with torch.no_grad():
        top, low = list(part._levels(*moments(h), torch.randn(4, 5)))
        above, below = Bell(*moments(part.down[0](top.z))), Bell(*(each[:, 3:] for each in moments(h)))
        grid = torch.linspace(-12, 12, 4001)[:, None, None]
        product = (above.log_prob(grid) + below.log_prob(grid)).softmax(0)  # what two normal distributions agree on
        torch.testing.assert_close(low.mean, (product * grid).sum(0), atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(
            low.scale, (product * (grid - low.mean).square()).sum(0).sqrt(), atol=1e-3, rtol=1e-2
        )
        torch.testing.assert_close(low.ratio, Bell(low.mean, low.scale).log_prob(low.z) - above.log_prob(low.z))
        drawn, costs = part.propose(h, 20_000)[1].view(4, -1), part(h.repeat_interleave(20_000, 0)).costs["kl"]
    error = (drawn.std(1) + costs.view(4, -1).std(1) / 1.5) / math.sqrt(20_000)
    assert ((drawn.mean(1) - costs.view(4, -1).mean(1) / 1.5).abs() < 4 * error).all()


@pytest.mark.parametrize("prior", [lambda: Mixture(3, 4), lambda: Flow(3, 2, 8)], ids=["mixture", "flow"])
def test_kl_from_another_prior_is_priced_without_bias(prior: Callable[[], Prior]) -> None:
    """One draw per row in training, against log q and log p of torch and scipy-tested parts."""
    part, h = Gaussian(3, weight=1.5, prior=prior()).train(), torch.randn(4, 6)
    for each in part.parameters():
        nn.init.normal_(each, std=0.2)
    with torch.no_grad():
        code = part(h.repeat(20_000, 1))
        cost, law = code.costs["kl"].view(-1, 4), code.posterior
        again = part.posterior(h)
        z = again.sample((20_000,))
        expected = 1.5 * (again.log_prob(z).sum(2) - part.prior.log_prob(z.flatten(0, 1)).view(-1, 4))
    assert law.mean.shape == (80_000, 3)
    error = (cost.var(0) + expected.var(0)).sqrt() / math.sqrt(len(cost))
    assert ((cost.mean(0) - expected.mean(0)).abs() < 4 * error).all() and (error < 0.1).all()


def test_kl_is_torch_s() -> None:
    code = Gaussian(3)(torch.randn(4, 6))
    prior = torch.distributions.Normal(torch.zeros(4, 3), torch.ones(4, 3))
    expected = torch.distributions.kl_divergence(code.posterior, prior).sum(1)  # type: ignore[arg-type]
    torch.testing.assert_close(code.costs["kl"], expected)


class Loading(nn.Module):
    """A decoder x = W z + m, or an encoder to the means A (x - m) and the raw scales of a posterior."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def linear_gaussian(drawn: Bound, accuracy: float) -> tuple[Autoencoder, MultivariateNormal]:
    """x = W z + m + noise with its posterior, the scale off by ``accuracy``, as encoder; and p(x) in closed form."""
    generator = torch.Generator().manual_seed(3)
    weight, mean = torch.randn(5, 2, generator=generator), torch.randn(5, generator=generator)
    weight[:, 1] -= weight[:, 0] * (weight[:, 0] @ weight[:, 1]) / weight[:, 0].square().sum()  # posterior is diagonal
    covariance = torch.linalg.inv(torch.eye(2) + weight.T @ weight)
    to_mean = covariance @ weight.T
    scale = covariance.diagonal().sqrt() * accuracy
    raw = torch.log(torch.expm1(scale - 1e-4)) - math.log(math.e - 1)
    rows = torch.cat([to_mean, torch.zeros(2, 5)])
    encoder = Loading(rows, torch.cat([-to_mean @ mean, raw]))
    autoencoder = Autoencoder(encoder, Gaussian(2), Loading(weight, mean), Normal(5, "unit"), bound=drawn)
    return autoencoder.train(), MultivariateNormal(mean, weight @ weight.T + torch.eye(5))


def bound(drawn: int | Bound, accuracy: float, repeats: int) -> tuple[Tensor, Tensor]:
    """The mean cost of each of 6 rows, and its -log p."""
    autoencoder, law = linear_gaussian(drawn if isinstance(drawn, Bound) else Bound(drawn), accuracy)
    with torch.no_grad(), seeded(7):
        x = law.sample((6,))
        costs = torch.stack(list(autoencoder.losses(x.repeat(repeats, 1)).values())).sum(0)
    return costs.view(repeats, 6).mean(0), -law.log_prob(x)


def test_exact_posterior_makes_every_bound_exact() -> None:
    """log p(x, z) - log q(z | x) is then the same for every z, so one draw is enough."""
    for samples in (2, 5):
        cost, expected = bound(samples, 1.0, 1)
        torch.testing.assert_close(cost, expected, atol=1e-3, rtol=1e-4)
    cost, expected = bound(1, 1.0, 100_000)  # the KL is analytic, the error is not: exact in the mean only
    torch.testing.assert_close(cost, expected, atol=0.03, rtol=0)


def test_elbo_below_iwae_below_log_p() -> None:
    costs = [
        bound(samples, 1.8, repeats)[0] for samples, repeats in ((1, 100_000), (2, 50_000), (8, 20_000), (64, 4000))
    ]
    expected = bound(1, 1.8, 1)[1]
    for worse, better in zip(costs, [*costs[1:], expected], strict=True):
        assert (worse > better - 0.02).all()
    assert (costs[0] > costs[2] + 0.2).all()
    torch.testing.assert_close(costs[-1], expected, atol=0.05, rtol=0)


def test_elbo_is_short_by_the_divergence_of_the_posteriors() -> None:
    """log p - ELBO = KL(q || posterior) = sum_j (s^2 - 1) / 2 - log s for a scale off by s."""
    cost, expected = bound(1, 1.8, 100_000)
    gap = 2 * ((1.8**2 - 1) / 2 - math.log(1.8))
    torch.testing.assert_close(cost - expected, torch.full((6,), gap), atol=0.04, rtol=0)


def test_bounds_of_groups_lie_between_the_elbo_and_the_iwae() -> None:
    elbo, iwae, miwae, ciwae, piwae = (
        bound(drawn, 1.8, 20_000)[0]
        for drawn in (1, 8, Bound(8, groups=4), Bound(8, elbo=0.5), Bound(8, groups=4, partial=True))
    )
    assert (iwae + 0.1 < miwae).all() and (miwae + 0.05 < elbo).all()
    torch.testing.assert_close(ciwae, (elbo + iwae) / 2, atol=0.05, rtol=0)
    torch.testing.assert_close(piwae, iwae)  # the same draws
    torch.testing.assert_close(miwae, bound(2, 1.8, 20_000)[0], atol=0.05, rtol=0)


def test_each_side_of_the_code_learns_from_its_own_bound() -> None:
    """The gradients of PIWAE: behind the code those of the IWAE, before it those of the MIWAE."""
    x = linear_gaussian(Bound(), 1.0)[1].sample((5,))
    slopes = {}
    for name, drawn in {"iwae": Bound(8), "miwae": Bound(8, 4), "piwae": Bound(8, 4, partial=True)}.items():
        autoencoder = linear_gaussian(drawn, 1.8)[0]
        sides = [autoencoder.encoder.weight.requires_grad_(), autoencoder.decoder.weight.requires_grad_()]
        with seeded(3):
            cost = torch.stack(list(autoencoder.losses(x).values())).sum()
        slopes[name] = torch.autograd.grad(cost, sides)
    torch.testing.assert_close(slopes["piwae"], (slopes["miwae"][0], slopes["iwae"][1]))
    assert not torch.allclose(slopes["miwae"][0], slopes["iwae"][0], rtol=0.01)
    assert not torch.allclose(slopes["miwae"][1], slopes["iwae"][1], rtol=0.01)


def test_the_share_of_a_draw_is_the_slope_of_the_bound() -> None:
    cost = torch.randn(4, 6).requires_grad_()
    for drawn in (Bound(6), Bound(6, 3), Bound(6, 2, 0.3)):
        (slope,) = torch.autograd.grad(drawn(cost).sum(), cost)
        torch.testing.assert_close(drawn.weights(cost), slope)


def test_importance_bound_closes_in_on_log_p() -> None:
    autoencoder, law = linear_gaussian(Bound(), 1.8)
    x = law.sample((60,))
    one, ten, many = (importance_bound(autoencoder, x, samples).mean() for samples in (1, 10, 2000))
    expected = -law.log_prob(x).mean()
    assert one > ten + 0.2 > many + 0.2
    torch.testing.assert_close(many, expected, atol=0.02, rtol=0)
    exact = importance_bound(linear_gaussian(Bound(), 1.0)[0], x, 3)
    torch.testing.assert_close(exact, -law.log_prob(x), atol=1e-3, rtol=1e-4)


def low_rank_rows() -> np.ndarray:
    random = np.random.default_rng(0)
    return random.normal(size=(300, 3)) @ random.normal(size=(3, 8)) * 2 + random.normal(size=(300, 8)) + 1


def test_linear_variant_is_pca() -> None:
    rows = low_rank_rows()
    autoencoder = Linear(latent=3).build(numbers(8))
    x = torch.tensor(rows, dtype=torch.float32)
    Linear(latent=3).train(autoencoder, Trainer(), Rows(x))
    pca = PCA(3).fit(rows)
    expected = pca.inverse_transform(pca.transform(rows))
    np.testing.assert_allclose(autoencoder.eval().best(x).detach(), expected, atol=1e-4)
    codes = autoencoder.encode(x).z.detach().numpy()
    axes = np.linalg.lstsq(codes, rows - rows.mean(0), rcond=None)[0]
    across = np.linalg.svd(np.linalg.qr(axes.T)[0].T @ pca.components_.T)[1]
    np.testing.assert_allclose(across, 1, atol=1e-6)  # the cosines of the angles between the two subspaces


def test_training_the_linear_variant_reaches_the_same_errors_but_no_better() -> None:
    """The closed form is the optimum: gradient descent on squared error from random weights does not pass it."""
    x = torch.tensor(low_rank_rows(), dtype=torch.float32)
    recipe = Linear(latent=3, scale="unit")
    solved = recipe.build(numbers(8))
    recipe.train(solved, Trainer(), Rows(x))
    descended = recipe.build(numbers(8)).train()
    optimiser = torch.optim.Adam(descended.parameters(), 0.03)
    for _ in range(800):
        optimiser.zero_grad()
        descended(x).nll.mean().backward()
        optimiser.step()
    best, found = float(solved.eval()(x).nll.mean().detach()), float(descended(x).nll.mean().detach())
    assert best <= found + 1e-4 and found < best + 0.02


def test_total_correlation_of_a_known_gaussian() -> None:
    """Codes from N(0, [[1, r], [r, 1]]): the total correlation is -log(1 - r^2) / 2."""
    for r in (0.0, 0.6, 0.9):
        n, noise = 4000, 0.15
        covariance = torch.tensor([[1.0, r], [r, 1.0]])
        means = MultivariateNormal(torch.zeros(2), covariance - noise**2 * torch.eye(2)).sample((n,))
        scale = torch.full_like(means, noise)
        z = MultivariateNormal(torch.zeros(2), covariance).sample((n,))  # fresh codes: no posterior is their own
        found = total_correlation(z[:1500], means, scale).mean()
        assert abs(found + math.log(1 - r**2) / 2) < 0.08


def test_fsq_has_the_product_of_its_levels_as_codes() -> None:
    levels = (2, 3, 4, 5)
    part = FiniteScalar(levels).eval()
    code = part(torch.randn(20_000, 4) * 2)
    assert len(code.z.unique(dim=0)) == math.prod(levels)
    for j, count in enumerate(levels):
        torch.testing.assert_close(code.z[:, j].unique(), torch.linspace(-1, 1, count))
        assert torch.equal(code.tokens[:, j].unique(), torch.arange(count))  # type: ignore[index]


def test_fsq_digits_and_values_are_one() -> None:
    part = FiniteScalar((3, 4)).eval()
    values = torch.tensor(list(product([-1, 0, 1], [-1, -1 / 3, 1 / 3, 1])))
    code = part(torch.atanh(values.clamp(-0.999, 0.999)))
    torch.testing.assert_close(code.z, values)
    assert code.tokens.tolist() == [[i, j] for i in range(3) for j in range(4)]  # type: ignore[union-attr]


def test_residual_error_falls_with_each_stage() -> None:
    """The squared error of the first stages alone; the code is the sum of their vectors; each stage draws h nearer."""
    part, rows = Residual(4, codes=16, stages=4), torch.randn(2000, 4)
    for batch in rows.repeat(4, 1).split(200):
        part.train()(batch)
    left, errors, slope = rows, [float(rows.square().mean())], torch.zeros_like(rows)
    h = rows.clone().requires_grad_()
    code = part.eval()(h)
    for s, stage in enumerate(part.stages):
        left = left - stage.codebook[0, code.tokens[:, s]]  # type: ignore[index]
        errors.append(float(left.square().mean()))
        slope += 2 * 0.25 * left
    assert all(later < 0.7 * earlier for earlier, later in pairwise(errors))
    torch.testing.assert_close(code.z.detach(), rows - left)
    torch.testing.assert_close(torch.autograd.grad(code.costs["quantisation"].sum(), h)[0], slope)


def test_categorical_kl_is_brute_force() -> None:
    """Over all 3^2 choices of two heads: sum q(choice) log(q(choice) * 9)."""
    part, h = Categorical(4, codes=3, heads=2, weight=1.5), torch.randn(5, 6)
    first, second = h[:, :3].softmax(1), h[:, 3:].softmax(1)
    joint = (first[:, :, None] * second[:, None]).flatten(1)
    torch.testing.assert_close(part(h).costs["kl"], 1.5 * (joint * (joint * 9).log()).sum(1))


def test_gumbel_draws_are_the_chances() -> None:
    part, h = Categorical(1, codes=4, temperature=0.5).train(), torch.tensor([[0.0, 1.0, -1.0, 2.0]])
    part.codebook.data.copy_(torch.arange(4.0).view(1, 4, 1))
    drawn = part(h.repeat(40_000, 1)).z.round().long().flatten()
    shares = torch.bincount(drawn, minlength=4) / 40_000
    torch.testing.assert_close(shares, h[0].softmax(0), atol=0.01, rtol=0)


def test_information_is_the_entropies_counted_directly() -> None:
    """E H(q) - H(E q) with q over all 2^3 tokens by their definition, the softmax of squared distances."""
    part, h = LookupFree(3), torch.randn(7, 3).requires_grad_()
    signs = torch.tensor(list(product([-1.0, 1.0], repeat=3)))
    q = (-(h[:, None] - signs).square().sum(-1)).softmax(1)
    mean = q.mean(0)
    expected = 0.4 * (-(q * q.log()).sum(1).mean() + (mean * mean.log()).sum())
    zeros = torch.zeros(7, 1)
    trip = Reconstruction(zeros, zeros.bool(), zeros, part(h), zeros, zeros, zeros[:, 0])
    autoencoder = Autoencoder(nn.Identity(), part, nn.Identity(), Normal(1, "unit"))
    price = Information(0.4)(autoencoder, trip).mean()
    torch.testing.assert_close(price, expected)
    torch.testing.assert_close(*(torch.autograd.grad(each, h)[0] for each in (price, expected)))


def test_gradients_go_straight_through() -> None:
    """d z / d h is 1 for a codebook and the slope of tanh for FSQ, whatever the rounding did."""
    weight = torch.randn(6, 4)
    h = torch.randn(6, 4).requires_grad_()
    vq = Quantised(4, 8, heads=2).eval()
    (through,) = torch.autograd.grad((vq(h).z * weight).sum(), h)
    torch.testing.assert_close(through, weight)
    for part in (Residual(4, 8, 3).eval(), LookupFree(4)):
        (through,) = torch.autograd.grad((part(h).z * weight).sum(), h)
        torch.testing.assert_close(through, weight)
    (through,) = torch.autograd.grad((FiniteScalar([5] * 4)(h).z * weight).sum(), h)
    torch.testing.assert_close(through, weight * (1 - h.tanh().square()))


@pytest.mark.parametrize("of", ["means", "codes"])
def test_shares_of_the_covariance_have_its_mean_and_its_slope(of: str) -> None:
    """Against numpy's covariance and the gradient of the published formula."""
    mean, scale = (torch.randn(9, 3) * 2).requires_grad_(), (torch.rand(9, 3) + 0.5).requires_grad_()
    trip = Reconstruction(mean, mean == mean, mean, Code(mean, {}, posterior=Bell(mean, scale)), mean, mean, mean)
    price = Covariance(0.7, 10.0, of).forward(None, trip).mean()  # type: ignore[arg-type]
    covariance = torch.cov(mean.T, correction=0) + (torch.diag(scale.square().mean(0)) if of == "codes" else 0)
    off = covariance - torch.diag(covariance.diagonal())
    expected = 0.7 * (off.square().sum() + 10 * (covariance.diagonal() - 1).square().sum())
    torch.testing.assert_close(price, expected)
    wanted = [mean, scale] if of == "codes" else [mean]
    for found, true in zip(torch.autograd.grad(price, wanted), torch.autograd.grad(expected, wanted), strict=True):
        torch.testing.assert_close(found, true, atol=1e-5, rtol=1e-4)


def test_the_best_critic_tells_the_total_correlation() -> None:
    """Trained on codes from N(0, [[1, r], [r, 1]]), its mean is -log(1 - r^2) / 2; columns of its own rows stay."""
    penalty, law = Factors(2, (32,), 1.0), MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.8], [0.8, 1.0]]))
    optimiser = torch.optim.Adam(penalty.parameters(), 0.01)
    for _ in range(400):
        z = law.sample((512,))
        trip = Reconstruction(z, z == z, z, Code(z, {}), z, z, z[:, 0])
        optimiser.zero_grad()
        penalty(None, trip).mean().backward()  # type: ignore[arg-type]
        optimiser.step()
    found = penalty.critic(law.sample((20_000,))).mean()
    assert abs(found + math.log(1 - 0.8**2) / 2) < 0.1


def test_factors_have_the_gradients_of_two_optimisers() -> None:
    penalty, encoder, x = Factors(3, (8,), weight=0.7), nn.Linear(4, 3), torch.randn(16, 4)
    with seeded(1):
        trip = Reconstruction(x, x == x, x, Code(encoder(x), {}), x, x, x[:, 0])
        penalty(None, trip).mean().backward()  # type: ignore[arg-type]
    one = [each.grad.clone() for each in (*encoder.parameters(), *penalty.parameters())]  # type: ignore[union-attr]
    with seeded(1):
        apart = permuted(encoder(x).detach())
    assert torch.equal(apart.sort(0).values, encoder(x).detach().sort(0).values)
    two = list(torch.autograd.grad((0.7 * penalty.critic(encoder(x))).mean(), list(encoder.parameters())))
    telling = (F.softplus(-penalty.critic(encoder(x).detach())) + F.softplus(penalty.critic(apart))).mean()
    two += torch.autograd.grad(telling, list(penalty.parameters()))
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b)


def test_adversary_has_the_gradients_of_two_optimisers() -> None:
    penalty, encoder, x = Adversary(3, (8,), weight=0.7), nn.Linear(4, 3), torch.randn(16, 4)
    with seeded(1):
        trip = Reconstruction(x, x == x, x, Code(encoder(x), {}), x, x, x[:, 0])
        penalty(None, trip).mean().backward()  # type: ignore[arg-type]
    one = [each.grad.clone() for each in (*encoder.parameters(), *penalty.parameters())]  # type: ignore[union-attr]
    with seeded(1):
        prior = normal_like(encoder(x))
    fooling = (0.7 * F.softplus(-penalty.critic(encoder(x)))).mean()
    two = list(torch.autograd.grad(fooling, list(encoder.parameters())))
    telling = (F.softplus(penalty.critic(encoder(x).detach())) + F.softplus(-penalty.critic(prior))).mean()
    two += torch.autograd.grad(telling, list(penalty.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_discriminator_has_the_gradients_of_three_optimisers() -> None:
    """Encoder: unlike content. Decoder: that, and fooling. Critic: telling."""
    encoder, decoder = mirror(numbers(5), (8,), 6, 3, 5)
    autoencoder = Autoencoder(encoder, Gaussian(3), decoder, Normal(5, "unit")).train()
    reading = mirror(numbers(5), (7,), 4, 4, 5)[0]
    penalty, x = Discriminator(reading, 4, weight=0.7, content=0.3), torch.randn(16, 5)
    with seeded(1):
        penalty(autoencoder, autoencoder(x)).mean().backward()
    parts = (encoder, decoder, penalty)
    one = [each.grad.clone() for part in parts for each in part.parameters()]  # type: ignore[union-attr]
    with seeded(1):
        code = autoencoder.encode(x)
        made = [decoder(code.z.detach()), decoder(normal_like(code.z))]
    unlike = 0.3 * (reading(x) - reading(decoder(code.z))).square().sum(1).mean() / 2
    fooling = 0.7 * sum(F.softplus(-penalty.critic(reading(each))) for each in made).mean()  # type: ignore[union-attr]
    telling = F.softplus(-penalty.critic(reading(x))).mean()
    telling = telling + sum(F.softplus(penalty.critic(reading(each.detach()))) for each in made).mean()  # type: ignore[union-attr]
    costs = (unlike, unlike + fooling, telling)
    two = [
        slope
        for cost, part in zip(costs, parts, strict=True)
        for slope in torch.autograd.grad(cost, list(part.parameters()), retain_graph=True)
    ]
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b)


def test_infonce_is_the_cross_entropy_of_finding_the_other_view() -> None:
    a, b = torch.randn(5, 4), torch.randn(5, 4)
    both = torch.cat([a, b])
    expected = torch.zeros(5)
    for i in range(10):
        others = [j for j in range(10) if j != i]
        logits = torch.stack([F.cosine_similarity(both[i], both[j], dim=0) / 0.3 for j in others])
        expected[i % 5] += F.cross_entropy(logits[None], torch.tensor([others.index((i + 5) % 10)])) / 2
    torch.testing.assert_close(infonce(a, b, 0.3), expected)


def published_barlow(a: Tensor, b: Tensor) -> Tensor:
    c = torch.stack([((a - a.mean(0)) / a.std(0, False)).T @ ((b - b.mean(0)) / b.std(0, False)) / len(a)])[0]
    return (1 - c.diagonal()).square().sum() + 0.005 * (c - c.diagonal().diag()).square().sum()


def published_vicreg(a: Tensor, b: Tensor) -> Tensor:
    total = 25 * F.mse_loss(a, b)
    for z in (a, b):
        covariance = (z - z.mean(0)).T @ (z - z.mean(0)) / len(z)
        total = total + 25 / 2 * F.relu(1 - (z.var(0, False) + 1e-4).sqrt()).mean()
        total = total + (covariance - covariance.diagonal().diag()).square().sum() / z.shape[1]
    return total


def published_information(a: Tensor, b: Tensor) -> Tensor:
    """Minus the mutual information (Ji et al., 2019, figure 4), beside log k, of each of four groupings in turn."""
    total = torch.zeros(())
    for one, other in zip(a.chunk(4, 1), b.chunk(4, 1), strict=True):
        joint = (one.softmax(1)[:, :, None] * other.softmax(1)[:, None]).mean(0)
        joint = (joint + joint.T) / 2
        apart = joint.sum(1)[:, None] * joint.sum(0)[None]
        total = total + math.log(len(joint)) - (joint * (joint / apart).log()).sum()
    return total / 4


WHOLES = [
    (barlow, published_barlow, 4),
    (vicreg, published_vicreg, 4),
    (information, published_information, 12),
]


@pytest.mark.parametrize("share, whole, width", WHOLES)
def test_shares_have_the_mean_and_the_slope_of_the_whole(share, whole, width) -> None:  # type: ignore[no-untyped-def]
    a, b = torch.randn(12, width).requires_grad_(), (torch.randn(12, width) * 0.7).requires_grad_()
    found, expected = share(a, b), whole(a, b)
    assert found.shape == (12,) and found.std() > 0
    torch.testing.assert_close(found.mean(), expected, rtol=1e-3, atol=1e-3)
    slopes = zip(*(torch.autograd.grad(each, (a, b)) for each in (found.mean(), expected)), strict=True)
    for one, two in slopes:
        torch.testing.assert_close(one, two, rtol=2e-3, atol=2e-4)


def test_energy_by_score_is_the_slope_taken_row_by_row() -> None:
    autoencoder, x = Vanilla(latent=2).build(numbers(4)).train(), torch.randn(6, 4)
    with seeded(5):
        price = Energy(1.0, by="score", scale=0.5)(autoencoder, autoencoder(x))
    with seeded(5):
        noisy = x + 0.5 * normal_like(x)
    for i in range(6):
        slope = torch.autograd.functional.jacobian(lambda row: autoencoder(row[None]).nll[0], noisy[i])
        expected = 0.125 * (slope - (noisy[i] - x[i]) / 0.25).square().sum()
        torch.testing.assert_close(price[i], expected, rtol=1e-4, atol=1e-4)
