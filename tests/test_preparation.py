"""Preparation: what columns are found to be, that numbers and rows turn into each other, and what is refused."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from diabolo.batches import Batches
from diabolo.errors import DiaboloWarning, InvalidData, InvalidParameter, SchemaMismatch
from diabolo.preparation import Preparation, Streamed
from diabolo.preparation.cycles import MONTHS, in_words
from diabolo.preparation.detection import is_heavy
from diabolo.preparation.fields import Fields
from diabolo.preparation.survey import Moments, Sample, scattered
from diabolo.readers import as_rows, open_source
from diabolo.schema import UNSEEN, Column, Schema

N = 2000


def learned(values: Any, name: str = "x", **parameters: Any) -> list[Column]:
    """The model columns of one column of a table."""
    companion = pa.array(np.arange(len(values)) % 7 * 1.5)
    return [
        column
        for column in Preparation(**parameters).fit(pa.table({name: values, "other": companion})).schema_.columns
        if column.source == name
    ]


def reason(values: Any, name: str = "x") -> str:
    companion = pa.array(np.arange(len(values)) % 7 * 1.5)
    return Preparation().fit(pa.table({name: values, "other": companion})).schema_.dropped[name]


def kind(values: Any, name: str = "x") -> tuple[str, str]:
    (column,) = learned(values, name)
    return column.kind, column.likelihood


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def frame(rng: np.random.Generator) -> pd.DataFrame:
    """One column of every sort, with gaps."""
    start = pd.Timestamp("2020-01-01")
    data = pd.DataFrame(
        {
            "id": np.arange(N),
            "number": rng.normal(5, 2, N),
            "small": rng.normal(size=N).astype(np.float32),
            "heavy": rng.standard_t(2, N),
            "flag": rng.integers(0, 2, N),
            "bool": rng.random(N) < 0.3,
            "category": rng.choice(["a", "b", "c"], N),
            "words": rng.choice(["yes", "no"], N),
            "count": rng.negative_binomial(1, 0.2, N),
            "age": rng.integers(0, 90, N),
            "zip_code": rng.choice([100, 200, 31000], N),
            "when": start + pd.to_timedelta(rng.integers(0, 3 * 365, N), unit="D"),
            "clock": pd.date_range("2020", periods=N, freq="h"),
            "time": [dt.time(int(hour), 30) for hour in rng.integers(0, 24, N)],
            "nullable": pd.array(rng.integers(0, 1000, N), dtype="Int64"),
            "pandas": pd.Categorical(rng.choice([3, 5], N)),
            "text": [f"a sentence about row {i}, longer than thirty letters" for i in range(N)],
            "constant": 7.0,
            "nothing": np.nan,
        },
        index=rng.permutation(N) + 10,
    )
    data.loc[data.index[:50], ["number", "category"]] = None
    data.loc[data.index[:20], "nullable"] = pd.NA
    data.loc[data.index[:9], "when"] = pd.NaT
    return data


# -- what columns are found to be --


def test_numbers(rng: np.random.Generator) -> None:
    x = rng.normal(3, 2, N)
    (column,) = learned(x)
    assert (column.kind, column.likelihood, column.part, column.source) == ("number", "Normal", "value", "x")
    assert np.allclose((column.center, column.scale, column.low, column.high), (x.mean(), x.std(), x.min(), x.max()))


@pytest.mark.parametrize("draw", ["uniform", "normal", "logistic"])
def test_light_tails_are_normal(draw: str, rng: np.random.Generator) -> None:
    assert kind(getattr(rng, draw)(size=20_000)) == ("number", "Normal")


def test_heavy_tails(rng: np.random.Generator) -> None:
    for x in (
        rng.standard_t(2, N),
        rng.laplace(size=N),
        rng.lognormal(0, 1.5, N),
        np.r_[np.zeros(N), rng.normal(size=90)],
    ):
        (column,) = learned(x)
        assert column.likelihood == "StudentT"
        assert np.allclose((column.center, column.scale), (x.mean(), x.std()))
    assert not is_heavy(np.r_[np.zeros(60), 1e9])  # of few rows nothing is known of the tails


def test_far_values_do_not_press_the_others_together(rng: np.random.Generator) -> None:
    x = np.r_[rng.normal(size=N), np.full(20, 1e30)]
    (column,) = learned(x)
    assert column.likelihood == "StudentT"
    assert column.center == np.median(x)
    assert column.scale == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("far", [1e3, 1e4, 1e15])
def test_two_far_values_do_not_blind_a_column(rng: np.random.Generator, far: float) -> None:
    """So few that the tails are not heavy by the quantiles, but for the standard deviation."""
    x = rng.normal(20, 2, 2000)
    x[[7, 900]] = 20 + 2 * far
    (column,) = learned(x)
    assert (column.likelihood, column.scale) == ("StudentT", pytest.approx(2, abs=0.2))
    assert learned(np.r_[np.zeros(1990), np.ones(10) * far])[0].scale != 2  # where most are one value, nothing is known


def test_months_are_those_of_the_calendar() -> None:
    days = np.arange(np.datetime64("2020-01-01"), np.datetime64("2030-01-01"))
    turn = days.astype(int) / 365.2425 * 2 * np.pi
    year = [Column(f"at: yearday {wave}", part=f"yearday {wave}") for wave in ("sin", "cos")]
    told = in_words(year, np.stack([np.sin(turn), np.cos(turn)], 1))
    true = [f"month {MONTHS[month % 12]}" for month in days.astype("datetime64[M]").astype(int)]
    wrong = [str(day) for day, a, b in zip(days, told, true, strict=True) if a != b]
    assert len(wrong) <= 30 and all(day[:4] in ("2020", "2024", "2028") and day[8:] >= "29" for day in wrong)


def test_whole_numbers(rng: np.random.Generator) -> None:
    assert kind(rng.integers(18, 90, N), "age") == ("number", "Normal")
    assert kind(rng.integers(1, 6, N), "stars") == ("number", "Normal")
    assert kind(rng.negative_binomial(1, 0.2, N), "visits") == ("count", "NegativeBinomial")
    assert kind(rng.poisson(3, N), "calls") == ("number", "Normal")  # not more spread than chance: Normal will do
    assert kind(rng.choice([404, 500, 31000], N), "error_code") == ("category", "Categorical")
    assert kind(rng.choice([404, 500, 31000], N), "pressure") == ("number", "Normal")


def test_flags_are_categories_so_that_a_later_2_is_seen_and_not_an_error(rng: np.random.Generator) -> None:
    (column,) = learned(rng.permutation(np.arange(N) % 3 // 2))
    assert column.categories == ("0", "1", UNSEEN)
    preparation = Preparation().fit(pa.table({"x": [0, 1, 0, 1, 1]}))
    assert preparation.transform(pa.table({"x": [0, 1, 2, None]}))[:3, 0].tolist() == [1, 0, 2]


def test_booleans(rng: np.random.Generator) -> None:
    assert kind(rng.random(N) < 0.5) == ("boolean", "Bernoulli")
    (column,) = learned(rng.choice(["yes", "no"], N), likelihoods={"x": "Bernoulli"})
    assert (column.kind, column.categories) == ("boolean", ("no", "yes"))


def test_categories_keep_the_most_frequent(rng: np.random.Generator) -> None:
    texts = [f"c{i:03}" for i in range(100) for _ in range(200 - i)]
    (column,) = learned(texts)
    assert column.categories == (*(f"c{i:03}" for i in range(64)), UNSEEN)
    (column,) = learned(texts, categories=3)
    assert column.categories == ("c000", "c001", "c002", UNSEEN)


def test_ids_and_free_text_are_set_aside(rng: np.random.Generator) -> None:
    assert reason(np.arange(N), "row") == reason(rng.permutation(N), "customer_id")
    assert reason([f"k{i}" for i in range(N)]).startswith("an id")
    assert reason([f"all about the pump number {i}, at some length" for i in range(N)]) == "free text"
    assert reason(np.full(N, np.nan)) == reason(pa.nulls(N)) == "every value is missing"
    assert reason([[1, 2]] * N) == "nested or binary values"
    assert kind(np.arange(N), "load") == ("number", "Normal")


def test_what_a_likelihood_is_asked_for_is_not_set_aside() -> None:
    (column,) = learned([f"k{i}" for i in range(100)], likelihoods={"x": "Categorical"})
    assert column.width == 65
    assert learned(np.arange(N), "id", likelihoods={"id": "Laplace"})[0].likelihood == "Laplace"


def test_dates_have_the_parts_that_were_seen_twice(rng: np.random.Generator) -> None:
    def parts(days: float, step: int = 1) -> list[str]:
        seconds = rng.integers(0, int(days * 86_400) // step, N) * step
        return [column.part for column in learned(pa.array(seconds, pa.timestamp("s")))]

    hour, week, year = ([f"{name} sin", f"{name} cos"] for name in ("hour", "weekday", "yearday"))
    assert parts(1.5) == ["elapsed"]
    assert parts(3) == ["elapsed", *hour]
    assert parts(30) == ["elapsed", *hour, *week]
    assert parts(30, 86_400) == ["elapsed", *week]
    assert parts(1000) == ["elapsed", *hour, *week, *year]


def test_a_running_clock_has_no_elapsed_part() -> None:
    hours = pa.array(np.arange(N) * 3600, pa.timestamp("s"))
    assert [column.part for column in learned(hours)] == ["hour sin", "hour cos", "weekday sin", "weekday cos"]
    assert reason(pa.array(np.arange(N), pa.timestamp("s"))).startswith("a clock")
    assert learned(hours, clocks=True)[0].part == "elapsed"


def test_a_date_has_the_hour_and_the_weekday_that_are_told(rng: np.random.Generator) -> None:
    monday = np.datetime64("2024-01-01", "s").astype(int)
    mondays = monday + 7 * 86_400 * rng.integers(0, 50, N) + 9 * 3600  # at nine
    table = pa.table({"t": pa.array(mondays, pa.timestamp("s", "Asia/Tokyo"))})
    preparation = Preparation().fit(table)
    x = preparation.transform(table)
    late = x[:, 0] + 3600 * 80 * torch.rand(N) / preparation.schema_.columns[0].scale  # up to three days
    x[:, 0] = late.clamp(max=x[:, 0].max())
    back = pa.compute.local_timestamp(preparation.inverse_transform(x, like=table)["t"])
    assert set(pa.compute.hour(back).to_pylist()) == {18}
    assert set(pa.compute.day_of_week(back).to_pylist()) == {0}
    seconds = back.cast(pa.int64()).to_numpy() - 9 * 3600
    assert seconds.min() >= mondays.min() and seconds.max() <= mondays.max()


def test_a_cycle_without_a_place_moves_no_date(rng: np.random.Generator) -> None:
    table = pa.table({"t": pa.array(rng.integers(0, 30 * 86_400, N), pa.timestamp("s"))})
    preparation = Preparation().fit(table)
    x = preparation.transform(table)
    x[:, 1:] = 0.0
    back = preparation.inverse_transform(x, like=table)["t"].cast(pa.int64()).to_numpy()
    assert np.abs(back - table["t"].cast(pa.int64()).to_numpy()).max() <= 2


def test_hours_are_those_of_the_local_clock() -> None:
    utc = pa.array(np.random.default_rng(0).permutation(72) * 3600, pa.timestamp("s", "UTC"))
    berlin = utc.cast(pa.timestamp("s", "Europe/Berlin"))  # one hour ahead in January
    tables = [pa.table({"x": each}) for each in (utc, berlin)]
    there, here = (Preparation().fit(table).transform(table)[:, 1:] for table in tables)
    turned = torch.atan2(here[:, 0], here[:, 1]) - torch.atan2(there[:, 0], there[:, 1])
    assert torch.allclose(turned.cos(), torch.tensor(np.cos(2 * np.pi / 24), dtype=torch.float32), atol=1e-5)


def test_constant_columns_show_a_change_but_do_not_explode() -> None:
    preparation = Preparation().fit(np.c_[np.full(9, 50.0), np.zeros(9), np.arange(9.0)])
    assert preparation.transform(np.array([[55.0, 0.5, 4.0]]))[0].tolist() == pytest.approx([0.1, 0.5, 0.0])


def test_rounding_errors_are_no_variation() -> None:
    noisy = 0.3 + np.array([0.0, 1e-16, 5e-17, 0.0])
    assert abs(Preparation().fit(noisy[:, None]).transform(np.array([[0.31]])).item()) < 1


# -- overriding --


@pytest.mark.parametrize(
    ("values", "likelihood", "told"),
    [
        ([1.5, 2.5], "Gauss", "must be one of 'Normal', 'StudentT', 'Laplace', 'NegativeBinomial'"),
        (["a", "b"], "Normal", "must be one of 'Categorical', 'Bernoulli'. Got 'Normal'"),
        ([-1.0, 2.0], "NegativeBinomial", "negative or not whole"),
        ([0.0, 2.0], "Bernoulli", "values from 0 to 2"),
        (["a", "b", "c"], "Bernoulli", "has not two values"),
        ([[1], [2]], "Normal", "cannot be learned from"),
    ],
)
def test_a_likelihood_must_suit_its_column(values: list[Any], likelihood: str, told: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        learned(values, likelihoods={"x": likelihood})
    assert told in str(caught.value)
    assert "'x'" in str(caught.value)


def test_overrides_name_known_columns() -> None:
    with pytest.raises(InvalidParameter, match=r"'y'. The columns are 'x0', 'x1'"):
        Preparation({"y": "Normal"}).fit(np.zeros((3, 2)))


def test_arrays_can_be_overridden(rng: np.random.Generator) -> None:
    x = np.c_[rng.normal(size=N), rng.integers(0, 2, N), rng.integers(0, 3, N), rng.poisson(4, N)].astype(float)
    choice = {"x0": "StudentT", "x1": "Bernoulli", "x2": "Categorical", "x3": "NegativeBinomial"}
    preparation = Preparation(choice).fit(x)
    assert [column.likelihood for column in preparation.schema_.columns] == list(choice.values())
    assert np.allclose(preparation.inverse_transform(preparation.transform(x), like=x), x, atol=1e-6)
    x[0, 1] = np.nan
    assert preparation.transform(x)[0].isnan().tolist() == [False, True, False, False]


# -- there and back --


def test_arrays_are_standardised(rng: np.random.Generator) -> None:
    x = rng.normal(3, 5, (500, 4))
    x[3, 1] = np.nan
    preparation = Preparation().fit(x)
    z = preparation.transform(x)
    expected = (x - np.nanmean(x, 0)) / np.nanstd(x, 0)
    assert z.dtype == torch.float32
    assert np.allclose(z.numpy(), expected, atol=1e-6, equal_nan=True)
    assert [column.missing for column in preparation.schema_.columns] == [False, True, False, False]
    assert np.allclose(preparation.inverse_transform(z, like=x), x, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8])
def test_arrays_keep_their_type(dtype: type, rng: np.random.Generator) -> None:
    x = rng.integers(0, 100, (50, 3)).astype(dtype)
    preparation = Preparation().fit(x)
    back = preparation.inverse_transform(preparation.transform(x), like=x)
    assert back.dtype == dtype
    assert np.allclose(back, x, atol=1e-4)


@pytest.mark.parametrize(("shape", "kind"), [((20, 3, 5), "series"), ((20, 2, 4, 6), "image")])
def test_grids_are_standardised_by_channel(shape: tuple[int, ...], kind: str, rng: np.random.Generator) -> None:
    x = rng.normal(4, 2, shape)
    preparation = Preparation().fit(x)
    z = preparation.transform(x)
    assert (preparation.schema_.kind, preparation.schema_.shape) == (kind, shape[1:])
    assert np.allclose(z.movedim(1, 0).flatten(1).mean(1), 0, atol=1e-6)
    assert np.allclose(preparation.inverse_transform(z, like=x), x, atol=1e-5)


def test_frames_come_back(frame: pd.DataFrame) -> None:
    preparation = Preparation().fit(frame)
    x = preparation.transform(frame)
    back = preparation.inverse_transform(x, like=frame)
    assert back.index.equals(frame.index)
    assert list(back.dtypes) == list(frame.dtypes)
    exact = frame.columns.difference(["number", "small", "heavy"])
    pd.testing.assert_frame_equal(back[exact], frame[exact])
    pd.testing.assert_frame_equal(back, frame, rtol=1e-5, atol=1e-5)


def test_polars_and_arrow_come_back(frame: pd.DataFrame) -> None:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    polars = pl.from_arrow(table)
    preparation = Preparation().fit(polars)
    back = preparation.inverse_transform(preparation.transform(polars), like=polars)
    assert isinstance(back, pl.DataFrame)
    assert back.schema == polars.schema
    batch = table.to_batches()[0]
    again = preparation.inverse_transform(preparation.transform(batch), like=batch)
    assert isinstance(again, pa.RecordBatch)
    assert again.schema == batch.schema


def test_filling_keeps_what_is_there(frame: pd.DataFrame) -> None:
    preparation = Preparation().fit(frame)
    guess = torch.nan_to_num(preparation.transform(frame), nan=1.0) + 0.25
    filled = preparation.inverse_transform(guess, like=frame, keep=~preparation.transform(frame).isnan())
    given = frame.notna()
    assert (filled[given] == frame[given])[given].eq(True).sum().sum() == given.sum().sum()
    assert filled.drop(columns="nothing").notna().all().all()
    x = np.array([[1.0, np.nan], [2.0, 4.0], [3.0, 6.0]])
    preparation = Preparation().fit(x)
    assert preparation.inverse_transform(torch.zeros(3, 2), like=x, keep=~preparation.transform(x).isnan())[
        :, 1
    ].tolist() == [5.0, 4.0, 6.0]


def test_rows_without_a_model(frame: pd.DataFrame) -> None:
    """Without rows to be like, a table of natural types."""
    preparation = Preparation().fit(frame)
    table = preparation.inverse_transform(preparation.transform(frame))
    assert table.schema.field("category").type == pa.string()
    assert table.schema.field("when").type == pa.timestamp("us")
    assert table.schema.field("count").type == pa.int64()
    assert "id" not in table.schema.names


def test_everything_learned_is_in_the_schema(frame: pd.DataFrame) -> None:
    preparation = Preparation().fit(frame)
    schema = Schema.from_dict(json.loads(json.dumps(preparation.schema_.to_dict())))
    assert schema == preparation.schema_
    again = Preparation.from_schema(schema).transform(frame)
    assert torch.equal(again.nan_to_num(9.5), preparation.transform(frame).nan_to_num(9.5))


def test_the_input_is_not_changed(frame: pd.DataFrame) -> None:
    before, x = frame.copy(), np.array([[1.0, np.nan], [2.0, 3.0]])
    preparation = Preparation().fit(frame)
    preparation.inverse_transform(preparation.transform(frame), like=frame)
    pd.testing.assert_frame_equal(frame, before)
    copy = x.copy()
    Preparation().fit(x).inverse_transform(torch.zeros(2, 2), like=x)
    assert np.array_equal(x, copy, equal_nan=True)


def test_one_row_is_prepared_as_among_many(frame: pd.DataFrame) -> None:
    preparation = Preparation().fit(frame)
    together = preparation.transform(frame)
    for row in (0, 77):
        assert torch.equal(preparation.transform(frame.iloc[[row]]).nan_to_num(9.5), together[[row]].nan_to_num(9.5))


def test_columns_are_found_by_name(frame: pd.DataFrame) -> None:
    preparation = Preparation().fit(frame)
    turned = frame[frame.columns[::-1]].assign(more=1)
    assert torch.equal(preparation.transform(turned).nan_to_num(9.5), preparation.transform(frame).nan_to_num(9.5))
    with pytest.raises(SchemaMismatch, match=r"'age' of the fit is missing"):
        preparation.transform(frame.drop(columns="age"))
    preparation.transform(frame.drop(columns=["id", "text"]))  # set aside: not needed
    with pytest.raises(SchemaMismatch, match="X has 3 features, but the fit had 2 features as input"):
        Preparation().fit(np.eye(2)).transform(np.eye(3))


def test_types_may_drift_between_files() -> None:
    """A column of numbers may come as text, whole numbers or nothing at all."""
    preparation = Preparation().fit(pa.table({"x": [1.0, 2.5, 4.0], "c": ["1", "2", "1"]}))
    expected = preparation.transform(pa.table({"x": [4.0], "c": ["2"]}))
    for x in (pa.array([4]), pa.array([" 4"]), pa.array(["4"]).dictionary_encode(), pa.array([4], pa.decimal128(5))):
        for c in (pa.array([2]), pa.array([2.0]), pa.array(["2"], pa.large_string())):
            assert torch.equal(preparation.transform(pa.table({"x": x, "c": c})), expected)
    assert preparation.transform(pa.table({"x": pa.nulls(1), "c": pa.nulls(1)})).isnan().all()
    assert preparation.transform(pa.table({"x": [np.nan], "c": [np.nan]})).isnan().all()


# -- hard values --


@pytest.mark.parametrize("size", [1e-140, 1e-30, 1e30, 1e149])
def test_values_of_any_size(size: float, rng: np.random.Generator) -> None:
    x = rng.normal(size=(100, 1)) * size
    z = Preparation().fit(x).transform(x)
    assert np.allclose(z.mean(), 0, atol=1e-5)
    assert np.allclose(z.std(correction=0), 1, atol=1e-5)


def test_standardised_values_are_clipped_never_infinite() -> None:
    preparation = Preparation().fit(np.array([[0.0], [1e-300], [2e-300]]))
    assert preparation.transform(np.array([[1.7e308], [-1.7e308], [np.nan]]))[:2, 0].tolist() == [1e6, -1e6]


def test_a_large_offset_costs_no_digits(rng: np.random.Generator) -> None:
    x = rng.normal(size=(50_000, 1)) + 1e9
    (column,) = Preparation().fit(x).schema_.columns
    assert column.center == pytest.approx(x.mean(), abs=1e-6)
    assert column.scale == pytest.approx((x - 1e9).std(), rel=1e-6)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity_is_refused(value: float) -> None:
    x = np.zeros((5, 3))
    x[3, 1] = value
    with pytest.raises(InvalidData, match=r"row 3, column 'x1'.*infinity.*Put NaN"):
        Preparation().fit(x)
    with pytest.raises(InvalidData, match=r"row 3, column 'x1'.*infinity"):
        Preparation().fit(np.zeros((5, 3))).transform(x)
    with pytest.raises(InvalidData, match=r"row 3, column 'b'.*infinity"):
        Preparation().fit(pa.table({"b": np.arange(5.0)})).transform(pa.table({"b": x[:, 1]}))


def test_too_large_to_square_is_refused() -> None:
    with pytest.raises(InvalidData, match=r"row 1, column 'x0': 1e\+200 is beyond 1e\+150.*logarithms"):
        Preparation().fit(np.array([[0.0], [1e200]]))


def test_errors_name_the_row_and_the_column() -> None:
    preparation = Preparation({"yes": "Bernoulli"}).fit(
        pa.table({"x": [1.5, 2.0], "b": [True, False], "yes": ["y", "n"], "d": pa.array([1, 0], pa.date32())})
    )
    good = {"x": [1.5], "b": [True], "yes": ["y"], "d": pa.array([1], pa.date32())}
    for name, bad, told in (
        ("x", ["abc"], r"row 0, column 'x': 'abc' is not a number"),
        ("x", pa.array([1], pa.date32()), r"'x' held numbers in fit and now holds date32"),
        ("b", ["maybe"], r"row 0, column 'b': 'maybe' is not a number"),
        ("b", [2], r"row 0, column 'b': 2 is not 0 or 1"),
        ("yes", ["z"], r"row 0, column 'yes': 'z' is neither of \('n', 'y'\)"),
        ("d", [1.5], r"'d' held dates or times in fit and now holds double"),
    ):
        with pytest.raises(InvalidData, match=told):
            preparation.transform(pa.table(good | {name: bad}))
    assert preparation.transform(pa.table(good | {"b": ["TRUE"]}))[0, 1] == 1


def test_the_first_bad_text_is_found_among_many() -> None:
    preparation = Preparation().fit(pa.table({"x": [1.5, 2.0]}))
    texts = ["1"] * 100_000
    texts[70_123] = "abc"
    with pytest.raises(InvalidData, match=r"row 70123, column 'x': 'abc'"):
        preparation.transform(pa.table({"x": texts}))


def test_impossible_counts_are_as_strange_as_can_be(rng: np.random.Generator) -> None:
    preparation = Preparation().fit(pa.table({"calls": rng.negative_binomial(1, 0.2, N)}))
    assert preparation.transform(pa.table({"calls": [3, -1, 10**9]}))[:, 0].tolist() == [3, 1e6, 1e6]


def test_numbers_with_some_text_are_pointed_at(tmp_path: Path) -> None:
    texts = [str(i / 7) for i in range(500)]
    texts[321] = "n.a."
    with pytest.raises(InvalidData, match=r"row 321, column 'x': 'n.a.' is not a number.*write NA.*Categorical"):
        Preparation().fit(pa.table({"x": texts}))
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{text},1\n" for text in texts))
    with pytest.raises(InvalidData, match=r"t.csv, row 322 after the header, column 'x': 'n.a.' is not a number"):
        Preparation().fit(open_source(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (np.zeros((0, 3)), r"0 sample\(s\) \(shape=\(0, 3\)\) while a minimum of 1 is required"),
        (pa.table({"a": pa.array([], pa.float64())}), r"0 sample\(s\)"),
        (pa.table({"a": pa.nulls(3)}), "no column to learn from: 'a' is set aside"),
        (np.full((3, 2), np.nan), "no column to learn from: 'x0' is set aside"),
    ],
)
def test_nothing_to_learn_from(rows: Any, told: str) -> None:
    with pytest.raises(InvalidData, match=told):
        Preparation().fit(rows)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_rows(n: int) -> None:
    table = pa.table({"x": np.arange(n) * 1.5, "c": [f"c{i}" for i in range(n)], "b": [True] * n})
    preparation = Preparation().fit(table)
    assert preparation.transform(table).isfinite().all()
    back = preparation.inverse_transform(preparation.transform(table), like=table)
    assert np.allclose(back["x"], table["x"], atol=1e-6)
    assert back.select(["c", "b"]).equals(table.select(["c", "b"]))


def test_rows_must_match_what_they_are_like() -> None:
    preparation = Preparation().fit(np.eye(3))
    with pytest.raises(InvalidData, match="2 rows cannot be written like 3 rows"):
        preparation.inverse_transform(torch.zeros(2, 3), like=np.eye(3))


# -- one pass over a file --


def test_moments_equal_those_of_the_whole(rng: np.random.Generator) -> None:
    x = rng.normal(1e6, 1, (5000, 3))
    x[rng.random(x.shape) < 0.1] = np.nan
    seen = Moments(3)
    for block in np.array_split(x, [1, 2, 700, 4000]):
        seen.add(block)
    assert np.allclose(seen.mean, np.nanmean(x, 0), rtol=1e-14)
    assert np.allclose(seen.std, np.nanstd(x, 0), rtol=1e-9)
    assert np.array_equal(seen.missing, np.isnan(x).sum(0))
    assert np.array_equal((seen.low, seen.high), (np.nanmin(x, 0), np.nanmax(x, 0)))


def test_order_is_seen_across_blocks() -> None:
    seen = Moments(3)
    seen.add(np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]))
    seen.add(np.array([[2.0, 1.0, np.nan], [3.0, 3.0, 3.0]]))
    assert seen.rising.tolist() == [True, False, False]


def test_the_sample_does_not_depend_on_the_blocks() -> None:
    def sampled(cuts: list[int]) -> np.ndarray:
        sample, first = Sample(100), 0
        for block in np.array_split(np.arange(20_000.0)[:, None], cuts):
            sample.add(block[sample.choose(first, len(block))])
            first += len(block)
        return sample.rows()

    one, other = sampled([]), sampled([7, 8, 5000, 19_999])
    assert len(one) == 100
    assert np.array_equal(one, other)
    assert abs(one.mean() - 10_000) < 2000


def test_scattered_numbers_are_uniform() -> None:
    for seed in (0, 1, 2**62):
        u = scattered(10**12, 100_000, seed)
        assert abs(u.mean() - 0.5) < 0.005
        assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.01


@pytest.fixture
def file(tmp_path: Path, rng: np.random.Generator) -> Path:
    table = pa.table({"level": np.arange(20_000) * 1.0, "c": rng.choice(["a", "b"], 20_000)})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=1500)
    return tmp_path / "t.parquet"


def test_a_file_gives_the_schema_of_its_rows(file: Path) -> None:
    source = open_source(file)
    there, here = Preparation().fit(source).schema_, Preparation().fit(source.table()).schema_
    assert there.columns[0].center == pytest.approx(here.columns[0].center)
    assert there.columns[1] == here.columns[1]


def numbers(batches: Any, preparation: Preparation) -> list[int]:
    (column, _) = preparation.schema_.columns
    x = torch.cat([batch.x[:, 0] for batch in batches])
    return [round(float(value) * column.scale + column.center) for value in x]


def test_streams_visit_every_row_once_per_epoch(file: Path) -> None:
    source = open_source(file)
    preparation = Preparation().fit(source)
    train, valid = (Streamed(source, preparation, part, 0.2, seed=1) for part in ("train", "held out"))
    train._buffer = 4000
    orders = [numbers(train.shuffled(256, 0, epoch), preparation) for epoch in (0, 1)]
    held = numbers(valid.ordered(256), preparation)
    assert sorted(orders[0]) == sorted(orders[1]) == numbers(train.ordered(256), preparation)
    assert sorted(orders[0] + held) == list(range(20_000))
    assert (train.rows, valid.rows) == (len(orders[0]), len(held))
    assert abs(valid.rows / 20_000 - 0.2) < 0.02
    assert len(train._source.starts) == 14


def test_the_order_depends_on_seed_and_epoch_alone(file: Path) -> None:
    source = open_source(file)
    preparation = Preparation().fit(source)
    stream = Streamed(source, preparation, "train")
    stream._buffer = 4000
    orders = [numbers(stream.shuffled(256, seed, epoch), preparation) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert numbers(stream.shuffled(256, 0, 0), preparation) == orders[0]
    assert len({tuple(order) for order in orders}) == 3
    first = np.array(orders[0][:256])
    assert first.std() > 1000  # not one piece after the other
    lengths = [len(batch) for batch in stream.shuffled(256, 0, 0)]
    assert set(lengths[:-1]) == {256}


def test_half_of_a_full_buffer_waits_for_later_rows(file: Path) -> None:
    """Of two pieces a half leaves, and the other half among the rows of a third."""
    pq.write_table(open_source(file).table().slice(0, 18_000), file, row_group_size=1500)
    source = open_source(file)
    preparation = Preparation().fit(source)
    stream = Streamed(source, preparation)
    stream._buffer = 3000
    pieces = np.array(numbers(stream.shuffled(250, 0, 0), preparation)) // 1500
    assert [len(set(pieces[start : start + 1500])) for start in (0, 1500)] == [2, 3]


def test_streams_are_batches_and_count_text_files(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "1.5,2\n3,4\n" * 50)
    source = open_source(tmp_path / "t.csv")
    preparation = Preparation().fit(source)
    source.rows = None
    stream: Batches = Streamed(source, preparation)
    assert stream.rows == 100
    assert sum(len(batch) for batch in stream.ordered(7)) == 100
    assert [len(batch) for batch in stream.ordered(64)] == [64, 36]


def test_some_rows_are_of_the_whole_file(file: Path) -> None:
    """The file is sorted; those who look at some rows must not see its head only."""
    source = open_source(file)
    preparation = Preparation().fit(source)
    stream = Streamed(source, preparation, "held out", 0.2, seed=1)
    some = numbers([stream.some(500)], preparation)
    assert len(set(some)) == 500 and set(some) <= set(numbers(stream.ordered(256), preparation))
    assert np.mean(some) == pytest.approx(10_000, abs=1000) and numbers([stream.some(16)], preparation) == some[:16]
    assert len(stream.some(3000)) == 3000


def test_a_bad_row_of_a_file_is_named(file: Path) -> None:
    source = open_source(file)
    preparation = Preparation().fit(source)
    table = source.table()
    rows = np.arange(20_000) * 1.0
    rows[12_345] = np.inf
    pq.write_table(table.set_column(0, "level", pa.array(rows)), file, row_group_size=1500)
    with pytest.raises(InvalidData, match=r"t.parquet, row 12346, column 'level'.*infinity"):
        list(Streamed(open_source(file), preparation).shuffled(64, 0, 0))


STREAMING = """
import resource, sys
from diabolo.preparation import Preparation, Streamed
from diabolo.readers import open_source
source = open_source(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
preparation = Preparation().fit(source)
stream = Streamed(source, preparation)
stream._buffer = 50_000
rows = sum(len(batch) for batch in stream.shuffled(1024, 0, 0))
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_training_from_a_file_takes_bounded_memory(tmp_path: Path, rng: np.random.Generator) -> None:
    """240 MB of numbers, fitted and shuffled in a sample of 50,000 rows, a buffer as large, and a few batches."""
    schema = pa.schema([(f"c{i}", pa.float64()) for i in range(30)])
    block = pa.table([rng.normal(size=100_000) for _ in schema], schema=schema)
    with pq.ParquetWriter(tmp_path / "t.parquet", schema, compression="none", use_dictionary=False) as file:
        for _ in range(10):
            file.write_table(block)
    command = [sys.executable, "-c", STREAMING, str(tmp_path / "t.parquet")]
    rows, grown = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert rows == 1_000_000
    assert grown / 1024 < 160


def test_preparing_numbers_is_fast(rng: np.random.Generator) -> None:
    """Far slower than measured (a million rows of 30 in 0.15 s of CPU), so that a busy machine does not fail it."""
    x = rng.normal(size=(200_000, 30))
    table = pa.table({f"x{j}": x[:, j] for j in range(30)})
    preparation = Preparation().fit(x)
    for rows in (x, table):
        start = time.process_time()
        preparation.transform(rows)
        assert time.process_time() - start < 0.5


@pytest.mark.parametrize(
    "kind",
    [
        pa.int8(),
        pa.uint64(),
        pa.float32(),
        pa.bool_(),
        pa.string(),
        pa.large_string(),
        pa.date32(),
        pa.time64("us"),
        pa.timestamp("ms"),
        pa.timestamp("us", "Europe/Paris"),
        pa.dictionary(pa.int32(), pa.large_string()),
        pa.decimal128(10, 2),
        pa.decimal64(18, -3),
    ],
    ids=str,
)
def test_fields_remember_the_types_of_columns(kind: pa.DataType) -> None:
    fields = Fields.of(pa.table({"a": pa.nulls(2, kind), "b": pa.nulls(2, pa.list_(pa.int8()))}))
    again = Fields.from_dict(fields.to_dict())
    blank = again.blank(Schema(()), 3)
    assert again == fields and blank.schema.types == [kind, pa.null()] and blank.num_rows == 3


def test_fields_remember_the_dtypes_and_the_categories_of_pandas() -> None:
    frame = pd.DataFrame(
        {
            "size": pd.Categorical(["M", "S"], categories=["S", "M", "L"], ordered=True),
            "place": pd.Categorical([3, 1], categories=[3, 1, 2]),
            "count": pd.array([1, None], dtype="Int64"),
            "ready": pd.array([True, None], dtype="boolean"),
            "name": pd.array(["a", None], dtype="string"),
            "width": np.array([1, 2], np.float32),
        }
    )
    fields = Fields.of(pa.table(frame), frame)
    again = Fields.from_dict(json.loads(json.dumps(fields.to_dict())))
    plain = pa.table(frame).replace_schema_metadata()
    drawn = plain.set_column(0, "size", pa.array(["M", "S"]).dictionary_encode())
    assert again == fields
    pd.testing.assert_frame_equal(again.given_back(drawn), frame)


@pytest.mark.parametrize(
    "values",
    [
        pd.array(pa.array([[1.0, 2.0]] * 4), dtype=pd.ArrowDtype(pa.list_(pa.float64()))),
        pd.array([Decimal("1.25")] * 4, dtype=pd.ArrowDtype(pa.decimal128(6, 2))),
        pd.cut(pd.Series([1, 2, 3, 4]), 2),
    ],
    ids=["lists", "decimals", "intervals"],
)
def test_fields_of_dtypes_without_a_name(values: Any) -> None:
    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0, 4.0], "b": values})
    assert Preparation().fit(frame).schema_.sources == ("a", "b")
    assert Fields.of(pa.table(frame), frame).dtypes == {}


