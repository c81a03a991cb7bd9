"""Figures hold what they should: the decoded rows, the labels, the counts; and nothing outside them is touched."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from matplotlib.figure import Figure
from sklearn.exceptions import NotFittedError

from diabolo import AnomalyDetector, Embedder, Trainer, plots
from diabolo.errors import InvalidData, InvalidParameter, MissingExtra
from diabolo.plots import maps
from diabolo.plots.canvas import mosaic
from diabolo.plots.view import View
from diabolo.preparation import Preparation
from diabolo.randomness import seeded
from diabolo.readers import open_source
from diabolo.variants import VAE, VQVAE, TopKDictionary, Vanilla, Variant

DRAWN = ("traversals", "interpolations", "atlas", "reconstructions")


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Images of 3 x 4 cells, row by row."""
    dice = np.random.default_rng(0)
    return 9 + dice.normal(size=(300, 2)) @ dice.normal(size=(2, 12)) + 0.1 * dice.normal(size=(300, 12))


@pytest.fixture(scope="module")
def embedder(rows: np.ndarray) -> Embedder:
    return Embedder(trainer=Trainer(epochs=4), random_state=0).set_params(variant__latent=3).fit(rows)


@pytest.fixture(scope="module")
def tokens(rows: np.ndarray) -> Embedder:
    return Embedder(VQVAE(codes=8), trainer=Trainer(epochs=2), random_state=0).fit(rows)


def grid(rows: np.ndarray, variant: Variant) -> Any:
    """As much of a fitted task as is drawn, for rows on a grid."""
    preparation = Preparation().fit(rows)
    with seeded(0):
        autoencoder = variant.build(preparation.schema_).eval()
    return SimpleNamespace(rows=lambda X: X, preparation_=preparation, autoencoder_=autoencoder)


def image(figure: Figure, axes: int = 0) -> np.ndarray:
    return np.ma.filled(figure.axes[axes].images[0].get_array().astype(float), np.nan)


def rendered(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=40)
    return file.getvalue()


def test_a_traversal_decodes_the_quantiles_of_one_number(embedder: Embedder, rows: np.ndarray) -> None:
    """Cut into its cells again, a strip is what inverse_transform makes of the moved codes."""
    picture = image(plots.traversals(embedder, rows, shape=(3, 4), row=7, numbers=2, steps=5))
    z = embedder.transform(rows)
    first = z.std(0).argmax()
    moved = np.tile(z[7], (5, 1))
    moved[:, first] = np.quantile(z[:, first], np.linspace(0.02, 0.98, 5))
    expected = embedder.inverse_transform(moved)
    assert picture.shape == (2 * 3 + 1, 5 * 4 + 4) and np.isnan(picture[3]).all()
    np.testing.assert_allclose(picture[:3, :4].ravel(), expected[0], rtol=1e-5)
    np.testing.assert_allclose(picture[:3, -4:].ravel(), expected[-1], rtol=1e-5)


def test_an_interpolation_starts_and_ends_at_its_rows(embedder: Embedder, rows: np.ndarray) -> None:
    picture = image(plots.interpolations(embedder, rows, [(2, 9)], shape=(3, 4), steps=4))
    np.testing.assert_allclose(picture[:, :4].ravel(), rows[2])
    np.testing.assert_allclose(picture[:, -4:].ravel(), rows[9])
    restored = embedder.reconstruct(rows)[[2, 9]]
    np.testing.assert_allclose(picture[:, 5:9].ravel(), restored[0], rtol=1e-5)
    np.testing.assert_allclose(picture[:, -9:-5].ravel(), restored[1], rtol=1e-5)


def test_an_atlas_of_two_numbers_has_the_first_to_the_right_and_the_second_up(rows: np.ndarray) -> None:
    embedder = Embedder("Linear", random_state=0).set_params(variant__latent=2).fit(rows)
    figure = plots.atlas(embedder, rows, shape=(3, 4), side=3)
    z = embedder.transform(rows)
    low, high = np.quantile(z, [0.02, 0.98], axis=0)
    corner = embedder.inverse_transform([[high[0], low[1]]])
    np.testing.assert_allclose(image(figure)[-3:, -4:].ravel(), corner[0], rtol=1e-5)
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("z0", "z1")


