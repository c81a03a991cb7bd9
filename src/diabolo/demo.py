"""The main job on real data, command by command: cells of breast tumours, of which only the benign ones are learned.

The data is scikit-learn's copy of the Wisconsin diagnostic set (Street, Wolberg and Mangasarian, 1993): 30 measures of
357 benign and 212 malignant samples.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

TRAINING = 257  # benign samples to learn from; the other 100 and all malignant ones are the new rows


def play(folder: Path, run: Callable[[list[str]], object], say: Callable[[str], object]) -> None:
    """Write the data into ``folder``, then say and run one command after the other."""
    write_data(folder)
    say(
        f"Real measurements of tumour cells are now in {folder}: benign ones to learn from, and new ones of both kinds."
    )
    for comment, command in commands(folder):
        say(f"\n# {comment}\n$ {shlex.join(['diabolo', *command])}")
        run(command)
    say(f"\nOpen {folder / 'report.html'} in a browser; it needs no network.")


def commands(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """What each command is for, and its words."""
    train, new, model = (str(folder / name) for name in ("train.csv", "new.csv", "cells.diabolo"))
    scored, report = str(folder / "scored.csv"), str(folder / "report.html")
    yield (
        "Learn what benign cells look like; nobody says what to look for.",
        ["fit", "detect", train, "-o", model, "--seed", "0"],
    )
    yield "Score new cells, and mark those that are not like the ones learned.", ["run", model, new, "-o", scored]
    yield "Why are the strangest ones strange?", ["explain", model, new, "--top", "3"]
    yield (
        "Were they malignant? The column 'diagnosis' knows; the model never saw it.",
        [*("evaluate", model, new, "--labels", "diagnosis")],
    )
    yield "All of it as one page.", ["report", model, new, "-o", report]


def write_data(folder: Path) -> None:
    """``train.csv`` (benign samples) and ``new.csv`` (benign and malignant ones, with their ``diagnosis``)."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import csv
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    benign, malignant = np.flatnonzero(data.target == 1), np.flatnonzero(data.target == 0)
    new = np.sort(np.concatenate([benign[TRAINING:], malignant]))
    measures = pa.table(dict(zip(data.feature_names.tolist(), data.data.T, strict=True)))
    sample = pa.array([f"sample-{number:03d}" for number in range(len(data.target))])
    everything = measures.add_column(0, "sample", sample)
    diagnosis = pa.array(np.where(data.target == 0, "anomaly", "normal"))
    folder.mkdir(parents=True, exist_ok=True)
    csv.write_csv(everything.take(pa.array(benign[:TRAINING])), folder / "train.csv")
    csv.write_csv(everything.append_column("diagnosis", diagnosis).take(pa.array(new)), folder / "new.csv")