def test_fields_of_many_columns_are_soon_told() -> None:
    rows = np.random.default_rng(0).integers(0, 9, (3, 4000))
    frame = pd.concat([pd.DataFrame(rows), pd.DataFrame(rows).astype("Int64").add_prefix("i")], axis=1)
    table = as_rows(frame)
    begin = time.perf_counter()
    fields = Fields.of(table, frame)
    assert time.perf_counter() - begin < 3
    assert fields.dtypes == {f"i{j}": "Int64" for j in range(4000)}


@pytest.mark.parametrize(
    ("fitted", "later"),
    [
        (pa.array([0, 1, 1] * 9), pa.array([False, True, True] * 9)),
        (pa.array([0, 1, 1] * 9), pa.array(["False", "TRUE", "true"] * 9)),
        (pa.array(["no", "True", "1"] * 9), pa.array(["no", "True", "1"] * 9)),
        (pa.array([True, False, True] * 9), pa.array([1, 0, 1] * 9)),
        (pa.array([0.1, 0.2, 0.7] * 9), pa.array([0.1, 0.2, 0.7] * 9, pa.float32())),
        (pa.array([0.1, 0.2, 0.7] * 9, pa.float32()), pa.array([0.1, 0.2, 0.7] * 9)),
    ],
)
def test_categories_are_the_same_in_other_types(fitted: pa.Array, later: pa.Array) -> None:
    preparation = Preparation(likelihoods={"x": "Categorical"}).fit(pa.table({"x": fitted, "y": np.arange(27.0)}))
    one, other = (preparation.transform(pa.table({"x": each, "y": np.arange(27.0)})) for each in (fitted, later))
    assert torch.equal(one, other) and len(one[:, 0].unique()) == len(fitted.unique())


