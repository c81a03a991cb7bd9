"""The names that users import: sorted, lazy, documented, and quick to get at."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import diabolo

HEAVY = ("numpy", "pyarrow", "rich", "scipy", "sklearn", "torch", "typer")
REPORT = """
import resource, sys
{statement}
spent = resource.getrusage(resource.RUSAGE_SELF)
print(spent.ru_utime + spent.ru_stime, *sys.modules)
"""


def test_names_are_sorted() -> None:
    assert sorted(diabolo.__all__) == diabolo.__all__


def test_every_name_has_a_home_and_is_known_to_type_checkers() -> None:
    tree = ast.parse(Path(diabolo.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "diabolo" in str(node.module)]
    seen_by_type_checkers = {alias.name: node.module for node in imports for alias in node.names}
    assert seen_by_type_checkers == diabolo._HOME
    assert set(diabolo._HOME) == set(diabolo.__all__)


@pytest.mark.parametrize("name", diabolo.__all__)
def test_name_is_there_and_documented(name: str) -> None:
    value = getattr(diabolo, name)
    assert value.__name__ == name
    assert inspect.getdoc(value)
    assert diabolo.__dict__[name] is value  # the next look-up costs nothing


def test_dir_lists_the_names() -> None:
    assert set(diabolo.__all__) <= set(dir(diabolo))


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"'diabolo' has no attribute 'Anomaly'.*AnomalyDetector.*load"):
        diabolo.Anomaly  # noqa: B018


def test_import_is_quick_and_loads_nothing_heavy() -> None:
    seconds, modules = spent("import diabolo")
    assert not modules & set(HEAVY)
    assert seconds < 0.2


def test_help_is_quick_and_loads_no_torch() -> None:
    seconds, modules = spent("from diabolo.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass")
    assert not modules & {"pyarrow", "sklearn", "torch"}
    assert seconds < 0.35


def spent(statement: str) -> tuple[float, set[str]]:
    """CPU-seconds of a new process that runs ``statement`` (the least of five), and the modules that it loaded."""
    runs = [fresh_process(statement) for _ in range(5)]
    return min(float(run[0]) for run in runs), set(runs[0][1:])


def fresh_process(statement: str) -> list[str]:
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "COVERAGE_"))}
    command = [sys.executable, "-c", REPORT.format(statement=statement)]
    done = subprocess.run(command, capture_output=True, check=True, env=quiet, text=True)
    return done.stdout.splitlines()[-1].split()
