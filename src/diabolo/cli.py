"""The command line. torch, numpy, scikit-learn and pyarrow are imported inside the commands that need them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diabolo import __version__
from diabolo.arguments import (
    Data,
    Format,
    Json,
    Model,
    Quiet,
    check_column,
    check_detector,
    check_names,
    check_output,
    check_share,
    detector_at,
    examples,
    open_data,
    results_of,
    row_numbers,
)
from diabolo.console import Command, Talk, emit, estimates, learned, leaving, outline, signals, table, typed
from diabolo.drawing import plot
from diabolo.errors import Interrupted, InvalidParameter

if TYPE_CHECKING:
    from diabolo.readers import Source
    from diabolo.tasks.task import Task

app = typer.Typer(
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
ANOMALIES = 4  # exit code of `run --fail-on-anomaly`


def _version(asked: bool) -> None:
    if asked:
        print(f"diabolo {__version__}")
        raise typer.Exit


@app.callback(
    epilog=examples(
        "diabolo demo",
        "diabolo fit detect train.csv -o pump.diabolo",
        "diabolo run pump.diabolo new.csv -o scored.csv",
    )
)
def diabolo(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Learn what is normal in data without labels; find anomalies, say why, fill gaps.

    Data goes to standard output, talk to standard error. Exit codes: 0 done, 1 failed, 2 wrong command, 3 bad data,
    4 anomalies found under --fail-on-anomaly, 130 and 143 stopped by a signal.
    """


@app.command(
    cls=Command,
    epilog=examples(
        "diabolo fit detect train.csv -o pump.diabolo",
        "diabolo fit detect big.parquet -o big.diabolo -p variant=VAE -p variant.latent=4 -p trainer.epochs=50",
        "diabolo fit impute gaps.csv -o fill.diabolo -p likelihoods.amount=StudentT",
    ),
)
def fit(  # noqa: PLR0913 - each option of the command is a parameter
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK", help="What for: detect, impute, denoise, embed, cluster or synthesize.", show_default=False
        ),
    ],
    data: Data,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="MODEL", help="The model file to write.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", "-p", metavar="NAME=VALUE", help="Set a parameter; `diabolo show TASK` lists them."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random; equal seeds give equal models.")] = 0,
    format: Format = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a fit of this MODEL that was stopped.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Learn what is normal in DATA; write MODEL.

    DATA may be larger than memory. A fit that is stopped (Ctrl-C, SIGTERM, kill -9) leaves its state in
    MODEL.training, from where --resume goes on.
    """
    from diabolo.catalogue import chosen

    talk = Talk(quiet)
    check_output(output, data)
    made, source = chosen(task, settings or (), seed), open_data(data, format)
    check_names(made, source)
    _train(made, source, output, talk, resume=resume)
    talk.say(learned(made, output))
    if as_json:
        emit({"model": str(output), **made.card()})


@app.command(
    cls=Command,
    epilog=examples(
        "diabolo run pump.diabolo new.csv -o scored.csv",
        "diabolo run pump.diabolo new.parquet --only-scores --output-format jsonl | head",
        "diabolo run pump.diabolo today.csv -o today.parquet --fdr 0.05 --explain --fail-on-anomaly",
        "zcat gaps.csv.gz | diabolo run fill.diabolo - > filled.csv",
        "diabolo run twin.diabolo 10000 -o synthetic.csv",
    ),
)
def run(  # noqa: PLR0913 - each option of the command is a parameter
    model: Model,
    data: Data,
    output: Annotated[str, typer.Option("--output", "-o", metavar="OUT", help="The file of rows to write.")] = "-",
    only_scores: Annotated[bool, typer.Option("--only-scores", help="Leave out the columns of DATA.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Add the reasons of every anomaly, in a column.")] = False,
    fdr: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Mark rows so that at most this share of the marked is expected to be normal."
        ),
    ] = None,
    fail_on_anomaly: Annotated[bool, typer.Option("--fail-on-anomaly", help="Exit with 4 if a row is marked.")] = False,
    format: Format = None,
    output_format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="Format of OUT, where its name does not tell.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Do for every row of DATA what MODEL is for.

    A detector adds the columns anomaly_score (nats), p_value and anomaly; an imputer fills gaps; a denoiser cleans; an
    embedder adds the numbers of the code, a clusterer cluster and cluster_probability. For a synthesizer DATA is the
    number of new rows to draw.

    Rows keep their order, and columns that the model did not learn from are passed through, from CSV to CSV as they are
    written. Memory does not grow with the file: at most 8 blocks of 65,536 rows (fewer where there are more than 32
    columns) are held at once. Only --fdr needs all p-values before its first decision: 9 bytes per row, and a temporary
    file as large as OUT.
    """
    from diabolo import load, stream
    from diabolo.writers import delimited

    talk = Talk(quiet)
    check_output(output, data, model, rows=True)
    check_share(fdr)
    task = load(model)
    total, results = results_of(task, data, format, talk, verbatim=delimited(output, output_format), reasons=explain)
    if only_scores or explain or fdr is not None or fail_on_anomaly:
        check_detector(task, "--only-scores, --explain, --fdr and --fail-on-anomaly are")
    shown = output != "-" or not sys.stdout.isatty()
    with talk.progress("Scoring", total, shown) as step:
        results = stream.watched(results, step)
        if fdr is not None:
            results = stream.controlled(results, fdr)
        if explain:
            results = stream.explained(results, task)
        if only_scores:
            results = stream.verdicts(results, task)
        elif not task.restores:
            results = stream.without_grids(results)
        rows, marked = stream.write(results, output, output_format, judged=task.adds("anomaly"))
    talk.say(f"{rows:,} rows" + (f", {marked:,} of them anomalies" if marked is not None else ""))
    if fail_on_anomaly and marked:
        raise typer.Exit(ANOMALIES)


