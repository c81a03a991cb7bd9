from __future__ import annotations

import numpy as np
import pytest
import torch

from diabolo.errors import InvalidData
from diabolo.evaluate import usage


def test_counts_over_all_rows_places_and_heads() -> None:
    """Two heads on a grid of three places: head 0 uses all of four codes alike, head 1 a single one."""
    tokens = torch.stack([torch.arange(12).view(4, 3) % 4, torch.full((4, 3), 2)], 1)
    found = usage(tokens, codes=4)
    assert found.used == 5 / 8
    assert found.perplexity == pytest.approx(np.exp((np.log(4) + 0) / 2))


def test_perplexity_is_that_of_scipy() -> None:
    from scipy.stats import entropy

    tokens = np.random.default_rng(0).geometric(0.2, size=(5000, 1)).clip(max=30)
    assert usage(tokens, 31).perplexity == pytest.approx(np.exp(entropy(np.bincount(tokens[:, 0]))))


@pytest.mark.parametrize("wrong", [[[0], [4]], [[-1]], [0, 1], np.zeros((0, 1), int)])
def test_errors_say_what_is_allowed(wrong: object) -> None:
    with pytest.raises(InvalidData, match=r"Tokens .*(0 to 3|shape)"):
        usage(wrong, codes=4)
