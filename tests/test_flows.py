from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from diabolo.flows import KINDS, Autoregressive, Bends, Coupling, Kind, Planar


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def bent(flow: nn.Module) -> nn.Module:
    """The flow with weights that bend a lot."""
    for each in flow.parameters():
        nn.init.normal_(each, std=0.5)
    return flow


@pytest.mark.parametrize("latent", [1, 2, 5])
@pytest.mark.parametrize("context", [0, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_way_back(kind: Kind, latent: int, context: int) -> None:
    flow, z = bent(Bends(latent, 5, 8, context, kind)), torch.randn(4, 3, latent)
    beside = torch.randn(4, 3, context) if context else None
    y, _ = flow(z, beside)
    torch.testing.assert_close(flow.inverse(y, beside), z, atol=1e-3, rtol=1e-3)
    assert (latent == 1 and kind == "coupling") or not torch.allclose(y, z, atol=0.1)


def test_half_of_the_numbers_stay() -> None:
    z = torch.randn(6, 5)
    for first in (0, 1):
        y, _ = bent(Coupling(5, first, 8))(z)
        assert torch.equal(y[:, first::2], z[:, first::2])
        assert (y[:, 1 - first :: 2] != z[:, 1 - first :: 2]).all()


@pytest.mark.parametrize("latent", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_log_determinant_is_that_of_the_jacobian(kind: Kind, latent: int) -> None:
    flow, z, beside = bent(Bends(latent, 5, 8, 3, kind)), torch.randn(6, latent), torch.randn(6, 3)

    def one(point: Tensor, context: Tensor) -> Tensor:
        return flow(point, context)[0]

    jacobian = torch.func.vmap(torch.func.jacrev(one))(z, beside)
    torch.testing.assert_close(flow(z, beside)[1], torch.linalg.slogdet(jacobian).logabsdet, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("turn", [0, 1])
def test_each_number_is_told_by_those_before_it_and_by_the_context(turn: int) -> None:
    flow, z, beside = bent(Autoregressive(4, turn, 16, 2)), torch.randn(4), torch.randn(2)
    by_code, by_context = torch.func.jacrev(lambda z, context: flow(z, context)[0], argnums=(0, 1))(z, beside)
    reached = by_code.flip(0, 1) != 0 if turn else by_code != 0
    assert torch.equal(reached, torch.ones(4, 4).tril().bool()) and (by_context != 0).all()


@pytest.mark.parametrize("hidden", [1, 2, 3, 5])
def test_few_units_read_numbers_of_all_ranks(hidden: int) -> None:
    """Of few units the one that knows most knows of the last numbers too, and each tells all that come behind."""
    flow, z = bent(Autoregressive(6, 0, hidden)), torch.randn(6)
    reached = torch.func.jacrev(lambda z: flow(z)[0])(z) != 0
    read = 6 * (hidden - 1) // hidden
    assert torch.equal(reached.any(0), torch.ones(6).bool()) and reached[-1].sum() == read + 1
    assert not reached.triu(1).any()


def test_a_planar_push_never_folds() -> None:
    """However hard it is asked to pull back, the order along its direction stays and the volume is positive."""
    flow = Planar(3, 0, 8)
    with torch.no_grad():
        flow.free.copy_(torch.tensor([-9.0, -9.0, -9.0, 1.0, 1.0, 1.0, 0.0]))
    z = torch.linspace(-3, 3, 50)[:, None].expand(-1, 3)
    y, nats = flow(z)
    assert (y.sum(1).diff() > 0).all() and nats.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_flow_bends_little(kind: Kind) -> None:
    y, nats = Bends(6, 4, 32, 6, kind)(z := torch.randn(100, 6), torch.randn(100, 6))
    assert (y - z).abs().mean() < 0.3 and nats.abs().mean() < 0.5