def test_reconstructions_of_images_show_rows_differences_and_errors(embedder: Embedder, rows: np.ndarray) -> None:
    figure = plots.reconstructions(embedder, rows, shape=(3, 4), rows=2)
    np.testing.assert_allclose(image(figure, 0)[:, :4].ravel(), rows[0])
    np.testing.assert_allclose(image(figure, 1)[:, :4].ravel(), embedder.reconstruct(rows[:1])[0], rtol=1e-5)
    np.testing.assert_allclose(image(figure, 2), image(figure, 1) - image(figure, 0), atol=1e-9)
    with torch.no_grad():
        errors = embedder.autoencoder_(embedder.preparation_.transform(rows[:1])).errors[0].numpy()
    np.testing.assert_allclose(image(figure, 3)[:, :4].ravel(), errors, atol=1e-5)


def test_a_cell_that_the_model_set_aside_is_that_of_the_row(rows: np.ndarray) -> None:
    """Text in a table, such as a name, cannot be an image; a column without a value can, and stays empty."""
    empty = rows.copy()
    empty[:, 11] = np.nan
    embedder = Embedder("Linear", random_state=0).fit(empty)
    assert "x11" in embedder.preparation_.schema_.dropped
    figure = plots.reconstructions(embedder, empty, shape=(3, 4), rows=1)
    assert np.isnan(image(figure, 1)).sum() == 1 and np.isnan(image(figure, 1)[2, 3])
    counted = pd.DataFrame(rows[:, :11]).rename(columns=str).assign(id=np.arange(300))
    embedder = Embedder("Linear", random_state=0).fit(counted)
    assert "id" in embedder.preparation_.schema_.dropped
    assert image(plots.traversals(embedder, counted, shape=(3, 4), row=7))[2, [3, 8]].tolist() == [7, 7]
    named = pd.DataFrame(rows).rename(columns=str).assign(name=[f"row {i}" for i in range(300)])
    with pytest.raises(InvalidData, match="made of numbers"):
        plots.atlas(Embedder("Linear", random_state=0).fit(named), named, shape=(13, 1))


def test_reconstructions_of_a_table_are_maps_of_its_columns() -> None:
    dice = np.random.default_rng(0)
    table = pd.DataFrame({"a number of a long name": dice.normal(size=90), "kind": dice.choice(["x", "y"], 90)})
    table["often"] = dice.negative_binomial(1, 0.05, 90) * 100
    table.iloc[3, 0] = np.nan
    embedder = Embedder("Linear", random_state=0).fit(table)
    figure = plots.reconstructions(embedder, table, rows=5)
    assert [each.get_text() for each in figure.axes[0].get_xticklabels()] == ["a number of a l…", "kind", "often"]
    given, errors = image(figure, 0), image(figure, 3)
    assert given.shape == (5, 3) and np.isnan(given[3, 0]) and np.isnan(errors[3, 0])
    assert set(given[:, 1]) <= {-1.0, 0.0, 1.0} and np.abs(given[:, 2]).max() < 5


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("shape", [None, (3, 4), (3, 2, 2)])
def test_every_picture_of_a_table_renders(
    name: str, shape: tuple[int, ...] | None, embedder: Embedder, rows: np.ndarray
) -> None:
    figure = getattr(plots, name)(embedder, rows, shape=shape)
    assert len(rendered(figure)) > 800


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize(
    "cells", [(2, 12), (1, 8, 8), (3, 8, 8), (2, 8, 8)], ids=["series", "grey", "colours", "others"]
)
def test_every_picture_of_a_grid_renders(name: str, cells: tuple[int, ...]) -> None:
    task = grid(np.random.default_rng(0).normal(size=(20, *cells)), Vanilla(latent=3))
    assert (
        len(rendered(getattr(plots, name)(task, task.rows(np.random.default_rng(1).normal(size=(20, *cells)))))) > 800
    )


def test_images_and_lines_are_told_apart(rows: np.ndarray, embedder: Embedder) -> None:
    assert View(embedder, rows, (3, 4)).images and not View(embedder, rows).images
    task = grid(np.random.default_rng(0).normal(size=(20, 3, 8, 8)), Vanilla(latent=2))
    x = np.random.default_rng(0).normal(size=(4, 3, 8, 8))
    np.testing.assert_allclose(View(task, x).given(np.array([2]))[0], np.moveaxis(x[2], 0, -1))
    with pytest.raises(InvalidParameter, match="12 columns"):
        View(embedder, rows, (5, 5))
    with pytest.raises(InvalidParameter, match="3 columns"):
        View(task, x, (3, 64))


