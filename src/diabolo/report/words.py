"""Figures as people write them: few digits, a true minus sign, thin spaces where lines must not break."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

THIN = "\N{NARROW NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NOTHING = 1e-5  # of the scale of a column: rows are prepared in float32
LARGE = ((1e9, "billion"), (1e6, "million"))


def number(value: float, digits: int = 4) -> str:
    """``value`` with ``digits`` significant digits.

    >>> [number(each).replace(THIN, " ") for each in (1234.567, -0.25, 3.0, 1.5e-7, 2.5e12)]
    ['1,235', '−0.25', '3', '1.5 × 10⁻⁷', '2.5 × 10¹²']
    """
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else f"{MINUS}∞")
    size = abs(value)
    if size and not 1e-4 <= size < 1e9:
        front, power = f"{value:.{digits - 1}e}".split("e")
        return f"{_plain(front)}{THIN}×{THIN}10{str(int(power)).translate(POWERS)}"
    places = max(0, digits - 1 - math.floor(math.log10(size))) if size else 0
    return _plain(f"{value:,.{places}f}")


def _plain(text: str) -> str:
    short = text.rstrip("0").rstrip(".") if "." in text else text
    return short.replace("-", MINUS)


def fixed(value: float, places: int = 2) -> str:
    """``value`` with so many digits behind the point, for columns of figures.

    >>> fixed(-1234.5)
    '−1,234.50'
    """
    return f"{value:,.{places}f}".replace("-", MINUS)


def count(value: int, noun: str = "") -> str:
    """A number of things.

    >>> count(1, "row"), count(12345, "row")
    ('1 row', '12,345 rows')
    """
    return f"{value:,} {noun}{'s' * (value != 1)}" if noun else f"{value:,}"


def percent(share: float) -> str:
    """A share; what is rare is not rounded away.

    >>> [percent(each).replace(THIN, " ") for each in (0.4295, 1, 0.0431, 0.00031, 0, 0.9999)]
    ['43 %', '100 %', '4.3 %', '0.031 %', '0 %', '99.990 %']
    """
    if share <= 0 or share >= 1:
        return f"{share * 100:.0f}{THIN}%"
    edge = min(share, 1 - share) * 100 * (1 + 1e-9)
    places = 0 if edge >= 10 else min(6, 1 - math.floor(math.log10(edge)))
    return f"{share * 100:.{places}f}{THIN}%"


def rarity(p: float) -> str:
    """A probability as one in so many.

    >>> rarity(0.01), rarity(0.3), rarity(2.6e-5), rarity(4e-8), rarity(0.8), rarity(0)
    ('1 in 100', '1 in 3.3', '1 in 38,000', '1 in 25 million', '8 in 10', 'less than 1 in a billion')
    """
    if p > 0.5:
        return f"{round(p * 10)} in 10"
    if p < 1e-9:
        return "less than 1 in a billion"
    odds = float(f"{1 / p:.2g}")
    size, word = next(((size, f" {word}") for size, word in LARGE if odds >= size), (1.0, ""))
    return f"1 in {number(odds / size)}{word}"


def value(cell: Any, scale: float = 0.0) -> str:
    """A cell of the data; a number that is nothing beside the ``scale`` of its column is 0.

    >>> value(None), value(21.0), value(True), value("on"), value(float("nan")), value(-4.6e-8, scale=1.0)
    ('missing', '21', 'true', 'on', 'missing', '0')
    >>> value(datetime(2024, 2, 29)), value(datetime(2024, 2, 29, 17, 5, 9))
    ('2024-02-29', '2024-02-29 17:05')
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "missing"
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, datetime):
        return cell.isoformat(" ", "minutes").removesuffix(" 00:00")
    if isinstance(cell, float):
        return number(cell if abs(cell) > NOTHING * scale else 0.0)
    return str(cell)


def apart(difference: float, error: float) -> str:
    """A difference and its error, to the two digits that the error has.

    >>> apart(0.004666, 0.05213), apart(-12.3, 0)
    ('0.005 ± 0.052', '−12.3 ± 0')
    """
    places = max(0, 1 - math.floor(math.log10(error))) if error > 0 else 4
    return f"{_plain(f'{difference:.{places}f}')} ± {_plain(f'{error:.{places}f}')}"


def parts(amounts: list[float], places: int = 2) -> list[str]:
    """Amounts rounded so that what is shown adds up to their rounded sum (largest remainders are rounded up).

    >>> parts([1 / 3, 1 / 3, 1 / 3])
    ['0.34', '0.33', '0.33']
    """
    unit = 10**places
    floors = [math.floor(amount * unit) for amount in amounts]
    owed = round(sum(amounts) * unit) - sum(floors)
    by_remainder = sorted(range(len(amounts)), key=lambda i: floors[i] - amounts[i] * unit)
    for i in by_remainder[:owed]:
        floors[i] += 1
    return [fixed(each / unit, places) for each in floors]


def listed(words: list[str]) -> str:
    """Words with commas and an "and".

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part) if words else ""
