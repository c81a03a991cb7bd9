"""Fill the gaps of a table, and compare with the column means, which is what most people use."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.impute import SimpleImputer

from diabolo import Imputer

whole = load_diabetes(as_frame=True, scaled=False).data
hidden = np.random.default_rng(0).random(whole.shape) < 0.2
gaps = whole.mask(hidden)

filled = Imputer(random_state=0).fit_transform(gaps)
means = SimpleImputer().set_output(transform="pandas").fit_transform(gaps)


def error(guess):
    """Root mean squared error at the hidden values, in standard deviations of the column."""
    return float((((guess - whole) / whole.std()).to_numpy()[hidden] ** 2).mean() ** 0.5)


print(f"hidden values  {hidden.sum()}")
print(f"column means   {error(means):.3f}")
print(f"diabolo        {error(filled):.3f}")
