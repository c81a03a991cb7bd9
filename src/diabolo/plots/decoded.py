"""What is decoded: along the numbers of a code, between rows, over a plane, and beside the rows themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from diabolo.errors import InvalidData, InvalidParameter
from diabolo.plots.canvas import INK, SOFT, Axes, Figure, canvas, colours, mosaic, show, titled
from diabolo.plots.view import View

if TYPE_CHECKING:
    from diabolo.tasks.task import Task

ENDS = (0.02, 0.98)  # quantiles of a code number between which it moves
CELL = 0.55  # inches of an image
BESIDE = 16  # columns up to which four maps of a table have room beside each other
NAMED = 40  # columns whose names have room below a line


def traversals(
    task: Task, X: Any, *, shape: Sequence[int] | None = None, row: int | None = None, numbers: int = 10, steps: int = 9
) -> Figure:
    """A row decoded again and again, while one number of its code moves and the others stay.

    Each of the ``numbers`` that vary most moves over its quantiles among the rows, from 2 to 98 %, in ``steps``. The
    ``row`` is the one whose code is nearest to the middle of all, or that of a number, from 0. Images are strips, one
    per code number; lines are drawn over each other, from low (dark) to high. Raises InvalidParameter for a code of
    tokens, for several codes and for a shape that does not fit.

    >>> from diabolo import Embedder
    >>> rows = np.random.default_rng(0).normal(size=(100, 6))
    >>> embedder = Embedder("Linear", random_state=0).set_params(variant__latent=2).fit(rows)
    >>> len(traversals(embedder, rows, shape=(2, 3)).axes), len(traversals(embedder, rows).axes)
    (1, 3)
    """
    view = View(task, X, shape)
    z = view.codes()
    row = _middle(z) if row is None else _row(row, len(z))
    moved = np.argsort(-z.std(0), kind="stable")[: _count(numbers)]
    walk = np.repeat(z[[row]], len(moved) * _count(steps), 0).reshape(len(moved), steps, -1)
    for place, number in enumerate(moved):
        walk[place, :, number] = np.quantile(z[:, number], np.linspace(*ENDS, steps))
    rows = view.decoded(walk.reshape(-1, z.shape[1]), row).reshape(len(moved), steps, *_cell(view, row))
    return _strips(view, rows, [f"z{number}" for number in moved], "quantile of the code number", ENDS)


def interpolations(
    task: Task,
    X: Any,
    pairs: Sequence[tuple[int, int]] | None = None,
    *,
    shape: Sequence[int] | None = None,
    steps: int = 9,
    seed: int = 0,
) -> Figure:
    """Rows decoded on the straight way from the code of one row to that of another.

    ``pairs`` are numbers of rows, from 0; without them ``seed`` draws six. Images are strips, at whose ends the rows
    themselves stand; lines are drawn over each other, the rows themselves dashed. Raises as ``traversals``.

    >>> from diabolo import Embedder
    >>> rows = np.random.default_rng(0).normal(size=(100, 6))
    >>> embedder = Embedder("Linear", random_state=0).fit(rows)
    >>> len(interpolations(embedder, rows, [(0, 1)], shape=(2, 3)).axes)
    1
    """
    view = View(task, X, shape)
    z = view.codes()
    if pairs is None:
        pairs = [tuple(np.random.default_rng((seed, i)).integers(len(z), size=2)) for i in range(6)]
    ends = np.array([[_row(each, len(z)) for each in pair] for pair in pairs])
    share = np.linspace(0, 1, _count(steps))[None, :, None]
    way = (1 - share) * z[ends[:, 0], None] + share * z[ends[:, 1], None]
    made = [view.decoded(each, first) for each, (first, _) in zip(way, ends, strict=True)]
    true = np.stack([view.given(pair) for pair in ends])
    names = [f"row {first} to {last}" for first, last in ends]
    if view.images:
        return _strips(
            view, np.stack([np.concatenate([t[:1], m, t[1:]]) for t, m in zip(true, made, strict=True)]), names
        )
    return _strips(view, np.stack(made), names, "share of the way", (0, 1), true)


def atlas(task: Task, X: Any, *, shape: Sequence[int] | None = None, side: int = 12) -> Figure:
    """Rows decoded all over a plane of codes, ``side`` times ``side`` of them.

    The plane is the code itself where that has two numbers, else that of the two principal components of the codes of
    the rows around their mean; it reaches from their 2 to their 98 % quantiles, so that corners may be decoded where no
    row is. Raises as ``traversals``, and for codes of one number; InvalidData for a single row.

    >>> from diabolo import Embedder
    >>> rows = np.random.default_rng(0).normal(size=(100, 6))
    >>> embedder = Embedder("Linear", random_state=0).set_params(variant__latent=2).fit(rows)
    >>> atlas(embedder, rows, shape=(2, 3)).axes[0].get_xlabel()
    'z0'
    """
    view = View(task, X, shape)
    z = view.codes()
    middle, axes, names = _plane(z)
    along = (z - middle) @ axes.T
    across, up = (np.quantile(each, np.linspace(*ENDS, _count(side))) for each in along.T)
    grid = np.stack(np.meshgrid(across, up[::-1]), -1).reshape(-1, 2)
    row = _middle(z)
    cells = view.decoded(middle + grid @ axes, row).reshape(side, side, *_cell(view, row))
    figure, at = canvas(7, 7)
    if view.images:
        show(at[0, 0], mosaic(cells), *_limits(view))
    else:
        _small_lines(at[0, 0], cells)
    at[0, 0].set_xlabel(names[0], fontsize=8, color=INK)
    at[0, 0].set_ylabel(names[1], fontsize=8, color=INK)
    return figure


def reconstructions(task: Task, X: Any, *, shape: Sequence[int] | None = None, rows: int | None = None) -> Figure:
    """The first rows (12; of a table 40), what the autoencoder makes of them, the difference, and the error of every
    value.

    The difference is what came back less the row, red where it is larger; the error is ``-log p`` of each value, in
    nats, so that a large difference where the model expects large ones is no large error. Images stand below each
    other; of tables, each is a map of rows and columns; of series, the rows are lines. Raises InvalidParameter for a
    shape that does not fit.

    >>> from diabolo import Embedder
    >>> rows = np.random.default_rng(0).normal(size=(100, 6))
    >>> embedder = Embedder("Linear", random_state=0).fit(rows)
    >>> [axes.get_title(loc="left") for axes in reconstructions(embedder, rows).axes[:4]]
    ['rows', 'restored', 'difference', 'error, nats']
    """
    given = task.rows(X)
    few = shape is not None or task.preparation_.schema_.grid
    view = View(task, given[: _count((12 if few else 40) if rows is None else rows)], shape)
    count = np.arange(len(view.x))
    true, made = view.given(count), view.drawn(view.restored(), count)
    if view.images:
        return _image_rows(view, true, made)
    return _line_rows(true, made) if view.schema.grid else _maps(view, true[:, 0], made[:, 0])


def _count(number: int) -> int:
    if not isinstance(number, (int, np.integer)) or number < 1:
        raise InvalidParameter(f"How many are drawn must be an int >= 1. Got {number!r}.")
    return int(number)


def _row(row: int, rows: int) -> int:
    if not 0 <= row < rows:
        raise InvalidParameter(f"There are {rows} rows, 0 to {rows - 1}; there is no row {row}.")
    return int(row)


def _middle(z: np.ndarray) -> int:
    """The row whose code is nearest to the median of all, every number in units of its spread."""
    away = (z - np.median(z, 0)) / np.maximum(z.std(0), np.finfo(np.float32).tiny)
    return int(np.square(away).sum(1).argmin())


def _cell(view: View, row: int) -> tuple[int, ...]:
    return view.given(np.array([row])).shape[1:]


def _limits(view: View) -> tuple[float, float]:
    """The range of values of the rows, so that all images of a figure have one scale."""
    values = view.given(np.arange(min(len(view.x), 1000)))
    return float(np.nanmin(values)), float(np.nanmax(values))


def _plane(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    """A point, two directions and their names."""
    if z.shape[1] < 2:
        raise InvalidParameter("A code of one number has no plane. Draw traversals instead.")
    if len(z) < 2:
        raise InvalidData("The code of one row has no spread, and so no plane. Give 2 rows or more.")
    if z.shape[1] == 2:
        return np.zeros(2), np.eye(2), ("z0", "z1")
    _, _, axes = np.linalg.svd(z - z.mean(0), full_matrices=False)
    return z.mean(0), axes[:2], ("principal component 1 of the codes", "principal component 2 of the codes")


def _strips(
    view: View,
    cells: np.ndarray,
    names: list[str],
    along: str = "",
    ends: tuple[float, float] = (0, 1),
    true: np.ndarray | None = None,
) -> Figure:
    """Strips (strips, steps, ...) of images below each other, or lines over each other, one axes for each strip."""
    strips, steps = cells.shape[:2]
    if view.images:
        figure, at = canvas(CELL * steps + 0.7, CELL * strips * cells.shape[2] / cells.shape[3] + 0.3)
        show(at[0, 0], mosaic(cells), *_limits(view))
        middles = (np.arange(strips) + 0.5) * at[0, 0].get_ylim()[0] / strips
        at[0, 0].set_yticks(middles, names, fontsize=8, color=INK)
        at[0, 0].tick_params(length=0)
        return figure
    channels = cells.shape[2]
    figure, at = canvas(3.2 + 3.8 * channels, 1.3 * strips + 1.5, strips, channels, sharex=True, sharey=True)
    for strip, (axes, name) in enumerate(zip(at, names, strict=True)):
        for channel, each in enumerate(axes):
            _lines(titled(each, up=name if not channel else ""), cells[strip, :, channel])
            if true is not None:
                each.plot(true[strip, :, channel].T, color=INK, linestyle="--", linewidth=0.8)
    _along(view, at)
    _scale(figure, at, along, ends)
    return figure


def _lines(axes: Axes, lines: np.ndarray) -> None:
    """Lines (steps, places) from dark to bright."""
    for line, shade in zip(lines, colours("viridis", len(lines)), strict=True):
        axes.plot(line, color=shade, linewidth=1.1, marker="o" if len(line) <= NAMED else "", markersize=2)


def _along(view: View, at: np.ndarray) -> None:
    """Names of the columns below the lowest axes, where there is room."""
    if 0 < len(view.names) <= NAMED:
        for axes in at[-1]:
            axes.set_xticks(range(len(view.names)), view.names, rotation=90, fontsize=7)


def _scale(figure: Figure, at: np.ndarray, name: str, ends: tuple[float, float]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(ScalarMappable(Normalize(*ends), "viridis"), ax=list(at.flat), aspect=22 * len(at))
    bar.set_label(name, fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=7)


def _small_lines(axes: Axes, cells: np.ndarray) -> None:
    """A small chart in every cell: what lies along a line to the right, values up, all on one scale."""
    side, places = len(cells), cells.shape[-1]
    low, high = cells.min(), cells.max()
    for (down, across), lines in zip(np.ndindex(side, side), cells.reshape(side * side, -1, places), strict=True):
        x = across + 0.08 + 0.84 * np.arange(places) / max(1, places - 1)
        for line, shade in zip(lines, colours("viridis", len(lines)), strict=True):
            axes.plot(x, down + 0.9 - 0.8 * (line - low) / max(high - low, 1e-12), color=shade, linewidth=0.7)
    axes.set(xlim=(0, side), ylim=(side, 0), xticks=range(side + 1), yticks=range(side + 1))
    axes.tick_params(labelbottom=False, labelleft=False, length=0)
    axes.grid(color="#e5e2dc", linewidth=0.6)
    axes.spines[:].set_visible(False)


def _image_rows(view: View, true: np.ndarray, made: np.ndarray) -> Figure:
    """Four strips below each other, each on a scale of its own."""
    away = made - true if true.ndim == 3 else (made - true).mean(3)
    errors = view.spread(view.errors())
    low, high = _limits(view)
    most, tall = min(float(np.nanmax(np.abs(away))), high - low) or 1.0, CELL * true.shape[1] / true.shape[2] + 0.12
    figure, at = canvas(CELL * len(true) + 1.2, 4 * tall + 0.2, 4, 1)
    strips = (
        ("rows", true, low, high, "gray"),
        ("restored", made, low, high, "gray"),
        ("difference", away, -most, most, "RdBu_r"),
        ("error, nats", errors, *np.nanquantile(errors, [0.01, 0.999]), "magma"),
    )
    for axes, (name, images, least, largest, shades) in zip(at[:, 0], strips, strict=True):
        drawn = show(axes, mosaic(images[None]), least, largest, shades)
        axes.set_ylabel(name, fontsize=8, color=INK, rotation=0, ha="right", va="center")
        if shades != "gray":
            figure.colorbar(drawn, ax=axes, fraction=0.02, pad=0.01).ax.tick_params(labelsize=6)
    return figure


def _line_rows(true: np.ndarray, made: np.ndarray) -> Figure:
    """Series (n, channels, time): what came back over the row."""
    figure, at = canvas(3 + 3.5 * true.shape[1], 1.1 * len(true) + 0.5, *true.shape[:2], sharex=True, sharey="col")
    for (row, channel), each in np.ndenumerate(at):
        axes = titled(each, up=f"row {row}" if not channel else "")
        axes.plot(true[row, channel], color=SOFT, linewidth=1.4, label="row")
        axes.plot(made[row, channel], color="#cf4a33", linewidth=1.0, label="restored")
    at[0, 0].legend(frameon=False, fontsize=7, ncols=2)
    return figure


def _maps(view: View, true: np.ndarray, made: np.ndarray) -> Figure:
    """Tables (n, columns): four maps of rows and columns beside each other, of wide ones two and two."""
    errors = view.errors().double().numpy()
    most = float(np.nanquantile(np.abs(np.concatenate([true, made])), 0.99)) or 1.0
    down = 1 if true.shape[1] <= BESIDE else 2
    width, height = min(0.17 * true.shape[1] + 0.6, 8) * 4 / down, (0.14 * len(true) + 0.8) * down + 1.0
    figure, at = canvas(width, height, down, 4 // down, sharex=True, sharey=True)
    maps = (
        ("rows", true, -most, most, "RdBu_r"),
        ("restored", made, -most, most, "RdBu_r"),
        ("difference", made - true, -most, most, "RdBu_r"),
        ("error, nats", np.where(np.isnan(true), np.nan, errors), *np.nanquantile(errors, [0.01, 0.99]), "magma"),
    )
    for axes, (name, values, low, high, shades) in zip(at.flat, maps, strict=True):
        drawn = titled(axes, name).imshow(
            values, cmap=shades, vmin=low, vmax=high, aspect="auto", interpolation="nearest"
        )
        figure.colorbar(drawn, ax=axes, fraction=0.04, pad=0.01).ax.tick_params(labelsize=6)
        axes.set_facecolor("#e5e2dc")
        if len(view.names) <= NAMED:
            axes.set_xticks(range(len(view.names)), view.names, rotation=90, fontsize=6)
    return figure
