from __future__ import annotations

import re

import pytest
import torch

from diabolo import variants
from diabolo.batches import Rows
from diabolo.checks import check_variant
from diabolo.errors import InvalidParameter
from diabolo.params import Params
from diabolo.randomness import seeded
from diabolo.schema import numbers
from diabolo.trainer import Trainer
from diabolo.variants import (
    LFQ,
    VAE,
    VQVAE,
    Contractive,
    KSparse,
    Linear,
    Masked,
    Robust,
    Sparse,
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


def test_dropout_and_orthogonality_are_parameters_like_others() -> None:
    for variant in (Vanilla(dropout=0.3), Vanilla(orthogonal=0.5)):
        check_variant(variant, kinds=["row", "mixed table"])


def test_parameters_are_those_of_scikit_learn() -> None:
    assert isinstance(VAE(), Params)
    assert VAE().set_params(latent=3, beta=2.0).get_params()["beta"] == 2.0
