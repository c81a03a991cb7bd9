"""Put eight numbers in the place of 64 pixels, and see how much of what the image shows is still told."""

from __future__ import annotations

from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from diabolo import Embedder

images, digits = load_digits(return_X_y=True)

for name, embedder in {"64 pixels": None, "8 components": Embedder("Linear"), "8 codes": Embedder()}.items():
    steps = (
        [KNeighborsClassifier()] if embedder is None else [embedder.set_params(random_state=0), KNeighborsClassifier()]
    )
    right = cross_val_score(make_pipeline(*steps), images, digits, cv=3).mean()
    print(f"{name:14} {right:.3f} of the digits told by their nearest neighbours")
