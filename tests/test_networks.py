"""Networks: shapes for every size, features and their inverse, conditions, tied weights, rows that stay alone."""

from __future__ import annotations

from copy import deepcopy
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from diabolo.errors import InvalidData, InvalidParameter
from diabolo.networks import Decoder, Encoder, Features, Layers, mirror
from diabolo.networks.blocks import GDN, Residual
from diabolo.networks.dense import Activation, Dropout, Network, Tied
from diabolo.networks.transformer import Block, FromPatches, cut, joined
from diabolo.schema import Column, Schema, numbers

MIXED = Schema(
    (
        Column("color", "category", "Categorical", categories=("red", "blue", "(unseen)")),
        Column("a"),
        Column("member", "boolean", "Bernoulli"),
        Column("visits", "count", "NegativeBinomial", center=1.0, scale=0.5),
        Column("shape", "category", "Categorical", categories=("round", "(unseen)")),
    )
)
ROW, SERIES, IMAGE = numbers(6), numbers(3, "series", (17,)), numbers(2, "image", (16, 16))
SCHEMAS = {"row": ROW, "series": SERIES, "image": IMAGE, "odd image": numbers(2, "image", (7, 5)), "mixed": MIXED}


@pytest.fixture(autouse=True)
def _same_weights_in_any_order() -> None:
    torch.manual_seed(0)


def rows(schema: Schema, n: int = 6) -> Tensor:
    draw = torch.rand((n, *schema.shape), generator=torch.Generator().manual_seed(4))
    for i, column in enumerate(schema.columns):
        draw[:, i] = {"category": draw[:, i] * column.width, "count": draw[:, i] * 9, "boolean": draw[:, i] * 2}.get(
            column.kind, draw[:, i]
        )
        draw[:, i] = draw[:, i] if column.kind == "number" else draw[:, i].floor()
    return draw


def conditioned(schema: Schema, width: int) -> Schema:
    return Schema(schema.columns, schema.kind, schema.grid, schema.sources, given=width)


class TestFeatures:
    def test_of_each_kind(self) -> None:
        x = torch.tensor([[1.0, 0.7, 0.0, 3.0, 0.0]])
        expected = torch.tensor([[0, 1, 0, 0.7, -1, (torch.tensor(4.0).log() - 1) / 0.5, 1, 0]])
        torch.testing.assert_close(Features(MIXED)(x), expected)

    def test_of_missing_values_are_zero_and_flagged(self) -> None:
        features = Features(MIXED, flags=True)
        seen = features(torch.full((2, 5), torch.nan))
        assert seen.shape == (2, features.width) == (2, 13)
        assert (seen[:, :8] == 0).all()
        assert (seen[:, 8:] == 1).all()

    def test_of_numbers_hide_nothing_but_missing_values(self) -> None:
        seen = Features(numbers(3))(torch.tensor([[torch.nan, 1.0, torch.inf]]))
        assert seen.tolist() == [[0.0, 1.0, float("inf")]]

    def test_of_a_grid_are_those_of_its_cells(self) -> None:
        schema = Schema(MIXED.columns, "image", (2, 3))
        x = rows(schema)
        cells = Features(MIXED, flags=True)(x.permute(0, 2, 3, 1).reshape(-1, 5))
        torch.testing.assert_close(Features(schema, flags=True)(x).permute(0, 2, 3, 1).reshape(cells.shape), cells)

    @pytest.mark.parametrize("flags", [False, True])
    def test_values_are_their_inverse(self, flags: bool) -> None:
        features, x = Features(MIXED, flags=flags), rows(MIXED)
        values = features.values(features(x))
        torch.testing.assert_close(values[:, [3, 4, 5]], x[:, 1:4])
        torch.testing.assert_close(values[:, :3].argmax(1).float(), x[:, 0])
        torch.testing.assert_close(values[:, 6:].argmax(1).float(), x[:, 4])

    def test_rows_are_not_changed(self) -> None:
        x = torch.tensor([[torch.nan, 1.0]])
        Features(numbers(2), flags=True)(x)
        assert x.isnan().tolist() == [[True, False]]


CHOICES = [Layers(), Layers("tanh", 0.2, "layer"), Layers(tied=True), Layers("gdn")]
NETWORKS = [Layers(network="residual"), Layers(tied=True, network="residual"), Layers("gdn", 0.2, network="patches")]


