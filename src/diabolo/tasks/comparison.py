"""The linear autoencoder beside the deep one: how wide it is, and how the two compare."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from diabolo.autoencoder import Autoencoder
from diabolo.batches import in_blocks
from diabolo.schema import UNSEEN, Schema
from diabolo.variants import Linear

if TYPE_CHECKING:
    from jaxtyping import Float

WIDEST = 256  # numbers of a linear code, since every one of them is a row of the size of the data


def used(autoencoder: Autoencoder, x: Float[Tensor, "n *features"]) -> int:
    """How many numbers of its code a row uses on average: those that are not 0, of tokens all; of one member.

    >>> import torch
    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import TopKDictionary
    >>> used(TopKDictionary(latent=64, k=3).build(numbers(8)).eval(), torch.randn(20, 8))
    3
    """

    def read(block: Tensor) -> Tensor:
        code = autoencoder.encode(block)
        z = code.z.flatten(1)
        return (z == z if code.tokens is not None else z != 0).double().sum(1)

    return max(1, round(float(in_blocks(x, read).mean()) / getattr(autoencoder, "members", 1)))


def line(numbers: int, schema: Schema, *, judged: bool) -> Linear:
    """The linear autoencoder of as many ``numbers`` as the code uses, but less than a row has: it would copy rows.

    Where values are ``judged`` by what the others say of them, at most half as many: a wider one copies most of each.

    >>> from diabolo.schema import numbers
    >>> line(8, numbers(6), judged=False), line(8, numbers(6), judged=True).latent
    (Linear(latent=5, overcomplete=True), 3)
    """
    wide = _free(schema)
    most = max(1, wide // 2 if judged else wide - 1)
    return of_width(min(numbers, most, WIDEST))


def of_width(width: int) -> Linear:
    """PCA of so many numbers.

    >>> of_width(3)
    Linear(latent=3, overcomplete=True)
    """
    return Linear(latent=width, overcomplete=True)


def compared(deep: Float[np.ndarray, "n"], linear: Float[np.ndarray, "n"]) -> dict[str, Any]:
    """What the two cost on average; the better one is named only beyond two standard errors.

    >>> compared(np.array([1.0, 2.0, 1.0]), np.array([5.0, 6.0, 5.5]))["better"]
    'deep'
    """
    apart = deep - linear
    error = float(apart.std(ddof=1) / np.sqrt(len(apart))) if len(apart) > 1 else 0.0
    gap = float(apart.mean())
    better = "deep" if gap < -2 * error else "linear" if gap > 2 * error else "neither"
    figures = {"deep": float(deep.mean()), "linear": float(linear.mean()), "difference": gap, "error": error}
    return {"rows": len(apart), **figures, "better": better}


def pca(told: Mapping[str, Any]) -> str:
    """The linear autoencoder of a comparison, with its width, and that of the code where it is another.

    >>> pca({"width": 6, "code": 6}), pca({"width": 1, "code": 8})
    ('a PCA of 6 numbers', 'a PCA of 1 number (the code has 8)')
    """
    width, code = told["width"], told["code"]
    return f"a PCA of {width} number{'s' * (width != 1)}" + (f" (the code has {code})" if code != width else "")


def better(told: Mapping[str, Any]) -> str:
    """Which of the two is better by the measure, and where its codes are for something else, that too.

    >>> better({"better": "linear", "aside": ""})
    'PCA is better'
    """
    words = {"deep": "the deep one is better", "linear": "PCA is better", "neither": "neither is clearly better"}
    return words[told["better"]] + (
        f" by a measure that these codes are not for ({told['aside']})" * bool(told["aside"])
    )


def _free(schema: Schema) -> int:
    """How many numbers of a row may vary by themselves: of a category one less than it has values."""
    learned = [column for column in schema.columns if not column.given]
    known = [len(set(column.categories) - {UNSEEN}) if column.kind == "category" else 2 for column in learned]
    return sum(max(1, each - 1) for each in known) * math.prod(schema.grid)
