"""The loop: what it learns, what it keeps, what it leaves alone and how it fails."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from planes import built, equal, some
from torch import Tensor, nn

from diabolo.batches import Rows
from diabolo.checkpoints import Moving
from diabolo.distributed import Replicated, World
from diabolo.errors import DiaboloWarning, InvalidData, InvalidParameter, TrainingFailed
from diabolo.randomness import normal_like
from diabolo.trainer import Trainer
from diabolo.variants import VAE, Adversarial, Denoising, Vanilla, Variant

SCRIPT = Path(__file__).with_name("train_once.py")
ALONE = World(torch.device("cpu"))


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: each.clone() for name, each in module.state_dict().items()}


def valid_cost(autoencoder: Any, x: Tensor) -> float:
    with torch.no_grad():
        return float(sum(autoencoder.eval().losses(x).values()).mean())


# -- learning ----------------------------------------------------------------------------------------------------------


def test_costs_fall_and_the_autoencoder_is_left_for_use() -> None:
    autoencoder, held_out = built(Vanilla(latent=2, hidden=(8,))), some(64, seed=1)
    before = valid_cost(autoencoder, held_out)
    history = Trainer(epochs=60, batch_size=64, lr=0.01).fit(autoencoder, Rows(some(512)), Rows(held_out))
    assert valid_cost(autoencoder, held_out) < before - 3
    assert not autoencoder.training
    assert all(each.grad is None for each in autoencoder.parameters())
    assert [epoch.number for epoch in history] == list(range(1, len(history) + 1))


def test_epoch_reports_means_per_row() -> None:
    x = some(50)
    autoencoder = built(Vanilla(latent=2, hidden=(8,)))
    true = valid_cost(autoencoder, x)
    (epoch,) = Trainer(epochs=1, batch_size=7, lr=1e-9).fit(autoencoder, Rows(x), Rows(x))
    assert epoch.costs == {"nll": pytest.approx(true, rel=1e-5)}
    assert epoch.valid == {"nll": pytest.approx(true, rel=1e-5)}


def test_the_best_weights_are_kept() -> None:
    held_out = some(40, seed=1)
    autoencoder = built()
    history = Trainer(epochs=25, batch_size=16, lr=0.3, schedule="constant", patience=None).fit(
        autoencoder, Rows(some(100)), Rows(held_out)
    )
    costs = [sum((epoch.valid or {}).values()) for epoch in history]
    assert min(costs) < costs[-1]
    assert valid_cost(autoencoder, held_out) == pytest.approx(min(costs), rel=1e-5)


def test_without_validation_the_last_weights_stay_and_every_epoch_runs() -> None:
    seen: list[dict[str, Tensor]] = []
    autoencoder = built()
    history = Trainer(epochs=15, lr=0.5, schedule="constant", patience=1).fit(
        autoencoder, Rows(some(20)), on_epoch=lambda epoch: seen.append(state(autoencoder))
    )
    assert len(history) == 15
    assert all(epoch.valid is None for epoch in history)
    assert all(torch.equal(each, seen[-1][name]) for name, each in autoencoder.state_dict().items())


def test_patience_ends_training() -> None:
    trainer = Trainer(epochs=200, batch_size=16, lr=0.3, schedule="constant", patience=4)
    history = trainer.fit(built(), Rows(some(60)), Rows(some(40, seed=1)))
    costs = [sum((epoch.valid or {}).values()) for epoch in history]
    assert len(history) < 200
    assert costs.index(min(costs)) == len(costs) - 5


def test_early_stop_watches_no_penalty() -> None:
    (epoch,) = Trainer(epochs=1).fit(built(Adversarial(latent=2, hidden=(8,))), Rows(some(60)), Rows(some(40, seed=1)))
    assert set(epoch.costs) > set(epoch.valid or {}) >= {"nll"}


def test_plateau_halves_the_rate() -> None:
    trainer = Trainer(epochs=60, batch_size=16, lr=0.3, schedule="plateau", patience=12)
    history = trainer.fit(built(), Rows(some(60)), Rows(some(40, seed=1)))
    rates = [epoch.lr for epoch in history[3:]]
    assert {round(rates[0] / rate, 6) for rate in rates} >= {1.0, 2.0, 4.0}


def test_cosine_ends_at_zero_and_constant_does_not() -> None:
    assert Trainer(lr=1.0).rate(10**6 - 1, 10**6) < 1e-9
    assert Trainer(lr=1.0, schedule="constant").rate(10**6 - 1, 10**6) == 1.0
    assert Trainer(lr=1.0, schedule="constant").rate(0, 1) == 1.0


def test_rows_without_weight_teach_nothing() -> None:
    x, y = some(40), some(24, seed=4) * 5
    variant = Vanilla(latent=2, hidden=(8,))
    plain, weighted = built(variant), built(variant)
    trainer = Trainer(epochs=5, batch_size=64)
    trainer.fit(plain, Rows(x))
    trainer.fit(weighted, Rows(torch.cat([x, y]), weight=torch.cat([torch.full((40,), 3.0), torch.zeros(24)])))
    for name, each in plain.state_dict().items():
        assert torch.allclose(each, weighted.state_dict()[name], atol=1e-5)


@pytest.mark.parametrize("variant", [Denoising(latent=2, hidden=(8,)), VAE(latent=2, hidden=(8,))], ids=repr)
def test_pieces_of_a_batch_are_the_batch(variant: Variant) -> None:
    x = some(130)
    whole, pieces = built(variant), built(variant)
    one = Trainer(epochs=4, batch_size=50).fit(whole, Rows(x))
    other = Trainer(epochs=4, batch_size=50, accumulate=7).fit(pieces, Rows(x))
    for a, b in zip(one, other, strict=True):
        assert a.costs == pytest.approx(b.costs, rel=1e-6)


def test_decay_pulls_at_matrices_only() -> None:
    root = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3))
    before = state(root)
    weights = Replicated(root, ALONE)
    weights.clear()
    Moving(weights).descend(weights.add_up(), 0.1, 0.5, None)
    for name, each in root.state_dict().items():
        assert torch.allclose(each, before[name] * (0.95 if "weight" in name else 1.0), atol=1e-7)


def test_long_gradients_are_shortened() -> None:
    root = nn.Linear(3, 2)
    weights = Replicated(root, ALONE)
    root(torch.full((5, 3), 100.0)).square().sum().backward()
    norm = weights.add_up()
    direction = weights.gradients[0] / norm
    Moving(weights).descend(norm, 0.1, 0.0, clip=2.0)
    assert norm > 100
    assert torch.allclose(weights.gradients[0], 2.0 * direction, atol=1e-5)


def test_flat_weights_descend_as_published() -> None:
    """Algorithm 1 of Kingma & Ba (2015, arXiv:1412.6980), weight by weight."""
    x = some(64, 3)
    mine, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(mine.state_dict())
    weights = Replicated(mine, ALONE)
    moving = Moving(weights)
    moments = {each: (torch.zeros_like(each), torch.zeros_like(each)) for each in theirs.parameters()}
    for t in range(1, 21):
        weights.clear()
        mine(x).square().mean().backward()
        moving.descend(weights.add_up(), 0.05, 0.0, None)
        slopes = torch.autograd.grad(theirs(x).square().mean(), list(moments))
        for (each, (m, v)), g in zip(moments.items(), slopes, strict=True):
            m.mul_(0.9).add_(0.1 * g)
            v.mul_(0.999).add_(0.001 * g * g)
            each.data -= 0.05 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    weights.release()
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))


def test_weights_own_their_memory_again() -> None:
    autoencoder = built()
    Trainer(epochs=1).fit(autoencoder, Rows(some(20)))
    assert all(each.untyped_storage().nbytes() == each.nbytes for each in autoencoder.parameters())


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_few_rows_are_enough(rows: int) -> None:
    history = Trainer(epochs=3).fit(built(), Rows(some(rows)), Rows(some(1, seed=1)))
    assert len(history) == 3


def test_bf16_learns_too() -> None:
    x, autoencoder = some(256), built()
    before = valid_cost(autoencoder, x)
    Trainer(epochs=40, batch_size=64, lr=0.01, precision="bf16").fit(autoencoder, Rows(x))
    assert valid_cost(autoencoder, x) < before - 2
    assert {each.dtype for each in autoencoder.parameters()} == {torch.float32}


def test_what_cannot_be_trained_is_said() -> None:
    with pytest.raises(InvalidData, match="no rows"):
        Trainer().fit(built(), Rows(some(0)))
    with pytest.raises(InvalidParameter, match="no weights"):
        Trainer().fit(nn.Identity(), Rows(some(5)))  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="quantum"):
        Trainer(device="quantum").fit(built(), Rows(some(5)))
    with pytest.raises(InvalidParameter, match="batch_size"):
        Trainer(batch_size=0).fit(built(), Rows(some(5)))


# -- randomness --------------------------------------------------------------------------------------------------------


def test_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index]
    Trainer(epochs=2).fit(built(VAE(latent=2, hidden=(8,))), Rows(some(40)), Rows(some(20, seed=1)))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # type: ignore[index]
    assert random.getstate() == before[2]


def test_global_random_state_is_not_used() -> None:
    runs = []
    for seed in (1, 2):
        autoencoder = built()
        torch.manual_seed(seed)
        Trainer(epochs=2).fit(autoencoder, Rows(some(40)), seed=9, on_epoch=lambda epoch: torch.rand(3))
        runs.append(autoencoder)
    assert equal(*runs)


def test_trainings_in_several_threads_are_those_of_one() -> None:
    def costs(autoencoder: Any, seed: int) -> list[float]:
        return [epoch.cost for epoch in Trainer(epochs=8, batch_size=16).fit(autoencoder, Rows(some(200)), seed=seed)]

    seeds = (1, 2, 1, 2)
    alone, together = ([built(VAE(latent=2)) for _ in seeds] for _ in range(2))
    state = torch.random.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(costs, together, seeds))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert made == [costs(each, seed) for each, seed in zip(alone, seeds, strict=True)]


def test_every_step_has_its_own_noise() -> None:
    class Listening(nn.Linear):
        drawn: list[Tensor]

        def losses(self, x: Tensor, given: Tensor | None = None) -> dict[str, Tensor]:
            self.drawn.append(normal_like(x[:1]))
            return {"nll": self(x).square().sum(1)}

    model = Listening(6, 1)
    model.drawn = []
    Trainer(epochs=3, batch_size=10).fit(model, Rows(some(40)))  # type: ignore[arg-type]
    assert len(torch.cat(model.drawn).unique(dim=0)) == 3 * 4


def test_the_seed_decides() -> None:
    runs = []
    for seed in (1, 1, 2):
        runs.append(built())
        Trainer(epochs=2, batch_size=16).fit(runs[-1], Rows(some(40)), seed=seed)
    assert equal(runs[0], runs[1])
    assert not equal(runs[0], runs[2])


# -- failures ----------------------------------------------------------------------------------------------------------


class Fragile(nn.Module):
    """A model of one weight that goes astray when ``astray(call)`` says so: in its cost or in its gradient."""

    def __init__(self, astray: Callable[[int], bool], *, gradient: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0]))
        self.astray, self.gradient, self.calls = astray, gradient, 0

    def losses(self, x: Tensor, given: Tensor | None = None) -> dict[str, Tensor]:
        cost = (x[:, 0] * self.weight - 1).square()
        if self.training:
            self.calls += 1
            if self.astray(self.calls):
                zero = (self.weight - self.weight).abs().sqrt() if self.gradient else self.weight * math_nan
                cost = cost + zero
        return {"nll": cost}

    def forward(self, x: Tensor, given: Tensor | None = None) -> Any:
        return type("Trip", (), {"errors": x.square()})


math_nan = float("nan")


@pytest.mark.parametrize("gradient", [False, True], ids=["cost", "gradient"])
def test_one_bad_batch_is_walked_again_at_a_lower_rate(gradient: bool) -> None:
    model = Fragile(lambda call: call == 20, gradient=gradient)
    with pytest.warns(DiaboloWarning, match=r"batch 20 of 40 in epoch 1 .*column 2"):
        x = torch.tensor([[1.0, 0.5, 3.0]]).expand(80, 3)
        history = Trainer(epochs=2, batch_size=2, lr=0.01, schedule="constant").fit(model, Rows(x))  # type: ignore[arg-type]
    assert history[-1].lr == pytest.approx(0.001)
    assert model.calls == 80 + 16  # back to step 16, found at step 32
    assert model.weight.isfinite().all()
    assert np.isfinite([epoch.costs["nll"] for epoch in history]).all()


def test_a_hopeless_training_says_where() -> None:
    x = some(90)
    x[13, 4] = 3e38
    autoencoder = built(Vanilla(latent=2, hidden=(8,)))
    before = state(autoencoder)
    order = list(Rows(torch.arange(90)[:, None]).shuffled(10, 0, 0))
    guilty = next(i for i, batch in enumerate(order) if 13 in batch.x) + 1
    with warnings.catch_warnings(record=True) as told, pytest.raises(TrainingFailed) as failure:
        warnings.simplefilter("always")
        Trainer(epochs=2, batch_size=10).fit(autoencoder, Rows(x))
    assert f"batch {guilty} of 9 in epoch 1" in str(failure.value)
    assert "model column 4" in str(failure.value)
    assert len(told) == 5
    assert all(torch.equal(each, before[name]) for name, each in autoencoder.state_dict().items())


def test_a_rate_too_high_is_brought_down() -> None:
    autoencoder = built(Vanilla(latent=2, hidden=(8,), activation="relu"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        Trainer(epochs=20, batch_size=8, lr=1e3, clip=None, schedule="constant").fit(autoencoder, Rows(some(80)))
    assert 1 <= len(told) <= 5
    assert all(each.isfinite().all() for each in autoencoder.parameters())


def test_a_validation_that_is_never_finite_fails() -> None:
    with pytest.raises(TrainingFailed, match="validation"):
        Trainer(epochs=2).fit(built(), Rows(some(30)), Rows(some(10) * 1e38))


# -- what nobody asked for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows, grid, longest, epochs, size",
    [
        (50_000, False, 60, 60, 781),
        (10**7, True, 240, 60, 1024),
        (1000, False, 60, 60, 128),
        (1000, False, 240, 240, 128),
        (1000, True, 60, 60, 32),
        (3000, True, 240, 60, 46),
        (4000, False, 240, 120, 128),
    ],
)
def test_epochs_and_batches_suit_the_rows(rows: int, grid: bool, longest: int, epochs: int, size: int) -> None:
    own = Trainer(lr=0.1).suited(rows, grid=grid, longest=longest)
    assert (own.epochs, own.batch_size, own.lr) == (epochs, size, 0.1)


def test_what_was_asked_for_stays() -> None:
    asked = Trainer(epochs=7, batch_size=9)
    assert asked.suited(10, grid=True, longest=240).get_params() == asked.get_params()
    assert [(half.epochs, half.batch_size) for half in asked.halved(10)] == [(3, 9), (4, 9)]
    assert Trainer(checkpoint="here").halved(10)[1].checkpoint == "here"


def test_an_epoch_knows_of_how_many_it_is_one() -> None:
    history = Trainer(batch_size=16).fit(built(), Rows(some(40)), Rows(some(20, seed=1)))
    assert {epoch.of for epoch in history} == {60} and history[0].cost == sum(history[0].valid.values())
    assert Trainer(epochs=1).fit(built(), Rows(some(40)))[0].cost > 0
