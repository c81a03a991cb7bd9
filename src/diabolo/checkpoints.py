"""The state of a training on disk, from which it is resumed bit by bit.

It is a file of the same format as a model's (JSON and tensors, never pickle), replaced in one step: whenever the
machine stops, either the old state or the new one is there, whole.
"""

from __future__ import annotations

import hashlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from diabolo import artifact
from diabolo.batches import Batches, walked
from diabolo.distributed import Weights, World, layout
from diabolo.errors import InvalidArtifact, InvalidParameter

ADAM: Mapping[str, Any] = {
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "amsgrad": False,
    "maximize": False,
}
ONE_PART_IN = 20  # of the time may go into saving

State = tuple[dict[str, Any], dict[str, Tensor]]


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to: costs in nats per row, the last learning rate, seconds.

    ``costs`` are means over the epoch, with noise and penalties, while the weights moved; ``valid`` was measured at its
    end, without. ``number`` counts from 1, up to ``of``; ``setbacks`` the returns to a good state so far.
    """

    number: int
    costs: dict[str, float]
    valid: dict[str, float] | None
    lr: float
    seconds: float
    setbacks: int = 0
    of: int = 0

    @property
    def cost(self) -> float:
        """What the epoch is judged by: the costs of held-out rows, where there are any."""
        return sum((self.costs if self.valid is None else self.valid).values())


@dataclass(frozen=True)
class Progress:
    """How far a training is: after ``step`` batches of ``epoch`` (from 0), whose costs add up to ``sums``.

    ``slower`` multiplies the learning rate; ``setbacks`` counts the returns to a good state; ``waited`` the epochs
    since the ``best`` cost.
    """

    epoch: int = 0
    step: int = 0
    weight: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    slower: float = 1.0
    setbacks: int = 0
    best: float = math.inf
    waited: int = 0
    history: tuple[Epoch, ...] = ()

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> Progress:
        return cls(**{**entry, "history": tuple(Epoch(**each) for each in entry["history"])})


def forget(path: Path) -> None:
    """Remove the training saved in a file, if there is one. Raises InvalidParameter where the file is another one."""
    if not path.exists():
        return
    try:
        manifest, _ = artifact.read(path, max_bytes=path.stat().st_size)
    except InvalidArtifact:
        manifest = {}
    if "training" not in manifest:
        raise InvalidParameter(
            f"{path} holds no training and would be lost: the state of the training goes there. Name another "
            "trainer.checkpoint, or move the file."
        )
    path.unlink()


class Checkpoint:
    """The file that rank 0 saves a training in and that all processes resume from; without a path it does nothing.

    ``same`` is what a saved training must agree in with this one.
    """

    def __init__(self, path: str | None, same: Mapping[str, Any], world: World) -> None:
        self.path = None if path is None else Path(path)
        self.same, self.world = same, world
        self.free_from = 0.0

    @property
    def due(self) -> bool:
        """Whether this process should save again, so that saving stays a small part of the time."""
        return self.path is not None and self.world.rank == 0 and time.monotonic() >= self.free_from

    def save(self, progress: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Replace the saved state by this one."""
        if self.path is None or self.world.rank > 0:
            return
        begin = time.monotonic()
        artifact.write(self.path, {"training": self.same, "progress": progress}, tensors)
        now = time.monotonic()
        self.free_from = now + (now - begin) * (ONE_PART_IN - 1)

    def load(self) -> State | None:
        """Progress and tensors of the saved training, if there is one.

        Raises InvalidArtifact if the file is damaged, InvalidParameter, naming the difference, if it belongs to another
        training.
        """
        found = self._read() if self.world.rank == 0 else None
        found = found if self.world.size == 1 else _shared(found, self.world)
        if found is None:
            return None
        manifest, tensors = found
        if "training" not in manifest:
            raise InvalidArtifact(f"{self.path} holds no training. To start anew, name another checkpoint.")
        self._check(manifest["training"])
        return manifest["progress"], tensors

    def _read(self) -> State | None:
        if self.path is None or not self.path.exists():
            return None
        try:
            return artifact.read(self.path, max_bytes=self.path.stat().st_size)
        except InvalidArtifact as error:
            raise InvalidArtifact(f"The saved training {error} To start anew, remove it.") from None

    def _check(self, found: Mapping[str, Any]) -> None:
        for name, value in self.same.items():
            if found.get(name) != value:
                raise InvalidParameter(
                    f"The training saved in {self.path} had {_difference(name, found.get(name), value)}. To go on with "
                    "it, run it as it was; to start anew, remove the file or name another checkpoint."
                )


