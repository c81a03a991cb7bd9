"""Rows that a task is given, by the rules of scikit-learn, and its errors as ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from diabolo.errors import InvalidData, SchemaMismatch
from diabolo.readers import Source, unmasked
from diabolo.readers.source import row_bytes
from diabolo.schema import Schema

NO_NUMBER = "could not convert string to float: "


def validated(task: BaseEstimator, X: Any, first: bool, **rules: Any) -> Any:
    """``X`` by scikit-learn's rules. Raises InvalidData."""
    try:
        return validate_data(task, unmasked(X), reset=first, **rules)
    except ValueError as error:
        raise InvalidData(_in_words(str(error))) from None


def _in_words(told: str) -> str:
    """What scikit-learn says, with the fix where rows hold text."""
    if not told.startswith(NO_NUMBER):
        return told
    text = told.removeprefix(NO_NUMBER).removeprefix("np.str_(").removesuffix(")")
    return (
        f"{text:.80} is text; arrays and lists of rows hold numbers. Give text in the columns of a DataFrame or an "
        "Arrow table, such as pandas.DataFrame(X)."
    )


def at_least_two(rows: np.ndarray | pa.Table, name: str = "The table") -> np.ndarray | pa.Table:
    """The rows. Raises InvalidData where there are too few to learn from."""
    if len(rows) < 2:
        raise too_few(name, len(rows))
    return rows


def too_few(name: str, rows: int) -> InvalidData:
    """The error of rows that are too few to learn from."""
    return InvalidData(f"{name} has {rows} sample(s), that is rows; at least 2 are needed to learn from.")


def gathered(source: Source, most: int) -> pa.Table | None:
    """The whole file as a table, or None where it is larger than ``most`` bytes once decoded."""
    if (source.rows or 0) * row_bytes(source.schema) > most:
        return None
    batches, size = [], 0
    for batch in source.batches():
        size += batch.nbytes
        if size > most:
            return None
        batches.append(batch)
    return pa.Table.from_batches(batches, source.schema)


def beside(batch: pa.RecordBatch, added: Mapping[str, pa.Array], schema: Schema) -> pa.RecordBatch:
    """The batch with the columns ``added`` behind its own, in place of older ones of their names.

    Raises SchemaMismatch where that would be the place of one that was learned from.
    """
    taken = next((column.source for column in schema.columns if column.source in added), None)
    if taken is not None:
        raise SchemaMismatch(
            f"The column {taken!r}, which was learned from, has a name that `run` gives to what it finds. Rename it "
            f"or leave it out, and fit again (ignore=[{taken!r}])."
        )
    kept = {name: batch[name] for name in batch.schema.names if name not in added}
    return pa.RecordBatch.from_pydict({**kept, **added})
