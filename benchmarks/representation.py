"""How good codes are: for classifiers, for finding groups, and for making new rows; baselines in the same process.

    python -m benchmarks.representation [--seeds 3]

scikit-learn's digits (1,797 rows of 64 pixels; each seed draws another third to test with), pendigits (UCI, 16
columns, 7,494 rows to train and 3,498 to test), MNIST and Fashion-MNIST (784 pixels; each seed draws 5,000 of the
60,000 images to train with, and all 10,000 others test). Everything learns from the training rows without their labels
and is judged on the test rows, but for one table. One configuration for all sets. That table, and new rows, are of the
two small sets only.
"""

from __future__ import annotations

import argparse
import lzma
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from diabolo import Clusterer, Embedder, Synthesizer
from diabolo.evaluate import clustering
from diabolo.variants import VAE, Linear, Vanilla

DATA = Path(os.environ.get("DIABOLO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
IMAGES = 5_000  # training images of the large sets, drawn anew for each seed
WIDTH = 16  # of a code; at most half the columns
Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Table = tuple[str, Iterator[list[str]]]


def main() -> None:
    """Print every table."""
    shown(__doc__, tables)


def shown(words: str | None, tables: Callable[[range], Iterator[Table]]) -> None:
    """Print the tables for as many seeds as the command line asks for."""
    parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    for title, lines in tables(range(parser.parse_args().seeds)):
        print(f"\n{title}")
        for line in lines:
            print(" | ".join(line), flush=True)


def tables(seeds: range) -> Iterator[Table]:
    """Title and lines of every table."""
    torch.set_num_threads(1)  # the networks are too small for more
    yield "Codes: kNN (5) / linear probe accuracy in %", table(embedders, embedded, seeds)
    yield "Clusters, 10 of them: accuracy / NMI / ARI in %", table(clusterers, clustered, seeds)
    yield "The same, found among all rows and judged by the same rows", table(clusterers, gathered, seeds)
    yield "New rows: accuracy in % of a forest trained on them, on real rows", table(synthesizers, synthesized, seeds)


def table(methods: Callable, judge: Callable, seeds: range) -> Iterator[list[str]]:
    """A header, and a line per method with the mean and the spread over the seeds of every figure, set by set."""
    wanted = SETS if judge in (embedded, clustered) else SMALL
    sets = {name: [make(seed) for seed in seeds] for name, make in wanted.items() if name == "digits" or DATA.is_dir()}
    yield ["method", *sets]
    for name in methods(0, 2):
        yield [
            name,
            *(
                cell([judge(methods(*place)[name], *split) for place, split in placed(sets[each], seeds)])
                for each in sets
            ),
        ]


def placed(splits: list[Split], seeds: range) -> Iterator[tuple[tuple[int, int], Split]]:
    """Seed and width of the codes, with the split."""
    return (((seed, min(WIDTH, split[0].shape[1] // 2)), split) for seed, split in zip(seeds, splits, strict=True))


def cell(figures: list[tuple[float, ...]]) -> str:
    means, spreads = 100 * np.mean(figures, 0), 100 * np.std(figures, 0)
    return " / ".join(f"{mean:.1f} ± {spread:.1f}" for mean, spread in zip(means, spreads, strict=True))


def digits(seed: int) -> Split:
    images, kinds = load_digits(return_X_y=True)
    train, test, known, truth = train_test_split(images, kinds, test_size=1 / 3, random_state=seed, stratify=kinds)
    return train, known, test, truth


def pendigits(seed: int) -> Split:
    with np.load(DATA / "digits" / "pendigits.npz") as kept:
        return tuple(kept[name].astype(kind) for name, kind in PARTS.items())


def mnist(seed: int, name: str = "mnist") -> Split:
    rows = np.random.default_rng(seed).permutation(60_000)[:IMAGES]
    train, test = (read(f"{name}_{part}_images.idx3.xz", 16).reshape(-1, 784) for part in ("train", "test"))
    known, truth = (read(f"{name}_{part}_labels.idx1.xz", 8).astype(int) for part in ("train", "test"))
    return train[rows].astype(float), known[rows], test.astype(float), truth


def fashion(seed: int) -> Split:
    return mnist(seed, "fashion")


def read(name: str, start: int) -> np.ndarray:
    with lzma.open(DATA / "images" / name) as file:
        return np.frombuffer(file.read(), np.uint8, offset=start)


PARTS = {"train_x": float, "train_y": int, "test_x": float, "test_y": int}
SMALL = {"digits": digits, "pendigits": pendigits}
SETS = SMALL | {"MNIST": mnist, "Fashion": fashion}


def embedders(seed: int, width: int) -> dict:
    return {
        "rows themselves": FunctionTransformer(),
        "PCA, same width": PCA(width, random_state=seed),
        "PCA of standardised columns": make_pipeline(StandardScaler(), PCA(width, random_state=seed)),
        "Embedder": Embedder(random_state=seed),
        "Embedder, Vanilla": Embedder(Vanilla(latent=width), random_state=seed),
    }


def embedded(embedder, train: np.ndarray, known: np.ndarray, test: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
    codes, new = embedder.fit_transform(train), embedder.transform(test)
    probes = KNeighborsClassifier(), make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return tuple(probe.fit(codes, known).score(new, truth) for probe in probes)


def clusterers(seed: int, width: int) -> dict:
    means, mixture = KMeans(10, n_init=3, random_state=seed), GaussianMixture(10, n_init=3, random_state=seed)
    mixture.set_params(reg_covar=1e-4)
    return {
        "k-means": means,
        "k-means, standardised columns": make_pipeline(StandardScaler(), means),
        "k-means, PCA of same width": make_pipeline(PCA(width, random_state=seed), means),
        "mixture, PCA of same width": make_pipeline(PCA(width, random_state=seed), StandardScaler(), mixture),
        "Clusterer": Clusterer(clusters=10, random_state=seed),
        "Clusterer, Linear": Clusterer("Linear", clusters=10, random_state=seed).set_params(variant__latent=width),
        "Clusterer, by mixture": Clusterer(clusters=10, by="mixture", random_state=seed),
        "Clusterer, by UMAP": Clusterer(clusters=10, by="umap", random_state=seed),
    }


def clustered(
    clusterer, train: np.ndarray, known: np.ndarray, test: np.ndarray, truth: np.ndarray
) -> tuple[float, ...]:
    figures = clustering(truth, clusterer.fit(train).predict(test), samples=2)
    return tuple(each.value for each in figures.values())


def gathered(clusterer, train: np.ndarray, known: np.ndarray, test: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
    """As published tables have it, where no row is held out."""
    rows, kinds = np.concatenate([train, test]), np.concatenate([known, truth])
    figures = clustering(kinds, clusterer.fit_predict(rows), samples=2)
    return tuple(each.value for each in figures.values())


def synthesizers(seed: int, width: int) -> dict:
    return {
        "real rows": None,
        "Synthesizer": Synthesizer(random_state=seed),
        "Synthesizer, Linear": Synthesizer(Linear(), random_state=seed),
        "Synthesizer, VAE, its own prior": Synthesizer(VAE(), prior="own", random_state=seed),
    }


def synthesized(maker, train: np.ndarray, known: np.ndarray, test: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
    if maker is not None:
        names = [f"p{place}" for place in range(train.shape[1])]
        rows = pa.table([*train.T, [f"kind {each}" for each in known]], names=[*names, "kind"])
        new = maker.fit(rows).sample(len(train))
        train, known = np.column_stack(new.select(names).columns), [int(each[5:]) for each in new["kind"].to_pylist()]
    return (RandomForestClassifier(random_state=0).fit(train, known).score(test, truth),)


if __name__ == "__main__":
    main()
