"""How good a dictionary is: how sparse and how faithful over a whole set, and whether its atoms mean something.

An atom is a column of the decoder; a code number is in use in a row where it is not 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import normalize

from diabolo.autoencoder import Autoencoder
from diabolo.dictionary import Dictionary, Fidelity, fidelity
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.schema import Schema

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["Fidelity", "atoms", "fidelity", "mean_max_cosine", "sparse_probing"]


def atoms(autoencoder: Autoencoder, schema: Schema | None = None) -> Float[np.ndarray, "latent width"]:
    """The atoms as rows of length 1; with the ``schema`` of a Preparation in the user's units, else in prepared ones.

    A preparation divides each column by its standard deviation; here the atoms are multiplied by it. Raises
    InvalidParameter where the decoder is no dictionary, or the columns are not all numbers.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import TopKDictionary
    >>> atoms(TopKDictionary(latent=8, k=2).build(numbers(4))).shape
    (8, 4)
    """
    back = autoencoder.decoder.get_submodule("layers")[0]  # type: ignore[index]
    if not isinstance(back, Dictionary):
        raise InvalidParameter("The decoder has no atoms. Fit a dictionary, e.g. variant='TopKDictionary'.")
    found = back.atoms.detach().T
    if schema is not None:
        found = normalize(found * _scales(schema), dim=1)
    return found.double().numpy()


def _scales(schema: Schema) -> Tensor:
    if any(column.kind != "number" for column in schema.columns if not column.given):
        raise InvalidParameter("Only atoms of numbers have units. Leave out the schema for atoms in prepared units.")
    each = torch.tensor([column.scale for column in schema.columns if not column.given])
    return each.view(-1, *[1] * len(schema.grid)).expand(-1, *schema.grid).flatten()


def mean_max_cosine(truth: Float[np.ndarray, "m width"], found: Float[np.ndarray, "latent width"]) -> float:
    """How well a known dictionary was recovered: the mean over its atoms of the largest cosine with a found one.

    1 where every true atom was found; some 0.4 for random atoms in 64 dimensions (Sharkey, Braun & Millidge, 2022,
    "Taking features out of superposition with sparse autoencoders"). Atoms are rows, of any length. Raises InvalidData
    where the widths differ.

    >>> mean_max_cosine(np.eye(2), np.array([[3.0, 0.0], [1.0, 1.0]]))
    0.8535533905932737
    """
    if truth.ndim != 2 or found.ndim != 2 or truth.shape[1] != found.shape[1]:
        raise InvalidData(f"Atoms are rows of one width. Got arrays of shape {truth.shape} and {found.shape}.")
    cosines = _unit(truth) @ _unit(found).T
    return float(cosines.max(1).mean())


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny)


def sparse_probing(
    codes: Float[np.ndarray, "n latent"],
    labels: Sequence[object] | np.ndarray,
    k: Sequence[int] = (1, 2, 5),
    *,
    seed: int = 0,
) -> dict[int, float]:
    """How well labels can be read off ``k`` code numbers (Gurnee et al., 2023, arXiv:2305.01610).

    For each label against the rest, the k numbers whose means differ most are chosen on one half of the rows, logistic
    regression learns on them there, and its balanced accuracy is measured on the other half; the mean over the labels.
    Raises InvalidData for labels that do not suit the codes, InvalidParameter for a k below 1 or above their width.

    >>> codes = np.eye(2)[[0, 1] * 20]
    >>> sparse_probing(codes, [0, 1] * 20, k=(1,))
    {1: 1.0}
    """
    truth = np.asarray(labels)
    kinds, counts = np.unique(truth, return_counts=True)
    if truth.shape != (len(codes),) or len(kinds) < 2 or counts.min() < 2:
        raise InvalidData(
            f"Probing needs one label per code ({len(codes)}), of 2 or more kinds with 2 or more rows each."
        )
    if not all(1 <= each <= codes.shape[1] for each in k):
        raise InvalidParameter(f"k must lie in 1 to {codes.shape[1]}, the width of the codes. Got {list(k)}.")
    train, test, told, hidden = train_test_split(codes, truth, test_size=0.5, stratify=truth, random_state=seed)
    asked = kinds[1:] if len(kinds) == 2 else kinds
    return {n: float(np.mean([_probed(train, told == one, test, hidden == one, n) for one in asked])) for n in k}


def _probed(train: np.ndarray, told: np.ndarray, test: np.ndarray, hidden: np.ndarray, k: int) -> float:
    apart = np.abs(train[told].mean(0) - train[~told].mean(0))
    chosen = np.argsort(-apart, kind="stable")[:k]
    spread = train[:, chosen].std(0) + np.finfo(float).tiny
    probe = LogisticRegression(class_weight="balanced").fit(train[:, chosen] / spread, told)
    return float(balanced_accuracy_score(hidden, probe.predict(test[:, chosen] / spread)))