@pytest.mark.parametrize("kind", [pa.duration("us"), pa.time64("us"), pa.time32("s"), pa.decimal128(6, 2), pa.date32()])
def test_categories_of_every_type_come_back(kind: pa.DataType) -> None:
    values = pa.array([dt.timedelta(hours=1), dt.timedelta(hours=2)]) if pa.types.is_duration(kind) else None
    clocks = pa.array([dt.time(1), dt.time(2, 30)]) if pa.types.is_time(kind) else None
    days = pa.array([dt.date(2020, 1, 1), dt.date(2020, 2, 1)]) if pa.types.is_date(kind) else None
    column = (values or clocks or days or pa.array([Decimal("1.25"), Decimal("2.50")])).cast(kind).dictionary_encode()
    rows = pa.table({"x": column.take(pa.array([0, 1] * 30)), "y": np.arange(60.0)})
    preparation = Preparation().fit(rows)
    assert (
        preparation.inverse_transform(preparation.transform(rows), like=rows)["x"].to_pylist() == rows["x"].to_pylist()
    )


def test_fields_of_polars_are_given_back_as_polars(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": ["u", "v"]})
    rows = pa.table(frame)
    fields = Fields.from_dict(Fields.of(rows, frame).to_dict())
    assert fields.given_back(rows).equals(frame)
    monkeypatch.setitem(sys.modules, "polars", None)
    assert fields.given_back(rows) is rows


def test_types_that_there_are_not_are_of_no_value() -> None:
    texts = {"a": "decimal128(99, 2)", "b": "decimal7(3, 1)", "c": "int9", "d": "decimal128(x)"}
    assert Fields("table", texts).blank(Schema(()), 1).schema.types == [pa.null()] * 4


def test_fields_of_an_array_are_an_array() -> None:
    fields = Fields.of(np.ones((2, 3)))
    blank = fields.blank(Preparation().fit(np.arange(6.0).reshape(2, 3)).schema_, 4)
    assert blank.shape == (4, 3) and np.isnan(blank).all() and fields.given_back(blank) is blank


def test_columns_are_left_out_on_request(rng: np.random.Generator) -> None:
    rows = pa.table({"a": rng.normal(size=50), "label": rng.integers(0, 2, 50)})
    schema = Preparation(ignore=("label",)).fit(rows).schema_
    assert [column.name for column in schema.columns] == ["a"]
    assert schema.dropped == {"label": "left out on request"}
    assert Preparation(ignore=("x1",)).fit(rng.normal(size=(50, 3))).schema_.dropped == {"x1": "left out on request"}
    with pytest.raises(InvalidParameter, match=r"ignore names the column 'lable'. Did you mean 'label'\?"):
        Preparation(ignore=("lable",)).fit(rows)


def test_names_are_looked_up_at_once() -> None:
    compared: list[object] = []

    class Name(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            compared.append(other)
            return str.__eq__(self, other)

    Preparation(likelihoods={"*": "Normal"})._chosen([Name(each) for each in range(300)])
    assert len(compared) < 20 * 300


class TestLattices:
    @pytest.mark.parametrize(
        ("values", "step"),
        [
            (np.arange(0, 256, 5), 5.0),
            (np.array([0, 6, 10, 15, 255]), 1.0),
            (np.arange(256, dtype=np.float32) / 255, 1 / 255),
            (np.array([1.0, 1.5, 4.0, 6.0]), 0.5),
            (np.array([-0.3, 0.1, 0.2]), 0.1),
            (np.array([7.0, 7.0]), 7.0),
        ],
        ids=["fives", "gaps", "pixels", "grades", "tenths", "one value"],
    )
    def test_are_found(self, values: np.ndarray, step: float) -> None:
        rows = np.tile(values.astype(np.float64)[:, None], (3, 1))
        (column,) = Preparation(likelihoods={"x0": "DiscretisedLogistic"}).fit(rows).schema_.columns
        assert column.step == pytest.approx(step, rel=1e-5)
        assert (column.low, column.high) == (values.min(), values.max())

    def test_of_real_numbers_there_is_none(self) -> None:
        rows = np.random.default_rng(0).normal(size=(200, 1))
        with pytest.raises(InvalidParameter, match="'x0' is on no lattice"):
            Preparation(likelihoods={"x0": "LogisticMixture"}).fit(rows)

    def test_of_all_channels_at_once_but_one(self) -> None:
        images = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4)).astype(np.float32)
        chosen = {"*": "LogisticMixture", "x1": "Laplace"}
        columns = Preparation(likelihoods=chosen).fit(images).schema_.columns
        assert [column.likelihood for column in columns] == ["LogisticMixture", "Laplace", "LogisticMixture"]
        assert [column.step for column in columns] == [1.0, 0.0, 1.0]


