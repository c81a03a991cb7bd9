"""Units: whether columns are values of one kind, such as pixels, coordinates or marks, to be measured by one scale.

Columns of different units are compared by their own spreads. Columns of one unit must not be: a pixel that is dark in
nearly all images would count as much as those that tell the images apart. An array does not say which it holds; but
values of one unit run between the same bounds, from black to white or from the first mark to the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from diabolo.preparation.detection import Detected, number
from diabolo.preparation.survey import Profile
from diabolo.preparation.values import Role

FEWEST = 4  # columns that may agree by more than chance
SHARE = 0.5  # of the columns that reach the bounds of all
NEAR = 0.05  # of the span between the bounds: so near a column reaches them
SIZED = ("number", "count")


def in_one_unit(found: Mapping[str, Detected], profiles: Sequence[Profile]) -> dict[str, Detected]:
    """The columns, with those of numbers measured by one scale where they share their bounds.

    They then are Normal numbers over the root of their mean variance, counts and flags among them too. Columns of
    another kind stay as they are. Where the numbers do not share their bounds, all columns stay.
    """
    varied = [each for each in profiles if each.name in found and _is_number(found[each.name], each)]
    if not share_bounds(varied):
        return dict(found)
    scale = float(np.sqrt(np.mean([each.std**2 for each in varied])))
    lowest, highest = min(each.low for each in varied), max(each.high for each in varied)
    inside = [each for each in profiles if each.role is Role.NUMBER and lowest <= each.low <= each.high <= highest]
    same = {each.name: (replace(number(each), center=each.mean, scale=scale),) for each in inside}
    return {name: same[name] if name in same and _is_sized(each) else each for name, each in found.items()}


def share_bounds(profiles: Sequence[Profile]) -> bool:
    """Whether at least half of the columns, and four, run from the lowest of all values to the highest.

    >>> pixels = [Profile(f"x{i}", Role.NUMBER, low=0.0, high=255.0, std=i) for i in range(4)]
    >>> share_bounds(pixels), share_bounds([*pixels, Profile("age", Role.NUMBER, low=18.0, high=900.0)])
    (True, False)
    """
    if len(profiles) < FEWEST:
        return False
    low, high = (np.array([getattr(each, name) for each in profiles]) for name in ("low", "high"))
    near = NEAR * (high.max() - low.min())
    return bool(((low <= low.min() + near) & (high >= high.max() - near)).mean() >= SHARE)


def _is_number(found: Detected, profile: Profile) -> bool:
    """Whether the column is one of numbers that vary, and more than a flag."""
    return not isinstance(found, str) and len(found) == 1 and found[0].kind in SIZED and profile.low < profile.high


def _is_sized(found: Detected) -> bool:
    """Whether the column can be measured: one of numbers, or a flag of two values."""
    return not isinstance(found, str) and (
        found[0].kind in SIZED or found[0].categories[:-1] in (("0", "1"), ("1", "0"))
    )
