"""Detection: which model columns stand for a column of the user's, decided from its profile.

======================================  ==============================================================================
what the pass saw                       what becomes of it
======================================  ==============================================================================
no value at all                         set aside
numbers                                 number, Normal: mean and standard deviation
numbers with heavy tails                number, StudentT: 99 % of the values spread more than 5 times as wide as the
                                        middle half (a Normal: 3.8, a Laplace: 6.6); median and quartiles where the
                                        standard deviation is 100 times what the quartiles say, or 10 times by less
                                        than 1 % of the values
one number only                         number, scale = its size (or 1), so that a change is visible but not explosive
true and false                          boolean, Bernoulli
0 and 1 only, as numbers                category of two, so that a later 2 is a category never seen, not an error
small whole numbers from 0 on, skewed   count, NegativeBinomial: a minimum of 0, at least 2 % zeros, 8 different ones or
                                        more, a mean of at most 50 and a variance of at least twice that
whole numbers named as codes            category: "zip code", "error_code", "type", "class"; at most 64 different ones
whole numbers named as ids              set aside if no two are equal: "id", "row", "index", or a column without a name
texts, each twice or more on average    category, Categorical: the most frequent ones, the rest pooled (also 10 or
                                        fewer different texts, however few rows there are)
texts that are nearly all different     set aside as an id, or as free text if they are long; the reason says where they
                                        look like numbers or dates in a local spelling, which is never guessed at
texts that all read as dates or times   what these are; they are written by ISO 8601
dates and instants                      elapsed seconds, StudentT or Normal, unless the rows are in their order (a log's
                                        clock says nothing about a row, and tomorrow is always beyond it; ``clocks``
                                        learns it all the same); sine and cosine of the hour, the weekday and the day
                                        of the year where at least two days, weeks or years were seen
times of day                            sine and cosine of the hour
======================================  ==============================================================================

An entry in ``likelihoods`` overrides all of it, and a column with an entry is never set aside. Likelihoods of
numbers in steps have the step looked for in the sample of the values.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from functools import reduce

import numpy as np

from diabolo.errors import DiaboloWarning, InvalidParameter
from diabolo.preparation.survey import Profile
from diabolo.preparation.values import DAY, Role, grain, number_text
from diabolo.schema import UNSEEN, Column, Kind

Detected = tuple[Column, ...] | str  # model columns, or the reason why there is none

CODES = re.compile(r"(^|[\W_])(codes?|zip|zipcode|postcode|type|class|category|kind)$", re.IGNORECASE)
IDS = re.compile(
    r"(^|[\W_])(ids?|uuid|guid|index|idx|key|row|rownum|rownumber|nr|no)$|[a-z]I[dD]$|^column \d+$|^Unnamed",
    re.IGNORECASE,
)
CYCLES = {"hour": DAY, "weekday": 7 * DAY, "yearday": 365.2425 * DAY}
LATTICE = ("DiscretisedLogistic", "LogisticMixture")  # probabilities of numbers in steps
MONDAY = 4 * DAY  # 1970-01-05, so that a week starts on a Monday
CLOCK = (DAY, 3600.0, 60.0, 1.0)  # what dates and times may be multiples of
DECIMALS = (0.1, 0.01, 0.001, 1e-4)  # the same of numbers that are not whole
ALLOWED = {
    Role.NUMBER: ("Normal", "StudentT", "Laplace", "NegativeBinomial", "Bernoulli", "Categorical", *LATTICE),
    Role.BOOLEAN: ("Bernoulli", "Categorical"),
    Role.DATE: ("Normal", "StudentT", "Laplace"),
    Role.TIME: ("Normal", "StudentT", "Laplace"),
    Role.TEXT: ("Categorical", "Bernoulli"),
}
HEAVY = 5.0  # spread of 99 % of the values over that of the middle half
FEW = 10  # different texts that are categories however few rows there are
NUMERIC = 0.95  # share of texts that read as numbers from which the others are taken for mistakes
PRESSED, PRESSED_BY_FEW = 100, 10  # times the spread of the quartiles; where but for a few there are no heavy tails
MOST_STEPS = 65_535  # of a lattice
OFF_LATTICE = 0.05  # steps that a value may lie beside the lattice by rounding
ROUNDING = 1e-12  # relative deviations below this are rounding errors, not variation


def detect(profile: Profile, kept: int, likelihood: str | None = None) -> Detected:
    """The model columns of a profile, or the reason to set it aside; at most ``kept`` categories.

    Raises InvalidParameter for a ``likelihood`` that does not suit the column.

    >>> detect(Profile("pump", Role.NUMBER), kept=64)
    'every value is missing'
    """
    if profile.counts is not None and likelihood in ALLOWED[Role.TEXT]:
        profile = replace(profile, role=Role.TEXT)  # texts of dates too may be asked to be categories
    allowed = ALLOWED.get(profile.role, ())
    if likelihood is not None and likelihood not in allowed:
        told = ", ".join(map(repr, allowed)) or "none: its type cannot be learned from"
        raise InvalidParameter(
            f"The likelihood of column {profile.name!r} ({profile.role.value}) must be one of {told}. "
            f"Got {likelihood!r}."
        )
    if profile.role is Role.OTHER:
        return "nested or binary values"
    if not profile.rows:
        return "every value is missing"
    return DETECTORS[profile.role](profile, kept, likelihood)


def number(profile: Profile, likelihood: str = "Normal") -> Column:
    """A number column with its center and scale: mean and standard deviation, the same under every likelihood.

    Where a few values are so far out that they would press all others together, it is median and quartiles instead.
    """
    center, scale = profile.mean, profile.std
    size = max(abs(profile.low), abs(profile.high))
    if profile.low == profile.high:
        center, scale = profile.low, size or 1.0
    elif scale <= ROUNDING * size:
        scale = size
    elif likelihood != "Normal" and is_pressed(profile):
        center, scale = float(np.median(profile.sample)), _spread(profile)
    return _column(profile, "number", likelihood, center=center, scale=scale, low=profile.low, high=profile.high)


def real(profile: Profile) -> Column:
    """A number column, Normal or with heavy tails."""
    return number(profile, "StudentT" if is_heavy(profile.sample) or is_pressed(profile) else "Normal")


def _number(profile: Profile, kept: int, likelihood: str | None) -> Detected:
    if likelihood is not None:
        return _as_asked(profile, kept, likelihood)
    if profile.whole and IDS.search(profile.name) and _all_different(profile):
        return "an id: whole numbers, no two of them equal"
    if profile.whole and (_is_flag(profile) or _is_code(profile, kept)):
        return _category(profile, kept)
    if _is_count(profile):
        return _count(profile)
    return (real(profile),)


def _as_asked(profile: Profile, kept: int, likelihood: str) -> Detected:
    if likelihood == "Categorical":
        return _category(profile, kept)
    if likelihood == "Bernoulli":
        return _boolean_of_numbers(profile)
    if likelihood == "NegativeBinomial":
        if not profile.whole or profile.low < 0:
            raise InvalidParameter(
                f"Column {profile.name!r} cannot be NegativeBinomial: that counts, and it holds values that are "
                "negative or not whole. Choose 'Normal', 'StudentT' or 'Laplace'."
            )
        return _count(profile)
    column = number(profile, likelihood)
    return (replace(column, step=_step(profile)) if likelihood in LATTICE else column,)


def _step(profile: Profile) -> float:
    """The step of the lattice that all values lie on: the largest number that all their distances are multiples of.

    Raises InvalidParameter where that would be a lattice of more than 65536 values, or none.
    """
    values = np.unique(profile.sample)
    width = profile.high - profile.low
    if width == 0:
        return abs(profile.low) or 1.0
    step = reduce(lambda a, b: _divisor(a, b, width / MOST_STEPS), np.diff(values).tolist(), width)
    step = width / max(round(width / step), 1)
    places = (values - profile.low) / step
    if width / step > MOST_STEPS or np.abs(places - places.round()).max() > OFF_LATTICE:
        raise InvalidParameter(
            f"Column {profile.name!r} is on no lattice: its values are no multiples of one step, of which there may be "
            f"{MOST_STEPS} between the lowest and the highest. Choose 'Normal', 'StudentT' or 'Laplace'."
        )
    return float(step)


def _divisor(a: float, b: float, least: float) -> float:
    """The largest number that both are multiples of, by Euclid's algorithm; ``least`` and less is a rounding error."""
    while b > least / 2:
        a, b = b, a - b * round(a / b)
        b = abs(b)
    return a


