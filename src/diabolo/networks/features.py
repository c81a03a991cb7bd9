"""Features: from rows with holes to the numbers that a network sees, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from diabolo.schema import Schema

if TYPE_CHECKING:
    from jaxtyping import Float, Int

KINDS = ("number", "boolean", "count", "category")
INFINITE = float("inf")


class Features(nn.Module):
    r"""The numbers a network sees of each row, in the order of the columns.

    ::

        number    x                                    1 feature
        boolean   2 x - 1                              1 feature
        count     (log(1 + x) - center) / scale        1 feature
        category  one-hot                              1 feature per category

    A missing value gives 0 in each of its features (the middle of a number, no category at all). With ``flags`` one
    more feature per column follows at the end: 1 where the value is missing, 0 elsewhere. Features beyond ``reach``
    are seen as being there: a network is not asked about what it was never shown, so that one extreme value does not
    make it wrong about all the others.

    Shapes: x (n, columns, \*grid) to (n, width, \*grid).

    >>> from diabolo.schema import numbers
    >>> Features(numbers(2), flags=True)(torch.tensor([[0.5, float("nan")]]))
    tensor([[0.5000, 0.0000, 0.0000, 1.0000]])
    """

    owner: Tensor
    center: Tensor
    scale: Tensor
    levels: Tensor
    repeats: Tensor
    order: Tensor
    back: Tensor

    def __init__(self, schema: Schema, *, flags: bool = False, reach: float = INFINITE) -> None:
        super().__init__()
        self.flags = flags
        self.reach = reach
        self.columns = len(schema.columns)
        self.values_width = sum(column.width for column in schema.columns)
        self.width = self.values_width + flags * self.columns
        kinds = [column.kind for column in schema.columns]
        self.plain = all(kind == "number" for kind in kinds)
        owner = [place for place, column in enumerate(schema.columns) for _ in range(column.width)]
        self.register_buffer("owner", torch.tensor(owner, dtype=torch.long), persistent=False)
        if not self.plain:
            self._learn_kinds(schema, kinds)

    def forward(self, x: Float[Tensor, "n columns *grid"]) -> Float[Tensor, "n width *grid"]:
        """The features of each row."""
        filled = self.filled(x)
        return torch.cat((filled, missing(x)), 1) if self.flags else filled

    def filled(self, x: Float[Tensor, "n columns *grid"]) -> Float[Tensor, "n values *grid"]:
        """The features without flags; ``owner`` names the column of each."""
        filled = x.nan_to_num(0.0, INFINITE, -INFINITE) if self.plain else self._of_kinds(x)
        return filled if self.reach == INFINITE else filled.clamp(-self.reach, self.reach)

    def owners(self, cells: int) -> Int[Tensor, "features"]:
        """``owner`` of the features without flags where a grid of so many ``cells`` is laid out in one line."""
        return (self.owner.unsqueeze(1) * cells + torch.arange(cells, device=self.owner.device)).flatten()

    def values(self, features: Float[Tensor, "n width *grid"]) -> Float[Tensor, "n values *grid"]:
        """The values that features stand for: the inverse, with the weight of each category in place of one index."""
        features = features[:, : self.values_width]
        if self.plain:
            return features
        number, boolean, count, category = features.index_select(1, self.order).split(self.split, 1)
        logs = count * _on_grid(self.scale, count) + _on_grid(self.center, count)
        parts = (number, (boolean + 1) / 2, torch.expm1(logs), category)
        return torch.cat(parts, 1).index_select(1, self.back)

    def _learn_kinds(self, schema: Schema, kinds: Sequence[str]) -> None:
        """Where the columns of each kind are: rows are cut by kind, transformed, and put back in order."""
        for kind in KINDS:
            places = torch.tensor([i for i, each in enumerate(kinds) if each == kind], dtype=torch.long)
            self.register_buffer(f"{kind}_columns", places, persistent=False)
        counts = [column for column in schema.columns if column.kind == "count"]
        self.register_buffer("center", torch.tensor([column.center for column in counts]), persistent=False)
        self.register_buffer("scale", torch.tensor([column.scale for column in counts]), persistent=False)
        widths = [column.width for column in schema.columns if column.kind == "category"]
        categories = [i for i, kind in enumerate(kinds) if kind == "category"]
        repeats = torch.tensor(categories, dtype=torch.long).repeat_interleave(
            torch.tensor(widths, dtype=torch.long), output_size=sum(widths)
        )
        self.register_buffer("repeats", repeats, persistent=False)
        levels = [float(level) for width in widths for level in range(width)]
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self._learn_order(schema)

    def _learn_order(self, schema: Schema) -> None:
        owner = [column.kind for column in schema.columns for _ in range(column.width)]
        by_kind = [[i for i, each in enumerate(owner) if each == kind] for kind in KINDS]
        self.split = [len(places) for places in by_kind]
        order = torch.tensor([i for places in by_kind for i in places], dtype=torch.long)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("back", order.argsort(), persistent=False)

    def _of_kinds(self, x: Tensor) -> Tensor:
        number, boolean, count = (x.index_select(1, self.get_buffer(f"{kind}_columns")) for kind in KINDS[:3])
        logs = (torch.log1p(count) - _on_grid(self.center, x)) / _on_grid(self.scale, x)
        real = torch.cat((number, 2 * boolean - 1, logs), 1).nan_to_num(0.0, INFINITE, -INFINITE)
        one_hot = (x.index_select(1, self.repeats) == _on_grid(self.levels, x)).to(x.dtype)
        return torch.cat((real, one_hot), 1).index_select(1, self.back)


def missing(x: Float[Tensor, "n *features"]) -> Float[Tensor, "n *features"]:
    """1 where a value is missing, 0 elsewhere; by arithmetic, which costs half as much as comparing.

    >>> missing(torch.tensor([1.0, float("nan"), float("inf")]))
    tensor([0., 1., 0.])
    """
    return (x.clamp(0, 1) * 0).nan_to_num(1.0)


def _on_grid(vector: Tensor, x: Tensor) -> Tensor:
    """``vector`` along axis 1 of ``x``, whatever the grid behind it."""
    return vector.view(-1, *[1] * (x.dim() - 2))
