r"""Groups: codes put together so that the group of a row tells most about the groups of its neighbours.

::

    I = sum_ab p_ab log(p_ab / (p_a p_b))      nats; p_ab: share of the walks that lead from group a to group b

Links join every code to its nearest ones, and a walk goes over two of them: over one alone it would stay among codes
that are near by chance. Groups of any shape, that need only be dense somewhere and apart from others, have few walks
between them, and groups of one size tell more than a large one with crumbs beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import torch
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from diabolo.batches import Batch
from diabolo.errors import InvalidData
from diabolo.layouts import laid_out
from diabolo.randomness import mix
from diabolo.tasks.mixture import Mixture, quietly

if TYPE_CHECKING:
    from jaxtyping import Float, Int

NEAREST = 15  # codes that a code is linked with, at most
SHARE = 10  # of so many codes one is linked with, where there are few
PIECES = (4, 8, 16)  # times as many pieces as groups, that are then put together
MOST_PIECES = 160
STARTS = 6  # of each number of pieces; the best of all is taken
ROUNDS = 50  # of moving codes between groups, at most
FLAT, WIDE = 2, 10  # numbers of a place in a layout, at least and at most
BLOCK = 256  # rows whose distances are held at once
TINY = 1e-12


@dataclass(frozen=True)
class Groups:
    """Kept codes (m, d) and the group (m,) of each; a row belongs to the group of most of the kept codes around it.

    >>> line = torch.cat([torch.arange(40.0), 100 + torch.arange(40.0)]).view(-1, 1)
    >>> groups = Groups.of_neighbours(Batch(line), 2, seed=0)
    >>> groups.shares(torch.tensor([[3.0], [130.0]])).max(1).values.tolist(), groups.count
    ([1.0, 1.0], 2)
    """

    codes: Tensor
    labels: Tensor

    @classmethod
    def of_neighbours(cls, codes: Batch, count: int, seed: int, starts: int = STARTS) -> Self:
        """At most ``count`` groups of the greatest information that was found from several starts.

        A start cuts the codes into pieces by k-means, joins those two from which walks go to the same pieces until
        ``count`` are left (Slonim and Tishby, 1999), and moves each code to the group that its walks tell of, as
        long as the information grows (Dhillon, Mallela and Modha, 2003).
        """
        count = min(count, len(codes.x.unique(dim=0)))
        links = Links.between(codes)
        sizes = sorted({min(max(count, min(times * count, MOST_PIECES)), len(codes)) for times in PIECES})
        found = [
            moved(links, joined(links, pieces(codes, size, mix(seed, start)), count), count)
            for size in sizes
            for start in range(starts)
        ]
        best = max(found, key=lambda labels: information(links.shares(labels, count)))
        return cls._numbered(codes, best)

    @classmethod
    def of_layout(cls, codes: Batch, count: int, seed: int) -> Self:
        """At most ``count`` groups: Gaussians among the places that UMAP gives the codes (McConville et al., 2021,
        arXiv:1908.05968). Raises MissingExtra.
        """
        count = min(count, len(codes.x.unique(dim=0)))
        numbers = min(max(count, FLAT), WIDE)
        places = torch.from_numpy(laid_out(codes.x.numpy(), numbers, apart=0.0, seed=seed % 2**32))
        found = Mixture.of_gaussians(Batch(places, codes.weight), count, seed)
        return cls._numbered(codes, found.joint(places).argmax(1).numpy())

    @property
    def count(self) -> int:
        """How many groups there are."""
        return int(self.labels.max()) + 1

    def shares(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n groups"]:
        """The share of each group among the nearest kept codes, weighed as links are."""
        away, near = self._nearest(z)
        weight = kernel(away)
        votes = torch.zeros(len(z), self.count, dtype=torch.float64)
        votes.scatter_add_(1, self.labels[near], weight / weight.sum(1, keepdim=True))
        return votes.clamp_max_(1.0)  # sums are rounded

    def log_density(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """``log p(z)``, in nats: as dense as the nearest kept codes lie (Loftsgaarden and Quesenberry, 1965)."""
        away, near = self._nearest(z)
        k, d = near.shape[1], z.shape[1]
        ball = d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
        return math.log(k / len(self.codes)) - ball - d * away[:, -1].clamp_min(TINY).log()

    def state(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def restored(cls, state: Mapping[str, Tensor], width: int) -> Self:
        """The inverse of ``state``, for codes of ``width`` numbers. Raises InvalidData if they do not fit."""
        made = cls(*(state[each.name] for each in fields(cls)))
        m, numbered = len(made.codes), made.labels.dtype == torch.int64
        if (
            not m
            or not numbered
            or made.codes.shape != (m, width)
            or made.labels.shape != (m,)
            or made.labels.min() < 0
        ):
            raise InvalidData(f"The groups in the file are not those of codes of {width} numbers.")
        return made

    @classmethod
    def _numbered(cls, codes: Batch, labels: np.ndarray) -> Self:
        """These groups, numbered without a gap."""
        used = np.unique(labels, return_inverse=True)[1].ravel()
        return cls(codes.x.clone(), torch.from_numpy(used.astype(np.int64)))

    def _nearest(self, z: Tensor) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
        """Distances and places of the nearest kept codes, the nearest first."""
        middle = self.codes.mean(0)
        kept, new = self.codes - middle, z - middle  # near 0, where squares lose least
        length, count = kept.square().sum(1), neighbours(len(kept))
        places = torch.cat(
            [torch.addmm(length, each, kept.T, alpha=-2).topk(count, 1, largest=False)[1] for each in new.split(BLOCK)]
        )
        away, order = (new.double().unsqueeze(1) - kept[places].double()).norm(dim=2).sort(1)
        return away, places.gather(1, order)


class Links(NamedTuple):
    """The weight of the links between codes, in both directions, and the chances of a step over them."""

    weight: csr_array
    chance: csr_array

    @classmethod
    def between(cls, codes: Batch) -> Self:
        """Every code with its nearest ones, by how near they are (McInnes, Healy and Melville, 2018)."""
        z, count = codes.x.double().numpy(), neighbours(len(codes) - 1)
        search = NearestNeighbors(n_neighbors=count, algorithm="brute")
        away, near = quietly(lambda: search.fit(z).kneighbors())  # without rows: a code is no neighbour of its own
        head, tail = np.repeat(np.arange(len(z)), count), near.ravel()
        heavy = codes.weights.double().numpy()
        weight = kernel(torch.from_numpy(away)).numpy().ravel() * heavy[head] * heavy[tail]
        one_way = csr_array((weight, (head, tail)), (len(z), len(z)))
        both = csr_array(one_way + one_way.T)
        return cls(both, csr_array(both.multiply(1 / np.maximum(both.sum(1), TINY)[:, None])))

    def towards(self, labels: np.ndarray, count: int) -> np.ndarray:
        """The weight of the walks of each code to each of ``count`` groups, (codes, count)."""
        told: np.ndarray = self.weight @ (self.chance @ np.eye(count)[labels])  # over two links
        return told

    def shares(self, labels: np.ndarray, count: int) -> np.ndarray:
        """The share of the walks that lead from one group to another, (count, count)."""
        return shared(self.towards(labels, count), labels)


def shared(towards: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The share of each pair of groups in the walks ``towards`` groups (codes, count) of codes with labels."""
    sums = np.eye(towards.shape[1])[labels].T @ towards
    shares: np.ndarray = sums / sums.sum()
    return shares


