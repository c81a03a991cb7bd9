"""What a latent space is worth: stable over seeds, like real rows when drawn from, short in bits, disentangled.

    python -m benchmarks.latent [--only stability rows bits factors] [--seeds 4] [--epochs 40]

Everything is at its default but for what a table says. Digits are those of scikit-learn.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

from diabolo import Embedder, Synthesizer, Trainer
from diabolo.evaluate import (
    active_units,
    compression,
    factor_vae_score,
    generation,
    infomec,
    mutual_information_gap,
    sap,
    shapes,
    stability,
)

PENDIGITS = Path(os.environ.get("DIABOLO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "digits"
LEVELS = (3, 4, 8, 16, 16)


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=TABLES, default=tuple(TABLES))
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=40, help="of the images of known factors")
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


def factors(seeds: range, epochs: int) -> Iterator[list[str]]:
    """Codes of 6 numbers of 6,000 images of 16 x 16 pixels, learned as tables: medians over the seeds."""
    yield ["shapes", "MIG", "SAP", "FactorVAE", "InfoM", "InfoE", "InfoC", "active units"]
    images, known = shapes(6000, side=16, levels=LEVELS)
    for variant in ("Linear", "VAE", "BetaTCVAE"):
        figures = [known_factors(variant, images.reshape(len(images), -1), known, seed, epochs) for seed in seeds]
        yield [variant, *(f"{each:.3g}" for each in np.median(figures, 0))]


def known_factors(variant: str, rows: np.ndarray, known: np.ndarray, seed: int, epochs: int) -> list[float]:
    """Every figure of one fit."""
    embedder = Embedder(variant, trainer=Trainer(epochs=epochs), random_state=seed).set_params(variant__latent=6)
    if variant != "Linear":
        embedder.set_params(variant__hidden=(128, 64))
    codes = embedder.fit_transform(rows)
    single = [each(codes, known) for each in (mutual_information_gap, sap, factor_vae_score)]
    return [*single, *infomec(codes, known), active_units(codes)]


TABLES: dict[str, Callable[[range, int], Iterator[list[str]]]] = {
    "stability": stable,
    "rows": drawn,
    "bits": bits,
    "factors": factors,
}


if __name__ == "__main__":
    main()
