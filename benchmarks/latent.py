"""What a latent space is worth: stable over seeds, like real rows when drawn from, short in bits, disentangled.

    python -m benchmarks.latent [--only stability rows bits factors] [--seeds 4] [--epochs 40]

Everything is at its default but for what a table says. Digits are those of scikit-learn.

Factors are told as the papers tell them, not as a task would learn a table: pixels are Bernoulli, so that a nat of the
code's price weighs against a fixed likelihood. A task divides every pixel by its spread, and learns that spread anew:
the better it fits, the less any price counts, and edges where hardly anything happens count as much as the middle.
Batches are small and many, as in the papers: codes come apart late. The weight of FactorVAE, 5 by default, is in the
range of Locatello et al. (2019, arXiv:1811.12359), 10 to 100.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch import Tensor

from diabolo import Embedder, Synthesizer, Trainer
from diabolo.batches import Rows
from diabolo.evaluate import (
    compression,
    dci,
    factor_vae_score,
    generation,
    infomec,
    mutual_information_gap,
    sap,
    shapes,
    stability,
)
from diabolo.randomness import seeded
from diabolo.schema import Column, Schema
from diabolo.variants import named

PENDIGITS = Path(os.environ.get("DIABOLO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "digits"
LEVELS, SIDE = (3, 4, 8, 16, 16), 16
IMAGES, JUDGED, TREES = 10_000, 5_000, 10  # to learn from, others to judge on, and trees of DCI per level
PIXELS = Schema(tuple(Column(f"pixel{i}", "boolean", "Bernoulli") for i in range(SIDE**2)))
EPOCHS, BATCH, RATE = 30, 64, 1e-3
NETWORK = {"latent": 10, "hidden": (256, 128)}
PRICES = {"VAE": {}, "BetaTCVAE": {}, "FactorVAE": {"weight": 20.0}}  # what is not at its default
MEASURES = ["MIG", "SAP", "DCI, disentangled", "DCI, complete", "FactorVAE score", "InfoM", "InfoE", "InfoC"]


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=TABLES, default=tuple(TABLES))
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the images of known factors")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.only:
        for line in TABLES[name](range(asked.seeds), asked.epochs):
            print(" | ".join(line), flush=True)
        print()


def stable(seeds: range, epochs: int) -> Iterator[list[str]]:
    """Codes of all digits by fits of every seed: mean over pairs, least and largest."""
    yield ["digits, stability", "linear CKA", "matched correlation"]
    rows = load_digits().data
    for variant in ("Linear", "Vanilla", "VAE"):
        found = stability([Embedder(variant, random_state=seed).fit_transform(rows) for seed in seeds])
        yield [variant, *(f"{at.value:.2f} ({at.low:.2f} to {at.high:.2f})" for at in found.values())]


def drawn(seeds: range, epochs: int) -> Iterator[list[str]]:
    """New digits against real ones, on principal components of other real ones."""
    yield ["digits, 597 new rows", "Fréchet", "precision", "recall", "density", "coverage"]
    features, train, real = np.split(np.random.default_rng(0).permutation(load_digits().data), [600, 1200])
    embedder = Embedder("Linear", random_state=0).fit(features)
    yield ["real rows", *(f"{each:.2f}" for each in generation(embedder, train[: len(real)], real))]
    for variant in ("Linear", "Vanilla", "VAE"):
        fits = [Synthesizer(variant, random_state=seed).fit(train) for seed in seeds]
        figures = np.mean([generation(embedder, each.sample(len(real)), real) for each in fits], 0)
        yield [variant, *(f"{each:.2f}" for each in figures)]


def bits(seeds: range, epochs: int) -> Iterator[list[str]]:
    """Bits per value of rows held out, rounded to whole numbers; a VAE beside the packers."""
    yield ["bits per value", "VAE", "raw", "zlib", "lzma"]
    digits, pen = np.random.default_rng(0).permutation(load_digits().data), np.load(PENDIGITS / "pendigits.npz")
    for name, train, test in (
        ("digits", digits[:1400], digits[1400:]),
        ("pendigits", pen["train_x"], pen["test_x"][:1000]),
    ):
        fits = [Embedder("VAE", random_state=seed).fit(train) for seed in seeds]
        found = [compression(each, test, precision=1.0) for each in fits]
        told = np.mean([each.bits for each in found])
        yield [name, *(f"{each:.2f}" for each in (told, found[0].raw, found[0].zlib, found[0].lzma))]


def factors(seeds: range, epochs: int = EPOCHS) -> Iterator[list[str]]:
    """Codes of 10 numbers of images that were not learned from: medians over the seeds, least and largest MIG."""
    yield ["code", *MEASURES, "least MIG", "largest MIG", "CPU s of the fit"]
    learned, judged = (shapes(n, SIDE, levels=LEVELS, seed=seed) for seed, n in enumerate((IMAGES, JUDGED)))
    x, y = (torch.from_numpy(each.images.reshape(-1, SIDE**2)) for each in (learned, judged))
    codes = PCA(NETWORK["latent"]).fit(x).transform(y)
    yield ["PCA", *(f"{each:.3f}" for each in measures(codes, judged.factors, 0)), "", "", ""]
    for variant in PRICES:
        figures = np.array([known_factors(variant, x, y, judged.factors, seed, epochs) for seed in seeds])
        told, (low, high) = np.median(figures, 0), (figures[:, 0].min(), figures[:, 0].max())
        yield [variant, *(f"{each:.3f}" for each in told[:-1]), f"{low:.3f}", f"{high:.3f}", f"{told[-1]:.0f}"]


def known_factors(variant: str, x: Tensor, y: Tensor, known: np.ndarray, seed: int, epochs: int) -> list[float]:
    """Every measure of the codes of ``y`` by a fit to ``x``, and its CPU seconds."""
    recipe = named()[variant](**NETWORK, **PRICES[variant])
    with seeded(seed):
        autoencoder = recipe.build(PIXELS)
    begin = time.process_time()
    recipe.train(autoencoder, Trainer(epochs=epochs, batch_size=BATCH, lr=RATE), Rows(x), seed=seed)
    seconds = time.process_time() - begin
    with torch.no_grad():
        codes = autoencoder.eval().encode(y).z.numpy()
    return [*measures(codes, known, seed), seconds]


def measures(codes: np.ndarray, known: np.ndarray, seed: int) -> list[float]:
    """The figures of ``MEASURES``."""
    disentangled, complete, _ = dci(codes, known, trees=TREES, seed=seed)
    gap, apart, votes = (each(codes, known, seed=seed) for each in (mutual_information_gap, sap, factor_vae_score))
    return [gap, apart, disentangled, complete, votes, *infomec(codes, known, seed=seed)]


TABLES: dict[str, Callable[[range, int], Iterator[list[str]]]] = {
    "stability": stable,
    "rows": drawn,
    "bits": bits,
    "factors": factors,
}


if __name__ == "__main__":
    main()
