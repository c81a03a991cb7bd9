"""Given columns: told to the model and not learned, whatever the task, however the rows come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from scipy.stats import multivariate_normal

from diabolo import AnomalyDetector, Clusterer, Denoiser, Embedder, Imputer, Synthesizer, Trainer, load
from diabolo.batches import Batch, Rows
from diabolo.diagnosis import Case
from diabolo.errors import DiaboloError, InvalidParameter, SchemaMismatch
from diabolo.evaluate import clustering, compression, importance_bound
from diabolo.explain import reasons
from diabolo.linear import Trend
from diabolo.networks import Given
from diabolo.preparation import Preparation
from diabolo.randomness import seeded
from diabolo.schema import Column, Schema, numbers
from diabolo.tasks import task
from diabolo.tasks.conditions import Conditions
from diabolo.tasks.mixture import Mixture
from diabolo.variants import VAE, Linear, Residual, Vanilla

SHORT = Trainer(epochs=10, batch_size=64)
MODES = np.array(["idle", "half", "full"])
GIVEN = {"given": ("mode",), "random_state": 0}


def machine(count: int = 600, seed: int = 0) -> pa.Table:
    """Flow and heat rise with the mode, the rest does not; flow and power go together."""
    dice = np.random.default_rng(seed)
    mode = dice.integers(3, size=count)
    flow = 5.0 * mode + dice.normal(size=count)
    columns = {
        "flow": flow,
        "power": 2 * flow + 0.2 * dice.normal(size=count),
        "mode": MODES[mode],
        "heat": 20 - 4.0 * mode + dice.normal(size=count),
        "noise": dice.normal(size=count),
    }
    return pa.table(columns)


def linear(of: type[Any], **parameters: Any) -> Any:
    return of("Linear", **{**GIVEN, **parameters}).fit(machine())


# -- columns ---------------------------------------------------------------------------------------------------------


def test_rows_are_cut_and_put_together_again() -> None:
    schema = Schema((Column("a", given=True, missing=True), Column("b"), Column("c", given=True), Column("d")))
    given, x = Given(schema), torch.tensor([[torch.nan, 1.0, 2.0, 3.0]])
    learned, told = given(x)
    assert learned.tolist() == [[1.0, 3.0]] and told.tolist() == [[0.0, 2.0, 1.0, 0.0]]
    assert given.learned.given == given.width == 4 and [each.name for each in given.learned.columns] == ["b", "d"]
    assert torch.equal(given.whole(learned, x).nan_to_num(9.0), x.nan_to_num(9.0))


def test_nothing_is_cut_where_nothing_is_given() -> None:
    learned, told = Given(numbers(3))(torch.ones(2, 3))
    assert learned.shape == (2, 3) and told.shape == (2, 0) and Given(numbers(3)).learned == numbers(3)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("mood",), "given names the column 'mood'. Did you mean 'mode'?"),
        (("number",), "'number', which is set aside: an id"),
        (("flow", "power", "mode", "heat", "noise"), "given names every column that could be learned"),
    ],
    ids=str,
)
def test_columns_that_cannot_be_given(given: tuple[str, ...], told: str) -> None:
    rows = machine().append_column("number", pa.array([f"no {each}" for each in range(600)]))
    with pytest.raises(InvalidParameter) as caught:
        Embedder("Linear", given=given).fit(rows)
    assert told in str(caught.value)


def test_columns_of_images_cannot_be_given() -> None:
    with pytest.raises(InvalidParameter, match="columns of tables; these rows are images"):
        Embedder("Linear", given=("x0",)).fit(np.random.default_rng(0).normal(size=(20, 1, 6, 6)))


def test_columns_of_arrays_go_by_their_place() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 4)) @ np.triu(np.ones((4, 4)))
    embedder = Embedder("Linear", given=("x1",), random_state=0).fit(rows)
    assert [column.name for column in embedder.preparation_.schema_.columns if column.given] == ["x1"]
    assert np.allclose(embedder.reconstruct(rows)[:, 1], rows[:, 1], atol=1e-5)


def test_a_given_column_is_not_measured_by_the_scale_of_the_others() -> None:
    rows = np.random.default_rng(0).integers(0, 256, size=(300, 6)).astype(float)
    rows[:, 0] = np.arange(300) % 3
    first = Preparation(units=True, given=("x0",)).fit(rows).schema_.columns[0]
    assert first.given and first.scale == pytest.approx(rows[:, 0].std())


def test_a_missing_column_is_named_and_a_missing_or_new_condition_is_answered() -> None:
    detector, rows = linear(AnomalyDetector), machine(4, seed=1)
    with pytest.raises(SchemaMismatch, match="The column 'mode' of the fit is missing"):
        detector.anomaly_score(rows.drop_columns(["mode"]))
    odd = rows.set_column(2, "mode", pa.array(["idle", None, "broken", "full"]))
    assert np.isfinite(detector.anomaly_score(odd)).all()


# -- the linear autoencoder and the neighbours -----------------------------------------------------------------------


def test_the_linear_autoencoder_is_partial_pca() -> None:
    """Against least squares and a singular value decomposition by numpy."""
    dice = torch.Generator().manual_seed(0)
    told = torch.randn(400, 2, generator=dice)
    x = torch.randn(400, 2, generator=dice) @ torch.randn(2, 6, generator=dice)
    x = x + told @ torch.randn(2, 6, generator=dice) + 0.1 * torch.randn(400, 6, generator=dice)
    columns = (*numbers(6).columns, Column("g", given=True), Column("h", given=True))
    autoencoder = Linear(latent=2).build(Schema(columns))
    Linear(latent=2).train(autoencoder, Trainer(), Rows(torch.cat((x, told), 1)))
    design = np.column_stack([np.ones(400), told])
    trend = design @ np.linalg.lstsq(design, x.numpy(), rcond=None)[0]
    u, s, v = np.linalg.svd(x.numpy() - trend, full_matrices=False)
    best = autoencoder.best(torch.cat((x, told), 1)).detach()
    assert np.allclose(best[:, :6], trend + (u[:, :2] * s[:2]) @ v[:2], atol=1e-3)
    assert torch.equal(best[:, 6:], told)


@pytest.mark.parametrize("variant", ["Linear", "Residual"])
def test_codes_do_not_know_the_conditions_that_the_values_depend_on_linearly(variant: str) -> None:
    rows = machine()
    codes = Embedder(variant, trainer=SHORT, **GIVEN).fit(rows).encode(rows)
    means = np.array([codes[np.asarray(rows["mode"]) == each].mean(0) for each in MODES])
    assert np.abs(means - means.mean(0)).max() < 0.15 * codes.std()


def test_distances_are_between_what_conditions_leave_unexplained() -> None:
    """A row of idle values in full mode is far by distance alone, and no condition is to blame."""
    detector = linear(AnomalyDetector)
    values = {"flow": 0.0, "power": 0.0, "heat": 20.0, "noise": 0.0}
    x = detector.preparation_.transform(pa.Table.from_pylist([{**values, "mode": mode} for mode in ("idle", "full")]))
    place = [column.name for column in detector.preparation_.schema_.columns].index
    near, far = detector.neighbours_(x).tolist()
    assert far > 5 * near
    terms = detector.neighbours_.terms(x)
    assert not terms[:, place("mode")].any() and terms[1, place("flow")] > 10 * terms[0, place("flow")]


def test_what_is_left_is_measured_by_its_own_spread() -> None:
    """A tenth of the spread is left of the first column, all of the second: both weigh the same again."""
    dice = torch.Generator().manual_seed(0)
    given = torch.randn(4000, 1, generator=dice)
    values = torch.randn(4000, 2, generator=dice) * torch.tensor([0.1, 1.0]) + given * torch.tensor([0.995, 0.0])
    rest = Trend.learn(given, values).rest(given, values)
    assert torch.allclose(rest.std(0), values.std(0), atol=1e-2)
    assert (torch.corrcoef(torch.cat((given, rest), 1).T)[0, 1:].abs() < 1e-3).all()


# -- tasks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["Masked", "Linear", Vanilla(latent=2, members=2)], ids=str)
def test_a_row_is_strange_for_its_mode(variant: Any) -> None:
    """Values that are usual in one mode, told with another one."""
    rows = machine(200, seed=1)
    other = {"idle": "full", "half": "idle", "full": "half"}
    lie = rows.set_column(2, "mode", pa.array([other[each] for each in rows["mode"].to_pylist()]))
    detector = AnomalyDetector(variant, trainer=SHORT, **GIVEN).fit(machine())
    assert (detector.anomaly_score(lie) > detector.anomaly_score(rows)).mean() > 0.95
    why = reasons(detector, lie.slice(0, 3))
    assert all(reason.column in ("flow", "power", "heat") for each in why for reason in each.reasons[:2])


def test_without_batches_groups_are_found() -> None:
    """Two groups in three batches with an offset each: the rows lie by batch, and given the batch by group."""
    dice = np.random.default_rng(0)
    group, batch = dice.integers(2, size=600), dice.integers(3, size=600)
    rows = dice.normal(size=(600, 5)) + 4.0 * group[:, None] + (15 * dice.normal(size=(3, 5)))[batch]
    table = pa.table({f"x{i}": each for i, each in enumerate(rows.T)} | {"batch": MODES[batch]})
    found = Clusterer("Linear", clusters=2, given=("batch",), random_state=0).fit(table).labels_
    assert clustering(group, found)["accuracy"].value > 0.95


def test_gaps_in_given_columns_stay_and_others_are_filled_given_them() -> None:
    rows = machine(300, seed=1).to_pandas()
    rows.loc[:99, "flow"], rows.loc[:99, "power"] = np.nan, np.nan
    rows.loc[290:, "mode"] = None
    filled = linear(Imputer).transform(rows)
    assert filled["mode"].isna().sum() == 10 and not filled.drop(columns="mode").isna().any().any()
    assert np.abs(filled.flow[:100] - rows["mode"][:100].map({"idle": 0, "half": 5, "full": 10})).mean() < 2


def test_a_denoiser_leaves_given_columns_alone() -> None:
    rows = machine(50, seed=1)
    assert Denoiser(trainer=SHORT, **GIVEN).fit(machine()).transform(rows)["mode"] == rows["mode"]


def test_files_larger_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow.parquet.write_table(machine(2000), tmp_path / "rows.parquet", row_group_size=150)
    monkeypatch.setattr(task, "IN_MEMORY", 1000)
    detector = AnomalyDetector("Residual", trainer=Trainer(epochs=2), **GIVEN).fit(tmp_path / "rows.parquet")
    detector.save(tmp_path / "model")
    rows = machine(20, seed=1)
    assert np.array_equal(load(tmp_path / "model").anomaly_score(rows), detector.anomaly_score(rows))
    detector.partial_fit(machine(100, seed=2))
    assert np.isfinite(detector.anomaly_score(rows)).all()


def test_a_scorer_says_what_it_cannot_read() -> None:
    with pytest.raises(InvalidParameter, match="these have given columns"):
        linear(AnomalyDetector).scorer()


def test_bits_and_bounds() -> None:
    embedder = Embedder(VAE(latent=2), trainer=SHORT, **GIVEN).fit(machine())
    x = embedder.preparation_.transform(machine(9, seed=1))
    bound = importance_bound(embedder.autoencoder_, x, 50)
    assert bound.shape == (9,) and bound.isfinite().all()
    with pytest.raises(InvalidParameter, match="told the column 'mode'"):
        compression(embedder, machine(9, seed=1), precision=0.1)


def test_a_diagnosis_looks_for_what_conditions_leave_unexplained() -> None:
    """All that flow, power and heat share is the mode: given it, only flow and power go together."""
    preparation = Preparation(given=("mode",)).fit(machine())
    x = preparation.transform(machine())
    case = Case(preparation.schema_, Linear().build(preparation.schema_), x, None)
    assert case.spectrum.shared == 1 and case.away(x, x).max() == 0


# -- codes back to rows ----------------------------------------------------------------------------------------------


def test_codes_stand_for_rows_under_conditions() -> None:
    rows = machine(30, seed=1)
    embedder = linear(Embedder).set_params(variant__latent=3)
    embedder.fit(machine())
    codes = embedder.transform(rows)
    back = embedder.inverse_transform(codes, given={"mode": rows["mode"].to_pylist()})
    assert back["mode"] == rows["mode"]
    assert np.abs(np.asarray(back["power"]) - np.asarray(rows["power"])).mean() < 1
    full = embedder.inverse_transform(codes, given={"mode": "full"})
    assert np.asarray(full["flow"]).mean() == pytest.approx(10, abs=1.5)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "Pass given={'mode': ...}"),
        ({"flow": 1.0}, "Pass given={'mode': ...}"),
        ({"mode": ["idle", "full"]}, "holds 2 values for 30 rows"),
        ({"mode": "broken"}, "which the fit never saw"),
    ],
    ids=str,
)
def test_codes_without_conditions_stand_for_nothing(given: Any, told: str) -> None:
    embedder = linear(Embedder)
    codes = embedder.transform(machine(30, seed=1))
    with pytest.raises(InvalidParameter) as caught:
        embedder.inverse_transform(codes, given=given)
    assert told in str(caught.value)


def test_conditions_that_nobody_reads_are_refused() -> None:
    embedder = Embedder("Linear", random_state=0).fit(machine())
    codes = embedder.transform(machine(3, seed=1))
    with pytest.raises(InvalidParameter, match="Pass no given"):
        embedder.inverse_transform(codes, given={"mode": "full"})


# -- new rows --------------------------------------------------------------------------------------------------------


def test_gaussians_are_conditioned_in_closed_form() -> None:
    """log p(z | g) against the textbook formula, draws against its mean and covariance."""
    dice = np.random.default_rng(0)
    roots = dice.normal(size=(2, 5, 5))
    weights, means, covariances = np.array([0.3, 0.7]), dice.normal(size=(2, 5)), roots @ roots.transpose(0, 2, 1)
    mixture = Mixture._from(weights, means, np.linalg.cholesky(covariances))
    given, z = dice.normal(size=2), dice.normal(size=3)
    parts = []
    for weight, mean, cov in zip(weights, means, covariances, strict=True):
        gain = cov[2:, :2] @ np.linalg.inv(cov[:2, :2])
        own = weight * multivariate_normal(mean[:2], cov[:2, :2]).pdf(given)
        parts.append((own, mean[2:] + gain @ (given - mean[:2]), cov[2:, 2:] - gain @ cov[:2, 2:]))
    share = np.array([part[0] for part in parts]) / sum(part[0] for part in parts)
    density = sum(s * multivariate_normal(part[1], part[2]).pdf(z) for s, part in zip(share, parts, strict=True))
    told = torch.tensor(given)[None]
    assert mixture.log_density(torch.tensor(z)[None], told).item() == pytest.approx(np.log(density), abs=1e-9)
    with seeded(0):
        drawn = mixture.sample(200_000, told.expand(200_000, -1)).double()
    mean = sum(s * part[1] for s, part in zip(share, parts, strict=True))
    second = sum(s * (part[2] + np.outer(part[1], part[1])) for s, part in zip(share, parts, strict=True))
    assert np.allclose(drawn.mean(0), mean, atol=0.05)
    assert np.allclose(np.cov(drawn.T.numpy()), second - np.outer(mean, mean), atol=0.15)


def test_a_mixture_of_codes_and_conditions_is_learned_as_they_are_scaled() -> None:
    """Codes a thousand times as wide as conditions do not drown them."""
    dice = torch.Generator().manual_seed(0)
    given = torch.randn(2000, 1, generator=dice)
    z = 1000 * (given + 0.1 * torch.randn(2000, 1, generator=dice))
    mixture = Mixture.of_gaussians(Batch(z, given=given), 1, seed=0)
    with seeded(0):
        drawn = mixture.sample(2000, torch.full((2000, 1), 2.0))
    assert drawn.mean().item() == pytest.approx(2000, abs=20) and drawn.std().item() == pytest.approx(100, abs=10)


def spread() -> pa.Table:
    """Rows whose code, too, depends on the mode: it varies three times as much in one as in the other."""
    dice = np.random.default_rng(0)
    mode = dice.integers(2, size=3000)
    t = np.where(mode == 0, 0.5, 1.5) * dice.normal(size=3000)
    rows = np.outer(t, [1.0, 2.0, -1.0]) + 0.1 * dice.normal(size=(3000, 3)) + 5.0 * mode[:, None]
    return pa.table({f"x{i}": each for i, each in enumerate(rows.T)} | {"mode": MODES[mode]})


@pytest.mark.parametrize("variant", [Linear(latent=1), Residual(latent=1, scale="learned"), Vanilla(latent=1)], ids=str)
def test_new_rows_of_a_mode_are_like_the_rows_of_that_mode(variant: Any) -> None:
    synthesizer = Synthesizer(variant, trainer=Trainer(epochs=20), **GIVEN).fit(spread())
    real = spread().to_pandas()
    for mode in MODES[:2]:
        new = synthesizer.sample(2000, given={"mode": mode}).to_pandas()
        true = real[real["mode"] == mode]
        assert (new["mode"] == mode).all()
        assert new.x1.mean() == pytest.approx(true.x1.mean(), abs=0.5)
        assert new.x1.std() == pytest.approx(true.x1.std(), rel=0.35)


def test_new_rows_have_the_conditions_of_training_rows_as_often_as_they_weigh() -> None:
    rows, weight = spread(), np.where(np.asarray(spread()["mode"]) == "idle", 3.5, 0.5)
    synthesizer = Synthesizer("Linear", **GIVEN).fit(rows, sample_weight=weight)
    assert np.mean(np.asarray(synthesizer.sample(4000)["mode"]) == "idle") == pytest.approx(7 / 8, abs=0.03)


def test_conditions_come_together_and_around_what_is_known() -> None:
    schema = Schema((Column("a", given=True), Column("b"), Column("c", given=True)))
    x = torch.tensor([[1.0, 9.0, 10.0], [2.0, 9.0, 20.0], [torch.nan, 9.0, 30.0]])
    kept = Conditions.of(schema, Batch(x), complete=True)
    assert len(kept.x) == 2 and kept.x[:, 1].isnan().all()
    with seeded(0):
        free, known = kept.draw(50), kept.draw(50, torch.tensor([2.0, 5.0, torch.nan]))
    assert {tuple(row) for row in free[:, [0, 2]].tolist()} == {(1.0, 10.0), (2.0, 20.0)}
    assert known[:, [0, 2]].unique(dim=0).tolist() == [[2.0, 20.0]]
    assert len(Conditions.of(schema, Batch(x), complete=False).x) == 3
    assert torch.equal(Conditions.restored(kept.state(schema), schema).x.nan_to_num(0.0), kept.x.nan_to_num(0.0))


def test_other_values_may_be_fixed_beside_a_condition() -> None:
    new = linear(Synthesizer).sample(500, given={"mode": "half", "flow": 6.0}).to_pandas()
    assert (new["mode"] == "half").all() and np.allclose(new.flow, 6.0)
    assert new.power.mean() == pytest.approx(12, abs=1.0)


def test_a_prior_of_tokens_knows_no_conditions() -> None:
    with pytest.raises(InvalidParameter, match="prior='own'"):
        Synthesizer("VQVAE", trainer=Trainer(epochs=1), **GIVEN).fit(machine())
    own = Synthesizer("VQVAE", prior="own", trainer=Trainer(epochs=1), **GIVEN).fit(machine())
    assert own.sample(5, given={"mode": "full"})["mode"].to_pylist() == ["full"] * 5


@pytest.mark.parametrize(
    "make",
    [
        lambda model, rows, **given: model.combine(rows, [[1, -1, 1]], **given),
        lambda model, rows, **given: model.interpolate(rows.slice(0, 1), rows.slice(1, 1), 2, **given),
    ],
    ids=["combine", "interpolate"],
)
def test_sums_of_codes_and_ways_between_rows_need_conditions(make: Callable[..., Any]) -> None:
    model, rows = linear(Synthesizer), machine(3, seed=1)
    with pytest.raises(InvalidParameter, match="Pass given="):
        make(model, rows)
    assert set(make(model, rows, given={"mode": "half"})["mode"].to_pylist()) == {"half"}


# -- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["detect", "impute", "denoise", "embed", "cluster", "synthesize"])
def test_the_command_line_and_the_report(verb: str, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from diabolo.cli import app

    pyarrow.csv.write_csv(machine(200), tmp_path / "rows.csv")
    model, data, page = tmp_path / "model", str(tmp_path / "rows.csv"), tmp_path / "page.html"
    run = CliRunner().invoke
    fit = run(app, ["fit", verb, data, "-o", str(model), "-p", "variant=Linear", "-p", "given=mode"])
    assert fit.exit_code == 0, fit.output
    assert "4 columns, given mode," in fit.output
    assert "given: mode" in run(app, ["show", str(model)]).output
    made = run(app, ["report", str(model), data, "-o", str(page)])
    if verb in ("detect", "impute", "denoise"):
        assert made.exit_code == 0, made.output
        assert "told, not learned" in page.read_text()


def test_errors_are_ours() -> None:
    with pytest.raises(DiaboloError):
        Synthesizer("Linear", given=("mode", "mode", "no")).fit(machine())


@pytest.mark.parametrize("given", [(), ("on",)])
def test_a_flag_is_fixed_to_true_or_false_alone(given: tuple[str, ...]) -> None:
    rows = pa.table({"on": [True, False] * 40, "flow": np.random.default_rng(0).normal(size=80)})
    task = Synthesizer("Linear", given=given, random_state=0).fit(rows)
    assert task.sample(3, given={"on": 1})["on"].to_pylist() == [True] * 3
    with pytest.raises(InvalidParameter, match=r"given\['on'\] holds 2; its column holds true and false"):
        task.sample(3, given={"on": 2})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"flag": None}, r"given\['flag'\] is missing"),
        ({"level": np.nan}, r"given\['level'\] is missing"),
        ({"level": [1.0, 2.0]}, r"given\['level'\] holds 2 values: give one for all rows"),
        ({"count": 10**30}, "cannot hold"),
        ([("level", 1.0)], "given is a dict"),
    ],
    ids=str,
)
def test_values_that_cannot_be_given_are_refused(given: Any, told: str) -> None:
    with pytest.raises(InvalidParameter, match=told):
        DATED.sample(2, given=given)


def test_dates_of_numpy_may_be_given() -> None:
    day = np.datetime64("2020-02-02")
    assert DATED.sample(3, given={"day": day})["day"].to_pylist() == [day.item()] * 3
    assert DATED.sample(2, given={"level": np.array([1.5])})["level"].to_pylist() == [1.5] * 2


DATED = Synthesizer("Linear", random_state=0).fit(
    pa.table(
        {
            "day": pa.array(np.datetime64("2020-01-01") + (np.arange(120) * 7) % 365),
            "level": np.random.default_rng(0).normal(size=120),
            "count": np.random.default_rng(1).poisson(3, 120),
            "flag": np.arange(120) % 3 == 0,
        }
    )
)
