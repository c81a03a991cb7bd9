"""Likelihoods: how probable the values of a row are, given what the decoder says.

Every cost is -log p in nats, one number per value; mean squared error, absolute error and cross-entropy are the
special cases ``Normal(scale="unit")``, ``Laplace`` and ``Bernoulli`` / ``Categorical``, up to constants. On axis 1 the
output ``h`` of a decoder holds one block of all columns per predicted parameter.
"""

from __future__ import annotations

from diabolo.likelihoods.columnwise import Columnwise, Scale
from diabolo.likelihoods.continuous import Laplace, Normal, StudentT
from diabolo.likelihoods.discrete import Bernoulli, Categorical, NegativeBinomial
from diabolo.likelihoods.lattice import DiscretisedLogistic, LogisticMixture
from diabolo.likelihoods.mixed import NAMED, Mixed, fitting

__all__ = [
    "NAMED",
    "Bernoulli",
    "Categorical",
    "Columnwise",
    "DiscretisedLogistic",
    "Laplace",
    "LogisticMixture",
    "Mixed",
    "NegativeBinomial",
    "Normal",
    "Scale",
    "StudentT",
    "fitting",
]
