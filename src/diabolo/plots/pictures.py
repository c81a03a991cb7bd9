"""Any figure of a model and a file by its name, for the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
from torch import Tensor

from diabolo.batches import in_blocks
from diabolo.errors import InvalidData, InvalidParameter, suggestion
from diabolo.grids import cells
from diabolo.plots.canvas import Figure
from diabolo.plots.decoded import atlas, interpolations, reconstructions, traversals
from diabolo.plots.maps import MOST, By, latent_map
from diabolo.plots.tallies import code_usage, number_usage, training_curve

if TYPE_CHECKING:
    from diabolo.readers import Source
    from diabolo.tasks.task import Task

VALUES = 1 << 26  # held in memory
FORMATS = ("png", "svg", "pdf", "jpg", "webp")


def picture(
    task: Task,
    source: Source,
    what: str = "map",
    *,
    labels: str | None = None,
    by: By = "pca",
    shape: Sequence[int] | None = None,
) -> Figure:
    """The figure ``what`` of ``PICTURES``, of a fitted task and at most 10,000 rows of ``source`` (of large
    images fewer, 2^26 values), drawn at random.

    ``labels`` names a column that colours a map, ``by`` says how it is made. Raises InvalidParameter for another name,
    and whatever the figure raises.

    >>> import pathlib, tempfile
    >>> from diabolo import Embedder
    >>> from diabolo.readers import open_source
    >>> place = pathlib.Path(tempfile.mkdtemp(), "rows.npy")
    >>> np.save(place, np.random.default_rng(0).normal(size=(100, 4)))
    >>> embedder = Embedder("Linear", random_state=0).fit(np.load(place))
    >>> picture(embedder, open_source(place)).axes[0].get_xlabel()
    'z0'
    """
    if what not in PICTURES:
        raise InvalidParameter(f"There is no picture {what!r}.{suggestion(what, PICTURES)} Use: {', '.join(PICTURES)}.")
    rows = _some(source)
    colour = None if labels is None else rows[labels]
    return PICTURES[what](task, rows, labels=colour, by=by, shape=shape)


def save(figure: Figure, path: str | Path) -> None:
    """Write the figure in the format that the name of the file says. Raises InvalidParameter for another one.

    >>> import pathlib, tempfile
    >>> place = pathlib.Path(tempfile.mkdtemp(), "usage.svg")
    >>> save(code_usage([[0], [0], [1], [1]], codes=4), place)
    >>> place.read_text()[:5]
    '<?xml'
    """
    from diabolo.files import replacing

    check_format(path)
    with replacing(path) as file:
        figure.savefig(file, format=_format(path))


def check_format(path: str | Path) -> None:
    """Raise InvalidParameter for a name that does not end as a picture's does."""
    if _format(path) not in FORMATS:
        raise InvalidParameter(
            f"-o {path} is no picture. Let its name end in: {', '.join(f'.{each}' for each in FORMATS)}."
        )


def _format(path: str | Path) -> str:
    return Path(path).suffix.lower().lstrip(".").replace("jpeg", "jpg")


def _map(task: Task, rows: pa.Table, *, labels: Any, by: By, **rest: Any) -> Figure:
    return latent_map(task.encode(rows), labels, by=by)


def _usage(task: Task, rows: pa.Table, **rest: Any) -> Figure:
    autoencoder, x = task.autoencoder_, task.preparation_.transform(task.rows(rows))
    letters = set(getattr(getattr(autoencoder, "bottleneck", None), "letters", ()))
    if autoencoder.encode(x[:1]).tokens is None:
        return number_usage(in_blocks(x, lambda block: autoencoder.encode(block).z.flatten(1) != 0).numpy())
    if len(letters) != 1:
        raise InvalidParameter("The tokens of this code are of no codebooks of one size, whose use could be counted.")
    tokens = in_blocks(x, lambda block: cast(Tensor, autoencoder.encode(block).tokens)).numpy()
    return code_usage(tokens, letters.pop())


def _decoding(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    def drawn(task: Task, rows: pa.Table, *, shape: Sequence[int] | None, **rest: Any) -> Figure:
        return draw(task, rows, shape=shape)

    return drawn


def _curve(task: Task, rows: pa.Table, **rest: Any) -> Figure:
    return training_curve(task)


def _some(source: Source) -> pa.Table:
    """At most 10,000 rows of a source, of large images fewer, drawn in one walk, in their order."""
    dice, kept, luck = np.random.default_rng(0), source.schema.empty_table(), np.empty(0)
    most = min(MOST, max(1, VALUES // cells(source.schema)))
    for batch in source.batches():
        kept, luck = pa.concat_tables([kept, pa.table(batch)]), np.append(luck, dice.random(len(batch)))
        lucky = np.sort(np.argsort(luck, kind="stable")[:most])
        kept, luck = kept.take(pa.array(lucky)), luck[lucky]
    if not len(kept):
        raise InvalidData(f"{source.name} has no rows to draw.")
    return kept


PICTURES: dict[str, Callable[..., Figure]] = {
    "map": _map,
    "traversals": _decoding(traversals),
    "interpolations": _decoding(interpolations),
    "atlas": _decoding(atlas),
    "reconstructions": _decoding(reconstructions),
    "usage": _usage,
    "training": _curve,
}