class Moving:
    """All that training moves: weights, their first and second moments, the count of steps, buffers.

    ``copies`` and ``put_back`` are for going back in memory; ``tensors`` and ``from_tensors`` lead from such copies to
    the tensors of a file, the same for every number of processes, and back. ``best`` keeps copies of weights and
    buffers only.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.first, self.second = ([torch.zeros_like(part) for part in weights.parts] for _ in range(2))
        self.counts = [torch.zeros((), device=part.device) for part in weights.parts]
        self.best: list[Tensor] = []

    @torch.no_grad()
    def descend(self, norm: Tensor, lr: float, decay: float, clip: float | None) -> None:
        """One step of AdamW along the gradients, whose norm is given, no longer than ``clip``.

        ``decay`` pulls at matrices only: a bias or a scale has no reason to be near zero.
        """
        weights, slopes = self.weights, self.weights.gradients
        if clip is not None:
            _scale(slopes, (clip / norm).clamp(max=1.0))
        if decay:
            _scale(weights.matrices, 1 - lr * decay)
        none: list[Tensor] = []
        torch._foreach_add_(self.counts, 1)  # what torch's fused adamw calls, without its checks: 30 us instead of 50
        torch._fused_adamw_(weights.parts, slopes, self.first, self.second, none, self.counts, lr=lr, **ADAM)

    def copies(self) -> list[Tensor]:
        return [each.detach().clone() for each in self._all()]

    def put_back(self, copies: list[Tensor]) -> None:
        _copy(copies, self._all())

    def keep_best(self, copies: list[Tensor]) -> None:
        n = len(self.weights.parts)
        self.best = [*copies[:n], *copies[4 * n :]]

    def put_back_best(self) -> None:
        _copy(self.best, self._learned())

    def tensors(self, copies: list[Tensor]) -> dict[str, Tensor]:
        """What a file holds of these copies and the best; every process must call it."""
        n, names = len(self.weights.parts), self._names()
        lists = {
            "weights": copies[:n],
            "first": copies[n : 2 * n],
            "second": copies[2 * n : 3 * n],
            "best": self.best[:n],
        }
        vectors = {name: self.weights.vector(own) for name, own in lists.items() if own}
        buffers = {f"buffers.{name}": each for name, each in zip(names, copies[4 * n :], strict=True)}
        best = {f"best.{name}": each for name, each in zip(names, self.best[n:], strict=False)}
        return {"count": copies[3 * n], **vectors, **buffers, **best}

    def from_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Move to the state that ``tensors`` gave."""
        split, names = self.weights.split, self._names()
        own = [part for name in ("weights", "first", "second") for part in split(tensors[name])]
        counts = [tensors["count"] for _ in self.counts]
        self.put_back([*own, *counts, *(tensors[f"buffers.{name}"] for name in names)])
        if "best" in tensors:
            self.best = [*split(tensors["best"]), *(tensors[f"best.{name}"] for name in names)]

    def _all(self) -> list[Tensor]:
        return [*self.weights.parts, *self.first, *self.second, *self.counts, *self.weights.root.buffers()]

    def _learned(self) -> list[Tensor]:
        return [*self.weights.parts, *self.weights.root.buffers()]

    def _names(self) -> list[str]:
        return [name for name, _ in self.weights.root.named_buffers()]


@contextmanager
def asked_to_stop(watch: bool) -> Iterator[Callable[[], bool]]:
    """A function that tells whether SIGTERM has come; outside the main thread nothing is watched, and none has."""
    asked = threading.Event()
    if not watch or threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def identity(
    trainer: Mapping[str, Any], autoencoder: nn.Module, seed: int, train: Batches, valid: Batches | None
) -> dict[str, Any]:
    """What must be the same for a resumed training to end where the interrupted one would have."""
    entry = {name: each for name, each in trainer.items() if name not in ("checkpoint", "device")}
    model = hashlib.sha256(f"{autoencoder}{layout(autoencoder)}".encode()).hexdigest()
    return {"trainer": entry, "seed": seed, "model": model, "data": fingerprint(train, valid)}


def fingerprint(*sources: Batches | None) -> str:
    """A digest of all rows in their order."""
    digest = hashlib.sha256()
    for source in sources:
        for batch in () if source is None else walked(source):
            for tensor in (batch.x, batch.weight, batch.given):
                _add(digest, tensor)
        digest.update(b"|")
    return digest.hexdigest()


@torch.no_grad()
def _copy(values: list[Tensor], places: list[Tensor]) -> None:
    for value, place in zip(values, places, strict=True):
        place.copy_(value)


def _scale(tensors: list[Tensor], factor: Tensor | float) -> None:
    for each in tensors:
        each.mul_(factor)


def _add(digest: hashlib._Hash, tensor: Tensor | None) -> None:
    digest.update(b"none" if tensor is None else f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    if tensor is not None:
        digest.update(tensor.detach().cpu().contiguous().numpy().data)


def _shared(found: State | None, world: World) -> State | None:
    """What rank 0 found, in every process: the file need not be visible to the others."""
    text = world.share(None if found is None else json.dumps(found[0]).encode())
    data = world.share(None if found is None else save(found[1]))
    return None if text is None or data is None else (json.loads(text), load(data))


def _difference(name: str, found: Any, wanted: Any) -> str:
    if isinstance(found, dict) and isinstance(wanted, dict):
        key = next(key for key in (*wanted, *found) if found.get(key) != wanted.get(key))
        return f"{name}.{key} = {found.get(key)!r}, not {wanted.get(key)!r}"
    return f"{name} = {found!r}, not {wanted!r}" if name == "seed" else f"another {name}"
