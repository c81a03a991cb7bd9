"""Codes and clusters of images that are given as images: scikit-learn's digits, all of MNIST and of Fashion-MNIST.

    python -m benchmarks.pictures [--sets mnist,fashion] [--seeds 1]

One fit of the default ``Clusterer`` per set and seed: its codes (those of an ``Embedder``, 16 numbers) are judged by
the nearest neighbours and a linear classifier of the test images, its clusters by the best match with their labels.
Beside it principal components of the same width, and k-means and a mixture of Gaussians on them. One configuration for
all sets, digits at the Trainer's defaults; the large sets are trained for fewer epochs in smaller batches, in bf16.
Fits run side by side, each on one thread.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.representation import Split, digits, read
from diabolo import Clusterer, Trainer
from diabolo.evaluate import clustering

KINDS, WIDTH = 10, 16
LARGE = Trainer(epochs=40, batch_size=256, precision="bf16")  # over all 60,000 images
TRAINERS = {"digits": Trainer(), "mnist": LARGE, "fashion": LARGE}
HEADER = ["set", "method", "kNN (5)", "linear probe", "accuracy", "NMI", "ARI", "fit CPU s"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="mnist,fashion")
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    for line in table(asked.sets.split(","), range(asked.seeds)):
        print(" | ".join(line), flush=True)


def table(sets: list[str], seeds: range) -> Iterator[list[str]]:
    """A header, and a line per set and method with means and spreads over the seeds, in %."""
    yield HEADER
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as processes:
        runs = {
            (name, method): [processes.submit(run, name, method, seed) for seed in seeds]
            for name in sets
            for method in (*BASELINES, "diabolo")
        }
        for (name, method), own in runs.items():
            figures = np.array([each.result() for each in own])
            yield [name, method, *map(cell, 100 * figures.T[:-1]), f"{figures[:, -1].mean():.0f}"]


def run(name: str, method: str, seed: int) -> list[float]:
    """The figures of a method on a set, and the CPU-seconds of its fit."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        if method in BASELINES:
            return BASELINES[method](*images(name, seed), seed)
        return ours(TRAINERS[name], *images(name, seed), seed)


def cell(figures: np.ndarray) -> str:
    return f"{figures.mean():.1f}" + (f" ± {figures.std():.1f}" if len(figures) > 1 else "")


def images(name: str, seed: int) -> Split:
    """Training images and labels, test images and labels; of digits each seed tests with another third."""
    if name == "digits":
        train, known, test, truth = digits(seed)
        return train.reshape(-1, 1, 8, 8), known, test.reshape(-1, 1, 8, 8), truth
    train, test = (
        read(f"{name}_{part}_images.idx3.xz", 16).reshape(-1, 1, 28, 28).astype(float) for part in ("train", "test")
    )
    known, truth = (read(f"{name}_{part}_labels.idx1.xz", 8).astype(int) for part in ("train", "test"))
    return train, known, test, truth


def means(train: np.ndarray, known: np.ndarray, test: np.ndarray, truth: np.ndarray, seed: int) -> list:
    return components(KMeans(KINDS, n_init=3, random_state=seed), train, known, test, truth, seed)


def mixture(train: np.ndarray, known: np.ndarray, test: np.ndarray, truth: np.ndarray, seed: int) -> list:
    gaussians = GaussianMixture(KINDS, reg_covar=1e-4, random_state=seed)
    return components(make_pipeline(StandardScaler(), gaussians), train, known, test, truth, seed)


def components(clusters, train: np.ndarray, known: np.ndarray, test: np.ndarray, truth: np.ndarray, seed: int) -> list:
    """Figures of principal components and of clusters found among them."""
    begin = time.process_time()
    pca = PCA(WIDTH, random_state=seed).fit(train.reshape(len(train), -1))
    codes, new = (pca.transform(each.reshape(len(each), -1)) for each in (train, test))
    found = clusters.fit(codes).predict(new)
    seconds = time.process_time() - begin
    return [*judged(codes, known, new, truth), *matched(truth, found), seconds]


def ours(
    trainer: Trainer, train: np.ndarray, known: np.ndarray, test: np.ndarray, truth: np.ndarray, seed: int
) -> list:
    """Figures of the default ``Clusterer``."""
    begin = time.process_time()
    clusterer = Clusterer(clusters=KINDS, trainer=trainer, random_state=seed).fit(train)
    seconds = time.process_time() - begin
    codes, new = clusterer.encode(train), clusterer.encode(test)
    return [*judged(codes, known, new, truth), *matched(truth, clusterer.predict(test)), seconds]


def judged(codes: np.ndarray, known: np.ndarray, new: np.ndarray, truth: np.ndarray) -> list[float]:
    """Shares of test codes whose kind the nearest training codes and a linear classifier tell."""
    probes = KNeighborsClassifier(), make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return [probe.fit(codes, known).score(new, truth) for probe in probes]


def matched(truth: np.ndarray, found: np.ndarray) -> list[float]:
    return [each.value for each in clustering(truth, found, samples=2).values()]


BASELINES = {"k-means, PCA": means, "mixture, PCA": mixture}

if __name__ == "__main__":
    main()
