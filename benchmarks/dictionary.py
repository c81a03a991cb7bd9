"""How well known dictionaries are recovered from synthetic activations: every dictionary of the house, side by side.

    python -m benchmarks.dictionary [--width 64] [--features 512] [--active 5] [--rows 50000] [--epochs 10] [--seeds 3]
                                    [--variants TopKDictionary,Dictionary]

Flat: a row is the sum of some of ``--features`` unit vectors in ``--width`` dimensions, each used with the chance that
makes ``--active`` of them on average, with sizes uniform in [0.5, 1.5], and normal noise of 0.02. Seeds change the
vectors, the rows and the weights. Rows are prepared as for any task (each column standardised); recovered atoms are
compared in the units of the rows. Every variant has as many atoms as there are features, its own defaults, and the same
trainer. The figures of codes are those of ``--held-out`` rows that were not trained on.

MMCS: mean over the true vectors of the largest cosine with an atom; found: share of them with one above 0.9.

Families: 16 general features, two of them in use per row; a row that uses one uses, with chance 1/2, also one of its 7
special features. ``k`` is 3, the number in use. Sparse codes are tempted to have an atom for "general and special
together", so that the general one is off where it belongs. Absorbed: share of the uses of a general feature beside a
special one, in which the atom nearest to the general one is off; missed: the same where it is used alone; false: share
of rows without the general feature in which the atom is on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch

from diabolo.autoencoder import Autoencoder
from diabolo.batches import Rows
from diabolo.evaluate import atoms, fidelity, mean_max_cosine
from diabolo.preparation import Preparation
from diabolo.randomness import seeded
from diabolo.trainer import Trainer
from diabolo.variants import Variant, dictionary, named

NOISE = 0.02
FOUND = 0.9
VARIANTS = tuple(each for each in dictionary.__all__ if each != "Transcoder")
NESTED = ("TopKDictionary", "BatchTopK", "Matryoshka")  # those compared on families
GENERAL, SPECIAL = 16, 7


@dataclass(frozen=True)
class Setting:
    """How much of what."""

    width: int = 64
    features: int = 512
    active: float = 5.0
    rows: int = 50_000
    held_out: int = 20_000
    epochs: int = 10
    batch_size: int = 256
    lr: float = 1e-2


FAMILIES = Setting(width=32, features=GENERAL * (1 + SPECIAL), active=2.0, rows=20_000, held_out=10_000)


class Fit(NamedTuple):
    """What came of one fit."""

    autoencoder: Autoencoder
    atoms: np.ndarray
    held_out: Rows
    seconds: float


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for each in fields(Setting):
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=type(each.default), default=each.default)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    setting = Setting(**{each.name: getattr(asked, each.name) for each in fields(Setting)})
    wanted = asked.variants.split(",")
    for lines in (flat(wanted, setting, range(asked.seeds)), nested(range(asked.seeds))):
        for line in lines:
            print(" | ".join(line), flush=True)


def flat(variants: list[str] | tuple[str, ...], setting: Setting, seeds: range) -> Iterator[list[str]]:
    """A header, and for each variant the mean over the seeds, of MMCS and dead atoms also the worst."""
    yield ["variant", "MMCS", "worst", "found %", "L0", "explained variance", "dead %", "worst", "CPU s of the fit"]
    for name in variants:
        figures = np.array([recovered(name, setting, seed) for seed in seeds])
        cosine, found, l0, explained, dead, seconds = figures.mean(0)
        worst = figures[:, 0].min(), 100 * figures[:, 4].max()
        yield [
            name, f"{cosine:.4f}", f"{worst[0]:.4f}", f"{100 * found:.1f}", f"{l0:.2f}", f"{explained:.4f}",
            f"{100 * dead:.2f}", f"{worst[1]:.2f}", f"{seconds:.1f}",
        ]  # fmt: skip


def nested(seeds: range) -> Iterator[list[str]]:
    """A header, and for each variant that is compared on families the mean over the seeds."""
    yield ["variant", "cosine, general", "cosine, special", "absorbed %", "missed %", "false %", "L0", "dead %"]
    for name in NESTED:
        figures = np.mean([absorbed(name, seed) for seed in seeds], 0)
        cosines, shares, (l0, dead) = figures[:2], 100 * figures[2:5], figures[5:]
        told = [*(f"{each:.3f}" for each in cosines), *(f"{each:.1f}" for each in shares)]
        yield [name, *told, f"{l0:.2f}", f"{100 * dead:.2f}"]


def recovered(name: str, setting: Setting, seed: int) -> tuple[float, ...]:
    """MMCS, share found, L0, explained variance, dead share, CPU seconds."""
    x, truth = activations(setting, seed)
    fit = fitted(named()[name](latent=setting.features), x, setting, seed)
    share = float(((truth @ fit.atoms.T).max(1) > FOUND).mean())
    return mean_max_cosine(truth, fit.atoms), share, *fidelity(fit.autoencoder, fit.held_out), fit.seconds


def absorbed(name: str, seed: int) -> list[float]:
    """Cosines of general and special features, shares absorbed, missed and false, L0, dead share."""
    x, truth, used = families(FAMILIES, seed)
    fit = fitted(named()[name](latent=FAMILIES.features, k=3), x, FAMILIES, seed)
    cosines = truth @ fit.atoms.T
    general, special = np.split(used[FAMILIES.rows :], [GENERAL], 1)
    beside = special.reshape(-1, GENERAL, SPECIAL).any(2)
    on = codes(fit)[:, cosines[:GENERAL].argmax(1)] != 0
    shares = [1 - on[general & beside].mean(), 1 - on[general & ~beside].mean(), on[~general].mean()]
    l0, _, dead = fidelity(fit.autoencoder, fit.held_out)
    return [cosines[:GENERAL].max(1).mean(), cosines[GENERAL:].max(1).mean(), *shares, l0, dead]


def fitted(variant: Variant, x: np.ndarray, setting: Setting, seed: int) -> Fit:
    """The variant fitted to the first rows, its atoms in the units of the rows, and the rows held out, prepared."""
    preparation = Preparation().fit(x[: setting.rows])
    rows = preparation.transform(x)
    with seeded(seed):
        autoencoder = variant.build(preparation.schema_)
    trainer = Trainer(epochs=setting.epochs, batch_size=setting.batch_size, lr=setting.lr)
    begin = time.process_time()
    variant.train(autoencoder, trainer, Rows(rows[: setting.rows]), seed=seed)
    seconds = time.process_time() - begin
    return Fit(autoencoder, atoms(autoencoder, preparation.schema_), Rows(rows[setting.rows :]), seconds)


@torch.no_grad()
def codes(fit: Fit) -> np.ndarray:
    """The codes of the rows held out."""
    parts = [fit.autoencoder.eval().encode(batch.x).z for batch in fit.held_out.ordered(5000)]
    return torch.cat(parts).numpy()


def activations(setting: Setting, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and held-out rows behind them; the true unit vectors as rows."""
    dice = np.random.default_rng(seed)
    truth = directions(dice, setting)
    parts = [_block(dice, truth, setting.active) for _ in range(-(-(setting.rows + setting.held_out) // 5000))]
    return np.concatenate(parts)[: setting.rows + setting.held_out], truth


def families(setting: Setting, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows; the true unit vectors, the general ones first, then the special ones of each; which of them a row uses."""
    dice = np.random.default_rng(seed)
    truth, n = directions(dice, setting), setting.rows + setting.held_out
    general = dice.random((n, GENERAL)) < setting.active / GENERAL
    beside = general & (dice.random((n, GENERAL)) < 0.5)
    special = beside[..., None] & (dice.integers(SPECIAL, size=(n, GENERAL))[..., None] == np.arange(SPECIAL))
    used = np.concatenate([general, special.reshape(n, -1)], 1)
    return _rows(dice, truth, used), truth, used


def directions(dice: np.random.Generator, setting: Setting) -> np.ndarray:
    """A unit vector per feature."""
    truth = dice.normal(size=(setting.features, setting.width))
    return truth / np.linalg.norm(truth, axis=1, keepdims=True)


def _block(dice: np.random.Generator, truth: np.ndarray, active: float) -> np.ndarray:
    return _rows(dice, truth, dice.random((5000, len(truth))) < active / len(truth))


def _rows(dice: np.random.Generator, truth: np.ndarray, used: np.ndarray) -> np.ndarray:
    sizes = used * dice.uniform(0.5, 1.5, used.shape)
    return sizes @ truth + NOISE * dice.normal(size=(len(used), truth.shape[1]))


if __name__ == "__main__":
    main()