def _boolean(profile: Profile, kept: int, likelihood: str | None) -> Detected:
    if likelihood == "Categorical":
        return _category(profile, kept, ("false", "true"))
    return (_column(profile, "boolean", "Bernoulli", low=profile.low, high=profile.high),)


def _boolean_of_numbers(profile: Profile) -> Detected:
    if not (profile.whole and profile.low >= 0 and profile.high <= 1):
        raise InvalidParameter(
            f"Column {profile.name!r} cannot be Bernoulli: it holds values from {profile.low:g} to {profile.high:g}, "
            "not only 0 and 1. Choose 'Normal', or for a column of a table 'Categorical'."
        )
    return (_column(profile, "boolean", "Bernoulli", low=profile.low, high=profile.high),)


def _count(profile: Profile) -> Detected:
    logs = np.log1p(profile.sample)
    scale = float(logs.std()) or 1.0
    return (
        _column(
            profile,
            "count",
            "NegativeBinomial",
            center=float(logs.mean()),
            scale=scale,
            low=profile.low,
            high=profile.high,
        ),
    )


def _text(profile: Profile, kept: int, likelihood: str | None) -> Detected:
    if likelihood == "Bernoulli":
        return _boolean_of_texts(profile)
    if likelihood is None and not _repeats(profile):
        aside = "free text" if profile.letters > 30 else "an id: most rows have a value of their own"
        return f"{aside}; it looks like {profile.seems}" if profile.seems else aside
    if profile.counts is None:
        raise InvalidParameter(
            f"Column {profile.name!r} cannot be Categorical: it has thousands of texts, or long ones. Leave it out."
        )
    if likelihood is None and profile.seems and len(profile.counts) > FEW:
        told = f"Column {profile.name!r} is learned as {len(profile.counts)} categories, and looks like {profile.seems}"
        warnings.warn(f"{told}.", DiaboloWarning, stacklevel=2)
    if likelihood is None and NUMERIC <= profile.numeric < 1 and len(profile.counts) > FEW:
        told = f"Column {profile.name!r} holds numbers with some text among them, and is learned as categories"
        warnings.warn(f"{told}. Where the text is a mistake, correct it or write NA.", DiaboloWarning, stacklevel=2)
    return _category(profile, kept)


