"""Advice: what to take, with all that speaks for it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from diabolo.advice.look import Look
from diabolo.advice.race import EPOCHS, FOLDS, Racer, apart, can_race, made
from diabolo.advice.rules import Candidate
from diabolo.tasks import TASKS
from diabolo.tasks.task import Task
from diabolo.variants import Variant

WIDTH = 100  # characters of a line


@dataclass(frozen=True)
class Advice:
    """The ``look`` at the data, the rules' candidate, the race, and what to take after it.

    ``race`` is empty where the measure of the task would speak against what codes are for; ``aside`` are candidates
    that were left out of it for that reason. ``chosen`` is the candidate to take; ``said`` the sentence that says why.
    """

    look: Look
    aim: str
    ruled: Candidate
    race: tuple[Racer, ...]
    chosen: Candidate
    said: str
    aside: tuple[Candidate, ...] = ()

    @classmethod
    def of(cls, look: Look, aim: str, want: str | None, chosen: Sequence[Candidate], racers: Sequence[Racer]) -> Advice:
        """What follows from a race: PCA, unless something beats it beyond two errors (or codes have to be special).

        Without racers it is what the rules say.
        """
        aside = tuple(each for each in chosen if not can_race(each, aim))
        if not racers:
            return cls(look, aim, chosen[0], (), chosen[0], _unraced(chosen[0]), aside)
        ruled = racers[0]
        linear = min((each for each in racers if each.candidate.linear), key=lambda each: each.cost)
        best = min((each for each in racers if each.better), key=lambda each: each.cost, default=linear)
        if ruled.better and not _beats(best, ruled):
            best = ruled
        taken = ruled if want is not None else best
        return cls(look, aim, chosen[0], tuple(racers), taken.candidate, _said(look, ruled, best, taken, want), aside)

    @property
    def taken(self) -> Racer | None:
        """How the candidate to take did, if there was a race."""
        return next((each for each in self.race if each.candidate is self.chosen), None)

    @property
    def variant(self) -> Variant:
        """The variant to take."""
        return self.chosen.variant

    def task(self, **params: Any) -> Task:
        """The task to fit, with the variant to take; ``params`` set further parameters."""
        return made(self.aim, self.chosen, short=False).set_params(**params)

    def command(self, data: str, model: str | None = None) -> str:
        """The command that fits it to the file ``data``."""
        model = model or f"{Path(data).name.split('.')[0] if data != '-' else 'model'}.diabolo"
        words = ["diabolo", "fit", self.aim, data, "-o", model, "-p", f"variant={self.chosen.name}"]
        usual = type(self.variant)()
        for name in self.variant.parameters():
            if getattr(self.variant, name) != getattr(usual, name):
                words += ["-p", f"variant.{name}={getattr(self.variant, name)}"]
        return shlex.join(words)

    def table(self) -> list[tuple[str, ...]]:
        """The race, best first, in words."""
        heads = ("variant", "cost", "less PCA's", "+- error", "")
        ranked = sorted(self.race, key=lambda each: each.cost)
        return [heads, *(_row(each) for each in ranked)]

    @property
    def rows_raced(self) -> int:
        return self.race[0].costs.size if self.race else 0

    @property
    def conditions(self) -> str:
        """How the race was run, or why there was none, in a sentence."""
        apart = "; ".join(f"{each.name} is for something else: {each.variant.purpose}" for each in self.aside)
        if not self.race:
            return f"none, since the measure of the task ({TASKS[self.aim].measure}) would speak against it; {apart}"
        return (
            f"{FOLDS} folds of {self.rows_raced:,} of {self.look.rows:,} rows, at most {EPOCHS} epochs; cost: "
            f"{TASKS[self.aim].measure}; lower is better, and a difference counts beyond two errors"
            f"{f'; not raced: {apart}' if apart else ''}"
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return {
            "data": asdict(self.look),
            "aim": self.aim,
            "rules": {"variant": str(self.ruled), "reasons": list(self.ruled.reasons)},
            "race": [
                {
                    "variant": str(each.candidate),
                    "cost": each.cost,
                    "difference": each.difference,
                    "error": each.error,
                    "verdict": each.verdict,
                }
                for each in self.race
            ],
            "conditions": self.conditions,
            "variant": self.variant.to_dict(),
            "said": self.said,
        }

    def __str__(self) -> str:
        rules = f"{self.ruled} to {self.aim}: {'; '.join(self.ruled.reasons)}"
        told = [*self.look.lines(), ("rules", rules), ("race", self.conditions), ("take", self.said)]
        return "\n".join(
            fill(text, WIDTH, initial_indent=f"{name:11}", subsequent_indent=" " * 11) for name, text in told
        )


def _row(racer: Racer) -> tuple[str, ...]:
    gap = ("", "") if racer.verdict == "PCA itself" else (f"{racer.difference:+.4f}", f"{racer.error:.4f}")
    return (str(racer.candidate), f"{racer.cost:.4f}", *gap, racer.verdict)


def _beats(one: Racer, other: Racer) -> bool:
    gap, error = apart(one.costs, other.costs)
    return gap < -2 * error


def _unraced(ruled: Candidate) -> str:
    return (
        f"{ruled}. Nothing was raced: only labels can tell whether its codes are better than those of PCA. With some, "
        "fit both and compare them by `diabolo evaluate`."
    )


def _said(look: Look, ruled: Racer, best: Racer, taken: Racer, want: str | None) -> str:
    told = f"{taken.candidate}. "
    if want is not None:
        beside = "beats PCA" if ruled.better else "does not beat PCA"
        return f"{told}Codes are to be {want}, which PCA's are not; by the measure of the task it {beside}."
    if best.candidate.linear:
        more = f" Networks may gain from all {look.rows:,} rows: fit compares with PCA again, and says so."
        few = look.rows < 2 * taken.costs.size
        return f"{told}Nothing beats PCA beyond two errors; it is fitted at once and has no seed.{'' if few else more}"
    if best is ruled:
        return f"{told}It beats PCA, and nothing beats it, beyond two errors."
    return f"{told}It beats PCA beyond two errors, and does better here than {ruled.candidate.name} of the rules."
