from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor, nn

from diabolo.priors import Autoregressive, Components, Flow, Mixture, Prior, StandardNormal, VampPrior, entropy
from diabolo.randomness import seeded
from diabolo.schema import Schema, numbers
from diabolo.variants import VampPrior as VampPriorVariant

LATENT = 3
PRIORS = {
    "standard normal": lambda: StandardNormal(LATENT),
    "mixture": lambda: spread(Mixture(LATENT, 4)),
    "vamp prior": lambda: spread(VampPrior(LATENT, 4, nn.Linear(5, 2 * LATENT), (5,))),
    "flow": lambda: spread(Flow(LATENT, 3, 8)),
    "autoregressive flow": lambda: spread(Flow(LATENT, 3, 8, "autoregressive")),
    "planar flow": lambda: spread(Flow(LATENT, 3, 8, "planar")),
}


def spread(prior: Prior) -> Prior:
    """The prior with numbers far from where it starts."""
    for each in prior.parameters():
        nn.init.normal_(each, std=0.4)
    return prior


@pytest.fixture(params=PRIORS)
def prior(request: pytest.FixtureRequest) -> Prior:
    with seeded(0):
        return PRIORS[request.param]()


@pytest.mark.parametrize("grid", [(), (4,), (2, 3)])
def test_shapes_and_places_add_up(prior: Prior, grid: tuple[int, ...]) -> None:
    z = prior.sample(5, grid)
    assert z.shape == (5, LATENT, *grid)
    places = z.flatten(2) if grid else z[..., None]
    expected = torch.stack([prior.log_prob(places[..., place]) for place in range(places.shape[2])]).sum(0)
    torch.testing.assert_close(prior.log_prob(z), expected)
    assert prior.divergence(z, torch.ones_like(z)).flatten(1).sum(1).shape == (5,)


def test_density_is_that_of_the_draws(prior: Prior) -> None:
    """Means of bounded functions over its draws are those that p / q weighs out of another density's draws."""
    with seeded(1), torch.no_grad():
        wide = torch.randn(200_000, LATENT) * 4
        log_q = StandardNormal(LATENT).log_prob(wide / 4) - LATENT * math.log(4)
        weight = (prior.log_prob(wide) - log_q).exp()[:, None]
        drawn = prior.sample(50_000)
    assert abs(weight.mean() - 1) < 0.03
    for bounded in (torch.tanh, torch.cos):
        torch.testing.assert_close(bounded(drawn).mean(0), (weight * bounded(wide)).mean(0), atol=0.04, rtol=0)


def test_mixture_is_scipy_s() -> None:
    prior, z = PRIORS["mixture"](), torch.randn(6, LATENT)
    mean, scale, log_weight = (each.detach().double().numpy() for each in prior.components())
    expected = sum(
        np.exp(w) * multivariate_normal(m, np.diag(s**2)).pdf(z)
        for m, s, w in zip(mean, scale, log_weight, strict=True)
    )
    np.testing.assert_allclose(prior.log_prob(z).detach(), np.log(expected), atol=1e-4)


@pytest.mark.parametrize("kind", ["mixture", "vamp prior"])
def test_divergence_from_components_is_a_bound_and_exact_for_one(kind: str) -> None:
    torch.manual_seed(0)
    prior, mean, scale = PRIORS[kind](), torch.randn(5, LATENT), torch.rand(5, LATENT) + 0.2
    assert isinstance(prior, Components)
    with torch.no_grad():
        true, error = monte_carlo(prior, mean, scale)
        assert (prior.divergence(mean, scale)[:, 0] > true - 4 * error).all()
        one = spread(Mixture(LATENT, 1))
        true, error = monte_carlo(one, mean, scale)
        assert ((one.divergence(mean, scale)[:, 0] - true).abs() < 4 * error + 1e-3).all()


def monte_carlo(prior: Prior, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """KL(N(mean, scale) || prior) and its standard error."""
    noise = torch.randn(20_000, *mean.shape)
    log_p = prior.log_prob((mean + scale * noise).flatten(0, 1)).view(noise.shape[:2])
    return -log_p.mean(0) - entropy(scale), log_p.std(0) / math.sqrt(len(noise))


def test_a_mixture_finds_the_clusters_of_codes() -> None:
    torch.manual_seed(0)
    centers = torch.tensor([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0]])
    z = centers.repeat(300, 1) + 0.3 * torch.randn(900, 2)
    prior = Mixture(2, 3).fit(z)
    assert torch.cdist(centers, prior.mean.detach()).amin(1).max() < 0.1
    torch.testing.assert_close(prior.components()[1].detach(), torch.full((3, 2), 0.3), atol=0.05, rtol=0)
    assert torch.equal(prior.mean, Mixture(2, 3).fit(z).mean)


