"""Dependencies point one way, and every optional dependency stays in its own file."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "diabolo"

# A module may import from its own layer and from those above it in this list; a folder stands for its files.
LAYERS = (
    ("errors", "files", "params", "schema"),
    ("randomness", "batches", "schedules"),
    (
        "autoencoder",
        "bottlenecks",
        "corruptions",
        "flows",
        "likelihoods",
        "networks",
        "penalties",
        "priors",
        "dictionary",
        "linear",
        "layouts",
        "neighbours",
        "pixels",
        "ensemble",
    ),
    ("grids", "images", "readers", "writers", "preparation"),
    ("manifest", "artifact", "checkpoints", "distributed", "trainer", "variants", "evidence", "thresholds", "scorer"),
    ("diagnosis",),
    ("tasks",),
    ("regions", "explain", "evaluate", "report", "plots", "export", "stream", "checks", "catalogue", "advice"),
    ("arguments", "cli", "console", "demo", "doctor", "drawing", "__main__"),
)
# joblib, scipy and threadpoolctl are scikit-learn's own dependencies.
CORE = {"joblib", "numpy", "pyarrow", "safetensors", "scipy", "sklearn", "threadpoolctl", "torch"}
# Where anything else may be imported; jaxtyping only for the type checker.
ELSEWHERE = {
    "matplotlib": {"plots"},
    "PIL": {"images"},
    "rich": {"console"},
    "typer": {"arguments", "cli", "console", "drawing"},
    "umap": {"layouts"},
}
FREE_OF_TORCH = ("errors", "files", "params", "schema")

LEVEL = {module: level for level, layer in enumerate(LAYERS) for module in layer}


def test_every_module_has_a_layer() -> None:
    assert {part(file) for file in files()} - {"__init__"} <= set(LEVEL)


def test_dependencies_point_one_way() -> None:
    assert not [f"{here} -> {there}" for here, there in edges(every_import) if LEVEL[there] > LEVEL[here]]


def test_no_two_modules_import_each_other() -> None:
    graph = TopologicalSorter[str]()
    for here, there in edges(run_on_import):
        graph.add(here, there)
    graph.prepare()  # raises CycleError, naming the cycle


@pytest.mark.parametrize("file", sorted(SRC.rglob("*.py")), ids=lambda file: str(file.relative_to(SRC)))
def test_other_packages_stay_in_their_place(file: Path) -> None:
    known = CORE | sys.stdlib_module_names | {"diabolo"}
    strangers = {name.partition(".")[0] for name in run_on_import(parsed(file), deep=True)} - known
    assert not {name for name in strangers if part(file) not in ELSEWHERE.get(name, ())}


@pytest.mark.parametrize("module", FREE_OF_TORCH)
def test_plain_data_needs_no_torch(module: str) -> None:
    names = {name.partition(".")[0] for name in run_on_import(parsed(SRC / f"{module}.py"))}
    assert "torch" not in names


def files() -> list[Path]:
    return sorted(SRC.rglob("*.py"))


def part(file: Path) -> str:
    """The folder or the file, as LAYERS names it."""
    return file.relative_to(SRC).parts[0].removesuffix(".py")


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def edges(imports: Callable[[ast.Module], set[str]]) -> set[tuple[str, str]]:
    """Who imports whom inside diabolo, by the names of LAYERS."""
    found = set()
    for file in files():
        if part(file) in LEVEL:
            names = (name.split(".") for name in imports(parsed(file)) if name.startswith("diabolo."))
            found |= {(part(file), name[1]) for name in names if name[1] in LEVEL and name[1] != part(file)}
    return found


def every_import(tree: ast.Module) -> set[str]:
    """Every name imported anywhere, for the type checker too."""
    return {name for node in ast.walk(tree) for name in imported(node)}


def run_on_import(tree: ast.Module, deep: bool = False) -> set[str]:
    """What is imported when the module is; ``deep`` counts the bodies of functions too."""
    return {name for node in running(tree, deep) for name in imported(node)}


def running(node: ast.AST, deep: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        if deep or not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from running(child, deep)


def imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {f"{node.module}.{alias.name}" for alias in node.names}
    return set()