def test_texts_that_are_all_numbers_are_ids() -> None:
    rows = pa.table({"code": [f"{each:04}" for each in range(300)], "x": np.arange(300.0)})
    assert Preparation().fit(rows).schema_.dropped == {"code": "an id: most rows have a value of their own"}


@pytest.mark.parametrize("likelihood", ["Bernoulli", "NegativeBinomial"])
def test_flags_and_counts_in_grids_are_as_they_are(likelihood: str, rng: np.random.Generator) -> None:
    rows = rng.integers(0, 2, (20, 2, 3, 3)).astype(float)
    rows[0, 0, 1, 1] = np.nan
    preparation = Preparation(likelihoods={"*": likelihood}).fit(rows)
    x = preparation.transform(rows)
    np.testing.assert_array_equal(x.numpy(), rows)
    table = preparation.inverse_transform(x)
    np.testing.assert_array_equal(preparation.transform(table).numpy(), rows)
    np.testing.assert_array_equal(preparation.inverse_transform(x, rows), rows)


def test_what_no_flag_and_no_category_of_a_grid_can_be_is_refused(rng: np.random.Generator) -> None:
    rows = rng.integers(0, 2, (20, 1, 3, 3)).astype(float)
    preparation = Preparation(likelihoods={"x0": "Bernoulli"}).fit(rows)
    rows[7, 0, 2, 1] = 0.5
    with pytest.raises(InvalidData, match=r"row 7, column 'x0': 0\.5 is not 0 or 1"):
        preparation.transform(rows)
    with pytest.raises(InvalidParameter, match="'x0' cannot be Categorical"):
        Preparation(likelihoods={"x0": "Categorical"}).fit(rows)


