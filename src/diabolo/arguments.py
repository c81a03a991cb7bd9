"""What the words of a command stand for: files, models, rows and columns; each is looked at before long work begins."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diabolo.errors import InvalidParameter, SchemaMismatch, suggestion

if TYPE_CHECKING:
    from pyarrow import RecordBatch

    from diabolo.console import Talk
    from diabolo.readers import Source
    from diabolo.tasks.anomaly_detector import AnomalyDetector
    from diabolo.tasks.task import Task


Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file that fit wrote.", show_default=False)]
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A csv, tsv, parquet, arrow, jsonl, npz or npy file, text also as .gz; a folder of images, or one; - is "
        "standard input.",
        show_default=False,
    ),
]
Format = Annotated[
    str | None, typer.Option("--format", metavar="FORMAT", help="Format of DATA, where its name does not tell.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]


def examples(*lines: str) -> str:
    """The end of a help page, line for line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def open_data(data: str, format: str | None, task: Task | None = None, *, verbatim: bool = False) -> Source:
    """The rows of DATA, images as ``task`` knows them; with ``verbatim`` what it did not learn from stays as it is.

    Raises InvalidParameter for a format that is not known.
    """
    from diabolo.readers import FORMATS, open_source

    if format is not None and format not in FORMATS and not format.startswith("images"):
        raise InvalidParameter(
            f"There is no format {format!r}.{suggestion(format, FORMATS)} Use: {', '.join(FORMATS)}, images."
        )
    if task is None:
        return open_source(data, format)
    schema, types = task.preparation_.schema_, task.fields_.types
    if verbatim:
        types = {name: types.get(name, "") for name in schema.sources if name not in schema.dropped}
    return open_source(data, format, schema, types, verbatim=verbatim)


def results_of(
    task: Task, data: str, format: str | None, talk: Talk, *, verbatim: bool, reasons: bool
) -> tuple[int | None, Iterator[RecordBatch]]:
    """How many rows there will be, where that is known, and the rows; for a task that draws DATA is their number.

    With ``verbatim`` text that it did not learn from stays as it is. What is left out is told, also what gives way to
    what is found, the ``reasons`` among it.
    """
    from diabolo import Synthesizer, stream

    if not isinstance(task, Synthesizer):
        source = open_data(data, format, task, verbatim=verbatim)
        if source.set_aside:
            told = ", ".join(f"{name} ({reason})" for name, reason in source.set_aside.items())
            talk.say(f"Columns that are not passed through: {told}")
        taken = [name for name in source.schema.names if task.adds(name) and (reasons or name != stream.REASONS)]
        if taken:
            talk.say(f"Note: {', '.join(taken)} of DATA give way to what the model finds. Rename them to keep them.")
        return source.rows, stream.results(task, source)
    if not (data.isdecimal() and len(data) < 16):
        raise InvalidParameter(
            f"This model draws new rows, so that DATA is their number; got {data!r}. Type, for example: diabolo run "
            "MODEL 1000 -o new.csv"
        )
    return int(data), task.batches(int(data))


def check_output(output: Path | str, *inputs: Path | str, rows: bool = False) -> None:
    """Raise InvalidParameter before the long work if its result would have no place; only rows go into a pipe."""
    path = Path(output)
    if str(output) == "-":
        if not rows:
            raise InvalidParameter("-o - is the standard output, which takes rows alone; name a file.")
        return
    if path.is_dir():
        new = ", or, for images, a folder that is not there yet" if rows else ""
        raise InvalidParameter(f"-o {output} is a folder; name a file in it, such as -o {path / 'result'}{new}.")
    if not rows and path.exists() and not path.is_file():
        raise InvalidParameter(f"-o {output} is a pipe or a device; name a file.")
    if not path.parent.is_dir():
        raise InvalidParameter(f"There is no folder {path.parent} for -o {output}. Type: mkdir -p {path.parent}")
    if path.exists() and any(os.path.exists(each) and path.samefile(each) for each in inputs):
        raise InvalidParameter(f"-o {output} is the file of DATA or of MODEL; name another one.")


def check_share(fdr: float | None) -> None:
    """Raise InvalidParameter where --fdr is no share."""
    if fdr is not None and not 0 < fdr <= 1:
        raise InvalidParameter(f"--fdr must be a share above 0 and up to 1, such as 0.05. Got {fdr:g}.")


def check_names(task: Task, source: Source) -> None:
    """Raise SchemaMismatch where a task is to learn from columns that have the names of what it finds."""
    from diabolo import stream

    stream.check_names(task, (name for name in source.schema.names if name not in task.ignore))


def detector_at(model: Path, what: str) -> AnomalyDetector:
    """The detector in the file MODEL. Raises InvalidParameter, naming ``what`` was asked, for another task."""
    from diabolo import load

    task = load(model)
    check_detector(task, what)
    return task


def check_detector(task: Task, what: str) -> None:
    """Raise InvalidParameter, naming ``what`` was asked, for another task than a detector."""
    from diabolo import AnomalyDetector, stream

    if not isinstance(task, AnomalyDetector):
        raise InvalidParameter(
            f"{what} for detectors; this is a model of the task {type(task).__name__}. "
            "Make one: diabolo fit detect DATA -o MODEL"
        )
    stream.check_names(task, (column.source for column in task.preparation_.schema_.columns))


def row_numbers(text: str) -> list[int]:
    """The numbers in ``3,17``. Raises InvalidParameter for anything else."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [-1]
    if min(numbers) < 0 or max(numbers) >= 2**63:
        raise InvalidParameter(f"--rows {text} must be numbers from 0 up with commas between them, such as 3,17.")
    return numbers


def image_shape(text: str | None) -> tuple[int, ...] | None:
    """The numbers in ``28x28`` or ``3x28x28``. Raises InvalidParameter for anything else."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) not in (2, 3) or not all(part.isdecimal() and int(part) for part in parts):
        raise InvalidParameter(f"--shape {text} must be HEIGHTxWIDTH or CHANNELSxHEIGHTxWIDTH, such as 28x28.")
    return tuple(map(int, parts))


def check_column(name: str, source: Source) -> None:
    """Raise SchemaMismatch for a column that DATA lacks."""
    names = source.schema.names
    if name not in names:
        raise SchemaMismatch(
            f"{source.name} has no column {name!r}.{suggestion(name, names)} Its columns: {', '.join(names)}."
        )
