from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from torch import Tensor, nn

from diabolo.autoencoder import Bottleneck
from diabolo.bottlenecks import (
    Bent,
    Categorical,
    Discrete,
    FiniteScalar,
    Gaussian,
    Ladder,
    LookupFree,
    Plain,
    Quantised,
    Random,
    Residual,
    Spanned,
    Spherical,
    TopK,
)
from diabolo.bottlenecks.quantised import cut
from diabolo.errors import InvalidParameter
from diabolo.priors import Flow, Mixture
from diabolo.randomness import seeded
from diabolo.schedules import Anneal

PARTS = {
    "plain": lambda: Plain(4, nn.Sigmoid()),
    "topk": lambda: TopK(4, 2),
    "gaussian": lambda: Gaussian(4, free=0.01),
    "gaussian of a capacity": lambda: Gaussian(4, weight=2.0, capacity=3.0),
    "gaussian of clusters": lambda: Gaussian(4, free=0.01, prior=Mixture(4, 3)),
    "gaussian of a flow": lambda: Gaussian(4, prior=Flow(4, 2, 8)),
    "bent": lambda: Bent(4, layers=2, hidden=8, free=0.01),
    "ladder": lambda: Ladder(4, (3, 2), 8, free=0.01),
    "spherical": lambda: Spherical(4, free=0.01),
    "quantised": lambda: Quantised(4, codes=6, heads=2),
    "quantised by gradient": lambda: Quantised(4, codes=6, heads=2, update="gradient"),
    "quantised by cosine": lambda: Quantised(4, codes=6, heads=2, distance="cosine"),
    "spanned": lambda: Spanned(4, codes=6, heads=2),
    "residual": lambda: Residual(4, codes=6, stages=3),
    "lookup free": lambda: LookupFree(4, heads=2),
    "categorical": lambda: Categorical(4, codes=6, heads=2, temperature=Anneal(1.0, 0.1, 0.5)),
    "categorical mixture": lambda: Categorical(4, codes=6, heads=2, hard=False),
    "finite scalar": lambda: FiniteScalar((3, 4, 5, 2)),
}


@pytest.fixture(params=PARTS)
def part(request: pytest.FixtureRequest) -> Bottleneck:
    with seeded(0):
        return PARTS[request.param]()


def numbers(part: Bottleneck, *shape: int) -> Tensor:
    return torch.randn(shape[0], part.width, *shape[1:], generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("grid", [(), (3,), (3, 2)])
def test_shapes(part: Bottleneck, grid: tuple[int, ...]) -> None:
    for training in (True, False):
        code = part.train(training)(numbers(part, 5, *grid))
        assert code.z.shape == (5, part.latent, *grid)
        assert all(cost.shape == (5,) for cost in code.costs.values())
    assert part.sample(7, grid).shape == (7, part.latent, *grid)
    if code.tokens is not None:
        assert code.tokens.shape[0] == 5 and code.tokens.shape[2:] == grid


def test_evaluation_repeats_and_changes_nothing(part: Bottleneck) -> None:
    h = numbers(part, 6)
    part.train()(h)
    before = {name: each.clone() for name, each in part.state_dict().items()}
    first, second = part.eval()(h), part(h)
    assert torch.equal(first.z, second.z)
    assert all(torch.equal(first.costs[name], second.costs[name]) for name in first.costs)
    assert all(torch.equal(each, before[name]) for name, each in part.state_dict().items())


def test_gradients_pass(part: Bottleneck) -> None:
    h = numbers(part, 6).requires_grad_()
    part.train()(h).z.sum().backward()
    assert h.grad is not None and h.grad.abs().sum() > 0


def test_training_repeats_for_a_seed(part: Bottleneck) -> None:
    h, state = numbers(part, 6), {name: each.clone() for name, each in part.state_dict().items()}
    runs = []
    for _ in range(2):
        part.load_state_dict(state)
        with seeded(3):
            runs.append(part.train()(h).z)
            runs[-1] = torch.cat([runs[-1], part(h).z])
    assert torch.equal(*runs)


def test_a_sample_of_a_discrete_code_is_a_code() -> None:
    fsq = FiniteScalar((3, 4))
    z = fsq.sample(200)
    assert set(z[:, 0].tolist()) == {-1.0, 0.0, 1.0}
    assert z[:, 1].unique().numel() == 4
    vq = Quantised(4, codes=5, heads=2)
    vq.train()(numbers(vq, 50))
    drawn = cut(vq.sample(20), 2)
    assert torch.cdist(drawn[:, 0, 0], vq.codebook[0]).amin(1).max() < 1e-6


def test_samples_follow_the_use_of_the_codes() -> None:
    vq = Quantised(2, codes=4)
    vq.counts.copy_(torch.tensor([[0.0, 3.0, 0.0, 1.0]]))
    with seeded(0):
        tokens = vq.eval()(vq.sample(2000)).tokens
    share = torch.bincount(tokens.flatten(), minlength=4) / 2000
    assert share[0] == share[2] == 0 and abs(share[1] - 0.75) < 0.04


def test_top_k_keeps_k() -> None:
    z = TopK(8, 3)(torch.randn(5, 8, 2)).z
    assert ((z != 0).sum(1) == 3).all()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Spherical(1),
        lambda: TopK(3, 4),
        lambda: TopK(3, 0),
        lambda: Quantised(5, 8, heads=2),
        lambda: Categorical(5, 8, heads=2),
        lambda: LookupFree(13),
        lambda: FiniteScalar((1, 3)),
    ],
)
def test_errors_say_what_is_allowed(wrong: object) -> None:
    with pytest.raises(InvalidParameter, match="must"):
        wrong()  # type: ignore[operator]


