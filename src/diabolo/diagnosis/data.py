"""What the rows show: values that their likelihood does not suit, that are pressed together, or far too costly."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diabolo.diagnosis.case import ROWS, Case
from diabolo.diagnosis.finding import Finding, some
from diabolo.preparation.detection import detect
from diabolo.preparation.survey import Profile, is_number
from diabolo.preparation.values import Role
from diabolo.schema import Column

FEWEST = 50  # rows that the kind of a column is told from
PRESSED = 0.01  # standard deviations that hold nine in ten values of a column pressed by a few others
APART = 2.5  # an empty stretch of costs above that of nine in ten rows, as a multiple of these rows' way to the median
STRANGE, SEVERAL = 0.01, 8  # share and number of training rows beyond it: of sound ones fewer lie beyond such a stretch
MANY = 100_000  # values of a column that are looked at
MOST_CODES = 50  # different whole numbers that may be codes
# Under the likelihood of the first, data of the second is badly told; StudentT and Laplace contain what Normal tells.
UNSUITED = {
    "Normal": ("StudentT", "NegativeBinomial", "Categorical"),
    "StudentT": ("NegativeBinomial", "Categorical"),
    "Laplace": ("NegativeBinomial", "Categorical"),
    "Categorical": ("Normal", "StudentT", "NegativeBinomial"),
    "NegativeBinomial": ("Categorical",),
}


def likelihoods(case: Case) -> Finding | None:
    """A likelihood that was chosen by hand, or is that of a grid, where the values ask for another."""
    if len(case.judged) < FEWEST:
        return None
    better = {}
    for place, column in enumerate(case.schema.columns):
        asked = _asked(column, case.train[:, place], bool(case.schema.grid)) if _is_open(case, column) else None
        if asked is not None:
            better[column] = asked
    if not better:
        return None
    told = "; ".join(f"{column.name!r} is {column.likelihood}, its values are {kind}" for column, kind in _few(better))
    fix = ", ".join(f"{column.source!r}: {likelihood!r}" for column, (likelihood, _) in list(better.items())[:3])
    return Finding(
        "wrong likelihood",
        f"{len(better)} of {len(case.schema.columns)} columns: {told}.",
        "Costs are -log p under the likelihood: where it does not suit, scores and drawn values are wrong.",
        f"Set likelihoods={{{fix}}}, or leave these columns out of likelihoods.",
    )


def pressed(case: Case) -> Finding | None:
    """Columns in which a few extreme values leave all others next to equal."""
    if len(case.train) < FEWEST:
        return None
    pairs = zip(case.schema.columns, _are_pressed(case.train), strict=True)
    names = [column.name for column, close in pairs if close and column.kind == "number"]
    if not names:
        return None
    return Finding(
        "pressed columns",
        f"In {some(names)} nine in ten values lie within {PRESSED:g} standard deviations.",
        "A few extreme values set the scale, and the network cannot tell the others apart.",
        "Look for wrong values or codes for missing ones (such as 1e9) and make them NaN, or take the logarithm.",
    )


def outlying(case: Case) -> Finding | None:
    """Training rows that cost far more than all others, with none between."""
    costs = case.training_costs.double().sort().values
    many, several = len(costs), max(SEVERAL, -(-len(costs) // round(1 / STRANGE)))
    usual = costs[int(0.9 * many) : many - several + 1]
    if len(usual) < 2:
        return None
    stretch, place = usual.diff().max(0)
    if stretch <= APART * (usual[0] - costs.median()):
        return None
    beyond = many - int(0.9 * many) - int(place) - 1
    return Finding(
        "anomalies in the training rows",
        f"{beyond} of {many:,} training rows cost {costs[-beyond]:.3g} nats or more, all others {usual[place]:.3g} or "
        f"less (half of all {costs.median():.3g} or less).",
        "Rows that are learned from pass for normal, and a few costly ones steer the training.",
        "Look at them (`diabolo explain MODEL DATA`) and leave out those that are wrong; a detector can do so itself: "
        "training=contaminated.",
    )


def _is_open(case: Case, column: Column) -> bool:
    """Whether nobody has yet looked for the likelihood that suits: in a table the preparation has."""
    return column.part == "value" and not column.given and (bool(case.schema.grid) or column.source in case.chosen)


def _asked(column: Column, prepared: Tensor, grid: bool) -> tuple[str, str] | None:
    """The likelihood that the values of a column ask for, and what they are; None where its own suits."""
    values = _natural(column, prepared)
    if len(values) < FEWEST or (column.kind == "category" and not _is_continuous(values)):
        return None
    found = detect(_profile(values), kept=MOST_CODES)
    would = found[0].likelihood if isinstance(found, tuple) else "Normal"
    if would not in UNSUITED.get(column.likelihood, ()) or (grid and would != "Categorical"):
        return None  # most cells of an image may be dark, and brightness is whole: that makes no tail and no count
    kinds = {"StudentT": "heavy-tailed", "NegativeBinomial": "counts", "Categorical": "0 and 1", "Normal": "numbers"}
    return "Bernoulli" if would == "Categorical" else would, kinds[would]


def _few(better: dict[Column, tuple[str, str]]) -> list[tuple[Column, str]]:
    return [(column, kind) for column, (_, kind) in list(better.items())[:3]]


def _is_continuous(values: np.ndarray) -> bool:
    """Whether values are no codes: not whole, or too many different ones."""
    return bool((values != np.rint(values)).any()) or len(np.unique(values)) > MOST_CODES


def _natural(column: Column, prepared: Tensor) -> np.ndarray:
    """Known values in the user's units, texts left out; whole numbers become whole again, which float32 had lost."""
    x = prepared.flatten()[:MANY].double().numpy()
    x = x[~np.isnan(x)]
    if column.kind == "category":
        names = np.array([float(name) if is_number(name) else np.nan for name in column.categories])
        x = names[x.astype(int)]
        return x[~np.isnan(x)]
    x = x * column.scale + column.center if column.kind == "number" else x
    whole = np.rint(x)
    return np.where(np.abs(x - whole) < 1e-5 * max(1.0, column.scale), whole, x)


def _profile(values: np.ndarray) -> Profile:
    """What detection looks at, from a sample."""
    profile = Profile("values", Role.NUMBER, len(values), sample=values)
    profile.mean, profile.std = float(values.mean()), float(values.std())
    profile.low, profile.high = float(values.min()), float(values.max())
    profile.whole = bool((values == np.rint(values)).all())
    return profile


def _are_pressed(x: Tensor) -> list[bool]:
    """Of each column, whether nearly all of many different values lie close together."""
    values = x.transpose(0, 1).flatten(1)[:, :MANY]
    ends = torch.nanquantile(
        values[:, :: -(-values.shape[1] // ROWS)], values.new_tensor([0.05, 0.25, 0.75, 0.95]), dim=1
    )
    lowest, low, high, highest = ends
    close = (low < high) & (highest - lowest < PRESSED)
    return [bool(near) and len(each[~each.isnan()].unique()) > 10 for near, each in zip(close, values, strict=True)]
