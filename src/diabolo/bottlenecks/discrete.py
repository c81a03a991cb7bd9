"""Codes of whole numbers without vectors to be near to: digits, signs, or one of several choices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributions, nn

from diabolo.autoencoder import Code
from diabolo.bottlenecks.quantised import Discrete, cut, joined, one_hot, part_of, picked
from diabolo.errors import InvalidParameter
from diabolo.randomness import gumbel_like, uniform_like
from diabolo.schedules import Anneal, annealed

if TYPE_CHECKING:
    from jaxtyping import Float, Int

MOST_BITS = 12  # of a token, so that the use of all its values can be told from a batch


class FiniteScalar(Discrete):
    """Each number rounded to one of a few levels: a codebook for free (Mentzer et al., 2023, arXiv:2309.15505).

    Number j becomes one of ``levels[j]`` values evenly spaced in [-1, 1]:
    ``digit = round((tanh(h) + 1) / 2 * (levels - 1))``, ``z = 2 * digit / (levels - 1) - 1``. Gradients go straight
    through the rounding. Even numbers of levels are placed symmetrically around 0, which differs from the paper. ``h``,
    ``z`` and ``tokens`` (the digits) have shape (n, latent, *grid); it costs nothing and nothing collapses. Raises
    InvalidParameter for fewer than 2 levels.

    >>> FiniteScalar([3, 3]).eval()(torch.tensor([[-5.0, 0.1]])).z
    tensor([[-1.,  0.]])
    """

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

    @property
    def letters(self) -> tuple[int, ...]:
        return tuple(self.levels.tolist())

    def look_up(self, tokens: Int[Tensor, "n latent *grid"]) -> Float[Tensor, "n latent *grid"]:
        digits = tokens.float()
        return 2 * digits / self._steps(digits) - 1

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        """Every level as often as every other."""
        chance = uniform_like(torch.empty(n, self.latent, *grid, device=self.levels.device))
        steps = self._steps(chance)
        return 2 * (chance * (steps + 1)).floor().minimum(steps) / steps - 1

    def extra_repr(self) -> str:
        return f"levels={self.levels.tolist()}"

    def _steps(self, like: Tensor) -> Tensor:
        return (self.levels - 1).to(like.dtype).view(-1, *[1] * (like.dim() - 2))


class LookupFree(Discrete):
    """The sign of each number; ``latent / heads`` signs are one token (Yu et al., 2024, arXiv:2310.05737).

    ``z = h + (sign(h) - h).detach()`` of shape (n, latent, *grid), ``tokens`` (n, heads, *grid) from 0 to
    ``2^(latent / heads) - 1``, the first sign of a token counting 1, the next 2. The cost, in nats per row, is
    ``quantisation = commitment * |h - sign(h)|^2``. ``posterior`` says how sure each sign is: a Bernoulli distribution
    with ``p(+1) = sigmoid(4 h)``, the softmax of the squared distances to both signs, negated. Raises InvalidParameter
    if ``heads`` does not divide ``latent``, and for more than 12 signs per token.

    >>> code = LookupFree(3).eval()(torch.tensor([[0.5, -2.0, 0.1]]))
    >>> code.z, code.tokens
    (tensor([[ 1., -1.,  1.]]), tensor([[5]]))
    """

    values: Tensor

    def __init__(self, latent: int, heads: int = 1, *, commitment: float = 0.25) -> None:
        super().__init__()
        bits = part_of(latent, heads)
        if bits > MOST_BITS:
            raise InvalidParameter(
                f"A token must have at most {MOST_BITS} signs. Got latent = {latent} in {heads} tokens: raise heads."
            )
        self.width = self.latent = latent
        self.heads, self.commitment = heads, commitment
        self.register_buffer("values", 2 ** torch.arange(bits), persistent=False)

    def forward(self, h: Float[Tensor, "n latent *grid"]) -> Code:
        h = h.float()
        up = h > 0
        sign = torch.where(up, 1.0, -1.0)
        cost = self.commitment * (h - sign).square().flatten(1).sum(1)
        tokens = (cut(up, self.heads) * self.values).sum(-1, keepdim=True)
        posterior = distributions.Bernoulli(logits=4 * h, validate_args=False)
        return Code(h + (sign - h).detach(), {"quantisation": cost}, joined(tokens, h), posterior)

    @property
    def letters(self) -> tuple[int, ...]:
        return (2 ** len(self.values),) * self.heads

    def look_up(self, tokens: Int[Tensor, "n heads *grid"]) -> Float[Tensor, "n latent *grid"]:
        up = cut(tokens, self.heads) // self.values % 2
        return joined(2.0 * up - 1.0, tokens)

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        """Every token as often as every other."""
        chance = uniform_like(torch.empty(n, self.latent, *grid, device=self.values.device))
        return torch.where(chance < 0.5, 1.0, -1.0)

    def extra_repr(self) -> str:
        return f"latent={self.latent}, heads={self.heads}"


class Categorical(Discrete):
    """One of ``codes`` vectors per head, drawn (Jang et al., 2017, arXiv:1611.01144; Maddison et al., 2017,
    arXiv:1611.00712).

    ``h`` (n, heads * codes, *grid) holds logits of q, ``z`` (n, latent, *grid) the learned vectors of the choices. In
    training a choice is drawn, the largest of ``log q + gumbel``, and gradients are those of the mixture
    ``softmax((log q + gumbel) / temperature)`` (straight through; Jang et al.); without ``hard`` it is that mixture
    itself. In evaluation it is the likeliest choice. ``temperature`` and ``weight`` are numbers or an ``Anneal``;
    ``tokens`` (n, heads, *grid) are the likeliest choices. The cost, in nats per row, with the uniform prior, is

        kl = weight * sum over heads and places of (log codes - entropy of q)

    A weight of 0 leaves the cost out. Raises InvalidParameter if ``heads`` does not divide ``latent``.

    >>> code = Categorical(4, codes=8, heads=2).eval()(torch.zeros(1, 16))
    >>> code.z.shape, code.tokens, code.costs["kl"].abs() < 1e-5
    (torch.Size([1, 4]), tensor([[0, 0]]), tensor([True]))
    """

    def __init__(
        self,
        latent: int,
        codes: int,
        heads: int = 1,
        *,
        weight: float | Anneal = 1.0,
        temperature: float | Anneal = 1.0,
        hard: bool = True,
    ) -> None:
        super().__init__()
        self.width, self.latent = heads * codes, latent
        self.codes, self.heads, self.hard = codes, heads, hard
        self.weight, self.temperature = annealed(weight), annealed(temperature)
        self.codebook = nn.Parameter(torch.randn(heads, codes, part_of(latent, heads)))

    def forward(self, h: Float[Tensor, "n logits *grid"]) -> Code:
        logits = cut(h.float(), self.heads).log_softmax(-1)
        tokens = logits.argmax(-1)
        share = self._drawn(logits) if self.training else one_hot(tokens, self.codes).to(logits.dtype)
        z = joined(torch.einsum("nphk,hkd->nphd", share, self.codebook), h)
        kl = (logits.exp() * (logits + math.log(self.codes))).flatten(1).sum(1)
        costs = {"kl": self.weight() * kl} if self.weight.end else {}
        return Code(
            z, costs, joined(tokens[..., None], h), distributions.Categorical(logits=logits, validate_args=False)
        )

    @property
    def letters(self) -> tuple[int, ...]:
        return (self.codes,) * self.heads

    def look_up(self, tokens: Int[Tensor, "n heads *grid"]) -> Float[Tensor, "n latent *grid"]:
        return joined(picked(self.codebook, cut(tokens, self.heads)[..., 0]), tokens)

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        """Every choice as often as every other."""
        level = self.codebook.new_zeros(n, self.width, *grid)
        tokens = (cut(level, self.heads) + gumbel_like(cut(level, self.heads))).argmax(-1)
        return joined(picked(self.codebook, tokens), level)

    def extra_repr(self) -> str:
        return f"latent={self.latent}, codes={self.codes}, heads={self.heads}"

    def _drawn(self, logits: Float[Tensor, "n places heads codes"]) -> Tensor:
        mixture = ((logits + gumbel_like(logits)) / self.temperature()).softmax(-1)
        return one_hot(mixture.argmax(-1), self.codes) + (mixture - mixture.detach()) if self.hard else mixture