def test_a_mosaic_is_made_of_its_cells() -> None:
    cells = np.arange(2 * 3 * 4 * 5, dtype=float).reshape(2, 3, 4, 5)
    whole = mosaic(cells)
    assert whole.shape == (2 * 4 + 1, 3 * 5 + 2)
    np.testing.assert_array_equal(whole[5:, 6:11], cells[1, 1])
    assert np.isnan(whole[4]).all() and np.isnan(whole[:, 5]).all()


@pytest.mark.parametrize("name", DRAWN[:3])
def test_tokens_are_not_walked_along(name: str, tokens: Embedder, rows: np.ndarray) -> None:
    with pytest.raises(InvalidParameter, match="tokens"):
        getattr(plots, name)(tokens, rows)
    assert plots.reconstructions(tokens, rows).axes


@pytest.mark.parametrize("name", DRAWN[:3])
def test_several_codes_are_refused(name: str, rows: np.ndarray) -> None:
    ensemble = Embedder(Vanilla(members=2), trainer=Trainer(epochs=1), random_state=0).fit(rows)
    with pytest.raises(InvalidParameter, match="members=1"):
        getattr(plots, name)(ensemble, rows)


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_is_drawn_before_a_fit(name: str, rows: np.ndarray) -> None:
    with pytest.raises(NotFittedError):
        getattr(plots, name)(Embedder(), rows)


