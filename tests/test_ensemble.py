"""Members side by side are members alone: same answers, same gradients, nothing between them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diabolo.autoencoder import Autoencoder
from diabolo.batches import Rows
from diabolo.checks import KINDS, Case
from diabolo.ensemble import Ensemble
from diabolo.randomness import seeded, shard
from diabolo.schema import Column, Schema, numbers
from diabolo.tasks import AnomalyDetector, Imputer, load
from diabolo.trainer import Trainer
from diabolo.variants import VAE, VQVAE, Adversarial, Contractive, KSparse, Masked, Sparse, Vanilla, Variant

SIDE_BY_SIDE = [Vanilla(), Vanilla(tied=True), Vanilla(scale="predicted"), Masked(), KSparse()]
VARIANTS = [Vanilla(), Vanilla(tied=True), Masked(), VAE(), VQVAE(update="gradient"), Sparse()]
X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))


def members(variant: Variant, count: int = 3, kind: str = "row") -> list[Autoencoder]:
    return [Case(variant, kind, KINDS[kind]).build(seed).eval() for seed in range(count)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", VARIANTS, ids=repr)
@torch.no_grad()
def test_it_is_the_mean_of_its_members(variant: Variant, kind: str) -> None:
    alone, x = members(variant, kind=kind), Case(variant, kind, KINDS[kind]).rows()
    together, trips = Ensemble(alone).eval()(x), [member(x) for member in alone]
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(together.errors, torch.stack([trip.errors for trip in trips]).mean(0), **close)
    torch.testing.assert_close(together.nll, torch.stack([trip.nll for trip in trips]).mean(0), **close)
    torch.testing.assert_close(together.code.z, torch.cat([trip.code.z for trip in trips], 1), **close)
    for name, cost in together.code.costs.items():
        torch.testing.assert_close(cost, torch.stack([trip.code.costs[name] for trip in trips]).mean(0), **close)


@torch.no_grad()
@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_best_value_is_the_median_and_codes_stand_side_by_side(count: int) -> None:
    alone = members(Vanilla(), count)
    together = Ensemble(alone).eval()
    torch.testing.assert_close(together.best(X), torch.stack([each.best(X) for each in alone]).quantile(0.5, 0))
    torch.testing.assert_close(together.encode(X).z, torch.cat([each.encode(X).z for each in alone], 1))


@torch.no_grad()
def test_the_best_of_several_is_one_of_them() -> None:
    """Two members: between two numbers lies their middle, between two categories nothing."""
    category = Column("c", "category", "Categorical", categories=("x", "y", "z", "other"))
    schema, alone = Schema((Column("n"), Column("b", "boolean", "Bernoulli"), category)), []
    for seed in (0, 1):
        with seeded(seed):
            alone.append(Vanilla(activation="tanh").build(schema).eval())
    x = torch.cat([torch.randn(200, 1), torch.randint(2, (200, 1)), torch.randint(3, (200, 1))], 1)
    first, second = (each.best(x) for each in alone)
    best = Ensemble(alone).eval().best(x)
    torch.testing.assert_close(best[:, 0], (first + second)[:, 0] / 2)
    assert (first != second)[:, 2].any() and torch.equal(best[:, 1:], torch.minimum(first, second)[:, 1:])


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_deviations_are_means_over_the_members(kind: str) -> None:
    alone, x = members(VAE(), kind=kind), Case(VAE(), kind, KINDS[kind]).rows()
    apart = Ensemble(alone).eval().deviations(x)
    for told, each in zip(apart, zip(*(member.deviations(x) for member in alone), strict=True), strict=True):
        torch.testing.assert_close(told, torch.stack(each).mean(0), rtol=1e-4, atol=1e-4)


def test_members_do_not_move_each_other() -> None:
    """The cost of one member moves its own weights only."""
    ensemble = Ensemble(members(Vanilla())).train()
    ensemble._each(Autoencoder.losses, X, None)["nll"][1].sum().backward()
    for weight in ensemble.parameters():
        assert not weight.grad[0].any() and not weight.grad[2].any()
    assert any(weight.grad[1].any() for weight in ensemble.parameters())


def test_gradients_are_those_of_members_alone() -> None:
    alone = members(Vanilla())
    ensemble = Ensemble(alone)
    ensemble.losses(X)["nll"].sum().backward()
    for place, member in enumerate(alone):
        member.losses(X)["nll"].sum().backward()
        for name, weight in member.named_parameters():
            own = ensemble.stack.get_parameter(name).grad[place]
            torch.testing.assert_close(own, weight.grad / len(alone), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("way", [Ensemble._copied, Ensemble._each])
def test_members_hide_values_of_their_own(way: Callable[..., dict[str, Tensor]]) -> None:
    ensemble = Ensemble([members(Masked(), 1)[0]] * 2).train()
    with seeded(0):
        first, second = way(ensemble, Autoencoder.losses, X, None)["nll"]
    assert (first != second).float().mean() > 0.9


class HideFirst(nn.Module):
    """Hides column 0: a corruption without luck."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x[:, :1] * torch.nan, x[:, 1:]), 1)


