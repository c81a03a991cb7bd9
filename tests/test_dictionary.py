"""Dictionaries against independent truths: closed forms, brute force, and a dictionary that is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from diabolo import AnomalyDetector, checks
from diabolo.autoencoder import Autoencoder, Bottleneck, Code
from diabolo.batches import Rows
from diabolo.bottlenecks import sparse
from diabolo.checks import KINDS, Case
from diabolo.dictionary import Dictionary, gain, geometric_median, start
from diabolo.errors import InvalidParameter, LawBroken
from diabolo.evaluate import atoms, fidelity, mean_max_cosine
from diabolo.penalties import AuxK, Gate, Prefixes
from diabolo.preparation import Streamed
from diabolo.randomness import seeded
from diabolo.schema import Schema, numbers
from diabolo.tasks import task
from diabolo.trainer import Trainer
from diabolo.variants import (
    BatchTopK,
    GatedDictionary,
    JumpReLU,
    Matryoshka,
    TopKDictionary,
    Transcoder,
    Variant,
    named,
)

PARTS = [sparse.GrowingTopK(4, 2), sparse.BatchTopK(4, 2), sparse.JumpReLU(4, 0.1), sparse.Gated(4)]
FAMILY = ["Dictionary", "GatedDictionary", "TopKDictionary", "BatchTopK", "JumpReLU", "Matryoshka", "Transcoder"]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def built(variant: Variant, width: int = 6) -> Autoencoder:
    return variant.build(numbers(width)).train()


# -- the decoder and where it starts --


def test_atoms_keep_their_length_under_any_optimiser() -> None:
    layer = Dictionary(latent=5, out=3)
    optimiser = torch.optim.SGD(layer.parameters(), 0.5, momentum=0.9)
    for _ in range(20):
        optimiser.zero_grad()
        (layer(torch.randn(9, 5)) - torch.randn(9, 3)).square().sum().backward()
        optimiser.step()
    torch.testing.assert_close(layer.atoms.norm(dim=0), torch.ones(5))


def test_gradients_along_an_atom_are_nothing() -> None:
    layer = Dictionary(latent=5, out=3)
    (layer(torch.randn(9, 5)) - torch.randn(9, 3)).square().sum().backward()
    assert layer.weight.grad is not None
    assert (layer.weight.grad * layer.weight).sum(0).abs().max() < 1e-4


def test_conditions_have_columns_of_any_length() -> None:
    layer = Dictionary(latent=5, out=3, given=2)
    with torch.no_grad():
        layer.weight.mul_(3)
    moved = layer(torch.tensor([[0.0] * 5 + [1.0, 0.0]])) - layer.bias
    torch.testing.assert_close(moved[0], layer.weight[:, 5])


def test_conditions_reach_encoder_and_decoder() -> None:
    schema = Schema(numbers(4).columns, given=2)
    autoencoder = TopKDictionary(latent=12, k=3).build(schema)
    assert autoencoder.losses(torch.randn(5, 4), torch.randn(5, 2))["auxiliary"].shape == (5,)


def test_geometric_median_is_where_the_directions_cancel() -> None:
    """The gradient of ``sum w |x - point|``: unit vectors to the rows add up to 0."""
    x, weight = torch.randn(60, 3).exp(), torch.rand(60)
    point = geometric_median(x, weight)
    assert (weight[:, None] * normalize(x - point, dim=1)).sum(0).norm() < 1e-3


def test_geometric_median_that_is_one_of_the_rows() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    torch.testing.assert_close(geometric_median(x, torch.ones(4)), torch.zeros(2), atol=1e-3, rtol=0)


@pytest.mark.parametrize("above", [0.0, 1.0, 2.0])
def test_first_reconstructions_are_as_long_as_the_rows(above: float) -> None:
    """In the mean over random dictionaries, the part of D z along x is x."""
    width, latent = 32, 2000
    x, directions = torch.randn(400, width), normalize(torch.randn(width, latent), dim=0)
    h = x @ directions
    told = gain(width, latent, above) * torch.where(h > above, h, 0.0) @ directions.T
    along = (told * x).sum() / x.square().sum()
    assert abs(float(along) - 1) < 0.05


def test_start_sees_the_rows_from_their_median_and_only_once() -> None:
    autoencoder = built(TopKDictionary(latent=12, k=3))
    before = autoencoder.encoder(torch.randn(7, 6) * 0)
    rows = Rows(torch.randn(300, 6) + 2)
    start(autoencoder, rows, 0)
    bias = autoencoder.decoder.get_parameter("layers.0.bias").detach().clone()
    assert (bias - 2).abs().max() < 0.3
    torch.testing.assert_close(autoencoder.encoder(bias.expand(7, -1)), before)
    start(autoencoder, Rows(torch.randn(300, 6) - 5), 0)
    assert torch.equal(autoencoder.decoder.get_parameter("layers.0.bias"), bias)


# -- what decides which numbers are in use --


def test_threshold_settles_where_k_numbers_are_used() -> None:
    """The ``n k`` largest of a batch, as the paper takes them, lie above the same threshold."""
    part = sparse.BatchTopK(64, k=5).train()
    for _ in range(300):
        part(torch.randn(200, 64))
    h = torch.randn(4000, 64)
    assert float(part.eval()(h).z.ne(0).sum(1).float().mean()) == pytest.approx(5, rel=0.1)
    smallest = h.flatten().topk(4000 * 5).values[-1]
    assert float(part.threshold) == pytest.approx(float(smallest), rel=0.03)


def test_rich_rows_use_more_numbers_than_poor_ones() -> None:
    part = sparse.BatchTopK(3, k=1)
    assert part(torch.tensor([[3.0, 2.0, 0.1], [0.1, 0.2, 0.3]])).z.ne(0).sum(1).tolist() == [2, 0]


def test_k_grows_from_one_in_training_only() -> None:
    part, h = sparse.GrowingTopK(6, k=3).train(), torch.rand(9, 6) + 1
    assert part(h).z.ne(0).sum(1).tolist() == [3] * 9  # where nobody says how far the training is
    shares = []
    for done in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        part.growth.reach(done)
        shares.append(float((part(h).z / h)[0].sum()))
    assert shares == pytest.approx([1.0, 1.5, 2.0, 2.5, 3.0, 3.0])
    fresh = sparse.GrowingTopK(6, k=3)
    fresh.growth.reach(0.1)
    assert fresh.eval()(h).z.ne(0).sum(1).tolist() == [3] * 9


@pytest.mark.parametrize("make", [lambda: sparse.BatchTopK(6, 3, 1.2), lambda: sparse.JumpReLU(6, 1.0, 3, 1.2)])
def test_rows_keep_their_largest_numbers_until_a_threshold_decides(make: Callable[[], sparse.Growing]) -> None:
    part, rows, h = make().train(), sparse.GrowingTopK(6, 3).train(), torch.rand(9, 6) + 0.5
    for done in (0.2, 0.4, 0.6):
        part.growth.reach(done), rows.growth.reach(done)
        torch.testing.assert_close(part(h).z, rows(h).z)
    part.growth.reach(0.8)
    threshold = part.threshold if isinstance(part, sparse.BatchTopK) else part.get_parameter("log_threshold").exp()
    above = torch.where(h > threshold.clone(), h, 0.0)
    torch.testing.assert_close(part(h).z, above)
    assert 0 < (above > 0).sum() < 40


def test_thresholds_of_jump_relu_follow_the_growing_k_and_then_learn() -> None:
    part = sparse.JumpReLU(64, weight=0.5, k=5).train()
    for step in range(399):
        part.growth.reach(0.8 * step / 399)
        code = part(torch.randn(200, 64))
    assert code.costs["l0"].mean().item() == pytest.approx(0.5 * 5, rel=0.15)
    code.costs["l0"].sum().backward()
    assert not part.log_threshold.grad.any()  # type: ignore[union-attr]
    part.growth.reach(0.8)
    part(torch.randn(200, 64)).costs["l0"].sum().backward()
    assert part.log_threshold.grad.all()  # type: ignore[union-attr]


def test_only_positive_numbers_are_kept() -> None:
    assert sparse.GrowingTopK(3, k=2)(torch.tensor([[-1.0, 2.0, -3.0]])).z.tolist() == [[0.0, 2.0, 0.0]]


class OfTheBatch(sparse.BatchTopK):
    """The paper's: the ``n k`` largest numbers of the batch in training."""

    def forward(self, h: Tensor) -> Code:
        if not self.training:
            return super().forward(h)
        return Code(torch.where(h >= h.flatten().topk(self.k * len(h)).values[-1], h, 0.0), {})


