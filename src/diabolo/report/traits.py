"""What sets groups of rows apart: sums over rows that stream past, by group, and what they say of each column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diabolo.report import model
from diabolo.report.findings import by_cell, natural
from diabolo.report.markup import Markup, cell, joined
from diabolo.report.words import percent
from diabolo.schema import UNSEEN, Column, Schema

TINY = 1e-9  # in place of a spread of 0


@dataclass(frozen=True)
class Trait:
    """What a group has in a column, what all rows have, and how far apart these are in standard deviations."""

    column: Column
    here: Markup
    everywhere: Markup
    strength: float
    brief: Markup  # the trait in a few words


class Sums:
    """Per group and model column: values known, their sum and that of their squares, and how often each category was.

    >>> from diabolo.schema import numbers
    >>> sums = Sums(numbers(1), 2)
    >>> sums.add(np.array([[1.0], [3.0], [8.0]]), np.array([0, 0, 1]))
    >>> sums.means[:, 0].tolist(), [round(trait.strength, 2) for trait in sums.traits(1)]
    ([2.0, 8.0], [1.36])
    """

    def __init__(self, schema: Schema, groups: int) -> None:
        self.columns, self.groups = schema.columns, groups
        self.known, self.sums, self.squares = np.zeros((3, groups, *schema.shape))
        self.tallies = [np.zeros((groups, max(2, len(column.categories)))) for column in self.columns]

    def add(self, x: np.ndarray, group: np.ndarray) -> None:
        """Take in prepared rows (n, columns, *grid) and the group of each, (n,)."""
        there, values = ~np.isnan(x), np.nan_to_num(x.astype(np.float64))
        for each in range(self.groups):
            own = group == each
            self.known[each] += there[own].sum(0)
            self.sums[each] += values[own].sum(0)
            self.squares[each] += np.square(values[own]).sum(0)
        self._tally(by_cell(x), group.repeat(len(by_cell(x)) // max(1, len(x))))

    def _tally(self, cells: np.ndarray, group: np.ndarray) -> None:
        for column, counts, values in zip(self.columns, self.tallies, cells.T, strict=True):
            if column.kind in ("category", "boolean"):
                there = ~np.isnan(values)
                place = group[there] * counts.shape[1] + values[there].astype(np.int64)
                counts += np.bincount(place, minlength=counts.size).reshape(counts.shape)

    @property
    def means(self) -> np.ndarray:
        """The mean of each value of a row in each group, prepared, (groups, columns, *grid); NaN of none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.sums / self.known

    def traits(self, group: int) -> list[Trait]:
        """One trait for each column, the strongest first."""
        found = [self._trait(group, place) for place in range(len(self.columns))]
        return sorted(filter(None, found), key=lambda trait: -abs(trait.strength))

    def strengths(self, group: int) -> dict[str, float]:
        """How far each column of a group is from all rows, in standard deviations."""
        return {trait.column.name: trait.strength for trait in self.traits(group)}

    def _trait(self, group: int, place: int) -> Trait | None:
        column = self.columns[place]
        if column.kind in ("category", "boolean"):
            return self._of_category(column, self.tallies[place], group)
        known, sums, squares = (
            each[:, place].reshape(self.groups, -1).sum(1) for each in (self.known, self.sums, self.squares)
        )
        if not known[group]:
            return None
        mean, whole = sums[group] / known[group], sums.sum() / known.sum()
        spread = np.sqrt(max(squares.sum() / known.sum() - whole**2, 0.0))
        strength = float((mean - whole) / spread) if spread > TINY else 0.0
        here, everywhere = (_amount(column, float(each)) for each in (mean, whole))
        return Trait(column, here, everywhere, strength, joined(cell(column.name, 24), " ", here))

    def _of_category(self, column: Column, counts: np.ndarray, group: int) -> Trait | None:
        """The category that is much more, or much less, frequent in the group; of two alike the more frequent one."""
        if not counts[group].sum():
            return None
        share, whole = counts[group] / counts[group].sum(), counts.sum(0) / counts.sum()
        spread = np.sqrt(whole * (1 - whole))
        strength = np.where(spread > TINY, (share - whole) / np.maximum(spread, TINY), 0.0)
        best = 1 if column.kind == "boolean" else int((np.abs(strength) + TINY * strength).argmax())
        word = cell(named(column, best), 24)
        here, everywhere = (joined(word, " in ", percent(float(each[best]))) for each in (share, whole))
        return Trait(column, here, everywhere, float(strength[best]), joined(cell(column.name, 24), " ", here))


def named(column: Column, category: int) -> str:
    """What a category, or a boolean, is called."""
    words = column.categories or ("false", "true")
    word = words[category] if category < len(words) else "?"
    return "a new category" if word == UNSEEN else word


def _amount(column: Column, mean: float) -> Markup:
    """A mean of prepared values in the units of the column."""
    return cell(model.amount(column, float(natural(column, np.array(mean)))))