def test_a_flow_finds_the_bend_of_codes() -> None:
    """A banana, whose -log p is known: far better than the normal distribution of its moments."""
    torch.manual_seed(0)
    noise = torch.randn(3000, 2)
    z = torch.stack([3 * noise[:, 0] + 5, noise[:, 1] * 0.5 + noise[:, 0].square()], 1)
    entropies = 1 + math.log(2 * math.pi) + math.log(3) + math.log(0.5)
    plain = 0.5 * torch.logdet(torch.cov(z.T)) + 1 + math.log(2 * math.pi)
    with seeded(0):
        prior = Flow(2, 4, 32)
    state = torch.get_rng_state()
    found = -prior.fit(z[:2000], steps=400).log_prob(z[2000:]).mean()
    assert torch.equal(torch.get_rng_state(), state)
    assert entropies - 0.1 < found < entropies + 0.25 and entropies + 0.5 < plain


@pytest.mark.parametrize(
    "schema",
    [numbers(4), numbers(2, "image", (8, 8)), Schema(numbers(4).columns, given=2)],
    ids=["row", "image", "given"],
)
def test_vamp_prior_reads_with_the_encoder_s_own_layers(schema: Schema) -> None:
    autoencoder = VampPriorVariant(latent=2, components=3, hidden=(8,)).build(schema)
    names = [name for name, _ in autoencoder.named_parameters() if "prior" in name]
    assert names == ["bottleneck.prior.rows", "bottleneck.prior.logits"]
    before = autoencoder.bottleneck.prior.components()[0]
    with torch.no_grad():
        next(iter(autoencoder.encoder.layers.parameters())).add_(0.5)
    assert not torch.equal(before, autoencoder.bottleneck.prior.components()[0])


class TestAutoregressive:
    @pytest.mark.parametrize(("letters", "grid"), [([3, 2, 3], ()), ([2], (2, 2)), ([3, 2], (2,))], ids=str)
    def test_all_strings_add_up_to_one(self, letters: list[int], grid: tuple[int, ...]) -> None:
        with seeded(0):
            prior = Autoregressive(letters, grid, width=8)
            for each in prior.parameters():
                nn.init.normal_(each, std=0.7)
        every = torch.cartesian_prod(*(torch.arange(count) for count in letters * math.prod(grid)))
        strings = every.view(-1, *grid, len(letters)).movedim(-1, 1)
        log_p = prior.log_prob(strings)
        assert log_p.exp().sum().item() == pytest.approx(1.0, abs=1e-5) and log_p.std() > 0.3
        with seeded(1):
            drawn = prior.sample(20_000)
        assert drawn.shape == (20_000, len(letters), *grid)
        seen = (drawn.flatten(1)[:, None] == strings.flatten(1)).all(2).float().mean(0)
        torch.testing.assert_close(seen, log_p.exp(), atol=0.015, rtol=0)

    def test_a_token_is_told_by_those_before_it_in_raster_order(self) -> None:
        prior = Autoregressive([4], (3, 2), width=8)
        line = torch.zeros(1, 6, dtype=torch.long)
        before = prior(line)
        line[0, 3] = 2
        moved = (prior(line) != before).any(2)[0]
        assert moved.tolist() == [False] * 4 + [True] * 2

    def test_learns_what_tokens_have_to_do_with_each_other(self) -> None:
        """Copies of one fair coin: log 2 nats a row, and no more for the second and the third token."""
        with seeded(0):
            tokens = torch.randint(2, (600, 1)).repeat(1, 3)
            prior = Autoregressive([2, 2, 2], width=16).fit(tokens[:500], tokens[500:])
            drawn = prior.sample(2000)
        assert -prior.log_prob(tokens).mean().item() == pytest.approx(math.log(2), abs=0.02)
        assert (drawn.float().std(1) == 0).float().mean() > 0.98  # exp(-0.02) of them, or more

    def test_keeps_what_held_out_tokens_like_best(self) -> None:
        """Noise has nothing to learn: held-out tokens cost what they cost by chance, however long it trains."""
        with seeded(0):
            tokens = torch.randint(8, (40, 6))
            prior = Autoregressive([8] * 6, width=32).fit(tokens[:8], tokens[8:])
        assert -prior.log_prob(tokens[8:]).mean() < 6 * math.log(8) + 1.5