@app.command(
    cls=Command,
    epilog=examples("diabolo explain pump.diabolo new.csv", "diabolo explain pump.diabolo new.csv --rows 3,17 --json"),
)
def explain(
    model: Model,
    data: Data,
    rows: Annotated[str | None, typer.Option(metavar="ROWS", help="Which rows, counted from 0, such as 3,17.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the strangest rows, where no rows are named.")] = 10,
    format: Format = None,
    as_json: Json = False,
) -> None:
    """Say which values make a row strange.

    Each value comes with what would have been normal in its place and with its share of the score.
    """
    from diabolo import stream
    from diabolo.explain import reasons

    detector = detector_at(model, "explain is")
    source = open_data(data, format, detector)
    with Talk().progress("Scoring", source.rows) as step:
        if rows is None:
            numbers, picked = stream.strangest(stream.watched(stream.results(detector, source), step), top)
        else:
            numbers, picked = stream.picked(source, row_numbers(rows))
    both = zip(numbers, reasons(detector, picked), strict=True)
    told = [replace(each, row=row, name=source.called(row)) for row, each in both]
    if as_json:
        emit([asdict(each) for each in told])
    elif told:
        print("\n\n".join(map(str, told)))
    else:
        Talk().say(f"{source.name} has no rows.")


@app.command(
    cls=Command,
    epilog=examples(
        "diabolo evaluate pump.diabolo inspected.csv --labels broken",
        "diabolo evaluate groups.diabolo known.csv --labels kind",
    ),
)
def evaluate(
    model: Model,
    data: Data,
    labels: Annotated[
        str, typer.Option(metavar="COLUMN", help="The column of known labels; of a detector, which rows are anomalies.")
    ],
    format: Format = None,
    as_json: Json = False,
) -> None:
    """Compare what MODEL says with known labels.

    Of a detector: labels are 0/1, false/true, normal/anomaly, or 1/-1 where -1 is the anomaly. Of a clusterer, any
    labels: how well clusters match them. Of an embedder, any labels: how well codes tell them. Every figure has its
    95 % bootstrap interval. The column of labels need not have been there in fit; rows without one are left out.
    """
    from diabolo import load, stream
    from diabolo.evaluate import judged, read

    task = load(model)
    source = open_data(data, format, task)
    names = read(task)
    check_column(labels, source)
    if labels in {column.source for column in task.preparation_.schema_.columns}:
        Talk().say(
            f"Note: The model has learned from the column {labels!r} itself, so these figures say nothing of its "
            "worth. Fit it without that column."
        )
    if beside := [name for name in source.schema.names if name != labels and task.adds(name) and task.adds(labels)]:
        Talk().say(f"Note: If {labels} and {', '.join(beside)} are of a run of this model, it is compared with itself.")
    with Talk().progress("Scoring", source.rows) as step:
        results = stream.watched(stream.results(task, source, labels), step)
        told, rows = stream.labelled(results, *names)
    if rows > len(told[0]):
        Talk().say(f"Note: {rows - len(told[0]):,} of {rows:,} rows have no label; the figures are of the others.")
    figures = judged(task, *told)
    if as_json:
        emit(figures)
    else:
        print(estimates(figures))


@app.command(
    cls=Command,
    epilog=examples(
        "diabolo report pump.diabolo new.csv -o report.html",
        "diabolo report groups.diabolo known.csv --labels kind",
    ),
)
def report(
    model: Model,
    data: Data,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="HTML", help="The page to write.")] = Path(
        "report.html"
    ),
    labels: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="A column of known labels, to compare with.")
    ] = None,
    format: Format = None,
    quiet: Quiet = False,
) -> None:
    """Write a page about MODEL and DATA.

    One file with all that was found; any browser opens it, without a network. Labels are those of evaluate.
    """
    from diabolo import load
    from diabolo import report as page

    check_output(output, data, model)
    task = load(model)
    source = open_data(data, format, task)
    page.write(task, source, output, labels=labels)
    Talk(quiet).say(f"Wrote {output}")


