"""Whether diabolo can work on this machine: versions, torch, threads, disk, a golden fit, and a model file if given."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, NamedTuple

State = Literal["ok", "warning", "broken"]
PACKAGES = ("torch", "numpy", "scikit-learn", "pyarrow", "safetensors", "typer")


class Finding(NamedTuple):
    """What one check found; ``broken`` means that diabolo cannot do its work."""

    check: str
    state: State
    text: str


def examine(model: str | Path | None = None) -> Iterator[Finding]:
    """The findings one after the other, as they are made; about 5 seconds in all.

    >>> next(examine()).check
    'versions'
    """
    checks: dict[str, Callable[[], tuple[State, str]]] = {
        "versions": versions,
        "torch": torch_build,
        "threads": threads,
        "temporary folder": partial(folder, tempfile.gettempdir(), "broken"),
        "this folder": partial(folder, ".", "warning"),
        "golden fit": golden_fit,
    }
    if model is not None:
        checks["model"] = partial(model_file, model)
    for name, check in checks.items():
        yield Finding(name, *_guarded(check))


def _guarded(check: Callable[[], tuple[State, str]]) -> tuple[State, str]:
    """A check that fails is a finding, not the end of the examination."""
    try:
        return check()
    except Exception as error:
        return "broken", f"{type(error).__name__}: {error}"


def versions() -> tuple[State, str]:
    """Every package that diabolo needs, with its version."""
    found = {name: _version(name) for name in PACKAGES}
    missing = [name for name, number in found.items() if number is None]
    if missing:
        return "broken", f"Not installed: {', '.join(missing)}. Type: pip install {' '.join(missing)}"
    listed = ", ".join(f"{name} {number}" for name, number in found.items())
    return "ok", f"diabolo {_version('diabolo')}, Python {platform.python_version()}, {listed}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def torch_build() -> tuple[State, str]:
    """Which processor torch was built for, and whether it is there."""
    import torch

    if torch.version.cuda is None:
        return "ok", "built for the CPU"
    if torch.cuda.is_available():
        return "ok", f"built for CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}"
    return "warning", (
        f"Built for CUDA {torch.version.cuda}, but no GPU answers. Everything works on the CPU, where torch's CPU "
        "build does the same with some gigabytes less on disk. If there is a GPU, see whether nvidia-smi lists it."
    )


def threads() -> tuple[State, str]:
    """Threads that torch computes with, against the cores that this process may use."""
    import torch

    used, cores = torch.get_num_threads(), len(os.sched_getaffinity(0))
    text = f"{used} threads on {cores} cores"
    if used > cores:
        return "warning", f"{text}: they wait for each other. Type: export OMP_NUM_THREADS={cores}"
    return "ok", text


def folder(path: str, otherwise: State) -> tuple[State, str]:
    """Whether a file can be written, brought safely to the disk and put in the place of another one in ``path``."""
    where = Path(path).resolve()
    try:
        with tempfile.TemporaryDirectory(prefix="diabolo-", dir=where) as place:
            _written(Path(place))
    except OSError as error:
        return (
            otherwise,
            f"{where}: {error.strerror}. Free some space, make it writable, or use another folder (TMPDIR).",
        )
    return "ok", f"{where} can be written"


def _written(place: Path) -> None:
    with open(place / "new", "wb") as file:
        file.write(b"diabolo")
        file.flush()
        os.fsync(file.fileno())
    os.replace(place / "new", place / "old")


def golden_fit() -> tuple[State, str]:
    """A model of 300 small rows must find the row that breaks their rule, and say the same after save and load."""
    import numpy as np

    from diabolo import AnomalyDetector, load

    t = np.linspace(0, 6, 300)
    rows = np.c_[np.sin(t), 2 * np.sin(t), np.cos(t)]
    asked = np.array([[0.5, 1.0, 0.8], [1.0, -2.0, 0.0]])
    detector = AnomalyDetector("Linear", random_state=0).fit(rows)
    with tempfile.TemporaryDirectory(prefix="diabolo-") as place:
        detector.save(Path(place) / "golden.diabolo")
        scores, again = detector.anomaly_score(asked), load(Path(place) / "golden.diabolo").anomaly_score(asked)
    if not (np.isfinite(scores).all() and scores[1] > scores[0]):
        return (
            "broken",
            f"The strange row scores {scores[1]:.4g}, the normal one {scores[0]:.4g}. Reinstall diabolo and torch.",
        )
    if not np.array_equal(scores, again):
        return "broken", f"Scores changed from {scores} to {again} by saving and loading. Reinstall diabolo and torch."
    return "ok", f"learned, saved, loaded; the strange row scores {scores[1]:.4g} nats, the normal one {scores[0]:.4g}"


def model_file(path: str | Path) -> tuple[State, str]:
    """Whether a model file is whole and reproduces its own scores on this machine."""
    from diabolo import load

    task = load(path)
    columns = len(task.preparation_.schema_.sources)
    return "ok", f"{path}: {type(task).__name__} of {columns} columns; it repeats the scores kept in it"
