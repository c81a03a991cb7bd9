"""The report: true to the scores, safe with hostile data, small, and the same however the rows come."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diabolo import AnomalyDetector, Denoiser, Imputer, report
from diabolo.diagnosis import Finding
from diabolo.errors import InvalidData, InvalidParameter, SchemaMismatch
from diabolo.grids import grid_column
from diabolo.readers import open_source
from diabolo.report import model, pictures, words
from diabolo.report.charts import CurveChart, ScoreChart, spark
from diabolo.report.findings import Kept, Spectrum, is_new, natural
from diabolo.report.maps import MapChart, Spot, directions
from diabolo.report.markup import cell, joined, name, tag
from diabolo.report.scales import Scale, even, growing
from diabolo.schema import Column
from diabolo.tasks.task import Task
from diabolo.trainer import Trainer

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</style><b>&amp;")
LIMIT = 2_000_000  # bytes
VOID = {"meta", "link", "wbr", "br"}


class Parsed(HTMLParser):
    """A page as its elements, its attributes and its texts; every element must be closed where it was opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def rows_of(count: int, seed: int = 0, strange: int = 0) -> pa.Table:
    """Numbers with gaps, texts and ids, under ordinary and hostile names; in the last ``strange`` rows b is not a."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=count)
    b = a + 0.1 * rng.normal(size=count) + np.where(np.arange(count) >= count - strange, 9.0, 0.0)
    gaps = np.where(rng.random(count) < 0.1, np.nan, rng.normal(size=count))
    kinds = rng.choice(["on", "off", HOSTILE[1]], count)
    table = {"a": a, "b": b, HOSTILE[0]: gaps, HOSTILE[2]: kinds, "id": [f"<i>{row}</i>" for row in range(count)]}
    table |= {f"spare {place}": rng.normal(size=count) for place in range(5)}
    return pa.table({key: pa.array(each, from_pandas=True) for key, each in table.items()})


@pytest.fixture(scope="module")
def detector() -> AnomalyDetector:
    quick = Trainer(epochs=4, batch_size=64)
    return AnomalyDetector("Denoising", trainer=quick, random_state=0).fit(rows_of(400))


@pytest.fixture(scope="module")
def new() -> pa.Table:
    return rows_of(120, seed=1, strange=6)


@pytest.fixture(scope="module")
def page(detector: AnomalyDetector, new: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(detector, new, tmp_path_factory.mktemp("page"))


def written(task: Task, data: object, folder: Path, **options: object) -> str:
    report.write(task, data, folder / "report.html", **options)
    return (folder / "report.html").read_text(encoding="utf-8")


def plain(html: str) -> str:
    """The text between tags, with ordinary blanks."""
    shown = re.sub(r"<(style|script)>.*?</\1>|<wbr/>", "", html, flags=re.DOTALL)
    return " ".join(" ".join(Parsed(shown).texts).split())


def test_says_how_many_rows_stand_out(page: str, detector: AnomalyDetector, new: pa.Table) -> None:
    marked = int((detector.predict(new) < 0).sum())
    assert marked >= 6
    assert f"<h1>{marked} of 120 rows stand out</h1>" in page
    for heading in ("Scores", "The strangest rows, and why", "Map of the codes", "Training", "Model card"):
        assert f"<h2>{heading}</h2>" in page
    assert detector.card()["data"]["fingerprint"] in page


def test_hostile_names_and_values_stay_text(page: str) -> None:
    parsed = Parsed(page)
    assert parsed.elements.count("script") == parsed.elements.count("style") == 1
    assert not {"img", "iframe", "object", "form", "base"} & set(parsed.elements)
    assert not [key for key, _ in parsed.attributes if key.startswith("on") or key in ("src", "style")]
    for each in HOSTILE:
        assert each.replace("&amp;", "") in parsed.text.replace("&amp;", "")


def test_asks_no_network_and_runs_only_its_own_script(page: str) -> None:
    links = [value for key, value in Parsed(page).attributes if key in ("href", "src")]
    assert all(link is not None and link.startswith(("#", "data:")) for link in links)
    assert "://" not in page
    assert not re.search(r"@import|url\(", page)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'")
    for element in ("script", "style"):
        inside = re.search(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy


def test_contributions_on_the_page_add_up_to_the_scores(page: str, detector: AnomalyDetector, new: pa.Table) -> None:
    cards = re.findall(r'<details id="row-(\d+)".*?</details>', page, re.DOTALL)
    blocks = re.findall(r"<details .*?</details>", page, re.DOTALL)
    scores = detector.anomaly_score(new)
    assert [int(row) for row in cards] == np.argsort(-scores, kind="stable")[: len(cards)].tolist()
    for row, block in zip(cards, blocks, strict=True):
        *amounts, score = [figure(text) for text in re.findall(r'data-label="nats">(.*?)</td>', block)]
        assert math.isclose(sum(amounts), score, abs_tol=1e-9)
        assert score == pytest.approx(scores[int(row)], abs=0.0051)
        bars = re.findall(
            r'<rect x="([\d.]+)%" y="0" width="([\d.]+)%" height="100%" rx="2" class="(marked|rest)"', block
        )
        starts, widths = np.array([(float(start), float(width)) for start, width, _ in bars]).T
        assert [kind for *_, kind in bars].count("rest") == 1
        assert np.allclose(starts[1:], (starts + widths)[:-1], atol=0.5)  # the thinnest bars are drawn wider
        assert starts[0] == 0
        assert starts[-1] + widths[-1] == pytest.approx(100, abs=0.5)


def figure(text: str) -> float:
    return float(re.sub(r"<.*?>|,", "", text).replace("−", "-"))


def test_strange_column_leads_the_table_of_columns(page: str) -> None:
    table = page[page.index('id="blame"') :]
    first = re.search(r"<bdi>(.*?)</bdi>", table[table.index("<tbody>") :])[1]
    assert first in ("a", "b")


def test_is_the_same_however_the_rows_come(detector: AnomalyDetector, new: pa.Table, tmp_path: Path) -> None:
    whole = written(detector, new, tmp_path)
    pq.write_table(new, tmp_path / "rows.parquet", row_group_size=7)
    pieces = written(detector, tmp_path / "rows.parquet", tmp_path)
    again = written(detector, open_source(tmp_path / "rows.parquet"), tmp_path)
    assert pieces == again
    assert pieces.replace("<wbr/>", "") == whole.replace("<wbr/>", "").replace("a table in memory", "rows.parquet")


def test_takes_arrays_and_frames(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    detector = AnomalyDetector("Linear", random_state=0).fit(rows)
    html = written(detector, np.vstack([rows, [[0, 0, 30]]]), tmp_path)
    assert "of 61 rows" in html
    assert 'id="row-60"' in html
    assert "solved in closed form: there were no epochs" in html


def test_labels_are_compared(detector: AnomalyDetector, new: pa.Table, tmp_path: Path) -> None:
    labels = pa.array(np.arange(120) >= 114)
    html = written(detector, new.append_column("broken", labels), tmp_path, labels="broken")
    text = plain(html)
    assert "Compared with known labels" in text
    assert re.search(r"AUROC 1\.000", text)
    assert "Compared with known labels" not in plain(written(detector, new, tmp_path))
    for type_ in (pa.int64(), pa.float64()):
        gaps = pa.array([None, *(np.arange(1, 119) >= 114).tolist(), None]).cast(type_)
        text = plain(written(detector, new.append_column("broken", gaps), tmp_path, labels="broken"))
        assert "2 rows without a label are left out. 5 rows of 118 are anomalies" in text
    empty = new.append_column("broken", pa.nulls(120, pa.string()))
    assert "No row has a label." in plain(written(detector, empty, tmp_path, labels="broken"))


def test_no_rows_and_no_anomalies_are_said(detector: AnomalyDetector, tmp_path: Path) -> None:
    assert "<h1>There are no rows to judge</h1>" in written(detector, rows_of(0).cast(rows_of(1).schema), tmp_path)
    calm = rows_of(400)
    usual = np.flatnonzero(detector.predict(calm) > 0)[:50]
    html = written(detector, calm.take(usual), tmp_path)
    assert "<h1>None of 50 rows stands out</h1>" in html
    assert "No row was marked. These 3 score highest" in plain(html)
    assert 'id="blame"' not in html


def test_what_is_known_of_the_fit_and_of_this_data(detector: AnomalyDetector, page: str, tmp_path: Path) -> None:
    assert "Nothing was found that speaks against the fit" in plain(page)
    narrow = AnomalyDetector("Linear", random_state=0).set_params(variant__latent=1)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 20)) + 0.1 * rng.normal(size=(300, 20))
    told = plain(written(narrow.fit(rows), rows + 9.0, tmp_path))
    assert "narrow code. A code of 1 leaves" in told and "shifted columns. The mean of 'x" in told


def test_one_row_is_enough(detector: AnomalyDetector, new: pa.Table, tmp_path: Path) -> None:
    assert "1 of 1 row stands out" in written(detector, new.slice(119), tmp_path)


def test_wide_data_makes_no_large_page(tmp_path: Path) -> None:
    width = 700
    rows = np.random.default_rng(0).normal(size=(80, width))
    table = pa.table({f"{HOSTILE[0] * 4}{place:04d}": rows[:, place] for place in range(width)})
    detector = AnomalyDetector("Linear", random_state=0).fit(table)
    html = written(detector, pa.concat_tables([table, table.slice(0, 20)]), tmp_path, top=100)
    assert len(html.encode()) < LIMIT
    assert "And 400 further columns, not listed." in html


def test_imputer_counts_gaps_by_column(tmp_path: Path) -> None:
    rows = rows_of(300)
    imputer = Imputer("Linear", random_state=0).fit(rows)
    new = rows_of(90, seed=2)
    gaps = new[HOSTILE[0]].null_count
    text = plain(written(imputer, new, tmp_path))
    assert gaps > 0
    assert f"{gaps} gaps filled" in text
    assert f"{gaps} of them lack a value" in text
    assert "Is a deep model worth it here?" in text
    assert "p-values are counted" not in text
    filled = imputer.transform(new)[HOSTILE[0]].to_pylist()
    first = new[HOSTILE[0]].to_pylist().index(None)
    assert f"{first} {HOSTILE[0]} {words.value(filled[first])}" in text
    complete = new.slice(first + 1, 1)
    assert complete[HOSTILE[0]].null_count == 0
    assert "Nothing was missing" in written(imputer, complete, tmp_path)


@pytest.mark.parametrize(
    ("better", "deep", "said"), [("deep", 0.1, "Yes: "), ("neither", 0.24, "Not clearly: "), ("linear", 0.4, "No: ")]
)
def test_comparison_does_not_flatter(better: str, deep: float, said: str) -> None:
    told = {
        "deep": deep,
        "linear": 0.25,
        "difference": deep - 0.25,
        "error": 0.02,
        "better": better,
        "width": 3,
        "code": 8,
        "aside": "",
    }
    sentence = model.verdict(told)
    assert sentence.startswith(said)
    assert words.apart(deep - 0.25, 0.04) in sentence
    assert "a PCA of 3 numbers (the code has 8)" in sentence
    assert ("variant=Linear (variant.latent=3" in sentence) == (better != "deep")
    other = model.verdict({**told, "aside": "likes should be near"})
    assert "not for (likes should be near)" in other and "variant=Linear" not in other


def test_comparison_is_that_of_the_task(page: str, detector: AnomalyDetector) -> None:
    told = detector.comparison_
    assert model.verdict(told) in plain(page)
    assert told["measure"] in plain(page)


def test_says_what_is_allowed(detector: AnomalyDetector, new: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match=r"no column 'bb'\. Did you mean 'b'"):
        written(detector, new, tmp_path, labels="bb")
    with pytest.raises(InvalidParameter, match=r"must be an int from 1 to 100\. Got 0"):
        written(detector, new, tmp_path, top=0)
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_old_page(detector: AnomalyDetector, new: pa.Table, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    bad = new.set_column(0, "a", pa.array([math.inf] * 120))
    with pytest.raises(InvalidData, match="infinity"):
        written(detector, bad, tmp_path)
    assert (tmp_path / "report.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_columns_of_verdicts_may_be_there_already(detector: AnomalyDetector, new: pa.Table, tmp_path: Path) -> None:
    scored = pa.Table.from_batches([detector.run(new.combine_chunks().to_batches()[0])])
    head = re.search("<h1>.*?</h1>", written(detector, scored, tmp_path))[0]
    assert head in written(detector, new, tmp_path)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_kept_does_not_depend_on_the_cuts(size: int) -> None:
    keys = np.random.default_rng(0).integers(0, 30, 100).astype(float)
    rows, kept = pa.table({"a": np.arange(100)}), Kept(9)
    for start in range(0, 100, size):
        kept.add(rows.slice(start, size), keys[start : start + size], start)
    best = np.argsort(-keys, kind="stable")[:9]
    assert kept.numbers.tolist() == kept.table["a"].to_pylist() == best.tolist()


def test_spectrum_counts_every_row_once() -> None:
    scores = np.random.default_rng(0).exponential(3, 5000)
    spectrum = Spectrum()
    for part in np.split(scores, 10):
        spectrum.add(part, part > 9)
    edges = np.linspace(0, 20, 11)
    plain, marked = spectrum.binned(edges)
    expected = np.histogram(np.minimum(scores, 19.99), edges)[0]
    assert marked.sum() == (scores > 9).sum()
    assert (plain + marked).sum() == 5000
    assert np.abs(plain + marked - expected).max() <= 25  # rows within half a fine bin of an edge
    assert spectrum.largest == scores.max()


def test_the_cut_parts_the_bars() -> None:
    spectrum = Spectrum()
    spectrum.add(np.array([8.9999, 9.0, 9.0001]), np.array([False, False, True]))
    assert spectrum.binned(np.array([0.0, 9.0, 20.0])).tolist() == [[2, 0], [0, 1]]


def test_new_values_are_those_unlike_the_fit() -> None:
    number = Column("n", center=10, scale=2, low=8, high=14)
    assert is_new(number, np.array([-1.0, 2.0, 2.1, -1.1, np.nan])).tolist() == [False, False, True, True, False]
    kind = Column("k", "category", categories=("on", "off", "(unseen)"))
    assert is_new(kind, np.array([0.0, 2.0, np.nan])).tolist() == [False, True, False]
    assert not is_new(Column("d", part="hour sin", low=0, high=0), np.array([5.0])).any()


def test_zero_is_told_as_zero() -> None:
    for center, scale in ((2.3, 0.7), (5.1, 3.3), (-7.7, 1.9)):
        column = Column("n", center=center, scale=scale)
        told = natural(column, np.float32((np.array([0.0, -0.01, 4.0]) - center) / scale))
        assert told[0] == 0 and np.allclose(told[1:], [-0.01, 4], rtol=1e-4)


def test_fewer_rows_are_expected_the_stranger() -> None:
    """The staircase of normal rows is the p-value's, so it falls with the score."""
    chart = ScoreChart(
        binned=lambda edges: np.ones((2, len(edges) - 1)),
        largest=12.0,
        cut=5.0,
        rows=1000,
        p_value=lambda scores: np.exp(-np.asarray(scores)),
        score_at=lambda share: -math.log(share),
        observed=6.0,
        faintest=1e-5,
    )
    svg = chart.draw(900)
    assert "threshold 5" in svg
    assert svg.count("<rect") == 2 * svg.count("<g>")
    y = [
        float(each) for each in re.findall(r"[ML][\d.]+ ([\d.]+)H", re.search(r'd="([^"]*)" class="expected"', svg)[1])
    ]
    assert y == sorted(y)  # fewer rows, the stranger


