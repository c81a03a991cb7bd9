"""What passes the waist: numbers, few numbers, random numbers, or the index of a number.

        Plain        TopK                 Gaussian                 Quantised, Spanned     FiniteScalar, LookupFree
h ----> h            h, all but k 0       mean + scale * noise     nearest of K vectors   each number rounded
costs   -            -                    kl                       quantisation           -, quantisation

        Residual                          Categorical
h ----> several Quantised, added up       one of K vectors, drawn
costs   quantisation                      kl

        GrowingTopK                 BatchTopK                 JumpReLU                    Gated
h ----> the k largest above 0       above one threshold       above a threshold each      above 0, resized
costs   -                           -                         l0                          -

``Bent``, ``Ladder`` and ``Spherical`` are random numbers as well: a Gaussian bent by a flow, levels, and directions.
"""

from __future__ import annotations

from diabolo.bottlenecks.bent import Bent
from diabolo.bottlenecks.continuous import Gaussian, Plain, Random, TopK
from diabolo.bottlenecks.discrete import Categorical, FiniteScalar, LookupFree
from diabolo.bottlenecks.ladder import Ladder
from diabolo.bottlenecks.quantised import Discrete, Nearest, Quantised, Residual, Spanned
from diabolo.bottlenecks.sparse import BatchTopK, Gated, GrowingTopK, JumpReLU
from diabolo.bottlenecks.spherical import Spherical

__all__ = [
    "BatchTopK",
    "Bent",
    "Categorical",
    "Discrete",
    "FiniteScalar",
    "Gated",
    "Gaussian",
    "GrowingTopK",
    "JumpReLU",
    "Ladder",
    "LookupFree",
    "Nearest",
    "Plain",
    "Quantised",
    "Random",
    "Residual",
    "Spanned",
    "Spherical",
    "TopK",
]
