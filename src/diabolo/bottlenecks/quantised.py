"""Codes of whole numbers: the index of the nearest of several vectors.

Discrete ---- Nearest ---- Quantised    vectors follow their points, or are trained
          |            +-- Spanned      vectors lie fixed in a basis that is trained
          +-- Residual: several Quantised, each for what the ones before it left over
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from diabolo.autoencoder import Bottleneck, Code
from diabolo.errors import InvalidParameter
from diabolo.randomness import gumbel_like, place, uniform_like

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

Distance = Literal["euclidean", "cosine"]
Update = Literal["ema", "gradient"]

DECAY = 0.95  # of running means, at each batch
REVIVED_BELOW = 0.1  # of the points a code would get if all codes were used alike
FRESH = 0.25  # of that, the weight of a new vector's first place: it moves quickly to the mean of its points
ROUNDS = 8
TINY = 1e-12


class Discrete(Bottleneck, ABC):
    """A bottleneck whose codes can be written as tokens: some per row of a table, or per place of the grid."""

    grid = True

    @property
    @abstractmethod
    def letters(self) -> tuple[int, ...]:
        """How many values each token of a place can take."""

    @abstractmethod
    def look_up(self, tokens: Int[Tensor, "n heads *grid"]) -> Float[Tensor, "n latent *grid"]:
        """The codes that tokens stand for."""


class Nearest(Discrete, ABC):
    """The nearest of several vectors; gradients go straight through.

    A row of a table is cut into ``heads`` pieces with a codebook each; on images and series each place of the grid
    is. Subclasses say what the vectors are and what a batch does to them.
    """

    counts: Tensor

    def __init__(self, latent: int, codes: int, heads: int, commitment: float, learned: bool) -> None:
        super().__init__()
        part_of(latent, heads)
        self.width = self.latent = latent
        self.codes, self.heads, self.commitment, self.learned = codes, heads, commitment, learned
        self.register_buffer("counts", torch.zeros(heads, codes))  # points per code and batch, a running mean

    @abstractmethod
    def vectors(self) -> Float[Tensor, "heads codes part"]:
        """Every vector of every codebook."""

    @abstractmethod
    def follow(self, points: Float[Tensor, "n places heads part"], tokens: Int[Tensor, "n places heads"]) -> None:
        """Learn from a training batch after it has its codes, so that no row's code depends on another row."""

    def forward(self, h: Float[Tensor, "n latent *grid"]) -> Code:
        with torch.autocast(h.device.type, enabled=False):  # half precision cannot count points
            points, book = self.points(cut(h.float(), self.heads)), self.vectors()
            tokens = _nearest(points.detach(), book.detach())
            vectors = picked(book, tokens)
            cost = self.commitment * (points - vectors.detach()).square()
            if self.learned:
                cost = cost + (points.detach() - vectors).square()
            if self.training:
                self.follow(points.detach(), tokens)
            z = joined(points + (vectors - points).detach(), h)
            return Code(z, {"quantisation": cost.flatten(1).sum(1)}, tokens=joined(tokens[..., None], h))

    def points(self, h: Float[Tensor, "n places heads part"]) -> Float[Tensor, "n places heads part"]:
        """What is compared with the vectors."""
        return h

    @property
    def letters(self) -> tuple[int, ...]:
        return (self.codes,) * self.heads

    def look_up(self, tokens: Int[Tensor, "n heads *grid"]) -> Float[Tensor, "n latent *grid"]:
        return joined(picked(self.vectors(), cut(tokens, self.heads)[..., 0]), tokens)

    @torch.no_grad()
    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        """Tokens as often as training used them, each by itself."""
        used = (self.counts + TINY).cumsum(1)
        chance = uniform_like(used.new_empty(n, math.prod(grid), self.heads)) * used[:, -1]
        tokens = torch.searchsorted(used, chance.movedim(-1, 0).flatten(1).contiguous())
        tokens = tokens.clamp(max=self.codes - 1).view(self.heads, n, -1).movedim(0, -1)
        return joined(picked(self.vectors(), tokens), used.new_empty(n, self.latent, *grid))

    def extra_repr(self) -> str:
        return f"latent={self.latent}, codes={self.codes}, heads={self.heads}"