def test_selection_over_the_batch_breaks_the_law_that_ours_keeps() -> None:
    class Mutant(BatchTopK):
        def bottleneck(self, width: int) -> Bottleneck:
            return OfTheBatch(self.latent, self.k)

    checks.rows_do_not_leak(Case(BatchTopK(latent=12, k=2), "row", KINDS["row"]))
    with pytest.raises(LawBroken, match="changed with another row"):
        checks.rows_do_not_leak(Case(Mutant(latent=12, k=2), "row", KINDS["row"]))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("grid", [(), (3, 2)])
def test_shapes(part: Bottleneck, grid: tuple[int, ...]) -> None:
    code = part.train()(torch.randn(5, 4, *grid))
    assert code.z.shape == (5, 4, *grid)
    assert all(cost.shape == (5,) for cost in code.costs.values())
    assert part.sample(7, grid).shape == (7, 4, *grid)
    assert repr(part)


@pytest.mark.parametrize("make", [lambda: sparse.BatchTopK(4, 5), lambda: TopKDictionary(latent=4, k=5).bottleneck(9)])
def test_k_that_is_too_large(make: object) -> None:
    with pytest.raises(InvalidParameter, match="k must lie in 1 to latent = 4"):
        make()  # type: ignore[operator]


def test_slope_of_the_step_is_the_density_at_the_threshold() -> None:
    """d E[H(h - t)] / d log t = -t phi(t) for standard normal h, though no sample of H has a slope."""
    part = sparse.JumpReLU(1, weight=1.0, start=1.3, bandwidth=0.1)
    part(torch.randn(400_000, 1)).costs["l0"].mean().backward()
    expected = -1.3 * math.exp(-(1.3**2) / 2) / math.sqrt(2 * math.pi)
    assert float(part.log_threshold.grad) == pytest.approx(expected, rel=0.05)  # type: ignore[arg-type]


