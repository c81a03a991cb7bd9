"""Given: the columns that a model is told, apart from those that it learns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from diabolo.networks.dense import REACH
from diabolo.networks.features import Features
from diabolo.schema import Schema

if TYPE_CHECKING:
    from jaxtyping import Float


class Given(nn.Module):
    """Cuts rows into the learned columns and the numbers of the given ones, and puts rows together again.

    ``learned`` is the schema of what is left, whose conditions are ``width`` numbers: the features of the given columns
    and, where one of them was missing in fit, a flag for each.

    Shapes: x (n, columns) to (n, learned columns) and (n, width).

    >>> from diabolo.schema import Column
    >>> given = Given(Schema((Column("flow"), Column("on", "boolean", "Bernoulli", given=True), Column("heat"))))
    >>> given(torch.tensor([[0.5, 1.0, 2.0]]))
    (tensor([[0.5000, 2.0000]]), tensor([[1.]]))
    """

    told: Tensor
    rest: Tensor
    back: Tensor

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        places = [[i for i, column in enumerate(schema.columns) if column.given is told] for told in (False, True)]
        rest, told = (replace(schema, columns=tuple(schema.columns[i] for i in part)) for part in places)
        self.features = Features(told, flags=told.missing, reach=REACH)
        self.width = self.features.width
        self.learned = replace(rest, given=schema.given + self.width)
        order = torch.tensor([i for part in places for i in part], dtype=torch.long)
        self.register_buffer("rest", order[: len(places[0])], persistent=False)
        self.register_buffer("told", order[len(places[0]) :], persistent=False)
        self.register_buffer("back", order.argsort(), persistent=False)

    def forward(self, x: Float[Tensor, "n columns"]) -> tuple[Float[Tensor, "n learned"], Float[Tensor, "n width"]]:
        """The learned columns, and the given ones as numbers."""
        return x.index_select(1, self.rest), self.features(x.index_select(1, self.told))

    def whole(self, learned: Float[Tensor, "n learned"], x: Float[Tensor, "n columns"]) -> Float[Tensor, "n columns"]:
        """Rows of these learned columns, the given ones being those of ``x``."""
        return torch.cat((learned, x.index_select(1, self.told)), 1).index_select(1, self.back)
