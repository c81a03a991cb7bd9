"""What passes the waist: numbers, few numbers, random numbers, or the index of a number.

        Plain        TopK                 Gaussian                 Quantised, Spanned     FiniteScalar, LookupFree
h ----> h            h, all but k 0       mean + scale * noise     nearest of K vectors   each number rounded
costs   -            -                    kl                       quantisation           -, quantisation

        Residual                          Categorical
h ----> several Quantised, added up       one of K vectors, drawn
costs   quantisation                      kl

``Bent``, ``Ladder`` and ``Spherical`` are random numbers as well: a Gaussian bent by a flow, levels, and directions.
"""

from __future__ import annotations

from diabolo.bottlenecks.bent import Bent
from diabolo.bottlenecks.continuous import Gaussian, Plain, Random, TopK
from diabolo.bottlenecks.discrete import Categorical, FiniteScalar, LookupFree
from diabolo.bottlenecks.ladder import Ladder
from diabolo.bottlenecks.quantised import Nearest, Quantised, Residual, Spanned
from diabolo.bottlenecks.spherical import Spherical

__all__ = [
    "Bent",
    "Categorical",
    "FiniteScalar",
    "Gaussian",
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
