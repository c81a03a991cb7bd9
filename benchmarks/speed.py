"""How fast: training, scoring, starting and streaming, each beside its baseline in the same process.

python -m benchmarks.speed [NAME ...]      fit, steps, scoring, one_row, ensemble, start, run, larger; all by default
"""

from __future__ import annotations

import math
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from benchmarks.timing import Spent, interleaved, latency, middle, process, ratio, threads
from diabolo import AnomalyDetector, Trainer
from diabolo.batches import Rows
from diabolo.schema import numbers
from diabolo.variants import Masked, Vanilla, Variant

DATA = Path(os.environ.get("DIABOLO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "adbench"
COLUMNS = 30
WIDTHS = (30, 64, 32, 8, 32, 64, 30)
PYOD = Vanilla(hidden=(64,), latent=32, overcomplete=True, activation="relu")  # the network of its AutoEncoder
EPOCHS = 10
DEFAULT = 128  # rows of a batch, where nothing else is asked for, of up to 8,192 rows
CORES = os.cpu_count() or 1
STREAMED = 2_000_000  # rows of the file that is scored by the command
LARGER = (6_000_000, 12_000_000)  # rows of files that are larger than what is trained from memory, 1 GiB decoded
GROUP = 65_536
Table = tuple[str, Iterator[list[str]]]


def tables() -> Iterator[Table]:
    """Title and lines of every table; the first line is the header, and a line is measured when it is asked for."""
    for name, (title, lines) in TABLES.items():
        yield f"{name.replace('_', ' ').capitalize()}: {title}", lines()


def fit() -> Iterator[list[str]]:
    """A whole fit against PyOD's, at the same widths and epochs, each with its own default batch."""
    yield [
        "set",
        "rows x columns",
        "PyOD rows/s",
        "diabolo rows/s",
        "ratio",
        "ratio of CPU",
        "AUROC PyOD",
        "AUROC diabolo",
    ]
    for name in ("29_Pima", "40_vowels", "32_shuttle", "5_campaign"):
        place = DATA / f"{name}.npz"
        if place.exists():
            yield _fitted(place)


def _fitted(place: Path) -> list[str]:
    train, test, truth = _clean(place)
    made: dict[str, object] = {}

    def pyod() -> None:
        made["pyod"] = _pyod().fit(train)

    def ours() -> None:
        trainer = Trainer(epochs=EPOCHS, patience=None)
        made["ours"] = AnomalyDetector(PYOD, neighbours=0, trainer=trainer, random_state=0).fit(train)

    with threads(1):
        spent = interleaved({"pyod": pyod, "ours": ours}, rounds=3, warm=0)
        found = [roc_auc_score(truth, made["pyod"].decision_function(test))]
        found.append(roc_auc_score(truth, made["ours"].anomaly_score(test)))
    rates = [f"{len(train) * EPOCHS / middle(spent[name]).wall:,.0f}" for name in ("pyod", "ours")]
    gain = ratio(spent["pyod"], spent["ours"])
    size = f"{train.shape[0]:,} x {train.shape[1]}"
    return [place.stem, size, *rates, f"{gain.wall:.0f}", f"{gain.cpu:.0f}", *(f"{each:.3f}" for each in found)]


def steps() -> Iterator[list[str]]:
    """A step of the Trainer against bare loops with the fused AdamW, and against the matrix products alone.

    One bare loop has the squared error; the other has the Trainer's likelihood, with a learned scale per column.
    """
    yield [
        "batch",
        "scale",
        "products us",
        "bare loop, squared error us",
        "bare loop, same likelihood us",
        "Trainer us",
        "Trainer / bare, same likelihood",
        "Trainer / bare, squared error",
        "Trainer / products",
        "bare, same likelihood / products",
    ]
    x = torch.randn(16_384, COLUMNS)
    with threads(1):
        for size in (512, 1024):
            for scale in ("unit", "learned"):
                yield _stepped(x, size, scale)


def _stepped(x: torch.Tensor, size: int, scale: str) -> list[str]:
    jobs = {
        "products": lambda: _products(size, len(x) // size),
        "squares": lambda: _bare(x, size),
        "bare": lambda: _bare(x, size, scale),
        "ours": lambda: Trainer(epochs=1, batch_size=size).fit(Vanilla(scale=scale).build(numbers(COLUMNS)), Rows(x)),
    }
    spent = interleaved(jobs, rounds=15)
    times = [f"{middle(each).cpu * size / len(x) * 1e6:.0f}" for each in spent.values()]
    ratios = [("ours", "bare"), ("ours", "squares"), ("ours", "products"), ("bare", "products")]
    return [str(size), scale, *times, *(f"{ratio(spent[a], spent[b]).cpu:.2f}" for a, b in ratios)]


def _bare(x: torch.Tensor, size: int, scale: str | None = None) -> None:
    """An epoch with squared errors or, where a ``scale`` is told, with -log p of a Normal of that scale."""
    layers: list[nn.Module] = []
    for place, (into, out) in enumerate(pairwise(WIDTHS)):
        layers += [nn.Linear(into, out)] + [nn.SiLU()] * (place not in (2, 5))
    network, log_scale = nn.Sequential(*layers), torch.zeros(COLUMNS, requires_grad=scale == "learned")
    learned = [*network.parameters(), *[log_scale] * log_scale.requires_grad]
    optimiser = torch.optim.AdamW(learned, fused=True)
    for rows in torch.randperm(len(x)).split(size):
        batch = x[rows]
        optimiser.zero_grad()
        away = network(batch) - batch
        errors = away.square()
        if scale is not None:
            errors = 0.5 * (away * (-log_scale).exp()).square() + (log_scale + 0.5 * math.log(2 * math.pi))
        errors.sum(1).mean().backward()
        optimiser.step()


def _products(size: int, count: int) -> None:
    """The matrix products of a step, forward and back, into memory that is there."""
    shapes = list(pairwise(WIDTHS))
    inputs, weights = [torch.randn(size, into) for into, _ in shapes], [torch.randn(out, into) for into, out in shapes]
    outputs = [torch.randn(size, out) for _, out in shapes]
    forward, slopes = [each.clone() for each in outputs], [each.clone() for each in weights]
    backward = [each.clone() for each in inputs]
    for _ in range(count):
        for h, weight, out in zip(inputs, weights, forward, strict=True):
            torch.mm(h, weight.T, out=out)
        for place in reversed(range(len(shapes))):
            torch.mm(outputs[place].T, inputs[place], out=slopes[place])
            if place:
                torch.mm(outputs[place], weights[place], out=backward[place])


def scoring() -> Iterator[list[str]]:
    """Rows in memory: the default detector, its network alone, and the same network as PyOD's, against PyOD."""
    yield ["detector", "rows/s", "CPU us/row", "times PyOD", "times PyOD (CPU)"]
    rows = _rows(8 * GROUP)
    pyod = _pyod().fit(rows[:2000])
    jobs: dict[str, Callable[[], object]] = {"PyOD AutoEncoder": lambda: pyod.decision_function(rows[:GROUP])}
    for name, detector in {
        "diabolo, default": _detector(Masked()),
        "diabolo, default without neighbours": _detector(Masked(), neighbours=0),
        "diabolo, the network of PyOD's": _detector(PYOD, neighbours=0),
    }.items():
        jobs[name] = lambda detector=detector: detector.anomaly_score(rows)
    spent = interleaved(jobs, rounds=5)
    per_row = {
        name: [Spent(*(t / (len(rows) if i else GROUP) for t in each)) for each in spent[name]]
        for i, name in enumerate(jobs)
    }
    for name, each in per_row.items():
        gain = ratio(per_row["PyOD AutoEncoder"], each)
        yield [
            name,
            f"{1 / middle(each).wall:,.0f}",
            f"{middle(each).cpu * 1e6:.2f}",
            f"{gain.wall:.0f}",
            f"{gain.cpu:.0f}",
        ]


def one_row() -> Iterator[list[str]]:
    """The median of single calls from Python."""
    yield ["call", "us", "largest relative difference from anomaly_score"]
    rows = _rows(2000)
    detector, pyod = _detector(Masked()), _pyod().fit(rows)
    score, row = detector.scorer(), rows[0]
    scores = detector.anomaly_score(rows)
    apart = np.abs(np.array([score(each) for each in rows]) / scores - 1).max()
    yield ["diabolo scorer()(row)", f"{latency(lambda: score(row)) * 1e6:.0f}", f"{apart:.1e}"]
    yield ["diabolo anomaly_score([row])", f"{latency(lambda: detector.anomaly_score(row[None]), 200) * 1e6:.0f}", "0"]
    yield ["PyOD decision_function([row])", f"{latency(lambda: pyod.decision_function(row[None]), 50) * 1e6:.0f}", "-"]


def ensemble() -> Iterator[list[str]]:
    """Training of 8 members as one batched network against one, each at its best number of threads."""
    yield ["variant", "batch", "one, us a step", "eight, us a step", "ratio", "ratio of CPU, one thread"]
    x = torch.randn(8192, COLUMNS)
    for variant in (Vanilla, Masked):
        for size in (DEFAULT, 512):
            spent = _epochs(variant, x, size)
            wall = [min(middle(spent[count, each]).wall for each in {1, CORES}) for count in (1, 8)]
            cpu = ratio(spent[8, 1], spent[1, 1]).cpu
            times = [f"{each / (len(x) / size) * 1e6:.0f}" for each in wall]
            yield [variant.__name__, str(size), *times, f"{wall[1] / wall[0]:.2f}", f"{cpu:.2f}"]


def _epochs(variant: type[Variant], x: torch.Tensor, size: int) -> dict[tuple[int, int], list[Spent]]:
    """An epoch in batches of ``size`` by the number of members and of threads."""

    def train(members: int, count: int) -> None:
        with threads(count):
            Trainer(epochs=1, batch_size=size).fit(networks[members], Rows(x))

    networks = {members: variant(members=members).build(numbers(COLUMNS)) for members in (1, 8)}
    kinds = [(members, count) for members in networks for count in {1, CORES}]
    found = interleaved({str(kind): partial(train, *kind) for kind in kinds}, rounds=7)
    return {kind: found[str(kind)] for kind in kinds}


def start() -> Iterator[list[str]]:
    """CPU seconds of a process that does nothing else; the median of 5."""
    yield ["command", "CPU s"]
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import diabolo'": [sys.executable, "-c", "import diabolo"],
        "diabolo --help": [sys.executable, "-m", "diabolo", "--help"],
    }
    for name, command in commands.items():
        yield [name, f"{statistics.median(process(command)[0].cpu for _ in range(5)):.2f}"]


def run() -> Iterator[list[str]]:
    """``diabolo run MODEL rows.parquet -o scores.parquet``, the start of the process taken off."""
    yield [
        "rows",
        "file MB",
        "seconds",
        "rows/s",
        "rows/s without the start",
        "CPU us/row",
        "peak memory MB",
        "of one row MB",
    ]
    with tempfile.TemporaryDirectory() as folder:
        model, file, few, out = (
            str(Path(folder, name)) for name in ("m.diabolo", "x.parquet", "1.parquet", "out.parquet")
        )
        _detector(Masked(), named=True).save(model)
        _write(file, STREAMED)
        _write(few, 1)
        command = [sys.executable, "-m", "diabolo", "run", model, "", "-o", out, "--quiet"]
        began, least = process([*command[:5], few, *command[6:]])
        for _ in range(3):
            spent, most = process([*command[:5], file, *command[6:]])
            rates = [STREAMED / spent.wall, STREAMED / (spent.wall - began.wall)]
            size = Path(file).stat().st_size / 1e6
            cpu = (spent.cpu - began.cpu) / STREAMED * 1e6
            yield [
                f"{STREAMED:,}", f"{size:.0f}", f"{spent.wall:.1f}", *(f"{each:,.0f}" for each in rates), f"{cpu:.2f}",
                f"{most / 1e6:.0f}", f"{least / 1e6:.0f}",
            ]  # fmt: skip


def larger() -> Iterator[list[str]]:
    """``fit`` of one epoch and ``run`` on files that are streamed: the memory held does not grow with them."""
    yield ["command", "rows", "decoded MB", "seconds", "rows/s", "peak memory MB"]
    real = DATA / "30_satellite.npz"
    for rows in LARGER if real.exists() else ():
        with tempfile.TemporaryDirectory() as folder:
            model, file, out = (str(Path(folder, name)) for name in ("m.diabolo", "x.parquet", "out.parquet"))
            _write(file, rows, _resampled(real))
            words = {
                "fit": ["fit", "detect", file, "-o", model, "-p", "trainer.epochs=1"],
                "run": ["run", model, file, "-o", out],
            }
            for name, each in words.items():
                spent, most = process([sys.executable, "-m", "diabolo", *each, "--quiet"])
                size, rate = f"{rows * COLUMNS * 8 / 1e6:,.0f}", f"{rows / spent.wall:,.0f}"
                yield [name, f"{rows:,}", size, f"{spent.wall:.0f}", rate, f"{most / 1e6:.0f}"]


def _resampled(real: Path) -> Callable[[int, int], np.ndarray]:
    """Rows of a real set, drawn again and again, each moved by 5 % of the spread of every column."""
    with np.load(real) as kept:
        X = kept["X"][:, :COLUMNS].astype(float)

    def rows(count: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return X[rng.integers(len(X), size=count)] + 0.05 * X.std(0) * rng.normal(size=(count, COLUMNS))

    return rows


def _write(place: str, rows: int, drawn: Callable[[int, int], np.ndarray] | None = None) -> None:
    """Rows of 30 columns, a row group at a time."""
    schema = pa.schema([(f"c{i}", pa.float64()) for i in range(COLUMNS)])
    with pq.ParquetWriter(place, schema, use_dictionary=False) as writer:
        for begin in range(0, rows, GROUP):
            block = (drawn or _rows)(min(GROUP, rows - begin), begin)
            writer.write_table(pa.table(list(block.T), schema=schema))


def _rows(count: int, seed: int = 0) -> np.ndarray:
    """Six numbers seen through thirty."""
    rng, mixing = np.random.default_rng(seed), np.random.default_rng(0).normal(size=(6, COLUMNS))
    return np.tanh(rng.normal(size=(count, 6)) @ mixing) + 0.3 * rng.normal(size=(count, COLUMNS))


def _detector(variant: Variant, *, named: bool = False, **parameters: object) -> AnomalyDetector:
    """A detector of a table of columns c0, c1, ... where they are ``named``."""
    x = _rows(6000, seed=1)
    rows = pa.table({f"c{i}": x[:, i] for i in range(COLUMNS)}) if named else x
    return AnomalyDetector(variant, trainer=Trainer(epochs=5), random_state=0, **parameters).fit(rows)


def _pyod() -> object:
    from pyod.models.auto_encoder import AutoEncoder

    return AutoEncoder(epoch_num=EPOCHS, hidden_neuron_list=[64, 32], verbose=0, random_state=0)


def _clean(place: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first half of the normal rows to train; the other half and all anomalies to test."""
    with np.load(place) as kept:
        X, y = kept["X"].astype(float), kept["y"].astype(int)
    normal, strange = X[y == 0], X[y == 1]
    half = len(normal) // 2
    test = np.concatenate([normal[half:], strange])
    return normal[:half], test, np.r_[np.zeros(len(normal) - half), np.ones(len(strange))]


TABLES: dict[str, tuple[str, Callable[[], Iterator[list[str]]]]] = {
    "fit": (f"a whole fit of {EPOCHS} epochs, one thread; rows/s counts every epoch's rows", fit),
    "steps": ("a step of training, CPU time on one thread, 30-64-32-8-32-64-30", steps),
    "scoring": (f"rows in memory, {COLUMNS} columns", scoring),
    "one_row": (f"a row of {COLUMNS} numbers from Python", one_row),
    "ensemble": (f"8 members against 1, {COLUMNS} columns; {DEFAULT} is the default batch of so many rows", ensemble),
    "start": ("processes that do nothing", start),
    "run": (f"`diabolo run` from Parquet to Parquet, {COLUMNS} columns of 8 bytes", run),
    "larger": ("`fit` of one epoch and `run` on files that are larger than what is held in memory", larger),
}

if __name__ == "__main__":
    for wanted in sys.argv[1:] or TABLES:
        print(f"\n{wanted}: {TABLES[wanted][0]}")
        for line in TABLES[wanted][1]():
            print(" | ".join(line), flush=True)