def test_what_a_number_explains_reaches_thresholds_but_no_slope_is_made_up_for_the_encoder() -> None:
    part, h = sparse.JumpReLU(1, weight=0.0), torch.tensor([[1.2], [0.8], [3.0]], requires_grad=True)
    part(h).z.sum().backward()
    assert h.grad is not None and h.grad.flatten().tolist() == [1.0, 0.0, 1.0]
    assert float(part.log_threshold.grad) == pytest.approx(-2.0)  # type: ignore[arg-type]


def test_codes_of_jump_relu_are_exactly_the_numbers_above() -> None:
    h = torch.randn(500, 8)
    assert torch.equal(sparse.JumpReLU(8, 0.1, start=0.7)(h).z, torch.where(h > math.exp(math.log(0.7)), h, 0.0))


def test_gate_opens_by_h_and_sizes_are_its_own() -> None:
    part = sparse.Gated(2)
    with torch.no_grad():
        part.log_scale.fill_(math.log(2.0))
        part.offset.fill_(-1.0)
    torch.testing.assert_close(part(torch.tensor([[3.0, -3.0]])).z, torch.tensor([[5.0, 0.0]]))


def test_the_largest_sizes_are_kept_whatever_the_gates_while_k_grows() -> None:
    part, h = sparse.Gated(3, k=3), torch.tensor([[3.0, 2.0, -0.5]])
    with torch.no_grad():
        part.offset.copy_(torch.tensor([0.0, 0.0, 1.0]))
    part.growth.reach(0.5 * sparse.GROWTH)
    torch.testing.assert_close(part(h).z, torch.tensor([[3.0, 2.0, 0.0]]))  # k is 2
    part.growth.reach(0.99 * sparse.GROWTH)
    assert part(h).z[0, 2] > 0.4
    part.growth.reach(sparse.GROWTH)
    torch.testing.assert_close(part(h).z, torch.tensor([[3.0, 2.0, 0.0]]))


