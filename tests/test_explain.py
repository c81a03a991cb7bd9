"""Explanations: which values, what would have been normal, which rows are near; in words."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from diabolo import AnomalyDetector
from diabolo.checks.tasks import made_up
from diabolo.explain import Explanation, Reason, reasons, shown


@pytest.fixture(scope="module")
def detector() -> AnomalyDetector:
    return AnomalyDetector("Linear", random_state=0).fit(made_up(400))


def odd_row() -> pa.Table:
    rows = made_up(3, seed=1).to_pylist()
    rows[1]["power"] = -40.0
    return pa.Table.from_pylist(rows, made_up().schema)


def test_the_odd_value_and_what_would_be_normal(detector: AnomalyDetector) -> None:
    why = reasons(detector, odd_row())[1]
    assert (why.row, why.anomaly) == (1, True) and why.p_value < 0.01
    first = why.reasons[0]
    assert first.column == "power" and first.value == -40.0 and first.share > 0.4
    assert isinstance(first.normal, float) and first.normal > -40.0


def test_reasons_add_up_and_fall(detector: AnomalyDetector) -> None:
    rows = made_up(50, seed=1)
    for why, score, p, verdict in zip(
        reasons(detector, rows, top=6),
        detector.anomaly_score(rows),
        detector.p_value(rows),
        detector.predict(rows),
        strict=True,
    ):
        parts = [each.contribution for each in why.reasons]
        assert sum(parts) == pytest.approx(why.score) == pytest.approx(score)
        assert parts == sorted(parts, reverse=True) and sum(each.share for each in why.reasons) == pytest.approx(1)
        assert (why.p_value, why.anomaly) == (pytest.approx(p), verdict < 0)


def test_nearest_rows_are_in_the_units_of_the_user(detector: AnomalyDetector) -> None:
    rows = made_up(5, seed=1)
    for row, why in zip(rows.to_pylist(), reasons(detector, rows, nearest=3), strict=True):
        assert len(why.nearest) == 3
        for near in why.nearest:
            assert near.keys() == row.keys()
            assert near["site"] in ("north", "south", "west") and isinstance(near["on"], bool)
            assert near["power"] == pytest.approx(3 * near["flow"], abs=3)
    kept = {round(each, 6) for each in made_up(400)["flow"].to_pylist()}
    assert round(reasons(detector, rows)[0].nearest[0]["flow"], 6) in {round(k, 6) for k in kept} or any(
        abs(reasons(detector, rows)[0].nearest[0]["flow"] - k) < 1e-4 for k in kept
    )


def test_no_row_is_its_own_neighbour(detector: AnomalyDetector) -> None:
    rows = made_up(400).slice(0, 40)
    for row, why in zip(rows.to_pylist(), reasons(detector, rows, nearest=1), strict=True):
        assert abs(why.nearest[0]["flow"] - row["flow"]) > 1e-6


def test_without_neighbours_and_without_reasons() -> None:
    detector = AnomalyDetector("Linear", neighbours=0, random_state=0).fit(made_up(100))
    why = reasons(detector, made_up(2, seed=1), top=0)
    assert [(each.nearest, each.reasons) for each in why] == [((), ())] * 2
    assert reasons(detector, made_up(2, seed=1), nearest=0)[0].nearest == ()


def test_neighbours_that_nobody_asks_for_are_not_looked_for(
    detector: AnomalyDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AnomalyDetector, "nearest", lambda *_: pytest.fail("looked for"))
    assert reasons(detector, made_up(2, seed=1), nearest=0)[0].nearest == ()


def test_arrays_and_columns_set_aside() -> None:
    block = np.random.default_rng(0).normal(size=(200, 3))
    block[:, 1] = np.nan
    detector = AnomalyDetector("Linear", random_state=0).fit(block)
    block[0, 2] = 50.0
    why = reasons(detector, block[:1], top=3)[0]
    assert why.reasons[0].column == "x2" and {each.column for each in why.reasons} <= {"x0", "x2"}
    rows = made_up(100).append_column("id", pa.array([f"pump {i}" for i in range(100)]))
    told = reasons(AnomalyDetector("Linear", random_state=0).fit(rows), rows.slice(0, 2))
    assert "id" not in told[0].nearest[0]


@pytest.mark.parametrize("unit", ["us", "ns"])
@pytest.mark.parametrize("broken", [1e4, 1e9])
def test_the_normal_date_is_one_of_the_fit_however_strange_the_row(unit: str, broken: float) -> None:
    x = np.random.default_rng(0).normal(size=300)
    when = pd.Timestamp("2020-01-01") + pd.to_timedelta((30 * x).round(), unit="D")
    rows = pd.DataFrame({"a": x, "b": 2 * x, "when": when.astype(f"datetime64[{unit}]")})
    why = reasons(AnomalyDetector("Linear", random_state=0).fit(rows), rows[:1].assign(b=broken))[0]
    normal = {each.column: each.normal for each in why.reasons}
    assert normal["when"][:10] in ("about 2020", "about 2019") and abs(normal["b"]) < 10


def test_in_words() -> None:
    reason = Reason("flow", 12.345678, None, 3.0, 0.75)
    assert str(reason) == "flow = 12.35 (normal here: missing; 75% of the score)"
    told = str(Explanation(4, 4.0, 0.002, True, (reason,), ()))
    assert told == f"row 4: anomaly, score 4.00 nats, p = 0.002\n  {reason}"
    assert "row 4: normal" in str(Explanation(4, 4.0, 0.5, False, (), ()))
    assert [shown(each) for each in (None, float("nan"), 3, "on", 1e-9)] == ["missing", "missing", "3", "on", "1e-09"]


class TestDates:
    """Rows of office hours, and one at three in the night."""

    @pytest.fixture
    def rows(self) -> pd.DataFrame:
        dice = np.random.default_rng(0)
        hours = np.sort(dice.integers(0, 120, 900)) * 24 + dice.integers(9, 12, 900)
        when = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(hours), unit="h")
        return pd.DataFrame({"when": when, "flow": dice.normal(size=900)})

    @staticmethod
    def told(rows: pd.DataFrame, when: object) -> tuple[Explanation, Reason]:
        odd = rows.iloc[[100]].assign(when=when)
        why = reasons(AnomalyDetector("Linear", random_state=0).fit(rows), odd)[0]
        return why, next(each for each in why.reasons if each.column == "when")

    def test_a_clock_tells_the_hour_that_would_be_normal(self, rows: pd.DataFrame) -> None:
        why, reason = self.told(rows, pd.Timestamp("2024-03-05 03:00"))
        assert why.anomaly and reason.value == dt.datetime(2024, 3, 5, 3)
        assert str(reason.normal).startswith(("hour 09:", "hour 10:")) and ", weekday " in str(reason.normal)
        assert why.nearest[0]["when"].startswith("hour ")

    def test_a_date_tells_its_day_too(self, rows: pd.DataFrame) -> None:
        why, reason = self.told(rows.sample(frac=1, random_state=0), pd.Timestamp("2024-03-05 03:00"))
        assert str(reason.normal).startswith("about 2024-") and "hour " in str(reason.normal)
        assert isinstance(why.nearest[0]["when"], dt.datetime)

    def test_texts_of_dates_are_told_alike(self, rows: pd.DataFrame) -> None:
        texts = rows.assign(when=rows["when"].dt.strftime("%Y-%m-%d %H:%M"))
        assert (
            self.told(texts, "2024-03-05 03:00")[1].normal
            == self.told(rows, pd.Timestamp("2024-03-05 03:00"))[1].normal
        )

    def test_times_of_the_day_are_times(self, rows: pd.DataFrame) -> None:
        _, reason = self.told(rows.assign(when=rows["when"].dt.time), dt.time(3))
        assert isinstance(reason.normal, dt.time) and reason.normal != dt.time(3)

    def test_a_date_without_a_cycle_is_a_date(self, rows: pd.DataFrame) -> None:
        days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(900) * 7 % 11, unit="D")
        _, reason = self.told(rows.assign(when=days), pd.Timestamp("2025-01-01"))
        assert isinstance(reason.normal, dt.datetime)