def test_a_file_of_nested_columns_alone_is_told_apart_from_one_without_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"e": [[1.0, 2.0]] * 5}), tmp_path / "lists.parquet")
    with pytest.raises(InvalidData, match="'e' holds nested values"):
        Preparation().fit(open_source(tmp_path / "lists.parquet"))


class TestDatesInTexts:
    """Texts that all read as dates or times are what a text file takes them for, in every kind of rows."""

    WHEN = pd.date_range("2024-01-05", periods=60, freq="31h")[::-1]
    STAMPS = WHEN.strftime("%Y-%m-%d %H:%M:%S").tolist()

    @pytest.fixture
    def rows(self) -> pa.Table:
        days = self.WHEN.strftime("%Y-%m-%d").tolist()
        hours = self.WHEN.strftime("%H:%M").tolist()
        return pa.table({"stamp": self.STAMPS, "day": days, "hour": hours, "x": np.arange(60) % 7 * 1.5})

    @pytest.mark.parametrize("of", ["arrow", "pandas", "category", "polars", "parquet", "jsonl"])
    def test_the_schema_is_that_of_the_text_file(self, of: str, rows: pa.Table, tmp_path: Path) -> None:
        frame = rows.to_pandas()
        frame.to_csv(tmp_path / "rows.csv", index=False)
        pq.write_table(rows, tmp_path / "rows.parquet")
        frame.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
        kinds = {"arrow": rows, "pandas": frame, "polars": pl.from_arrow(rows)}
        kinds["category"] = frame.astype({"stamp": "category", "day": "category"})
        other = kinds[of] if of in kinds else open_source(tmp_path / f"rows.{of}")
        text = open_source(tmp_path / "rows.csv")
        expected, found = Preparation().fit(text), Preparation().fit(other)
        assert found.schema_.to_dict() == expected.schema_.to_dict()
        assert "stamp: hour sin" in {column.name for column in found.schema_.columns}
        other = other.table() if of in ("parquet", "jsonl") else other
        torch.testing.assert_close(found.transform(other), found.transform(text.table()), rtol=0, atol=0)

    def test_they_come_back_as_texts(self, rows: pa.Table) -> None:
        preparation = Preparation().fit(rows)
        x = preparation.transform(rows)
        for like in (rows, rows.to_pandas(), pl.from_arrow(rows)):
            back = preparation.inverse_transform(x, like=like)
            assert type(back) is type(like)
            assert pa.table(back)["stamp"].to_pylist() == self.STAMPS
            assert pa.table(back)["day"].to_pylist() == rows["day"].to_pylist()
            assert pa.table(back)["hour"].to_pylist() == [f"{each}:00" for each in rows["hour"].to_pylist()]
        frame = rows.to_pandas().astype({"day": "category"})
        assert preparation.inverse_transform(x, like=frame)["day"].equals(frame["day"])

    def test_filling_keeps_how_they_are_written(self, rows: pa.Table) -> None:
        texts = rows["stamp"].to_pylist()
        texts[0], texts[1] = None, texts[1].replace(" ", "T")
        gaps = rows.set_column(0, "stamp", pa.array(texts))
        preparation = Preparation().fit(gaps)
        filled = preparation.inverse_transform(
            preparation.transform(rows), like=gaps, keep=~preparation.transform(gaps).isnan()
        )
        assert filled["stamp"].to_pylist() == [self.STAMPS[0], *texts[1:]]

    def test_new_rows_are_written_as_those_of_the_fit(self, rows: pa.Table) -> None:
        preparation = Preparation().fit(rows)
        blank = pa.table(
            {name: pa.nulls(60, kind) for name, kind in zip(rows.column_names, rows.schema.types, strict=True)}
        )
        made = preparation.inverse_transform(preparation.transform(rows), like=blank)
        assert made["stamp"].to_pylist() == self.STAMPS
        assert made["day"].to_pylist() == rows["day"].to_pylist()

    def test_what_is_no_date_is_named(self, rows: pa.Table) -> None:
        preparation = Preparation().fit(rows)
        wrong = rows.set_column(1, "day", pa.array([*["2024-01-05"] * 59, "31.01.2024"]))
        with pytest.raises(InvalidData, match=r"row 59, column 'day': '31.01.2024' is no date or time .* ISO 8601"):
            preparation.transform(wrong)

    def test_one_that_is_none_makes_all_of_them_texts(self, rows: pa.Table) -> None:
        wrong = rows.set_column(0, "stamp", pa.array([*self.STAMPS[:59], "soon"]))
        assert "id" in Preparation().fit(wrong).schema_.dropped["stamp"]

    def test_they_may_be_categories_on_request(self) -> None:
        days = ["2024-01-05", "2024-01-06"] * 30
        assert [column.kind for column in learned(days, likelihoods={"x": "Categorical"})] == ["category"]
        assert [column.part for column in learned(days)] == ["elapsed"]