def neighbours(codes: int) -> int:
    """How many of ``codes`` codes are near.

    >>> neighbours(1000), neighbours(60), neighbours(3)
    (15, 6, 1)
    """
    return max(1, min(NEAREST, codes // SHARE))


def kernel(away: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """The weight of each of the nearest at these distances: 1 of the nearest one, 1/e as far beyond it as usual."""
    beyond = away - away[:, :1]
    return torch.exp(-beyond / beyond.mean(1, keepdim=True).clamp_min(TINY))


def information(shares: np.ndarray) -> float:
    """What one end of a link tells about the other, in nats.

    >>> float(round(information(np.eye(2) / 2), 3)), information(np.ones((2, 2)) / 4)
    (0.693, 0.0)
    """
    return float(_x_log_x(shares).sum() - _x_log_x(shares.sum(1)).sum() - _x_log_x(shares.sum(0)).sum())


def pieces(codes: Batch, count: int, seed: int) -> np.ndarray:
    """The codes cut into at most ``count`` pieces by k-means, numbered without a gap."""
    means = KMeans(count, n_init=1, max_iter=20, random_state=seed % 2**32)
    fitted = quietly(lambda: means.fit(codes.x.double().numpy(), sample_weight=codes.weights.numpy()))
    return np.unique(fitted.labels_, return_inverse=True)[1].ravel()  # of equal codes k-means makes empty pieces


def joined(links: Links, labels: np.ndarray, count: int) -> np.ndarray:
    """Pieces put together until ``count`` are left, each time the two that lose least information."""
    rows = links.shares(labels, int(labels.max()) + 1)
    owner, left = np.arange(len(rows)), np.ones(len(rows), bool)
    loss = np.stack([_lost(rows, row) for row in rows])
    while left.sum() > count:
        loss[~left] = loss[:, ~left] = np.inf
        np.fill_diagonal(loss, np.inf)
        one, other = np.unravel_index(loss.argmin(), loss.shape)
        rows[one] += rows[other]
        owner[owner == other], left[other] = one, False
        loss[one] = loss[:, one] = _lost(rows, rows[one])
    return np.unique(owner, return_inverse=True)[1].ravel()[labels]


def moved(links: Links, labels: np.ndarray, count: int) -> np.ndarray:
    """Each code in the group whose walks go where its own go, in rounds, as long as the information grows."""
    best, reached = labels, -math.inf
    for _ in range(ROUNDS):
        towards = links.towards(labels, count)
        shares = shared(towards, labels)
        if information(shares) <= reached + TINY:
            break
        best, reached = labels, information(shares)
        told = np.log(np.maximum(shares, TINY) / np.maximum(shares.sum(1, keepdims=True), TINY))
        labels = (towards @ told.T).argmax(1)
    return best


def _lost(rows: np.ndarray, row: np.ndarray) -> np.ndarray:
    """The information about where links lead that is lost where ``row`` is added to each of ``rows``."""
    apart = (_x_log_x(rows) + _x_log_x(row) - _x_log_x(rows + row)).sum(1)
    whole, own = rows.sum(1), row.sum()
    return apart - (_x_log_x(whole) + _x_log_x(own) - _x_log_x(whole + own))


def _x_log_x(x: np.ndarray) -> np.ndarray:
    return x * np.log(np.maximum(x, 1e-300))