@pytest.mark.parametrize("layers", [*CHOICES, *NETWORKS], ids=str)
@pytest.mark.parametrize("flags", [False, True])
@pytest.mark.parametrize("hidden", [(), (8,), (8, 6, 5)], ids=str)
@pytest.mark.parametrize("shape", SCHEMAS)
class TestMirror:
    def test_one_code_per_row(self, shape: str, hidden: tuple[int, ...], flags: bool, layers: Layers) -> None:
        schema, x = SCHEMAS[shape], rows(SCHEMAS[shape])
        encoder, decoder = mirror(schema, hidden, 4, 4, 7, flags=flags, layers=layers)
        h = encoder(x)
        assert h.shape == (len(x), 4)
        assert decoder(h).shape == (len(x), 7, *schema.grid)
        assert decoder.grid == ()

    def test_a_grid_of_codes(self, shape: str, hidden: tuple[int, ...], flags: bool, layers: Layers) -> None:
        schema, x = SCHEMAS[shape], rows(SCHEMAS[shape])
        encoder, decoder = mirror(schema, hidden, 4, 3, 7, grid=True, flags=flags, layers=layers)
        expected = tuple(-(-size // 2 ** len(hidden)) for size in schema.grid)
        assert encoder(x).shape == (len(x), 4, *expected)
        assert decoder.grid == expected
        assert decoder(torch.zeros(len(x), 3, *decoder.grid)).shape == (len(x), 7, *schema.grid)

    def test_every_weight_learns(self, shape: str, hidden: tuple[int, ...], flags: bool, layers: Layers) -> None:
        schema = SCHEMAS[shape]
        x = rows(schema, 64)
        encoder, decoder = mirror(schema, hidden, 4, 4, len(schema.columns), flags=flags, layers=layers)
        hidden_values = x.masked_fill(torch.rand(x.shape) < 0.2, torch.nan)
        (decoder(encoder(hidden_values)) + 1).square().sum().backward()
        for parameter in (*encoder.parameters(), *decoder.parameters()):
            assert parameter.grad is not None
            assert (parameter.grad != 0).any()

    def test_a_row_alone_is_read_the_same(
        self, shape: str, hidden: tuple[int, ...], flags: bool, layers: Layers
    ) -> None:
        x = rows(SCHEMAS[shape])
        encoder, decoder = (part.eval() for part in mirror(SCHEMAS[shape], hidden, 4, 4, 7, flags=flags, layers=layers))
        together = decoder(encoder(x))
        alone = torch.cat([decoder(encoder(row[None])) for row in x])
        torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 21), min_size=1, max_size=2),
    st.integers(1, 4),
    st.integers(0, 3),
    st.booleans(),
    st.builds(Layers, tied=st.booleans(), network=st.sampled_from(get_args(Network))),
)
def test_any_size_comes_back(grid: list[int], channels: int, depth: int, codes: bool, layers: Layers) -> None:
    schema = numbers(channels, "series" if len(grid) == 1 else "image", tuple(grid))
    encoder, decoder = mirror(schema, (3,) * depth, 2, 2, channels, grid=codes, layers=layers)
    assert decoder(encoder(torch.zeros(2, *schema.shape))).shape == (2, *schema.shape)


def test_three_axes_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="1 or 2 axes"):
        mirror(numbers(1, "image", (2, 2, 2)), (4,), 2, 2, 1)


@pytest.mark.parametrize("hidden", [(), (5,)])
@pytest.mark.parametrize("shape", SCHEMAS)
class TestConditions:
    def networks(
        self, shape: str, hidden: tuple[int, ...], grid: bool = False, network: Network = "plain"
    ) -> tuple[Encoder, Decoder]:
        return mirror(conditioned(SCHEMAS[shape], 2), hidden, 4, 4, 3, grid=grid, layers=Layers(network=network))

    @pytest.mark.parametrize("network", get_args(Network))
    @pytest.mark.parametrize("grid", [False, True])
    def test_reach_both_halves(self, shape: str, hidden: tuple[int, ...], grid: bool, network: Network) -> None:
        encoder, decoder = self.networks(shape, hidden, grid, network)
        x, given = rows(SCHEMAS[shape]), torch.ones(6, 2, requires_grad=True)
        for output in (encoder(x, given), decoder(encoder(x, given.detach()), given)):
            (gradient,) = torch.autograd.grad((output**2).sum(), given)
            assert (gradient != 0).any(0).all()

    def test_that_are_due_are_asked_for(self, shape: str, hidden: tuple[int, ...]) -> None:
        encoder, _ = self.networks(shape, hidden)
        with pytest.raises(InvalidData, match=r"2 conditions per row\. Got none"):
            encoder(rows(SCHEMAS[shape]))
        with pytest.raises(InvalidData, match=r"Got an array of shape \(6, 3\)"):
            encoder(rows(SCHEMAS[shape]), torch.zeros(6, 3))


