"""The same training in one process and in several: same rows, same noise, same curve, same end after a death."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from diabolo.distributed import Replicated, World, layout, spread

SCRIPT = Path(__file__).with_name("train_once.py")
DEVICE = torch.device("cpu")
# 173 rows in batches of 9: slices of 2 and 3 rows; the last batch, of 2 rows, leaves two of four processes without any.
PLAN = {"epochs": 3, "batch_size": 9, "lr": 0.01}


VARIANTS = {"Denoising": {"latent": 2}, "VAE": {"latent": 2}}
SHARING = {"Vanilla": {"latent": 2, "tied": True}, "Masked": {"latent": 2}, "VampPrior": {"latent": 2}}


def case(name: str, **more: Any) -> dict[str, Any]:
    return {"trainer": PLAN | more, "variant": name, "parts": (VARIANTS | SHARING)[name]}


def launch(processes: int, cases: list[dict[str, Any]]) -> list[Any]:
    """The results of the cases, run one after the other by torchrun, in its workers' last life.

    On a busy machine torchrun restarts workers of itself now and then (a connection that failed, say): there are more
    lives left than deaths planned, and a planned death happens once, in whichever life comes to it.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "localhost"]
    command += ["--max-restarts", "5"]
    command += ["--nproc-per-node", str(processes), str(SCRIPT), json.dumps(cases)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results = [json.loads(line[6:]) for line in done.stdout.splitlines() if line.startswith("RESULT")]
    return results[-len(cases) :]


def flat(curve: Any) -> list[float]:
    return [value for costs, valid, rate in curve for value in (*costs.values(), *valid.values(), rate)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """What one process makes of each variant."""
    names = [*VARIANTS, *SHARING]
    command = [sys.executable, str(SCRIPT), json.dumps([case(name) for name in names])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    results = [json.loads(line[6:]) for line in done.stdout.splitlines() if line.startswith("RESULT")]
    return dict(zip(names, results, strict=True))


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Two processes: one is killed in the third training, one is asked to stop in the fourth; both start again."""
    place = tmp_path_factory.mktemp("states")
    cases = [
        case("Denoising"),
        case("Denoising", strategy="fsdp"),
        case("Denoising", checkpoint=str(place / "ddp")) | {"at": [1, 17], "rank": 1, "once": str(place / "killed")},
        case("Denoising", checkpoint=str(place / "fsdp"), strategy="fsdp")
        | {"at": [2, 3], "rank": 1, "once": str(place / "stopped"), "way": "SIGTERM"},
    ]
    results = launch(2, cases)
    assert (place / "killed").exists()
    assert (place / "stopped").exists()
    return results


@pytest.fixture(scope="module")
def by_four() -> list[Any]:
    """What four processes make of each case."""
    cases = [case("Denoising"), case("Denoising", strategy="fsdp"), case("VAE", accumulate=2)]
    return launch(4, cases)


def test_the_curve_does_not_depend_on_the_number_of_processes(
    alone: dict[str, Any], by_two: list[Any], by_four: list[Any]
) -> None:
    ddp_of_two, fsdp_of_two, *_ = by_two
    ddp_of_four, fsdp_of_four, pieces_of_four = by_four
    for found in (ddp_of_two, fsdp_of_two, ddp_of_four, fsdp_of_four):
        assert flat(found["curve"]) == pytest.approx(flat(alone["Denoising"]["curve"]), rel=1e-6)
    assert flat(pieces_of_four["curve"]) == pytest.approx(flat(alone["VAE"]["curve"]), rel=1e-6)


def test_parts_that_use_each_others_weights_can_be_sharded(alone: dict[str, Any]) -> None:
    found = launch(2, [case(name, strategy="fsdp") for name in SHARING])
    for name, each in zip(SHARING, found, strict=True):
        assert flat(each["curve"]) == pytest.approx(flat(alone[name]["curve"]), rel=1e-5)


def test_after_a_worker_is_killed_or_stopped_the_end_is_the_same(by_two: list[Any]) -> None:
    ddp, fsdp, killed, stopped = by_two
    assert killed == ddp
    assert stopped == fsdp


# -- the parts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 64])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("pieces", [1, 3])
def test_every_row_has_one_owner_in_order(rows: int, size: int, pieces: int) -> None:
    owned = [part for rank in range(size) for part in World(DEVICE, rank, size).own(rows, pieces)]
    assert [row for part in owned for row in range(part.start, part.stop)] == list(range(rows))
    assert max(part.stop - part.start for part in owned) <= rows // (size * pieces) + 1


def test_one_process_needs_nobody() -> None:
    world, tensor = World(DEVICE), torch.ones(2)
    assert world.add_up(tensor) is tensor
    assert world.any(True, False) == [True, False]
    assert world.share(b"content") == b"content"
    assert World.joined("cpu") == world


class Tied(nn.Module):
    """A weight with two names, a vector before the matrices, one that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(3))
        self.one = nn.Linear(3, 2)
        self.two = nn.Linear(3, 2)
        self.two.weight = self.one.weight
        self.fixed = nn.Parameter(torch.randn(4), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x + self.bias) * self.two(x)


def test_weights_keep_their_values_and_names_in_one_vector() -> None:
    root = Tied()
    before = {name: each.clone() for name, each in root.state_dict().items()}
    with spread(root, World(DEVICE), "ddp") as weights:
        assert [len(part) for part in weights.parts] == [3 + 6 + 2 + 2]
        assert [len(part) for part in weights.matrices] == [6]
        weights.parts[0].add_(1.0)
    assert root.two.weight is root.one.weight
    for name, each in root.state_dict().items():
        assert torch.equal(each, before[name] + (0.0 if name == "fixed" else 1.0)), name
    assert layout(root) == {"bias": [3], "one.weight": [2, 3], "one.bias": [2], "two.bias": [2]}


def test_gradients_gather_in_one_vector_until_cleared() -> None:
    root, x = Tied(), torch.randn(5, 3)
    weights = Replicated(root, World(DEVICE))
    root(x).sum().backward()
    once = weights.gradients[0].clone()
    root(x).sum().backward()
    assert torch.allclose(weights.gradients[0], 2 * once, atol=1e-5)
    assert weights.add_up() == pytest.approx(float((2 * once).norm()), rel=1e-5)
    weights.clear()
    assert not weights.gradients[0].any()


def test_weights_are_given_back_when_training_fails() -> None:
    root = Tied()
    with pytest.raises(ZeroDivisionError), spread(root, World(DEVICE), "ddp"):
        raise ZeroDivisionError
    assert root.bias.untyped_storage().nbytes() == root.bias.nbytes
    assert root.bias.grad is None
