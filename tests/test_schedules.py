from __future__ import annotations

import copy

import pytest
import torch

from diabolo.schedules import Anneal


@pytest.mark.parametrize("start, end", [(0.0, 1.0), (2.0, -1.0), (0.5, 0.5)])
def test_moves_in_equal_steps_and_stays(start: float, end: float) -> None:
    number = Anneal(start, end, 4)
    values = torch.stack([number() for _ in range(6)])
    torch.testing.assert_close(values, start + (end - start) * torch.tensor([0.25, 0.5, 0.75, 1.0, 1.0, 1.0]))


def test_evaluation_gives_the_end_and_takes_no_step() -> None:
    number = Anneal(0.0, 3.0, 10).eval()
    assert number() == 3.0 and number.step == 0


def test_no_steps_is_a_constant() -> None:
    assert Anneal(0.0, 2.0, 0)() == 2.0


def test_the_step_is_saved_with_the_weights() -> None:
    first = Anneal(0.0, 1.0, 10)
    first()
    second = Anneal(0.0, 1.0, 10)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(first(), second()) and second.step == 2
