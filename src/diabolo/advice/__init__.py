"""Advice: which variant suits a data set and an aim, by rules of the field, and whether a race bears them out.

X --sample--> Look --rules--> candidates --race, cross-validated, beside PCA--> Advice
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from diabolo.advice.advice import Advice
from diabolo.advice.look import Look, sampled
from diabolo.advice.race import FOLDS, Racer, can_race, raced
from diabolo.advice.rules import WANTS, Candidate, candidates
from diabolo.errors import InvalidData, InvalidParameter, suggestion
from diabolo.preparation import Preparation
from diabolo.readers import Rows, Source, open_source
from diabolo.tasks import TASKS

__all__ = ["FEWEST", "Advice", "Candidate", "Look", "Racer", "candidates", "choose", "raced"]

FEWEST = 30  # rows that a race can be run on
STEPS = 5 * FOLDS  # fits that a race takes at most


def choose(
    X: Any,
    aim: str = "detect",
    *,
    want: str | None = None,
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> Advice:
    """Which variant to take for ``X`` and ``aim``, why, and how it does beside PCA (the variant ``Linear``).

    ``X`` is what ``fit`` takes, or a Source; ``aim`` a task as the command line names it: detect, impute, denoise,
    embed, cluster or synthesize. ``want`` is None, or a property that codes should have: "interpretable" or "stable".
    The race is short, on a sample of the rows; there is none where what the rules say is for something else than the
    measure of the task, such as IIC for codes of images, since it would be misleading; ``on_step`` is told each step of
    it. Raises InvalidParameter for an unknown aim or want, InvalidData for fewer than 30 rows or rows that cannot be
    learned from.

    Examples
    --------
    >>> import numpy as np
    >>> from diabolo import choose
    >>> dice = np.random.default_rng(0)
    >>> rows = dice.normal(size=(120, 2)) @ dice.normal(size=(2, 8)) + 0.1 * dice.normal(size=(120, 8))
    >>> advice = choose(rows, "embed")
    >>> advice.variant, advice.command("sensors.csv")
    (Linear(latent=2), 'diabolo fit embed sensors.csv -o sensors.diabolo -p variant=Linear -p variant.latent=2')
    """
    _known("aim", aim, TASKS)
    if want is not None:
        _known("want", want, WANTS)
    source = open_source(X) if isinstance(X, (str, Path)) else X
    rows, total = sampled(source)
    if len(rows) < FEWEST:
        name = f"{source.name} has" if isinstance(source, Source) else "There are"
        raise InvalidData(f"{name} {len(rows)} rows; at least {FEWEST} are needed to compare variants. Take Linear.")
    look = _look(source, rows, total)
    chosen = candidates(look, aim, want)
    field = [each for each in chosen if can_race(each, aim)]
    racers = raced(rows, look, aim, field, seed, on_step) if field[0] is chosen[0] else []
    return Advice.of(look, aim, want, chosen, racers)


def _look(source: Any, rows: Rows, total: int) -> Look:
    """Look at the sample; what is wrong with it is told of the whole file, with its name and the row."""
    try:
        return Look.of(rows, total)
    except InvalidData:
        if isinstance(source, Source) and not source.once:
            Preparation().fit(source)
        raise


def _known(what: str, given: str, known: Any) -> None:
    if given not in known:
        raise InvalidParameter(
            f"There is no {what} {given!r}.{suggestion(given, known)} There are: {', '.join(known)}."
        )