class TestTied:
    def test_a_linear_pair_is_one_matrix(self) -> None:
        encoder, decoder = mirror(ROW, (), 3, 3, 6, layers=Layers(tied=True))
        weight = encoder.layers[0].get_parameter("weight")
        z = torch.randn(4, 3)
        torch.testing.assert_close(decoder(z), z @ weight)

    def test_a_convolution_is_read_as_its_transpose(self) -> None:
        """<conv x, y> = <x, transposed conv y>: the two are adjoint, for even and odd sizes."""
        for size in ((8, 6), (7, 9)):
            schema = numbers(2, "image", size)
            encoder, decoder = mirror(schema, (4,), 3, 3, 2, grid=True, layers=Layers(tied=True))
            there, back = encoder.layers[0], decoder.layers[2]
            x = torch.randn(2, *schema.shape)
            y = torch.randn_like(there(x))
            torch.testing.assert_close((there(x) * y).sum(), (x * back(y)).sum(), rtol=1e-4, atol=1e-3)

    @pytest.mark.parametrize("schema", [ROW, SERIES, IMAGE], ids=["row", "series", "image"])
    def test_weights_are_counted_once_and_follow_copies(self, schema: Schema) -> None:
        parts = nn.ModuleList(mirror(schema, (5, 4), 3, 3, len(schema.columns), layers=Layers("tanh", tied=True)))
        untied = nn.ModuleList(mirror(schema, (5, 4), 3, 3, len(schema.columns)))
        assert sum(map(torch.numel, parts.parameters())) < 0.7 * sum(map(torch.numel, untied.parameters()))
        storages = [each.data_ptr() for each in parts.state_dict().values()]
        assert len(storages) == len(set(storages))
        encoder, decoder = deepcopy(parts)
        z = torch.randn(2, 3)
        before = decoder(z)
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.mul_(2)
        assert not torch.allclose(decoder(z), before)
        torch.testing.assert_close(parts[1](z), before)

    def test_ends_that_differ_keep_their_own_weights(self) -> None:
        _, decoder = mirror(MIXED, (5,), 3, 3, 9, layers=Layers(tied=True))
        assert isinstance(decoder.layers[0], Tied)
        assert isinstance(decoder.layers[-1], nn.Linear)


class TestLayers:
    @pytest.mark.parametrize("activation", get_args(Activation))
    def test_signals_keep_their_size(self, activation: Activation) -> None:
        encoder, decoder = mirror(numbers(64), (64,) * 4, 64, 64, 64, layers=Layers(activation))
        output = decoder(encoder(torch.randn(256, 64)))
        assert 0.05 < output.std().item() < 3

    def test_dropout_keeps_the_mean_and_rests_in_evaluation(self) -> None:
        dropout, x = Dropout(0.3), torch.ones(400, 400)
        dropped = dropout(x)
        assert dropped.mean().item() == pytest.approx(1, abs=0.01)
        assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
        assert torch.equal(dropout.eval()(x), x)


class TestGDN:
    def test_divides_by_the_root_of_a_weighed_sum_of_squares(self) -> None:
        part, x = GDN(3), torch.randn(4, 3, 5)
        offset, weight = part.offset.exp().log1p(), part.weight.exp().log1p()
        root = (offset.view(3, 1) + torch.einsum("ij,njc->nic", weight, x**2)).sqrt()
        torch.testing.assert_close(part(x), x / root)
        torch.testing.assert_close(GDN(3, back=True)(x), x * root)

    def test_stands_the_other_way_round_in_a_decoder(self) -> None:
        encoder, decoder = mirror(IMAGE, (4,), 3, 3, 2, layers=Layers("gdn"))
        turned = [[part.back for part in half.modules() if isinstance(part, GDN)] for half in (encoder, decoder)]
        assert turned == [[False], [True]]