@pytest.mark.parametrize("part", [Gaussian(2), Ladder(1, (1,)), Spherical(3)])
def test_extreme_numbers_stay_finite(part: Random) -> None:
    for h in (torch.tensor([[1e10, -1e10, 1e10, -1e10]]), torch.tensor([[-1e10, 1e10, -1e10, 1e10]])):
        code = part.eval()(h)
        assert code.costs["kl"].isfinite().all() and code.z.isfinite().all()


@pytest.mark.parametrize("name", [name for name, make in PARTS.items() if isinstance(make(), Random)])
def test_proposals_are_draws_of_the_posterior_in_either_mode(name: str) -> None:
    with seeded(0):
        part = PARTS[name]()
    assert isinstance(part, Random)
    h = numbers(part, 3, 2)
    for mode in (True, False):
        z, nats = part.train(mode).propose(h, 4)
        assert z.shape == (12, part.latent, 2) and nats.shape == (12,)
        assert not torch.equal(z[0], z[1])
    code = part.draw(h, 4)
    assert code.costs["kl"].shape == (12,)


def test_free_bits_are_free() -> None:
    h = torch.randn(20, 6) * 0.1
    assert torch.allclose(Gaussian(3, free=0.5).eval()(h).costs["kl"], torch.tensor(1.5))
    h[:, 0] = 10.0
    dear, cheap = (Gaussian(3, free=free).eval()(h).costs["kl"] for free in (0.0, 0.5))
    assert (cheap >= dear).all() and (cheap < dear + 1.0 + 1e-3).all()


def test_a_weight_of_zero_leaves_the_cost_out() -> None:
    assert Gaussian(3, weight=0.0)(torch.zeros(2, 6)).costs == {}


def test_annealed_cost_warms_up_in_training_only() -> None:
    price, h = Anneal(0.0, 2.0, 0.5), torch.ones(1, 2)
    part, whole = Gaussian(1, weight=price), Gaussian(1, weight=2.0).eval()(h).costs["kl"]
    paid = []
    for done in (0.125, 0.25, 0.5, 0.75):
        price.reach(done)
        paid.append(float(part.train()(h).costs["kl"] / whole))
    assert paid == pytest.approx([0.25, 0.5, 1.0, 1.0])
    assert torch.equal(part.eval()(h).costs["kl"], whole)


