from __future__ import annotations

import re

import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from diabolo import variants
from diabolo.autoencoder import Bound
from diabolo.batches import Rows
from diabolo.bottlenecks import Gaussian
from diabolo.checks import check_variant
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.params import Params
from diabolo.priors import Flow
from diabolo.randomness import seeded
from diabolo.schema import Schema, numbers
from diabolo.trainer import Trainer
from diabolo.variants import (
    IWAE,
    LFQ,
    VAE,
    VQVAE,
    Contractive,
    FlowPrior,
    KSparse,
    Linear,
    Masked,
    Residual,
    Robust,
    Sparse,
    VaDE,
    Vanilla,
    Variant,
    named,
)


def test_every_variant_of_the_file_is_named() -> None:
    every = {
        name
        for name, each in vars(variants).items()
        if isinstance(each, type) and issubclass(each, Variant) and name not in ("Variant", "Deep")
    }
    assert set(named()) == every
    assert all(cls.__name__ == name for name, cls in named().items())


@pytest.mark.parametrize("name", named())
def test_documentation(name: str) -> None:
    """A paper with its year, what the variant is for, and one line per parameter."""
    doc = named()[name].__doc__ or ""
    assert re.search(r"\b(19|20)\d\d\b", doc) and "For " in doc
    assert all(parameter.doc for parameter in named()[name].parameters().values())


@pytest.mark.parametrize("name", named())
def test_survives_its_own_json(name: str) -> None:
    variant = named()[name](latent=4)
    again = Variant.from_dict(variant.to_dict(), named().values())
    assert again.to_dict() == variant.to_dict()