def test_what_cannot_be_drawn_is_refused(embedder: Embedder, rows: np.ndarray) -> None:
    one = Embedder("Linear", random_state=0).set_params(variant__latent=1).fit(rows)
    with pytest.raises(InvalidParameter, match="traversals instead"):
        plots.atlas(one, rows)
    with pytest.raises(InvalidData, match="2 rows or more"):
        plots.atlas(embedder, rows[:1])
    with pytest.raises(InvalidParameter, match="no row 300"):
        plots.interpolations(embedder, rows, [(0, 300)])
    with pytest.raises(InvalidParameter, match="no row -1"):
        plots.traversals(embedder, rows, row=-1)
    with pytest.raises(InvalidParameter, match="int >= 1"):
        plots.traversals(embedder, rows, steps=0)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["b", "a"] * 30, ["a", "b"]),
        ([10, 9, 2] * 20, ["2", "9", "10"]),
        ([True, False] * 30, ["False", "True"]),
        ([*["a"] * 58, None, np.nan], ["others", "a"]),
        ([str(i % 30) for i in range(60)], None),
        (np.linspace(0, 1, 60), []),
        (pa.array([*range(59), None]), []),
        (None, []),
    ],
    ids=["names", "numbers", "flags", "gaps", "many", "scale", "scale with a gap", "nothing"],
)
def test_maps_are_coloured_by_anything(labels: Any, told: list[str] | None) -> None:
    figure = plots.latent_map(np.random.default_rng(0).normal(size=(60, 3)), labels)
    legend = figure.axes[0].get_legend()
    names = [] if legend is None else [each.get_text() for each in legend.get_texts()]
    assert names == told if told is not None else (len(names) == 21 and names[0] == "others")
    assert len(figure.axes) == (2 if labels is not None and not names else 1)
    places = [each.get_offsets() for each in figure.axes[0].collections]
    assert sum(len(np.ma.compressed(each)) // 2 for each in places) == 60
    assert len(rendered(figure)) > 800


def test_labels_are_counted_in_one_pass(compared: Any) -> None:
    labels = np.array([compared(each) for each in range(2000)], dtype=object)
    maps._kinds(Figure().subplots(), np.random.default_rng(0).normal(size=(2000, 2)), labels, {})
    assert compared.times < 100 * 2000


def test_two_numbers_lie_where_they_say_and_more_at_their_components() -> None:
    codes = np.random.default_rng(0).normal(size=(40, 2)) * [5, 1]
    flat = plots.latent_map(codes).axes[0]
    np.testing.assert_allclose(flat.collections[0].get_offsets(), codes)
    wide = plots.latent_map(np.hstack([0 * codes, codes]), by="pca").axes[0]
    found = np.asarray(wide.collections[0].get_offsets())
    np.testing.assert_allclose(found.var(0).sum(), codes.var(0).sum(), rtol=1e-6)
    assert plots.latent_map(codes[:, :1]).axes[0].get_xlabel() == "z0"


@pytest.mark.parametrize("by", ["tsne", "umap"])
def test_neighbours_stay_together(by: Any) -> None:
    pytest.importorskip("umap" if by == "umap" else "sklearn")
    codes = np.random.default_rng(0).normal(size=(90, 5)) + 20 * np.repeat(np.eye(5)[:3], 30, 0)
    state, threads = np.random.get_state()[1].copy(), torch.get_num_threads()
    places = np.asarray(plots.latent_map(codes, by=by, seed=1).axes[0].collections[0].get_offsets())
    assert (np.random.get_state()[1] == state).all()
    assert torch.get_num_threads() == threads
    apart = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(90)
    assert (apart.argmin(1) // 30 == np.arange(90) // 30).all()


def test_many_codes_are_drawn_in_part() -> None:
    labels = np.arange(12_000) % 2
    codes = np.stack([labels, np.arange(12_000)], 1)
    dots = plots.latent_map(codes, labels).axes[0].collections[0]
    assert len(dots.get_offsets()) == 10_000
    assert (
        len({tuple(each) for each, (kind, _) in zip(dots.get_facecolors(), dots.get_offsets(), strict=True) if kind})
        == 1
    )


@pytest.mark.parametrize(
    ("codes", "labels", "by", "wrong", "said"),
    [
        (np.zeros((2, 3)), None, "pca", InvalidData, "3 rows"),
        (np.full((5, 3), np.nan), None, "pca", InvalidData, "NaN"),
        (np.zeros((5, 3)), [1, 2], "pca", InvalidData, "5 codes and 2 labels"),
        (np.zeros((5, 3)), None, "lle", InvalidParameter, "pca, tsne, umap"),
    ],
)
def test_other_maps_are_refused(codes: Any, labels: Any, by: Any, wrong: type[Exception], said: str) -> None:
    with pytest.raises(wrong, match=said):
        plots.latent_map(codes, labels, by=by)


def test_a_map_of_equal_codes() -> None:
    for by in ("pca", "tsne"):
        axes = plots.latent_map(np.ones((10, 4)), by=by).axes[0]
        assert len(np.unique(axes.collections[0].get_offsets(), axis=0)) == 1


def test_the_curve_of_further_trainings_goes_on() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 4))
    detector = AnomalyDetector(trainer=Trainer(epochs=4), random_state=0).fit(rows)
    detector.partial_fit(rows + 9)
    training, held_out = plots.training_curve(detector).axes[0].lines
    count = len(detector.history_)
    assert training.get_xdata().tolist() == list(range(1, count + 1)) and count > 4
    kept = 5 + int(np.argmin(held_out.get_ydata()[4:]))
    assert f"kept: epoch {kept}" in plots.training_curve(detector).axes[0].get_legend_handles_labels()[1]


def test_no_epoch_of_a_further_training_is_marked_where_none_was_judged() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 4))
    detector = AnomalyDetector(trainer=Trainer(epochs=4), random_state=0).fit(rows)
    detector.history_ += [replace(epoch, valid=None) for epoch in detector.history_[:2]]
    assert plots.training_curve(detector).axes[0].get_legend_handles_labels()[1] == ["training", "held out"]


def test_usage_draws_the_shares() -> None:
    figure = plots.code_usage(np.array([[0, 2], [0, 2], [1, 2], [0, 2]]), codes=4)
    first, second, even = figure.axes[0].lines
    np.testing.assert_allclose(first.get_ydata(), [0.75, 0.25, 0, 0])
    np.testing.assert_allclose(second.get_ydata(), [1, 0, 0, 0])
    assert even.get_ydata()[0] == 0.25 and "38 %" in figure.axes[0].get_title(loc="left")


def test_a_curve_shows_every_epoch_and_marks_the_one_kept(embedder: Embedder, rows: np.ndarray) -> None:
    axes = plots.training_curve(embedder).axes[0]
    valid = [sum(each.valid.values()) for each in embedder.history_]
    np.testing.assert_allclose(axes.lines[1].get_ydata(), valid)
    assert axes.collections[0].get_offsets()[0].tolist() == pytest.approx([np.argmin(valid) + 1, min(valid)])
    assert all(each == round(each) for each in axes.get_xticks())
    with pytest.raises(InvalidParameter, match="no curve"):
        plots.training_curve(Embedder("Linear", random_state=0).fit(rows))


