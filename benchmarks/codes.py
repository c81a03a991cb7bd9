"""How discrete codes are used: one short training per variant on images, everything else at its default.

    python -m benchmarks.codes [--steps 250] [--seeds 1]

Two convolutions of 16 and 32 channels, 7 x 7 tokens per image, batches of 256. Errors are those of the 10,000 test
images in [0, 1]; codes are counted over all of them.
"""

from __future__ import annotations

import argparse
import lzma
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diabolo.autoencoder import Autoencoder
from diabolo.batches import Rows
from diabolo.bottlenecks import FiniteScalar
from diabolo.evaluate import Usage, usage
from diabolo.randomness import seeded
from diabolo.schema import numbers
from diabolo.trainer import Trainer
from diabolo.variants import FSQ, LFQ, RQVAE, VQVAE, DiscreteVAE, SimVQ, Variant

DATA = Path(os.environ.get("DIABOLO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "images"
STEPS, BATCH, HIDDEN = 250, 256, (16, 32)
# Set, variant, codes per token.
RUNS: tuple[tuple[str, Variant, int], ...] = (
    ("fashion", VQVAE(codes=512, heads=1, latent=32, hidden=HIDDEN), 512),
    ("mnist", VQVAE(codes=512, heads=1, latent=32, hidden=HIDDEN), 512),
    ("fashion", VQVAE(codes=256, heads=1, latent=32, hidden=HIDDEN), 256),
    ("fashion", VQVAE(codes=256, heads=1, latent=32, hidden=HIDDEN, update="gradient"), 256),
    ("fashion", VQVAE(codes=256, heads=1, latent=32, hidden=HIDDEN, distance="cosine"), 256),
    ("fashion", SimVQ(codes=256, heads=1, latent=32, hidden=HIDDEN), 256),
    ("fashion", FSQ(levels=4, latent=4, hidden=HIDDEN), 4**4),
    ("fashion", LFQ(latent=8, hidden=HIDDEN), 2**8),
    ("fashion", RQVAE(codes=256, stages=2, latent=32, hidden=HIDDEN), 256),
    ("fashion", DiscreteVAE(codes=256, heads=1, latent=32, hidden=HIDDEN), 256),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    for line in table(asked.steps, range(asked.seeds)):
        print(" | ".join(line), flush=True)


def table(steps: int, seeds: range) -> Iterator[list[str]]:
    """Lines of text: a header, and one line per set and variant, means over the seeds, on one thread."""
    torch.set_num_threads(1)
    yield ["set", "variant", "PSNR dB", "MSE", "codes used", "perplexity", "of", "CPU s"]
    for name, variant, codes in RUNS:
        figures = np.mean([run(name, variant, codes, steps, seed) for seed in seeds], 0)
        mse, used, perplexity, seconds = figures
        told = [f"{-10 * math.log10(mse):.2f}", f"{mse:.5f}", f"{used:.1%}", f"{perplexity:.1f}", str(codes)]
        yield [name, repr(variant), *told, f"{seconds:.0f}"]


def run(name: str, variant: Variant, codes: int, steps: int, seed: int) -> tuple[float, float, float, float]:
    """Mean squared error on the test images, use of the codes, and CPU-seconds of the training."""
    train, test = images(name, "train"), images(name, "test")
    mean, scale = train.mean(), train.std()
    rows = Rows((train[: BATCH * (steps // 2)] - mean) / scale)
    with seeded(seed):
        autoencoder = variant.build(numbers(1, "image", (28, 28)))
    begin = time.process_time()
    variant.train(autoencoder, Trainer(epochs=2, batch_size=BATCH), rows, seed=seed)
    seconds = time.process_time() - begin
    told, found = judged(autoencoder, (test - mean) / scale, codes)
    return float((told * scale + mean - test).square().mean()), *found, seconds


@torch.no_grad()
def judged(autoencoder: Autoencoder, x: Tensor, codes: int) -> tuple[Tensor, Usage]:
    """The images as they come back, and the use of all codes."""
    trips = [autoencoder(part) for part in x.split(500)]
    tokens = torch.cat([trip.code.tokens for trip in trips])
    if isinstance(autoencoder.bottleneck, FiniteScalar):  # the digits of a place are one token together
        base = round(codes ** (1 / tokens.shape[1]))
        tokens = (tokens * (base ** torch.arange(tokens.shape[1])).view(-1, 1, 1)).sum(1, keepdim=True)
    return torch.cat([autoencoder.likelihood.best(trip.output) for trip in trips]), usage(tokens, codes)


def images(name: str, part: str) -> Tensor:
    """All images of a part, (n, 1, 28, 28) in [0, 1]."""
    with lzma.open(DATA / f"{name}_{part}_images.idx3.xz") as file:
        raw = np.frombuffer(file.read(), np.uint8, offset=16)
    return torch.tensor(raw.reshape(-1, 1, 28, 28) / 255, dtype=torch.float32)


if __name__ == "__main__":
    main()
