"""How probable digits are to generative autoencoders: dynamically binarised MNIST, -log p in nats per image.

    python -m benchmarks.generation [--network convolutional] [--variants VAE,IWAE] [--epochs 60] [--seeds 3] [...]

Training binarises every pixel anew in every epoch, by its brightness; the test images are binarised once, with a fixed
seed. ``elbo`` is the bound of one draw of the code, ``nll`` that of ``--samples`` weighed draws (Burda et al., 2016),
both over ``--test`` test images, evenly spaced. One network for all, under a million weights, of 40 code numbers: two
layers of 236 units with a residual block each, mirrored; ``--network convolutional`` two stages of 32 and 64 channels
instead, trained in bf16. One configuration for all variants, at their defaults else but for the codes above the code
of LadderVAE, 16 numbers, 128 units in between, and for the units of FlowPrior: 8 per code number, which are 155,000
weights more. With ``--draws`` they learn from the importance bound of so many codes per image, as the IWAE. Variants
and seeds are trained side by side, each on one thread.
"""

from __future__ import annotations

import argparse
import lzma
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
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
from diabolo.variants import Variant, named

DATA = Path(os.environ.get("DIABOLO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "images"
SIDE = 28
CODE = {"latent": 40, "network": "residual"}
HIDDEN = {"dense": (236, 236), "convolutional": (32, 64)}
SHAPES = {"dense": (SIDE**2,), "convolutional": (1, SIDE, SIDE)}
PRECISION = {"dense": "float32", "convolutional": "bf16"}
OWN = {"LadderVAE": {"above": (16,), "units": 128}, "FlowPrior": {"units": 320}}
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
    parser.add_argument("--network", choices=HIDDEN, default="dense")
    parser.add_argument("--variants", default="VAE,IWAE")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--test", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=0, help="codes per image in training; 0: as the variant has it")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the first of the seeds")
    asked = parser.parse_args()
    plan = Plan(asked.network, asked.epochs, asked.rows, asked.test, asked.samples, asked.draws)
    for line in table(asked.variants, plan, range(asked.first, asked.first + asked.seeds)):
        print(" | ".join(line), flush=True)


@dataclass(frozen=True)
class Plan:
    """What is trained for how long on how many images, and on how many it is judged by how many draws of the code."""

    network: str = "dense"
    epochs: int = 60
    rows: int = 60_000
    test: int = 10_000
    samples: int = 1000
    draws: int = 0

    @property
    def schema(self) -> Schema:
        """The pixels, as columns or as a grid."""
        if self.network == "convolutional":
            return Schema((Column("pixel", "boolean", "Bernoulli"),), "image", (SIDE, SIDE))
        return Schema(tuple(Column(f"pixel{i}", "boolean", "Bernoulli") for i in range(SIDE**2)))

    def images(self, part: str, count: int) -> Tensor:
        """The brightness of every pixel of images evenly spaced over the part, from 0 to 1."""
        every = images(part)
        return every[:: max(len(every) // count, 1)][:count].view(-1, *SHAPES[self.network])

    def variant(self, name: str) -> Variant:
        """The variant with the network of the plan."""
        drawn = {"samples": self.draws} if self.draws else {}
        return named()[name](hidden=HIDDEN[self.network], **CODE, **OWN.get(name, {}), **drawn)


def table(variants: str, plan: Plan, seeds: range) -> Iterator[list[str]]:
    """Lines of text: a header, and one line per variant with means over the seeds."""
    names = variants.split(",")
    yield HEADER
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as processes:
        runs = [processes.submit(run, name, plan, seed) for name in names for seed in seeds]
        for i, name in enumerate(names):
            own = runs[i * len(seeds) : (i + 1) * len(seeds)]
            weights, elbo, nll, seconds = np.array([each.result() for each in own]).T
            spread = f"{nll.std():.2f}" if len(seeds) > 1 else ""
            figures = f"{elbo.mean():.2f}", f"{nll.mean():.2f}", spread, f"{seconds.mean():.0f}"
            label = f"{name}, {plan.draws} draws" if plan.draws else name
            yield [label, f"{weights[0]:,.0f}", str(plan.epochs), *figures]


def run(name: str, plan: Plan, seed: int) -> tuple[float, float, float, float]:
    """Weights, both bounds on the test images, and CPU-seconds of the training."""
    torch.set_num_threads(1)
    train = Binarised(plan.images("train", plan.rows))
    held_out = torch.bernoulli(plan.images("test", plan.test), generator=torch.Generator().manual_seed(0))
    trainer = Trainer(epochs=plan.epochs, batch_size=128, precision=PRECISION[plan.network])
    begin = time.process_time()
    autoencoder = trained(plan.variant(name), plan.schema, trainer, train, seed)
    seconds = time.process_time() - begin
    elbo, nll = (float(importance_bound(autoencoder, held_out, each).mean()) for each in (1, plan.samples))
    return sum(each.numel() for each in autoencoder.parameters()), elbo, nll, seconds


def trained(variant: Variant, schema: Schema, trainer: Trainer, train: Binarised, seed: int) -> Autoencoder:
    """The autoencoder of a variant, from its first weights to its last."""
    with seeded(seed):
        autoencoder = variant.build(schema)
    variant.train(autoencoder, trainer, train, seed=seed)
    return autoencoder


def images(part: str) -> Tensor:
    """The brightness of every pixel from 0 to 1, shape (images, 784)."""
    with lzma.open(DATA / f"mnist_{part}_images.idx3.xz") as packed:
        pixels = np.frombuffer(packed.read(), np.uint8, offset=16)
    return torch.from_numpy(pixels.reshape(-1, SIDE**2).astype(np.float32) / 255)


if __name__ == "__main__":
    main()
