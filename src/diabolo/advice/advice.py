"""Advice: what to take, with all that speaks for it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from diabolo.advice.look import Look
from diabolo.advice.race import EPOCHS, FOLDS, Racer, apart, made
from diabolo.advice.rules import Candidate
from diabolo.tasks import TASKS
from diabolo.tasks.task import Task
from diabolo.variants import Variant

WIDTH = 100  # characters of a line


@dataclass(frozen=True)
class Advice:
    """The ``look`` at the data, the rules' candidate, the race, and what to take after it.

    ``taken`` is the racer to take; ``said`` the sentence that says why.
    """

    look: Look
    aim: str
    ruled: Candidate
    race: tuple[Racer, ...]
    taken: Racer
    said: str

    @classmethod
    def of(cls, look: Look, aim: str, want: str | None, chosen: Sequence[Candidate], racers: Sequence[Racer]) -> Advice:
        """What follows from a race: PCA, unless something beats it beyond two errors (or codes have to be special)."""
        ruled = racers[0]
        linear = min((each for each in racers if each.candidate.linear), key=lambda each: each.cost)
        best = min((each for each in racers if each.better), key=lambda each: each.cost, default=linear)
        if ruled.better and not _beats(best, ruled):
            best = ruled
        taken = ruled if want is not None else best
        return cls(look, aim, chosen[0], tuple(racers), taken, _said(look, ruled, best, taken, want))

    @property
    def variant(self) -> Variant:
        """The variant to take."""
        return self.taken.candidate.variant

    def task(self, **params: Any) -> Task:
        """The task to fit, with the variant to take; ``params`` set further parameters."""
        return made(self.aim, self.taken.candidate, short=False).set_params(**params)

    def command(self, data: str, model: str | None = None) -> str:
        """The command that fits it to the file ``data``."""
        model = model or f"{Path(data).name.split('.')[0] if data != '-' else 'model'}.diabolo"
        words = ["diabolo", "fit", self.aim, data, "-o", model, "-p", f"variant={self.taken.candidate.name}"]
        usual = type(self.variant)()
        for name in self.variant.parameters():
            if getattr(self.variant, name) != getattr(usual, name):
                words += ["-p", f"variant.{name}={getattr(self.variant, name)}"]
        for name, value in self.taken.candidate.settings.items():
            words += ["-p", f"{name}={value}"]
        return shlex.join(words)

    def table(self) -> list[tuple[str, ...]]:
        """The race, best first, in words."""
        heads = ("variant", "cost", "less PCA's", "+- error", "")
        ranked = sorted(self.race, key=lambda each: each.cost)
        return [heads, *(_row(each) for each in ranked)]

    @property
    def rows_raced(self) -> int:
        return int(self.taken.costs.size)

    @property
    def conditions(self) -> str:
        """How the race was run, in a sentence."""
        return (
            f"{FOLDS} folds of {self.rows_raced:,} of {self.look.rows:,} rows, at most {EPOCHS} epochs; cost: "
            f"{TASKS[self.aim].measure}; lower is better, and a difference counts beyond two errors"
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