def test_capacity_is_what_a_row_tells_for_nothing() -> None:
    h = torch.randn(5, 6)
    kl = Gaussian(3).eval()(h).costs["kl"]
    part = Gaussian(3, weight=2.0, capacity=Anneal(0.0, 4.0, 1.0).reach(0.5))
    torch.testing.assert_close(part.train()(h).costs["kl"], 2 * (kl - 2).abs())
    torch.testing.assert_close(part.eval()(h).costs["kl"], 2 * (kl - 4).abs())


def test_draws_come_row_by_row_and_posterior_once_per_row() -> None:
    part = Gaussian(2).train()
    h = torch.cat([torch.tensor([[50.0, 50.0], [-50.0, -50.0]]), torch.zeros(2, 2)], 1)
    code = part.draw(h, 3)
    assert code.z.shape == (6, 2) and code.posterior.mean.shape == (2, 2)  # type: ignore[union-attr]
    assert (code.z[:3] > 0).all() and (code.z[3:] < 0).all()
    assert code.costs["kl"].shape == (6,)


def test_first_batch_seeds_the_codebook_and_data_is_followed() -> None:
    torch.manual_seed(0)
    centers = torch.tensor([[0.0, 0.0], [30.0, 0.0], [0.0, 30.0], [30.0, 30.0]])
    vq = Quantised(2, codes=4).train()
    for _ in range(60):
        vq(centers.repeat(16, 1) + torch.randn(64, 2) * 0.1)
    assert torch.cdist(centers, vq.codebook[0]).amin(1).max() < 1
    assert vq.eval()(centers).tokens.unique().numel() == 4


def test_the_first_batches_are_k_means() -> None:
    """As near to handwritten digits after sixty batches, within a tenth, as scikit-learn's k-means on all rows."""
    torch.manual_seed(0)
    rows = torch.tensor(load_digits().data / 6, dtype=torch.float32)
    vq = Quantised(64, codes=64).train()
    for _ in range(60):
        vq(rows[torch.randint(len(rows), (250,))])
    found = (vq.eval()(rows).z - rows).square().sum()
    assert found < 1.1 * KMeans(64, n_init=1, random_state=0).fit(rows.numpy()).inertia_


def test_at_first_vectors_lie_far_apart() -> None:
    """One batch of sixteen groups: hardly any group is left out, where points drawn evenly would leave out a third."""
    torch.manual_seed(0)
    centers = torch.randn(16, 8) * 10
    vq = Quantised(8, codes=16).train()
    vq(centers.repeat(16, 1) + torch.randn(256, 8) * 0.1)
    assert (torch.cdist(centers, vq.codebook[0]).amin(1) < 2).sum() >= 13


def test_cosine_looks_at_the_direction_only() -> None:
    vq, h = Quantised(4, codes=6, heads=2, distance="cosine").eval(), torch.randn(9, 4)
    assert torch.equal(vq(h).tokens, vq(3 * h).tokens)
    torch.testing.assert_close(vq(h).z.view(9, 2, 2).norm(dim=-1), torch.ones(9, 2))


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_gradients_reach_a_codebook_that_is_moved_in_between(distance: str) -> None:
    vq = Quantised(4, codes=6, update="gradient", distance=distance).train()
    before = vq.codebook.detach().clone()
    code = vq(torch.randn(30, 4))  # the first batch moves all of it
    code.costs["quantisation"].sum().backward()
    assert not torch.equal(vq.codebook, before) and (vq.codebook.grad != 0).any()


def test_every_point_moves_every_vector_of_a_span() -> None:
    part = Spanned(3, codes=7)
    before = part.vectors().detach()
    part(torch.ones(1, 3)).costs["quantisation"].sum().backward()
    after = part.fixed @ (part.basis - 0.1 * part.basis.grad)  # type: ignore[operator]
    assert ((before - after).abs().sum(-1) > 0).all()


def test_a_choice_is_one_vector_and_hotter_draws_have_smaller_slopes() -> None:
    h = torch.tensor([[2.0, 0.0, 0.0]]).requires_grad_()
    slopes = []
    for temperature in (1.0, 100.0):
        part = Categorical(2, codes=3, temperature=temperature).train()
        with seeded(3):
            slopes.append(float(torch.autograd.grad(part(h).z.sum(), h)[0].abs().max()))
        assert torch.cdist(part(h).z.detach(), part.codebook[0]).min() < 1e-6
    assert slopes[0] > slopes[1]


