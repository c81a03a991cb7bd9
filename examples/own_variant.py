"""A variant of your own: one class, the laws that every variant obeys, and a model file that knows it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

from sklearn.datasets import load_wine

from diabolo import AnomalyDetector, check_variant, load
from diabolo.autoencoder import Penalty
from diabolo.params import NonNegative
from diabolo.penalties import L1
from diabolo.variants import Denoising


class SparseDenoising(Denoising):
    """Restore rows from noise through a code of which each row uses little."""

    weight: Annotated[NonNegative, "nats per unit of the code's size"] = 0.1

    def penalties(self) -> list[Penalty]:
        return [L1(self.weight)]


check_variant(SparseDenoising(), kinds=["row", "mixed table"])
print("SparseDenoising obeys every law.")

wines = load_wine(as_frame=True)
first, others = wines.data[wines.target == 0], wines.data[wines.target != 0]
detector = AnomalyDetector(variant=SparseDenoising(latent=4), random_state=0).fit(first)
print(f"Of wines from other growers {(detector.predict(others) < 0).mean():.0%} are marked.")

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "wine.diabolo"
    detector.save(path)
    again = load(path, custom=[SparseDenoising])
    same = (again.anomaly_score(others) == detector.anomaly_score(others)).all()
    print(f"Saved, loaded, same scores: {same}")
