"""The laws that every task obeys: few rows, odd columns, hostile values, seeds, weights, files; run them on your own.

A task that obeys them can be trusted with tables nobody has looked at. scikit-learn's own
``sklearn.utils.estimator_checks.check_estimator`` covers its contract with arrays; these laws cover the rest.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from sklearn.base import clone

from diabolo.errors import InvalidData, LawBroken
from diabolo.grids import is_grid, stacked, unstacked
from diabolo.params import Params
from diabolo.tasks import load
from diabolo.tasks.task import Task

ROWS = 80  # enough to hold some out
ROUNDING = 1e-4  # of a number, or of a nat: 32-bit sums depend on where in a block a row lies


@dataclass(frozen=True)
class Subject:
    """A task under the laws; fitted afresh to whatever a law asks for, with seed 0."""

    task: Task

    def fitted(self, rows: Any, sample_weight: Any = None, seed: int = 0, **parameters: Any) -> Task:
        """A clone, fitted to ``rows``."""
        task = clone(self.task).set_params(random_state=seed, **parameters)
        return task.fit(rows, sample_weight=sample_weight)

    @cached_property
    def usual(self) -> Task:
        """The task fitted to the usual made-up rows."""
        return self.fitted(made_up())

    def demand(self, holds: bool, law: Law, found: str) -> None:
        """Raise LawBroken unless it ``holds``."""
        if not holds:
            raise LawBroken(f"{self.task!r} breaks a law. {law.__doc__} Found: {found}.")

    def refuses(self, do: Callable[[], Any], law: Law, what: str, *told: str) -> None:
        """Demand an InvalidData that says everything in ``told``."""
        try:
            do()
        except InvalidData as error:
            missing = [each for each in told if each not in str(error)]
            self.demand(not missing, law, f"an error about {what} without {', '.join(missing)}: {error}")
        except Exception as error:
            self.demand(False, law, f"for {what} a {type(error).__name__} that is not diabolo's: {error}")
        else:
            self.demand(False, law, f"no error for {what}")

    @contextmanager
    def accepting(self, law: Law, what: str) -> Iterator[None]:
        """Demand that what is done inside raises nothing."""
        try:
            yield
        except LawBroken:
            raise
        except Exception as error:
            raise LawBroken(
                f"{self.task!r} breaks a law. {law.__doc__} Found: {what} raised {type(error).__name__}: {error}"
            ) from error

    def same(self, first: pa.RecordBatch, second: pa.RecordBatch, law: Law, when: str, within: float = 0.0) -> None:
        """Demand equal bits in every column, or numbers ``within`` a part of their size of each other."""
        missing = set(first.schema.names) ^ set(second.schema.names)
        both = [name for name in first.schema.names if name not in missing]
        different = [*missing, *(name for name in both if not _close(first[name], second[name], within))]
        self.demand(not different, law, f"{', '.join(different)} that differs {when}")


Law = Callable[[Subject], None]


def check_task(task: Task) -> None:
    """Raise LawBroken, naming the law and the task, for the first law that ``task`` breaks.

    Fits some twenty clones to some eighty rows each: 10 seconds with most variants; give the task a short trainer to
    be faster. The global random state is left alone.

    >>> from diabolo import AnomalyDetector
    >>> check_task(AnomalyDetector("Linear"))
    """
    subject = Subject(task)
    for law in LAWS:
        law(subject)


def made_up(rows: int = ROWS, seed: int = 0) -> pa.Table:
    """A table of everything: numbers that depend on each other, a flag, a category, counts; some values are missing."""
    dice = np.random.default_rng(seed)
    flow = dice.normal(10, 2, rows)
    columns = {
        "flow": flow,
        "power": 3 * flow + dice.normal(0, 0.5, rows),
        "heat": dice.standard_t(3, rows),
        "on": dice.random(rows) < 0.7,
        "site": np.array(["north", "south", "west"])[dice.integers(3, size=rows)],
        "alarms": dice.negative_binomial(1, 0.2, rows),
    }
    gaps = np.arange(rows) % 11 == 7
    return pa.table({name: pa.array(each, mask=gaps if name == "heat" else None) for name, each in columns.items()})


def shifted(rows: int = 5 * ROWS, seed: int = 0) -> pa.Table:
    """The same table, in which flow and power are higher by some standard deviations from site to site."""
    table = made_up(rows, seed)
    place = np.array(["north", "south", "west"]).searchsorted(np.asarray(table["site"]))
    for name, step in (("flow", 8.0), ("power", 24.0)):
        table = table.set_column(table.column_names.index(name), name, pa.array(np.asarray(table[name]) + step * place))
    return table


def drawn(rows: int = ROWS, seed: int = 0) -> pa.Table:
    """Small images of two channels, made of a few shapes; some pixels are missing."""
    dice = np.random.default_rng(seed)
    shapes = dice.normal(size=(3, 2 * 6 * 5))
    pixels = (dice.normal(size=(rows, 3)) @ shapes + 0.1 * dice.normal(size=(rows, 60))).reshape(rows, 2, 6, 5)
    pixels[dice.random(pixels.shape) < 0.02] = np.nan
    return pa.Table.from_batches([unstacked(pixels, ["near", "far"])])


def told(task: Task, rows: pa.Table) -> pa.RecordBatch:
    """What the task is for, done to ``rows``."""
    return task.run(rows.combine_chunks().to_batches()[0])


def few_rows(subject: Subject) -> None:
    """Two rows can be learned from; one row, or none, is refused, and no new rows give no answers."""
    for rows in (made_up(0), made_up(1), np.empty((0, 3)), np.ones((1, 3))):
        subject.refuses(partial(subject.fitted, rows), few_rows, f"a fit of {len(rows)} row(s)", "sample")
    for count in (2, 3):
        with subject.accepting(few_rows, f"a fit of {count} rows"):
            _demand_finite(subject, subject.fitted(made_up(count)), made_up(5), few_rows)
            subject.fitted(np.arange(2.0 * count).reshape(count, 2))
    with subject.accepting(few_rows, "an empty batch"):
        nothing = subject.usual.run(pa.RecordBatch.from_pylist([], made_up().schema))
    subject.demand(nothing.num_rows == 0, few_rows, f"{nothing.num_rows} answers for no rows")


def odd_columns(subject: Subject) -> None:
    """A constant column, one without values, an id and enormous numbers spoil nothing: answers stay finite."""
    number = pa.array(np.arange(ROWS))
    odd = {
        "constant": pa.array(np.full(ROWS, 7.0)),
        "empty": pa.nulls(ROWS, pa.float64()),
        "id": pa.array([f"pump {each}" for each in range(ROWS)]),
        "enormous": pa.array(np.random.default_rng(1).normal(size=ROWS) * 1e30),
    }
    for name, column in odd.items():
        rows = made_up().append_column(name, column).append_column("number", number)
        with subject.accepting(odd_columns, f"a fit with the column {name!r}"):
            _demand_finite(subject, subject.fitted(rows), rows.slice(0, 9), odd_columns)
    with subject.accepting(odd_columns, "a fit to an array with a constant and an empty column"):
        block = np.random.default_rng(2).normal(size=(ROWS, 4))
        block[:, 1], block[:, 2] = 7.0, np.nan
        subject.fitted(block).run(pa.RecordBatch.from_arrays(list(map(pa.array, block.T)), ["x0", "x1", "x2", "x3"]))


def odd_values(subject: Subject) -> None:
    """New rows may lack any value, hold categories never seen and numbers of any size: answers stay finite."""
    new = made_up(6, seed=1).to_pylist()
    new[1]["site"] = "moon"
    new[2] = dict.fromkeys(new[2])
    new[3]["flow"], new[3]["power"] = 1e30, -1e300
    new[4]["alarms"] = 10**9
    with subject.accepting(odd_values, "such a row"):
        _demand_finite(subject, subject.usual, pa.Table.from_pylist(new, made_up().schema), odd_values)


def infinite_values(subject: Subject) -> None:
    """An infinite value is refused, in fit and later, with its row, its column and what to do."""
    flow = made_up()["flow"].to_numpy().copy()
    flow[5] = np.inf
    spoilt = made_up().set_column(0, "flow", pa.array(flow))
    block = np.random.default_rng(0).normal(size=(ROWS, 3))
    healthy = subject.fitted(block)
    block[5, 1] = -np.inf
    cases = {
        "a fit": (lambda: subject.fitted(spoilt), "'flow'"),
        "new rows": (lambda: told(subject.usual, spoilt), "'flow'"),
        "a fit to an array": (lambda: subject.fitted(block), "'x1'"),
        "a new array": (lambda: healthy.reconstruct(block), "'x1'"),
    }
    for what, (do, column) in cases.items():
        subject.refuses(do, infinite_values, f"infinity in {what}", "row 5", column, "NaN")


def columns_go_by_name(subject: Subject) -> None:
    """Columns of a table are found by name: their order does not matter, a missing one is refused by name."""
    rows = made_up(9, seed=1)
    turned = told(subject.usual, rows.select(rows.column_names[::-1]))
    subject.same(told(subject.usual, rows), turned, columns_go_by_name, "with the columns in another order")
    subject.refuses(
        lambda: told(subject.usual, rows.drop_columns(["power"])), columns_go_by_name, "a missing column", "'power'"
    )


def random_state_is_left_alone(subject: Subject) -> None:
    """The random states of Python, numpy and torch are the same after a fit and after its use."""
    before = _random_states()
    told(subject.fitted(made_up()), made_up(9))
    moved = [name for name, state in _random_states().items() if state != before[name]]
    subject.demand(not moved, random_state_is_left_alone, f"a changed state of {', '.join(moved)}")


def rows_are_left_alone(subject: Subject) -> None:
    """Nobody writes into the rows that were given."""
    block = np.random.default_rng(0).normal(size=(ROWS, 3))
    block[4, 0] = np.nan
    given = block.copy()
    task = subject.fitted(block)
    for name in ("reconstruct", "encode", "transform", "anomaly_score", "explain"):
        getattr(task, name, len)(block)
    subject.demand(np.array_equal(block, given, equal_nan=True), rows_are_left_alone, "another value")


def seeds_decide(subject: Subject) -> None:
    """The same random_state gives the same bits, another one does not."""
    rows = made_up(40, seed=1)
    subject.same(told(subject.usual, rows), told(subject.fitted(made_up()), rows), seeds_decide, "from fit to fit")
    other = told(subject.fitted(made_up(), seed=1), rows)
    subject.demand(other != told(subject.usual, rows), seeds_decide, "equal answers under another random_state")


def order_of_rows(subject: Subject) -> None:
    """Nothing depends on the order of the rows that are learned from, rounding apart."""
    rows = made_up()
    mixed = rows.take(np.random.default_rng(3).permutation(ROWS))
    again = told(subject.fitted(mixed), rows)
    subject.same(told(subject.usual, rows), again, order_of_rows, "after a shuffled fit", within=ROUNDING)


def rows_stand_alone(subject: Subject) -> None:
    """What is said of a row does not depend on those beside it: alone, in parts, all together (rounding apart)."""
    rows = made_up(37, seed=1)
    together = told(subject.usual, rows)
    for size in (1, 5, 16):
        starts = range(1) if subject.task.draws else range(0, len(rows), size)  # a new row goes by its number
        parts = [told(subject.usual, rows.slice(start, size)) for start in starts]
        again = pa.Table.from_batches(parts).combine_chunks().to_batches()[0]
        subject.same(together.slice(0, len(again)), again, rows_stand_alone, f"in parts of {size}", within=ROUNDING)


def files_keep_everything(subject: Subject) -> None:
    """A task that was saved and loaded says the same, bit by bit, and is saved as the same file."""
    rows = made_up(37, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder, "first.diabolo"), Path(folder, "second.diabolo")
        subject.usual.save(first)
        loaded = load(first, custom=_classes(subject.task))
        loaded.save(second)
        subject.demand(first.read_bytes() == second.read_bytes(), files_keep_everything, "another file")
    subject.same(told(subject.usual, rows), told(loaded, rows), files_keep_everything, "once loaded")
    subject.demand(loaded.card() == subject.usual.card(), files_keep_everything, "another card")


def copies_are_equal(subject: Subject) -> None:
    """A clone has the parameters and nothing learned; a deep copy has both."""
    copied = clone(subject.usual)
    learned = [name for name in vars(copied) if name.endswith("_")]
    subject.demand(not learned, copies_are_equal, f"a clone that knows {', '.join(learned)}")
    subject.demand(repr(copied) == repr(subject.usual), copies_are_equal, "a clone with other parameters")
    rows = made_up(9)
    subject.same(told(subject.usual, rows), told(deepcopy(subject.usual), rows), copies_are_equal, "in a deep copy")


def weights_count_rows(subject: Subject) -> None:
    """A row of weight 0 is as if it were not there, one of weight 2 as if it were there twice."""
    weight = np.arange(ROWS) % 3
    rows = made_up()
    repeated = subject.fitted(rows.take(np.repeat(np.arange(ROWS), weight)))
    weighted = subject.fitted(rows, sample_weight=weight)
    subject.same(told(repeated, rows), told(weighted, rows), weights_count_rows, "between weights and repeated rows")
    half = told(subject.fitted(rows, sample_weight=1 + weight / 2), rows)
    subject.demand(half != told(subject.usual, rows), weights_count_rows, "broken weights that change nothing")


def contributions_add_up(subject: Subject) -> None:
    """What ``explain`` says of the columns of a row adds up to its score, to 1e-9 of it."""
    if not hasattr(subject.task, "explain"):
        return
    rows = made_up(37, seed=1)
    parts, score = subject.usual.explain(rows), subject.usual.anomaly_score(rows)
    gap = np.abs(parts.sum(1) - score).max()
    subject.demand(bool(gap <= 1e-9 * np.abs(score).max()), contributions_add_up, f"a gap of {gap:.3g} nats")


def further_rows(subject: Subject) -> None:
    """``partial_fit`` begins as ``fit`` does, goes on with any number of rows, and refuses other columns."""
    if not hasattr(subject.task, "partial_fit"):
        return
    begun = clone(subject.task).set_params(random_state=0).partial_fit(made_up())
    rows = made_up(9, seed=1)
    subject.same(told(subject.usual, rows), told(begun, rows), further_rows, "between fit and the first partial_fit")
    with subject.accepting(further_rows, "a partial_fit of one row, then of many"):
        begun.partial_fit(made_up(1, seed=2)).partial_fit(made_up(50, seed=3))
    subject.demand(told(begun, rows) != told(subject.usual, rows), further_rows, "nothing learned from further rows")
    other = rows.drop_columns(["power"])
    subject.refuses(lambda: begun.partial_fit(other), further_rows, "a missing column", "power")


def conditions(subject: Subject) -> None:
    """A given column is told: rows cost less where it says the truth, and it comes back as it was and is not blamed."""
    with subject.accepting(conditions, "a fit with a given column"):
        task = subject.fitted(shifted(), given=("site",))
    rows = shifted(37, seed=1)
    sites = rows["site"].combine_chunks()
    lie = {"north": "west", "south": "north", "west": "south"}
    other = rows.set_column(4, "site", pa.array([lie[each] for each in sites.to_pylist()]))
    gain = float((task.costs(other) - task.costs(rows)).mean())
    subject.demand(gain > 0, conditions, f"{gain:.3g} nats more per row where it says another thing")
    said = told(task, rows)
    subject.demand(task.draws or said["site"] == sites, conditions, "another value of it")
    subject.same(said.slice(0, 1), told(task, rows.slice(0, 1)), conditions, "for a row alone", within=ROUNDING)
    if hasattr(task, "explain"):
        blamed = task.explain(rows)[:, task.explained_names_.index("site")]
        subject.demand(not blamed.any(), conditions, f"{np.abs(blamed).max():.3g} nats of it in a score")
    _demand_finite(subject, task, rows, conditions)


def grids(subject: Subject) -> None:
    """Images are rows too: answers are finite, the same for a row alone and once loaded, and parts add up."""
    rows = drawn()
    with subject.accepting(grids, "a fit to images"):
        task = subject.fitted(rows)
    said = told(task, rows.slice(0, 37))
    _demand_finite(subject, task, rows.slice(0, 37), grids)
    subject.same(said.slice(0, 1), told(task, rows.slice(0, 1)), grids, "for an image alone", within=ROUNDING)
    with tempfile.TemporaryDirectory() as folder:
        task.save(Path(folder, "model"))
        loaded = load(Path(folder, "model"), custom=_classes(subject.task))
    subject.same(said, told(loaded, rows.slice(0, 37)), grids, "once loaded")
    if hasattr(task, "explain"):
        gap = np.abs(task.explain(rows).reshape(len(rows), -1).sum(1) - task.anomaly_score(rows)).max()
        subject.demand(bool(gap <= 1e-6), grids, f"contributions that miss the score by {gap:.3g} nats")


LAWS: tuple[Law, ...] = (
    few_rows,
    odd_columns,
    odd_values,
    infinite_values,
    columns_go_by_name,
    random_state_is_left_alone,
    rows_are_left_alone,
    seeds_decide,
    order_of_rows,
    rows_stand_alone,
    files_keep_everything,
    copies_are_equal,
    weights_count_rows,
    contributions_add_up,
    further_rows,
    conditions,
    grids,
)


def _demand_finite(subject: Subject, task: Task, rows: pa.Table, law: Law) -> None:
    """That every number told is finite, apart from values that were missing when they were given."""
    for name, column in zip((said := told(task, rows)).schema.names, said.columns, strict=True):
        if is_grid(column.type):
            strange = ~np.isfinite(_cells(column)) & ~np.isnan(_cells(rows[name].combine_chunks()))
            subject.demand(not strange.any(), law, f"{name} that is not finite")
        if pa.types.is_floating(column.type):
            missing = np.isin(name, rows.column_names) & rows[name].is_null() if name in rows.column_names else False
            strange = ~np.isfinite(column.to_numpy(zero_copy_only=False)) & ~np.asarray(missing)
            subject.demand(not strange.any(), law, f"{name} that is not finite in row {int(strange.argmax())}")


def _close(first: pa.Array, second: pa.Array, within: float) -> bool:
    if is_grid(first.type):
        return np.allclose(_cells(first), _cells(second), within, within, equal_nan=True)
    if not (within and pa.types.is_floating(first.type)):
        return bool(first == second)
    one, other = (each.to_numpy(zero_copy_only=False) for each in (first, second))
    return np.allclose(one, other, within, within, equal_nan=True)


def _cells(column: pa.Array) -> np.ndarray:
    return stacked(pa.RecordBatch.from_arrays([column], ["grid"]), ["grid"], tuple(column.type.shape))


def _random_states() -> dict[str, Any]:
    return {
        "Python": random.getstate(),
        "numpy": tuple(np.asarray(each).tobytes() for each in np.random.get_state()),
        "torch": torch.random.get_rng_state().numpy().tobytes(),
    }


def _classes(task: Task) -> Sequence[type[Params]]:
    """The task's class and those of its parameters, which may not be of the house."""
    return [type(task), *(type(each) for each in task.get_params(deep=False).values() if isinstance(each, Params))]
