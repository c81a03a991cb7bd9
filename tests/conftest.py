"""Fixtures of every test: where the real data is, and one thread for tiny networks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; tests that need it are skipped, saying so, where it is absent."""
    place = Path(os.environ.get("DIABOLO_DATA", ROOT.parent / "shared" / "data"))
    if not place.is_dir():
        pytest.skip(f"no real data at {place}: set DIABOLO_DATA")
    return place


@pytest.fixture
def torch_warns() -> Iterator[None]:
    """What torch warns of once, it warns of every time."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(before)


@pytest.fixture
def compared() -> type[str]:
    """Names that count how often they are compared."""

    class Compared(str):
        __hash__ = str.__hash__
        times = 0

        def __eq__(self, other: object) -> bool:
            Compared.times += 1
            return str.__eq__(self, other)

    return Compared