def test_signs_are_the_digits_of_a_token() -> None:
    part = LookupFree(6, heads=2).eval()
    signs = part.sample(200)
    code = part(signs * 0.3)
    assert torch.equal(code.z, signs)
    assert torch.equal(code.tokens, ((signs.view(200, 2, 3) > 0) * torch.tensor([1, 2, 4])).sum(-1))


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_dead_codes_are_revived(update: str) -> None:
    torch.manual_seed(0)
    vq = Quantised(2, codes=16, update=update).train()  # type: ignore[arg-type]
    vq(torch.randn(128, 2) * 0.01)
    for _ in range(120):  # the data moves away from every code but the nearest
        vq(torch.randn(128, 2) + 100.0)
    used = vq.eval()(torch.randn(2000, 2) + 100.0).tokens.unique().numel()
    assert used >= 15


def test_codes_do_not_depend_on_the_other_rows_of_the_batch() -> None:
    vq = Quantised(4, codes=8, heads=2)
    h, state = numbers(vq, 8), {name: each.clone() for name, each in vq.state_dict().items()}
    other = torch.cat([h[:4], h[4:] * 5 + 1])
    first = vq.train()(h).z[:4]
    vq.load_state_dict(state)
    assert torch.equal(first, vq(other).z[:4])


TWO = """
import sys, torch
import torch.distributed as dist
from diabolo.bottlenecks import Quantised
from diabolo.randomness import seeded, shard
rank, store, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
h = torch.randn(12, 4, generator=torch.Generator().manual_seed(5))
with seeded(1):
    part = Quantised(4, codes=5, heads=2).train()
own = slice(0, 5) if rank == 0 else slice(5, 12)
for step in range(3):
    with seeded(2, step), shard(12, own.start):
        part(h[own])
torch.save(part.state_dict(), f"{out}{rank}")
dist.destroy_process_group()
"""


def test_two_processes_learn_the_codebook_of_one(tmp_path: Path) -> None:
    h = torch.randn(12, 4, generator=torch.Generator().manual_seed(5))
    with seeded(1):
        alone = Quantised(4, codes=5, heads=2).train()
    for step in range(3):
        with seeded(2, step):
            alone(h)
    started = [
        subprocess.Popen([sys.executable, "-c", TWO, str(rank), str(tmp_path / "store"), str(tmp_path / "state")])
        for rank in range(2)
    ]
    assert [each.wait(timeout=60) for each in started] == [0, 0]
    for rank in range(2):
        state = torch.load(tmp_path / f"state{rank}", weights_only=True)
        for name, each in alone.state_dict().items():
            torch.testing.assert_close(state[name], each)


TOKENS: dict[str, Callable[[], Discrete]] = {
    "quantised": lambda: Quantised(6, 5, 3),
    "cosine": lambda: Quantised(6, 5, 3, distance="cosine"),
    "spanned": lambda: Spanned(6, 5, 2),
    "residual": lambda: Residual(6, 5, 3),
    "finite scalar": lambda: FiniteScalar([2, 3, 4, 5]),
    "lookup free": lambda: LookupFree(6, 2),
    "categorical": lambda: Categorical(6, 5, 3),
}


@pytest.mark.parametrize("grid", [(), (4,), (2, 3)])
@pytest.mark.parametrize("name", TOKENS)
def test_tokens_can_be_looked_up(name: str, grid: tuple[int, ...]) -> None:
    with seeded(0):
        part = TOKENS[name]()
        h = 2 * torch.randn(30, part.width, *grid)
        part(h)
        code = part.eval()(h)
    assert code.tokens is not None
    torch.testing.assert_close(part.look_up(code.tokens), code.z, atol=1e-5, rtol=1e-5)
    assert len(part.letters) == code.tokens.shape[1]
    for head, count in enumerate(part.letters):
        assert 0 <= code.tokens[:, head].min() and code.tokens[:, head].max() < count
