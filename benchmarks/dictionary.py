"""How well a known dictionary is recovered from synthetic activations: every dictionary of the house, side by side.

    python benchmarks/dictionary.py [--width 64] [--features 512] [--active 5] [--rows 50000] [--epochs 10] [--seeds 3]
                                    [--variants TopKDictionary,Dictionary]

A row is the sum of some of ``--features`` unit vectors in ``--width`` dimensions, each used with the chance that makes
``--active`` of them on average, with sizes uniform in [0.5, 1.5], and normal noise of 0.02. Seeds change the vectors,
the rows and the weights. Rows are prepared as for any task (each column standardised); recovered atoms are compared in
the units of the rows. Every variant has as many atoms as there are features, its own defaults, and the same trainer.
The figures of codes are those of ``--held-out`` rows that were not trained on.

MMCS: mean over the true vectors of the largest cosine with an atom; found: share of them with one above 0.9.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import torch

from diabolo.batches import Rows
from diabolo.evaluate import atoms, fidelity, mean_max_cosine
from diabolo.preparation import Preparation
from diabolo.randomness import seeded
from diabolo.trainer import Trainer
from diabolo.variants import dictionary, named

NOISE = 0.02
FOUND = 0.9


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("width", 64), ("features", 512), ("rows", 50_000), ("epochs", 10), ("seeds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--active", type=float, default=5.0)
    parser.add_argument("--held-out", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variants", default=",".join(each for each in dictionary.__all__ if each != "Transcoder"))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    for line in table(asked):
        print(" | ".join(line), flush=True)


def table(asked: argparse.Namespace) -> Iterator[list[str]]:
    """A header, and for each variant the mean over the seeds, of MMCS and dead atoms also the worst."""
    yield ["variant", "MMCS", "worst", "found %", "L0", "explained variance", "dead %", "worst", "CPU s of the fit"]
    for name in asked.variants.split(","):
        figures = np.array([recovered(name, asked, seed) for seed in range(asked.seeds)])
        cosine, found, l0, explained, dead, seconds = figures.mean(0)
        worst = figures[:, 0].min(), 100 * figures[:, 4].max()
        yield [
            name, f"{cosine:.4f}", f"{worst[0]:.4f}", f"{100 * found:.1f}", f"{l0:.2f}", f"{explained:.4f}",
            f"{100 * dead:.2f}", f"{worst[1]:.2f}", f"{seconds:.1f}",
        ]  # fmt: skip


def recovered(name: str, asked: argparse.Namespace, seed: int) -> tuple[float, ...]:
    """MMCS, share found, L0, explained variance, dead share, CPU seconds."""
    x, truth = activations(asked, seed)
    preparation = Preparation().fit(x[: asked.rows])
    rows = preparation.transform(x)
    variant = named()[name](latent=asked.features)
    with seeded(seed):
        autoencoder = variant.build(preparation.schema_)
    trainer = Trainer(epochs=asked.epochs, batch_size=asked.batch_size, lr=asked.lr)
    begin = time.process_time()
    variant.train(autoencoder, trainer, Rows(rows[: asked.rows]), seed=seed)
    seconds = time.process_time() - begin
    found = atoms(autoencoder, preparation.schema_)
    share = float(((truth @ found.T).max(1) > FOUND).mean())
    return mean_max_cosine(truth, found), share, *fidelity(autoencoder, Rows(rows[asked.rows :])), seconds


def activations(asked: argparse.Namespace, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and held-out rows behind them; the true unit vectors as rows."""
    dice = np.random.default_rng(seed)
    truth = dice.normal(size=(asked.features, asked.width))
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    parts = [_block(dice, truth, asked.active) for _ in range(-(-(asked.rows + asked.held_out) // 5000))]
    return np.concatenate(parts)[: asked.rows + asked.held_out], truth


def _block(dice: np.random.Generator, truth: np.ndarray, active: float) -> np.ndarray:
    used = dice.random((5000, len(truth))) < active / len(truth)
    sizes = used * dice.uniform(0.5, 1.5, used.shape)
    return sizes @ truth + NOISE * dice.normal(size=(5000, truth.shape[1]))


if __name__ == "__main__":
    main()
