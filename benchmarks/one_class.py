"""One class of images is normal, the nine others are not: AUROC in %, the same images for every method.

    python -m benchmarks.one_class [--rows 2000] [--test 2000] [--seeds 1] [--sets mnist,fashion]

Every class of a set takes its turn: the first ``--rows`` of its training images are learned from, without a label, and
the first ``--test`` test images of all classes are scored. The detector is the default one and gets the images as they
are; PCA (90 % of the variance, squared residual), kNN (mean distance of 5), a one-class SVM (RBF, nu 0.1) and an
isolation forest get the pixels of a row. Classes and seeds run side by side, each on one thread.
"""

from __future__ import annotations

import argparse
import lzma
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM

from benchmarks.generation import DATA, SIDE
from benchmarks.pictures import cell
from diabolo import AnomalyDetector

SETS = ("mnist", "fashion")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sets", default=",".join(SETS))
    asked = parser.parse_args()
    for line in table(asked.rows, asked.test, range(asked.seeds), asked.sets.split(",")):
        print(" | ".join(line), flush=True)


def table(rows: int, test: int, seeds: range, sets: Sequence[str] = SETS) -> Iterator[list[str]]:
    """Lines of text: a header, a line per class, and the means over the classes, with spreads over the seeds."""
    yield ["set", "normal", "diabolo", "network alone", *BESIDE, "fit CPU s"]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as processes:
        runs = {
            (name, normal): [processes.submit(judged, name, normal, rows, test, seed) for seed in seeds]
            for name in sets
            for normal in range(10)
        }
        for name in sets:
            figures = []
            for normal in range(10):
                figures.append(np.array([each.result() for each in runs[name, normal]]))
                yield [name, str(normal), *map(cell, figures[-1].T)]
            yield [name, "mean", *map(cell, np.mean(figures, 0).T)]


def judged(name: str, normal: int, rows: int, test: int, seed: int) -> list[float]:
    """The AUROC of every method where one class is normal, and the CPU-seconds of the detector's fit."""
    torch.set_num_threads(1)
    train, new = pixels(name, "train")[labels(name, "train") == normal][:rows], pixels(name, "test")[:test]
    strange = labels(name, "test")[:test] != normal
    begin = time.process_time()
    detector = AnomalyDetector(random_state=seed).fit(train[:, None])
    seconds = time.process_time() - begin
    alone = AnomalyDetector(neighbours=0, random_state=seed).fit(train[:, None])
    scores = [each.anomaly_score(new[:, None]) for each in (detector, alone)]
    flat = [each.reshape(len(each), -1) / 255 for each in (train, new)]
    scores += [method(*flat, seed) for method in BESIDE.values()]
    return [*(100 * float(roc_auc_score(strange, each)) for each in scores), seconds]


def pca(train: np.ndarray, new: np.ndarray, seed: int) -> np.ndarray:
    """The squared residual beyond 90 % of the variance."""
    found = PCA(0.9, svd_solver="full").fit(train)
    return np.square(new - found.inverse_transform(found.transform(new))).sum(1)


def nearest(train: np.ndarray, new: np.ndarray, seed: int) -> np.ndarray:
    """The mean distance from the 5 nearest."""
    return NearestNeighbors(n_neighbors=5).fit(train).kneighbors(new)[0].mean(1)


def support(train: np.ndarray, new: np.ndarray, seed: int) -> np.ndarray:
    """A one-class support vector machine."""
    return -OneClassSVM(gamma="scale", nu=0.1).fit(train).score_samples(new)


def forest(train: np.ndarray, new: np.ndarray, seed: int) -> np.ndarray:
    """An isolation forest."""
    return -IsolationForest(random_state=seed).fit(train).score_samples(new)


Method = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
BESIDE: dict[str, Method] = {
    "PCA": pca,
    "kNN (5)": nearest,
    "one-class SVM": support,
    "isolation forest": forest,
}


def pixels(name: str, part: str) -> np.ndarray:
    """The images (n, 28, 28), from 0 to 255."""
    return _read(f"{name}_{part}_images.idx3.xz", 16).reshape(-1, SIDE, SIDE).astype(np.float32)


def labels(name: str, part: str) -> np.ndarray:
    """The class of every image."""
    return _read(f"{name}_{part}_labels.idx1.xz", 8)


def _read(file: str, header: int) -> np.ndarray:
    with lzma.open(DATA / file) as packed:
        return np.frombuffer(packed.read(), np.uint8, offset=header)


if __name__ == "__main__":
    main()