# -- second reconstructions --


def half_square(autoencoder: Autoencoder, z: Tensor, x: Tensor) -> Tensor:
    """The squared error and the constant of a normal distribution, written out."""
    layer: Dictionary = autoencoder.decoder.get_submodule("layers")[0]  # type: ignore[index, assignment]
    told = z @ layer.atoms.T + layer.bias
    return (x - told).square().sum(1) / 2 + x.shape[1] * math.log(2 * math.pi) / 2


def test_auxiliary_price_is_what_dead_atoms_add() -> None:
    autoencoder, x = built(TopKDictionary(latent=12, k=3)), torch.randn(5, 6)
    penalty: AuxK = autoencoder.penalties[0]  # type: ignore[assignment]
    penalty.quiet.zero_()[4] = 1e6
    trip = autoencoder(x)
    revived = trip.code.z.clone()
    revived[:, 4] += autoencoder.encoder(x)[:, 4].relu()
    expected = 0.3 * (half_square(autoencoder, revived, x) - half_square(autoencoder, trip.code.z, x))
    torch.testing.assert_close(penalty(autoencoder, trip), expected)


def test_auxiliary_price_is_nothing_without_dead_atoms_and_the_same_alone() -> None:
    autoencoder, x = built(TopKDictionary(latent=12, k=3)), torch.randn(5, 6)
    penalty: AuxK = autoencoder.penalties[0]  # type: ignore[assignment]
    together = penalty(autoencoder, autoencoder(x))
    penalty.quiet.fill_(penalty.patience)
    torch.testing.assert_close(penalty(autoencoder, autoencoder(x[:1])), together[:1])
    penalty.quiet.zero_()
    assert penalty(autoencoder, autoencoder(x)).abs().max() < 1e-5


def test_rows_without_use_are_counted_in_training_only() -> None:
    autoencoder, x = built(TopKDictionary(latent=12, k=1, patience=50)), torch.ones(20, 6)
    quiet: Tensor = autoencoder.penalties[0].quiet  # type: ignore[assignment, union-attr]
    assert (quiet == 50).all()  # dead before its first use
    used = int(autoencoder.encode(x).z[0].argmax())
    autoencoder.losses(x)
    assert quiet[used] == 0 and quiet.sum() == 11 * 70
    before = quiet.clone()
    autoencoder.eval().losses(x)
    assert torch.equal(quiet, before)


def test_gates_are_to_reconstruct_the_row_themselves() -> None:
    autoencoder, x = built(GatedDictionary(latent=12)), torch.randn(5, 6)
    price = Gate(0.5)(autoencoder, autoencoder(x))
    opened = autoencoder.encoder(x).relu()
    torch.testing.assert_close(price, 0.5 * opened.sum(1) + half_square(autoencoder, opened, x))
    price.sum().backward()
    assert all(each.grad is not None for each in autoencoder.decoder.parameters())


def test_reconstruction_moves_gates_through_sizes_only() -> None:
    """Where the gate is shut nothing is learned from the reconstruction, however large the size behind it."""
    part, h = sparse.Gated(1), torch.tensor([[-1.0], [2.0]], requires_grad=True)
    with torch.no_grad():
        part.offset.fill_(5.0)
    part(h).z.sum().backward()
    assert h.grad is not None and h.grad.flatten().tolist() == [0.0, 1.0]


def test_prefixes_are_reconstructions_from_the_first_atoms() -> None:
    autoencoder, x = built(Matryoshka(latent=12, k=5)), torch.randn(5, 6)
    trip = autoencoder(x)
    halves = [trip.code.z * (torch.arange(12) < size) for size in (6, 3)]
    expected = 0.7 * torch.stack([half_square(autoencoder, z, x) for z in halves]).mean(0)
    torch.testing.assert_close(Prefixes(2, 0.7)(autoencoder, trip), expected)