@pytest.mark.parametrize("cut", [math.inf, -math.inf, 0.0])
def test_a_cut_that_cannot_be_drawn_is_left_out(cut: float) -> None:
    score_at: Callable[[float], float] = lambda share: -math.log(share)  # noqa: E731
    ones: Callable[[np.ndarray], np.ndarray] = lambda edges: np.ones((2, len(edges) - 1))  # noqa: E731
    svg = ScoreChart(ones, 3.0, cut, 10, lambda s: np.exp(-np.asarray(s)), score_at, 2.0, 1e-3).draw(350)
    assert "threshold" not in svg
    assert "nan" not in svg


def test_far_rows_stay_inside_the_map() -> None:
    cloud = np.random.default_rng(0).normal(size=(200, 2))
    spots = [Spot(1e6, 0.0, 7, 30.0, 1, True), *(Spot(0.1 * i, 1.0, i, 9.0, i, False) for i in range(2, 80))]
    svg = MapChart(cloud, spots, ("one", "two")).draw(900)
    assert svg.count('class="mark far"') == 1
    assert "beyond the frame" in svg
    assert 'href="#row-7"' in svg
    assert max(float(x) for x in re.findall(r'cx="([\d.]+)"', svg)) <= 900


@pytest.mark.parametrize("found", [True, False])
def test_the_curve_is_said_to_fall_where_the_diagnosis_says_so(found: bool) -> None:
    detector = AnomalyDetector("Vanilla", trainer=Trainer(epochs=6, schedule="constant"), random_state=0)
    detector.fit(np.random.default_rng(0).normal(size=(300, 2)) @ np.ones((2, 6)))
    told = Finding("unfinished training", "", "", "")
    detector.findings_ = (told,) if found else ()
    assert ("still falling" in str(model.training(detector).body)) == found


