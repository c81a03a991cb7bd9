"""The same VAE trained here and by Pythae: CPU-seconds and -log p in nats per image, binarised MNIST.

    pip install --no-deps pythae cloudpickle pydantic pydantic-core annotated-types typing-inspection imageio
    python benchmarks/beside_pythae.py [--epochs 20] [--rows 20000] [--test 1000] [--samples 1000] [--seeds 3]

Both get layers of 400 and 200 units with SiLU between them, 40 code numbers, Bernoulli pixels drawn in every epoch,
batches of 128, Adam with a rate of 1e-3, one thread and the same images; the runs alternate. Each side keeps its own
start of the weights, its own schedule and the weights of its last epoch. ``nll`` is the importance-weighted bound of
``--samples`` draws, by one function for both. Pythae is no dependency, since its released version pins old packages.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.generation import SIDE, Binarised, Plan, images, trained
from diabolo import Trainer
from diabolo.variants import VAE

HEADER = ["library", "epochs", "elbo", "nll", "spread of nll", "CPU s of training", "spread"]
LATENT, WIDE, NARROW, BATCH, RATE = 40, 400, 200, 128, 1e-3
AT_ONCE = 20_000  # codes decoded together
Parts = tuple[Callable[[Tensor], tuple[Tensor, Tensor]], Callable[[Tensor], Tensor]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for line in table(asked.epochs, asked.rows, asked.test, asked.samples, range(asked.seeds)):
        print(" | ".join(line), flush=True)


def table(epochs: int, rows: int, test: int, samples: int, seeds: range) -> Iterator[list[str]]:
    """Lines of text: a header, and one line per library with means over the seeds."""
    train = images("train")[:rows]
    held_out = torch.bernoulli(images("test")[:test], generator=torch.Generator().manual_seed(0))
    figures: dict[str, list[tuple[float, float, float]]] = {"diabolo": [], "Pythae": []}
    for seed in seeds:
        for name, learn in (("diabolo", ours), ("Pythae", theirs)):
            begin = time.process_time()
            parts = learn(train, epochs, seed)
            seconds = time.process_time() - begin
            figures[name].append((*(bound(parts, held_out, each) for each in (1, samples)), seconds))
    yield HEADER
    for name, found in figures.items():
        (elbo, nll, seconds), (_, apart, spread) = np.mean(found, 0), np.std(found, 0)
        yield [name, str(epochs), f"{elbo:.2f}", f"{nll:.2f}", f"{apart:.2f}", f"{seconds:.1f}", f"{spread:.1f}"]


def ours(train: Tensor, epochs: int, seed: int) -> Parts:
    """A VAE of diabolo: what gives mean and scale of the code, and what gives logits of the pixels."""
    variant = VAE(latent=LATENT, hidden=(WIDE, NARROW))
    autoencoder = trained(
        variant, Plan().schema, Trainer(epochs=epochs, batch_size=BATCH, lr=RATE), Binarised(train), seed
    )

    def read(x: Tensor) -> tuple[Tensor, Tensor]:
        posterior = autoencoder.encode(x).posterior
        return posterior.mean, posterior.stddev

    return read, autoencoder.decoder


def theirs(train: Tensor, epochs: int, seed: int) -> Parts:
    """A VAE of Pythae, likewise."""
    from pythae import models
    from pythae.data.datasets import BaseDataset, DatasetOutput
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Reader(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Flatten(), nn.Linear(SIDE**2, WIDE), nn.SiLU(), nn.Linear(WIDE, NARROW), nn.SiLU()
            )
            self.mean, self.log_variance = nn.Linear(NARROW, LATENT), nn.Linear(NARROW, LATENT)

        def forward(self, x: Tensor) -> ModelOutput:
            h = self.layers(x)
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))

    class Writer(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            layers = [nn.Linear(LATENT, NARROW), nn.SiLU(), nn.Linear(NARROW, WIDE), nn.SiLU()]
            self.layers = nn.Sequential(*layers, nn.Linear(WIDE, SIDE**2))

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.layers(z).sigmoid().view(-1, 1, SIDE, SIDE))

    class Drawn(BaseDataset):
        def __getitem__(self, index: int) -> DatasetOutput:
            return DatasetOutput(data=torch.bernoulli(self.data[index]), labels=self.labels[index])

    shape = (1, SIDE, SIDE)
    model = models.VAE(
        models.VAEConfig(shape, latent_dim=LATENT, reconstruction_loss="bce"), encoder=Reader(), decoder=Writer()
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        asked = BaseTrainerConfig(
            folder, BATCH, num_epochs=epochs, learning_rate=RATE, seed=seed, no_cuda=True, keep_best_on_train=False
        )
        data = Drawn(train.view(-1, *shape), torch.ones(len(train)))
        BaseTrainer(model, train_dataset=data, training_config=asked).train()
    model.eval()

    def read(x: Tensor) -> tuple[Tensor, Tensor]:
        told = model.encoder(x.view(-1, *shape))
        return told.embedding, (told.log_covariance / 2).exp()

    return read, model.decoder.layers


@torch.inference_mode()
def bound(parts: Parts, x: Tensor, samples: int) -> float:
    """The mean over rows of ``-log 1/K sum_k p(x, z_k) / q(z_k | x)``."""
    read, write = parts
    dice, total = torch.Generator().manual_seed(1), 0.0
    for row in x.split(max(1, AT_ONCE // samples)):
        mean, scale = (each.repeat_interleave(samples, 0) for each in read(row))
        noise = torch.randn(mean.shape, generator=dice)
        z = mean + scale * noise
        pixels = row.repeat_interleave(samples, 0)
        log_p = -functional.binary_cross_entropy_with_logits(write(z), pixels, reduction="none").sum(1)
        weight = log_p + (noise.square() / 2 - z.square() / 2 + scale.log()).sum(1)
        total += float((math.log(samples) - weight.view(-1, samples).logsumexp(1)).sum())
    return total / len(x)


if __name__ == "__main__":
    main()
