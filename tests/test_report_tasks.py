"""The reports of embedders, clusterers and synthesizers: true to the task, safe with hostile data, small."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import ks_2samp
from sklearn.datasets import load_digits, load_wine
from sklearn.metrics import r2_score
from sklearn.neighbors import NearestNeighbors
from test_report import HOSTILE, LIMIT, Parsed, figure, plain, rows_of, written

from diabolo import Clusterer, Embedder, Synthesizer, report
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.evaluate import association, clustering, embedding
from diabolo.report.encoded import blind
from diabolo.report.heatmaps import HeatMap
from diabolo.report.maps import BANDS, COLOURS, Colouring, KindMap
from diabolo.report.numbers import even
from diabolo.report.traits import Sums
from diabolo.report.twins import Twin
from diabolo.report.words import fixed, number, percent
from diabolo.schema import Column, Schema, numbers
from diabolo.tasks.task import Task

KINDS = (Embedder, Clusterer, Synthesizer)
SEVERAL = {"Clusterer": {"clusters": 3}}


def wine() -> pa.Table:
    loaded = load_wine(as_frame=True)
    table = pa.Table.from_pandas(loaded.data, preserve_index=False)
    return table.append_column("kind", pa.array([str(loaded.target_names[each]) for each in loaded.target]))


def fitted(kind: type[Task], rows: object, **params: object) -> Task:
    return kind("Linear", random_state=0, **SEVERAL.get(kind.__name__, {}), **params).fit(rows)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return fitted(Embedder, wine(), ignore=("kind",))


@pytest.fixture(scope="module")
def clusterer() -> Clusterer:
    return fitted(Clusterer, wine(), ignore=("kind",))


@pytest.fixture(scope="module")
def synthesizer() -> Synthesizer:
    return fitted(Synthesizer, wine())


@pytest.fixture(scope="module")
def hostile() -> dict[type[Task], Task]:
    return {kind: fitted(kind, rows_of(300)) for kind in KINDS}


def cells(html: str, section: str, place: int = 0) -> list[list[str]]:
    """The texts of the cells of one table of a section."""
    part = html[html.index(f'<section id="{section}"') :]
    part = part[: part.index("</section>")]
    body = re.findall(r"<tbody>(.*?)</tbody>", part, re.DOTALL)[place]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [[plain(each) for each in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)] for row in rows]


def share(told: str) -> float:
    return float(told.replace("\N{NARROW NO-BREAK SPACE}", "").replace(" ", "").rstrip("%")) / 100


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 2, 5, 60])
def test_any_number_of_hostile_rows(
    kind: type[Task], count: int, hostile: dict[type[Task], Task], tmp_path: Path
) -> None:
    html = written(hostile[kind], rows_of(max(count, 1), seed=1).slice(0, count), tmp_path)
    parsed = Parsed(html)
    assert parsed.elements.count("script") == parsed.elements.count("style") == 1
    assert not [key for key, _ in parsed.attributes if key.startswith("on") or key in ("src", "style")]
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", plain(html))
    assert "Is a deep model worth it here?" in parsed.texts
    assert HOSTILE[0] in parsed.text
    if not count:
        assert "There are no rows to" in parsed.text


@pytest.mark.parametrize("kind", KINDS)
def test_odd_columns(kind: type[Task], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one = pa.table({"a": rng.normal(size=60)})
    words = pa.table({"a": pa.array(rng.choice(["x", "y", HOSTILE[1]], 60))})
    still = pa.table({"a": [1.0] * 30, "b": [2.0] * 30})
    times = pa.table({"a": rng.normal(size=60), "when": pa.array(np.arange(60) * 10**10, pa.timestamp("us"))})
    for rows in (one, words, still, times):
        assert "What it cannot see" in written(fitted(kind, rows), rows, tmp_path)
    two = pa.table({"a": rng.normal(size=60), "b": rng.normal(size=60), "none": pa.nulls(60, pa.float64())})
    task = fitted(kind, two)
    lost = two.set_column(1, "b", pa.nulls(60, pa.float64()))
    for rows in (two, lost):
        assert "every value is missing" in written(task, rows, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_wide_rows_make_no_large_page(kind: type[Task], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(150, 4)) @ rng.normal(size=(4, 300)) + 0.3 * rng.normal(size=(150, 300))
    table = pa.table({f"{HOSTILE[0]}{place}": each for place, each in enumerate(rows.T)})
    assert len(written(fitted(kind, table), table, tmp_path).encode()) < LIMIT


def test_thirty_clusters(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(600, 3)).round()
    task = Clusterer("Linear", clusters=30, random_state=0).fit(rows)
    html = written(task, rows, tmp_path)
    assert len(html.encode()) < LIMIT
    assert len(re.findall(r'<details id="cluster-\d+"', html)) == len(np.unique(task.predict(rows))) > COLOURS


@pytest.mark.parametrize("kind", KINDS)
def test_is_the_same_however_the_rows_come(kind: type[Task], tmp_path: Path) -> None:
    task, rows = fitted(kind, wine(), ignore=("kind",)), wine()
    pq.write_table(rows, tmp_path / "rows.parquet", row_group_size=7)
    pages = [written(task, each, tmp_path) for each in (rows, tmp_path / "rows.parquet")]
    named = r"<wbr/>|a table in memory|rows\.(<wbr/>)?parquet"
    assert len({re.sub(named, "", each) for each in pages}) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 9, 7), (2, 63)], ids=["image", "series"])
def test_images_and_series_are_drawn(kind: type[Task], shape: tuple[int, ...], tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(90, *shape)).cumsum(-1)
    rows[3, 0] = np.nan
    html = written(fitted(kind, rows), rows, tmp_path)
    assert html.count("<img" if len(shape) == 3 else "thumb") > 12
    assert len(html.encode()) < LIMIT


def test_digits_as_images(tmp_path: Path) -> None:
    rows = load_digits().images[:400, None]
    embedded = written(fitted(Embedder, rows), rows, tmp_path)
    assert Parsed(embedded).elements.count("img") == 8 * 3 + 4 * 5
    grouped = written(fitted(Clusterer, rows), rows, tmp_path)
    assert re.findall(r"<figcaption>mean</figcaption>", grouped) == ["<figcaption>mean</figcaption>"] * 3
    made = written(fitted(Synthesizer, rows), rows, tmp_path)
    assert Parsed(made).elements.count("img") == 2 * 24


def test_labels_are_refused_where_they_have_no_say(synthesizer: Synthesizer, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="a detector, a clusterer or an embedder"):
        written(synthesizer, wine(), tmp_path, labels="kind")
    assert not list(tmp_path.iterdir())


def test_an_error_names_the_row_of_the_file(embedder: Embedder, tmp_path: Path) -> None:
    rows = wine().set_column(0, "alcohol", pa.array([1.0] * 150 + [np.inf] * 28))
    pq.write_table(rows, tmp_path / "rows.parquet", row_group_size=40)
    with pytest.raises(InvalidData, match=r"rows\.parquet, row 151"):
        report.write(embedder, tmp_path / "rows.parquet", tmp_path / "r.html")


# embedders


def test_what_codes_keep_is_what_they_restore(embedder: Embedder, tmp_path: Path) -> None:
    rows = wine()
    told = {row[0]: row for row in cells(written(embedder, rows, tmp_path), "kept")}
    restored = embedder.reconstruct(rows)
    for name in rows.column_names[:-1]:
        true, made = rows[name].to_numpy(), restored[name].to_numpy()
        assert share(told[name][2]) == pytest.approx(r2_score(true, made), abs=0.006)
        assert float(told[name][4].removeprefix("± ")) == pytest.approx(np.sqrt(np.mean((true - made) ** 2)), rel=0.01)


def test_a_linear_embedder_keeps_what_pca_keeps(embedder: Embedder, tmp_path: Path) -> None:
    for row in cells(written(embedder, wine(), tmp_path), "kept"):
        assert row[2] == row[3]


def test_a_lost_category_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    line = rng.normal(size=400)
    table = pa.table({"a": line, "b": 2 * line, "c": -line, "dice": pa.array(rng.choice(["x", "y", "z"], 400))})
    task = fitted(Embedder, table).set_params(variant__latent=1).fit(table)
    told = {row[0]: row for row in cells(written(task, table, tmp_path), "kept")}
    assert share(told["a"][2]) > 0.9
    true, made = (np.array(each["dice"].to_pylist()) for each in (table, task.reconstruct(table)))
    wrong = percent(float((true != made).mean())).replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert told["dice"][4] == f"wrong in {wrong}"
    assert told["dice"][2] in ("0", "worse") or share(told["dice"][2]) < 0.2


def test_neighbours_are_the_nearest_codes(embedder: Embedder, tmp_path: Path) -> None:
    rows, near = wine(), cells(written(embedder, wine(), tmp_path), "near")
    search = NearestNeighbors(n_neighbors=5).fit(embedder.encode(rows))
    for start in range(0, len(near), 5):
        asked = int(near[start][0])
        away, found = search.kneighbors(embedder.encode(rows)[asked : asked + 1])
        assert [int(row[0]) for row in near[start : start + 5]] == found[0].tolist()
        assert [row[1] for row in near[start + 1 : start + 5]] == [number(each, 3) for each in away[0, 1:].tolist()]


def test_labels_are_told_by_codes(embedder: Embedder, tmp_path: Path) -> None:
    rows = wine()
    html = written(embedder, rows, tmp_path, labels="kind")
    shown = cells(html, "labels")
    figures = embedding(rows["kind"], embedder.encode(rows))
    # folds depend on the order of the rows, so the figures agree up to a few rows
    assert share(shown[0][1]) == pytest.approx(figures["knn_accuracy"].value, abs=0.03)
    assert "Coloured by kind" in plain(html)
    assert len(set(re.findall(r'class="dots[^"]* (k-\d)"', html))) == 3
    few = rows.slice(0, 3)
    assert "There is nothing to compare" in plain(written(embedder, few, tmp_path, labels="kind"))


def test_learned_labels_are_told(tmp_path: Path) -> None:
    for kind in (Embedder, Clusterer):
        html = written(fitted(kind, wine()), wine(), tmp_path, labels="kind")
        assert "has learned from the column 'kind' itself" in plain(html)


def test_dead_and_doubled_numbers_are_seen(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6))
    task = fitted(Embedder, rows).set_params(variant__latent=4).fit(rows)
    text = plain(written(task, rows, tmp_path))
    assert "2 of 3 numbers move with the rows" in text
    assert text.count(" dead") == 1


def test_the_map_is_coloured_by_the_column_in_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    line = rng.normal(size=300)
    parts = {f"part {i}": line + 0.2 * rng.normal(size=300) for i in range(5)}
    noise = {f"noise {i}": rng.normal(size=300) for i in range(6)}
    table = pa.table({**noise, **parts})
    text = plain(written(fitted(Embedder, table), table, tmp_path))
    assert re.search(r"Coloured by part \d", text)


def test_even_counts_equal_numbers() -> None:
    z = np.random.default_rng(0).normal(size=(4000, 5))
    assert even(z) == pytest.approx(5, abs=0.1)
    assert even(np.column_stack((z, z))) == pytest.approx(5, abs=0.1)
    assert even(np.ones((4, 2))) == 0


def test_blind_is_the_best_constant() -> None:
    kind = Column("k", "category", categories=("on", "off", "(unseen)"))
    count = Column("c", "count", scale=2.0)
    x = np.array([[0.0, 0.0], [0.0, np.e - 1], [1.0, np.nan]])
    assert blind([kind, count], x).round(6).tolist() == [0.333333, 0.0625]


# clusterers


def test_sizes_and_profiles_are_those_of_the_clusters(clusterer: Clusterer, tmp_path: Path) -> None:
    rows = wine()
    own, html = clusterer.predict(rows), written(clusterer, rows, tmp_path)
    assert f"<h1>178 rows in {len(np.unique(own))} clusters</h1>" in html
    assert [int(row[1]) for row in cells(html, "sizes")] == np.bincount(own).tolist()
    cards = re.findall(r'<details id="cluster-(\d+)".*?</details>', html, re.DOTALL)
    assert [int(each) for each in cards] == np.argsort(-np.bincount(own), kind="stable").tolist()
    for cluster, card in zip(cards, re.findall(r"<details id=.*?</details>", html, re.DOTALL), strict=True):
        for name, here, everywhere, _, apart in cells(f'<section id="x">{card}</section>', "x"):
            values = rows[name].to_numpy()
            mean = values[own == int(cluster)].mean()
            assert figure(here) == pytest.approx(mean, rel=1e-3)
            assert figure(everywhere) == pytest.approx(values.mean(), rel=1e-3)
            assert float(apart.replace("−", "-")) == pytest.approx((mean - values.mean()) / values.std(), abs=0.051)


def test_typical_rows_are_of_their_cluster(clusterer: Clusterer, tmp_path: Path) -> None:
    own, html = clusterer.predict(wine()), written(clusterer, wine(), tmp_path)
    for card in re.findall(r"<details id=.*?</details>", html, re.DOTALL):
        cluster = int(re.search(r"cluster-(\d+)", card)[1])
        typical = [int(row[0]) for row in cells(f'<section id="x">{card}</section>', "x", 1)]
        assert set(own[typical]) == {cluster}


def test_doubtful_rows_are_the_least_certain(clusterer: Clusterer, tmp_path: Path) -> None:
    sure = clusterer.predict_proba(wine()).max(1)
    html = written(clusterer, wine(), tmp_path)
    doubtful = int((sure < 0.6).sum())
    if not doubtful:
        assert "No row has less than 60" in plain(html)
        return
    told = [int(row[0]) for row in cells(html, "doubtful")]
    assert sorted(sure[told]) == sorted(sure)[: min(10, doubtful)]


def test_clusters_are_compared_with_labels(clusterer: Clusterer, tmp_path: Path) -> None:
    rows = wine()
    own, html = clusterer.predict(rows), written(clusterer, rows, tmp_path, labels="kind")
    figures = clustering(rows["kind"], own)
    assert [row[1] for row in cells(html, "labels")] == [fixed(each.value, 3) for each in figures.values()]
    kinds = np.array(rows["kind"].to_pylist())
    crossed = [[0 if each == "·" else int(each) for each in row[1:]] for row in cells(html, "labels", 1)]
    both = [[(own == one) & (kinds == kind) for kind in sorted(set(kinds))] for one in np.unique(own)]
    assert crossed == [[int(each.sum()) for each in line] for line in both]
    gone = rows.set_column(13, "kind", pa.nulls(178, pa.string()))
    assert "No row has a label" in plain(written(clusterer, gone, tmp_path, labels="kind"))


def test_sums_do_not_depend_on_the_cuts() -> None:
    rng = np.random.default_rng(0)
    x, group = rng.normal(size=(90, 3)), rng.integers(0, 4, 90)
    x[rng.random(x.shape) < 0.2] = np.nan
    whole, pieces = Sums(numbers(3), 4), Sums(numbers(3), 4)
    whole.add(x, group)
    for start in range(0, 90, 7):
        pieces.add(x[start : start + 7], group[start : start + 7])
    assert np.allclose(whole.means, pieces.means)
    assert np.allclose(whole.means[2], np.nanmean(x[group == 2], 0))
    assert pieces.strengths(1) == pytest.approx(whole.strengths(1))


def test_a_trait_of_a_category_is_the_one_that_differs() -> None:
    kinds = Column("k", "category", source="k", categories=("on", "off", "(unseen)"))
    sums = Sums(Schema((kinds,), sources=("k",)), 2)
    sums.add(np.array([[0.0]] * 8 + [[1.0]] * 2 + [[0.0]] * 2), np.array([0] * 8 + [1] * 4))
    (trait,) = sums.traits(1)
    assert "off" in trait.here and "50" in trait.here
    assert trait.strength == pytest.approx((0.5 - 1 / 6) / np.sqrt(5 / 36))


# synthesizers


def test_distances_of_columns_are_those_of_kolmogorov_and_smirnov() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=300), rng.normal(0.4, 1, 200)
    assert Twin(Column("a"), one, other).apart == pytest.approx(ks_2samp(one, other).statistic)
    kind = Column("k", "category", categories=("on", "off", "(unseen)"))
    assert Twin(kind, np.array([0.0, 0, 1, 1]), np.array([0.0, 0, 0, 1])).apart == pytest.approx(0.25)
    assert np.isnan(Twin(kind, np.empty(0), np.array([1.0])).apart)
    assert "nan" not in Twin(kind, np.empty(0), np.array([1.0])).draw()


def test_the_worst_column_comes_first(synthesizer: Synthesizer, tmp_path: Path) -> None:
    rows = wine().set_column(4, "magnesium", pa.array(np.full(178, 300.0)))
    html = written(synthesizer, rows, tmp_path)
    apart = [float(each) for each in re.findall(r"apart (\d\.\d\d)", html)]
    assert apart == sorted(apart, reverse=True)
    assert apart[0] == 1
    assert re.search(r'class="twins"><figure><figcaption><b><bdi>magnesium', html)


def test_real_rows_are_as_like_as_real_rows(synthesizer: Synthesizer, tmp_path: Path) -> None:
    told = cells(written(synthesizer, wine(), tmp_path), "alike")
    new, real = (float(told[0][place]) for place in (1, 2))
    assert real == pytest.approx(0.5, abs=0.12)
    assert 0 <= new <= 1
    far = written(synthesizer, shifted(wine(), 50.0), tmp_path)
    assert float(cells(far, "alike")[0][1]) == 1


def shifted(rows: pa.Table, by: float) -> pa.Table:
    return pa.table({key: rows[key].to_numpy() + by if key != "kind" else rows[key] for key in rows.column_names})


def test_copies_are_found_and_only_where_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = wine().drop_columns(["kind"])
    honest = fitted(Synthesizer, rows)
    assert "None were found" in plain(written(honest, rows, tmp_path))
    assert "That cannot be told here" in plain(written(honest, rows.slice(1), tmp_path))
    assert "That cannot be told here" in plain(written(honest, shifted(rows, 1.0), tmp_path))
    learned = rows.take(pa.array(honest.parted(rows)[0]))
    monkeypatch.setattr(Synthesizer, "batches", lambda self, n, seed=0: iter(learned.combine_chunks().to_batches()))
    assert "Perhaps" in plain(written(honest, rows, tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_the_fit_are_known_again(kind: type[Task], tmp_path: Path) -> None:
    rows = wine()
    task = fitted(kind, rows)
    train, held_out = task.parted(rows)
    assert sorted([*train, *held_out]) == list(range(178))
    assert len(held_out) == task.card()["data"]["held out"]
    pq.write_table(rows, tmp_path / "rows.parquet")
    assert np.array_equal(task.parted(tmp_path / "rows.parquet")[1], held_out)
    assert task.parted(rows.slice(0, 177)) is None
    assert task.parted(rows.take(pa.array([*range(177), 5]))) is None
    assert fitted(kind, rows.slice(0, 3)).parted(rows.slice(0, 3)) is None


# charts


def test_colours_of_kinds() -> None:
    many = Colouring.of([f"kind {i % 30:02d}" for i in range(100)])
    assert len(many.names) == COLOURS
    assert (many.kinds < 0).any() and "other or missing" in many.legend()
    few = Colouring.of([True, False, None, True])
    assert few.names == ["true", "false"] and few.kinds.tolist() == [0, 1, -1, 0]
    scale = Colouring.of([*np.arange(100.0).tolist(), None])
    assert scale.ordered and len(scale.names) == BANDS
    assert np.bincount(scale.kinds[:-1]).tolist() == [20] * 5 and scale.kinds[-1] == -1
    assert Colouring.of([None, None]).style(-1) == "k-all"
    assert Colouring.of([2, 10, 1]).names == ["1", "2", "10"]


def test_kinds_are_counted_in_one_pass(compared: Any) -> None:
    Colouring.of([compared(each) for each in range(2000)])
    assert compared.times < 20 * 2000


def test_a_map_draws_every_point_once() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(257, 2))
    chart = KindMap(points, Colouring(rng.integers(-1, 3, 257), ["a", "b", "c"]), ("one", "two"), ["a", "b", "c"])
    svg = chart.draw(900)
    assert svg.count("h0") == 257
    assert svg.count('class="kind"') == 3


def test_a_heat_map_draws_what_is_not_nothing() -> None:
    values = np.array([[np.nan, 1.0, -1.0], [0.01, 0.5, 5.0]])
    for width in (900, 350):
        svg = HeatMap(values, ["up", "down"], ["a", "b", "c"], ("less", "more"), "told").draw(width)
        assert "nan" not in svg
        assert sum(each.count("z") for each in re.findall(r'<path d="([^"]*)"', svg)) == 4
    wide = HeatMap(np.ones((80, 80)), ["n" * 30] * 80, ["n" * 30] * 80, ("less", "more"), "told").draw(350)
    assert "nnn" not in wide
    assert max(float(x) for x in re.findall(r"M([\d.]+) ", wide)) < 350


def blocks() -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    a = rng.normal(size=400)
    kinds = rng.integers(0, 3, 400)
    two = np.eye(2)[(kinds == 1).astype(int)]
    yield np.column_stack((a, -a + rng.normal(size=400), np.eye(3)[kinds], two, np.ones(400)))
    yield kinds


def test_association_of_columns_of_any_kind() -> None:
    features, kinds = blocks()
    found = association(features, [0, 1, 2, 2, 2, 3, 3, 4])
    assert found[0, 1] == pytest.approx(np.corrcoef(features[:, 0], features[:, 1])[0, 1])
    means = np.array([features[kinds == kind, 0].mean() for kind in range(3)])[kinds]
    assert found[0, 2] == pytest.approx(means.std() / features[:, 0].std())
    assert found[2, 3] == pytest.approx(1)
    assert np.allclose(found, found.T)
    assert not found[4].any()
