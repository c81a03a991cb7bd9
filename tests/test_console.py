"""How errors are told, and what goes to which stream."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from diabolo.console import Command, Talk, emit, in_words, notes, outline, table, tell, typed
from diabolo.errors import (
    DiaboloWarning,
    Interrupted,
    InvalidArtifact,
    InvalidData,
    InvalidParameter,
    MissingExtra,
    TrainingFailed,
)
from diabolo.evaluate import Estimate

RUNNER = CliRunner()


def program(error: BaseException) -> typer.Typer:
    app = typer.Typer(rich_markup_mode=None)

    @app.callback()
    def main(debug: bool = False) -> None: ...

    @app.command(cls=Command)
    def fail(count: int = 0) -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidParameter("latent must be 1 or more"), 2),
        (InvalidData("row 3 is infinite"), 3),
        (InvalidArtifact("truncated"), 3),
        (MissingExtra("pip install it"), 1),
        (TrainingFailed("not finite"), 1),
        (Interrupted("stopped"), 143),
    ],
    ids=lambda case: type(case).__name__,
)
def test_our_errors_are_one_sentence_and_their_exit_code(error: Exception, code: int) -> None:
    result = RUNNER.invoke(program(error), ["fail"])
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"Error: {error}\n")


@pytest.mark.parametrize("words", [["--debug", "fail"], ["fail", "--debug"]], ids=" ".join)
def test_debug_adds_the_traceback(words: list[str]) -> None:
    result = RUNNER.invoke(program(InvalidData("row 3")), words)
    assert result.exit_code == 3
    assert result.stderr.startswith("Traceback")
    assert result.stderr.endswith("Error: row 3\n")


def test_debug_can_still_be_a_value() -> None:
    assert RUNNER.invoke(program(InvalidData("row 3")), ["fail", "--count", "1", "--debug"]).exit_code == 3
    assert RUNNER.invoke(program(InvalidData("row 3")), ["fail", "--debg"]).exit_code == 2


def test_a_mistake_of_ours_says_how_to_report_it() -> None:
    result = RUNNER.invoke(program(KeyError("center")), ["fail"])
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    assert "KeyError" in result.stderr
    assert "--debug" in result.stderr


def test_system_errors_name_the_file() -> None:
    assert in_words(PermissionError(13, "Permission denied", "/x/y")) == "/x/y: Permission denied."
    assert in_words(OSError(28, "No space left on device")) == "No space left on device."
    assert "memory" in in_words(MemoryError())
    assert "not enough memory" in in_words(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))


def test_a_note_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with notes():
        for _ in range(3):
            with warnings.catch_warnings():  # which forgets what has been told
                warnings.simplefilter("always")
                warnings.warn("twice", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "Note: twice\n"


def test_a_warning_is_a_note() -> None:
    app = typer.Typer()

    @app.command(cls=Command)
    def warn() -> None:
        warnings.simplefilter("always")
        warnings.warn("column a is constant", DiaboloWarning, stacklevel=1)

    result = RUNNER.invoke(app, [])
    assert (result.exit_code, result.stderr) == (0, "Note: column a is constant\n")


def test_exit_passes_through() -> None:
    assert RUNNER.invoke(program(typer.Exit(4)), ["fail"]).exit_code == 4


def test_talk_goes_to_standard_error_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Talk().say("done")
    Talk(quiet=True).say("nothing")
    assert capsys.readouterr() == ("", "done\n")


def test_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Talk().progress("Learning", 3) as step:
        step(1, "one")
    assert capsys.readouterr() == ("", "")


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Talk().progress("Learning", 3) as step:
        step(3, "epoch 3")
    out, err = capsys.readouterr()
    assert out == ""
    assert "Learning" in err
    assert "epoch 3" in err
    for quiet in (Talk(quiet=True).progress("Learning", 3), Talk().progress("Learning", 3, shown=False)):
        with quiet as step:
            step(1, "one")
    assert capsys.readouterr() == ("", "")


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for name, value in {"TERM": "xterm", "FORCE_COLOR": "1", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    with Talk().progress("Learning", 3) as step:
        step(1, "epoch 1")
    err = capsys.readouterr().err
    assert "Learning" in err
    assert not re.search(r"\x1b\[(\d+;)*(3\d|4\d|9\d)", err)


def test_json_is_always_valid(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"auroc": Estimate(0.5, math.nan, math.inf), "rows": (1, 2), "file": Path("a"), "name": "é"})
    out = capsys.readouterr().out
    assert "é" in out
    expected = {"auroc": {"value": 0.5, "low": None, "high": None}, "rows": [1, 2], "file": "a", "name": "é"}
    assert json.loads(out) == expected


def test_outline_of_everything() -> None:
    entry = {"a": {}, "b": [], "c": True, "d": None, "e": {"f": {"g": 1e-9}}}
    assert outline(entry) == "a: none\nb: none\nc: yes\nd: none\ne:\n  f:\n    g: 1e-09"


def test_table_columns_line_up() -> None:
    assert table([("", "value"), ("average precision", "1")]) == "                   value\naverage precision  1"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("fit with likelihoods={'b': 'Categorical'}.", "fit with -p likelihoods.b=Categorical."),
        (
            "Set likelihoods={'a': 'Normal', 'b c': 'Laplace'}, or",
            "Set -p likelihoods.a=Normal -p 'likelihoods.b c=Laplace', or",
        ),
        ("""x={"it's": 'Normal'}.""", """-p 'x.it'"'"'s=Normal'."""),
        ("Set prior='own', or name format='parquet'.", "Set -p prior=own, or name --format parquet."),
        ("'a=\\'b\\'' is not a number", "'a=\\'b\\'' is not a number"),
        ("open_source(path='x'), size=3, given={name: 1}", "open_source(path='x'), size=3, given={name: 1}"),
    ],
)
def test_parameters_are_told_as_they_are_typed(written: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(written) == told
    Talk().say(written)
    tell(InvalidData(written), debug=False)
    with notes():
        warnings.simplefilter("always")
        warnings.warn(written, DiaboloWarning, stacklevel=1)
    assert capsys.readouterr().err == f"{told}\nError: {told}\nNote: {told}\n"


def test_a_command_ends_without_taking_the_interpreter_apart() -> None:
    """What is left of other threads may not change its exit code; what is due at the end is done all the same."""
    code = (
        "import atexit, sys; sys.argv = ['diabolo', 'show', 'nowhere.diabolo']\n"
        "class Left:\n    def __del__(self): print('apart')\n"
        "sys.left = Left(); atexit.register(print, 'due')\n"
        "from diabolo.cli import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 3 and ended.stdout == "due\n" and "nowhere.diabolo" in ended.stderr
