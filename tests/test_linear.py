"""The closed form against scikit-learn's PCA, on every path, with missing values, conditions, kinds and weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from diabolo import linear
from diabolo.autoencoder import Autoencoder
from diabolo.batches import Batch, Rows
from diabolo.bottlenecks import Plain
from diabolo.errors import InvalidData
from diabolo.likelihoods import fitting
from diabolo.schema import Column, Schema, numbers

PATHS = {"covariance": {}, "products": {"WIDE": 3}, "walks": {"WIDE": 3, "FEW": 3}}


def factors(rows: int, columns: int, latent: int = 3, noise: float = 0.3) -> Tensor:
    draw = torch.Generator().manual_seed(9)
    codes, loadings = torch.randn(rows, latent, generator=draw), torch.randn(latent, columns, generator=draw)
    return codes @ loadings + noise * torch.randn(rows, columns, generator=draw) + 0.5


def build(schema: Schema, latent: int) -> Autoencoder:
    likelihood = fitting(schema)
    encoder, decoder = linear.mirror(schema, latent, likelihood)
    return Autoencoder(encoder, Plain(latent), decoder, likelihood)


def solved(schema: Schema, latent: int, rows: Rows) -> Autoencoder:
    autoencoder = build(schema, latent)
    linear.solve(autoencoder, rows)
    return autoencoder


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every way to the components, whatever the size of the rows."""
    for name, value in PATHS[request.param].items():
        monkeypatch.setattr(linear, name, value)
    return str(request.param)


