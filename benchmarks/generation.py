"""How probable digits are to generative autoencoders: dynamically binarised MNIST, -log p in nats per image.

    python benchmarks/generation.py [--variants VAE,IWAE] [--epochs 100] [--rows 60000] [--seeds 3] [--samples 5000]

Training binarises every pixel anew in every epoch, by its brightness; the test images are binarised once, with a fixed
seed. ``elbo`` is the bound of one draw of the code, ``nll`` that of ``--samples`` weighed draws (Burda et al., 2016),
both over the first ``--test`` test images. One network for all: dense layers of 400 and 200 units, 40 code numbers,
under a million weights. One configuration for all variants.
"""

from __future__ import annotations

import argparse
import lzma
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diabolo.autoencoder import Autoencoder
from diabolo.batches import Batch, Rows
from diabolo.evaluate import importance_bound
from diabolo.randomness import mix, seeded
from diabolo.schema import Column, Schema
from diabolo.trainer import Trainer
from diabolo.variants import named

DATA = Path(os.environ.get("DIABOLO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "images"
SIDE = 28
PIXELS = Schema(tuple(Column(f"pixel{i}", "boolean", "Bernoulli") for i in range(SIDE**2)))
NETWORK = {"latent": 40, "hidden": (236, 236), "network": "residual"}
HEADER = ["variant", "weights", "epochs", "elbo", "nll", "spread of nll", "CPU s of training"]


class Binarised:
    """Images whose pixels are on as often as they are bright, drawn anew in every epoch."""

    def __init__(self, images: Tensor) -> None:
        self.images = Rows(images)
        self.rows = self.images.rows

    def shuffled(self, size: int, seed: int, epoch: int) -> Iterator[Batch]:
        dice = torch.Generator().manual_seed(mix(seed, epoch, 1))
        for batch in self.images.shuffled(size, seed, epoch):
            yield Batch(torch.bernoulli(batch.x, generator=dice))

    def ordered(self, size: int) -> Iterator[Batch]:
        return self.shuffled(size, 0, 0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", default="VAE,IWAE")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--test", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    for line in table(asked.variants, asked.epochs, asked.rows, asked.test, asked.samples, range(asked.seeds)):
        print(" | ".join(line), flush=True)


def table(variants: str, epochs: int, rows: int, test: int, samples: int, seeds: range) -> Iterator[list[str]]:
    """Lines of text: a header, and one line per variant with means over the seeds."""
    train = Binarised(images("train")[:rows])
    held_out = torch.bernoulli(images("test")[:test], generator=torch.Generator().manual_seed(0))
    yield HEADER
    for name in variants.split(","):
        figures, weights = [], 0
        for seed in seeds:
            begin = time.process_time()
            autoencoder = trained(name, epochs, train, seed)
            seconds = time.process_time() - begin
            weights = sum(each.numel() for each in autoencoder.parameters())
            found = [float(importance_bound(autoencoder, held_out, each).mean()) for each in (1, samples)]
            figures.append([*found, seconds])
        elbo, nll, seconds = np.mean(figures, 0)
        spread = f"{np.std(figures, 0)[1]:.2f}"
        yield [name, f"{weights:,}", str(epochs), f"{elbo:.2f}", f"{nll:.2f}", spread, f"{seconds:.0f}"]


def trained(name: str, epochs: int, train: Binarised, seed: int) -> Autoencoder:
    """The variant, from its first weights to its last."""
    variant = named()[name](**NETWORK)
    with seeded(seed):
        autoencoder = variant.build(PIXELS)
    variant.train(autoencoder, Trainer(epochs=epochs, batch_size=128), train, seed=seed)
    return autoencoder


def images(part: str) -> Tensor:
    """The brightness of every pixel from 0 to 1, shape (images, 784)."""
    with lzma.open(DATA / f"mnist_{part}_images.idx3.xz") as packed:
        pixels = np.frombuffer(packed.read(), np.uint8, offset=16)
    return torch.from_numpy(pixels.reshape(-1, SIDE**2).astype(np.float32) / 255)


if __name__ == "__main__":
    main()
