"""Trainings that tests start in processes of their own, kill, and start again; prints what came of each as JSON.

The argument is a list of cases in JSON: the Trainer's parameters, the variant, where which process kills itself. With
a second argument, "apart", each case runs in a child process; without, all run one after the other, as under torchrun.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from diabolo import artifact, checkpoints, variants
from diabolo.batches import Batch, Rows
from diabolo.randomness import seeded
from diabolo.schema import numbers
from diabolo.trainer import Trainer

RANK = os.environ.get("RANK", "0")


class Mortal(Rows):
    """Rows that kill or stop the process on the way to a batch; only once where a file is named to remember it by."""

    def __init__(self, x: torch.Tensor, at: tuple[int, int] | None, way: str, once: str | None) -> None:
        super().__init__(x)
        self.at, self.way, self.once = at, getattr(signal, way), once

    def shuffled(self, size: int, seed: int, epoch: int) -> Iterator[Batch]:
        for step, batch in enumerate(super().shuffled(size, seed, epoch)):
            if (epoch, step) == self.at:
                if self.once:
                    Path(self.once).touch()
                os.kill(os.getpid(), self.way)
            yield batch


def die_in_save(count: int, before: bool) -> None:
    """Kill the process in its ``count``-th save, right before or right after the old file is replaced."""
    replace, left = os.replace, [count]

    def last(*paths: str) -> None:
        left[0] -= 1
        if left[0] or not before:
            replace(*paths)
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    artifact.os.replace = last  # type: ignore[attr-defined]


def train(trainer: dict[str, Any], variant: str = "Denoising", rows: int = 213, **plan: Any) -> dict[str, Any]:
    checkpoints.ONE_PART_IN = 1  # save every good state
    x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(7))
    x = torch.cat([x, x @ torch.randn(4, 3, generator=torch.Generator().manual_seed(8))], 1)
    with seeded(1):
        autoencoder = variants.named()[variant](hidden=(8,), **plan.get("parts", {})).build(numbers(7))
    once = plan.get("once")
    mine = str(plan.get("rank", 0)) == RANK and not (once and Path(once).exists())
    if mine and "save" in plan:
        die_in_save(plan["save"], plan["before"])
    at = tuple(plan["at"]) if mine and "at" in plan else None
    source = Mortal(x[:-40], at, plan.get("way", "SIGKILL"), once)
    history = Trainer(**trainer).fit(autoencoder, source, Rows(x[-40:]), seed=5)
    digest = hashlib.sha256()
    for name, each in sorted(autoencoder.state_dict().items()):
        digest.update(name.encode() + each.numpy().tobytes())
    curve = [[epoch.costs, epoch.valid, epoch.lr] for epoch in history]
    digest.update(json.dumps(curve).encode())
    return {"digest": digest.hexdigest(), "curve": curve}


def in_a_life_of_its_own(case: dict[str, Any]) -> None:
    """Train in a child of this process, which prints its result if it lives to; print how it ended."""
    child = os.fork()
    if child == 0:
        print("RESULT" + json.dumps(train(**case)), flush=True)
        os._exit(0)
    print("END" + json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for each in json.loads(sys.argv[1]):
        if sys.argv[2:] == ["apart"]:
            in_a_life_of_its_own(each)
        elif result := train(**each):
            print(("RESULT" + json.dumps(result)) if RANK == "0" else "", flush=True)