def is_spoiled(profile: Profile) -> bool:
    """Whether a column of text is one of numbers but for a few values."""
    return profile.role is Role.TEXT and profile.rows > 0 and profile.numeric >= NUMERIC and not _repeats(profile)


def _repeats(profile: Profile) -> bool:
    """Whether the texts occur twice or more on average, as categories do."""
    return profile.counts is not None and len(profile.counts) <= max(FEW, profile.rows / 2)


def _boolean_of_texts(profile: Profile) -> Detected:
    if profile.counts is None or len(profile.counts) != 2:
        raise InvalidParameter(
            f"Column {profile.name!r} cannot be Bernoulli: it has not two values. Choose 'Categorical'."
        )
    return (_column(profile, "boolean", "Bernoulli", low=0.0, high=1.0, categories=tuple(sorted(profile.counts))),)


def _category(profile: Profile, kept: int, known: tuple[str, ...] = ()) -> Detected:
    """Categories from the most frequent on; equally frequent ones in the order of their names."""
    counts = profile.counts or _numbers_counted(profile.sample)
    ranked = known or tuple(sorted(counts, key=lambda text: (-counts[text], text))[:kept])
    names = (*ranked, UNSEEN)
    return (_column(profile, "category", "Categorical", low=0.0, high=len(names) - 1.0, categories=names),)