def test_the_epoch_kept_is_one_of_the_last_training() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 3))
    detector = AnomalyDetector("Vanilla", trainer=Trainer(epochs=6), random_state=0).fit(rows)
    detector.partial_fit(rows + 3)
    valid = [epoch.cost for epoch in detector.history_]
    kept = 6 + int(np.argmin(valid[6:])) + 1
    assert f"The weights of epoch {kept} were kept" in str(model.training(detector).body)


def test_curve_of_one_epoch_and_of_thousands() -> None:
    assert "nan" not in CurveChart([3.0], None, None).draw(350)
    long = CurveChart(list(np.linspace(9, 1, 20_000)), list(np.linspace(10, 2, 20_000)), 20_000).draw(900)
    assert "kept: epoch 20000" in long
    assert len(long) < 20_000


def test_spark_draws_marked_rows_on_top() -> None:
    svg = spark(np.array([4, 0]), np.array([0, 4]), "told")
    assert svg.count("<path") == 2
    assert "nan" not in spark(np.zeros(3), np.zeros(3), "nothing")


def test_scales() -> None:
    assert even(-0.25, 0.25, 4) == [-0.2, 0.0, 0.2]
    assert even(3, 3, 5) == [3]
    scale = Scale(0, 1000, 0, 700, np.log1p)
    ticks = scale.spaced(growing(1000), 40)
    assert ticks[0] == 0
    assert ticks[-1] == 1000
    assert np.diff(scale(np.array(ticks))).min() >= 40
    assert float(scale(1e9)) == 700