def test_prefixes_cost_less_where_a_general_atom_stays_in_use_beside_a_special_one() -> None:
    """Absorbed, one atom says both in fewer numbers; the first atom alone then says nothing of the row."""
    autoencoder, x = built(Matryoshka(latent=2, k=1), width=2), torch.ones(1, 2)
    trip = autoencoder(x)
    apart, together = torch.eye(2), normalize(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), dim=0)
    prices = []
    for directions, z in ((apart, [1.0, 1.0]), (together, [0.0, 2**0.5])):
        with torch.no_grad():
            autoencoder.decoder.layers[0].weight.copy_(directions)
        prices.append(Prefixes(1)(autoencoder, replace(trip, code=Code(torch.tensor([z]), {}))).item())
    assert prices[1] - prices[0] == pytest.approx(0.5)


# -- recovery --


def superposed(rows: int, width: int, features: int, active: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Rows that are sums of few of many unit vectors, and these vectors as rows."""
    dice = torch.Generator().manual_seed(seed)
    truth = normalize(torch.randn(features, width, generator=dice), dim=1)
    used = torch.rand(rows, features, generator=dice) < active / features
    sizes = used * (0.5 + torch.rand(rows, features, generator=dice))
    return sizes @ truth + 0.02 * torch.randn(rows, width, generator=dice), truth


def recovery(variant: Variant) -> tuple[float, float]:
    """Mean max cosine with the truth, and share of dead atoms."""
    x, truth = superposed(6000, 24, 48, active=2)
    scale = x.std(0)
    autoencoder = variant.build(numbers(24))
    variant.train(autoencoder, Trainer(epochs=15, batch_size=128, lr=1e-2), Rows(x / scale))
    found = atoms(autoencoder) * scale.numpy()
    return mean_max_cosine(truth.numpy(), found), fidelity(autoencoder, Rows(x / scale)).dead


@pytest.mark.parametrize("family", [TopKDictionary, BatchTopK, JumpReLU, GatedDictionary, Matryoshka])
def test_a_known_dictionary_is_recovered_and_better_than_by_l1(family: type[TopKDictionary]) -> None:
    cosine, dead = recovery(family(latent=48, k=3))
    assert cosine > 0.95 and dead < 0.03
    assert cosine > recovery(named()["Dictionary"](latent=48))[0]


# -- from one layer to another --


def layer(count: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, outputs and the atoms of the outputs: each of 24 features has a direction on either side."""
    dice = torch.Generator().manual_seed(seed)
    into, out = (normalize(torch.randn(24, size, generator=dice)) for size in (16, 12))
    used = torch.rand(count, 24, generator=dice) < 2 / 24
    sizes = used * (0.5 + torch.rand(count, 24, generator=dice))
    return sizes @ into, sizes @ out + 0.01 * torch.randn(count, 12, generator=dice), out


def test_a_transcoder_finds_the_atoms_of_outputs_from_inputs() -> None:
    inputs, outputs, truth = layer(6000)
    scale = outputs.std()
    autoencoder = Transcoder(latent=24, k=3).build(replace(numbers(12), given=16))
    rows = Rows(outputs / scale, given=inputs / inputs.std())
    Transcoder(latent=24, k=3).train(autoencoder, Trainer(epochs=40, batch_size=128, lr=1e-2), rows)
    found = autoencoder.decoder.layers[0].atoms.detach().T
    assert mean_max_cosine(truth.numpy(), found.numpy()) > 0.9
    assert fidelity(autoencoder, rows).explained_variance > 0.7


@pytest.mark.parametrize("width", [6, 12, 16])
def test_a_transcoder_starts_at_the_median_of_the_inputs(width: int) -> None:
    """There its numbers are 0, however many more or fewer inputs there are than outputs."""
    inputs, outputs, _ = layer(500)
    inputs = inputs[:, :width] + 5
    autoencoder = Transcoder(latent=24, k=3).build(replace(numbers(12), given=width))
    start(autoencoder, Rows(outputs + 100, given=inputs), seed=0)
    middle = geometric_median(inputs, torch.ones(len(inputs)))
    h = autoencoder.encoder(outputs[:1] + 100, middle[None])
    assert h.abs().max() < 0.1 * autoencoder.encoder(outputs[:1] + 100, 2 * middle[None]).abs().max()


def test_a_transcoder_does_not_see_what_it_writes() -> None:
    autoencoder = Transcoder(latent=24, k=3).build(replace(numbers(12), given=16)).eval()
    inputs, outputs, _ = layer(8)
    outputs[0, 0] = torch.nan
    trip = autoencoder(outputs, inputs)
    assert torch.equal(trip.code.z, autoencoder(torch.zeros(8, 12), inputs).code.z)
    assert not torch.equal(trip.code.z, autoencoder(outputs, inputs.flip(0)).code.z)
    assert trip.errors[0, 0] == 0 and trip.nll.isfinite().all()


def test_a_transcoder_without_conditions_is_a_dictionary() -> None:
    with seeded(0):
        one = Transcoder(latent=24, k=3).build(numbers(12))
    with seeded(0):
        other = TopKDictionary(latent=24, k=3).build(numbers(12))
    x = torch.randn(5, 12)
    assert torch.equal(one(x).errors, other(x).errors)


# -- on data --


@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
def test_activations_larger_than_memory_are_streamed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "IN_MEMORY", 1000)
    walked: list[type] = []
    monkeypatch.setattr(Streamed, "shuffled", noting(Streamed.shuffled, walked))
    x = superposed(600, 8, 16, active=2)[0].numpy()
    if name == "x.npy":
        np.save(tmp_path / name, x)
    else:
        pq.write_table(pa.table({f"x{j}": x[:, j] for j in range(8)}), tmp_path / name, row_group_size=100)
    variant, trainer = TopKDictionary(latent=16, k=2), Trainer(epochs=2)
    detector = AnomalyDetector(variant, neighbours=0, trainer=trainer, random_state=0).fit(tmp_path / name)
    assert walked
    assert atoms(detector.autoencoder_, detector.preparation_.schema_).shape == (16, 8)


