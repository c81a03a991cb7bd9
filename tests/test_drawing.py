"""diabolo plot as its users meet it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_cli import command

from diabolo import Embedder, Trainer


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows.csv, images of 3 x 4 cells and their kind, and a model of them."""
    folder = tmp_path_factory.mktemp("plot")
    rows = np.random.default_rng(0).normal(size=(80, 2)) @ np.random.default_rng(1).normal(size=(2, 12))
    names = ",".join(f"x{i}" for i in range(12))
    np.savetxt(folder / "rows.csv", np.c_[rows, rows[:, 0] > 0], delimiter=",", header=f"{names},kind", comments="")
    Embedder(trainer=Trainer(epochs=3), random_state=0).fit(rows).save(folder / "m.diabolo")
    return folder


def test_a_map_and_a_strip_of_images_are_written(place: Path) -> None:
    words = ("plot", place / "m.diabolo", place / "rows.csv", "-o")
    out, err = command(*words, place / "map.png", "--labels", "kind")
    assert (out, err) == ("", f"Wrote {place / 'map.png'}\n")
    assert (place / "map.png").read_bytes().startswith(b"\x89PNG")
    assert command(*words, place / "walk.svg", "--what", "traversals", "--shape", "3x4", "-q") == ("", "")
    assert "<svg" in (place / "walk.svg").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "x.gif"], ".png"),
        (["-o", "x.png", "--what", "maps"], "Did you mean 'map'?"),
        (["-o", "x.png", "--what", "usage"], "tokens"),
        (["-o", "x.png", "--by", "lle"], "pca, tsne, umap"),
        (["-o", "x.png", "--shape", "3"], "28x28"),
        (["-o", "x.png", "--shape", "0x12"], "28x28"),
        (["-o", "x.png", "--shape", "4x4", "--what", "atlas"], "12 columns"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(
    place: Path, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    assert said in command("plot", "m.diabolo", "rows.csv", *words, code=2)[1]
    assert not Path("x.png").exists()


def test_a_column_that_is_not_there_is_told(place: Path) -> None:
    words = ("plot", place / "m.diabolo", place / "rows.csv", "-o", place / "x.png", "--labels", "kinds")
    assert "Did you mean 'kind'?" in command(*words, code=3)[1]
