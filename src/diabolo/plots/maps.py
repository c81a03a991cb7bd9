"""Codes on a plane."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from diabolo.errors import InvalidData, InvalidParameter
from diabolo.evaluate.scores import column
from diabolo.layouts import laid_out
from diabolo.plots.canvas import INK, SOFT, Axes, Figure, canvas, colours, titled

if TYPE_CHECKING:
    from jaxtyping import Float

By = Literal["pca", "tsne", "umap"]
WAYS = {"pca": "principal component", "tsne": "t-SNE", "umap": "UMAP"}
MOST = 10_000  # codes that are drawn
KINDS = 20  # labels that are told apart
LOOKED = 500  # points of a kind that are looked at for the place of its name


def latent_map(codes: Any, labels: Any = None, *, by: By = "pca", title: str = "", seed: int = 0) -> Figure:
    """Codes (n, numbers) as points on a plane, coloured by ``labels``: names, numbers, or nothing.

    Up to 20 different labels get a colour each, more numbers than that a scale, more names than that the 20 most
    frequent; a missing one is grey. Codes of two numbers lie where these say, others are brought to two by ``by``: two
    principal components (``"pca"``, at once, keeping distances as far as a plane can), or neighbourhoods, by t-SNE
    (``"tsne"``, van der Maaten & Hinton, 2008) or UMAP (``"umap"``, McInnes et al., 2018, arXiv:1802.03426), in ten
    seconds or more. Of these two, only who is near whom means something: neither the distances between clusters nor
    their sizes do, and noise has clusters too. Of more than 10,000 codes as many are drawn. The ``seed`` changes the
    map.

    Raises InvalidData for other shapes, values that are not finite or fewer than 3 codes, InvalidParameter for another
    way, MissingExtra.

    >>> codes = np.random.default_rng(0).normal(size=(60, 5))
    >>> figure = latent_map(codes, ["a", "b"] * 30)
    >>> figure.axes[0].get_xlabel()
    'principal component 1'
    """
    codes, labels = _checked(codes, labels, by)
    if len(codes) > MOST:
        rows = np.sort(np.random.default_rng(seed).permutation(len(codes))[:MOST])
        codes, labels = codes[rows], None if labels is None else labels[rows]
    places, names = _placed(codes, by, seed)
    figure, axes = canvas(7, 5.6)
    titled(axes[0, 0], title, *names)
    _points(figure, axes[0, 0], places, labels)
    return figure


def _checked(codes: Any, labels: Any, by: str) -> tuple[np.ndarray, np.ndarray | None]:
    codes = np.asarray(codes, dtype=np.float64)
    if codes.ndim < 2 or len(codes) < 3 or not codes.size:
        raise InvalidData(f"A map needs codes (n, numbers) of 3 rows or more. Got {codes.shape}.")
    if not np.isfinite(codes).all():
        raise InvalidData("A code holds NaN or infinity. Leave out its row.")
    if by not in WAYS:
        raise InvalidParameter(f"There is no map by {by!r}. Use: {', '.join(WAYS)}.")
    told = None if labels is None else np.asarray(column(labels).to_pylist(), dtype=object)
    if told is not None and len(told) != len(codes):
        raise InvalidData(f"There are {len(codes)} codes and {len(told)} labels; give one label per row.")
    return codes.reshape(len(codes), -1), told


def _placed(codes: np.ndarray, by: str, seed: int) -> tuple[Float[np.ndarray, "n 2"], tuple[str, str]]:
    """The place of each code, and the names of the axes."""
    if codes.shape[1] <= 2:
        names = ("z0", "z1")[: codes.shape[1]] + ("",) * (2 - codes.shape[1])
        return np.pad(codes, ((0, 0), (0, 2 - codes.shape[1]))), names
    names = (f"{WAYS[by]} 1", f"{WAYS[by]} 2")
    if by == "umap":
        return laid_out(codes, seed=seed), names
    if not np.ptp(codes, 0).any():  # all in one place, on which t-SNE ends the process
        return np.zeros((len(codes), 2)), names
    if by == "pca":
        from sklearn.decomposition import PCA

        return PCA(2, random_state=seed).fit_transform(codes), names
    return _by_tsne(codes, seed), names


def _by_tsne(codes: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    return TSNE(perplexity=min(30, (len(codes) - 1) / 3), random_state=seed).fit_transform(codes)


def _points(figure: Figure, axes: Axes, places: np.ndarray, labels: np.ndarray | None) -> None:
    """Every point, of those labelled alike in one colour; points that lie below others show through."""
    style: dict[str, Any] = {"s": float(np.clip(12_000 / len(places), 2, 24)), "linewidths": 0, "alpha": 0.75}
    numbers = None if labels is None else _scale(labels)
    if labels is None:
        axes.scatter(*places.T, color="#3d5f92", **style)
    elif numbers is not None:
        there = np.isfinite(numbers)
        axes.scatter(*places[~there].T, color=SOFT, **style)
        x, y = places[there].T
        bar = figure.colorbar(axes.scatter(x, y, c=numbers[there], cmap="viridis", **style), ax=axes)
        bar.ax.tick_params(labelsize=7)
    else:
        _kinds(axes, places, labels, style)


def _scale(labels: np.ndarray) -> np.ndarray | None:
    """Labels as numbers, where they are numbers and too many for a colour each; NaN where one is missing."""
    there = [each for each in labels if each is not None]
    if len(set(there)) <= KINDS or not all(isinstance(each, (int, float)) for each in there):
        return None
    return np.array([np.nan if each is None else each for each in labels], dtype=np.float64)


def _kinds(axes: Axes, places: np.ndarray, labels: np.ndarray, style: dict[str, Any]) -> None:
    there = [each for each in labels if each is not None and each == each]
    counts = Counter(there)
    kinds = sorted(sorted(counts, key=lambda each: (-counts[each], str(each)))[:KINDS], key=_order)
    known = np.array([each in kinds for each in labels], dtype=bool)
    if not known.all():
        axes.scatter(*places[~known].T, color=SOFT, label="others", **style)
    shades = colours("tab10", 10) if len(kinds) <= 10 else colours("tab20", 20)
    mixed = np.random.default_rng(0).permutation(np.flatnonzero(known))  # so that no kind covers another
    axes.scatter(*places[mixed].T, color=[shades[kinds.index(labels[i])] for i in mixed], **style)
    for kind, shade in zip(kinds, shades, strict=False):
        axes.scatter([], [], color=shade, s=24, label=str(kind))
        _named(axes, str(kind), _densest(places[labels == kind]))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8, handletextpad=0.2)


def _order(kind: Any) -> tuple[bool, Any]:
    """Numbers by size, then names by letter."""
    return isinstance(kind, str), kind if isinstance(kind, (int, float, str)) else str(kind)


def _densest(places: np.ndarray) -> np.ndarray:
    """The place that a quarter of all are nearest to, so that a name stands on a cluster and not between two."""
    from scipy.spatial.distance import cdist

    some = places[:: max(1, len(places) // LOOKED)]
    reach = np.sort(cdist(some, some), 1)[:, len(some) // 4]
    found: np.ndarray = some[reach.argmin()]
    return found


def _named(axes: Axes, name: str, place: np.ndarray) -> None:
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.75, "linewidth": 0}
    x, y = place
    axes.text(x, y, name, fontsize=8, weight="bold", color=INK, ha="center", va="center", bbox=box)
