"""Each law for tasks is seen to fail on a task with the mistake it is there for; those for variants: test_mutants."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from diabolo.checks import check_task, tasks
from diabolo.checks.tasks import LAWS, Law, Subject, made_up
from diabolo.errors import InvalidData, LawBroken
from diabolo.networks import Given
from diabolo.preparation import Preparation
from diabolo.randomness import mix
from diabolo.tasks import AnomalyDetector, Imputer
from diabolo.tasks.task import Task
from diabolo.tasks.weights import shuffled


class Careless(AnomalyDetector):
    """A detector in which a test breaks one thing; linear, so that it is quick."""

    variant: Any = "Linear"


def broken(law: Law, task: Task) -> str:
    with pytest.raises(LawBroken) as caught:
        law(Subject(task))
    assert str(law.__doc__) in str(caught.value) and type(task).__name__ in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_same_detector_without_a_mistake_breaks_none(law: Law) -> None:
    law(Subject(Careless()))


def test_one_row_that_is_learned_from() -> None:
    class Mutant(Careless):
        def _rows(self, X: Any, *, first: bool) -> Any:
            return super()._rows(X, first=first and len(X) != 1)

    assert "no error for a fit of 1 row(s)" in broken(tasks.few_rows, Mutant())


def test_two_rows_that_are_too_few() -> None:
    class Mutant(Careless):
        def _split(self, rows: Any, weight: Any) -> Any:
            parts = super()._split(rows, weight)
            if parts[0].rows < 4:
                raise InvalidData("Give more rows.")
            return parts

    assert "a fit of 2 rows raised InvalidData" in broken(tasks.few_rows, Mutant())


def test_no_rows_that_are_answered() -> None:
    class Mutant(Careless):
        def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
            return super().run(batch if batch.num_rows else tasks.made_up(1).to_batches()[0])

    assert "1 answers for no rows" in broken(tasks.few_rows, Mutant())


def test_scores_that_are_not_finite() -> None:
    class Enormous(Careless):
        def _verdict(self, x: Tensor) -> Tensor:
            return torch.where(x.abs().nan_to_num().amax(1) > 1e5, torch.nan, super()._verdict(x))

    class Empty(Careless):
        def _verdict(self, x: Tensor) -> Tensor:
            return super()._verdict(x) * (x.shape[1] != 8 or torch.inf)

    assert "raised InvalidData" in broken(tasks.odd_values, Enormous())  # a threshold takes no NaN
    assert "anomaly_score that is not finite" in broken(tasks.odd_columns, Empty())


@pytest.mark.parametrize(
    "change, found",
    [
        (lambda error: InvalidData("Infinity was given."), "without row 5, 'flow', NaN"),
        (lambda error: ValueError("infinity"), "a ValueError that is not diabolo's"),
        (lambda error: None, "no error for infinity in a fit"),
    ],
)
def test_infinity_that_is_not_refused_well(
    change: Callable[[Exception], Exception | None], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(self: Preparation, rows: Any) -> Preparation:
        try:
            return whole(self, rows)
        except InvalidData as error:
            if (other := change(error)) is not None:
                raise other from None
            return whole(self, made_up())

    whole = Preparation.fit
    monkeypatch.setattr(Preparation, "fit", fit)
    monkeypatch.setattr(Preparation, "transform", lambda self, rows: torch.zeros(len(rows), len(self.schema_.columns)))
    assert found in broken(tasks.infinite_values, Careless())


def test_columns_taken_by_place() -> None:
    class Mutant(Careless):
        def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
            names = [column for column in self.preparation_.schema_.sources if column in batch.schema.names]
            numeric = [each for each in batch.columns if pa.types.is_floating(each.type)]
            flow = numeric[0]
            return super().run(batch.set_column(batch.schema.names.index("flow"), "flow", flow) if names else batch)

    assert "the columns in another order" in broken(tasks.columns_go_by_name, Mutant())


@pytest.mark.parametrize(
    "draw, name", [(random.random, "Python"), (np.random.rand, "numpy"), (lambda: torch.rand(1), "torch")]
)
def test_global_random_state_that_moves(draw: Callable[[], Any], name: str) -> None:
    class Mutant(Careless):
        def _calibrate(self, train: Any, held_out: Any) -> None:
            draw()
            super()._calibrate(train, held_out)

    assert f"a changed state of {name}" in broken(tasks.random_state_is_left_alone, Mutant())


def test_rows_that_are_written_into() -> None:
    class Mutant(Careless):
        def rows(self, X: Any) -> Any:
            rows = super().rows(X)
            np.nan_to_num(rows, copy=False)
            return rows

    assert "another value" in broken(tasks.rows_are_left_alone, Mutant())


@pytest.mark.parametrize(
    "seed, found",
    [(lambda: int(np.random.SeedSequence().generate_state(1)[0]), "from fit to fit"), (lambda: 7, "equal answers")],
)
def test_seed_that_does_not_decide(seed: Callable[[], int], found: str) -> None:
    class Mutant(Careless):
        def _seed(self) -> int:
            return seed()

    assert found in broken(tasks.seeds_decide, Mutant())


def test_rows_whose_order_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_they_came(x: Tensor, weight: Tensor | None, seed: int) -> Any:
        rows = shuffled(x, weight, seed)
        return rows[rows.numbers.argsort()]

    monkeypatch.setattr("diabolo.tasks.task.shuffled", as_they_came)
    assert "after a shuffled fit" in broken(tasks.order_of_rows, Careless())


def test_rows_scored_by_those_beside_them() -> None:
    class Mutant(Careless):
        def _verdict(self, x: Tensor) -> Tensor:
            scores = super()._verdict(x)
            return scores - 0.01 * scores.mean()

    assert "in parts of 1" in broken(tasks.rows_stand_alone, Mutant())


def test_file_that_forgets() -> None:
    class Inexact(Careless):
        def _restore(self, state: Any) -> None:
            super()._restore(state)
            self.threshold_.cut_ = np.nextafter(self.threshold_.cut_, 9.0)

    class Rounding(Careless):
        def _restore(self, state: Any) -> None:
            super()._restore(state)
            self.evidence_["surprise"].nats_ *= 1 + 1e-12
            self.evidence_["surprise"]._base *= 1 + 1e-12

    assert "another file" in broken(tasks.files_keep_everything, Inexact())
    assert "another file" in broken(tasks.files_keep_everything, Rounding())


def test_clone_that_knows() -> None:
    class Mutant(Careless):
        def __sklearn_clone__(self) -> Any:
            copied = super().__sklearn_clone__()
            if hasattr(self, "seed_"):
                copied.seed_ = self.seed_
            return copied

    class Drifting(Careless):
        def _calibrate(self, train: Any, held_out: Any) -> None:
            super()._calibrate(train, held_out)
            self.validation = 0.3

        def __sklearn_clone__(self) -> Any:
            return Drifting(random_state=self.random_state)

    assert "a clone that knows seed_" in broken(tasks.copies_are_equal, Mutant())
    assert "other parameters" in broken(tasks.copies_are_equal, Drifting())


def test_weights_that_are_not_counts() -> None:
    class Ignoring(Careless):
        def _split(self, rows: Any, weight: Any) -> Any:
            return super()._split(rows, None)

    class Whole(Careless):
        def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
            whole = sample_weight is not None and not np.any(np.mod(sample_weight, 1))
            return super().fit(X, y, sample_weight if whole else None)

    assert "between weights and repeated rows" in broken(tasks.weights_count_rows, Ignoring())
    assert "weights that change nothing" in broken(tasks.weights_count_rows, Whole())


def test_contributions_that_do_not_add_up() -> None:
    class Mutant(Careless):
        def explain(self, X: Any) -> np.ndarray:
            return super().explain(X) * (1 + 1e-8)

    assert "a gap of" in broken(tasks.contributions_add_up, Mutant())
    tasks.contributions_add_up(Subject(Imputer("Linear")))  # an imputer explains nothing


def test_partial_fit_with_a_mistake() -> None:
    class Different(Careless):
        def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
            self.random_state = mix(0, len(X))
            return super().partial_fit(X, y, sample_weight)

    class Ignoring(Careless):
        def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
            return self if hasattr(self, "seed_") else self.fit(X, y, sample_weight)

    class Choosy(Careless):
        def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
            if len(X) == 1:
                raise InvalidData("Give more rows.")
            return super().partial_fit(X, y, sample_weight)

    assert "the first partial_fit" in broken(tasks.further_rows, Different())
    assert "nothing learned" in broken(tasks.further_rows, Ignoring())
    assert "a partial_fit of one row" in broken(tasks.further_rows, Choosy())


def test_given_columns_that_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Blaming(Careless):
        def explain(self, X: Any) -> np.ndarray:
            return super().explain(X) + 1

    class Changing(Careless):
        def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
            return super().run(batch.set_column(4, "site", pa.array(["north"] * len(batch))))

    read = Given.forward
    assert "1 nats of it in a score" in broken(tasks.conditions, Blaming())
    assert "another value of it" in broken(tasks.conditions, Changing())
    monkeypatch.setattr(Given, "forward", lambda self, x: (read(self, x)[0], 0 * read(self, x)[1]))
    assert "0 nats more per row where it says another thing" in broken(tasks.conditions, Careless())


def test_check_task_runs_every_law_and_names_the_task() -> None:
    class Loud(Careless):
        def explain(self, X: Any) -> np.ndarray:
            return super().explain(X) + 1

    with pytest.raises(LawBroken, match=r"Loud.*breaks a law\. What ``explain`` says"):
        check_task(Loud())


def test_checking_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    check_task(Careless())
    assert torch.equal(torch.rand(1), expected)