def _numbers_counted(sample: np.ndarray) -> dict[str, int]:
    values, counts = np.unique(sample, return_counts=True)
    return dict(zip(map(number_text, values.tolist()), counts.tolist(), strict=True))


def _date(profile: Profile, kept: int, likelihood: str | None) -> Detected:
    span = profile.high - profile.low
    found = []
    if likelihood is not None or not (profile.rising and profile.rows > 2 and span > 0):
        elapsed = number(profile, likelihood) if likelihood else real(profile)
        found = [_part(profile, "elapsed", elapsed)]
    whole_days = bool((profile.sample % DAY == 0).all())
    for name, length in CYCLES.items():
        if span >= 2 * length and not (name == "hour" and whole_days):
            found += _cycle(profile, name)
    return tuple(found) or "a clock: the rows are in its order, and no cycle was seen twice"


def _time(profile: Profile, kept: int, likelihood: str | None) -> Detected:
    return tuple(_cycle(profile, "hour", likelihood or "Normal"))


def _cycle(profile: Profile, name: str, likelihood: str = "Normal") -> list[Column]:
    plain = _column(profile, "number", likelihood, low=-1.0, high=1.0, scale=0.5**0.5)
    return [_part(profile, f"{name} {wave}", plain) for wave in ("sin", "cos")]


def _part(profile: Profile, part: str, column: Column) -> Column:
    fine = grain(profile.sample, CLOCK)
    return replace(column, name=f"{profile.name}: {part}", part=part, grain=fine, zone=profile.zone)


def _column(profile: Profile, kind: Kind, likelihood: str, **learned: object) -> Column:
    fine = grain(profile.sample, (1.0,) * profile.whole + DECIMALS) if profile.role is Role.NUMBER else 0.0
    seen = {"missing": profile.missing > 0, "grain": fine}
    return Column(profile.name, kind, likelihood, source=profile.name, **seen, **learned)  # type: ignore[arg-type]


def is_heavy(sample: np.ndarray) -> bool:
    """Whether the tails are heavier than a Normal's: (q99.5 - q0.5) / (q75 - q25), 3.8 for a Normal, beyond 5.

    Of few rows the extremes are uncertain, so the bound rises to 5 + 10 / sqrt(n); below 100 rows nothing is heavy.
    """
    if len(sample) < 100:
        return False
    lowest, low, high, highest = np.quantile(sample, (0.005, 0.25, 0.75, 0.995))
    return bool(highest - lowest > (HEAVY + 10 / len(sample) ** 0.5) * (high - low))


def is_pressed(profile: Profile) -> bool:
    """Whether a few values are so far out that the standard deviation tells of them and not of all others."""
    most = PRESSED if is_heavy(profile.sample) else PRESSED_BY_FEW
    return 0 < most * _spread(profile) < profile.std


def _spread(profile: Profile) -> float:
    """The standard deviation of a Normal with these quartiles, which lie 1.349 of them apart."""
    low, high = np.quantile(profile.sample, (0.25, 0.75))
    return float(high - low) / 1.349


def _all_different(profile: Profile) -> bool:
    return len(np.unique(profile.sample)) == len(profile.sample) > 10


def _is_flag(profile: Profile) -> bool:
    return profile.low == 0 and profile.high == 1


def _is_code(profile: Profile, kept: int) -> bool:
    different = len(np.unique(profile.sample))
    return bool(CODES.search(profile.name)) and 1 < different <= min(kept, max(10, profile.rows / 2))


def _is_count(profile: Profile) -> bool:
    """Small, skewed whole numbers from 0 on, clearly more spread than a Poisson count."""
    if not profile.whole or profile.low != 0 or profile.mean > 50 or profile.std**2 < 2 * profile.mean:
        return False
    return len(np.unique(profile.sample)) >= 8 and bool((profile.sample == 0).mean() >= 0.02)


DETECTORS = {
    Role.NUMBER: _number,
    Role.BOOLEAN: _boolean,
    Role.DATE: _date,
    Role.TIME: _time,
    Role.TEXT: _text,
}
