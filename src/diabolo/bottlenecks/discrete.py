"""Codes of whole numbers: the index of a vector, or digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from diabolo.autoencoder import Bottleneck, Code
from diabolo.errors import InvalidParameter
from diabolo.randomness import place, uniform_like

if TYPE_CHECKING:
    from jaxtyping import Float, Int

REVIVED_BELOW = 0.1  # of the points a code would get if all codes were used alike
TINY = 1e-12


class Quantised(Bottleneck):
    """The nearest of ``codes`` vectors (van den Oord et al., 2017, arXiv:1711.00937).

    A row of a table is cut into ``heads`` pieces with a codebook each; on images and series each place of the grid
    is. ``h`` and ``z`` have shape (n, latent, *grid), ``tokens`` (n, heads, *grid). Gradients go straight through:
    ``z = h + (e - h).detach()``. The cost, in nats per row, is

        quantisation = commitment * |h - e.detach()|^2 + |h.detach() - e|^2   (the second with "gradient" only)

    ``update="ema"`` moves each vector to the running mean of its points (``decay``), ``"gradient"`` trains it with
    the rest. In both, vectors that get hardly any points, and all of them at first, are moved after the batch to
    points of it, far ones first, as k-means|| is seeded (Bahmani et al., 2012, arXiv:1203.6402). In evaluation nothing
    moves. Raises InvalidParameter if ``heads`` does not divide ``latent``.

    >>> part = Quantised(latent=4, codes=8, heads=2).eval()
    >>> code = part(torch.randn(5, 4))
    >>> code.z.shape, code.tokens.shape, part.codebook.shape
    (torch.Size([5, 4]), torch.Size([5, 2]), torch.Size([2, 8, 2]))
    """

    grid = True
    codebook: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(
        self,
        latent: int,
        codes: int,
        heads: int = 1,
        *,
        update: Literal["ema", "gradient"] = "ema",
        commitment: float = 0.25,
        decay: float = 0.95,
    ) -> None:
        super().__init__()
        if latent % heads:
            raise InvalidParameter(f"heads must divide latent = {latent}. Got {heads}: take {math.gcd(latent, heads)}.")
        self.width = self.latent = latent
        self.codes, self.heads, self.commitment, self.decay = codes, heads, commitment, decay
        self.learned = update == "gradient"
        vectors = torch.randn(heads, codes, latent // heads)
        self.register_buffer("counts", torch.zeros(heads, codes))  # points per code and batch, a running mean
        self.register_buffer("sums", torch.zeros_like(vectors))
        if self.learned:
            self.codebook = nn.Parameter(vectors)
        else:
            self.register_buffer("codebook", vectors)

    def forward(self, h: Float[Tensor, "n latent *grid"]) -> Code:
        with torch.autocast(h.device.type, enabled=False):  # half precision cannot count points
            points = self._cut(h.float())
            tokens = self._nearest(points.detach())
            vectors = self._vectors(tokens)
            cost = self.commitment * (points - vectors.detach()).square()
            if self.learned:
                cost = cost + (points.detach() - vectors).square()
            if self.training:
                self._follow(points.detach(), tokens)
            z = self._join(points + (vectors - points).detach(), h)
            return Code(z, {"quantisation": cost.flatten(1).sum(1)}, tokens=self._on_grid(tokens, h))

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        """Tokens as often as training used them, each by itself."""
        used = (self.counts + TINY).cumsum(1)
        chance = uniform_like(used.new_empty(n, math.prod(grid), self.heads)) * used[:, -1]
        tokens = torch.searchsorted(used, chance.movedim(-1, 0).flatten(1).contiguous())
        tokens = tokens.clamp(max=self.codes - 1).view(self.heads, n, -1).movedim(0, -1)
        return self._join(self._vectors(tokens), used.new_empty(n, self.latent, *grid))

    def extra_repr(self) -> str:
        return f"latent={self.latent}, codes={self.codes}, heads={self.heads}, learned={self.learned}"

    def _cut(self, h: Tensor) -> Float[Tensor, "n places heads part"]:
        return h.movedim(1, -1).reshape(len(h), -1, self.heads, self.latent // self.heads)

    def _join(self, points: Float[Tensor, "n places heads part"], like: Tensor) -> Tensor:
        return points.reshape(len(like), *like.shape[2:], self.latent).movedim(-1, 1)

    def _on_grid(self, tokens: Int[Tensor, "n places heads"], like: Tensor) -> Tensor:
        return tokens.reshape(len(like), *like.shape[2:], self.heads).movedim(-1, 1)

    def _nearest(self, points: Float[Tensor, "n places heads part"]) -> Int[Tensor, "n places heads"]:
        book = self.codebook.detach()
        return (book.square().sum(-1) - 2 * torch.einsum("nphd,hkd->nphk", points, book)).argmin(-1)

    def _vectors(self, tokens: Int[Tensor, "n places heads"]) -> Float[Tensor, "n places heads part"]:
        return self.codebook[torch.arange(self.heads, device=tokens.device), tokens]

    @torch.no_grad()
    def _follow(self, points: Tensor, tokens: Tensor) -> None:
        """Move the codebook after the batch has its codes, so that no row's code depends on another row."""
        chosen = (tokens[..., None] == torch.arange(self.codes, device=tokens.device)).to(points.dtype)
        counts, sums = chosen.sum((0, 1)), torch.einsum("nphk,nphd->hkd", chosen, points)
        self.counts.mul_(self.decay).add_(_added_up(counts), alpha=1 - self.decay)
        self.sums.mul_(self.decay).add_(_added_up(sums), alpha=1 - self.decay)
        if not self.learned:
            used = self.counts[..., None] > TINY
            self.codebook.copy_(torch.where(used, self.sums / self.counts[..., None].clamp_min(TINY), self.codebook))
        self._revive(points, tokens)

    def _revive(self, points: Tensor, tokens: Tensor) -> None:
        """Put dead codes on points of the global batch, drawn by squared distance to their code, none twice."""
        fair = place(len(points)).total * points.shape[1] / self.codes
        dead = self.counts < REVIVED_BELOW * fair
        distance = (points - self._vectors(tokens)).square().sum(-1) + TINY
        luck = distance.log() - (TINY - uniform_like(distance).clamp_min(TINY).log()).log()  # Gumbel: top-k is a draw
        everybody = _whole_batch(torch.cat([points, luck[..., None]], -1)).flatten(0, 1).movedim(1, 0)
        order = everybody[..., -1].topk(min(self.codes, everybody.shape[1]), 1).indices
        turn = (dead.cumsum(1) - 1).clamp_min(0) % order.shape[1]
        chosen = order.gather(1, turn)[..., None].expand(*dead.shape, points.shape[-1])
        fresh = everybody[..., :-1].gather(1, chosen)
        self.codebook.copy_(torch.where(dead[..., None], fresh, self.codebook))
        self.counts.masked_fill_(dead, fair)
        self.sums.copy_(torch.where(dead[..., None], fresh * fair, self.sums))


