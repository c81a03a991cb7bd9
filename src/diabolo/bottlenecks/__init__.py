"""What passes the waist: numbers, few numbers, random numbers, or the index of a number.

        Plain            TopK             Gaussian                Quantised               FiniteScalar
h ----> h           h, all but k 0    mean + scale * noise    nearest of K vectors    each number rounded
costs   -                -                 kl                   quantisation               -

           GrowingTopK                 BatchTopK                 JumpReLU                    Gated
h ----> the k largest above 0    above one threshold    above a threshold each    above 0, resized
costs          -                          -                      l0                        -
"""

from __future__ import annotations

from diabolo.bottlenecks.continuous import Gaussian, Plain, TopK
from diabolo.bottlenecks.discrete import FiniteScalar, Quantised
from diabolo.bottlenecks.sparse import BatchTopK, Gated, GrowingTopK, JumpReLU

__all__ = [
    "BatchTopK",
    "FiniteScalar",
    "Gated",
    "Gaussian",
    "GrowingTopK",
    "JumpReLU",
    "Plain",
    "Quantised",
    "TopK",
]
