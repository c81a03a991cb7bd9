"""The command ``plot``; what it draws is in ``diabolo.plots``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from diabolo.arguments import Data, Format, Model, Quiet, check_column, check_output, image_shape, open_data
from diabolo.console import Talk

if TYPE_CHECKING:
    from diabolo.plots.maps import By


def plot(  # noqa: PLR0913 - each option of the command is a parameter
    model: Model,
    data: Data,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PICTURE", help="The png, svg, pdf, jpg or webp file to write.")
    ],
    what: Annotated[
        str,
        typer.Option(metavar="WHAT", help="map, traversals, interpolations, atlas, reconstructions, usage, training."),
    ] = "map",
    labels: Annotated[str | None, typer.Option(metavar="COLUMN", help="A column that colours the map.")] = None,
    by: Annotated[str, typer.Option(metavar="WAY", help="How the map is made: pca, tsne or umap.")] = "pca",
    shape: Annotated[
        str | None, typer.Option(metavar="SHAPE", help="Rows are images of this HEIGHTxWIDTH, such as 28x28.")
    ] = None,
    format: Format = None,
    quiet: Quiet = False,
) -> None:
    """Draw the codes of DATA, or what MODEL decodes.

    map: codes on a plane. traversals: a row decoded while one number of its code moves. interpolations: on the way
    from row to row. atlas: all over a plane of codes. reconstructions: rows, what came back, and the errors.
    usage: how often each token occurs, or number of a sparse code is in use. training: costs by epoch.

    Of more than 10,000 rows as many are drawn at random. Needs: pip install "diabolo[plot]"
    """
    from diabolo import load, plots

    check_output(output, data, model)
    plots.check_format(output)
    task, image = load(model), image_shape(shape)
    source = open_data(data, format, task)
    if labels is not None:
        check_column(labels, source)
    figure = plots.picture(task, source, what, labels=labels, by=cast("By", by), shape=image)
    plots.save(figure, output)
    Talk(quiet).say(f"Wrote {output}")
