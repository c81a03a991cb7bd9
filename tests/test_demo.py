"""The demo's data, and its commands run as a new user would copy them."""

from __future__ import annotations

import csv
import shlex
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from diabolo import demo
from diabolo.cli import app


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_only_benign_rows_are_learned_and_none_twice(tmp_path: Path) -> None:
    demo.write_data(tmp_path)
    train, new = rows(tmp_path / "train.csv"), rows(tmp_path / "new.csv")
    assert (len(train), len(new)) == (257, 100 + 212)
    assert "diagnosis" not in train[0]
    assert sum(row["diagnosis"] == "anomaly" for row in new) == 212
    assert len({row["sample"] for row in train + new}) == 569
    assert len(train[0]) == 31


def test_every_command_is_said_before_it_runs(tmp_path: Path) -> None:
    heard: list[str] = []
    demo.play(tmp_path / "place with a space", lambda words: heard.append(f"ran {words[0]}"), heard.append)
    commands = [shlex.split(each.splitlines()[-1].removeprefix("$ ")) for each in heard if "\n$ " in each]
    assert [command[:2] for command in commands] == [
        ["diabolo", verb] for verb in ("fit", "run", "explain", "evaluate", "report")
    ]
    assert all(str(tmp_path / "place with a space" / "cells.diabolo") in command for command in commands)
    said = [index for index, each in enumerate(heard) if "\n$ " in each]
    assert [heard[index + 1] for index in said] == [f"ran {command[1]}" for command in commands]


def test_the_demo_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    start = time.process_time()
    result = CliRunner().invoke(app, ["demo"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert time.process_time() - start < 30
    made = {path.name for path in (tmp_path / "diabolo-demo").iterdir()}
    assert made == {"train.csv", "new.csv", "cells.diabolo", "scored.csv", "report.html"}
    auroc = next(line for line in result.stdout.splitlines() if line.startswith("auroc")).split()
    assert float(auroc[1]) > 0.9
    assert len(rows(tmp_path / "diabolo-demo" / "scored.csv")) == 312


def test_a_failed_command_ends_the_demo(tmp_path: Path) -> None:
    (tmp_path / "cells.diabolo").mkdir()  # where fit wants to write its model
    result = CliRunner().invoke(app, ["demo", str(tmp_path)])
    assert result.exit_code == 2
    assert "is a folder" in result.stderr
    assert "diabolo run" not in result.stderr