@pytest.mark.parametrize(
    "wrong, message",
    [
        (VAE(beta=-1.0), "beta.*> 0"),
        (KSparse(latent=4, k=5), "k must lie in 1 to latent = 4"),
        (VQVAE(latent=6, heads=4), "heads must divide latent = 6"),
        (LFQ(latent=13), "at most 12 signs"),
        (Masked(share=2.0), "share"),
        (Vanilla(hidden=(0,)), "hidden"),
    ],
)
def test_build_refuses_what_is_not_allowed(wrong: Variant, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        wrong.build(numbers(5))


@pytest.mark.parametrize("hidden", [(), (5,), (9, 7, 5, 3)])
def test_any_depth(hidden: tuple[int, ...]) -> None:
    autoencoder = Vanilla(hidden=hidden, latent=2).build(numbers(5))
    assert autoencoder.losses(torch.randn(3, 5))["nll"].shape == (3,)
    assert sum(isinstance(each, torch.nn.Linear) for each in autoencoder.encoder.modules()) == len(hidden) + 1


def test_undercomplete_unless_told_otherwise() -> None:
    assert Vanilla(latent=8).build(numbers(6)).bottleneck.latent == 3
    assert Vanilla(latent=8, overcomplete=True).build(numbers(6)).bottleneck.latent == 8
    assert Linear(latent=8).build(numbers(1)).bottleneck.latent == 1


@pytest.mark.parametrize("variant", [Vanilla(tied=True), Sparse(), Contractive()])
def test_tied_weights_are_counted_once(variant: Variant) -> None:
    schema = numbers(6)
    tied = variant.build(schema)
    matrices = [each for each in tied.parameters() if each.dim() == 2]
    assert len(matrices) == 3


def test_missing_values_are_shown_to_the_encoder_where_they_are_to_be_expected() -> None:
    assert Masked().build(numbers(4)).encoder.get_submodule("features").flags
    assert not Vanilla().build(numbers(4)).encoder.get_submodule("features").flags


@pytest.mark.parametrize("name", named())
def test_every_variant_is_conditional_where_the_schema_has_conditions(name: str) -> None:
    """Costs, codes and samples are for the conditions given."""
    torch.manual_seed(0)
    autoencoder = named()[name]().build(Schema(numbers(6).columns, given=2)).eval()
    x, labels = torch.zeros(4, 6), torch.eye(2).repeat(2, 1)
    if name != "Linear":
        assert len(autoencoder(x, labels).errors.unique(dim=0)) > 1
        assert autoencoder.sample(3, labels[:3]).shape == (3, 6)
    with pytest.raises(InvalidData, match="2 conditions"):
        autoencoder(x)


def test_a_conditional_vae_draws_what_the_label_says() -> None:
    labels = torch.eye(2).repeat(150, 1)
    x = labels @ torch.tensor([[2.0, 2.0, -2.0], [-2.0, 0.0, 2.0]]) + 0.1 * torch.randn(300, 3)
    recipe = VAE(latent=2, hidden=(16,))
    autoencoder = recipe.build(Schema(numbers(3).columns, given=2))
    recipe.train(autoencoder, Trainer(epochs=40, batch_size=50, lr=1e-2), Rows(x, given=labels))
    with torch.no_grad():
        drawn = autoencoder.sample(300, labels)
    for label in range(2):
        torch.testing.assert_close(drawn[label::2].mean(0), x[label::2].mean(0), atol=0.15, rtol=0)


DRAWN = [name for name, variant in named().items() if issubclass(variant, VAE) and not issubclass(variant, IWAE)]


def four_draws(name: str, free: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What each of 6 rows costs in training, and -log p and log q - log p of its four draws."""
    autoencoder = named()[name](latent=3, warmup=0.0, samples=4, free=free).build(numbers(5))
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), seeded(1):
        costs = autoencoder.losses(x)
    with torch.no_grad(), seeded(1):
        z, nats = autoencoder.bottleneck.propose(autoencoder.encoder(x), 4)
        likely = autoencoder.decode(z).log_prob(x.repeat_interleave(4, 0)).flatten(1).sum(1)
    return costs["nll"] + costs["kl"], -likely.view(6, 4), nats.view(6, 4)


@pytest.mark.parametrize("name", DRAWN)
def test_several_draws_cost_what_the_importance_bound_says(name: str) -> None:
    """-log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x), whatever the prior and the posterior."""
    cost, nll, nats = four_draws(name)
    torch.testing.assert_close(cost, torch.tensor(4).log() - (-nll - nats).logsumexp(1))


@pytest.mark.parametrize("name, numbers_drawn", [("VAE", 3), ("LadderVAE", 3 + 4)])
def test_free_nats_are_paid_for_every_draw(name: str, numbers_drawn: int) -> None:
    """More of them than any draw costs: the bound is that of the values, and what is always paid."""
    cost, nll, _ = four_draws(name, free=50.0)
    torch.testing.assert_close(cost, torch.tensor(4).log() - (-nll).logsumexp(1) + 50.0 * numbers_drawn)


def test_choices_combine_by_inheritance() -> None:
    class Both(IWAE, FlowPrior):
        """Several draws, and a prior bent by a flow."""

    autoencoder = Both(latent=3).build(numbers(5))
    assert isinstance(autoencoder.bottleneck, Gaussian) and isinstance(autoencoder.bottleneck.prior, Flow)
    assert autoencoder.bound == IWAE().bound() == Bound(8)


def test_vade_finds_clusters() -> None:
    """Three kinds of rows, three components; the epochs of the second half are reported."""
    torch.manual_seed(0)
    kinds = torch.arange(300) % 3
    x = 2 * torch.nn.functional.one_hot(kinds, 6)[:, [0, 1, 2, 0, 1, 2]].float() - 1 + 0.1 * torch.randn(300, 6)
    recipe = VaDE(latent=2, components=3, hidden=(16,))
    autoencoder = recipe.build(numbers(6))
    epochs = recipe.train(autoencoder, Trainer(epochs=41, batch_size=50, lr=1e-2), Rows(x))
    mean, scale, log_weight = autoencoder.bottleneck.prior.components()
    z = autoencoder.encode(x).z
    found = (log_weight - (((z[:, None] - mean) / scale).square() / 2 + scale.log()).sum(-1)).argmax(1)
    assert adjusted_rand_score(kinds, found) > 0.95 and len(epochs) == 21
    assert float(autoencoder.bottleneck.weight.end) == 1.0


@pytest.mark.parametrize("recipe", [VaDE(latent=2, components=50), VaDE(latent=2, members=2)])
def test_vade_of_few_rows_or_several_members_starts_from_random_clusters(recipe: Variant) -> None:
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    assert recipe.train(recipe.build(numbers(4)), Trainer(epochs=2, batch_size=10), Rows(x))


def test_linear_needs_no_epochs_and_leaves_evaluation_mode() -> None:
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    recipe = Linear(latent=2)
    autoencoder = recipe.build(numbers(4))
    before = float(autoencoder.eval()(x).nll.detach().mean())
    assert recipe.train(autoencoder, Trainer(), Rows(x)) == []
    assert float(autoencoder(x).nll.detach().mean()) < before and not autoencoder.training


def test_robust_learns_from_what_is_left_when_outliers_are_split_off() -> None:
    """A tenth of all values far off: nearer than without to rows that lack such values."""
    draw = torch.Generator().manual_seed(0)
    clean = torch.randn(800, 2, generator=draw) @ torch.randn(2, 8, generator=draw)
    spoilt = torch.where(torch.rand(800, 8, generator=draw) < 0.1, 8.0, clean)
    errors = []
    for variant in (Robust(latent=2), Vanilla(latent=2)):
        with seeded(0):
            autoencoder = variant.build(numbers(8))
        variant.train(autoencoder, Trainer(epochs=15, batch_size=64), Rows(spoilt[:600]))
        told = autoencoder.best(clean[600:]).detach()
        errors.append(float((told - clean[600:]).square().mean()))
    assert errors[0] < 0.3 * errors[1]


def test_residual_starts_as_principal_components_and_keeps_distances() -> None:
    """Before it has learned anything, codes lie to one another as the rows do in the plane of largest variance."""
    draw = torch.Generator().manual_seed(0)
    plane = torch.randn(400, 2, generator=draw) * torch.tensor([3.0, 0.5])
    rows = plane @ torch.linalg.qr(torch.randn(6, 6, generator=draw)).Q[:2] + 1.0
    with seeded(0):
        autoencoder = Residual(latent=2, noise=0.0).build(numbers(6))
    Residual().train(autoencoder, Trainer(epochs=1, lr=1e-9), Rows(rows))
    codes = autoencoder.encode(rows).z.detach()
    ratio = torch.pdist(codes) / torch.pdist(rows)
    assert float(ratio.std() / ratio.mean()) < 0.02 and float(codes.var(0).mean()) == pytest.approx(1, abs=0.05)
    assert float((autoencoder.best(rows).detach() - rows).square().mean()) < 0.01 * float(rows.var(0).mean())


def test_residual_learns_what_components_miss() -> None:
    draw = torch.Generator().manual_seed(0)
    angle = 6.28 * torch.rand(800, 1, generator=draw)
    rows = torch.cat([angle.cos(), angle.sin(), (2 * angle).cos(), (2 * angle).sin()], 1)
    errors = []
    for variant in (Residual(latent=2, hidden=(32,)), Linear(latent=2)):
        with seeded(0):
            autoencoder = variant.build(numbers(4))
        variant.train(autoencoder, Trainer(epochs=40, batch_size=64), Rows(rows[:600]))
        errors.append(float((autoencoder.best(rows[600:]).detach() - rows[600:]).square().mean()))
    assert errors[0] < 0.1 * errors[1]


def test_members_of_a_residual_ensemble_learn_from_random_directions() -> None:
    rows = Rows(torch.randn(64, 6, generator=torch.Generator().manual_seed(0)))
    variant = Residual(latent=2, hidden=(8,), members=2)
    with seeded(0):
        ensemble = variant.build(numbers(6))
    assert len(variant.train(ensemble, Trainer(epochs=2), rows)) == 2 and ensemble.encode(rows.all.x).z.shape == (64, 4)


def test_dropout_and_orthogonality_are_parameters_like_others() -> None:
    for variant in (Vanilla(dropout=0.3), Vanilla(orthogonal=0.5)):
        check_variant(variant, kinds=["row", "mixed table"])


def test_parameters_are_those_of_scikit_learn() -> None:
    assert isinstance(VAE(), Params)
    assert VAE().set_params(latent=3, beta=2.0).get_params()["beta"] == 2.0