@pytest.mark.parametrize(
    ("spell", "told"),
    [
        (lambda value: f"{value:,.0f}", "numbers such as '12,345': write them with a point"),
        (lambda value: f"{value:_.1f}".replace(".", ",").replace("_", "."), "numbers such as '12.345,0': write"),
        (lambda value: f"{value / 1000:.3f}%", "percentages such as '12.345%': write them as numbers"),
        (lambda value: f"${value}", "amounts of money such as '$12345': write them as numbers"),
        (lambda value: f"{value} EUR", "amounts of money such as '12345 EUR': write them as numbers"),
        (lambda value: f"31.01.{value - 10_345}", "dates such as '31.01.2000': write them by ISO 8601"),
        (lambda value: f"31 Jan {value - 10_345}", "dates such as '31 Jan 2000': write them by ISO 8601"),
    ],
)
def test_local_spellings_are_named_and_not_guessed_at(spell: Any, told: str) -> None:
    values = [spell(12_345 + i) for i in range(40)]
    assert reason(values).startswith(f"an id: most rows have a value of their own; it looks like {told}")


@pytest.mark.parametrize("spell", ["SKU{}", "10.0.0.{}", "+49 30 {}", "00{}", "row-{}"])
def test_ids_look_like_nothing_else(spell: str) -> None:
    assert reason([spell.format(100 + i) for i in range(40)]) == "an id: most rows have a value of their own"


