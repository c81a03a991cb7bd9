"""How the command line talks: data on standard output, everything else on standard error."""

from __future__ import annotations

import ast
import atexit
import json
import math
import os
import re
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperCommand

from diabolo.errors import DiaboloError

if TYPE_CHECKING:
    from pathlib import Path

    from diabolo.evaluate import Estimate
    from diabolo.tasks.task import Task


TEXT = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""  # as repr writes it
WRITTEN = re.compile(rf"(?<![\w.(='\"])(\w+)=({TEXT}|\{{{TEXT}: {TEXT}(?:, {TEXT}: {TEXT})*\}})")


class Command(TyperCommand):
    """A command whose errors are told in words, with their exit code; ``--debug`` may stand anywhere in it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--debug" in args:
            args.remove("--debug")
            ctx.find_root().params["debug"] = True
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            with notes():
                return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as error:
            tell(error, debug=ctx.find_root().params.get("debug", False))
            raise typer.Exit(getattr(error, "exit_code", 1)) from None


@contextmanager
def notes() -> Iterator[None]:
    """Warnings inside are told as one line on standard error, each once."""
    told: set[str] = set()

    def tell_once(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in told:
            print(f"Note: {typed(str(message))}", file=sys.stderr)
        told.add(str(message))

    with warnings.catch_warnings():
        warnings.showwarning = tell_once
        yield


def typed(text: str) -> str:
    """``text`` with parameters as Python writes them put as they are typed.

    >>> typed("Fit with likelihoods={'flow rate': 'Laplace'}, or name format='csv'.")
    "Fit with -p 'likelihoods.flow rate=Laplace', or name --format csv."
    """
    return WRITTEN.sub(_typed, text)


def _typed(found: re.Match[str]) -> str:
    name, value = found[1], ast.literal_eval(found[2])
    if name == "format":
        return f"--format {value}"
    settings = {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
    return " ".join(f"-p {shlex.quote(f'{key}={each}')}" for key, each in settings.items())


def tell(error: Exception, *, debug: bool) -> None:
    """The error on standard error: in one sentence, after its traceback if ``debug``."""
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    print(f"Error: {typed(in_words(error))}", file=sys.stderr)


def in_words(error: Exception) -> str:
    """What happened and what to do next."""
    if isinstance(error, DiaboloError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # the latter is torch's way
        return "There is not enough memory. Close other programs, or give fewer columns or a smaller variant.latent."
    return (
        f"diabolo stopped on a mistake of its own, {type(error).__name__}: {error}. "
        "Run the command again with --debug and report what it prints."
    )


def learned(task: Task, output: Path) -> str:
    """What fit has to say at its end."""
    from diabolo.report.words import count
    from diabolo.tasks.comparison import better, pca

    schema, told = task.preparation_.schema_, task.comparison_
    aside = "".join(f"\n  left out: {column}, {reason}" for column, reason in schema.dropped.items())
    found = "".join(f"Found {finding}\n" for finding in task.diagnose())
    read = {column.source for column in schema.columns if not column.given}
    under = f", given {' and '.join(schema.told)}," if schema.conditional else ""
    some = f"1000 -o new.{'parquet' if schema.grid else 'csv'}"
    return (
        f"Learned {count(len(read), 'column')}{under} in {count(len(task.history_), 'epoch')}.{aside}\n"
        f"Beside {pca(told)}, {better(told)}:\n"
        f"  {told['measure']}\n  {told['deep']:.3g}, with PCA {told['linear']:.3g}; the difference is "
        f"{told['difference']:.2g} +- {told['error']:.2g} on {count(told['rows'], 'held-out row')}\n"
        f"{found}Wrote {output}. Next: diabolo run {output} {some if task.draws else 'NEW_DATA'}"
    )


class Talk:
    """What is said on standard error while work goes on; nothing if ``quiet``."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet

    def say(self, text: str) -> None:
        if not self.quiet:
            sys.stdout.flush()  # keeps the two streams in order where they end in one place
            print(typed(text), file=sys.stderr)

    @contextmanager
    def progress(self, label: str, total: float | None, shown: bool = True) -> Iterator[Callable[[float, str], None]]:
        """A bar of ``total`` steps, on a terminal only; call what it yields with steps done and what to call them."""
        if self.quiet or not shown or not sys.stderr.isatty():
            yield lambda steps, now: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[now]}"), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total, now="")
            yield lambda steps, now: bar.update(task, advance=steps, now=now)


@contextmanager
def signals() -> Iterator[None]:
    """A reader that has gone away ends the program silently; SIGTERM leaves with 143 after everything is tidied."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def leaving(*, at_once: bool) -> Iterator[None]:
    """End the process ``at_once`` with the code of a SystemExit, without taking the interpreter apart.

    A thread of Arrow may still hold a file of Python's then, which aborts the process in place of its exit code.
    """
    try:
        yield
    except SystemExit as end:
        if not at_once:
            raise
        atexit._run_exitfuncs()
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        try:
            sys.stdout.flush()
        except OSError as error:  # such as a full disk
            print(f"Error: standard output cannot be written to: {error.strerror}.", file=sys.stderr)
            code = code or 1
        sys.stderr.flush()
        os._exit(code)


def _terminated(number: int, frame: Any) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    print("Stopped.", file=sys.stderr)
    raise SystemExit(128 + number)


def emit(value: Any) -> None:
    """``value`` as JSON on standard output; a number that JSON cannot hold becomes null."""
    print(json.dumps(_plain(value), indent=2, ensure_ascii=False, default=str))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def outline(value: Any, depth: int = 0) -> str:
    """A nested mapping as indented lines.

    >>> print(outline({"rows": 3, "columns": ["a", "b"], "cost": {"deep": 1.23456}}))
    rows: 3
    columns: a, b
    cost:
      deep: 1.235
    """
    indent = "  " * depth
    lines = []
    for key, each in value.items():
        if isinstance(each, Mapping) and each:
            lines.append(f"{indent}{key}:\n{outline(each, depth + 1)}")
        else:
            lines.append(f"{indent}{key}: {_in_line(each)}")
    return "\n".join(lines)


def _in_line(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple, Mapping)):
        return ", ".join(map(_in_line, value)) or "none"
    return "none" if value is None else str(value)


def estimates(figures: Mapping[str, Estimate]) -> str:
    """Figures and their intervals, side by side."""
    rows = [
        (name.replace("_", " "), f"{at.value:.4f}", f"{at.low:.4f} to {at.high:.4f}") for name, at in figures.items()
    ]
    return table([("", "value", "95 % interval"), *rows])


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of words as columns, each as wide as its widest word.

    >>> print(table([("auroc", "0.98"), ("f1", "0.9")]))
    auroc  0.98
    f1     0.9
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
