"""Write the pages that follow from the code; with --check, say which of them are out of date and leave with 1.

cli.md from ``--help``, variants.md and parameters.md from the declared parameters, reference/ from the modules.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from diabolo import cli
from diabolo.catalogue import known, sentence
from diabolo.params import Parameter, Params
from diabolo.preparation import Preparation
from diabolo.variants import Variant, named

DOCS = Path(__file__).resolve().parent
SOURCES = DOCS.parent / "src" / "diabolo"
NOTE = "<!-- Written by docs/generate.py; change the code instead. -->\n\n"
PLAIN = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "TERMINAL_WIDTH": "100"}

# Page -> title and modules; test_docs.py says which module is missing.
REFERENCE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "tasks": ("Tasks", ("tasks",)),
    "around": (
        "Around a task",
        (
            "advice",
            "explain",
            "regions",
            "evaluate",
            "plots",
            "report",
            "stream",
            "diagnosis",
            "checks",
            "catalogue",
            "doctor",
        ),
    ),
    "data": ("Data", ("schema", "readers", "writers", "files", "grids", "images", "preparation")),
    "training": ("Training", ("variants", "trainer", "batches", "checkpoints", "distributed", "schedules")),
    "decisions": ("Decisions", ("thresholds", "evidence", "scorer")),
    "parts": (
        "Parts",
        (
            "autoencoder",
            "corruptions",
            "bottlenecks",
            "priors",
            "flows",
            "likelihoods",
            "penalties",
            "networks",
            "dictionary",
            "linear",
            "layouts",
            "neighbours",
            "pixels",
            "ensemble",
        ),
    ),
    "foundations": ("Foundations", ("errors", "params", "randomness", "artifact", "manifest")),
}


def pages() -> dict[Path, str]:
    """Every generated page by its place."""
    made = {DOCS / "cli.md": command_line(), DOCS / "variants.md": variants(), DOCS / "parameters.md": parameters()}
    return made | {DOCS / "reference" / f"{page}.md": reference(*entry) for page, entry in REFERENCE.items()}


def command_line() -> str:
    """Every command as its ``--help`` shows it."""
    parts = [f"## `{' '.join(path)}`\n\n```text\n{help_of(path)}\n```\n" for path in commands()]
    return "\n".join([NOTE + "# Command line\n", *parts])


def commands() -> Iterator[tuple[str, ...]]:
    """The words of every command, ``diabolo`` itself first."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        for name, inner in getattr(command, "commands", {}).items():
            if not inner.hidden:
                yield from walk(inner, (*path, name))

    yield from walk(typer.main.get_command(cli.app), ("diabolo",))


def help_of(path: tuple[str, ...]) -> str:
    result = CliRunner(env=PLAIN).invoke(cli.app, [*path[1:], "--help"], prog_name="diabolo", catch_exceptions=False)
    return "\n".join(line.rstrip() for line in result.output.strip().splitlines())


def variants() -> str:
    """One section for each variant: what it is, and a row for each parameter."""
    head = (
        '# Variants\n\nA variant is a [choice of parts](concept.md). Take one by its name, `variant="Masked"`, or set'
        " its numbers:\n`variant=Masked(latent=4)` in Python, `-p variant=Masked -p variant.latent=4` on the command"
        " line.\n"
    )
    return "\n".join([NOTE + head, overview(named().values()), *(section(each) for each in named().values())])


def overview(classes: Iterable[type[Params]]) -> str:
    rows = [f"| [{each.__name__}](#{each.__name__.lower()}) | {sentence(each)} |" for each in classes]
    return "\n".join(["| variant | in one sentence |", "|---|---|", *rows, ""])


def parameters() -> str:
    """One section for each class with parameters that is not a variant."""
    head = (
        "# Parameters\n\nEvery parameter is declared once in the code; from that line follow the constructor, the check"
        " in `fit`,\n`-p name=value` on the command line, and this page. `trainer.epochs` on the command line is\n"
        "`trainer=Trainer(epochs=...)` in Python.\n"
    )
    others = [each for each in (*known().values(), Preparation) if not issubclass(each, Variant)]
    return "\n".join([NOTE + head, *(section(each) for each in others)])


def section(of: type[Params]) -> str:
    rows = [row(each) for each in of.parameters().values()]
    table = ["| parameter | default | allowed | meaning |", "|---|---|---|---|", *rows] if rows else ["No parameters."]
    return "\n".join([f"## {of.__name__}\n", f"{description(of)}\n", *table, ""])


def row(parameter: Parameter) -> str:
    cells = (f"`{parameter.name}`", f"`{parameter.default!r}`", parameter.allowed, parameter.doc)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def description(of: type) -> str:
    """The docstring in Markdown, up to its example."""
    text = re.split(r"^(?:Examples$|>>> )", inspect.getdoc(of) or "", maxsplit=1, flags=re.MULTILINE)[0]
    return re.sub(r"``(.+?)``", r"`\1`", text.strip())


def reference(title: str, modules: tuple[str, ...]) -> str:
    parts = [f"::: {name}\n" for module in modules for name in with_files(module)]
    return "\n".join([NOTE + f"# {title}\n", *parts])


def with_files(module: str) -> list[str]:
    """The module, and after a folder its files, unless the folder lists its names itself."""
    start = SOURCES / module / "__init__.py"
    listed = start.is_file() and "__all__" in start.read_text("utf-8")
    files = [] if listed else sorted((SOURCES / module).glob("[!_]*.py"))
    return [f"diabolo.{module}", *(f"diabolo.{module}.{file.stem}" for file in files)]


def main(arguments: list[str]) -> int:
    """Write every page, or only compare."""
    stale = {page: text for page, text in pages().items() if not page.is_file() or page.read_text("utf-8") != text}
    for page, text in stale.items():
        print(page.relative_to(DOCS.parent))
        if "--check" not in arguments:
            page.parent.mkdir(exist_ok=True)
            page.write_text(text, encoding="utf-8")
    return int("--check" in arguments and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
