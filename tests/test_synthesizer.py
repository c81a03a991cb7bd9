"""Synthesizer: new rows of the type, the range and the dependence of the old ones, and none of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from diabolo import Synthesizer, Trainer, artifact, load
from diabolo.checks import tasks
from diabolo.checks.tasks import Subject, made_up
from diabolo.errors import InvalidArtifact, InvalidParameter, LawBroken
from diabolo.priors import Autoregressive
from diabolo.schema import numbers
from diabolo.tasks.conditions import nameless
from diabolo.tasks.synthesizer import turning
from diabolo.variants import FSQ, LFQ, RQVAE, VAE, VQVAE, Linear, Vanilla, Variant


def table(count: int = 400) -> pa.Table:
    dice = np.random.default_rng(0)
    age = dice.integers(18, 80, count)
    return pa.table(
        {
            "age": pa.array(age, pa.int16()),
            "pay": pa.array(100.0 * age + dice.normal(0, 100, count)),
            "kind": pa.array(np.where(age > 50, "old", "young")).dictionary_encode(),
            "id": [f"no {each}" for each in range(count)],
            "day": pa.array(np.datetime64("2024-01-01") + dice.integers(0, 300, count)),
        }
    )


def test_new_rows_are_like_the_old_ones() -> None:
    rows = table()
    new = Synthesizer("Linear", random_state=0).fit(rows).sample(2000)
    assert new.schema.equals(rows.schema) and new["id"].null_count == 2000
    old, young = (new.filter(pa.compute.equal(new["kind"], kind)).to_pandas() for kind in ("old", "young"))
    assert len(old) + len(young) == 2000 and old.age.mean() > young.age.mean() + 15
    frame = new.to_pandas()
    assert frame.age.between(18, 80).all() and frame.age.corr(frame.pay) > 0.9
    assert frame.pay.between(rows["pay"].to_numpy().min(), rows["pay"].to_numpy().max()).all()
    assert frame.day.min() >= rows.to_pandas().day.min() and not frame.drop(columns="id").isna().any(axis=None)


def test_new_rows_of_a_log_have_the_dates_hours_and_weekdays_of_the_old_ones() -> None:
    dice = np.random.default_rng(0)
    days = np.array([day for day in range(300) if day % 7 < 5])  # 2024-01-01 was a Monday
    minutes = (
        24 * 60 * np.repeat(days, 4) + 60 * np.tile([9, 10, 15, 16], len(days)) + dice.integers(0, 60, 4 * len(days))
    )
    when = np.datetime64("2024-01-01T00:00", "s") + 60 * np.sort(minutes)
    new = Synthesizer(random_state=0).fit(pa.table({"when": when, "load": dice.normal(size=len(when))})).sample(500)
    told = new["when"]
    assert told.null_count == 0 and pa.compute.min(told).as_py() >= when.min().item()
    assert pa.compute.max(told).as_py() <= when.max().item() and not any(pa.compute.second(told).to_pylist())
    assert np.isin(pa.compute.hour(told), [8, 9, 10, 11, 14, 15, 16, 17]).mean() > 0.9
    assert np.mean(np.array(pa.compute.day_of_week(told)) < 5) > 0.9


@pytest.mark.parametrize("kind", [pd.DataFrame, pa.Table, np.ndarray])
def test_rows_come_in_the_type_of_the_fit_also_once_loaded(kind: Any, tmp_path: Path) -> None:
    rows: Any = table()
    if kind is pd.DataFrame:
        rows = rows.to_pandas()
    elif kind is np.ndarray:
        rows = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    synthesizer = Synthesizer("Linear", random_state=0).fit(rows)
    synthesizer.save(tmp_path / "m.diabolo")
    new, again = synthesizer.sample(20), load(tmp_path / "m.diabolo").sample(20)
    assert isinstance(new, kind) and isinstance(again, kind)
    assert np.array_equal(new, again) if kind is np.ndarray else new.equals(again)
    if kind is pd.DataFrame:
        assert new.dtypes.drop("id").equals(rows.dtypes.drop("id"))


def test_equal_seeds_give_equal_rows_and_the_first_ones_are_the_same() -> None:
    synthesizer = Synthesizer("Linear", random_state=0).fit(np.random.default_rng(0).normal(size=(200, 3)))
    many = synthesizer.sample(5000)
    assert np.array_equal(many[:70], synthesizer.sample(70)) and len(np.unique(many, axis=0)) > 4900
    assert not np.array_equal(many[:70], synthesizer.sample(70, seed=1))
    assert synthesizer.sample(0).shape == (0, 3)
    blocks = list(synthesizer.batches(5000))
    assert [len(block) for block in blocks] == [4096, 904]
    assert np.array_equal(np.c_[tuple(pa.Table.from_batches(blocks).columns)], many)


@pytest.mark.parametrize("count", [-1, 2.5, "7"])
def test_a_number_of_rows_is_needed(count: Any) -> None:
    with pytest.raises(InvalidParameter, match="int >= 0"):
        Synthesizer("Linear", random_state=0).fit(table()).sample(count)


@pytest.mark.parametrize("seed", [None, 1.5, "7", True])
def test_a_seed_is_a_whole_number(seed: Any) -> None:
    synthesizer = Synthesizer("Linear", random_state=0).fit(table())
    with pytest.raises(InvalidParameter, match="seed of new rows must be an int"):
        synthesizer.sample(3, seed=seed)
    assert synthesizer.sample(3, seed=np.int64(7)).equals(synthesizer.sample(3, seed=7))


def test_gaps_come_in_patterns_that_were_there() -> None:
    rows = np.random.default_rng(0).normal(size=(400, 4))
    rows[:100, :2] = np.nan
    whole, gapped = (Synthesizer("Linear", gaps=gaps, random_state=0).fit(rows).sample(2000) for gaps in (False, True))
    assert np.isfinite(whole).all()
    missing = np.isnan(gapped)
    assert missing[:, 0].mean() == pytest.approx(0.25, abs=0.05)
    assert np.array_equal(missing[:, 0], missing[:, 1]) and not missing[:, 2:].any()


def test_the_comparison_knows_good_rows_from_bad_ones() -> None:
    dice = np.random.default_rng(0)
    rows = np.outer(dice.normal(size=800), [1, 2, -1, 1]) + 0.1 * dice.normal(size=(800, 4))
    good = Synthesizer(Linear(latent=2), random_state=0).fit(rows)
    assert good.comparison_["deep"] == pytest.approx(0.5, abs=0.12)
    bad = Synthesizer(VAE(latent=2), prior="own", trainer=Trainer(epochs=1), random_state=0).fit(rows)
    assert bad.comparison_["deep"] > 0.7 and bad.comparison_["better"] == "linear"


def test_two_groups_need_more_than_one_gaussian() -> None:
    dice = np.random.default_rng(0)
    rows = np.where(dice.random((800, 1)) < 0.5, -5.0, 5.0) * [1, 1, -1] + dice.normal(size=(800, 3))
    synthesizer = Synthesizer("Linear", random_state=0).fit(rows)
    between = (np.abs(synthesizer.sample(2000)[:, 0]) < 2).mean()
    assert len(synthesizer.prior_.weights) > 1 and between < 0.03
    one = Synthesizer("Linear", components=1, random_state=0).fit(rows)
    assert len(one.prior_.weights) == 1 and (np.abs(one.sample(2000)[:, 0]) < 2).mean() > 0.1


@pytest.mark.parametrize("variant", [VQVAE(codes=8), FSQ(latent=4), RQVAE(codes=8, stages=2), LFQ()], ids=repr)
def test_tokens_are_drawn_one_after_the_other(variant: Variant, tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    t = dice.normal(size=(400, 1))
    rows = t * [1, -1, 2, 1] + 0.1 * dice.normal(size=(400, 4))
    synthesizer = Synthesizer(variant, trainer=Trainer(epochs=3), random_state=0).fit(rows)
    assert isinstance(synthesizer.prior_, Autoregressive)
    synthesizer.save(tmp_path / "m.diabolo")
    new, before = synthesizer.sample(600), torch.random.get_rng_state()
    loaded = load(tmp_path / "m.diabolo")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(new, loaded.sample(600))
    assert np.array_equal(new[:300], synthesizer.sample(300)) and np.isfinite(new).all()


def test_given_values_are_kept_and_the_others_follow_them() -> None:
    synthesizer = Synthesizer("Linear", random_state=0).fit(table(2000))
    for kind, low, high in (("old", 55, 75), ("young", 25, 45)):
        new = synthesizer.sample(500, given={"kind": kind}).to_pandas()
        assert (new.kind == kind).all() and low < new.age.mean() < high
    both = synthesizer.sample(300, given={"kind": "old", "age": 60}).to_pandas()
    assert (both.age == 60).all() and both.pay.mean() == pytest.approx(6000, abs=700)


def test_given_values_are_exactly_those() -> None:
    dice = np.random.default_rng(0)
    rows = pd.DataFrame({"x": dice.normal(size=300), "amount": dice.integers(10**9, 2 * 10**9, 300)})
    rows = rows.assign(twice=2 * rows.amount, calls=dice.negative_binomial(1, 0.1, 300))
    synthesizer = Synthesizer("Linear", random_state=0).fit(rows)
    new = synthesizer.sample(3, given={"x": 1e9, "amount": 1234567891, "calls": 3})
    assert (new[["x", "amount", "calls"]] == [1e9, 1234567891, 3]).all(axis=None)
    assert (
        Synthesizer("Linear", random_state=0).fit(rows.to_numpy()).sample(2, given={"x0": 0.3})[:, 0].tolist()
        == [0.3] * 2
    )
    with pytest.raises(InvalidParameter, match="'calls' to -3, which are no counts"):
        synthesizer.sample(3, given={"calls": -3})


def test_new_rows_are_as_fine_as_the_old_ones() -> None:
    dice = np.random.default_rng(0)
    prices = dice.normal(100, 30, 300).round(2)
    kinds = {"decimal": pa.decimal128(10, 2), "single": pa.float32(), "double": pa.float64()}
    rows = pa.table({name: pa.array(prices).cast(kind, safe=False) for name, kind in kinds.items()})
    new = Synthesizer("Linear", random_state=0).fit(rows).sample(50)
    assert new.schema.types == list(kinds.values())
    for name in kinds:
        told = new[name].cast(pa.string()).to_pylist()
        assert all(len(each.partition(".")[2]) <= 2 for each in told)
    whole = Synthesizer("Linear", random_state=0).fit(dice.integers(-50, 50, (200, 3))).sample(50)
    assert np.array_equal(whole, whole.round()) and len(np.unique(whole)) > 20


def test_times_and_padded_codes_in_texts_are_drawn() -> None:
    dice = np.random.default_rng(0)
    rows = pd.DataFrame({"x": dice.normal(size=300), "month": [f"{1 + i % 12:02d}" for i in range(300)]})
    rows = rows.assign(at=[f"{i % 24:02d}:30" for i in range(300)], y=2 * rows.x)
    new = Synthesizer("Linear", random_state=0).fit(rows).sample(50)
    assert set(new["month"]) <= set(rows["month"]) and new["at"].str.fullmatch(r"\d\d:\d\d:00").all()


def test_given_numbers_move_the_others_as_a_regression_says() -> None:
    """Among rows drawn without anything given, x1 goes with x0 by the slope cov / var, and so where x0 is given."""
    rows = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 4000)
    synthesizer = Synthesizer("Linear", components=1, random_state=0).fit(rows)
    free, new = synthesizer.sample(20_000), synthesizer.sample(4000, given={"x0": 1.0})
    (variance, shared), (_, other) = np.cov(free.T)
    assert np.allclose(new[:, 0], 1.0)
    assert new[:, 1].mean() == pytest.approx(free[:, 1].mean() + shared / variance, abs=0.04)
    assert new[:, 1].std() == pytest.approx((other - shared**2 / variance) ** 0.5, abs=0.03)


@pytest.mark.parametrize("given", [{}, {"height": 3.0}, {"id": "no 1"}], ids=str)
def test_only_known_columns_can_be_given(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match="It may fix age, pay, kind"):
        Synthesizer("Linear", random_state=0).fit(table()).sample(3, given=given)


def test_a_category_that_was_never_seen_cannot_be_given() -> None:
    with pytest.raises(InvalidParameter, match=r"'kind' to 'ancient', which the fit never saw\. It saw "):
        Synthesizer("Linear", random_state=0).fit(table()).sample(3, given={"kind": "ancient"})


def test_no_number_is_a_category_without_name() -> None:
    assert not nameless(numbers(2).columns, torch.tensor([[-1.0, 0.0]])).any()


def test_codes_can_be_added_up() -> None:
    dice = np.random.default_rng(0)
    rows = dice.normal(size=(300, 2)) @ dice.normal(size=(2, 5))
    synthesizer = Synthesizer(Linear(latent=2), random_state=0).fit(rows)
    same, made = synthesizer.reconstruct(rows[:3]), synthesizer.combine(rows[:3], [[1, 0, 0], [1, -1, 1]])
    np.testing.assert_allclose(made, [same[0], same[0] - same[1] + same[2]], atol=1e-3)  # the decoder is linear
    with pytest.raises(InvalidParameter, match=r"\(m, 3\)"):
        synthesizer.combine(rows[:3], [[1.0]])
    for wrong in ([[np.nan] * 3], [[1, -1, 0], [1]]):
        with pytest.raises(InvalidParameter, match="numbers, none missing"):
            synthesizer.combine(rows[:3], wrong)
    with pytest.raises(InvalidParameter, match="must be numbers"):
        synthesizer.combine(rows[:3], pd.DataFrame([["a", "b", "c"]]))


def test_ways_between_rows_begin_and_end_there() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 4))
    synthesizer = Synthesizer(VAE(latent=3), trainer=Trainer(epochs=2), random_state=0).fit(rows)
    ends = synthesizer.reconstruct(rows[:2]), synthesizer.reconstruct(rows[2:4])
    for path in ("straight", "sphere"):
        way = synthesizer.interpolate(rows[:2], rows[2:4], steps=5, path=path).reshape(2, 5, 4)  # type: ignore[arg-type]
        np.testing.assert_allclose(way[:, 0], ends[0], atol=1e-4)
        np.testing.assert_allclose(way[:, -1], ends[1], atol=1e-4)
    with pytest.raises(InvalidParameter, match="rows in pairs"):
        synthesizer.interpolate(rows[:2], rows[:3])
    for steps in (1, 2.5, None, "3", True):
        with pytest.raises(InvalidParameter, match="Give 2 or more steps"):
            synthesizer.interpolate(rows[:2], rows[2:4], steps)  # type: ignore[arg-type]


def test_weights_of_sums_that_may_not_be_written_to_are_copied(torch_warns: None) -> None:
    rows = np.random.default_rng(0).normal(size=(300, 4))
    weights = np.ones((1, 2), np.float32)
    weights.flags.writeable = False
    assert Synthesizer("Linear", random_state=0).fit(rows).combine(rows[:2], weights).shape == (1, 4)


def test_a_turn_keeps_the_length_and_its_pace() -> None:
    start, end = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 2.0])
    way = turning(start, end, torch.linspace(0, 1, 4)[:, None])
    torch.testing.assert_close(way.norm(dim=1), torch.full((4,), 2.0))
    torch.testing.assert_close((way[1:] * way[:-1]).sum(1) / 4, torch.full((3,), float(np.cos(np.pi / 6))))
    torch.testing.assert_close(turning(start, 3 * start, torch.tensor(0.5)), 2 * start)


def test_an_ensemble_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="members=1"):
        Synthesizer(Vanilla(members=2), trainer=Trainer(epochs=1), random_state=0).fit(table())


def test_rows_that_depend_on_how_many_there_are_break_a_law() -> None:
    class Mutant(Synthesizer):
        def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
            return (
                super().run(batch) if len(batch) > 5 else super().run(made_up(9).to_batches()[0]).slice(4, len(batch))
            )

    with pytest.raises(LawBroken, match="in parts of 1"):
        tasks.rows_stand_alone(Subject(Mutant("Linear")))


WEIGHED = (np.arange(900) < 450) * 8.0 + 1.0


def test_letters_of_a_file_are_compared_before_they_take_memory(tmp_path: Path) -> None:
    path = tmp_path / "m.diabolo"
    synthesizer = Synthesizer(FSQ(latent=1, hidden=()), trainer=Trainer(epochs=1), random_state=0)
    synthesizer.fit(np.random.default_rng(0).normal(size=(60, 2))).save(path)
    manifest, tensors = artifact.read(path)
    manifest["task"]["variant"]["levels"] = 10**12
    artifact.write(path, manifest, tensors)
    with pytest.raises(InvalidArtifact, match="not those of the variant"):
        load(path)


@pytest.mark.parametrize("prior", ["Linear", "VQVAE"])
def test_new_rows_follow_weights_of_any_unit(prior: str) -> None:
    """Not whole numbers, by which rows would be copied."""
    rows = np.random.default_rng(0).normal(0.3, size=(900, 3)) + 5 * (np.arange(900)[:, None] < 450)
    synthesizer = Synthesizer(prior, trainer=Trainer(epochs=10), random_state=0).fit(rows, sample_weight=WEIGHED / 10)
    assert (synthesizer.sample(1000).mean(1) > 2.5).mean() == pytest.approx(0.9, abs=0.04)


def test_gaps_follow_weights() -> None:
    rows = np.random.default_rng(0).normal(size=(900, 3))
    rows[:450, 1] = np.nan
    synthesizer = Synthesizer("Linear", gaps=True, random_state=0).fit(rows, sample_weight=WEIGHED / 10)
    assert np.isnan(synthesizer.sample(1000)[:, 1]).mean() == pytest.approx(0.9, abs=0.04)