class TestResidual:
    @pytest.mark.parametrize("schema", [ROW, SERIES, IMAGE], ids=["row", "series", "image"])
    def test_a_block_that_adds_nothing_leaves_the_plain_network(self, schema: Schema) -> None:
        deep = nn.ModuleList(mirror(schema, (5, 4), 3, 3, 2, layers=Layers(network="residual")))
        plain = nn.ModuleList(mirror(schema, (5, 4), 3, 3, 2))
        blocks = [part for part in deep.modules() if isinstance(part, Residual)]
        with torch.no_grad():
            for parameter in (parameter for block in blocks for parameter in block.layers[-1].parameters()):
                parameter.zero_()
        own = {id(parameter) for block in blocks for parameter in block.parameters()}
        outer = [parameter for parameter in deep.parameters() if id(parameter) not in own]
        for parameter, other in zip(outer, plain.parameters(), strict=True):
            other.data = parameter.data
        assert len(blocks) == 4
        for encoder, decoder in (deep, plain):
            torch.testing.assert_close(decoder(encoder(rows(schema))), plain[1](plain[0](rows(schema))))


class TestPatches:
    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.integers(1, 9), min_size=1, max_size=2), st.integers(1, 4), st.integers(1, 3))
    def test_are_cut_and_joined(self, grid: list[int], side: int, channels: int) -> None:
        x = torch.randn(2, channels, *grid)
        patches = cut(x, side)
        places = tuple(-(-size // side) for size in grid)
        whole = joined(patches, places, side, channels)[(..., *(slice(size) for size in grid))]
        assert torch.equal(whole, x)
        corner = x[(0, slice(None), *[slice(side)] * len(grid))]
        assert patches[0, 0].sum().item() == pytest.approx(corner.sum().item(), abs=1e-4)

    def test_that_are_hidden_are_not_read(self) -> None:
        """What the encoder of a masked autoencoder says of the seen patches is what it says without the others."""
        part = FromPatches(2, (4, 4), 2, (8, 6), Layers(), slice(1, 2))
        block, tokens = Block(8, Layers()), torch.randn(3, 5, 8)
        barred = torch.tensor([[[False, True, False, True, False]]])
        torch.testing.assert_close(block(tokens, barred)[:, ::2], block(tokens[:, ::2]))
        x = torch.cat((torch.randn(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)), 1)
        x[:, 0, :2, :2], x[:, 1, :2, :2] = 0.0, 1.0
        told, part.places.data[0] = part(x), 100.0
        moved = part(x)
        assert not torch.allclose(moved[..., 0, 0], told[..., 0, 0])
        torch.testing.assert_close(moved.flatten(2)[:, :, 1:], told.flatten(2)[:, :, 1:])

    def test_all_hidden_are_finite(self) -> None:
        encoder, _ = mirror(IMAGE, (6, 6), 3, 3, 2, flags=True, layers=Layers(network="patches"))
        assert encoder(torch.full((2, *IMAGE.shape), torch.nan)).isfinite().all()

    def test_one_token_after_the_other_is_all_at_once(self) -> None:
        block, tokens = Block(8, Layers()), torch.randn(3, 5, 8)
        past, steps = None, []
        for token in tokens.split(1, 1):
            told, past = block.step(token, past)
            steps.append(told)
        later = torch.ones(5, 5, dtype=torch.bool).triu(1)[None]
        torch.testing.assert_close(torch.cat(steps, 1), block(tokens, later))


def test_parts_say_what_they_are() -> None:
    _, decoder = mirror(numbers(1, "series", (5,)), (3,), 2, 2, 1, layers=Layers(dropout=0.1))
    assert "Dropout(0.1)" in repr(decoder)
    assert "Crop((5,))" in repr(decoder)


def test_members_of_an_ensemble_can_be_computed_as_one() -> None:
    encoders = [mirror(MIXED, (5,), 3, 3, 8, flags=True)[0] for _ in range(3)]
    x = rows(MIXED)
    state = torch.func.stack_module_state(encoders)
    together = torch.func.vmap(lambda own: torch.func.functional_call(encoders[0], own, (x,)))(state[0] | state[1])
    torch.testing.assert_close(together, torch.stack([encoder(x) for encoder in encoders]))