def test_directions_are_those_of_the_greatest_spread() -> None:
    rows = np.random.default_rng(0).normal(size=(500, 4)) * [1, 5, 0.1, 2]
    axes, shares = directions(rows - rows.mean(0))
    assert np.abs(axes[:, 0]).argmax() == 1
    assert np.abs(axes[:, 1]).argmax() == 3
    assert 1 > sum(shares) > shares[0] > shares[1]
    assert directions(np.ones((3, 1)) * [[1], [-2], [1]])[1] == (1.0, 0.0)


def test_parts_add_up_as_shown() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        amounts = (rng.exponential(5, rng.integers(1, 9)) ** 2).tolist()
        shown = [float(each.replace(",", "")) for each in words.parts(amounts)]
        assert sum(shown) == pytest.approx(round(sum(amounts), 2), abs=1e-6)
        assert np.abs(np.array(shown) - amounts).max() <= 0.01


def test_markup_escapes_everything_else() -> None:
    assert tag("a", "<", href='"x') == '<a href="&quot;x">&lt;</a>'
    assert joined(tag("b", 1), [" & ", None, False]) == "<b>1</b> &amp; "
    assert name("x" * 80) == f'<bdi title="{"x" * 80}">{"x" * 59}…</bdi>'
    assert name("a\x00\ud800_b") == "<bdi>a��_<wbr/>b</bdi>"
    assert cell("−1.5 × 10⁻⁷") == '<span class="figure">−1.5 × 10⁻⁷</span>'
    assert cell("1<2") == "<bdi>1&lt;2</bdi>"


