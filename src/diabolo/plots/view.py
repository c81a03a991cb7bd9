"""How the rows of a task are drawn: as images where they have a height and a width, else as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from diabolo.batches import in_blocks
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.grids import stacked
from diabolo.readers import taken
from diabolo.schema import Schema
from diabolo.tasks.codes import guesses, outputs

if TYPE_CHECKING:
    from jaxtyping import Float

    from diabolo.tasks.task import Task


LETTERS = 16  # of a name below a line


class View:
    """Some rows of a fitted task, prepared, and what the task makes of them; ``images`` says which of both they are.

    An image is (height, width) or (height, width, 3), in the user's units; lines are (channels, places), in standard
    deviations, of counts of their logarithms, from -1 to 1 of categories.
    """

    def __init__(self, task: Task, X: Any, shape: Sequence[int] | None = None) -> None:
        rows = task.rows(X)  # first, since it says so where there was no fit
        self.task, self.schema = task, task.preparation_.schema_
        self.rows = _own(rows, self.schema)
        self.x = task.preparation_.transform(self.rows)
        self.shape = _checked(shape, self.rows, self.schema.grid)
        if not len(self.x):
            raise InvalidData("There are no rows to draw.")

    @property
    def images(self) -> bool:
        return self.shape is not None

    @property
    def names(self) -> list[str]:
        """The names of what lies along a line, cut to a few letters: columns, or nothing where they are times."""
        return [] if self.schema.grid else [_cut(column.name) for column in self.schema.columns]

    def codes(self) -> Float[np.ndarray, "n latent"]:
        """The code of every row. Raises InvalidParameter where it is tokens, or one of several."""
        if self.task.autoencoder_.encode(self.x[:1]).tokens is not None:
            raise InvalidParameter(
                "This code is made of tokens, between which there is nothing. Draw its usage or its reconstructions."
            )
        z = in_blocks(self.x, lambda block: self.task.autoencoder_.encode(block).z.flatten(1))
        outputs(self.task.autoencoder_, z[:1], self.x[:1])  # says so where there is no one code
        return z.numpy()

    def decoded(self, z: np.ndarray, row: int) -> np.ndarray:
        """What codes (n, latent) stand for, to be drawn; given columns and those set aside are those of ``row``."""
        like = self.x[row].expand(len(z), *self.x.shape[1:])
        x = guesses(self.task.autoencoder_, torch.as_tensor(z, dtype=torch.float32), like)
        return self.drawn(x, np.full(len(x), row))

    def restored(self) -> Tensor:
        """What the task makes of the rows, prepared."""
        return in_blocks(self.x, self.task.autoencoder_.best)

    def errors(self) -> Tensor:
        """The error of every value of the rows, in nats."""
        return in_blocks(self.x, lambda block: self.task.autoencoder_(block).errors)

    def drawn(self, x: Tensor, rows: np.ndarray) -> np.ndarray:
        """Prepared rows as images (n, height, width, ...) or lines (n, channels, places), each like one of the rows."""
        if self.shape is None:
            return self._lines(x)
        return self._images(self.task.preparation_.inverse_transform(x, like=taken(self.rows, rows)))

    def given(self, rows: np.ndarray) -> np.ndarray:
        """Some of the rows themselves, to be drawn."""
        if self.shape is None:
            return self._lines(self.x[torch.as_tensor(rows)])
        return self._images(taken(self.rows, rows))

    def spread(self, values: Tensor) -> np.ndarray:
        """One number per value of a row as an image, (n, height, width); 0 in columns that were set aside."""
        whole = np.zeros((len(values), len(self.schema.sources), *self.schema.grid))
        places = {name: place for place, name in enumerate(self.schema.sources)}
        for each, col in zip(values.double().numpy().swapaxes(0, 1), self.schema.columns, strict=True):
            whole[:, places[col.source]] += each
        images = self._images(whole)
        return images if images.ndim == 3 else images.sum(3)

    def _images(self, rows: Any) -> np.ndarray:
        numbers = rows if isinstance(rows, np.ndarray) else _numbers(rows)
        shaped = numbers.reshape(len(numbers), *self.shape).astype(np.float64)  # type: ignore[misc]
        if shaped.ndim == 3:
            return shaped
        return np.moveaxis(shaped, 1, -1) if shaped.shape[1] in (3, 4) else shaped.mean(1)

    def _lines(self, x: Tensor) -> np.ndarray:
        lines = x.double().numpy().copy()
        for place, column in enumerate(self.schema.columns):
            if column.kind == "count":
                lines[:, place] = (np.log1p(lines[:, place].clip(0)) - column.center) / column.scale
            elif column.kind != "number":
                lines[:, place] = 2 * lines[:, place] / max(1, len(column.categories) - 1) - 1
        return lines if self.schema.grid else lines[:, None]


def _checked(shape: Sequence[int] | None, rows: Any, grid: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of an image, channels first where there are any; None for lines."""
    columns = rows.shape[1] if isinstance(rows, np.ndarray) else rows.num_columns
    if shape is None:
        return (columns, *grid) if len(grid) == 2 else None
    if len(shape) not in (2, 3) or np.prod(shape) != columns or grid:
        raise InvalidParameter(
            f"shape is (height, width) or (channels, height, width) of images whose values are the {columns} columns "
            f"of a table. Got {tuple(shape)}."
        )
    return tuple(shape)


def _own(rows: Any, schema: Schema) -> Any:
    """The columns of the fit in their order, an array where rows lie on a grid; a table may hold others."""
    if isinstance(rows, np.ndarray):
        return rows
    if schema.grid:
        return stacked(rows, schema.sources, schema.grid)
    return rows.select([name for name in schema.sources if name in rows.column_names])


def _numbers(rows: pa.Table) -> np.ndarray:
    try:
        return np.column_stack([each.cast(pa.float64()).to_numpy() for each in rows.columns])
    except pa.ArrowInvalid as error:
        raise InvalidData(f"An image is made of numbers: {error}. Leave out shape.") from None


def _cut(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"
