"""The command line as a process among others: pipes, signals and what a stopped one leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

import diabolo
from diabolo import AnomalyDetector


def process(*words: str | Path, **options: object) -> subprocess.Popen[bytes]:
    """The command, with one thread as the tests have: sums over several are rounded differently."""
    arguments = [sys.executable, "-m", "diabolo", *map(str, words)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=alone, **options)


def wait_for(happened: Callable[[], bool], run: subprocess.Popen[bytes]) -> None:
    while not happened() and run.poll() is None:
        time.sleep(0.01)


def table(rows: int) -> pa.Table:
    """Rows in which c is a + b."""
    a, b = np.random.default_rng(0).normal(size=(2, rows))
    return pa.table({"a": a, "b": b, "c": a + b})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "pump.diabolo"
    AnomalyDetector("Linear", random_state=0).fit(table(400)).save(path)
    return path


def test_stdin_to_stdout_through_a_pipe(model: Path) -> None:
    words = ("run", model, "-", "--format", "csv", "--output-format", "jsonl")
    with process(*words, stdin=subprocess.PIPE) as run:
        out, err = run.communicate(b"a,b,c\n0.1,0.2,0.3\n1,1,9\n")
    assert run.returncode == 0, err
    assert [json.loads(line)["anomaly"] for line in out.splitlines()] == [False, True]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150,000 rows of csv."""
    path = tmp_path_factory.mktemp("long") / "long.csv"
    path.write_text("a,b,c\n" + "1.5,2.25,3.75\n" * 150_000)
    return path


def test_a_closed_pipe_ends_it_silently(model: Path, long: Path) -> None:
    with process("run", model, long) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert run.stdout.read(10)
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == -signal.SIGPIPE


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_no_half_file(number: int, code: int, model: Path, long: Path, tmp_path: Path) -> None:
    with process("run", model, long, "-o", tmp_path / "out.csv") as run:
        wait_for(lambda: any(part.stat().st_size for part in tmp_path.iterdir()), run)
        run.send_signal(number)
        _, err = run.communicate()
    assert run.returncode == code, err
    assert b"Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_sigterm_saves_and_leaves_with_143_and_resume_ends_as_if_never_stopped(tmp_path: Path) -> None:
    data = tmp_path / "train.csv"
    csv.write_csv(table(10_000), data)
    words = ("fit", "detect", data, "-p", "trainer.epochs=8", "-p", "trainer.patience=none", "-o")
    state = tmp_path / "stopped.training"
    with process(*words, tmp_path / "stopped") as stopped:
        wait_for(state.exists, stopped)
        stopped.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        _, err = stopped.communicate()
    assert stopped.returncode == 143, err
    assert time.monotonic() - asked < 5
    assert b"Traceback" not in err
    assert b"--resume" in err
    assert state.exists()
    assert not (tmp_path / "stopped").exists()
    for more in ([tmp_path / "stopped", "--resume"], [tmp_path / "whole"]):
        with process(*words, *more) as run:
            _, err = run.communicate()
        assert run.returncode == 0, err
    one, two = (diabolo.load(tmp_path / name) for name in ("stopped", "whole"))
    assert np.array_equal(one.anomaly_score(table(50)), two.anomaly_score(table(50)))
    assert not state.exists()
