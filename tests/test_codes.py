"""Codes of prepared rows, and what the decoder makes of them."""

from __future__ import annotations

import pytest
import torch

from diabolo.errors import InvalidParameter
from diabolo.schema import numbers
from diabolo.tasks.codes import codes, outputs, places
from diabolo.variants import VQVAE, Vanilla

IMAGES = numbers(1, "image", (8, 8))


@pytest.mark.parametrize(("variant", "grid"), [(Vanilla(latent=4), ()), (VQVAE(latent=4), (2, 2))])
def test_codes_are_rows_of_numbers_and_come_back_as_a_grid(variant: Vanilla, grid: tuple[int, ...]) -> None:
    autoencoder = variant.build(IMAGES).eval()
    x = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    z = codes(autoencoder, x)
    assert places(autoencoder) == grid
    assert z.shape == (5, 4 * (4 if grid else 1))
    assert torch.allclose(outputs(autoencoder, z), autoencoder(x).output, atol=1e-5)


def test_an_ensemble_has_no_one_code() -> None:
    with pytest.raises(InvalidParameter, match="members=1"):
        outputs(Vanilla(latent=2, members=2).build(numbers(4)), torch.zeros(1, 4))
