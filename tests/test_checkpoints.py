"""States on disk: training goes on from them bit by bit after any kind of death, and only where it should."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from planes import built, curve, equal, some
from safetensors import safe_open
from torch import Tensor, nn

from diabolo import artifact, checkpoints
from diabolo.batches import Rows
from diabolo.distributed import World
from diabolo.errors import Interrupted, InvalidArtifact, InvalidParameter
from diabolo.trainer import Epoch, Trainer
from diabolo.variants import VQVAE, Denoising

SCRIPT = Path(__file__).with_name("train_once.py")
ALONE = World(torch.device("cpu"))


def test_resume_refuses_another_training(tmp_path: Path) -> None:
    x, saved = some(40), str(tmp_path / "state")
    trainer = Trainer(epochs=2, checkpoint=saved)
    trainer.fit(built(), Rows(x), seed=1)
    other = x.clone()
    other[7, 2] += 1e-6
    with pytest.raises(InvalidParameter, match="another data"):
        trainer.fit(built(), Rows(other), seed=1)
    with pytest.raises(InvalidParameter, match="another data"):
        trainer.fit(built(), Rows(x), Rows(other), seed=1)
    with pytest.raises(InvalidParameter, match=r"seed = 1, not 2"):
        trainer.fit(built(), Rows(x), seed=2)
    with pytest.raises(InvalidParameter, match=r"trainer\.lr = 0\.002, not 0\.5"):
        Trainer(epochs=2, checkpoint=saved, lr=0.5).fit(built(), Rows(x), seed=1)
    with pytest.raises(InvalidParameter, match="another model"):
        trainer.fit(built(Denoising(latent=3, hidden=(8,))), Rows(x), seed=1)
    with pytest.raises(InvalidParameter, match=r"data|remove the file"):
        trainer.fit(built(), Rows(x, weight=torch.ones(40)), seed=1)


def test_a_damaged_checkpoint_is_said(tmp_path: Path) -> None:
    path = tmp_path / "state"
    trainer = Trainer(epochs=1, checkpoint=str(path))
    trainer.fit(built(), Rows(some(40)))
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(InvalidArtifact, match=r"state.*remove it"):
        trainer.fit(built(), Rows(some(40)))


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    trainer = Trainer(epochs=3, checkpoint=str(tmp_path / "state"))
    first, second = built(), built()
    one = trainer.fit(first, Rows(some(40)), Rows(some(20, seed=1)))
    counted: list[Epoch] = []
    two = trainer.fit(second, Rows(some(40)), Rows(some(20, seed=1)), on_epoch=counted.append)
    assert one == two
    assert not counted
    assert equal(first, second)


def test_checkpoints_are_plain_tensors_and_nothing_else_is_left(tmp_path: Path) -> None:
    Trainer(epochs=2, checkpoint=str(tmp_path / "state")).fit(built(), Rows(some(40)), Rows(some(20, seed=1)))
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    with safe_open(tmp_path / "state", "pt") as file:
        assert {"weights", "first", "second", "count", "best"} <= set(file.keys())


def test_saving_stays_a_small_part_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(checkpoints.artifact, "write", lambda *state: clock.__setitem__(0, clock[0] + 2.0))
    checkpoint = checkpoints.Checkpoint(str(tmp_path / "state"), {}, ALONE)
    assert checkpoint.due
    checkpoint.save({}, {})
    assert not checkpoint.due
    clock[0] += 37.9
    assert not checkpoint.due
    clock[0] += 0.2
    assert checkpoint.due


def test_sigterm_saves_and_leaves_and_training_goes_on(tmp_path: Path) -> None:
    x, held_out = some(700), some(20, seed=1)
    whole, stopped = built(VQVAE(latent=4, hidden=(8,))), built(VQVAE(latent=4, hidden=(8,)))
    plan = {"epochs": 4, "batch_size": 16}
    expected = Trainer(**plan).fit(whole, Rows(x), Rows(held_out))
    trainer = Trainer(**plan, checkpoint=str(tmp_path / "state"))
    before = signal.getsignal(signal.SIGTERM)
    begin = [0.0]

    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            begin[0] = time.monotonic()
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="after 2 of 4 epochs") as left:
        trainer.fit(stopped, Rows(x), Rows(held_out), on_epoch=stop)
    assert time.monotonic() - begin[0] < 5
    assert left.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    resumed = built(VQVAE(latent=4, hidden=(8,)))
    assert curve(trainer.fit(resumed, Rows(x), Rows(held_out))) == curve(expected)
    assert equal(resumed, whole)


def test_sigterm_does_not_wait_for_the_next_good_state(tmp_path: Path) -> None:
    class Stopping(nn.Linear):
        calls = 0

        def losses(self, x: Tensor, given: Tensor | None = None) -> dict[str, Tensor]:
            self.calls += 1
            if self.calls == 21:
                os.kill(os.getpid(), signal.SIGTERM)
            return {"nll": self(x).square().sum(1)}

    model = Stopping(6, 1)
    with pytest.raises(Interrupted):
        Trainer(epochs=1, batch_size=1, checkpoint=str(tmp_path / "state")).fit(model, Rows(some(40)))  # type: ignore[arg-type]
    assert model.calls == 21
    assert artifact.read(tmp_path / "state")[0]["progress"]["step"] == 16


def test_sigterm_at_the_very_end_is_heeded_too(tmp_path: Path) -> None:
    trainer = Trainer(epochs=2, checkpoint=str(tmp_path / "state"))
    autoencoder = built()
    with pytest.raises(Interrupted):
        trainer.fit(built(), Rows(some(20)), on_epoch=lambda epoch: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="after 2 of 2"):
        trainer.fit(built(), Rows(some(20)), on_epoch=lambda epoch: os.kill(os.getpid(), signal.SIGTERM))
    assert len(trainer.fit(autoencoder, Rows(some(20)))) == 2


def test_signals_are_watched_only_with_a_checkpoint_and_in_the_main_thread(tmp_path: Path) -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def watch(epoch: Epoch) -> None:
        seen.append(signal.getsignal(signal.SIGTERM) is before)

    Trainer(epochs=1).fit(built(), Rows(some(20)), on_epoch=watch)
    trainer = Trainer(epochs=1, checkpoint=str(tmp_path / "state"))
    thread = threading.Thread(target=trainer.fit, args=(built(), Rows(some(20))), kwargs={"on_epoch": watch})
    thread.start()
    thread.join()
    Trainer(epochs=1, checkpoint=str(tmp_path / "other")).fit(built(), Rows(some(20)), on_epoch=watch)
    assert seen == [True, True, False]
    assert signal.getsignal(signal.SIGTERM) is before


def test_killed_anywhere_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    plan = {"epochs": 5, "batch_size": 4, "lr": 0.01}  # 44 batches in an epoch: good states after 16, 32 and 44
    parts = {"variant": "VQVAE", "parts": {"latent": 4}}
    saving = {"trainer": {**plan, "checkpoint": str(tmp_path / "state")}, **parts}
    lives: list[dict[str, Any]] = [
        {"trainer": plan, **parts},
        {**saving, "at": [0, 0]},  # before anything was saved
        {**saving, "at": [1, 21]},  # in the middle of an epoch, five steps after a good state
        {**saving, "save": 3, "before": True},  # the new state written, the old one not yet replaced
        {**saving, "save": 2, "before": False},  # just replaced
        {**saving, "at": [4, 43]},  # at the last batch
        saving,
    ]
    ends, results = launch(lives)
    assert ends == [0, *[-signal.SIGKILL] * 5, 0]
    assert results[0] == results[1]


def launch(cases: list[dict[str, Any]]) -> tuple[list[int], list[Any]]:
    """How each case ended, and the results of those that lived."""
    command = [sys.executable, str(SCRIPT), json.dumps(cases), "apart"]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.splitlines()
    return tuple(
        [json.loads(line[len(word) :]) for line in lines if line.startswith(word)] for word in ("END", "RESULT")
    )  # type: ignore[return-value]