def test_local_spellings_among_categories_are_said() -> None:
    with pytest.warns(
        DiaboloWarning, match=r"'x' is learned as 12 categories, and looks like percentages such as '0 %'"
    ):
        learned([f"{i} %" for i in range(12)] * 9)
    assert [column.kind for column in learned(["10 %", "20 %"] * 9)] == ["category"]


def test_infinite_values_one_after_the_other_are_refused_without_a_warning() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2))
    rows[3:6, 1] = np.inf, -np.inf, -np.inf
    with pytest.raises(InvalidData, match=r"row 3, column 'x1': inf was given"):
        Preparation().fit(rows)


def test_the_first_bad_text_among_texts_is_found() -> None:
    preparation = Preparation().fit(pa.table({"on": [True, False] * 9, "x": np.arange(18) * 1.5}))
    wrong = pa.table({"on": [*["true", "False"] * 5, "maybe", "true"], "x": np.zeros(12)})
    with pytest.raises(InvalidData, match=r"row 10, column 'on': 'maybe' is not a number"):
        preparation.transform(wrong)


class TestCategoriesOfPandas:
    """What a frame declares beside its values changes nothing."""

    @pytest.fixture
    def rows(self) -> pd.DataFrame:
        kind = pd.Categorical([*"xyzy"] * 10, categories=[*"xyz", "never"])
        size = pd.Categorical([*"1235"] * 10, categories=[*"1235", "many"])
        return pd.DataFrame({"kind": kind, "size": size, "flow": np.arange(40) % 7 * 1.5})

    @pytest.mark.parametrize("declared", [["never", *"zyx"], [*"zxy"]])
    def test_neither_their_order_nor_absent_ones(self, declared: list[str], rows: pd.DataFrame) -> None:
        other = rows.assign(kind=rows["kind"].cat.set_categories(declared))
        one, two = Preparation().fit(rows), Preparation().fit(other)
        assert one.schema_.to_dict() == two.schema_.to_dict()
        assert torch.equal(one.transform(rows), one.transform(other))

    def test_absent_ones_are_no_wrong_numbers(self, rows: pd.DataFrame) -> None:
        numbers = rows.assign(size=rows["size"].astype(str).astype(float))
        preparation = Preparation().fit(numbers)
        assert torch.equal(preparation.transform(numbers), preparation.transform(rows))

    def test_filled_ones_are_declared(self, rows: pd.DataFrame) -> None:
        preparation = Preparation().fit(rows)
        gaps = rows.assign(kind=rows["kind"].where(rows["kind"] == "x").cat.set_categories(["x"]))
        filled = preparation.inverse_transform(
            preparation.transform(rows), like=gaps, keep=~preparation.transform(gaps).isnan()
        )
        assert filled["kind"].astype(str).tolist() == rows["kind"].astype(str).tolist()
        assert filled["kind"].cat.categories.tolist() == ["x", "y", "z"] and not filled["kind"].cat.ordered


