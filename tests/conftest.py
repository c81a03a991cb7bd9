"""Fixtures of every test: where the real data is, how slow the machine is, and one thread for tiny networks."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[1]
USUAL = 0.12  # CPU seconds of ``_work`` on the machines that bounds in seconds were set on


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; tests that need it are skipped, saying so, where it is absent."""
    place = Path(os.environ.get("DIABOLO_DATA", ROOT.parent / "shared" / "data"))
    if not place.is_dir():
        pytest.skip(f"no real data at {place}: set DIABOLO_DATA")
    return place


@pytest.fixture
def pace() -> float:
    """How many times slower than usual this machine is now, 1 or more: what bounds in CPU seconds are multiplied by."""
    return max(1.0, min(_work() for _ in range(3)) / USUAL)


def _work() -> float:
    """CPU seconds of a million steps of Python and of filling 200 MB."""
    begin = time.thread_time()
    sum(each * each for each in range(10**6))
    bytes(bytearray(100_000_000))
    return time.thread_time() - begin
