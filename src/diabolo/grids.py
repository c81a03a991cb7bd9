"""Grids: images and series in a table. A channel is a column, and each of its values is an array of one shape.

::

    (n, channels, *grid)  <--stacked / unstacked-->  n rows of one column per channel, each (*grid)

The type of such a column is Arrow's own ``fixed_shape_tensor``, which Parquet and Arrow files keep.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from diabolo.errors import InvalidData, SchemaMismatch
from diabolo.schema import Schema


def is_grid(kind: pa.DataType) -> bool:
    """Whether values of this type are grids of numbers."""
    return isinstance(kind, pa.FixedShapeTensorType)


def channels(schema: pa.Schema) -> list[str]:
    """The columns that hold grids. Raises InvalidData if they are not all of one shape.

    >>> channels(pa.schema([("file", pa.string()), ("grey", pa.fixed_shape_tensor(pa.uint8(), (8, 8)))]))
    ['grey']
    """
    found = {field.name: tuple(field.type.shape) for field in schema if is_grid(field.type)}
    for name, shape in found.items():
        if len(shape) > 2 or schema.field(name).type.permutation not in (None, list(range(len(shape)))):
            raise InvalidData(
                f"Column {name!r} holds arrays of {len(shape)} axes, {shape}, or of axes in another order. A channel "
                "is a column of its own, of arrays (time,) or (height, width)."
            )
    if len(set(found.values())) > 1:
        told = ", ".join(f"{name!r} {shape}" for name, shape in found.items())
        raise InvalidData(f"The channels of a row have different shapes: {told}. Bring them to one shape.")
    return list(found)


def cells(schema: pa.Schema) -> int:
    """How many values a row holds."""
    return sum(math.prod(field.type.shape) if is_grid(field.type) else 1 for field in schema)


def stacked(rows: pa.Table | pa.RecordBatch, names: Sequence[str], grid: tuple[int, ...]) -> np.ndarray:
    """The channels ``names`` of all rows, shape (n, channels, *grid); a null becomes NaN in all its cells.

    Raises SchemaMismatch for a column that is not of that shape.
    """
    return np.stack([_channel(rows[name], name, grid) for name in names], 1)


def pixels(rows: np.ndarray | pa.Table, schema: Schema) -> np.ndarray:
    """The channels that the model reads, in the user's units, (n, channels, *grid)."""
    names = [column.source for column in schema.columns]
    if isinstance(rows, np.ndarray):
        return rows[:, [schema.sources.index(name) for name in names]].astype(np.float64)
    return stacked(rows, names, schema.grid).astype(np.float64)


def _channel(column: pa.Array | pa.ChunkedArray, name: str, grid: tuple[int, ...]) -> np.ndarray:
    if pa.types.is_null(column.type):
        return np.full((len(column), *grid), np.nan)
    if not is_grid(column.type) or tuple(column.type.shape) != grid:
        told = f"values of shape {tuple(column.type.shape)}" if is_grid(column.type) else f"{column.type}"
        raise SchemaMismatch(f"Column {name!r} holds {told}; the fit had arrays of shape {grid} there.")
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return np.concatenate([_numbers(chunk) for chunk in chunks] or [np.empty((0, *grid))])


def _numbers(chunk: pa.Array) -> np.ndarray:
    there = chunk.is_valid().to_numpy(zero_copy_only=False)
    flat = chunk.drop_null().storage.flatten()
    if flat.null_count or pa.types.is_boolean(flat.type):
        flat = flat.cast(pa.float64())
    values: np.ndarray = flat.to_numpy(zero_copy_only=False).reshape(int(there.sum()), *chunk.type.shape)
    if there.all() and len(there):
        return values
    out = np.full((len(chunk), *values.shape[1:]), np.nan)
    out[there] = values
    return out


def grid_column(values: np.ndarray, kind: pa.DataType | None = None) -> pa.Array:
    """Grids (n, *grid) as a column; of the type ``kind``, whole numbers rounded and kept within its range.

    Where a whole number is to be missing, a grid without any value is null, and another one is of fractions.

    >>> grid_column(np.array([[[0.4, 300.0]]]), pa.fixed_shape_tensor(pa.uint8(), (1, 2))).to_numpy_ndarray().tolist()
    [[[0, 255]]]
    """
    empty = np.zeros(len(values), bool)
    if kind is not None:
        dtype, missing = np.dtype(kind.value_type.to_pandas_dtype()), np.isnan(values).reshape(len(values), -1)
        if dtype.kind in "iu" and missing.any():
            empty = missing.all(1)
            dtype = dtype if (missing.any(1) == empty).all() else values.dtype
            values = np.where(empty.reshape(-1, *[1] * (values.ndim - 1)), 0, values) if dtype.kind in "iu" else values
        values = of_dtype(values, dtype)
    kind = pa.fixed_shape_tensor(pa.from_numpy_dtype(values.dtype), values.shape[1:])
    size = math.prod(values.shape[1:])
    cells = pa.array(np.ascontiguousarray(values).reshape(-1))
    flat = pa.FixedSizeListArray.from_arrays(cells, size, mask=pa.array(empty) if empty.any() else None)
    return pa.ExtensionArray.from_storage(kind, flat)


def of_dtype(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Numbers of that type; whole ones rounded and kept within its range, since -1 is no 255.

    >>> of_dtype(np.array([-1.0, 2.6, 300.0]), np.dtype("uint8")).tolist()
    [0, 3, 255]
    """
    if dtype.kind in "iu":
        values = np.clip(np.rint(values), np.iinfo(dtype).min, np.iinfo(dtype).max)
    return values.astype(dtype)


def unstacked(values: np.ndarray, names: Iterable[str]) -> pa.RecordBatch:
    """Rows (n, channels, *grid) as a batch of one column per channel."""
    return pa.RecordBatch.from_arrays([grid_column(each) for each in np.moveaxis(values, 1, 0)], list(names))