@pytest.fixture(scope="module")
def file(rows: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("rows") / "rows.csv"
    table = pd.DataFrame(rows, columns=[f"x{i}" for i in range(12)])
    table.assign(kind=np.where(rows[:, 0] > 9, "high", "low")).to_csv(place, index=False)
    return place


@pytest.mark.parametrize("what", [each for each in plots.PICTURES if each != "usage"])
def test_every_picture_has_a_name(what: str, embedder: Embedder, file: Path, tmp_path: Path) -> None:
    figure = plots.picture(embedder, open_source(file), what, labels="kind", shape=(3, 4))
    for kind in ("png", "svg", "pdf"):
        plots.save(figure, tmp_path / f"{what}.{kind}")
        assert (tmp_path / f"{what}.{kind}").stat().st_size > 800


def test_numbers_in_use_are_counted(rows: np.ndarray, file: Path) -> None:
    sparse = Embedder(TopKDictionary(latent=64, k=3), trainer=Trainer(epochs=3), random_state=0).fit(rows)
    axes = plots.picture(sparse, open_source(file), "usage").axes[0]
    used = (sparse.encode(rows) != 0).mean(0)
    said = f"{(used > 0).sum()} of 64 numbers are in use; a row uses {used.sum():.1f} of them"
    assert axes.get_title(loc="left").startswith(said)
    assert np.allclose(axes.lines[0].get_ydata(), np.sort(used[used > 0])[::-1])
    assert "0 of 2 numbers" in plots.number_usage(np.zeros((4, 2))).axes[0].get_title(loc="left")


def test_tokens_of_a_file_are_counted(tokens: Embedder, embedder: Embedder, file: Path) -> None:
    figure = plots.picture(tokens, open_source(file), "usage")
    assert "of the 8 codes occur" in figure.axes[0].get_title(loc="left")
    with pytest.raises(InvalidParameter, match="not made of tokens"):
        plots.picture(embedder, open_source(file), "usage")
    with pytest.raises(InvalidParameter, match=r"Did you mean 'atlas'\?"):
        plots.picture(embedder, open_source(file), "atlass")
    with pytest.raises(InvalidParameter, match=r"\.svg"):
        plots.save(figure, "usage.gif")


def test_a_long_file_is_drawn_in_part(embedder: Embedder, rows: np.ndarray, tmp_path: Path) -> None:
    many = pd.DataFrame(np.tile(rows, (41, 1)), columns=[f"x{i}" for i in range(12)])
    many.to_parquet(tmp_path / "many.parquet")
    figure = plots.picture(embedder, open_source(tmp_path / "many.parquet"))
    assert len(figure.axes[0].collections[0].get_offsets()) == 10_000
    with pytest.raises(InvalidData, match="no rows"):
        many[:0].to_csv(tmp_path / "none.csv", index=False)
        plots.picture(embedder, open_source(tmp_path / "none.csv"))


def test_pictures_repeat_and_touch_nothing_else(rows: np.ndarray) -> None:
    with seeded(0):
        task = grid(np.random.default_rng(0).normal(size=(30, 1, 8, 8)), VAE(latent=2))
    x, before = np.random.default_rng(2).normal(size=(30, 1, 8, 8)), dict(matplotlib.rcParams)
    kept, state = x.copy(), torch.get_rng_state()
    assert rendered(plots.interpolations(task, x)) == rendered(plots.interpolations(task, x))
    assert dict(matplotlib.rcParams) == before
    assert (x == kept).all() and torch.equal(torch.get_rng_state(), state)


def test_no_window_is_thought_of() -> None:
    text = (
        "import sys, diabolo.plots as p; p.latent_map([[1, 2, 3]] * 5); assert 'matplotlib.pyplot' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", text]).returncode == 0


@pytest.mark.parametrize(
    ("absent", "words"),
    [
        ("matplotlib", "import diabolo.plots"),
        ("umap", "import diabolo.plots as p; p.latent_map([[1, 2, 3]] * 5, by='umap')"),
    ],
)
def test_what_is_not_installed_is_told(absent: str, words: str) -> None:
    text = f"import sys; sys.modules[{absent!r}] = None; {words}"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert MissingExtra.__name__ in last and 'pip install "diabolo[plot]"' in last
