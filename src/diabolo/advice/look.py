"""Look: what a data set is, as far as a choice rests on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from diabolo.diagnosis import Spectrum
from diabolo.networks import Features
from diabolo.networks.dense import REACH
from diabolo.preparation import Preparation
from diabolo.preparation.survey import scattered
from diabolo.readers import Rows, Source, as_rows, taken
from diabolo.schema import Column

SAMPLE = 10_000  # rows that are looked at
TOLD = 0.8  # share of the variance that a code should hold
WIDEST = 64  # numbers in a code


@dataclass(frozen=True)
class Look:
    """What was seen of a sample of ``rows`` in all.

    ``kinds`` counts the model columns by what they hold; ``gaps`` is the share of values missing, ``gappy`` the columns
    with some; ``shared`` how many directions hold more than chance, ``common`` the share of the variance in them;
    ``width`` how many hold 80 % of it, at most half of a row; ``low`` and ``high`` the range of all numbers.
    """

    rows: int
    seen: int
    kind: str
    shape: tuple[int, ...]
    kinds: Mapping[str, int]
    aside: Mapping[str, str]
    gaps: float
    gappy: int
    shared: int
    common: float
    width: int
    low: float
    high: float

    @classmethod
    def of(cls, rows: Rows, total: int) -> Look:
        """Look at a sample of rows. Raises InvalidData for rows that cannot be learned from."""
        preparation = Preparation().fit(rows)
        schema, x = preparation.schema_, preparation.transform(rows)
        spectrum = Spectrum.learned(Features(schema, reach=REACH), x)
        missing = x.isnan().transpose(0, 1).flatten(1).double().mean(1)
        numbers = [column for column in schema.columns if column.kind in ("number", "count")]
        return cls(
            rows=total,
            seen=len(x),
            kind=schema.kind,
            shape=schema.shape,
            kinds=dict(Counter(map(_kind, schema.columns))),
            aside=dict(schema.dropped),
            gaps=float(missing.mean()),
            gappy=int((missing > 0).sum()),
            shared=spectrum.shared,
            common=spectrum.explained(spectrum.shared),
            width=_width(spectrum, len(x[0].flatten())),
            low=min((column.low for column in numbers), default=0.0),
            high=max((column.high for column in numbers), default=0.0),
        )

    @property
    def columns(self) -> int:
        """Model columns of a row; cells too, where it has a grid."""
        return int(np.prod(self.shape))

    @property
    def mixed(self) -> bool:
        """Whether not all columns are plain numbers."""
        return set(self.kinds) > {"numbers"} or "numbers" not in self.kinds

    def lines(self) -> list[tuple[str, str]]:
        """What was seen, in words."""
        size = f"{self.rows:,} rows of {' x '.join(map(str, self.shape))} values"
        kinds = ", ".join(f"{kind}: {count}" for kind, count in self.kinds.items())
        aside = f"; set aside: {', '.join(list(self.aside)[:8])}" if self.aside else ""
        looked = f" ({self.seen:,} of them looked at)" if self.seen < self.rows else ""
        gaps = f"{self.gaps:.2%} of the values, in {self.gappy} of {self.shape[0]} columns" if self.gappy else "none"
        ranged = [("range", f"{self.low:.4g} to {self.high:.4g}")] if self.low < self.high else []
        common = f"{self.common:.0%} of the variance, in {self.shared} directions that hold more than chance would"
        return [
            ("data", size + looked),
            ("columns", kinds + aside),
            ("gaps", gaps),
            *ranged,
            (
                "in common",
                f"{common}; the rest is noise or bent" if self.shared else "no direction holds more than chance",
            ),
        ]


def sampled(X: Any, most: int = SAMPLE) -> tuple[Rows, int]:
    """At most ``most`` rows, chosen by their numbers alone and in their order, and how many there are in all."""
    if isinstance(X, Source):
        return _from_batches(X, most)
    rows = as_rows(X)
    return taken(rows, np.sort(np.argsort(scattered(0, len(rows)))[:most])), len(rows)


def _from_batches(source: Source, most: int) -> tuple[pa.Table, int]:
    """One pass over a file; never much more than twice ``most`` rows are held."""
    keys, tables, total, limit = np.empty(0), source.schema.empty_table(), 0, 1.0
    for batch in source.batches():
        own = scattered(total, len(batch))
        chosen = np.flatnonzero(own < limit)
        total += len(batch)
        keys, tables = np.append(keys, own[chosen]), pa.concat_tables([tables, pa.table(batch).take(pa.array(chosen))])
        if len(keys) > most:
            limit = np.partition(keys, most)[most]
            tables, keys = tables.filter(pa.array(keys < limit)), keys[keys < limit]
    return tables, total


def _kind(column: Column) -> str:
    """What a column holds and how it is judged, in words."""
    if column.kind == "number":
        return "numbers" if column.likelihood == "Normal" else "numbers with heavy tails (Student-t)"
    if column.kind == "count":
        return "counts (negative binomial)"
    flag = column.kind == "boolean" or set(column.categories[:-1]) == {"0", "1"}
    return "flags" if flag else "categories"


def _width(spectrum: Spectrum, cells: int) -> int:
    """Directions that hold 80 % of the variance, not fewer than what columns share, at most half as many as cells."""
    held = (spectrum.variances.cumsum(0) / spectrum.variances.sum().clamp_min(1e-12)).tolist()
    enough = next((place + 1 for place, share in enumerate(held) if share >= TOLD), 1)
    return max(1, min(max(enough, spectrum.shared), cells // 2, WIDEST))