def images(rows: int, seed: int = 0) -> np.ndarray:
    """Two channels of smooth patterns, 9 x 7."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, 3)) @ rng.normal(size=(3, 126)) + 0.1 * rng.normal(size=(rows, 126))).reshape(
        rows, 2, 9, 7
    )


@pytest.mark.parametrize("shape", [(2, 9, 7), (2, 63)], ids=["image", "series"])
def test_what_is_strange_is_drawn(shape: tuple[int, ...], tmp_path: Path) -> None:
    rows = images(200).reshape(200, *shape)
    detector = AnomalyDetector("Linear", random_state=0).fit(rows)
    rows[7] += 20 * (np.arange(126).reshape(shape) == 30)
    report.write(detector, rows, tmp_path / "r.html", top=2)
    page = Parsed((tmp_path / "r.html").read_text())
    assert ("img" if len(shape) == 3 else "path") in page.elements
    assert any(text.startswith("Row 7") for text in page.texts)
    assert (tmp_path / "r.html").stat().st_size < LIMIT


def test_a_value_between_gaps_is_drawn_and_a_long_line_keeps_its_ends() -> None:
    alone = str(pictures._line(np.array([np.nan, 1.0, np.nan, 0.0, 1.0]), 0.0, 1.0, "line"))
    assert alone.count("M") == 2 and alone.count("h1") == 1 and alone.count("L") == 1
    long = np.zeros(100_000)
    long[31_415], long[:1000] = 9.0, np.nan
    ends = pictures._ends(long)
    assert len(ends) == 640 and np.nanmax(ends) == 9.0 and np.isnan(ends[:2]).all()


def test_a_gap_that_stays_is_no_change(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 1, 12))
    rows[:, 0, 3:6] = np.nan
    table = pa.table({"x0": grid_column(rows[:, 0])})
    denoiser = Denoiser("Linear", random_state=0).fit(rows)
    (drawn,) = pictures.restored(denoiser, table.slice(0, 1), denoiser.transform(table.slice(0, 1)))
    imputer = Imputer("Linear", random_state=0).fit(rows)
    (filled,) = pictures.restored(imputer, table.slice(0, 1), imputer.transform(table.slice(0, 1)), gaps=1.0)
    places = [f'x="{place * 640 / 12:.1f}"' for place in (3, 4, 5)]
    assert not any(each in str(drawn) for each in places) and all(each in str(filled) for each in places)


def test_pictures_are_png() -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (5, 3, 3)).astype(float)
    pil = pytest.importorskip("PIL.Image")
    assert np.array_equal(np.asarray(pil.open(io.BytesIO(pictures.png(drawn)))), drawn)


def test_large_images_are_shrunk_to_means() -> None:
    values = np.arange(200.0 * 100).reshape(200, 100)
    small = pictures.shrunk(values)
    assert small.shape == (66, 33)
    assert np.isclose(small[0, 0], values[:3, :3].mean())
    assert np.array_equal(pictures.shrunk(values[:72, :72]), values[:72, :72])


def test_heat_is_where_it_is() -> None:
    heat = np.zeros((4, 4))
    heat[1, 2] = 3.0
    marked = pictures.heated(np.zeros((4, 4, 3)), heat)
    assert np.array_equal(marked[1, 2], pictures.MARK)
    assert np.array_equal(marked[0, 0], [150, 150, 150])


def test_filled_images_are_shown_before_and_after(tmp_path: Path) -> None:
    rows = images(60)
    imputer = Imputer("Linear", random_state=0).fit(rows)
    rows[5, :, 2:4, 2:4] = np.nan
    report.write(imputer, rows, tmp_path / "r.html")
    page = Parsed((tmp_path / "r.html").read_text())
    assert "8 gaps filled" in page.texts
    assert page.elements.count("img") == 3


@pytest.mark.parametrize("kind", ["table", "image"])
def test_a_denoiser_tells_what_it_changed(kind: str, tmp_path: Path) -> None:
    rows = rows_of(120) if kind == "table" else images(120)
    denoiser = Denoiser("Linear", random_state=0).fit(rows)
    report.write(denoiser, rows, tmp_path / "r.html")
    page = Parsed((tmp_path / "r.html").read_text())
    assert "120 rows cleaned" in page.texts
    assert ("img" in page.elements) == (kind == "image")
    assert "Changes by column" in page.texts
    assert "Diagnosis of the fit" in page.texts
    values = 120 if kind == "table" else 120 * rows[0, 0].size
    assert any(f"show {values:,} values of each column" in text for text in page.texts)


def test_one_row_far_out_is_told_though_one_may_be_chance(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(400, 4))
    detector = AnomalyDetector("Linear", threshold=0.01, random_state=0).fit(rows)
    few = np.vstack([np.zeros((200, 4)), np.full((1, 4), 60.0)])
    for new, told in ((few, True), (few[:200], False)):
        report.write(detector, new, tmp_path / "r.html")
        assert ("far beyond the others" in (tmp_path / "r.html").read_text()) == told
