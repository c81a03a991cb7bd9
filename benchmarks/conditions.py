"""What given columns are good for: anomalies of a context, codes without the batch effect, new rows of a wanted kind.

    python -m benchmarks.conditions [--seeds 3]

Contexts: pendigits and letters (UCI) with the kind of the sign, obesity (UCI) with the sex, as the condition. Half of
the test rows get the condition of another kind: their values are normal in themselves and strange together with it.
Batches: pendigits in four batches, each with an offset of its own in every column (standard normal, in standard
deviations), in the second table also with a scale of its own (e to the power of a normal number of spread 0.3). New
rows: 100 of each digit are asked for; a forest that knows the real rows says what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.csv
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from benchmarks.representation import DATA, Table, shown
from diabolo import AnomalyDetector, Embedder, Synthesizer

ROWS = 3_000  # training rows, and test rows, at most
BATCHES, SCALE = 4, 0.3
ASKED = 100  # new rows of each kind
Rows = tuple[np.ndarray, np.ndarray]  # values (n, columns), conditions (n,)


def main() -> None:
    """Print every table."""
    shown(__doc__, tables)


def tables(seeds: range) -> Iterator[Table]:
    """Title and lines of every table."""
    torch.set_num_threads(1)
    yield "Rows with the condition of another kind: AUROC in %", contexts(seeds)
    yield "Batches with an offset: kNN (5) accuracy in % of digit / batch (chance: 10 / 25)", batches(seeds, 0.0)
    yield "Batches with an offset and a scale: the same", batches(seeds, SCALE)
    yield (
        "New rows of a wanted digit: % that a forest takes for it / nearest real row, in standard deviations",
        wanted(seeds),
    )


def contexts(seeds: range) -> Iterator[list[str]]:
    """A header, and a line per method with the figure of every set."""
    yield ["method", *SETS]
    for name, score in DETECTORS.items():
        yield [name, *(cell([(context(score, *make(seed), seed),) for seed in seeds]) for make in SETS.values())]


def context(score: Callable[..., np.ndarray], train: Rows, test: Rows, seed: int) -> float:
    """AUROC of test rows of which half have the condition of another kind."""
    dice = np.random.default_rng(seed)
    values, kinds = test
    strange = dice.random(len(kinds)) < 0.5
    told = np.where(strange, [dice.choice(np.setdiff1d(kinds, [kind])) for kind in kinds], kinds)
    return float(roc_auc_score(strange, score(train, (values, told), seed)))


def detected(variant: str | None, **parameters: object) -> Callable[[Rows, Rows, int], np.ndarray]:
    """The scores of a detector."""

    def score(train: Rows, test: Rows, seed: int) -> np.ndarray:
        return AnomalyDetector(variant, random_state=seed, **parameters).fit(framed(train)).anomaly_score(framed(test))

    return score


def near(train: Rows, test: Rows, seed: int) -> np.ndarray:
    """The distance to the fifth nearest training row of the same condition, in standard deviations."""
    scale, out = train[0].std(0) + 1e-9, np.empty(len(test[0]))
    for kind in np.unique(test[1]):
        own = NearestNeighbors(n_neighbors=5).fit(train[0][train[1] == kind] / scale)
        out[test[1] == kind] = own.kneighbors(test[0][test[1] == kind] / scale)[0][:, -1]
    return out


def batches(seeds: range, scale: float) -> Iterator[list[str]]:
    """A header, and a line per way of making codes."""
    yield ["codes", "digit / batch"]
    for name, parameters in EMBEDDERS.items():
        yield [name, cell([mixed(parameters, seed, scale) for seed in seeds])]


def mixed(parameters: Mapping[str, object], seed: int, scale: float) -> tuple[float, float]:
    """How well digit and batch can be told from codes of test rows."""
    dice, (train, test) = np.random.default_rng(seed), pendigits(seed)
    spread, there = train[0].std(0), parameters.get("batches", True)
    offsets = there * dice.normal(size=(BATCHES, len(spread))) * spread
    scales = np.exp(there * scale * dice.normal(size=(BATCHES, len(spread))))
    of = [dice.integers(BATCHES, size=len(part[0])) for part in (train, test)]
    parts = [(part[0] * scales[own] + offsets[own], own) for part, own in zip((train, test), of, strict=True)]
    chosen = {name: each for name, each in parameters.items() if name != "batches"}
    embedder = Embedder(**{"random_state": seed, **chosen}).fit(framed(parts[0]))
    codes = [np.asarray(embedder.encode(framed(part))).reshape(len(part[0]), -1) for part in parts]
    known = [(train[1], test[1]), (of[0], of[1])]
    found = [KNeighborsClassifier(5).fit(codes[0], one).score(codes[1], other) for one, other in known]
    return found[0], found[1]


def wanted(seeds: range) -> Iterator[list[str]]:
    """A header, and a line per synthesizer."""
    yield ["new rows", "recognised / distance"]
    for name, parameters in SYNTHESIZERS.items():
        yield [name, cell([asked(parameters, seed) for seed in seeds])]


def asked(parameters: Mapping[str, object], seed: int) -> tuple[float, float]:
    """Of rows asked for by digit: the share that is taken for it, and how far they are from real ones of it."""
    train, test = pendigits(seed)
    forest = RandomForestClassifier(200, random_state=seed).fit(*train)
    synthesizer = Synthesizer(**{"random_state": seed, **parameters}).fit(framed(train))
    right, away, scale = [], [], train[0].std(0)
    for kind in np.unique(train[1]):
        new = synthesizer.sample(ASKED, given={"kind": str(kind)})
        values = np.column_stack([new[name].to_numpy() for name in new.column_names if name != "kind"])
        right.append((forest.predict(values) == kind).mean())
        real = NearestNeighbors(n_neighbors=1).fit(test[0][test[1] == kind] / scale)
        away.append(real.kneighbors(values / scale)[0].mean() / 100)
    return float(np.mean(right)), float(np.mean(away))


def framed(rows: Rows) -> pa.Table:
    """A table of the values, with the condition as text in the column ``kind``."""
    columns = {f"x{place}": each.astype(float) for place, each in enumerate(rows[0].T)}
    return pa.table({**columns, "kind": [str(each) for each in rows[1]]})


def pendigits(seed: int) -> tuple[Rows, Rows]:
    """Training and test rows of digits, of which some are drawn."""
    with np.load(DATA / "digits" / "pendigits.npz") as held:
        parts = [(held[f"{part}_x"].astype(float), held[f"{part}_y"]) for part in ("train", "test")]
    return some(parts[0], seed), some(parts[1], seed)


def table(name: str, condition: int) -> Callable[[int], tuple[Rows, Rows]]:
    """How to draw training and test rows from a file of the UCI, of which one column is the condition."""

    def make(seed: int) -> tuple[Rows, Rows]:
        rows = np.column_stack([each.to_numpy() for each in pyarrow.csv.read_csv(DATA / "uci" / f"{name}.csv").columns])
        rows = np.random.default_rng(seed).permutation(rows[:, 1:].astype(float))
        half = (np.delete(rows, condition, 1), rows[:, condition].astype(int))
        cut = min(ROWS, len(rows) // 2)
        return (half[0][:cut], half[1][:cut]), (half[0][cut : 2 * cut], half[1][cut : 2 * cut])

    return make


def some(rows: Rows, seed: int) -> Rows:
    picked = np.random.default_rng(seed).permutation(len(rows[0]))[:ROWS]
    return rows[0][picked], rows[1][picked]


def cell(figures: list[tuple[float, ...]]) -> str:
    means, spreads = 100 * np.mean(figures, 0), 100 * np.std(figures, 0)
    return " / ".join(f"{mean:.1f} ± {spread:.1f}" for mean, spread in zip(means, spreads, strict=True))


GIVEN = {"given": ("kind",)}
SETS: dict[str, Callable[[int], tuple[Rows, Rows]]] = {
    "pendigits": pendigits,
    "letter": table("letter", 0),
    "obesity": table("obesity", 0),
}
DETECTORS: dict[str, Callable[[Rows, Rows, int], np.ndarray]] = {
    "diabolo, given": detected(None, **GIVEN),
    "diabolo, given, network alone": detected(None, neighbours=0, **GIVEN),
    "diabolo, linear, given": detected("Linear", neighbours=0, **GIVEN),
    "diabolo, learned as other columns are": detected(None),
    "diabolo, ignored": detected(None, ignore=("kind",)),
    "nearest rows of the same condition": near,
}
EMBEDDERS: dict[str, Mapping[str, object]] = {
    "of rows without batches": {"ignore": ("kind",), "batches": False},
    "ignored": {"ignore": ("kind",)},
    "learned as other columns are": {},
    "given": GIVEN,
    "linear, ignored": {"variant": "Linear", "ignore": ("kind",)},
    "linear, given": {"variant": "Linear", **GIVEN},
}
SYNTHESIZERS: dict[str, Mapping[str, object]] = {
    "given": GIVEN,
    "linear, given": {"variant": "Linear", **GIVEN},
    "learned, resampled": {},
    "linear, learned, resampled": {"variant": "Linear"},
}

if __name__ == "__main__":
    main()