app.command(
    cls=Command,
    epilog=examples(
        "diabolo plot codes.diabolo known.csv -o map.png --labels kind --by umap",
        "diabolo plot digits.diabolo digits.npz -o walk.png --what traversals --shape 8x8",
    ),
)(plot)


@app.command(
    cls=Command,
    epilog=examples(
        "diabolo show variants", "diabolo show detect", "diabolo show Trainer", "diabolo show pump.diabolo"
    ),
)
def show(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[tasks|variants|NAME|MODEL]", help="What to show; everything by default.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show tasks, variants, or a model's card.

    The name of a task, variant or threshold shows its parameters, as -p of fit takes them.
    """
    from diabolo import catalogue

    entry = catalogue.look_up(what)
    if as_json:
        emit(entry)
    else:
        print(typed(outline(entry)))


@app.command(
    cls=Command,
    epilog=examples(
        "diabolo choose train.csv", "diabolo choose gaps.csv --aim impute", "diabolo choose big.parquet --json"
    ),
)
def choose(
    data: Data,
    aim: Annotated[str, typer.Option(metavar="TASK", help="What for: one of the tasks of fit.")] = "detect",
    want: Annotated[
        str | None, typer.Option(metavar="PROPERTY", help="What codes should be: interpretable or stable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the folds and of the fits.")] = 0,
    format: Format = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Choose a variant for DATA, and say why.

    Looks at the data, names the variant that rules of the field suggest, and races it against PCA and runners-up: a few
    short fits on at most 3,000 rows, cross-validated. Where nothing beats PCA, or no race is fair, it says so.
    """
    from diabolo import advice

    source = open_data(data, format)
    with Talk(quiet).progress("Racing", advice.STEPS) as step:
        told = advice.choose(source, aim, want=want, seed=seed, on_step=lambda now: step(1, now))
    if as_json:
        emit({**told.to_dict(), "command": told.command(data)})
    else:
        race = f"{table(told.table())}\n\n" if told.race else ""
        print(f"{told}\n\n{race}{told.command(data)}")


@app.command(cls=Command, epilog=examples("diabolo doctor", "diabolo doctor pump.diabolo"))
def doctor(
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="A model file to check too.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that diabolo works here.

    Versions, torch, threads, disk, a small fit, and a model file if given. Exits with 1 if something is broken.
    """
    from diabolo.doctor import examine

    findings = []
    for finding in examine(model):
        findings.append(finding)
        if not as_json:
            print(f"{finding.state:8} {finding.check}: {finding.text}")
    if as_json:
        emit(findings)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


@app.command(cls=Command, epilog=examples("diabolo demo", "diabolo demo /tmp/demo"))
def demo(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where the files of the demo go.")] = Path(
        "diabolo-demo"
    ),
) -> None:
    """Try it all on real data.

    Writes two tables into FOLDER, then says and runs fit, run, explain, evaluate and report.
    """
    from diabolo.demo import play

    def command(words: list[str]) -> None:
        if code := app(words, prog_name="diabolo", standalone_mode=False):
            raise typer.Exit(code)

    play(folder, command, Talk().say)


def _train(task: Task, source: Source, output: Path, talk: Talk, *, resume: bool) -> None:
    """Fit and save; the state of the training lies beside the model until that is written."""
    from diabolo.checkpoints import forget
    from diabolo.trainer import Epoch, Trainer

    task.trainer = task.trainer or Trainer()
    state = Path(task.trainer.checkpoint or f"{output}.training")
    if state.resolve() == output.resolve():
        raise InvalidParameter(f"trainer.checkpoint={state} is the file of the model; name another one.")
    if not resume:
        forget(state)
    elif not state.exists():
        talk.say(f"There is no {state} to go on from; starting from the beginning.")
    task.trainer.checkpoint = str(state)
    further = f"To go on from {state}, give the same command with --resume."
    with talk.progress("Learning", 1) as step:

        def on_epoch(epoch: Epoch) -> None:
            step(1 / epoch.of, f"epoch {epoch.number} of {epoch.of}, {epoch.cost:.4g} nats per row")

        try:
            task.watch(on_epoch).fit(source.table() if source.once else source)
        except Interrupted:
            raise Interrupted(f"Stopped. {further}") from None
        except KeyboardInterrupt:
            if state.exists():
                talk.say(further)
            raise
    task.trainer.checkpoint = None
    task.save(output)
    state.unlink(missing_ok=True)


def main(args: Sequence[str] | None = None) -> None:
    """What the command ``diabolo`` runs; it always ends the process."""
    with leaving(at_once=args is None), signals():
        app(args, prog_name="diabolo")
