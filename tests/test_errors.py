"""The tree of errors: what the drawing in the module says, what the classes do and what a shell sees."""

from __future__ import annotations

import inspect
import re

import pytest
import typer
from typer.testing import CliRunner

from diabolo import errors
from diabolo.console import Command
from diabolo.errors import DiaboloError, InvalidData, InvalidParameter, suggestion

CLASSES = {name: of for name, of in vars(errors).items() if inspect.isclass(of) and of.__module__ == errors.__name__}
ERRORS = {name: of for name, of in CLASSES.items() if issubclass(of, DiaboloError)}
BRANCH = re.compile(r"^(?P<trunk>(?:│   |    )*)[├└]── (?P<name>\w+)(?: \((?P<builtin>\w+)\))?(?P<meaning>.*)$")


def drawn() -> dict[str, dict[str, str]]:
    """Each error of the drawing: the parent above it, its builtin and its exit code, those of the parent if unsaid."""
    path = [{"name": "DiaboloError", "builtin": "Exception", "exit": "1"}]
    found = {}
    for branch in filter(None, map(BRANCH.match, str(errors.__doc__).splitlines())):
        path = path[: len(branch["trunk"]) // 4 + 1]
        code = re.search(r"exit code (\d+)", branch["meaning"])
        path.append(
            {
                "name": branch["name"],
                "parent": path[-1]["name"],
                "builtin": branch["builtin"] or path[-1]["builtin"],
                "exit": code[1] if code else path[-1]["exit"],
            }
        )
        found[branch["name"]] = path[-1]
    return found


def test_every_error_is_drawn() -> None:
    assert {"DiaboloError", *drawn()} == set(ERRORS)


@pytest.mark.parametrize("name", drawn())
def test_drawing_is_true(name: str) -> None:
    said, of = drawn()[name], ERRORS[name]
    assert of.__bases__[0].__name__ == said["parent"]
    assert said["builtin"] in {each.__name__ for each in of.__mro__ if each.__module__ == "builtins"}
    assert of.exit_code == int(said["exit"])


def test_warning_of_the_drawing_is_a_user_warning() -> None:
    assert set(CLASSES) - set(ERRORS) == {"DiaboloWarning"}
    assert "DiaboloWarning (UserWarning)" in str(errors.__doc__)
    assert issubclass(errors.DiaboloWarning, UserWarning) and not issubclass(errors.DiaboloWarning, DiaboloError)


@pytest.mark.parametrize("name", ERRORS)
def test_a_shell_sees_the_exit_code_and_a_person_the_message(name: str) -> None:
    app = typer.Typer()

    @app.command(cls=Command)
    def fail() -> None:
        raise ERRORS[name]("Column 'price' is empty.")

    done = CliRunner().invoke(app)
    assert done.exit_code == ERRORS[name].exit_code > 0
    assert done.stderr == "Error: Column 'price' is empty.\n" and not done.stdout


def test_scripts_tell_a_wrong_call_from_wrong_rows() -> None:
    assert (InvalidParameter.exit_code, InvalidData.exit_code, DiaboloError.exit_code) == (2, 3, 1)


@pytest.mark.parametrize(
    ("word", "question"),
    [
        ("varaint", " Did you mean 'variant'?"),
        ("VARIANT", " Did you mean 'variant'?"),
        ("iforest", " Did you mean 'IForest'?"),  # spelled as it is known, not as it was typed
        ("wholly different", ""),
        ("", ""),
    ],
)
def test_suggestion(word: str, question: str) -> None:
    assert suggestion(word, ["trainer", "variant", "IForest"]) == question
    assert suggestion(word, iter(["trainer", "variant", "IForest"])) == question


def test_nothing_known_suggests_nothing() -> None:
    assert suggestion("variant", ()) == ""