@pytest.mark.usefixtures("path")
class TestSolve:
    @pytest.mark.parametrize(("rows", "columns"), [(400, 12), (30, 60)])
    def test_reconstructs_as_principal_components_do(self, rows: int, columns: int) -> None:
        x = factors(rows, columns)
        output = solved(numbers(columns), 3, Rows(x))(x).output.detach().numpy()
        exact = PCA(3, svd_solver="full").fit(x.double().numpy())
        expected = exact.inverse_transform(exact.transform(x.double().numpy()))
        np.testing.assert_allclose(output, expected, atol=2e-4)

    def test_batches_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x = factors(301, 9)
        whole = solved(numbers(9), 3, Rows(x)).state_dict()
        monkeypatch.setattr(linear, "SIZE", 64)
        for name, each in solved(numbers(9), 3, Rows(x)).state_dict().items():
            torch.testing.assert_close(each, whole[name], rtol=1e-4, atol=1e-4)

    def test_codes_are_whitened(self) -> None:
        x = factors(500, 10)
        z = solved(numbers(10), 3, Rows(x)).encode(x).z
        torch.testing.assert_close(z.T @ z / len(z), torch.eye(3), atol=1e-3, rtol=0)
        torch.testing.assert_close(z.mean(0), torch.zeros(3), atol=1e-4, rtol=0)

    def test_scales_are_those_of_the_residuals(self) -> None:
        x = factors(4000, 30, noise=0.2)
        autoencoder = solved(numbers(30), 3, Rows(x))
        scale = autoencoder.decode(autoencoder.encode(x[:1]).z).stddev  # type: ignore[attr-defined]
        torch.testing.assert_close(scale.mean(), torch.tensor(0.2), rtol=0.07, atol=0)

    @pytest.mark.parametrize("unit", [1.0, 0.1, 30.0])
    def test_a_weight_is_a_repetition(self, unit: float) -> None:
        x = factors(200, 8) * torch.linspace(1, 5, 200).unsqueeze(1)
        weight = (torch.arange(200) < 20) * 8 + 1
        weighted = solved(numbers(8), 2, Rows(x, unit * weight))(x)
        repeated = solved(numbers(8), 2, Rows(x.repeat_interleave(weight, 0)))(x)
        torch.testing.assert_close(weighted.output, repeated.output, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(weighted.errors, repeated.errors, rtol=1e-3, atol=1e-3)

    def test_what_conditions_explain_needs_no_code(self) -> None:
        """Rows that the conditions decide up to one direction are restored by a single number."""
        schema = numbers(6)
        schema = Schema(schema.columns, given=4)
        given = torch.randn(300, 4, generator=torch.Generator().manual_seed(1))
        x = factors(300, 6, latent=1, noise=0.0) + given @ torch.randn(4, 6, generator=torch.Generator().manual_seed(2))
        autoencoder = build(schema, 1)
        linear.solve(autoencoder, Rows(x, None, given))
        torch.testing.assert_close(autoencoder(x, given).output, x, rtol=1e-3, atol=1e-3)
        with pytest.raises(InvalidData, match="Got none"):
            linear.solve(autoencoder, Rows(x))

    @pytest.mark.parametrize("rows", [1, 2, 3])
    def test_few_rows_and_codes_to_spare(self, rows: int) -> None:
        x = factors(rows, 5)
        autoencoder = solved(numbers(5), 8, Rows(x))
        torch.testing.assert_close(autoencoder(x).output, x, rtol=1e-3, atol=1e-3)
        assert autoencoder(x + 1).nll.isfinite().all()
        assert (autoencoder.encode(x + 1).z[:, rows:] == 0).all()

    def test_constant_columns(self) -> None:
        x = torch.ones(20, 5)
        trip = solved(numbers(5), 3, Rows(x))(x)
        torch.testing.assert_close(trip.output, x)
        assert trip.nll.isfinite().all()


def test_at_least_one_direction_is_left_to_the_residuals() -> None:
    x = factors(300, 4)
    autoencoder = solved(numbers(4), 9, Rows(x))
    assert (autoencoder(x).output - x).abs().max() > 0.05


def test_without_rows_nothing_is_solved() -> None:
    for rows in (Rows(torch.zeros(0, 3)), Rows(torch.ones(4, 3), torch.zeros(4))):
        with pytest.raises(InvalidData, match="pass some"):
            solved(numbers(3), 1, rows)


def test_the_middle_stands_for_a_missing_value() -> None:
    x = factors(500, 10)
    holes = x.masked_fill(torch.rand(x.shape, generator=torch.Generator().manual_seed(3)) < 0.2, torch.nan)
    autoencoder = solved(numbers(10), 3, Rows(holes))
    trip = autoencoder(holes)
    assert (trip.errors[holes.isnan()] == 0).all()
    assert trip.nll.isfinite().all()
    guess = (trip.output - x)[holes.isnan()].std()
    assert guess < 0.8 * x[holes.isnan()].std()


@pytest.mark.parametrize("grid", [(6,), (4, 3)])
def test_grids_are_rows_of_cells(grid: tuple[int, ...]) -> None:
    schema = numbers(2, "series" if len(grid) == 1 else "image", grid)
    flat = factors(200, 2 * int(np.prod(grid)))
    x = flat.view(200, *schema.shape)
    output = solved(schema, 3, Rows(x))(x).output
    torch.testing.assert_close(output.flatten(1), solved(numbers(flat.shape[1]), 3, Rows(flat))(flat).output)


def test_columns_of_every_kind_become_probable() -> None:
    schema = Schema(
        (
            Column("a"),
            Column("color", "category", "Categorical", categories=("red", "blue", "(unseen)")),
            Column("member", "boolean", "Bernoulli"),
            Column("visits", "count", "NegativeBinomial", center=1.0, scale=0.5),
        )
    )
    a = torch.randn(2000, generator=torch.Generator().manual_seed(4))
    high = (a > 0).float()
    x = torch.stack((a, high, high, (1 + 3 * high)), 1)
    autoencoder = solved(schema, 2, Rows(x))
    assert (autoencoder.likelihood.best(autoencoder(x).output)[:, 1:3] == x[:, 1:3]).all()
    guess = autoencoder.likelihood.best(autoencoder(x).output)[:, 3]
    assert (guess - x[:, 3]).abs().mean() < 0.3
    fair = torch.tensor(2.0).log()
    assert (autoencoder(x).errors[:, 1:3].mean(0) < 0.5 * fair).all()
    wrong = x.clone()
    wrong[:, 1] = 1 - wrong[:, 1]
    assert (autoencoder(wrong).nll > autoencoder(x).nll).float().mean() > 0.99


def test_scales_come_from_a_bounded_draw_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    x = factors(4000, 10, noise=0.2)
    whole = solved(numbers(10), 3, Rows(x))
    monkeypatch.setattr(linear, "SIZE", 500)
    monkeypatch.setattr(linear, "CELLS", 15_000)
    drawn = solved(numbers(10), 3, Rows(x))
    scales = [each.likelihood(x[:1]).stddev for each in (whole, drawn)]
    torch.testing.assert_close(*scales, rtol=0.1, atol=0)
    assert not torch.equal(*scales)


def test_wide_rows_come_in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held of a batch, and of the rows that scales are drawn from, is bounded by features, not by columns."""
    sizes: list[int] = []

    class Counted(Rows):
        def ordered(self, size: int) -> Iterator[Batch]:
            sizes.append(size)
            return super().ordered(size)

        def shuffled(self, size: int, seed: int, epoch: int) -> Iterator[Batch]:
            return (sizes.append(len(batch)) or batch for batch in super().shuffled(size, seed, epoch))

    kinds = tuple(map(str, range(64)))
    schema = Schema(tuple(Column(name, "category", "Categorical", categories=kinds) for name in ("a", "b")))
    x = torch.randint(64, (1000, 2), generator=torch.Generator().manual_seed(0)).float()
    monkeypatch.setattr(linear, "CELLS", 128 * 100)
    solved(schema, 2, Counted(x))
    assert sizes == [100, 100]
    sizes.clear()
    solved(numbers(2), 1, Counted(x))
    assert sizes == [6400, 1000]


def test_rows_of_no_weight_take_no_place_in_the_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = factors(400, 10, noise=0.2), (torch.arange(400) % 20 == 0).float()
    expected = solved(numbers(10), 3, Rows(x[weight > 0]))
    monkeypatch.setattr(linear, "SIZE", 40)
    monkeypatch.setattr(linear, "CELLS", 200)
    found = solved(numbers(10), 3, Rows(x, weight))
    torch.testing.assert_close(found.likelihood(x[:1]).stddev, expected.likelihood(x[:1]).stddev, rtol=1e-3, atol=0)


def test_weights_are_saved_once() -> None:
    autoencoder = build(numbers(5), 2)
    assert sorted(autoencoder.state_dict()) == [
        "decoder.layers.0.bias",
        "decoder.layers.0.weight",
        "encoder.layers.0.bias",
        "encoder.layers.0.weight",
        "likelihood.free",
    ]


def test_training_the_same_autoencoder_finds_nothing_better() -> None:
    """Gradient descent from the closed form, on the squared error, stays where it is (Baldi and Hornik, 1989)."""
    x = factors(200, 6)
    autoencoder = solved(numbers(6), 2, Rows(x))
    start = (autoencoder(x).output - x).square().mean()
    optimiser = torch.optim.SGD((*autoencoder.encoder.parameters(), *autoencoder.decoder.parameters()), 0.02)
    for _ in range(100):
        optimiser.zero_grad()
        (autoencoder(x).output - x).square().mean().backward()
        optimiser.step()
    assert (autoencoder(x).output - x).square().mean() > start * (1 - 1e-4)
