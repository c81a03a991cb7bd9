"""What is public is documented, generated pages are current, and the README's commands and code run."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer

import diabolo
from diabolo import cli
from diabolo.catalogue import known
from diabolo.params import Params
from diabolo.preparation import Preparation

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PARAMETRISED: tuple[type[Params], ...] = (*known().values(), Preparation)
OF_THE_COMMAND_LINE = {
    "diabolo.__init__",
    "diabolo.__main__",
    "diabolo.arguments",
    "diabolo.cli",
    "diabolo.console",
    "diabolo.demo",
    "diabolo.drawing",
}
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = (
    "index",
    "choosing",
    "anomalies",
    "imputing",
    "denoising",
    "embedding",
    "clustering",
    "synthesizing",
    "conditions",
    "judging",
    "dictionaries",
)
READ = ("README.md", *(f"docs/{page}.md" for page in PAGES))
FETCHED = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//""")
SET_UP = ("python3.11 -m venv", "pip install", "make ")  # made before any test runs; CI runs `make test`


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_current(generate: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0, f"run `make docs`: {capsys.readouterr().out}"


def test_every_module_is_in_the_reference(generate: ModuleType) -> None:
    listed = {f"diabolo.{module}" for _, modules in generate.REFERENCE.values() for module in modules}
    files = (ROOT / "src" / "diabolo").glob("*")
    modules = {f"diabolo.{file.stem}" for file in files if file.suffix == ".py" or (file / "__init__.py").exists()}
    assert modules - OF_THE_COMMAND_LINE == listed


@pytest.mark.parametrize("name", diabolo.__all__)
def test_public_name_is_in_the_reference(generate: ModuleType, name: str) -> None:
    listed = {f"diabolo.{module}" for _, modules in generate.REFERENCE.values() for module in modules}
    assert ".".join(diabolo._HOME[name].split(".")[:2]) in listed


@pytest.mark.parametrize("of", PARAMETRISED, ids=lambda of: of.__name__)
def test_every_parameter_is_documented(of: type[Params]) -> None:
    assert of.__doc__
    assert not [name for name, parameter in of.parameters().items() if not parameter.doc]


def test_every_command_and_option_is_documented(generate: ModuleType) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for path in generate.commands():
        assert f"## `{' '.join(path)}`" in page
        assert command(path).help, path
        assert not [each.name for each in command(path).params if not getattr(each, "help", None)], path


def test_readme_names_every_command(generate: ModuleType) -> None:
    assert not [path for path in generate.commands() if len(path) == 2 and f"diabolo {path[1]}" not in README]


def test_links_inside_the_repository_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    links = ((page, link) for page in pages for link in re.findall(r"\]\((?!\w+:|#)([^)#]+)", page.read_text("utf-8")))
    assert not [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]


def test_commands_and_code_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page from top to bottom in one folder, as a reader would; a command that two pages show runs once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    ran: set[str] = set()
    for page in READ:
        names: dict[str, object] = {}
        for language, text in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
            if language == "python":
                exec(compile(text, page, "exec"), names)
            else:
                run_commands(text, ran)


def test_site_builds_and_fetches_nothing(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not [page.name for page in tmp_path.rglob("*.html") if FETCHED.search(page.read_text(encoding="utf-8"))]


def command(path: tuple[str, ...]):
    found = typer.main.get_command(cli.app)
    for name in path[1:]:
        found = found.commands[name]
    return found


def run_commands(text: str, ran: set[str]) -> None:
    """The lines of a console block that follow a ``$``; a line that ends in a backslash goes on."""
    lines = [
        line.replace(".venv/bin/", "") for line in re.findall(r"^\$ (.*)", text.replace("\\\n", " "), re.MULTILINE)
    ]
    for line in lines:
        if line not in ran and not line.startswith(SET_UP):
            done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            ran.add(line)
