"""What passes the waist: numbers, few numbers, random numbers, or the index of a number.

        Plain        TopK                 Gaussian                 Quantised, Spanned     FiniteScalar, LookupFree
h ----> h            h, all but k 0       mean + scale * noise     nearest of K vectors   each number rounded
costs   -            -                    kl                       quantisation           -, quantisation

        Residual                          Categorical
h ----> several Quantised, added up       one of K vectors, drawn
costs   quantisation                      kl
"""

from __future__ import annotations

from diabolo.bottlenecks.continuous import Gaussian, Plain, TopK
from diabolo.bottlenecks.discrete import Categorical, FiniteScalar, LookupFree
from diabolo.bottlenecks.quantised import Nearest, Quantised, Residual, Spanned

__all__ = [
    "Categorical",
    "FiniteScalar",
    "Gaussian",
    "LookupFree",
    "Nearest",
    "Plain",
    "Quantised",
    "Residual",
    "Spanned",
    "TopK",
]