@pytest.mark.parametrize(("decimals", "grain"), [(0, 1.0), (1, 0.1), (2, 0.01), (4, 1e-4), (7, 0.0)])
def test_numbers_of_tables_keep_their_decimals(decimals: int, grain: float, rng: np.random.Generator) -> None:
    table = pa.table({"x": rng.normal(100, 30, N).round(decimals)})
    preparation = Preparation().fit(table)
    assert preparation.schema_.columns[0].grain == grain
    made = preparation.inverse_transform(torch.randn(N, 1), like=table)["x"].to_numpy()
    if grain:
        np.testing.assert_array_equal(made, made.round(decimals))
        assert (made != made.round(max(0, decimals - 1))).any() or not decimals


def test_whole_numbers_of_tables_stay_whole_beside_gaps() -> None:
    ages = np.array([34.0, np.nan, 51.0, 8.0] * 10)
    visits = np.array([0.0, 40.0, 1.0, 2.0, 3.0, 4.0, 5.0, 60.0, np.nan, 0.0] * 4)
    frame = pd.DataFrame({"age": ages, "visits": visits, "flow": np.arange(40) % 7 * 1.5})
    preparation = Preparation().fit(frame)
    assert [column.kind for column in preparation.schema_.columns] == ["number", "count", "number"]
    made = preparation.inverse_transform(torch.full((40, 3), 0.1), like=frame)
    assert (made.dtypes == frame.dtypes).all()
    assert (made[["age", "visits"]] % 1 == 0).all(axis=None) and made["flow"][0] % 1 != 0
    array = Preparation().fit(frame.to_numpy())
    assert array.inverse_transform(torch.full((40, 3), 0.1), like=frame.to_numpy())[0, 0] % 1 != 0


@pytest.mark.parametrize(
    "values",
    [
        pa.array([Decimal("1.00"), Decimal("0.00"), None] * 30, pa.decimal128(10, 2)),
        pa.array([Decimal("1.50"), Decimal("2.50"), None] * 30, pa.decimal128(10, 2)),
        pa.array([Decimal("1e-7"), Decimal(10**15 + 1), None] * 30, pa.decimal128(38, 8)),
        pa.array([0, 1_000_000, None] * 30, pa.duration("us")),
        pa.array([1234567.25, 1234567.21, None] * 30),
    ],
    ids=lambda each: str(each.type),
)
def test_categories_of_any_type_are_known_again(values: pa.Array) -> None:
    rows = pa.table({"x": np.random.default_rng(0).normal(size=90), "kind": values})
    preparation = Preparation(likelihoods={"kind": "Categorical"}).fit(rows)
    x = preparation.transform(rows)
    assert sorted(set(x[:, 1].nan_to_num(-1.0).tolist())) == [-1, 0, 1]
    assert preparation.inverse_transform(x, like=rows)["kind"].combine_chunks().equals(values)


def test_instants_are_judged_by_the_clock_of_the_fit() -> None:
    noon = np.datetime64("2024-06-01T10:00") + np.arange(120) * np.timedelta64(1, "D") + np.arange(120) % 50
    berlin = pa.table({"at": pa.array(noon.astype("datetime64[s]")).cast(pa.timestamp("s", "UTC"))})
    berlin = berlin.cast(pa.schema([("at", pa.timestamp("s", "Europe/Berlin"))]))
    preparation = Preparation().fit(berlin)
    x = preparation.transform(berlin)
    for zone in ("UTC", "America/New_York"):
        same = berlin.cast(pa.schema([("at", pa.timestamp("s", zone))]))
        assert torch.equal(preparation.transform(same), x)
    texts = pa.table({"at": [each.isoformat() for each in berlin["at"].to_pylist()]})
    torch.testing.assert_close(preparation.transform(texts), x)
    assert preparation.inverse_transform(x, like=berlin).equals(berlin)


def test_a_text_among_numbers_that_repeat_is_told() -> None:
    ages = [f"{20 + i % 60}.5" for i in range(600)]
    ages[77] = "unknown"
    with pytest.warns(DiaboloWarning, match="Column 'age' holds numbers with some text among them"):
        Preparation().fit(pa.table({"age": ages}))
