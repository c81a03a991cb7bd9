"""Race: candidates and PCA fitted to the same folds of the same rows and judged by the task's own measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from diabolo.advice.look import Look
from diabolo.advice.rules import Candidate
from diabolo.randomness import seeded
from diabolo.readers import Rows, taken
from diabolo.tasks import TASKS
from diabolo.tasks.comparison import of_width
from diabolo.tasks.task import Task
from diabolo.trainer import Trainer

FOLDS = 3
ROWS, VALUES = 3_000, 150_000  # of the sample, so that a race takes no more than a minute
EPOCHS, BATCH = 60, 64  # small batches, so that few rows make enough steps


@dataclass(frozen=True)
class Racer:
    """How a candidate did: its mean ``cost`` for a held-out row, and the ``difference`` from PCA with its ``error``.

    The error is the larger of the standard errors over rows and over folds.
    """

    candidate: Candidate
    costs: np.ndarray  # (folds, rows of a fold)
    difference: float
    error: float

    @property
    def cost(self) -> float:
        return float(self.costs.mean())

    @property
    def better(self) -> bool:
        """Whether it beats PCA beyond two errors."""
        return self.difference < -2 * self.error

    @property
    def verdict(self) -> str:
        if not self.error and not self.difference:
            return "PCA itself"
        return "better" if self.better else "worse" if self.difference > 2 * self.error else "no different"


def raced(
    rows: Rows,
    look: Look,
    aim: str,
    candidates: Sequence[Candidate],
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> list[Racer]:
    """Every candidate on every fold, in the order given; folds hold the same rows for all.

    Behind them comes PCA as wide as ``fit`` puts it beside the first one. Differences are those from the best PCA.
    """
    few = taken(rows, np.arange(min(len(rows), ROWS, max(300, VALUES // look.columns))))
    order = np.random.default_rng(seed).permutation(len(few))[: len(few) // FOLDS * FOLDS]
    folds, settings = order.reshape(FOLDS, -1), _fixed(few, aim, seed)

    def fitted(each: Candidate, number: int) -> Task:
        if on_step is not None:
            on_step(f"{each.name}, fold {number + 1} of {FOLDS}")
        others = np.delete(folds, number, 0).flatten()
        return made(aim, each, seed).set_params(**settings).fit(taken(few, others))

    first = fitted(candidates[0], 0)
    field = [*candidates, *_beside(first, candidates)]
    costs = np.empty((len(field), *folds.shape))
    for number, fold in enumerate(folds):
        for place, each in enumerate(field):
            task = fitted(each, number) if number or place else first
            costs[place, number] = _judged(task, taken(few, fold))
    base = min((own for own, each in zip(costs, field, strict=True) if each.linear), key=np.mean)
    return [Racer(each, own, *apart(own, base)) for own, each in zip(costs, field, strict=True)]


def can_race(candidate: Candidate, aim: str) -> bool:
    """Whether the measure of the task tells how good the candidate is: of codes it does where they are to restore."""
    return not (TASKS[aim].by_distance and candidate.variant.purpose)


def made(aim: str, candidate: Candidate, seed: int | None = None, *, short: bool = True) -> Task:
    """The task with the candidate's variant, trained as in a race or, if not ``short``, as usual."""
    trainer = Trainer(epochs=EPOCHS, batch_size=BATCH) if short else None
    return TASKS[aim](variant=candidate.variant, random_state=seed, trainer=trainer)


def apart(costs: np.ndarray, base: np.ndarray) -> tuple[float, float]:
    """How much more (folds, rows) cost than those of another, and the error of that.

    >>> apart(np.array([[1.0, 2.0], [2.0, 3.0]]), np.zeros((2, 2)))
    (2.0, 0.5)
    """
    each = costs - base
    by_row, by_fold = each.std(ddof=1) / np.sqrt(each.size), each.mean(1).std(ddof=1) / np.sqrt(len(each))
    return float(each.mean()), float(max(by_row, by_fold))


def _beside(first: Task, candidates: Sequence[Candidate]) -> list[Candidate]:
    """PCA as wide as a fit of the first candidate puts it beside, unless it is among the candidates."""
    width = first.comparison_["width"]
    there = any(each.linear and each.variant.latent == width for each in candidates)
    return [] if there else [Candidate(of_width(width))]


def _judged(task: Task, held_out: Rows) -> np.ndarray:
    """What each held-out row costs the task; equal seeds hide, swap or disturb the same values for all."""
    x = task.preparation_.transform(held_out)
    with seeded(task.seed_), torch.inference_mode():
        costs, _ = task._trial(x)
    return costs.double().numpy()


def _fixed(rows: Rows, aim: str, seed: int) -> dict[str, Any]:
    """What all candidates have in common: clusters are compared where there are as many of them."""
    if aim != "cluster":
        return {}
    return {"clusters": TASKS[aim]("Linear", random_state=seed).fit(rows).clusters_}
