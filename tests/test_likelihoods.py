"""Likelihoods against torch.distributions, against sums over all values, and against data of known scale."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, distributions

from diabolo.checks import LAWS, Case
from diabolo.errors import InvalidParameter
from diabolo.likelihoods import (
    NAMED,
    Bernoulli,
    Categorical,
    Columnwise,
    DiscretisedLogistic,
    Laplace,
    LogisticMixture,
    Mixed,
    NegativeBinomial,
    Normal,
    StudentT,
    fitting,
)
from diabolo.randomness import seeded
from diabolo.schema import Column, Schema, numbers
from diabolo.variants import Deep, Linear, Masked, Vanilla, Variant

N = 40
SCHEMA = Schema(
    (
        Column("a"),
        Column("color", "category", "Categorical", categories=("red", "blue", "(unseen)")),
        Column("b"),
        Column("visits", "count", "NegativeBinomial", center=1.0, scale=0.5),
        Column("shape", "category", "Categorical", categories=("round", "square", "flat", "long", "(unseen)")),
        Column("c"),
        Column("tail", likelihood="StudentT"),
        Column("member", "boolean", "Bernoulli"),
        Column("edge", likelihood="Laplace"),
    )
)


def normals(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def uniforms(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2))


def indices(*counts: int, grid: tuple[int, ...] = ()) -> Tensor:
    return torch.stack([(uniforms(N, *grid) * count).floor() for count in counts], 1)


STEPS = [
    Column("pixel", likelihood="DiscretisedLogistic", center=0.3, scale=0.5, low=0.0, high=1.0, step=1 / 255),
    Column("grade", likelihood="DiscretisedLogistic", center=3.0, scale=1.5, low=1.0, high=6.0, step=0.5),
    Column("one", likelihood="DiscretisedLogistic", center=7.0, scale=7.0, low=7.0, high=7.0, step=7.0),
]


def on_lattice(grid: tuple[int, ...]) -> Tensor:
    """Values of the first two columns of STEPS, as the model stores them."""
    counts, columns = (255, 10), STEPS[:2]
    values = [(uniforms(N, *grid) * (count + 1)).floor() for count in counts]
    return torch.stack(
        [(each * c.step + c.low - c.center) / c.scale for each, c in zip(values, columns, strict=True)], 1
    )


CASES: dict[str, tuple[Callable[[], Columnwise], Callable[[tuple[int, ...]], Tensor]]] = {
    "Normal learned": (lambda: Normal(3), lambda grid: normals(N, 3, *grid)),
    "Normal unit": (lambda: Normal(3, "unit"), lambda grid: normals(N, 3, *grid)),
    "Normal predicted": (lambda: Normal(3, "predicted"), lambda grid: normals(N, 3, *grid)),
    "StudentT learned": (lambda: StudentT(3), lambda grid: normals(N, 3, *grid)),
    "StudentT predicted": (lambda: StudentT(3, "predicted"), lambda grid: normals(N, 3, *grid)),
    "Laplace predicted": (lambda: Laplace(3, "predicted"), lambda grid: normals(N, 3, *grid)),
    "StudentT fixed": (lambda: StudentT(3, freedom=2.5), lambda grid: normals(N, 3, *grid)),
    "Laplace": (lambda: Laplace(3), lambda grid: normals(N, 3, *grid)),
    "DiscretisedLogistic": (lambda: DiscretisedLogistic.of(STEPS[:2], "learned"), on_lattice),
    "DiscretisedLogistic predicted": (lambda: DiscretisedLogistic.of(STEPS[:2], "predicted"), on_lattice),
    "LogisticMixture": (lambda: LogisticMixture.of(STEPS[:2], "predicted"), on_lattice),
    "Bernoulli": (lambda: Bernoulli(3), lambda grid: uniforms(N, 3, *grid)),
    "Categorical level": (lambda: Categorical([4, 4]), lambda grid: indices(4, 4, grid=grid)),
    "Categorical ragged": (lambda: Categorical([2, 5, 1]), lambda grid: indices(2, 5, 1, grid=grid)),
    "NegativeBinomial": (
        lambda: NegativeBinomial([1.0, 0.0, 2.0], [0.5, 1.0, 1.0]),
        lambda grid: (20 * uniforms(N, 3, *grid)).floor(),
    ),
}


def mixed_rows() -> Tensor:
    a, b, c, tail, edge = normals(N, 5).T
    color, shape = indices(3, 5).T
    counts, member = (9 * uniforms(N)).floor(), (uniforms(N) > 0.5).float()
    return torch.stack((a, color, b, counts, shape, c, tail, member, edge), 1)


def stirred(likelihood: Columnwise) -> Columnwise:
    """The likelihood with free numbers away from where they start."""
    with torch.no_grad():
        for i, parameter in enumerate(likelihood.parameters()):
            parameter += 0.05 * (i + 1) * torch.linspace(-1, 1, len(parameter))
    return likelihood


@pytest.mark.parametrize("grid", [(), (5,), (3, 4)], ids=["row", "series", "image"])
@pytest.mark.parametrize("case", CASES)
class TestEveryLikelihood:
    def test_errors_are_the_negative_log_density(self, case: str, grid: tuple[int, ...]) -> None:
        make, draw = CASES[case]
        likelihood, x = stirred(make()), draw(grid)
        h = 2 * normals(N, likelihood.width, *grid)
        expected = -likelihood(h).log_prob(x)
        assert likelihood.errors(h, x).shape == x.shape
        torch.testing.assert_close(likelihood.errors(h, x), expected, rtol=2e-5, atol=2e-5)

    def test_values_have_the_shape_of_rows(self, case: str, grid: tuple[int, ...]) -> None:
        make, draw = CASES[case]
        likelihood, x = make(), draw(grid)
        distribution = likelihood(0.1 + normals(N, likelihood.width, *grid).abs())
        for value in (distribution.sample(), distribution.mean, distribution.mode):
            assert value.shape == x.shape
            assert value.dtype == x.dtype
        assert likelihood.best(normals(N, likelihood.width, *grid)).shape == x.shape

    def test_every_number_learns(self, case: str, grid: tuple[int, ...]) -> None:
        make, draw = CASES[case]
        likelihood = make()
        h = (2 * normals(N, likelihood.width, *grid)).requires_grad_()
        likelihood.errors(h, draw(grid)).sum().backward()
        assert h.grad is not None
        alone = int(case == "Categorical ragged")  # its last column has one category: nothing to learn
        assert (h.grad != 0).transpose(0, 1).flatten(1).any(1)[: likelihood.width - alone].all()
        assert h.grad.isfinite().all()
        for parameter in likelihood.parameters():
            assert parameter.grad is not None
            assert (parameter.grad != 0).all()

    def test_columns_do_not_meet(self, case: str, grid: tuple[int, ...]) -> None:
        make, draw = CASES[case]
        likelihood, x = make(), draw(grid)
        h = normals(N, likelihood.width, *grid)
        changed = x.clone()
        changed[:, 0] = 1 - changed[:, 0].clamp(0, 1)
        same = likelihood.errors(h, x)[:, 1:] == likelihood.errors(h, changed)[:, 1:]
        assert same.all()


@pytest.mark.parametrize("count", [1, 2, 7])
def test_categories_add_up_to_one(count: int) -> None:
    likelihood = Categorical([count, 4])
    h = 5 * normals(N, likelihood.width)
    values = torch.arange(count, dtype=torch.float32).view(-1, 1, 1).expand(-1, N, 2).clone()
    values[..., 1] = 0
    total = torch.stack([(-likelihood.errors(h, x)[:, 0]).exp() for x in values]).sum(0)
    torch.testing.assert_close(total, torch.ones(N))


def test_truth_values_add_up_to_one() -> None:
    h = 3 * normals(N, 2)
    total = sum((-Bernoulli(2).errors(h, torch.full((N, 2), value))).exp() for value in (0.0, 1.0))
    torch.testing.assert_close(total, torch.ones(N, 2))


def lattice(column: Column) -> Tensor:
    """All values of a column, as the model stores them."""
    count = round((column.high - column.low) / column.step)
    return (torch.arange(count + 1) * column.step + column.low - column.center) / column.scale


class TestLattice:
    @pytest.mark.parametrize("column", STEPS, ids=lambda column: column.name)
    @pytest.mark.parametrize("named", [DiscretisedLogistic, LogisticMixture])
    @pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
    def test_values_add_up_to_one(self, named: type[Columnwise], column: Column, size: float) -> None:
        likelihood = stirred(named.of([column], "predicted"))
        h = size * normals(N, likelihood.width)
        total = sum((-likelihood.errors(h, torch.full((N, 1), value))).exp() for value in lattice(column).tolist())
        torch.testing.assert_close(total, torch.ones(N, 1), rtol=1e-4, atol=1e-4)

    def test_a_value_has_what_lies_within_half_a_step(self) -> None:
        """Against differences of the distribution function in double precision, in the middle and at both ends."""
        likelihood, h = DiscretisedLogistic.of(STEPS[1:2], "unit"), normals(N, 1)
        values, half = lattice(STEPS[1]), STEPS[1].step / STEPS[1].scale / 2
        for i, value in enumerate(values.tolist()):
            above = 1.0 if i == len(values) - 1 else torch.sigmoid(value + half - h.double())
            below = 0.0 if i == 0 else torch.sigmoid(value - half - h.double())
            found = likelihood.errors(h, torch.full_like(h, value)).double()
            torch.testing.assert_close(found, -torch.log(torch.as_tensor(above - below)), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("named", [DiscretisedLogistic, LogisticMixture])
    @pytest.mark.parametrize("size", [1.0, 10.0])
    def test_the_best_value_is_the_mean_of_all(self, named: type[Columnwise], size: float) -> None:
        """Against the sum over the lattice, also of places far outside it."""
        column = Column("pixel", low=0.0, high=1.0, step=1 / 255, center=0.3, scale=0.4)
        likelihood, values = stirred(named.of([column], "predicted")), lattice(column)
        h = size * normals(N, likelihood.width)
        chances = torch.stack([(-likelihood.errors(h, torch.full((N, 1), each))).exp() for each in values.tolist()])
        mean = (chances * values[:, None, None]).sum(0)
        torch.testing.assert_close(likelihood.best(h), mean, rtol=0.0, atol=2e-3)
        torch.testing.assert_close(likelihood(h).mean, likelihood.best(h))

    @pytest.mark.parametrize("named", [DiscretisedLogistic, LogisticMixture])
    def test_far_values_cost_much_and_stay_finite(self, named: type[Columnwise]) -> None:
        likelihood = named.of(STEPS[:1], "predicted")
        x = torch.tensor([[-1e6], [-30.0], [-3.0], [-0.6], [30.0], [1e6]])
        h = torch.zeros(6, likelihood.width).requires_grad_()
        cost = likelihood.errors(h, x)
        cost.sum().backward()
        assert cost.isfinite().all() and h.grad is not None and h.grad.isfinite().all()
        assert (cost[:3, 0].diff() < 0).all() and cost[4] < cost[5] and cost[3] < cost[4]

    @pytest.mark.parametrize("named", [DiscretisedLogistic, LogisticMixture])
    def test_draws_lie_on_the_lattice_as_often_as_their_probability(self, named: type[Columnwise]) -> None:
        likelihood = named.of(STEPS[1:2], "predicted")
        h = normals(1, likelihood.width).expand(20_000, -1)
        with seeded(0):
            drawn = likelihood(h).sample()[:, 0]
        values = lattice(STEPS[1])
        share = ((drawn[:, None] - values).abs() < 1e-4).float().mean(0)
        chance = (-likelihood.errors(h[: len(values)], values[:, None])[:, 0]).exp().detach()
        assert share.sum().item() == pytest.approx(1.0, abs=1e-6)
        torch.testing.assert_close(share, chance, rtol=0.0, atol=0.015)

    @pytest.mark.parametrize("named", [DiscretisedLogistic, LogisticMixture])
    def test_closed_forms_find_the_scale(self, named: type[Columnwise]) -> None:
        likelihood = named.of([Column("x", low=-100.0, high=100.0, step=0.01)], "learned")
        luck = torch.logit(uniforms(20_000, 1).clamp(1e-4, 1 - 1e-4))
        h = likelihood.link(torch.zeros_like(luck))
        likelihood.solve(h, 0.3 * luck)
        entropy = math.log(0.3) + 2 - math.log(0.01)  # of the density, and the share of a step
        assert likelihood.errors(h, 0.3 * luck).mean().item() == pytest.approx(entropy, abs=0.03)

    def test_a_column_without_a_lattice_is_refused(self) -> None:
        with pytest.raises(InvalidParameter, match="'a' has no lattice"):
            DiscretisedLogistic.of([Column("a")], "unit")

    @pytest.mark.parametrize("name", ["DiscretisedLogistic", "LogisticMixture"])
    @pytest.mark.parametrize("variant", [Vanilla(latent=2), Linear(latent=2), Masked(latent=4)], ids=repr)
    def test_variants_obey_the_laws_with_it(self, variant: Variant, name: str) -> None:
        columns = tuple(replace(STEPS[1], name=f"x{i}", likelihood=name, center=0.0, scale=1.0) for i in range(4))
        for schema in (Schema((*columns, Column("real"))), Schema(columns[:2], "image", (8, 8))):
            for law in LAWS if isinstance(variant, Deep) else LAWS[:2]:
                law(Case(variant, "lattice", schema))


def test_counts_add_up_to_one() -> None:
    likelihood = NegativeBinomial([0.5, 1.0], [0.7, 0.3])
    x = torch.arange(4000.0).view(-1, 1).expand(-1, 2)
    h = normals(1, 2).expand(4000, 2)
    torch.testing.assert_close((-likelihood.errors(h, x)).exp().sum(0), torch.ones(2), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("case", ["Normal learned", "Normal predicted", "StudentT fixed", "Laplace"])
def test_densities_integrate_to_one(case: str) -> None:
    likelihood = stirred(CASES[case][0]())
    x = torch.linspace(-400, 400, 400_001).view(-1, 1).expand(-1, 3)
    h = normals(1, likelihood.width).expand(len(x), -1)
    total = torch.trapezoid((-likelihood.errors(h, x)).exp().double(), x.double(), dim=0)
    torch.testing.assert_close(total, torch.ones(3, dtype=torch.float64), rtol=2e-3, atol=2e-3)


def test_big_counts_keep_their_precision() -> None:
    """In single precision the log-gammas of a million alone are wrong by a nat."""
    likelihood = NegativeBinomial([0.0], [1.0])
    likelihood._set(torch.tensor([7.3]))
    x = torch.tensor([[1e6], [2e6]])
    h = torch.tensor([[13.8], [14.0]])
    spread = likelihood._dispersion().double()
    logits = h.double() - spread.log()
    expected = -distributions.NegativeBinomial(spread.expand(2, 1), logits=logits).log_prob(x.double())
    torch.testing.assert_close(likelihood.errors(h, x).double(), expected, rtol=0, atol=1e-3)


def test_unit_scale_is_half_the_squared_error() -> None:
    h, x = normals(N, 3), uniforms(N, 3)
    difference = Normal(3, "unit").errors(h, x) - 0.5 * (x - h) ** 2
    torch.testing.assert_close(difference, torch.full((N, 3), 0.5 * math.log(2 * math.pi)))


def test_an_exactly_predicted_column_is_not_worth_infinite_nats() -> None:
    likelihood = Normal(1)
    optimiser = torch.optim.Adam(likelihood.parameters(), 0.5)
    for _ in range(300):
        optimiser.zero_grad()
        likelihood.errors(torch.zeros(8, 1), torch.zeros(8, 1)).sum().backward()
        optimiser.step()
    lowest = math.log(1e-3) + 0.5 * math.log(2 * math.pi)
    assert likelihood.errors(torch.zeros(1, 1), torch.zeros(1, 1)).item() == pytest.approx(lowest, abs=1e-3)


def test_a_category_never_seen_has_a_price() -> None:
    h = torch.tensor([[60.0, 0.0, -60.0]])
    cost = Categorical([3]).errors(h, torch.tensor([[2.0]])).item()
    assert cost == pytest.approx(math.log(3 / 1e-4), rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_costs_stay_finite_far_away(h: float, x: float) -> None:
    outputs, values = torch.full((1, 2), h, requires_grad=True), torch.full((1, 1), x)
    for likelihood in (Normal(1), StudentT(1), Laplace(1)):
        cost = likelihood.errors(outputs[:, :1], values)
        assert cost.isfinite().all()
        assert torch.autograd.grad(cost.sum(), outputs)[0].isfinite().all()
    assert Normal(1, "predicted").errors(outputs, values).isfinite().all()


class TestSolve:
    """Free numbers found from residuals are those the residuals were drawn with; missing values change nothing."""

    @staticmethod
    def residuals(distribution: distributions.Distribution, rows: int = 20_000) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return distribution.sample(torch.Size((rows, 2)))

    @pytest.mark.parametrize("scale", ["learned", "predicted"])
    def test_normal(self, scale: str) -> None:
        likelihood = Normal(2, scale)  # type: ignore[arg-type]
        x = self.residuals(distributions.Normal(0.0, 0.37))
        h = likelihood.link(torch.zeros_like(x))
        likelihood.solve(h, x)
        torch.testing.assert_close(likelihood(h).stddev[0], torch.full((2,), 0.37), rtol=0.02, atol=0)

    def test_laplace(self) -> None:
        likelihood, x = Laplace(2), self.residuals(distributions.Laplace(0.0, 0.2))
        likelihood.solve(torch.zeros_like(x), x)
        torch.testing.assert_close(likelihood(x).scale[0], torch.full((2,), 0.2), rtol=0.03, atol=0)

    def test_student(self) -> None:
        likelihood, x = StudentT(2), self.residuals(distributions.StudentT(3.0, 0.0, 0.5))
        likelihood.solve(torch.zeros_like(x), x)
        torch.testing.assert_close(likelihood(x).scale[0], torch.full((2,), 0.5), rtol=0.05, atol=0)
        torch.testing.assert_close(likelihood(x).df[0], torch.full((2,), 3.0), rtol=1e-3, atol=0)

    def test_counts(self) -> None:
        likelihood = NegativeBinomial([1.0, 1.0], [1.0, 1.0])
        x = self.residuals(distributions.NegativeBinomial(4.0, logits=torch.tensor(0.5)))
        likelihood.solve(likelihood.link(x.mean(0).expand_as(x)), x)
        torch.testing.assert_close(likelihood._dispersion(), torch.full((2,), 4.0), rtol=0.08, atol=0)

    @pytest.mark.parametrize("case", CASES)
    def test_missing_values_change_nothing(self, case: str) -> None:
        make, draw = CASES[case]
        x, likelihoods = draw(()), (make(), make())
        h = normals(N, likelihoods[0].width)
        likelihoods[0].solve(h, x)
        holes = torch.cat((x, torch.full_like(x, torch.nan)))
        likelihoods[1].solve(torch.cat((h, h + 7)), holes)
        for one, other in zip(*(each.parameters() for each in likelihoods), strict=True):
            torch.testing.assert_close(one, other)

    @pytest.mark.parametrize("case", CASES)
    @pytest.mark.parametrize("grid", [(), (3,)])
    def test_a_weight_is_a_repetition(self, case: str, grid: tuple[int, ...]) -> None:
        make, draw = CASES[case]
        x, likelihoods = draw(grid), (make(), make())
        h, weight = normals(N, likelihoods[0].width, *grid), torch.arange(N) % 4
        likelihoods[0].solve(h, x, weight / 2)
        likelihoods[1].solve(h.repeat_interleave(weight, 0), x.repeat_interleave(weight, 0))
        for one, other in zip(*(each.parameters() for each in likelihoods), strict=True):
            torch.testing.assert_close(one, other)

    def test_residuals_far_out_have_a_scale(self) -> None:
        part = LogisticMixture.of(STEPS[:2], "predicted")
        part.solve(torch.zeros(4, part.width), torch.tensor([-300.0, -100.0, 100.0, 300.0]).unsqueeze(1).expand(-1, 2))
        assert all(each.isfinite().all() for each in part.parameters())

    @pytest.mark.parametrize("case", CASES)
    def test_it_lowers_the_cost(self, case: str) -> None:
        make, draw = CASES[case]
        likelihood, x = stirred(make()), draw(())
        h = likelihood.link(draw(())) if "Categorical" not in case else normals(N, likelihood.width)
        before = likelihood.errors(h, x).mean()
        likelihood.solve(h, x)
        assert likelihood.errors(h, x).mean() <= before + 1e-4


class TestLink:
    @pytest.mark.parametrize("case", ["Normal learned", "Normal predicted", "StudentT learned", "Laplace"])
    def test_of_numbers_is_the_inverse_of_best(self, case: str) -> None:
        likelihood, x = CASES[case][0](), normals(N, 3)
        torch.testing.assert_close(likelihood.best(likelihood.link(x)), x)

    def test_of_fractions_and_counts_is_the_inverse_of_best(self) -> None:
        x = uniforms(N, 2) * 0.9 + 0.05
        for likelihood in (Bernoulli(2, fractions=True), NegativeBinomial([0.5, 2.0], [0.5, 1.0])):
            torch.testing.assert_close(likelihood.best(likelihood.link(x)), x)

    def test_of_categories_gives_their_weights_as_probabilities(self) -> None:
        likelihood = Categorical([3])
        weights = torch.tensor([[0.2, 0.7, 0.1]])
        torch.testing.assert_close(likelihood(likelihood.link(weights)).probs[0], weights, rtol=1e-3, atol=1e-3)


class TestMixed:
    def test_errors_are_those_of_the_parts_in_the_order_of_the_columns(self) -> None:
        likelihood, x = fitting(SCHEMA), mixed_rows()
        h = normals(N, likelihood.width)
        assert isinstance(likelihood, Mixed)
        torch.testing.assert_close(likelihood.errors(h, x), -likelihood(h).log_prob(x), rtol=2e-5, atol=2e-5)
        alone = Normal(3).errors(h[:, :3], x[:, [0, 2, 5]])
        torch.testing.assert_close(likelihood.errors(h, x)[:, [0, 2, 5]], alone)

    def test_draws_are_values_of_their_columns(self) -> None:
        distribution = fitting(SCHEMA)(normals(N, fitting(SCHEMA).width))
        for x in (distribution.sample(), distribution.mode):
            assert x.shape == (N, 9)
            assert torch.isin(x[:, 1], torch.arange(3.0)).all()
            assert torch.isin(x[:, 4], torch.arange(5.0)).all()
            assert (x[:, 3] >= 0).all()
            assert torch.isin(x[:, 7], torch.tensor([0.0, 1.0])).all()
        assert distribution.mean.isfinite().all()
        assert distribution.sample(torch.Size((2, 3))).shape == (2, 3, N, 9)

    def test_best_values_of_discrete_columns_are_values(self) -> None:
        best = fitting(SCHEMA).best(normals(N, fitting(SCHEMA).width))
        assert torch.isin(best[:, 7], torch.tensor([0.0, 1.0])).all()
        assert torch.isin(best[:, 4], torch.arange(5.0)).all()

    def test_solve_and_link_reach_every_part(self) -> None:
        likelihood, x = fitting(SCHEMA), mixed_rows()
        values = torch.rand(N, sum(column.width for column in SCHEMA.columns))
        h = likelihood.link(values)
        assert h.shape == (N, likelihood.width)
        torch.testing.assert_close(likelihood.best(h)[:, [0, 2, 5, 6, 8]], values[:, [0, 4, 11, 12, 14]])
        before = [parameter.clone() for parameter in likelihood.parameters()]
        likelihood.solve(h, x)
        changed = [not torch.equal(one, other) for one, other in zip(before, likelihood.parameters(), strict=True)]
        assert all(changed)


class TestFitting:
    def test_one_kind_is_not_mixed(self) -> None:
        assert isinstance(fitting(numbers(3)), Normal)
        assert fitting(numbers(3), scale="predicted").width == 6

    @pytest.mark.parametrize("name", NAMED)
    def test_every_name_is_known(self, name: str) -> None:
        column = Column("a", "category", name, categories=("x", "(unseen)"), low=0.0, high=1.0, step=1.0)
        assert type(fitting(Schema((column,)))) is NAMED[name]

    def test_mixed_can_be_asked_for_by_columns(self) -> None:
        assert Mixed.of(SCHEMA.columns, "predicted").width == fitting(SCHEMA, scale="predicted").width

    def test_fractions_are_guessed_as_fractions(self) -> None:
        pixels = Schema((Column("gray", likelihood="Bernoulli"),), "image", (2, 2))
        assert fitting(pixels).best(torch.zeros(1, 1, 2, 2)).unique().tolist() == [0.5]

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(InvalidParameter, match=r"'Normal'.* Got 'Gauss'"):
            fitting(Schema((Column("a", likelihood="Gauss"),)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Normal(2, "wide"),  # type: ignore[arg-type]
        lambda: StudentT(2, freedom=0.0),
        lambda: StudentT(2, freedom=math.nan),
        lambda: Categorical([3, 0]),
    ],
)
def test_impossible_parameters_are_refused(make: Callable[[], Columnwise]) -> None:
    with pytest.raises(InvalidParameter, match="Got"):
        make()


def test_members_of_an_ensemble_can_be_computed_as_one() -> None:
    likelihood = fitting(SCHEMA)
    h, x = normals(3, N, likelihood.width), mixed_rows()
    together = torch.func.vmap(lambda each: likelihood.errors(each, x))(h)
    torch.testing.assert_close(together, torch.stack([likelihood.errors(each, x) for each in h]))


def test_the_best_guess_has_a_name() -> None:
    """The last place of a column is that of categories which no row of the fit had."""
    h = torch.tensor([[0.0, 1.0, 9.0, 2.0, 0.0, 7.0]])
    assert Categorical([3, 2, 1]).best(h).tolist() == [[1.0, 0.0, 0.0]]