class Quantised(Nearest):
    """The nearest of ``codes`` vectors (van den Oord et al., 2017, arXiv:1711.00937).

    A row of a table is cut into ``heads`` pieces with a codebook each; on images and series each place of the grid
    is. ``h`` and ``z`` have shape (n, latent, *grid), ``tokens`` (n, heads, *grid). Gradients go straight through:
    ``z = h + (e - h).detach()``. The cost, in nats per row, is

        quantisation = commitment * |h - e.detach()|^2 + |h.detach() - e|^2   (the second with "gradient" only)

    ``update="ema"`` moves each vector to the running mean of its points, ``"gradient"`` trains it with
    the rest. In both, vectors that get hardly any points, and all of them at first, are moved after the batch to
    points of it, drawn in rounds by squared distance to the nearest vector (k-means||, Bahmani et al., 2012,
    arXiv:1203.6402); with "ema" the first batches are then k-means. ``distance="cosine"`` first gives points and
    vectors length 1 (Yu et al., 2022, arXiv:2110.04627). In evaluation nothing moves. Raises InvalidParameter if
    ``heads`` does not divide ``latent``.

    >>> part = Quantised(latent=4, codes=8, heads=2).eval()
    >>> code = part(torch.randn(5, 4))
    >>> code.z.shape, code.tokens.shape, part.codebook.shape
    (torch.Size([5, 4]), torch.Size([5, 2]), torch.Size([2, 8, 2]))
    """

    codebook: Tensor
    sums: Tensor

    def __init__(
        self,
        latent: int,
        codes: int,
        heads: int = 1,
        *,
        update: Update = "ema",
        commitment: float = 0.25,
        distance: Distance = "euclidean",
    ) -> None:
        super().__init__(latent, codes, heads, commitment, update == "gradient")
        self.cosine = distance == "cosine"
        vectors = torch.randn(heads, codes, latent // heads)
        self.register_buffer("sums", torch.zeros_like(vectors))
        if self.learned:
            self.codebook = nn.Parameter(vectors)
        else:
            self.register_buffer("codebook", vectors)

    def vectors(self) -> Float[Tensor, "heads codes part"]:
        return self.points(self.codebook.clone() if self.cosine else self.codebook)  # moved before gradients are made

    def points(self, h: Float[Tensor, "*any part"]) -> Float[Tensor, "*any part"]:
        return F.normalize(h, dim=-1) if self.cosine else h

    @torch.no_grad()
    def follow(self, points: Float[Tensor, "n places heads part"], tokens: Int[Tensor, "n places heads"]) -> None:
        first = ~self.counts.any(1)
        chosen = one_hot(tokens, self.codes).to(points.dtype)
        counts, sums = chosen.sum((0, 1)), torch.einsum("nphk,nphd->hkd", chosen, points)
        self.counts.mul_(DECAY).add_(added_up(counts), alpha=1 - DECAY)
        self.sums.mul_(DECAY).add_(added_up(sums), alpha=1 - DECAY)
        if not self.learned:
            used = self.counts[..., None] > TINY
            self.codebook.copy_(torch.where(used, self.sums / self.counts[..., None].clamp_min(TINY), self.codebook))
        self._revive(points, tokens, first)

    def _revive(self, points: Tensor, tokens: Tensor, first: Bool[Tensor, "heads"]) -> None:
        """Put dead codes on points of the global batch, drawn by squared distance to the nearest code."""
        fair = place(len(points)).total * points.shape[1] / self.codes
        dead = (self.counts < REVIVED_BELOW * fair) | first[:, None]
        distance = (points - picked(self.vectors(), tokens)).square().sum(-1, keepdim=True)
        distance = torch.where(first[:, None], 1.0, distance)  # at first any point is as good as any other
        luck = gumbel_like(distance.expand(*distance.shape[:-1], ROUNDS))
        everybody = _whole_batch(torch.cat([points, distance, luck], -1)).flatten(0, 1).movedim(1, 0)
        own, distance, luck = everybody.split([points.shape[-1], 1, ROUNDS], -1)
        drawn = _far_apart(own, distance, luck, self.codes)
        turn = (dead.cumsum(1) - 1).clamp_min(0) % drawn.shape[1]
        fresh = drawn.gather(1, turn[..., None].expand(*dead.shape, points.shape[-1]))
        self.codebook.copy_(torch.where(dead[..., None], fresh, self.codebook))
        self.counts.masked_fill_(dead, FRESH * fair)
        self.sums.copy_(torch.where(dead[..., None], fresh * FRESH * fair, self.sums))


class Spanned(Nearest):
    """The nearest of ``codes`` vectors that lie fixed in a learned basis (Zhu et al., 2024, arXiv:2411.02038).

    The vectors are ``e = C W`` with C drawn once and W, (part, part) per head, trained: every point moves all of
    them, so that none is left behind. Shapes are those of :class:`Quantised`; the cost, in nats per row, is
    ``quantisation = commitment * |h - e.detach()|^2 + |h.detach() - e|^2``. Raises InvalidParameter if ``heads`` does
    not divide ``latent``.

    >>> part = Spanned(latent=4, codes=8)
    >>> part(torch.randn(5, 4)).tokens.shape, [name for name, _ in part.named_parameters()]
    (torch.Size([5, 1]), ['basis'])
    """

    fixed: Tensor

    def __init__(self, latent: int, codes: int, heads: int = 1, *, commitment: float = 0.25) -> None:
        super().__init__(latent, codes, heads, commitment, True)
        part = latent // heads
        self.register_buffer("fixed", torch.randn(heads, codes, part) / math.sqrt(part))  # as long as points are
        self.basis = nn.Parameter(torch.eye(part).repeat(heads, 1, 1))

    def vectors(self) -> Float[Tensor, "heads codes part"]:
        return self.fixed @ self.basis

    @torch.no_grad()
    def follow(self, points: Float[Tensor, "n places heads part"], tokens: Int[Tensor, "n places heads"]) -> None:
        """Count the codes, for samples."""
        counts = one_hot(tokens, self.codes).to(points.dtype).sum((0, 1))
        self.counts.mul_(DECAY).add_(added_up(counts), alpha=1 - DECAY)


class Residual(Discrete):
    """Several codebooks one after the other, each for what is left over (Zeghidour et al., 2021, arXiv:2107.03312;
    Lee et al., 2022, arXiv:2203.01941).

    ``z = e_1 + ... + e_stages`` with ``e_s`` the vector of stage s that is nearest to ``h - e_1 - ... - e_{s-1}``.
    ``h`` and ``z`` have shape (n, latent, *grid), ``tokens`` (n, stages, *grid); gradients go straight through. The
    cost, in nats per row, is the sum of the stages' costs, each that of :class:`Quantised`.

    >>> Residual(latent=4, codes=8, stages=3)(torch.randn(5, 4)).tokens.shape
    torch.Size([5, 3])
    """

    def __init__(
        self, latent: int, codes: int, stages: int = 4, *, update: Update = "ema", commitment: float = 0.25
    ) -> None:
        super().__init__()
        self.width = self.latent = latent
        parts = [Quantised(latent, codes, update=update, commitment=commitment) for _ in range(stages)]
        self.stages = nn.ModuleList(parts)

    def forward(self, h: Float[Tensor, "n latent *grid"]) -> Code:
        left, codes = h.float(), []
        for stage in self.stages:
            codes.append(stage(left))
            left = left - codes[-1].z.detach()
        cost = torch.stack([code.costs["quantisation"] for code in codes]).sum(0)
        return Code(h.float() - left.detach(), {"quantisation": cost}, torch.cat([code.tokens for code in codes], 1))

    @property
    def letters(self) -> tuple[int, ...]:
        return tuple(each for stage in self.stages for each in stage.letters)  # type: ignore[union-attr]

    def look_up(self, tokens: Int[Tensor, "n stages *grid"]) -> Float[Tensor, "n latent *grid"]:
        parts = zip(self.stages, tokens.split(1, 1), strict=True)
        found: Tensor = sum(stage.look_up(own) for stage, own in parts)  # type: ignore[operator,assignment]
        return found

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        """Tokens as often as training used them, each by itself."""
        drawn: Tensor = sum(stage.sample(n, grid) for stage in self.stages)  # type: ignore[operator,assignment]
        return drawn


def part_of(latent: int, heads: int) -> int:
    """Numbers per head. Raises InvalidParameter if ``heads`` does not divide ``latent``."""
    if latent % heads:
        raise InvalidParameter(f"heads must divide latent = {latent}. Got {heads}: take {math.gcd(latent, heads)}.")
    return latent // heads


def cut(h: Float[Tensor, "n width *grid"], heads: int) -> Float[Tensor, "n places heads part"]:
    """Axis 1 cut into heads, the grid laid out in one line."""
    return h.movedim(1, -1).reshape(len(h), math.prod(h.shape[2:]), heads, h.shape[1] // heads)


def joined(points: Float[Tensor, "n places heads part"], like: Tensor) -> Float[Tensor, "n width *grid"]:
    """The heads side by side on axis 1, on the grid of ``like``."""
    return points.reshape(len(like), *like.shape[2:], math.prod(points.shape[2:])).movedim(-1, 1)


def _nearest(
    points: Float[Tensor, "n places heads part"], book: Float[Tensor, "heads codes part"]
) -> Int[Tensor, "n places heads"]:
    return (book.square().sum(-1) - 2 * torch.einsum("nphd,hkd->nphk", points, book)).argmin(-1)


def picked(
    book: Float[Tensor, "heads codes part"], tokens: Int[Tensor, "n places heads"]
) -> Float[Tensor, "n places heads part"]:
    """The vectors that tokens name, head by head."""
    return book[torch.arange(len(book), device=tokens.device), tokens]


def _far_apart(
    points: Float[Tensor, "heads n part"],
    distance: Float[Tensor, "heads n 1"],
    luck: Float[Tensor, "heads n rounds"],
    count: int,
) -> Float[Tensor, "heads drawn part"]:
    """At least ``count`` of the points, where there are as many, drawn by squared distance to those drawn before."""
    drawn, size, nearest = [], min(-(-count // ROUNDS), points.shape[1]), distance.squeeze(-1)
    for dice in luck.unbind(-1):
        order = (nearest.clamp_min(TINY).log() + dice).topk(size, 1).indices  # the top k: a draw without replacement
        drawn.append(points.gather(1, order[..., None].expand(*order.shape, points.shape[-1])))
        between = drawn[-1].square().sum(-1)[:, None] - 2 * points @ drawn[-1].mT
        nearest = nearest.minimum(between.amin(-1) + points.square().sum(-1))
    return torch.cat(drawn, 1)


def one_hot(tokens: Tensor, codes: int) -> Tensor:
    """True at the place of each token, on a new last axis."""
    return tokens[..., None] == torch.arange(codes, device=tokens.device)


def added_up(part: Tensor) -> Tensor:
    """The sum over all processes of a data-parallel training."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(part)
    return part


def _whole_batch(rows: Tensor) -> Tensor:
    """The rows of the global batch, on every process in the same order."""
    total, start = place(len(rows))
    whole = rows.new_zeros(total, *rows.shape[1:])
    whole[start : start + len(rows)] = rows
    return added_up(whole)
