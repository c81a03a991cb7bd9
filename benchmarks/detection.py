"""How well anomalies are found: ADBench tables, trained on normal rows or on all rows, baselines in the same process.

    python benchmarks/detection.py [--protocol clean|contaminated] [--rows 50000] [--seeds 3] [--sets wilt,letter]

``clean`` is the leave-out protocol of Livernoche et al. (2024, DTE): normal rows in file order, the first half trains,
the second half and all anomalies test. ``contaminated`` trains on all rows without labels and scores the same rows.
Sets of more than ``--rows`` rows are cut to as many, drawn with the seed. One configuration for all sets.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from diabolo import AnomalyDetector

DATA = Path(os.environ.get("DIABOLO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "adbench"
SMALLEST = 1000  # smaller sets are reported apart: their figures move by several points with the split
Scores = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def main() -> None:
    """Print the table and its means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", choices=("clean", "contaminated"), default="clean")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sets", default="")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    torch.set_num_threads(2)
    for line in table(asked.protocol, asked.rows, range(asked.seeds), asked.sets):
        print(" | ".join(line), flush=True)


def table(protocol: str, rows: int, seeds: range, wanted: str = "") -> Iterator[list[str]]:
    """Lines of text: a header, one line per set (AUROC / AP in %, seconds of the fit), and the means over the sets."""
    names = [*methods(protocol)]
    yield ["set", "train", "columns", *names, "fit s"]
    found = {name: [] for name in names}
    for place in sorted(DATA.glob("*.npz"), key=lambda path: int(path.stem.split("_")[0])):
        set_name = place.stem.split("_", 1)[1]
        with np.load(place) as kept:
            X, y = kept["X"].astype(float), kept["y"].astype(int)
        if len(X) < SMALLEST or (wanted and set_name.lower() not in wanted.lower().split(",")):
            continue
        train = split(X, y, protocol, rows, seeds[0])[0]
        line, seconds = [], 0.0
        for name, score in methods(protocol).items():
            begin = time.perf_counter()
            figures = [rate(score, *split(X, y, protocol, rows, seed), seed) for seed in seeds]
            seconds = (time.perf_counter() - begin) / len(seeds) if name == "diabolo" else seconds
            found[name].append(figures)
            line.append("{:.1f} / {:.1f}".format(*np.mean(figures, 0)))
        yield [set_name, str(len(train)), str(train.shape[1]), *line, f"{seconds:.1f}"]
    means = {name: np.array(each).mean(0) for name, each in found.items()}
    yield ["mean", "", "", *("{:.2f} / {:.2f}".format(*each.mean(0)) for each in means.values()), ""]
    yield ["spread over seeds", "", "", *("{:.2f} / {:.2f}".format(*each.std(0)) for each in means.values()), ""]


def split(
    X: np.ndarray, y: np.ndarray, protocol: str, rows: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training rows, test rows and the labels of the test rows."""
    if len(X) > rows:
        chosen = np.random.default_rng(seed).choice(len(X), rows, replace=False)
        X, y = X[chosen], y[chosen]
    if protocol == "contaminated":
        return X, X, y
    normal, strange = X[y == 0], X[y == 1]
    half = len(normal) // 2
    test = np.concatenate([normal[half:], strange])
    return normal[:half], test, np.repeat([0, 1], [len(normal) - half, len(strange)])


def rate(score: Scores, train: np.ndarray, test: np.ndarray, truth: np.ndarray, seed: int) -> tuple[float, float]:
    """AUROC and average precision, in %."""
    scores = score(train, test, seed)
    return 100 * roc_auc_score(truth, scores), 100 * average_precision_score(truth, scores)


def methods(protocol: str) -> dict[str, Scores]:
    """Every method by name; each trains on the first array and scores the second."""
    training = "contaminated" if protocol == "contaminated" else "mostly normal"
    return {
        "diabolo": lambda train, test, seed: (
            AnomalyDetector(training=training, random_state=seed).fit(train).anomaly_score(test)
        ),
        "network alone": lambda train, test, seed: (
            AnomalyDetector(training=training, neighbours=0, random_state=seed).fit(train).anomaly_score(test)
        ),
        "kNN (5)": scaled(_neighbours),
        "PCA": scaled(_components),
        "isolation forest": scaled(
            lambda train, test, seed: -IsolationForest(random_state=seed).fit(train).score_samples(test)
        ),
    }


def scaled(score: Scores) -> Scores:
    """The method on standardised columns."""

    def standardised(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        scaler = StandardScaler().fit(train)
        return score(scaler.transform(train), scaler.transform(test), seed)

    return standardised


def _neighbours(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    return NearestNeighbors(n_neighbors=5).fit(train).kneighbors(test)[0].mean(1)


def _components(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Squared distances along all principal components, each over its variance (the score of PyOD's PCA)."""
    pca = PCA(random_state=seed).fit(train)
    kept = pca.explained_variance_ > 1e-7
    return (pca.transform(test)[:, kept] ** 2 / pca.explained_variance_[kept]).sum(1)


if __name__ == "__main__":
    main()