@pytest.mark.parametrize("kind", ["row", "mixed table"])
@pytest.mark.parametrize("variant", SIDE_BY_SIDE, ids=repr)
def test_copies_of_the_rows_cost_and_teach_what_members_do(variant: Variant, kind: str) -> None:
    alone, x = members(variant, kind=kind), Case(variant, kind, KINDS[kind]).rows()
    for member in alone:
        member.corruption = HideFirst()
    told = []
    for way in (Ensemble._copied, Ensemble._each):
        ensemble = Ensemble(alone).train()
        assert ensemble.side_by_side
        costs = way(ensemble, Autoencoder.losses, x, None)["nll"]
        (costs * torch.linspace(0.5, 2, costs.numel()).view_as(costs)).sum().backward()
        told.append((costs, [each.grad for each in ensemble.parameters()]))
    torch.testing.assert_close(*told, rtol=1e-4, atol=1e-4)


def test_members_that_compare_rows_or_keep_count_are_not_copies() -> None:
    rest = [VAE(), VQVAE(), Sparse(), Adversarial(), Contractive()]
    assert not any(Ensemble(members(each)).side_by_side for each in rest)


def test_the_noise_of_a_row_does_not_depend_on_the_process_that_holds_it() -> None:
    ensemble, found = Ensemble(members(Masked())).train(), []
    for start, stop in ((0, 64), (16, 48)):
        with seeded(0), shard(64, start):
            found.append(ensemble._copied(Autoencoder.losses, X[start:stop], None)["nll"])
    torch.testing.assert_close(found[0][:, 16:48], found[1])


def test_members_start_apart_and_the_whole_learns() -> None:
    with seeded(0):
        ensemble = Vanilla(latent=2, members=3).build(numbers(6))
    assert isinstance(ensemble, Ensemble)
    assert any(not torch.equal(weight[0], weight[1]) for weight in ensemble.parameters())
    x = torch.randn(256, 2, generator=torch.Generator().manual_seed(1)) @ torch.randn(2, 6)
    history = Trainer(epochs=15, batch_size=64).fit(ensemble, Rows(x), Rows(x))
    assert history[-1].valid["nll"] < history[0].valid["nll"] - 0.5


@pytest.mark.parametrize("variant", VARIANTS, ids=repr)
def test_weights_round_trip(variant: Variant) -> None:
    first, second = Ensemble(members(variant)).eval(), Ensemble(members(variant)[::-1]).eval()
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        assert torch.equal(first(X).nll, second(X).nll)


@pytest.mark.parametrize("kind", [AnomalyDetector, Imputer])
def test_a_task_with_members_saves_and_loads(kind: type, tmp_path: pytest.TempPathFactory) -> None:
    rows = np.random.default_rng(0).normal(size=(120, 4))
    rows[5, 1] = np.nan
    task = kind(Masked(members=2), trainer=Trainer(epochs=2), random_state=0).fit(rows)
    task.save(tmp_path / "model")
    again, ask = load(tmp_path / "model"), "anomaly_score" if kind is AnomalyDetector else "transform"
    np.testing.assert_array_equal(getattr(again, ask)(rows), getattr(task, ask)(rows))
    np.testing.assert_array_equal(getattr(task, ask)(rows)[:1], getattr(task, ask)(rows[:1]))
