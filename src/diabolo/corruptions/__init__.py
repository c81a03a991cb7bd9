"""Corruptions: what is done to rows in training before the encoder sees them.

Each is a module from rows to rows of the same shape, drawing through :mod:`diabolo.randomness`, and never changes its
input. ``hides`` tells whether it writes NaN. A missing value stays missing.
"""

from __future__ import annotations

from diabolo.corruptions.hiding import Hide, HideBoxes, HideEnd, HidePatches
from diabolo.corruptions.noise import GaussianNoise, SaltPepper, SwapRows
from diabolo.corruptions.views import Cover, Relight, Views, Warp

__all__ = [
    "Cover",
    "GaussianNoise",
    "Hide",
    "HideBoxes",
    "HideEnd",
    "HidePatches",
    "Relight",
    "SaltPepper",
    "SwapRows",
    "Views",
    "Warp",
]
