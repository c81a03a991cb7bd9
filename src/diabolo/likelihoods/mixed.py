"""Mixed: rows whose columns are of several kinds; and the likelihood that fits a schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from diabolo.likelihoods.columnwise import Columnwise, Scale, one_of
from diabolo.likelihoods.continuous import Laplace, Normal, StudentT
from diabolo.likelihoods.discrete import Bernoulli, Categorical, NegativeBinomial
from diabolo.likelihoods.lattice import DiscretisedLogistic, LogisticMixture
from diabolo.schema import Column, Schema

if TYPE_CHECKING:
    from torch.types import _size


class Mixed(Columnwise):
    """Columns of several kinds, each under the likelihood that its schema names.

    h holds one block per likelihood, in the order of ``parts``; errors, values and draws come back in the order of the
    columns. Raises InvalidParameter for a name that is not in ``NAMED``.

    >>> from diabolo.schema import Column, Schema
    >>> mixed = Mixed(Schema((Column("a"), Column("b", "boolean", "Bernoulli"), Column("c"))))
    >>> mixed.errors(torch.zeros(1, 3), torch.zeros(1, 3)).shape
    torch.Size([1, 3])
    """

    back: Tensor

    def __init__(self, schema: Schema, scale: Scale = "learned") -> None:
        super().__init__()
        self.columns = len(schema.columns)
        names = list(dict.fromkeys(column.likelihood for column in schema.columns))
        groups = [[i for i, column in enumerate(schema.columns) if column.likelihood == name] for name in names]
        chosen = [[schema.columns[i] for i in group] for group in groups]
        self.parts = nn.ModuleList(_named(name).of(each, scale) for name, each in zip(names, chosen, strict=True))
        self.widths = [part.width for part in self.kinds()]
        self.width = sum(self.widths)
        self._keep_places(schema, groups)

    @classmethod
    def of(cls, columns: Sequence[Column], scale: Scale) -> Mixed:
        return cls(Schema(tuple(columns)), scale)

    def owners(self) -> Tensor:
        return torch.cat([own[part.owners()] for part, own in zip(self.kinds(), self.places(), strict=True)])

    def nominal(self) -> Tensor:
        return torch.cat([part.nominal() for part in self.kinds()])[self.back]

    def forward(self, h: Tensor) -> Distribution:
        return Rows([part(each) for part, each in self._cut(h)], self.places(), self.back)

    def errors(self, h: Tensor, x: Tensor) -> Tensor:
        pairs = zip(self._cut(h), self.places(), strict=True)
        errors = [part.errors(each, x.index_select(1, own)) for (part, each), own in pairs]
        return torch.cat(errors, 1).index_select(1, self.back)

    def best(self, h: Tensor) -> Tensor:
        return torch.cat([part.best(each) for part, each in self._cut(h)], 1).index_select(1, self.back)

    def link(self, values: Tensor) -> Tensor:
        own = [self.get_buffer(f"values_{i}") for i in range(len(self.parts))]
        pairs = zip(self.kinds(), own, strict=True)
        return torch.cat([part.link(values.index_select(1, places)) for part, places in pairs], 1)

    @torch.no_grad()
    def solve(self, h: Tensor, x: Tensor, weight: Tensor | None = None) -> None:
        for (part, each), own in zip(self._cut(h), self.places(), strict=True):
            part.solve(each, x.index_select(1, own), weight)

    def _keep_places(self, schema: Schema, groups: list[list[int]]) -> None:
        starts = [0]
        for column in schema.columns:
            starts.append(starts[-1] + column.width)
        for i, group in enumerate(groups):
            self.register_buffer(f"columns_{i}", torch.tensor(group, dtype=torch.long), persistent=False)
            values = [place for each in group for place in range(starts[each], starts[each + 1])]
            self.register_buffer(f"values_{i}", torch.tensor(values, dtype=torch.long), persistent=False)
        order = torch.tensor([each for group in groups for each in group], dtype=torch.long)
        self.register_buffer("back", order.argsort(), persistent=False)

    def kinds(self) -> list[Columnwise]:
        """The likelihoods, in the order of their outputs."""
        return list(self.parts)  # type: ignore[arg-type]

    def places(self) -> list[Tensor]:
        """The columns of each part."""
        return [self.get_buffer(f"columns_{i}") for i in range(len(self.parts))]

    def _cut(self, h: Tensor) -> list[tuple[Columnwise, Tensor]]:
        return list(zip(self.kinds(), h.split(self.widths, 1), strict=True))


class Rows(Distribution):
    """Distributions of groups of columns, put together to whole rows."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def __init__(self, parts: Sequence[Distribution], columns: Sequence[Tensor], back: Tensor) -> None:
        self.parts, self.columns, self.back = parts, columns, back
        n, _, *grid = parts[0].batch_shape
        super().__init__(torch.Size((n, len(back), *grid)), validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._whole([part.mean for part in self.parts])

    @property
    def mode(self) -> Tensor:
        return self._whole([part.mode for part in self.parts])

    def sample(self, sample_shape: _size = ()) -> Tensor:
        return self._whole([part.sample(torch.Size(sample_shape)) for part in self.parts])

    def log_prob(self, value: Tensor) -> Tensor:
        axis = value.dim() - len(self.batch_shape) + 1
        own = [value.index_select(axis, columns) for columns in self.columns]
        return self._whole([part.log_prob(each) for part, each in zip(self.parts, own, strict=True)])

    def _whole(self, parts: list[Tensor]) -> Tensor:
        axis = parts[0].dim() - len(self.batch_shape) + 1
        return torch.cat(parts, axis).index_select(axis, self.back)


REAL = (Normal, StudentT, Laplace, DiscretisedLogistic, LogisticMixture)
NAMED: dict[str, type[Columnwise]] = {each.__name__: each for each in (*REAL, Bernoulli, Categorical, NegativeBinomial)}


def fitting(schema: Schema, *, scale: Scale = "learned") -> Columnwise:
    """The likelihood of the columns of ``schema``, each under the one it names; ``scale`` is that of its Normals.

    Raises InvalidParameter for an unknown name.

    >>> from diabolo.schema import numbers
    >>> fitting(numbers(3)).width
    3
    """
    names = {column.likelihood for column in schema.columns}
    return _named(*names).of(schema.columns, scale) if len(names) == 1 else Mixed(schema, scale)


def _named(name: str) -> type[Columnwise]:
    one_of("likelihood", name, tuple(NAMED))
    return NAMED[name]
