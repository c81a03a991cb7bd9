"""How well gaps are filled: UCI tables with values hidden at random, beside the field's simple methods, one process.

    python -m benchmarks.imputation [--missing 0.3] [--rows 2500] [--seeds 3] [--sets wine,airfoil]

Values are hidden completely at random (MCAR) in every column; each method is fitted to the table with its gaps and
fills them. The figure is the root of the mean squared error of the hidden values, columns scaled to 0 ... 1 by all
their values (as in the benchmarks of HyperImpute, ICML 2022). The methods of scikit-learn see
standardised columns and keep their defaults. One configuration for all sets.

``holes`` is the same for images: MNIST and Fashion-MNIST, each method fitted to 1,000 whole images, 300 others filled,
in which single pixels (20 %), a square of 10 x 10 or the lower half are missing; in standard deviations of all pixels.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes IterativeImputer importable
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.one_class import SIDE, pixels
from diabolo import Imputer

DATA = Path(os.environ.get("DIABOLO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "uci"
SETS = {  # columns that are measured, not the target of the table
    "airfoil.csv": 5, "climate.csv": 20, "concrete.txt": 8, "letter.csv": 16, "obesity.csv": 16, "wine.csv": 11,
    "yeast.csv": 8,
}  # fmt: skip
SQUARE = 10  # side of a hole
Fill = Callable[[np.ndarray, int], np.ndarray]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--missing", type=float, default=0.3)
    parser.add_argument("--rows", type=int, default=2500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", default="")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    for line in table(asked.missing, asked.rows, range(asked.seeds), asked.sets):
        print(" | ".join(line), flush=True)


def table(missing: float, rows: int, seeds: range, wanted: str = "") -> Iterator[list[str]]:
    """Lines of text: a header, one line per set (error +- spread over the seeds), and the mean rank of each method."""
    torch.set_num_threads(1)  # the networks are too small for more
    names = [*methods()]
    yield ["set", "rows x columns", *names, "diabolo s"]
    ranks = []
    for file, columns in SETS.items():
        if not (DATA / file).exists() or (wanted and file.partition(".")[0] not in wanted.split(",")):
            continue
        found = np.array([list(errors(read(DATA / file, columns, rows, seed), missing, seed)) for seed in seeds])
        figures, seconds = found[..., 0], found[:, 0, 1].mean()
        ranks.append(figures.mean(0).argsort().argsort() + 1)
        cells = [f"{mean:.4f} +- {spread:.4f}" for mean, spread in zip(figures.mean(0), figures.std(0), strict=True)]
        size = read(DATA / file, columns, rows, 0).shape
        yield [file.partition(".")[0], f"{size[0]:,} x {size[1]}", *cells, f"{seconds:.1f}"]
    yield ["mean rank", "", *(f"{rank:.2f}" for rank in np.mean(ranks, 0)), ""]


def holes(seeds: range) -> Iterator[list[str]]:
    """Lines of text: a header, and one line per set and kind of hole."""
    torch.set_num_threads(1)
    yield ["set", "missing", *methods_of_images()]
    for name in ("mnist", "fashion"):
        figures = np.array([list(torn(name, seed)) for seed in seeds])
        for place, missing in enumerate(HOLES):
            cells = zip(figures[..., place].mean(0), figures[..., place].std(0), strict=True)
            yield [name, missing, *(f"{mean:.3f} +- {spread:.3f}" for mean, spread in cells)]


def torn(name: str, seed: int) -> Iterator[list[float]]:
    """Of each method the error in holes of each kind."""
    dice = np.random.default_rng(seed)
    train, new = (images(name, part, dice)[:count] for part, count in (("train", 1000), ("test", 300)))
    gaps = [np.where(hole(new, dice), np.nan, new) for hole in HOLES.values()]
    for fill in methods_of_images().values():
        filled = fill(train, gaps, seed)
        yield [
            np.sqrt(np.mean((told - new)[np.isnan(gap)] ** 2)) / train.std()
            for told, gap in zip(filled, gaps, strict=True)
        ]


def images(name: str, part: str, dice: np.random.Generator) -> np.ndarray:
    """The images (n, 1, 28, 28) in random order."""
    return dice.permutation(pixels(name, part))[:, None].astype(float)


def square(new: np.ndarray, dice: np.random.Generator) -> np.ndarray:
    """A square of each image."""
    start = dice.integers(0, SIDE - SQUARE + 1, (2, len(new), 1))
    down, across = ((np.arange(SIDE) >= each) & (np.arange(SIDE) < each + SQUARE) for each in start)
    return (down[:, :, None] & across[:, None, :])[:, None]


HOLES = {
    "pixels": lambda new, dice: dice.random(new.shape) < 0.2,
    "square": square,
    "lower half": lambda new, dice: np.broadcast_to(np.arange(SIDE)[:, None] >= SIDE // 2, new.shape),
}


def methods_of_images() -> dict[str, Callable[[np.ndarray, list[np.ndarray], int], list[np.ndarray]]]:
    """Every method by name; each learns from the first images and fills the others."""
    return {
        "diabolo": lambda train, gaps, seed: _filled(Imputer(random_state=seed), train, gaps),
        "diabolo, Linear": lambda train, gaps, seed: _filled(Imputer("Linear", random_state=seed), train, gaps),
        "pixel mean": lambda train, gaps, seed: _flat(SimpleImputer(keep_empty_features=True), train, gaps),
        "kNN (5)": lambda train, gaps, seed: _flat(KNNImputer(keep_empty_features=True), train, gaps),
    }


def _filled(imputer: Imputer, train: np.ndarray, gaps: list[np.ndarray]) -> list[np.ndarray]:
    fitted = imputer.fit(train)
    return [fitted.transform(each) for each in gaps]


def _flat(imputer: object, train: np.ndarray, gaps: list[np.ndarray]) -> list[np.ndarray]:
    fitted = imputer.fit(train.reshape(len(train), -1))
    return [fitted.transform(each.reshape(len(each), -1)).reshape(each.shape) for each in gaps]


def read(place: Path, columns: int, rows: int, seed: int) -> np.ndarray:
    """The first columns of a table, at most so many of its rows, each column scaled to 0 ... 1."""
    if place.suffix == ".txt":
        X = np.loadtxt(place)
    else:
        X = np.loadtxt(place, delimiter=",", skiprows=1)[:, 1:]  # the first column counts the rows
    X = np.random.default_rng(seed).permutation(X)[:rows, :columns]
    low, high = X.min(0), X.max(0)
    return (X - low) / np.where(high > low, high - low, 1.0)


def errors(X: np.ndarray, missing: float, seed: int) -> Iterator[tuple[float, float]]:
    """Of each method the error of the hidden values, and its seconds."""
    hidden = np.random.default_rng(seed + 1000).random(X.shape) < missing
    gaps = np.where(hidden, np.nan, X)
    for fill in methods().values():
        begin = time.perf_counter()
        filled = fill(gaps, seed)
        yield float(np.sqrt(np.mean((filled - X)[hidden] ** 2))), time.perf_counter() - begin


def methods() -> dict[str, Fill]:
    """Every method by name; each fills the gaps of the rows it is fitted to."""
    return {
        "diabolo": lambda gaps, seed: Imputer(random_state=seed).fit_transform(gaps),
        "diabolo, Linear": lambda gaps, seed: Imputer("Linear", random_state=seed).fit_transform(gaps),
        "column mean": lambda gaps, seed: SimpleImputer().fit_transform(gaps),
        "kNN (5)": lambda gaps, seed: _standardised(KNNImputer(), gaps),
        "IterativeImputer": lambda gaps, seed: _standardised(IterativeImputer(random_state=seed), gaps),
    }


def _standardised(imputer: object, gaps: np.ndarray) -> np.ndarray:
    both = make_pipeline(StandardScaler(), imputer)
    return both[0].inverse_transform(both.fit_transform(gaps))


if __name__ == "__main__":
    main()
