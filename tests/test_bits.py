"""Bits against the exact probabilities of intervals, and against the packers themselves."""

from __future__ import annotations

import lzma
import math
import tracemalloc
import zlib
from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.stats import norm

from diabolo import Embedder, Trainer
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.evaluate import compression
from diabolo.evaluate.bits import WIDTHS, _by_row
from diabolo.preparation import Preparation
from diabolo.randomness import seeded
from diabolo.variants import VAE


def dull(rows: object, likelihoods: Mapping[str, str] | None = None) -> Embedder:
    """A model that tells nothing of a row by its code: every value has the distribution of its column."""
    embedder = Embedder("VAE", trainer=Trainer(epochs=1), likelihoods=likelihoods, random_state=0).fit(rows)
    with torch.no_grad():
        for part in (embedder.autoencoder_.encoder, embedder.autoencoder_.decoder):
            for weights in part.parameters():
                weights.zero_()
    return embedder


@pytest.fixture(scope="module")
def normal() -> np.ndarray:
    return np.random.default_rng(0).normal(5, [2.0, 0.5, 10.0], size=(1500, 3))


@torch.no_grad()
def told(embedder: Embedder) -> torch.distributions.Distribution:
    return embedder.autoencoder_.likelihood(embedder.autoencoder_.decoder(torch.zeros(1, 8)))


@pytest.mark.parametrize("step", [0.01, 0.1, 1.0])
def test_bits_are_those_of_intervals_or_a_little_more(step: float, normal: np.ndarray) -> None:
    """Against the normal distribution function; coarse steps, 2 standard deviations here, cost some of a bit."""
    embedder = dull(normal)
    found = compression(embedder, normal[:1000], precision=step, samples=1)
    columns, scale = embedder.preparation_.schema_.columns, told(embedder).stddev[0].numpy()
    center, spread = (np.array([getattr(each, name) for each in columns]) for name in ("center", "scale"))
    middle = np.rint(normal[:1000] / step) * step
    high, low = (norm.cdf((middle + side * step - center) / spread / scale) for side in (0.5, -0.5))
    exact = -np.log2(high - low)
    assert exact.mean() <= found.bits + 3 * found.error
    assert found.bits == pytest.approx(exact.mean(), abs=0.01 if step < 1 else 0.1)


def test_half_the_precision_is_a_bit_more(normal: np.ndarray) -> None:
    embedder = dull(normal)
    fine, finer = (compression(embedder, normal, precision=step, samples=1).bits for step in (0.02, 0.01))
    assert finer - fine == pytest.approx(1, abs=0.01)


def test_precision_by_column(normal: np.ndarray) -> None:
    embedder = dull(normal)
    one = compression(embedder, normal, precision=0.02, samples=1)
    many = compression(embedder, normal, precision={"x0": 0.02, "x1": 0.01, "x2": 0.04}, samples=1)
    assert many.bits == pytest.approx(one.bits, abs=0.01)


def test_counts_and_flags_have_the_bits_of_their_probabilities() -> None:
    dice = np.random.default_rng(0)
    rows = np.stack([dice.poisson(3, 2000), dice.random(2000) < 0.2], 1).astype(float)
    embedder = dull(rows, likelihoods={"x0": "NegativeBinomial"})
    assert "number" not in {each.kind for each in embedder.preparation_.schema_.columns}
    x = embedder.preparation_.transform(rows)
    with torch.no_grad():
        told = embedder.autoencoder_.decoder(torch.zeros(len(x), 8))
        nats = embedder.autoencoder_.likelihood.errors(told, x).mean()
    assert compression(embedder, rows, samples=1).bits == pytest.approx(
        float(nats) / math.log(2), abs=1e-3
    )  # of a draw


def test_a_lattice_has_the_bits_of_its_probabilities() -> None:
    """A discretised likelihood is asked for no interval, and its step is that of the values."""
    rows = 3 + 0.5 * np.random.default_rng(0).binomial(12, [0.5, 0.2, 0.8], size=(800, 3))
    embedder = dull(rows, likelihoods={"*": "DiscretisedLogistic"})
    x = embedder.preparation_.transform(rows)
    with torch.no_grad():
        told = embedder.autoencoder_.decoder(torch.zeros(len(x), 8))
        nats = embedder.autoencoder_.likelihood.errors(told, x).mean()
    found = compression(embedder, rows, samples=1)
    assert found.bits == pytest.approx(float(nats) / math.log(2), abs=1e-3) and found.raw == 8
    assert found.bits == pytest.approx(compression(embedder, rows, precision=0.5, samples=1).bits, abs=1e-3)


