from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from diabolo.flows import Coupling, Couplings


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
def test_the_way_back(latent: int, context: int) -> None:
    flow, z = bent(Couplings(latent, 5, 8, context)), torch.randn(4, 3, latent)
    beside = torch.randn(4, 3, context) if context else None
    y, _ = flow(z, beside)
    torch.testing.assert_close(flow.inverse(y, beside), z, atol=1e-4, rtol=1e-4)
    assert latent == 1 or not torch.allclose(y, z, atol=0.1)


def test_half_of_the_numbers_stay() -> None:
    z = torch.randn(6, 5)
    for first in (0, 1):
        y, _ = bent(Coupling(5, first, 8))(z)
        assert torch.equal(y[:, first::2], z[:, first::2])
        assert (y[:, 1 - first :: 2] != z[:, 1 - first :: 2]).all()


def test_log_determinant_is_that_of_the_jacobian() -> None:
    flow, z, beside = bent(Couplings(4, 5, 8, 3)), torch.randn(6, 4), torch.randn(6, 3)

    def one(point: Tensor, context: Tensor) -> Tensor:
        return flow(point, context)[0]

    jacobian = torch.func.vmap(torch.func.jacrev(one))(z, beside)
    torch.testing.assert_close(flow(z, beside)[1], torch.linalg.slogdet(jacobian).logabsdet, atol=1e-4, rtol=1e-4)