def noting(walk: object, walked: list[type]) -> object:
    def shuffled(self: Streamed, *order: int) -> object:
        walked.append(type(self))
        return walk(self, *order)  # type: ignore[operator]

    return shuffled


def test_no_reach_holds_a_strong_feature_back() -> None:
    """A feature far beyond 5 standard deviations is seen as large as it is."""
    autoencoder = built(TopKDictionary(latent=12, k=3)).eval()
    h = autoencoder.encoder(torch.tensor([[50.0, 0, 0, 0, 0, 0], [100.0, 0, 0, 0, 0, 0]]))
    torch.testing.assert_close(h[1], 2 * h[0])


@pytest.mark.parametrize("name", FAMILY)
def test_learning_further_goes_on_where_it_was(name: str) -> None:
    """A second training does not put the bias back to the median."""
    variant = named()[name](latent=12) if "TopK" not in name else named()[name](latent=12, k=2)
    autoencoder = variant.build(numbers(6))
    trainer = Trainer(epochs=1, lr=1e-8)
    variant.train(autoencoder, trainer, Rows(torch.randn(50, 6) + 1))
    bias = autoencoder.decoder.get_parameter("layers.0.bias").detach().clone()
    variant.train(autoencoder, trainer, Rows(torch.randn(50, 6) - 9))
    assert (autoencoder.decoder.get_parameter("layers.0.bias") - bias).abs().max() < 0.01


def test_k_grows_over_most_of_the_training_and_not_again() -> None:
    variant, trainer = TopKDictionary(latent=12, k=2), Trainer(epochs=4, batch_size=10)
    autoencoder = variant.build(numbers(6))
    variant.train(autoencoder, trainer, Rows(torch.randn(55, 6) + 1))
    growth = autoencoder.bottleneck.growth
    assert float(growth.done) == 1.0 and float(growth.train()()) == 2.0
    seen: list[float] = []
    growth.register_forward_hook(lambda part, _, count: seen.append(float(count)))
    variant.train(autoencoder, trainer, Rows(torch.randn(55, 6)))
    assert set(seen) == {2.0}


def test_thresholds_start_on_the_scale_of_the_first_codes() -> None:
    for variant in (BatchTopK(latent=64, k=4), JumpReLU(latent=64, k=4)):
        autoencoder = variant.build(numbers(16))
        used = autoencoder.encode(torch.randn(500, 16)).z.ne(0).sum(1).float().mean()
        assert 0.5 < float(used) < 8
    assert isinstance(autoencoder.bottleneck, nn.Module)
