"""What was counted: tokens, numbers in use, and costs by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from diabolo.errors import InvalidParameter
from diabolo.evaluate.tokens import usage
from diabolo.plots.canvas import SOFT, Figure, canvas, colours, titled

if TYPE_CHECKING:
    from diabolo.tasks.task import Task


def code_usage(tokens: Any, codes: int) -> Figure:
    """How often each of ``codes`` codes occurs among ``tokens`` (n, heads, *grid), the most frequent first.

    One line per head, of shares of its tokens; the dashed line is where all were alike. The title tells the ``usage``
    over all heads. Raises InvalidData as that does.

    >>> code_usage([[0], [0], [1], [1]], codes=4).axes[0].get_title(loc="left")
    '50 % of the 4 codes occur; they say as much as 2.0 equally frequent ones'
    """
    found = usage(tokens, codes)
    heads = np.moveaxis(np.asarray(tokens), 1, 0)
    figure, axes = canvas(7, 3.6)
    share, alike = f"{100 * found.used:.0f} % of the {codes} codes", f"{found.perplexity:.1f} equally frequent ones"
    words = f"{share} occur; they say as much as {alike}"
    at = titled(axes[0, 0], words, "code, the most frequent first", "share of the tokens")
    for number, (head, shade) in enumerate(zip(heads, colours("viridis", len(heads) + 1), strict=False)):
        shares = np.sort(np.bincount(head.ravel(), minlength=codes) / head.size)[::-1]
        at.step(np.arange(codes), shares, where="mid", color=shade, linewidth=1.2, label=f"head {number}")
        at.fill_between(np.arange(codes), shares, step="mid", color=shade, alpha=0.25, linewidth=0)
    at.axhline(1 / codes, color=SOFT, linestyle="--", linewidth=0.8, label="all alike")
    at.set_ylim(bottom=0)
    at.legend(frameon=False, fontsize=7)
    return figure


def number_usage(codes: Any) -> Figure:
    """In which share of the rows each number of ``codes`` (n, numbers) is in use, that is not 0, the most used first.

    For dictionaries and other codes of which a row uses a part: the shares add up to the numbers that a row uses on
    average (L0). Those that no row uses are counted in the title, and have no place on the logarithmic axis. Raises
    InvalidParameter where every row uses every number.

    >>> number_usage([[0.5, 0.0, 0.0], [1.0, 2.0, 0.0]]).axes[0].get_title(loc="left")
    '2 of 3 numbers are in use; a row uses 1.5 of them on average'
    """
    used = np.asarray(codes) != 0
    if not used.size or used.all():
        raise InvalidParameter(
            "This code is not made of tokens, and every row uses every number of it: there is nothing to count. "
            "Draw a map, or fit a sparse code, e.g. variant=TopKDictionary."
        )
    shares = np.sort(used.mean(0))[::-1]
    there = shares[shares > 0]
    figure, axes = canvas(7, 3.6)
    words = f"{len(there)} of {len(shares)} numbers are in use; a row uses {shares.sum():.1f} of them on average"
    at = titled(axes[0, 0], words, "number of the code, the most used first", "share of the rows")
    at.step(np.arange(len(there)), there, where="mid", color="#3d5f92", linewidth=1.2)
    at.axhline(shares.mean(), color=SOFT, linestyle="--", linewidth=0.8, label="all alike")
    at.set_xlim(-0.5, len(shares) - 0.5)
    if len(there):
        at.set_yscale("log")
    at.legend(frameon=False, fontsize=7)
    return figure


def training_curve(task: Task) -> Figure:
    """What every epoch of the fit came to, in nats per row: in training, and on held-out rows where there were any.

    Each is the sum of all costs; in training they hold noise and penalties, so that the two need not meet. A point
    marks the epoch whose weights were kept, of the last training where there were further ones. Raises InvalidParameter
    for a task that was solved in one step.

    >>> from diabolo import Embedder, Trainer
    >>> rows = np.random.default_rng(0).normal(size=(200, 4))
    >>> figure = training_curve(Embedder(trainer=Trainer(epochs=3), random_state=0).fit(rows))
    >>> [len(line.get_xdata()) for line in figure.axes[0].lines]
    [3, 3]
    """
    check_is_fitted(task, "autoencoder_")
    history = task.history_
    if len(history) < 2:
        raise InvalidParameter("This model was not trained in epochs, so that there is no curve of them.")
    figure, axes = canvas(7, 3.6)
    at = titled(axes[0, 0], "", "epoch", "nats per row")
    at.locator_params(axis="x", integer=True)
    numbers = np.arange(1, len(history) + 1)
    last = max(place for place, epoch in enumerate(history) if epoch.number == 1)  # further trainings begin anew
    at.plot(numbers, [sum(epoch.costs.values()) for epoch in history], color=SOFT, linewidth=1.2, label="training")
    valid = [np.nan if epoch.valid is None else sum(epoch.valid.values()) for epoch in history]
    if np.isfinite(valid).any():
        at.plot(numbers, valid, color="#3d5f92", linewidth=1.5, label="held out")
    if np.isfinite(valid[last:]).any():
        best = last + int(np.nanargmin(valid[last:]))
        at.scatter(numbers[best], valid[best], color="#cf4a33", s=22, zorder=3, label=f"kept: epoch {numbers[best]}")
    at.legend(frameon=False, fontsize=8)
    return figure
