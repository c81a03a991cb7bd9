"""What passes the waist: numbers, few numbers, random numbers, or the index of a number.

        Plain            TopK             Gaussian                Quantised               FiniteScalar
h ----> h           h, all but k 0    mean + scale * noise    nearest of K vectors    each number rounded
costs   -                -                 kl                   quantisation               -
"""

from __future__ import annotations

from diabolo.bottlenecks.continuous import Gaussian, Plain, Random, TopK
from diabolo.bottlenecks.discrete import FiniteScalar, Quantised

__all__ = ["FiniteScalar", "Gaussian", "Plain", "Quantised", "Random", "TopK"]
