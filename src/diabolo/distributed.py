"""One training in many processes: which rows are ours, and where the weights lie.

    global batch   [ rows of rank 0 | rows of rank 1 | rows of rank 2 ]      the same in every process
    Replicated     every process holds all weights; one sum adds up all gradients
    Sharded        every process holds a part of each weight (FSDP2), of its gradient and of its averages

Nothing here depends on the number of processes: order, noise and batches are those of a single process.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from diabolo.errors import InvalidParameter


@dataclass(frozen=True)
class World:
    """One process, number ``rank`` of ``size``, and the device that it works on."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @classmethod
    def joined(cls, name: str | None = None) -> World:
        """The processes started by ``torchrun``, or those of a process group that is there already; else one.

        ``name`` is a device, None the best there is. Raises InvalidParameter if there is no such device.
        """
        device = _device(name)
        if not dist.is_available():
            return cls(device)
        if not dist.is_initialized() and dist.is_torchelastic_launched():
            _join("nccl" if device.type == "cuda" else "gloo")
            atexit.register(_leave)
        return cls(device, dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else cls(device)

    def own(self, rows: int, pieces: int = 1) -> list[slice]:
        """The rows of a global batch that are this process's, cut into at most ``pieces`` slices.

        A slice is empty where there are fewer rows than processes.
        """
        pieces = min(pieces, max(1, -(-rows // self.size)))
        whole = self.size * pieces
        cuts = [rows * i // whole for i in range(self.rank * pieces, (self.rank + 1) * pieces + 1)]
        return [slice(*pair) for pair in pairwise(cuts)]

    def add_up(self, tensor: Tensor) -> Tensor:
        """The sum of this tensor over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether some process raised it."""
        if self.size == 1:
            return list(flags)
        return [bool(flag) for flag in self.add_up(torch.tensor(flags, dtype=torch.int64, device=self.device)).tolist()]

    def share(self, content: bytes | None) -> bytes | None:
        """The content that rank 0 holds, in every process."""
        if self.size == 1:
            return content
        length = torch.tensor(-1 if content is None else len(content), device=self.device)
        dist.broadcast(length, 0)
        if length < 0:
            return None
        data = torch.zeros(int(length), dtype=torch.uint8)
        if content is not None:
            data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        data = data.to(self.device)
        dist.broadcast(data, 0)
        return data.cpu().numpy().tobytes()


class Weights(Protocol):
    """Where the weights of ``root`` lie while they are trained.

    ``parts`` are what this process moves, ``gradients`` are laid out alike, ``matrices`` is what weight decay may
    touch. ``vector`` and ``split`` lead from tensors laid out like ``parts`` to one vector of all weights, the same
    for every kind and number of processes, and back. ``scale`` makes up for gradients averaged instead of added.
    """

    root: nn.Module
    parts: list[Tensor]
    matrices: list[Tensor]
    scale: float

    @property
    def gradients(self) -> list[Tensor]:
        """The gradient of each part."""

    def clear(self) -> None:
        """Forget the gradients."""

    def add_up(self) -> Tensor:
        """Add the gradients up over all processes; the norm of the sum."""

    def vector(self, own: Sequence[Tensor]) -> Tensor:
        """One vector from tensors laid out like ``parts``; every process must call it."""

    def split(self, vector: Tensor) -> list[Tensor]:
        """The inverse of ``vector``, without communication."""

    def release(self) -> None:
        """Give the weights back to the module that they came from."""


class Replicated:
    """All weights in every process, as views of one flat vector, their gradients as views of another.

    Clearing, clipping, the optimiser and the sum over processes are then one operation each. It stands in for
    DistributedDataParallel, which regroups its buckets after the first step: its sums, hence the last bits, depend on
    when a training was resumed. It also asks nothing of parameters that a step leaves unused.
    """

    scale = 1.0

    def __init__(self, root: nn.Module, world: World) -> None:
        self.root, self.world = root, world
        self.own = _trained(root)
        self.flat = torch.cat([each.detach().reshape(-1) for each in self.own])
        self.slope = torch.zeros_like(self.flat)
        for weight, place, slope in zip(self.own, self._views(self.flat), self._views(self.slope), strict=True):
            weight.data, weight.grad = place, slope
        self.parts, self.gradients = [self.flat], [self.slope]
        self.matrices = [self.flat[: sum(each.numel() for each in self.own if each.dim() > 1)]]

    def clear(self) -> None:
        self.slope.zero_()

    def add_up(self) -> Tensor:
        return torch.linalg.vector_norm(self.world.add_up(self.slope))

    def vector(self, own: Sequence[Tensor]) -> Tensor:
        return own[0]

    def split(self, vector: Tensor) -> list[Tensor]:
        return [vector]

    def release(self) -> None:
        for weight in self.own:
            weight.grad, weight.data = None, weight.data.clone()

    def _views(self, flat: Tensor) -> Iterator[Tensor]:
        parts = flat.split([each.numel() for each in self.own])
        return (part.view(each.shape) for part, each in zip(parts, self.own, strict=True))


class Sharded:
    """A part of every weight in each process (FSDP2: Zhao et al., 2023, arXiv:2304.11277), gathered while in use.

    It trains a copy, gathered as a whole; ``release`` gathers it into the original.
    """

    def __init__(self, root: nn.Module, world: World) -> None:
        self.original, self.world, self.scale = root, world, float(world.size)
        self.root = _sharded(deepcopy(root), world)
        self.own: list[Any] = [*_trained(self.root)]
        self.parts = [each.to_local().detach() for each in self.own]
        self.matrices = [part for part, each in zip(self.parts, self.own, strict=True) if each.dim() > 1]

    @property
    def gradients(self) -> list[Tensor]:
        return [
            torch.zeros_like(part) if each.grad is None else each.grad.to_local()
            for part, each in zip(self.parts, self.own, strict=True)
        ]

    def clear(self) -> None:
        for each in self.own:
            each.grad = None

    def add_up(self) -> Tensor:
        squares = torch.stack([each.square().sum() for each in self.gradients])
        return self.world.add_up(squares.sum()).sqrt()

    def vector(self, own: Sequence[Tensor]) -> Tensor:
        return torch.cat([self._whole(*pair).reshape(-1) for pair in zip(own, self.own, strict=True)])

    def split(self, vector: Tensor) -> list[Tensor]:
        chunks = vector.split([each.numel() for each in self.own])
        return [self._part(chunk.view(each.shape), each) for chunk, each in zip(chunks, self.own, strict=True)]

    @torch.no_grad()
    def release(self) -> None:
        for weight, each in zip(_trained(self.original), self.own, strict=True):
            weight.copy_(each.full_tensor())
        kept = dict(self.original.named_buffers())
        for name, buffer in self.root.named_buffers():
            kept[name].copy_(buffer)

    def _whole(self, own: Tensor, like: Any) -> Tensor:
        from torch.distributed.tensor import DTensor  # here, because its import takes a second

        shape = {"shape": like.shape, "stride": like.stride()}
        part = DTensor.from_local(own, like.device_mesh, like.placements, run_check=False, **shape)
        return part.full_tensor()

    def _part(self, whole: Tensor, like: Any) -> Tensor:
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None).to_local()


@contextmanager
def spread(root: nn.Module, world: World, strategy: str) -> Iterator[Weights]:
    """The weights of ``root``, laid out for training inside and given back after it."""
    for each in (*root.parameters(), *root.buffers()):
        if world.size > 1:
            dist.broadcast(each.detach(), 0)
    weights = Sharded(root, world) if strategy == "fsdp" and world.size > 1 else Replicated(root, world)
    try:
        yield weights
    except BaseException:
        if isinstance(weights, Replicated):  # the shards of a process that is gone cannot be gathered
            weights.release()
        raise
    weights.release()


def layout(root: nn.Module) -> dict[str, list[int]]:
    """Name and shape of every trained weight."""
    return {name: list(each.shape) for name, each in root.named_parameters() if each.requires_grad}


def _trained(root: nn.Module) -> list[nn.Parameter]:
    """Matrices first: only they are subject to weight decay."""
    return sorted((each for each in root.parameters() if each.requires_grad), key=lambda each: each.dim() < 2)


def _sharded(root: nn.Module, world: World) -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    fully_shard(root, mesh=init_device_mesh(world.device.type, (world.size,)))  # as one: parts use each other's weights
    return root


def _join(backend: str) -> None:
    """Meet the others, and only those of this life.

    Torchrun keeps its store from one restart of the workers to the next, with the addresses of the dead
    in it. On one machine the count of restarts tells the lives apart. On several it differs between machines: set
    ``TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1`` for torchrun there, which gives each life a store of its own.
    """
    store, rank, size = next(dist.rendezvous("env://"))  # type: ignore[attr-defined]
    if os.environ.get("GROUP_WORLD_SIZE") == "1":
        life = os.environ.get("TORCHELASTIC_RESTART_COUNT")
        store = dist.PrefixStore(f"life {life}", store)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _device(name: str | None) -> torch.device:
    """The device of this name; under torchrun each process of a machine takes a cuda device of its own."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError:
        raise InvalidParameter(f"The device must be one that torch knows, e.g. cpu or cuda. Got {name!r}.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InvalidParameter(
            f"The device {name!r} was asked for, but torch finds no cuda here. Set trainer.device=cpu."
        )
    unnumbered = device.type == "cuda" and device.index is None
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if unnumbered else device
