"""The style of DESIGN as data: how long a function and a file may be, and which words name nothing."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "diabolo"
SOURCES = sorted(SRC.rglob("*.py"))
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in SOURCES}

LONGEST_FILE = 400  # lines that are not blank
MEDIAN_BODY, NINETIETH_BODY = 5, 20  # statements' lines of a function, without its docstring
NAMELESS = {"manager", "engine", "handler", "helper", "helpers", "util", "utils", "common", "base", "wrapper", "config"}
UNSAFE = ("torch.load", "allow_pickle=True", "pickle.load", "weights_only=False", "eval(", "exec(", "os.system(")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError\b(?!\()")

FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(SRC)))
def test_file_fits_a_head(file: Path) -> None:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= LONGEST_FILE


def test_functions_are_short() -> None:
    lengths = sorted(body(function) for function in functions())
    assert statistics.median(lengths) <= MEDIAN_BODY
    assert statistics.quantiles(lengths, n=10)[-1] <= NINETIETH_BODY


def test_names_say_something() -> None:
    named = (ast.ClassDef, *FUNCTION.__args__)
    names = {node.name for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, named)}
    assert not {name for name in names | {file.stem for file in SOURCES} if words(name) & NAMELESS}
    assert not {name for name in names if re.search(r"v\d+$", name, re.IGNORECASE)}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(SRC)))
def test_nothing_unsafe_or_unfinished(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not [call for call in UNSAFE if re.search(rf"(?<![\w.]){re.escape(call)}", text)]
    assert not UNFINISHED.search(text)


def test_every_module_has_its_tests() -> None:
    """tests mirror src: a module is tested by the file of its own name or of its folder's."""
    tests = {file.stem.removeprefix("test_") for file in (ROOT / "tests").glob("test_*.py")}
    modules = {file.relative_to(SRC).with_suffix("") for file in SOURCES if not file.stem.startswith("__")}
    assert not sorted(str(module) for module in modules if not tests & set(module.parts))


@pytest.mark.parametrize("rule", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_agrees(rule: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "ruff", *rule, "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def words(name: str) -> set[str]:
    """The words of snake_case and CamelCase names: {'base', 'class'} of both base_class and BaseClass."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def functions() -> Iterator[FUNCTION]:
    return (node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, FUNCTION))


def body(function: FUNCTION) -> int:
    """The lines of a function below its signature and docstring."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    statements = function.body[1:] if documented else function.body
    return statements[-1].end_lineno - statements[0].lineno + 1 if statements else 0
