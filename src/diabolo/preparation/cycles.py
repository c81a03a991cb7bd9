"""Cycles: what the hour, the weekday and the day of the year of made rows say, where these make no date."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diabolo.preparation.detection import CYCLES
from diabolo.schema import Column

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
CYCLIC = tuple(f"{name} sin" for name in CYCLES)
YEAR = CYCLES["yearday"] / CYCLES["hour"]  # in days
FIRST = np.datetime64("2001-01-01")
LEAST = 0.1  # of the length of (sine, cosine): below it no direction is meant


def in_words(columns: Sequence[Column], x: np.ndarray) -> list[str]:
    """The model columns of a date, from prepared rows (n, len(columns)), each in words.

    >>> hour = [Column(f"at: hour {wave}", part=f"hour {wave}") for wave in ("sin", "cos")]
    >>> in_words(hour, np.array([[1.0, 0.0], [0.01, 0.0]]))
    ['hour 06:00', 'any hour']
    """
    values = {column.part: part * column.scale + column.center for column, part in zip(columns, x.T, strict=True)}
    cycles = [name for name in CYCLES if f"{name} sin" in values]
    told = [_cycle(name, values, timed="hour" in cycles) for name in cycles]
    told = [_date(values["elapsed"]), *told] if "elapsed" in values else told
    return [", ".join(parts) for parts in zip(*told, strict=True)]


def _date(seconds: np.ndarray) -> list[str]:
    days = np.nan_to_num(seconds).astype("datetime64[s]").astype("datetime64[D]")
    return [f"about {day}" for day in days]


def _cycle(name: str, values: dict[str, np.ndarray], timed: bool) -> list[str]:
    sine, cosine = values[f"{name} sin"], values[f"{name} cos"]
    turns = np.arctan2(sine, cosine) / (2 * np.pi) % 1.0
    certain = np.hypot(sine, cosine) > LEAST
    return [SPOKEN[name](turn, timed) if sure else f"any {name}" for turn, sure in zip(turns, certain, strict=True)]


def _hour(turn: float, timed: bool) -> str:
    minutes = round(turn * 24 * 4) % 96 * 15
    return f"hour {minutes // 60:02}:{minutes % 60:02}"


def _weekday(turn: float, timed: bool) -> str:
    """Days without a time lie at the start of a day, others anywhere in it."""
    return f"weekday {DAYS[int(turn * 7 if timed else round(turn * 7)) % 7]}"


def _yearday(turn: float, timed: bool) -> str:
    """Years begin up to .12 days before and .67 days after a whole number of mean years since 1970."""
    day = min(int((turn * YEAR + 0.2) % YEAR), 364)
    return f"month {MONTHS[int((FIRST + day).astype('datetime64[M]').astype(int)) % 12]}"


SPOKEN = {"hour": _hour, "weekday": _weekday, "yearday": _yearday}
