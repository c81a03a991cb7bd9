"""The model card of a fitted task: where the model comes from, how it did and what was found, as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from diabolo.autoencoder import Autoencoder
from diabolo.batches import Batches
from diabolo.diagnosis import Finding
from diabolo.dictionary import fidelity
from diabolo.errors import InvalidData

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
        **({"sparsity": task.sparsity_} if task.sparsity_ else {}),
        "findings": Finding.entry_of(task.findings_),
        "seed": task.seed_,
        "fitted": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": dict(versions()),
    }


def sparsity(autoencoder: Autoencoder, rows: Batches, used: int) -> dict[str, float]:
    """Numbers in all, numbers that one of the ``rows`` uses on average (L0), share of the variance explained, share of
    the numbers that none of them uses; nothing where all rows use the same numbers, or codes are tokens.
    """
    if not isinstance(autoencoder, Autoencoder):
        return {}
    code = autoencoder.encode(next(rows.ordered(1)).x)
    if code.tokens is not None or used >= code.z[0].numel():
        return {}
    try:
        l0, explained, dead = fidelity(autoencoder, rows)
    except InvalidData:  # rows that are all alike have no variance to explain
        return {}
    if l0 > (1 - dead) * code.z[0].numel() - 1e-6:
        return {}
    return {"numbers": code.z[0].numel(), "l0": l0, "explained variance": explained, "dead": dead, "rows": rows.rows}


@cache
def versions() -> dict[str, str]:
    """What the model was made with; to look it up takes as long as to learn from some hundred rows."""
    return {name: version(name) for name in ("diabolo", "torch", "numpy", "scikit-learn", "pyarrow")}
