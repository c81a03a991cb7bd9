"""The tree of errors: what the drawing in the module says, what the classes do and what a shell sees."""

from __future__ import annotations

import inspect
import re
import sys

import pytest
import typer

import diabolo
from diabolo import console, errors
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
def test_a_shell_sees_the_exit_code_and_a_person_the_message(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as left, console.friendly():
        raise ERRORS[name]("Column 'price' is empty.")
    assert left.value.exit_code == ERRORS[name].exit_code > 0
    said = capsys.readouterr()
    assert "Column 'price' is empty." in said.err and "Traceback" not in said.err and not said.out


def test_errors_of_users_never_look_like_success_or_like_each_other() -> None:
    assert InvalidParameter.exit_code != InvalidData.exit_code
    assert not [name for name, of in ERRORS.items() if of.exit_code == 0]


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


def test_error_message_survives_unchanged() -> None:
    """No class swallows or rewrites what it is told (ImportError and others have constructors of their own)."""
    assert {str(of("what to do")) for of in ERRORS.values()} == {"what to do"}
