"""Trainer: one loop, for one process and for torchrun, that may be killed at any moment and goes on bit by bit.

    every epoch        all rows, in batches, in the order of (seed, epoch)
      every 16 steps   all finite: this is now the last good state, saved when due; else back to it, with a lower rate
    validation         nll, code costs and penalties that judge; the best weights are kept; without better, it ends

What a step does follows from the state and from (seed, epoch, step) alone. Noise is seeded by these numbers: no random
state needs saving, the global one stays as it was, and any number of processes sees the same noise.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from functools import reduce
from itertools import islice
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, Self

import torch
from torch import Tensor, nn

from diabolo.autoencoder import Autoencoder
from diabolo.batches import Batch, Batches
from diabolo.checkpoints import Checkpoint, Epoch, Moving, Progress, asked_to_stop, identity
from diabolo.distributed import Sharded, Weights, World, layout, spread
from diabolo.errors import DiaboloWarning, Interrupted, InvalidData, InvalidParameter, TrainingFailed
from diabolo.params import Count, NonNegative, Params, Positive
from diabolo.randomness import mix, noise, shard
from diabolo.schedules import Anneal

__all__ = ["Epoch", "Trainer"]

LOOK_EVERY = 16  # steps; to look is to wait for the device and to copy what moves
TRIES = 5  # times that training is taken back and slowed down before it is given up
SLOWER = 0.1
WARMUP = 0.05  # share of all steps in which the rate rises
EPOCHS, STEPS = 60, 60 * 64  # where nothing else is asked for; so many steps are as many epochs of many rows
SMALLEST, SMALLEST_OF_GRIDS, LARGEST = 128, 32, 1024  # rows of a batch; a single image is work enough for a step


class Trainer(Params):
    """Moves an autoencoder's weights to lower costs with AdamW (Loshchilov & Hutter, 2019, arXiv:1711.05101).

    The loss of a batch is ``sum_i w_i * cost_i / sum_i w_i`` over its rows i, ``cost_i`` being the sum of all costs of
    a row in nats. Penalties that compare rows of a batch see the rows of one piece only, when the batch is cut up by
    ``accumulate`` or between processes; codebooks and thresholds of codes follow each piece of ``accumulate``, but the
    whole batch of all processes.

    >>> from diabolo.batches import Rows
    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import Vanilla
    >>> rows = Rows(torch.linspace(-1, 1, 60).view(20, 3))
    >>> [epoch.number for epoch in Trainer(epochs=2).fit(Vanilla(latent=1).build(numbers(3)), rows)]
    [1, 2]
    """

    epochs: Annotated[
        Count | None, "times that every row is learned from, at most; None: 60 (to impute up to 240, of few rows)"
    ] = None
    batch_size: Annotated[
        Count | None,
        "rows that a step learns from; None: 1/64 of them, from 128 (tasks on images and series: 32) to 1024",
    ] = None
    lr: Annotated[Positive, "learning rate at its highest"] = 2e-3
    weight_decay: Annotated[NonNegative, "pull of weight matrices towards zero, per step and unit of rate"] = 0.0
    patience: Annotated[Count | None, "epochs without a better validation cost before the end; None: all epochs"] = 20
    clip: Annotated[Positive | None, "longest gradient used as it is; a longer one is shortened to it"] = 10.0
    schedule: Annotated[
        Literal["cosine", "constant", "plateau"],
        "cosine: the rate falls to 0 over all epochs; plateau: it is halved when costs stand still",
    ] = "cosine"
    precision: Annotated[Literal["float32", "bf16"], "bf16: faster on hardware made for it"] = "float32"
    accumulate: Annotated[Count, "pieces that a batch is cut into to save memory; the gradient stays the same"] = 1
    strategy: Annotated[Literal["ddp", "fsdp"], "under torchrun: copies of the weights, or parts of them"] = "ddp"
    checkpoint: Annotated[str | None, "file to save the training in, and to resume it from if it is there"] = None
    device: Annotated[str | None, "where to train, e.g. cpu or cuda; None: cuda if there is one"] = None

    def fit(
        self,
        autoencoder: Autoencoder,
        train: Batches,
        valid: Batches | None = None,
        *,
        seed: int = 0,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> list[Epoch]:
        """Train in place; leaves the best weights by validation cost (without it, the last), in evaluation mode.

        Raises TrainingFailed if the costs do not stay finite; Interrupted after SIGTERM, if there is a checkpoint and
        this is the main thread; InvalidParameter if the checkpoint is that of another training.
        """
        self.check_params()
        _check_work(autoencoder, train)
        same = identity(self.to_dict(), autoencoder, seed, train, valid) if self.checkpoint else {}
        world = World.joined(self.device)
        home = next(autoencoder.parameters()).device
        root = Cost(autoencoder.to(world.device))
        own, judged = self.in_python(), valid if valid is not None and valid.rows else None
        data = Data(train, judged, seed, *own._planned(train.rows))
        try:
            stop, copies = asked_to_stop(bool(same)), spread(root, world, self.strategy)
            with stop as asked, copies as weights, torch.enable_grad():
                saved = Checkpoint(self.checkpoint, same, world)
                return Training(own, weights, world, data, saved, asked).run(on_epoch)
        finally:
            autoencoder.to(home).eval()

    def suited(self, rows: int, *, grid: bool = False, longest: int = EPOCHS) -> Self:
        """The same training with the epochs and the batches that suit so many rows, where none are asked for.

        Batches are a 64th of the rows, so that 60 epochs are 3,840 steps. Fewer rows than that asks for come nearer to
        them by smaller batches of a ``grid``, and by more epochs where ``longest`` allows them.

        >>> [(each.epochs, each.batch_size) for each in (Trainer().suited(n, longest=240) for n in (500, 5000, 50_000))]
        [(240, 128), (96, 128), (60, 781)]
        """
        epochs, size = self._planned(rows, SMALLEST_OF_GRIDS if grid else SMALLEST, longest)
        return type(self)(**self.get_params(deep=False) | {"epochs": epochs, "batch_size": size})

    def halved(self, rows: int) -> tuple[Self, Self]:
        """Two trainings on so many rows of half the epochs each, of 2 or more in all; the second keeps the checkpoint.

        >>> [half.epochs for half in Trainer(epochs=5).halved(100)]
        [2, 3]
        """
        numbers, (epochs, size) = self.get_params(deep=False), self._planned(rows)
        first = type(self)(**numbers | {"epochs": epochs // 2, "batch_size": size, "checkpoint": None})
        return first, type(self)(**numbers | {"epochs": epochs - epochs // 2, "batch_size": size})

    def _planned(self, rows: int, smallest: int = SMALLEST, longest: int = EPOCHS) -> tuple[int, int]:
        """Epochs, and rows of a batch."""
        size = self.batch_size or min(max(rows // 64, smallest), LARGEST)
        return self.epochs or min(max(-(-STEPS // -(-rows // size)), EPOCHS), longest), size

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of ``step``, from 0, of ``steps`` in all.

        >>> [round(Trainer(lr=1.0).rate(step, 100), 2) for step in (0, 4, 50, 99)]
        [0.2, 1.0, 0.5, 0.0]
        """
        rise = min(1.0, (step + 1) / (WARMUP * steps))
        fall = (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2 if self.schedule == "cosine" else 1.0
        return self.lr * rise * fall

    def slower(self, waited: int) -> float:
        """What the rate is multiplied by, ``waited`` epochs after the best one."""
        often = max(1, (self.patience or 9) // 3)
        return 0.5 if self.schedule == "plateau" and waited and waited % often == 0 else 1.0


class Cost(nn.Module):
    """The costs of an autoencoder, each added up over the weighted rows of a batch, in nats."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        costs = self.autoencoder.losses(batch.x, batch.given)
        if batch.weight is None:
            return {name: each.sum() for name, each in costs.items()}
        return {name: (each * batch.weight).sum() for name, each in costs.items()}


class Data(NamedTuple):
    """The rows, the seed of their order and of all noise, how often they are learned from, and the rows of a batch."""

    train: Batches
    valid: Batches | None
    seed: int
    epochs: int
    size: int

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-self.train.rows // self.size)


class Step(NamedTuple):
    """What a step leaves to be looked at later: the sum of each cost and the gradient's norm; the rows' weight."""

    figures: Tensor
    weight: float


class Training:
    """One call of ``Trainer.fit`` while it runs."""

    def __init__(
        self,
        trainer: Trainer,
        weights: Weights,
        world: World,
        data: Data,
        checkpoint: Checkpoint,
        asked: Callable[[], bool],
    ) -> None:
        self.trainer, self.weights, self.world, self.data = trainer, weights, world, data
        self.checkpoint, self.asked = checkpoint, asked
        self.moving = Moving(weights)
        self.annealed = [part for part in weights.root.modules() if isinstance(part, Anneal)]
        self.names: list[str] = []
        self.progress = Progress()

    def run(self, on_epoch: Callable[[Epoch], None] | None) -> list[Epoch]:
        """Every epoch that is left; then the best weights."""
        self._resume()
        while not self._finished:
            epoch = self._epoch()
            if on_epoch is not None:
                on_epoch(epoch)
        if any(self.world.any(self.asked())):
            self._leave()
        self._save()
        self._end_with_best()
        return list(self.progress.history)

    @property
    def _finished(self) -> bool:
        tired = self.data.valid is not None and self.progress.waited >= (self.trainer.patience or math.inf)
        return tired or self.progress.epoch >= self.data.epochs

    def _end_with_best(self) -> None:
        if self.data.valid is None:
            return
        if not self.moving.best:
            raise TrainingFailed(
                f"The validation cost was not finite after any of {self.progress.epoch} epochs. Set an lr below "
                f"{self.trainer.lr:g}, or look for extreme values in the validation rows."
            )
        self.moving.put_back_best()

    # -- an epoch ----------------------------------------------------------------------------------------------------

    def _epoch(self) -> Epoch:
        """Learn from every row once, validate, and count the epoch."""
        begin = time.perf_counter()
        while not self._walk():
            pass
        valid = self._validate()
        now = self.progress
        costs = {name: value / (now.weight or 1.0) for name, value in now.sums.items()}
        seconds = time.perf_counter() - begin
        epoch = Epoch(now.epoch + 1, costs, valid, self._rate(now.step - 1), seconds, now.setbacks, self.data.epochs)
        self._count(epoch)
        return epoch

    def _walk(self) -> bool:
        """The rest of the epoch; False if training was set back and must walk again."""
        self.weights.root.train()
        batches = islice(self._batches(), self.progress.step, None)
        while steps := [
            self._step(batch, self.progress.step + i) for i, batch in enumerate(islice(batches, LOOK_EVERY))
        ]:
            if not self._look(steps):
                return False
        return True

    def _batches(self) -> Iterator[Batch]:
        return self.data.train.shuffled(self.data.size, self.data.seed, self.progress.epoch)

    @torch.no_grad()
    def _validate(self) -> dict[str, float] | None:
        """The mean costs of the validation rows, in batches that need no more memory than those of training."""
        if self.data.valid is None:
            return None
        self.weights.root.eval()
        sums, weight = [], 0.0
        for batch in self.data.valid.ordered(-(-self.data.size // self.trainer.accumulate)):
            self._heed()
            costs = self._costs(batch, self.world.own(len(batch))[0], mix(self.data.seed, -1))
            sums.append(torch.stack(list(costs.values())))
            weight += _weight(batch)
        total = self.world.add_up(torch.stack(sums).sum(0)).tolist()
        return {name: value / (weight or 1.0) for name, value in zip(costs, total, strict=True)}

    def _count(self, epoch: Epoch) -> None:
        """Put the epoch behind, and keep its weights if they are the best."""
        now, better = self.progress, epoch.cost < self.progress.best
        copies = self.good[1]  # nothing has moved since the last look
        if better and epoch.valid is not None:
            self.moving.keep_best(copies)
        waited = 0 if better else now.waited + 1
        best, slower = (epoch.cost if better else now.best), now.slower * self.trainer.slower(waited)
        self.progress = Progress(now.epoch + 1, 0, 0.0, {}, slower, now.setbacks, best, waited, (*now.history, epoch))
        self._mark(copies)

    # -- a step ------------------------------------------------------------------------------------------------------

    def _step(self, batch: Batch, step: int) -> Step:
        self._heed()
        seed = mix(self.data.seed, self.progress.epoch, step, self.progress.setbacks)
        weight, (behind, steps) = _weight(batch), self._place(step)
        for each in self.annealed:
            each.reach((behind + 1) / steps)
        self.weights.clear()
        pieces = [
            self._piece(batch, rows, seed, self.weights.scale / (weight or 1.0))
            for rows in self.world.own(len(batch), self.trainer.accumulate)
        ]
        norm = self.weights.add_up()
        self.moving.descend(norm, self._rate(step), self.trainer.weight_decay, self.trainer.clip)
        return Step(torch.stack([*(reduce(torch.add, each) for each in zip(*pieces, strict=True)), norm]), weight)

    def _piece(self, batch: Batch, rows: slice, seed: int, scale: float) -> list[Tensor]:
        """Add the gradient of these rows; the sum of each of their costs."""
        costs = self._costs(batch, rows, seed)
        self.names = list(costs)
        total = reduce(torch.add, costs.values())
        total.backward(torch.full_like(total, scale))
        return [each.detach() for each in costs.values()]

    def _costs(self, batch: Batch, rows: slice, seed: int) -> dict[str, Tensor]:
        """The costs of these rows, with the noise that they have in the global batch."""
        whole, seeded = rows == slice(0, len(batch)), noise(seed, self.world.device)
        with seeded, self._precision(), nullcontext() if whole else shard(len(batch), rows.start):
            costs: dict[str, Tensor] = self.weights.root((batch if whole else batch[rows]).to(self.world.device))
        return costs

    def _rate(self, step: int) -> float:
        return self.trainer.rate(*self._place(step)) * self.progress.slower

    def _place(self, step: int) -> tuple[int, int]:
        """How many steps of the training are behind this one of the epoch, and how many there are in all."""
        return self.progress.epoch * self.data.steps + step, self.data.epochs * self.data.steps

    def _precision(self) -> AbstractContextManager[Any]:
        if self.trainer.precision == "float32":
            return nullcontext()
        return torch.autocast(self.world.device.type, torch.bfloat16)

    # -- good states -------------------------------------------------------------------------------------------------

    def _look(self, steps: list[Step]) -> bool:
        """Whether all figures are finite; then the state is a good one, else the last good one is back."""
        table = self.world.add_up(torch.stack([each.figures for each in steps])).tolist()
        failed = next((i for i, figures in enumerate(table) if not all(map(math.isfinite, figures))), None)
        if failed is not None:
            self._set_back(self.progress.step + failed)
            return False
        sums, weight = dict(self.progress.sums), self.progress.weight
        for step, figures in zip(steps, table, strict=True):
            weight += step.weight
            for name, figure in zip(self.names, figures, strict=False):  # the last figure is the norm
                sums[name] = sums.get(name, 0.0) + figure
        self.progress = replace(self.progress, step=self.progress.step + len(steps), weight=weight, sums=sums)
        self._mark(self.moving.copies())
        return True

    def _mark(self, copies: list[Tensor]) -> None:
        """Make this the last good state."""
        self.good = self.progress, copies
        if self.checkpoint.path is None:
            return
        stop, due = self.world.any(self.asked(), self.checkpoint.due)
        if stop:
            self._leave()
        if due:
            self._save()

    def _heed(self) -> None:
        """Leave if asked to; several processes do so together, at the next good state."""
        if self.asked() and self.world.size == 1:
            self._leave()

    def _leave(self) -> NoReturn:
        self._save()
        raise Interrupted(
            f"Training was asked to stop after {self.good[0].epoch} of {self.data.epochs} epochs. Its state is "
            f"saved in {self.checkpoint.path}: run it again as it was, and it goes on from there."
        )

    def _set_back(self, step: int) -> None:
        """Return to the last good state and slow down; raise TrainingFailed after too many times."""
        (good, copies), tried = self.good, self._rate(step)
        self.progress = replace(good, setbacks=good.setbacks + 1, slower=good.slower * SLOWER)
        self.good = self.progress, copies
        self.moving.put_back(copies)
        place = f"batch {step + 1} of {self.data.steps} in epoch {good.epoch + 1}{self._worst_column(step)}"
        if self.progress.setbacks > TRIES:
            raise TrainingFailed(
                f"Training left the finite numbers {TRIES + 1} times, at last with {place}; a learning rate of "
                f"{tried:.2g} did not help. Look for extreme values there, or set a lower lr or clip."
            )
        if self.world.rank == 0:
            told = f"Training left the finite numbers with {place}. It goes on at {SLOWER:g} of the rate."
            warnings.warn(told, DiaboloWarning, stacklevel=2)

    def _worst_column(self, step: int) -> str:
        """Where the good state errs most in that batch, if errors are one tensor and all weights are here."""
        if isinstance(self.weights, Sharded):
            return ""
        batch = next(islice(self._batches(), step, None)).to(self.world.device)
        with torch.no_grad():
            errors = self.weights.root.eval().autoencoder(batch.x, batch.given).errors  # type: ignore[operator]
        if not isinstance(errors, Tensor) or errors.dim() < 2:
            return ""
        by_column = errors.nan_to_num(math.inf, math.inf).movedim(1, 0).flatten(1).amax(1)
        if by_column.isinf().sum() > 1:  # one column has spoilt the others through the code: the one of largest values
            by_column = batch.x.abs().nan_to_num(0.0).movedim(1, 0).flatten(1).amax(1)
        return f" (the worst is model column {int(by_column.argmax())}, counted from 0)"

    def _save(self) -> None:
        """Save the last good state; every process takes part, rank 0 writes."""
        if self.checkpoint.path is not None:
            progress, copies = self.good
            self.checkpoint.save(asdict(progress), self.moving.tensors(copies))

    def _resume(self) -> None:
        saved = self.checkpoint.load()
        if saved is not None:
            self.progress = Progress.from_dict(saved[0])
            self.moving.from_tensors(saved[1])
        self.good = self.progress, self.moving.copies()


def _weight(batch: Batch) -> float:
    return float(len(batch)) if batch.weight is None else float(batch.weight.sum())


def _check_work(autoencoder: nn.Module, train: Batches) -> None:
    if train.rows < 1:
        raise InvalidData("There are no rows to train on. Give at least one.")
    if not layout(autoencoder):
        raise InvalidParameter("The autoencoder has no weights to train. Choose a variant that has, e.g. Vanilla.")
