"""Take noise away from small images, and compare with leaving them alone and with principal components."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from diabolo import Denoiser

true = load_digits().data
spread = true.std(0)
noisy = true + 0.5 * spread * np.random.default_rng(0).normal(size=true.shape)
told = spread > 0


def error(rows):
    """Mean squared error, in standard deviations of the pixel."""
    return float(np.square((rows - true)[:, told] / spread[told]).mean())


print(f"noisy                 {error(noisy):.3f}")
for name in ("Linear", "Denoising"):
    denoiser = Denoiser(name, random_state=0)
    denoiser.set_params(**({"variant__strength": 0.5} if name == "Denoising" else {}))
    print(f"cleaned, {name:12} {error(denoiser.fit(noisy).transform(noisy)):.3f}")