def test_others_are_as_large_as_they_say(normal: np.ndarray) -> None:
    found = compression(dull(normal), normal, precision=1.0, samples=1)
    whole = np.rint(normal).astype(int)
    columns = (whole - whole.min(0)).astype(np.uint8)
    assert found.raw == 8
    assert found.zlib == 8 * min(len(zlib.compress(each.tobytes(), 9)) for each in (columns, columns.T)) / whole.size
    assert (
        found.lzma
        == 8 * min(len(lzma.compress(each.tobytes(), preset=9)) for each in (columns, columns.T)) / whole.size
    )
    assert found.ratio == found.raw / found.bits
    assert compression(dull(normal), normal, precision=0.01, samples=1).raw == 16


@pytest.mark.parametrize("shape", [(7,), (3, 2, 4), (0,), (2, 0)])
def test_bytes_go_row_by_row_without_an_object_for_each_value(shape: tuple[int, ...]) -> None:
    columns = [np.arange(math.prod(shape)).reshape(shape).astype(kind) for _, kind in WIDTHS]
    assert _by_row(columns) == b"".join(each[row].tobytes() for row in range(shape[0]) for each in columns)
    many = [np.arange(100_000, dtype=np.uint8)] * 2
    tracemalloc.start()
    _by_row(many)
    assert tracemalloc.get_traced_memory()[1] < 10 * sum(each.nbytes for each in many)
    tracemalloc.stop()


def test_a_model_that_learned_needs_fewer_bits() -> None:
    """Rows near a plane: each value is known from the code to a tenth of its spread, log2 10 = 3.3 bits."""
    dice = np.random.default_rng(0)
    rows = dice.normal(size=(2500, 2)) @ dice.normal(size=(2, 12)) + 0.05 * dice.normal(size=(2500, 12))
    embedder = (
        Embedder("VAE", trainer=Trainer(epochs=40), random_state=0).set_params(variant__latent=3).fit(rows[:2000])
    )
    found, nothing = (compression(each, rows[2000:], precision=0.01) for each in (embedder, dull(rows[:2000])))
    assert found.bits < nothing.bits - 1.5
    assert found.bits < min(found.zlib, found.lzma)
    assert compression(embedder, rows[2000:], precision=0.01, samples=1).bits > found.bits


def test_images_have_as_many_values_as_cells() -> None:
    images = np.random.default_rng(0).integers(256, size=(60, 1, 8, 8)).astype(float)
    preparation = Preparation().fit(images)
    with seeded(0):
        model = VAE(latent=2).build(preparation.schema_)
    found = compression(
        SimpleNamespace(preparation_=preparation, rows=lambda X: X, autoencoder_=model), images, precision=1.0
    )
    assert found.raw == 8 and 7.9 < found.bits < 9


@pytest.mark.parametrize(
    ("rows", "precision", "said"),
    [
        (np.random.default_rng(0).normal(size=(50, 3)), None, "'x0' holds numbers"),
        (np.random.default_rng(0).normal(size=(50, 3)), -1.0, "precision=0.01"),
        (np.random.default_rng(0).normal(size=(50, 3)), {"x0": 1.0, "x2": 1.0}, "'x1' holds numbers"),
    ],
)
def test_numbers_need_a_precision(rows: np.ndarray, precision: float | Mapping[str, float] | None, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        compression(dull(rows), rows, precision)


def test_what_has_no_bits_is_refused(normal: np.ndarray) -> None:
    with pytest.raises(InvalidParameter, match="not drawn"):
        compression(Embedder("Linear").fit(normal), normal, 0.1)
    embedder = dull(normal)
    with pytest.raises(InvalidData, match="missing value"):
        compression(embedder, np.where(normal > 10, np.nan, normal), 0.1)
    days = np.datetime64("2026-01-01T00:00") + np.arange(200) * np.timedelta64(7, "h")
    dated = pa.table({"when": days.astype("datetime64[us]"), "much": normal[:200, 0]})
    with pytest.raises(InvalidData, match="'when'"):
        compression(dull(dated), dated, 0.1)
