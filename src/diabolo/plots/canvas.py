"""Empty figures, and images put side by side; the one place that knows whether matplotlib is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from diabolo.errors import MissingExtra

try:
    from matplotlib import colormaps
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingExtra(
        'Figures are drawn by matplotlib, which is not here. Type: pip install "diabolo[plot]"'
    ) from error

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["INK", "SOFT", "Axes", "Figure", "canvas", "colours", "mosaic", "show", "titled"]

INK, SOFT = "#1d1d22", "#8b8b95"
DPI = 150
GAP = 0.06  # of an image, between two of them


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, **grid: Any) -> tuple[Figure, np.ndarray]:
    """A figure of some inches and its axes, (rows, columns)."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    return figure, figure.subplots(rows, columns, squeeze=False, **grid)


def titled(axes: Axes, title: str = "", across: str = "", up: str = "") -> Axes:
    """The axes with words, and without a box."""
    axes.set_title(title, loc="left", fontsize=9, color=INK)
    axes.set_xlabel(across, fontsize=8, color=INK)
    axes.set_ylabel(up, fontsize=8, color=INK)
    axes.tick_params(labelsize=7, colors=INK, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def colours(name: str, count: int) -> np.ndarray:
    """``count`` colours evenly along a map, (count, 4)."""
    found: np.ndarray = colormaps[name](np.linspace(0, 1, max(count, 1)) if count > 1 else np.array([0.5]))
    return found


def mosaic(images: Float[np.ndarray, "rows columns height width *channels"]) -> Float[np.ndarray, "h w *channels"]:
    """Images in rows and columns as one, NaN between them."""
    _, _, height, width = images.shape[:4]
    gap = max(1, round(GAP * max(height, width)))
    room = [(0, 0), (0, 0), (0, gap), (0, gap)] + [(0, 0)] * (images.ndim - 4)
    padded = np.pad(images.astype(np.float64), room, constant_values=np.nan)
    joined = np.concatenate(list(np.concatenate(list(np.moveaxis(padded, 1, 0)), 2)), 0)
    return joined[:-gap, :-gap]


def show(axes: Axes, image: np.ndarray, low: float, high: float, name: str = "gray") -> Any:
    """One image without ticks; NaN is white. Grey values, or three or four colours from ``low`` to ``high``."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if image.ndim == 3:
        share = (image - low) / (high - low if high > low else 1.0)
        return axes.imshow(np.where(np.isnan(share), 1.0, share.clip(0, 1)), interpolation="nearest")
    return axes.imshow(image, cmap=_white(name), vmin=low, vmax=high, interpolation="nearest")


def _white(name: str) -> Colormap:
    return colormaps[name].with_extremes(bad="white")