class FiniteScalar(Bottleneck):
    """Each number rounded to one of a few levels: a codebook for free (Mentzer et al., 2023, arXiv:2309.15505).

    Number j becomes one of ``levels[j]`` values evenly spaced in [-1, 1]:
    ``digit = round((tanh(h) + 1) / 2 * (levels - 1))``, ``z = 2 * digit / (levels - 1) - 1``. Gradients go straight
    through the rounding. Even numbers of levels are placed symmetrically around 0, which differs from the paper. ``h``,
    ``z`` and ``tokens`` (the digits) have shape (n, latent, *grid); it costs nothing and nothing collapses. Raises
    InvalidParameter for fewer than 2 levels.

    >>> FiniteScalar([3, 3]).eval()(torch.tensor([[-5.0, 0.1]])).z
    tensor([[-1.,  0.]])
    """

    grid = True
    levels: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        if not levels or min(levels) < 2:
            raise InvalidParameter(f"levels must be one or more ints >= 2. Got {list(levels)}.")
        self.width = self.latent = len(levels)
        self.register_buffer("levels", torch.tensor(list(levels)), persistent=False)

    def forward(self, h: Float[Tensor, "n latent *grid"]) -> Code:
        steps = self._steps(h)
        position = (h.tanh() + 1) / 2 * steps
        digits = position.round().detach()
        through = position + (digits - position).detach()
        return Code(2 * through / steps - 1, {}, tokens=digits.long())

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        """Every level as often as every other."""
        chance = uniform_like(torch.empty(n, self.latent, *grid, device=self.levels.device))
        steps = self._steps(chance)
        return 2 * (chance * (steps + 1)).floor().minimum(steps) / steps - 1

    def extra_repr(self) -> str:
        return f"levels={self.levels.tolist()}"

    def _steps(self, like: Tensor) -> Tensor:
        return (self.levels - 1).to(like.dtype).view(-1, *[1] * (like.dim() - 2))


def _added_up(part: Tensor) -> Tensor:
    """The sum over all processes of a data-parallel training."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(part)
    return part


def _whole_batch(rows: Tensor) -> Tensor:
    """The rows of the global batch, on every process in the same order."""
    total, start = place(len(rows))
    whole = rows.new_zeros(total, *rows.shape[1:])
    whole[start : start + len(rows)] = rows
    return _added_up(whole)
