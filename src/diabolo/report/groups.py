"""The report of a clusterer: how large clusters are, what each is, how clear they are, and which rows are doubtful."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch

from diabolo.batches import in_blocks
from diabolo.evaluate import Estimate, clustering
from diabolo.grids import pixels
from diabolo.readers import Source
from diabolo.report import model, pictures, rows
from diabolo.report.charts import bar, figure
from diabolo.report.findings import Kept, Seen, natural
from diabolo.report.heatmaps import HeatMap
from diabolo.report.maps import Colouring, KindMap, flat
from diabolo.report.markup import Markup, cell, joined, name, tag
from diabolo.report.page import Page, Section, paragraph, table, tile, tiles
from diabolo.report.traits import Sums, Trait
from diabolo.report.words import count, fixed, number, percent, value
from diabolo.stream import feed
from diabolo.tasks.clusterer import Clusterer
from diabolo.tasks.codes import codes

TYPICAL = 4  # rows shown of a cluster
PICTURED = 160  # images shown of all clusters
DOUBTFUL = 10  # rows shown
UNSURE = 0.6  # share of its cluster below which a row is doubtful
TRAITS = 6  # columns told of a cluster
FAINT = 0.1  # standard deviations below which a column tells nothing of a cluster
OPEN = 3  # clusters told without a click
OVERVIEW = 25  # columns of the heat map
REACH = 2.0  # standard deviations of the strongest shade
NEAREST = 10
DIGITS = 4  # behind the point: codes are numbers of 32 bits, and which rows come first must not hang on the last ones
MOST_LABELS = 15


PICTURES = "The mean of each cluster, the largest first, and its typical rows: those where its codes lie densest."
PROFILES = (
    "What sets each cluster apart from all rows, the largest cluster first: the mean of a number, or the category that "
    "is much more or less frequent, beside that of all rows, and how far apart they are in standard deviations of all "
    "rows. Typical rows are those where the codes of the cluster lie densest."
)


class Grouped:
    """Everything that a clusterer's report says of the data, from one pass over it."""

    def __init__(self, clusterer: Clusterer, seen: Seen) -> None:
        self.clusterer, self.seen = clusterer, seen
        self.count = clusterer.clusters_
        self.sizes = np.zeros(self.count, np.int64)
        self.certain = np.zeros(self.count)  # sums of the shares of the rows' own clusters
        self.sums = Sums(seen.schema, self.count)
        most = min(2 * TYPICAL, max(2, PICTURED // self.count)) if seen.schema.grid else TYPICAL
        self.typical = [Kept(most) for _ in range(self.count)]
        self.unsure, self.doubtful = 0, Kept(DOUBTFUL)
        self.found: list[np.ndarray] = []
        self.truth: list[pa.Array] = []

    def add(self, given: pa.Table) -> None:
        """Put rows into clusters, and take in what is to be told of them."""
        first, x = self.seen.rows, self.seen.add(given)
        z = codes(self.clusterer.autoencoder_, torch.from_numpy(x))
        shares = in_blocks(z, self.clusterer.grouping_.shares).numpy().round(DIGITS)
        own, sure = shares.argmax(1), shares.max(1)
        self.sizes += np.bincount(own, minlength=self.count)
        self.certain += np.bincount(own, sure, minlength=self.count)
        self.sums.add(x, own)
        self.unsure += int((sure < UNSURE).sum())
        self.doubtful.add(given, -sure, first)
        self._keep_typical(given, own, in_blocks(z, self.clusterer.grouping_.log_density).numpy().round(DIGITS), first)
        if self.seen.labels is not None:
            self.found.append(own)
            self.truth += given[self.seen.labels].chunks

    def _keep_typical(self, given: pa.Table, own: np.ndarray, density: np.ndarray, first: int) -> None:
        """Of each cluster the rows where its codes lie densest."""
        for each, kept in enumerate(self.typical):
            kept.add(given, np.where(own == each, density, -np.inf), first)

    def shown(self, cluster: int) -> tuple[pa.Table, np.ndarray]:
        """The typical rows of a cluster and their numbers."""
        kept = self.typical[cluster]
        inside = int(np.isfinite(kept.keys).sum())
        return kept.table.slice(0, inside), kept.numbers[:inside]


def report(clusterer: Clusterer, seen: Seen, source: Source) -> Page:
    """Everything about one clusterer and one data set."""
    grouped = Grouped(clusterer, seen)
    feed(clusterer, source, grouped.add)
    several = seen.rows > 1
    z, own = _sample(clusterer, seen) if several else (np.empty((0, 1)), np.empty(0, np.int64))
    sections = [
        _sizes(grouped) if seen.rows else None,
        _profiles(grouped) if seen.rows else None,
        _map(grouped, z, own) if several else None,
        _clear(grouped, z, own) if several else None,
        _doubtful(grouped) if seen.rows else None,
        _labelled(grouped) if seen.rows and seen.labels else None,
        model.comparison(clusterer),
        model.training(clusterer),
        model.diagnosis(seen),
        model.columns(seen),
        model.card(clusterer, _limits(grouped), {"Clusters": f"{count(grouped.count)}, by {clusterer.by}"}),
    ]
    headline = _headline(grouped)
    return Page(f"{headline} – {seen.name}", headline, _lead(grouped), [each for each in sections if each])


def _sample(clusterer: Clusterer, seen: Seen) -> tuple[np.ndarray, np.ndarray]:
    """The codes of the sample, (n, numbers), and the clusters, (n,)."""
    z = codes(clusterer.autoencoder_, torch.from_numpy(seen.prepared()))
    return z.double().numpy(), clusterer.predict(seen.sample.table)


def _headline(grouped: Grouped) -> str:
    if not grouped.seen.rows:
        return "There are no rows to group"
    return f"{count(grouped.seen.rows, 'row')} in {count(int((grouped.sizes > 0).sum()), 'cluster')}"


def _lead(grouped: Grouped) -> Markup:
    said = " was put into the clusters that the model found among the rows it learned from. "
    said += f"{'It was told' if grouped.clusterer.clusters else 'It chose itself'} how many there are."
    total, used = max(1, grouped.seen.rows), grouped.sizes[grouped.sizes > 0]
    least, most = (int(used.min()), int(used.max())) if len(used) else (0, 0)
    return joined(
        paragraph(name(grouped.seen.name), said, kind="lead"),
        tiles(
            tile(count(grouped.seen.rows), "rows"),
            tile(count(grouped.count), "clusters", f"{count(len(used))} with rows of this data"),
            tile(f"{count(least)} to {count(most)}", "rows of a cluster", f"the largest: {percent(most / total)}"),
            tile(count(grouped.unsure), "doubtful rows", f"{percent(grouped.unsure / total)} of the rows"),
        ),
    )


def _sizes(grouped: Grouped) -> Section:
    """How large each cluster is, and what sets it apart in a few words."""
    total, largest = max(1, grouped.seen.rows), max(1, int(grouped.sizes.max()))
    listed = [
        [
            tag("a", f"{each}", href=f"#cluster-{each}"),
            tag("span", count(int(size)), data_sort=str(size)),
            bar(0.0, size / largest, "plain"),
            percent(size / total),
            percent(float(grouped.certain[each] / size)) if size else "–",
        ]
        for each, size in enumerate(grouped.sizes.tolist())
    ]
    told = paragraph(
        "Clusters are numbered as in the column that ",
        tag("code", "diabolo run"),
        " adds. Certainty is the mean share that a row's own "
        "cluster has of it, among all clusters: 100 % where no row lies between two.",
    )
    shown = table(["cluster", "rows", "", "share", "certainty"], listed, (1, 3, 4), "sortable sizes")
    return Section("sizes", "Sizes", "How large the clusters are", joined(told, shown))


def _profiles(grouped: Grouped) -> Section:
    """What each cluster is."""
    cards = [_card(grouped, each) for each in np.argsort(-grouped.sizes, kind="stable").tolist() if grouped.sizes[each]]
    pictured = bool(grouped.seen.schema.grid)
    overview = None if pictured else _overview(grouped)
    return Section(
        "clusters",
        "What they are",
        "What each cluster is",
        joined(paragraph(PICTURES if pictured else PROFILES), overview, cards),
    )


def _overview(grouped: Grouped) -> Markup | None:
    """All clusters and the columns that tell most of them, as shades."""
    strengths = [grouped.sums.strengths(each) for each in range(grouped.count)]
    names = [column.name for column in grouped.seen.schema.columns]
    values = np.array([[each.get(column, np.nan) for each in strengths] for column in names])
    if grouped.count < 2 or len(names) < 2:
        return None
    few = np.sort(np.argsort(-np.abs(np.nan_to_num(values)).max(1), kind="stable")[:OVERVIEW])
    across = [str(each) for each in range(grouped.count)]
    ends = (f"{number(-REACH)} or less", f"{number(REACH)} or more")
    chart = HeatMap(values[few] / REACH, [names[each] for each in few], across, ends, "Columns by clusters")
    words = "Clusters from left to right; shades are standard deviations from all rows"
    hidden = len(names) - len(few)
    words += f", of the {len(few)} columns that differ most." if hidden else "."
    return figure(chart.draw, caption=words)


def _card(grouped: Grouped, cluster: int) -> Markup:
    traits = [] if grouped.seen.schema.grid else _telling(grouped, cluster)
    brief = [[", " if place else "", trait.brief] for place, trait in enumerate(traits[:3])]
    size = int(grouped.sizes[cluster])
    summary = tag(
        "summary",
        tag("span", tag("i", class_=f"dot k-{cluster % 10}"), class_="place"),
        tag("span", tag("b", f"Cluster {cluster}"), class_="which"),
        tag("span", brief, class_="why"),
        tag("span", tag("b", count(size)), tag("small", "row" if size == 1 else "rows"), class_="score"),
    )
    place = int((np.argsort(-grouped.sizes, kind="stable") == cluster).argmax())
    none = (
        None if grouped.seen.schema.grid else paragraph("It differs from all rows in no column by itself.", kind="note")
    )
    body = joined(_traits(traits) if traits else none, _typical(grouped, cluster, traits))
    return tag(
        "details",
        summary,
        body,
        id=f"cluster-{cluster}",
        class_="row cluster",
        open=bool(grouped.seen.schema.grid) or place < OPEN,
    )


def _telling(grouped: Grouped, cluster: int) -> list[Trait]:
    """The columns that set the cluster apart."""
    return [trait for trait in grouped.sums.traits(cluster)[:TRAITS] if abs(trait.strength) >= FAINT]


def _traits(traits: Sequence[Trait]) -> Markup:
    reach = max(max(abs(trait.strength) for trait in traits), REACH)
    listed = [
        [name(each.column.name, 40), tag("b", each.here), each.everywhere, _lean(each.strength / reach), _apart(each)]
        for each in traits
    ]
    return table(["column", "this cluster", "all rows", "", "apart"], listed, (4,), "traits")


def _apart(trait: Trait) -> str:
    return f"{'+' if trait.strength > 0 else ''}{fixed(trait.strength, 1)}"


def _lean(share: float) -> Markup:
    """A bar from the middle to the left or to the right."""
    return bar(0.5 + min(share, 0.0) / 2, abs(share) / 2, "marked" if share > 0 else "below")


def _typical(grouped: Grouped, cluster: int, traits: Sequence[Trait]) -> Markup:
    picked, numbers = grouped.shown(cluster)
    if grouped.seen.schema.grid:
        mean = _mean(grouped, cluster)
        words = [f"row {row:,}" for row in numbers.tolist()]
        each = pictures.gallery(
            grouped.seen.schema, np.concatenate((mean, pixels(picked, grouped.seen.schema))), ["mean", *words]
        )
        return tag("div", each, class_="gallery")
    first = [trait.column.source for trait in traits]
    told = [[f"{row:,}"] for row in numbers.tolist()]
    return joined(tag("h3", "Typical rows"), rows.listed(grouped.seen, picked, ["row"], told, first))


def _mean(grouped: Grouped, cluster: int) -> np.ndarray:
    """The mean of a cluster in the user's units, (1, channels, *grid)."""
    each = zip(grouped.seen.schema.columns, grouped.sums.means[cluster], strict=True)
    return np.stack([natural(column, values) for column, values in each])[None]


def _map(grouped: Grouped, z: np.ndarray, own: np.ndarray) -> Section:
    """The codes on a plane, in the colours of their clusters."""
    points, titles, share = flat(z)
    names = [str(each) for each in range(grouped.count)]
    colouring = Colouring(own, [f"cluster {each}" for each in names])
    told = f"A flat view of the codes of {count(len(points), 'row')}, which keeps {percent(share)} of their spread: "
    told += "clusters that overlap here may lie apart in other directions."
    chart = KindMap(points, colouring, titles, names)
    body = joined(paragraph(told), figure(chart.draw, *filter(None, [colouring.legend()])))
    return Section("map", "Map", "Map of the clusters", body)


def _clear(grouped: Grouped, z: np.ndarray, own: np.ndarray) -> Section:
    """How far the clusters are apart."""
    sizes = np.bincount(own, minlength=grouped.count)
    used = int((sizes > 0).sum())
    if used < 2 or used >= len(z):
        said = paragraph("There is one cluster in these rows, and nothing to tell it from.", kind="verdict")
        return Section("clear", "How clear", "How clear the clusters are", said)
    inside, near = _silhouettes(z, own), _agreement(z, own)
    chance = float(np.square(sizes / sizes.sum()).sum())
    told = (
        f"Of the {min(NEAREST, len(z) - 1)} nearest codes of a row {percent(float(near.mean()))} are in its cluster; "
        f"if clusters of these sizes were drawn by lot, {percent(chance)} would be. The silhouette is "
        f"{fixed(float(inside.mean()))}: 1 where clusters are tight and far from each other, 0 where they touch, below "
        "where rows lie nearer to another cluster. It expects round clusters, and is low for long or bent ones, "
        "however clear they are."
    )
    used_ = np.flatnonzero(sizes).tolist()
    means = [[float(each[own == cluster].mean()) for each in (near, inside)] for cluster in used_]
    listed = [
        [f"{cluster}", count(int(sizes[cluster])), percent(neighbours), fixed(silhouette)]
        for cluster, (neighbours, silhouette) in zip(used_, means, strict=True)
    ]
    heads = ["cluster", "rows drawn", "neighbours in it", "silhouette"]
    body = joined(paragraph(told), table(heads, listed, (1, 2, 3), "sortable"))
    return Section("clear", "How clear", "How clear the clusters are", body)


def _silhouettes(z: np.ndarray, own: np.ndarray) -> np.ndarray:
    from sklearn.metrics import silhouette_samples

    return silhouette_samples(z, own)


def _agreement(z: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The share of the nearest codes of each row that are in its cluster, (n,)."""
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=min(NEAREST, len(z) - 1)).fit(z).kneighbors(return_distance=False)
    return (own[near] == own[:, None]).mean(1)


def _doubtful(grouped: Grouped) -> Section:
    """The rows that could as well be in another cluster."""
    kept = grouped.doubtful
    unsure = -kept.keys < UNSURE
    heading = "Doubtful rows"
    if not unsure.any():
        said = f"No row has less than {percent(UNSURE)} of its cluster."
        return Section("doubtful", "Doubtful", heading, paragraph(said))
    picked, numbers = kept.table.slice(0, int(unsure.sum())), kept.numbers[unsure]
    shares = grouped.clusterer.predict_proba(picked)
    order = np.argsort(-shares, 1, kind="stable")[:, :2]
    told = paragraph(
        f"{count(grouped.unsure, 'row')} {'has' if grouped.unsure == 1 else 'have'} less than {percent(UNSURE)} of one "
        "cluster. These are the most doubtful, with the two clusters that they lie between."
    )
    each = zip(numbers.tolist(), order, shares, strict=True)
    lines = [[f"{row:,}", *_between(own, share)] for row, own, share in each]
    if grouped.seen.schema.grid:
        words = [f"row {line[0]}: {line[1]} or {line[2]}" for line in lines]
        return Section("doubtful", "Doubtful", heading, joined(told, rows.drawn(grouped.seen, picked, words)))
    shown = rows.listed(grouped.seen, picked, ["row", "cluster", "or"], lines)
    return Section("doubtful", "Doubtful", heading, joined(told, shown))


def _between(order: np.ndarray, share: np.ndarray) -> list[str]:
    return [f"{each} ({percent(float(share[each]))})" for each in order.tolist()] + ["–"] * (2 - len(order))


def _labelled(grouped: Grouped) -> Section:
    """How far clusters and known labels agree."""
    labels, found = model.known(grouped.truth, grouped.found)
    told = paragraph("Against the labels in ", name(grouped.seen.labels), ". Bars span the 95 % bootstrap intervals.")
    if not len(labels):
        return model.without_labels()
    figures = [_figure(*each) for each in clustering(labels, found).items()]
    shown = table(["figure", "value", "", "95 % interval"], figures, (1, 3), "figures")
    note = (
        "Accuracy is the share of rows whose cluster is the one given to their label, one cluster per label at the "
        "most; NMI the information that both share; ARI counts pairs of rows, and is 0 by chance."
    )
    crossed = _crossed(labels, found, grouped.count)
    body = joined(told, model.learned(grouped.seen), shown, paragraph(note, kind="note"), crossed)
    return Section("labels", "Labels", "Compared with known labels", body)


def _figure(figure: str, at: Estimate) -> list[object]:
    words = {"nmi": "NMI", "ari": "ARI"}.get(figure, figure)
    low, high = max(at.low, 0.0), max(at.high, 0.0)
    return [words, fixed(at.value, 3), bar(low, high - low, "plain"), f"{fixed(at.low, 3)} to {fixed(at.high, 3)}"]


def _crossed(labels: pa.ChunkedArray, found: np.ndarray, clusters: int) -> Markup:
    """How many rows of each label are in each cluster."""
    coded = labels.combine_chunks().dictionary_encode()
    words, place = coded.dictionary.to_pylist(), coded.indices.to_numpy()
    counts = np.bincount(found * len(words) + place, minlength=clusters * len(words)).reshape(clusters, len(words))
    few = np.argsort(-counts.sum(0), kind="stable")[:MOST_LABELS]
    order = sorted(few.tolist(), key=lambda each: str(words[each]).zfill(12))
    most = counts.max(0)
    listed = [
        [f"{each}", *(_cell(int(counts[each, label]), int(most[label])) for label in order)]
        for each in np.flatnonzero(counts.sum(1)).tolist()
    ]
    heads = ["cluster", *(value(words[each])[:24] for each in order)]
    shown = table(heads, listed, range(1, len(heads)), "crossed")
    return joined(tag("h3", "Rows of each label by cluster"), shown, model.more(len(words) - len(order), "label"))


def _cell(rows_: int, most: int) -> Markup:
    """A count; the largest of its label stands out."""
    if not rows_:
        return tag("span", "·", class_="none")
    return tag("b", count(rows_)) if rows_ == most else cell(count(rows_))


def _limits(grouped: Grouped) -> list[Markup | str]:
    return [
        *model.unseen(grouped.seen.schema),
        "It finds clusters in rows without any too: the section on how clear they are says what they are worth.",
        "Every row is put into a cluster, one unlike all rows of the fit too.",
    ]
