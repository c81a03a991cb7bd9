"""The model card of a fitted task: where the model comes from, how it did and what was found, as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from diabolo.diagnosis import Finding

if TYPE_CHECKING:
    from diabolo.tasks.task import Task


def card(task: Task, train: int, held_out: int) -> dict[str, Any]:
    """The card of a task that has just been fitted to ``train`` rows, with ``held_out`` others."""
    schema = task.preparation_.schema_
    return {
        "task": type(task).__name__,
        "variant": repr(task._variant()),
        "data": {
            "seen": task.rows_seen_,
            "rows": train,
            "held out": held_out,
            "left out": len(task.dropped_rows_),
            "fingerprint": schema.fingerprint,
        },
        "columns": [column.name for column in schema.columns],
        "given": list(schema.told),
        "set aside": dict(schema.dropped),
        "comparison": task.comparison_,
        "findings": Finding.entry_of(task.findings_),
        "seed": task.seed_,
        "fitted": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": dict(versions()),
    }


@cache
def versions() -> dict[str, str]:
    """What the model was made with; to look it up takes as long as to learn from some hundred rows."""
    return {name: version(name) for name in ("diabolo", "torch", "numpy", "scikit-learn", "pyarrow")}
