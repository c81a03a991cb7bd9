"""What codes are drawn from: the standard normal, normals side by side, or the standard normal bent by a flow.

                     log p(z), nats per row                  a draw
    StandardNormal   sum_j log N(z_j; 0, 1)                  noise
    Mixture          log sum_k w_k N(z; mean_k, scale_k)     a component, then noise
    VampPrior        the same, the components being the posteriors of learned rows
    Flow             log N(f(z); 0, 1) + log |det df/dz|     the code that f bends to noise

A ``Mixture`` and a ``Flow`` can also be fitted to codes that are there already, for generation in two stages; so can
``Autoregressive``, which is there for codes of tokens: ``log p = sum_t log p(token t | tokens before it)``.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional as F

from diabolo.flows import Bends, Kind
from diabolo.networks.dense import Layers
from diabolo.networks.transformer import Block
from diabolo.randomness import gumbel_like, normal_like, seeded, uniform_like

if TYPE_CHECKING:
    from jaxtyping import Float, Int

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
UNIT = math.log(math.e - 1)  # softplus of it is 1
SMALLEST = 1e-4  # of a scale
AT_ONCE, TOGETHER = 4096, 256  # tokens and rows in a step of training, at most
EPOCHS, FEWEST, MOST = 30, 200, 1000  # of the training on tokens: passes over them, and steps
LOOKS = 20  # at held-out tokens in the course of it


class Prior(nn.Module, ABC):
    """What codes of ``latent`` numbers are drawn from; on a grid, each place by itself."""

    exact: ClassVar[bool] = False  # whether ``divergence`` is the divergence itself
    anchor: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.register_buffer("anchor", torch.zeros(0), persistent=False)  # where this part lives: device and dtype

    def log_prob(self, z: Float[Tensor, "n latent *grid"]) -> Float[Tensor, "n"]:
        """Log p of each code, in nats."""
        return self.density(z.movedim(1, -1)).reshape(len(z), math.prod(z.shape[2:])).sum(1)

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        """``n`` codes."""
        return self.shaped(normal_like(self.anchor.new_empty(n, *grid, self.latent))).movedim(-1, 1)

    def divergence(
        self, mean: Float[Tensor, "n latent *grid"], scale: Float[Tensor, "n latent *grid"]
    ) -> Float[Tensor, "n *terms"]:
        """Nats of KL(N(mean, scale) || p) without drawing, in terms that add up, for scores.

        Here with log p taken at the mean: ``-log p(mean) - entropy``, an estimate that may lie on either side.
        """
        return (-self.log_prob(mean) - entropy(scale))[:, None]

    @abstractmethod
    def density(self, points: Float[Tensor, "*n latent"]) -> Float[Tensor, "*n"]:
        """Log p of each point, in nats."""

    @abstractmethod
    def shaped(self, noise: Float[Tensor, "*n latent"]) -> Float[Tensor, "*n latent"]:
        """Points made of standard normal noise."""


class StandardNormal(Prior):
    """Independent standard normal numbers: ``log p = -sum_j (z_j^2 + log 2 pi) / 2``.

    >>> StandardNormal(2).log_prob(torch.zeros(1, 2))
    tensor([-1.8379])
    """

    exact = True

    def density(self, points: Float[Tensor, "*n latent"]) -> Float[Tensor, "*n"]:
        return -(points.square() / 2 + HALF_LOG_TAU).sum(-1)

    def shaped(self, noise: Float[Tensor, "*n latent"]) -> Float[Tensor, "*n latent"]:
        return noise

    def divergence(
        self, mean: Float[Tensor, "n latent *grid"], scale: Float[Tensor, "n latent *grid"]
    ) -> Float[Tensor, "n latent *grid"]:
        """The closed form, a term per code number."""
        return (mean.square() + scale.square() - 1) / 2 - scale.log()


class Components(Prior, ABC):
    """Normal distributions side by side: ``log p(z) = log sum_k w_k prod_j N(z_j; mean_kj, scale_kj)``."""

    @abstractmethod
    def components(
        self,
    ) -> tuple[Float[Tensor, "k latent"], Float[Tensor, "k latent"], Float[Tensor, "k"]]:
        """Mean, scale and log weight of each."""

    def density(self, points: Float[Tensor, "*n latent"]) -> Float[Tensor, "*n"]:
        mean, scale, log_weight = self.components()
        away = (points[..., None, :] - mean) / scale
        return (log_weight - (away.square() / 2 + scale.log() + HALF_LOG_TAU).sum(-1)).logsumexp(-1)

    def shaped(self, noise: Float[Tensor, "*n latent"]) -> Float[Tensor, "*n latent"]:
        mean, scale, log_weight = self.components()
        reached = log_weight.exp().cumsum(0)[:-1]
        which = (uniform_like(noise[..., :1]) > reached).sum(-1)
        return mean[which] + scale[which] * noise

    def divergence(
        self, mean: Float[Tensor, "n latent *grid"], scale: Float[Tensor, "n latent *grid"]
    ) -> Float[Tensor, "n *grid 1"]:
        """A bound from above, exact for one component: ``-log sum_k w_k exp(-KL(N(mean, scale) || component k))``.

        It is what the best weighing of the components in the VaDE's bound gives (Jiang et al., 2017,
        arXiv:1611.05148; Hershey & Olsen, 2007).
        """
        mean, scale = mean.movedim(1, -1)[..., None, :], scale.movedim(1, -1)[..., None, :]
        own_mean, own_scale, log_weight = self.components()
        spread = ((mean - own_mean).square() + scale.square()) / own_scale.square()
        apart = ((spread - 1) / 2 + own_scale.log() - scale.log()).sum(-1)
        return -(log_weight - apart).logsumexp(-1, keepdim=True)


class Mixture(Components):
    """``components`` normal distributions, learned with the rest or fitted to codes (VaDE: Jiang et al., 2017,
    arXiv:1611.05148).

    >>> Mixture(2, 3).log_prob(torch.zeros(5, 2)).shape
    torch.Size([5])
    """

    def __init__(self, latent: int, components: int) -> None:
        super().__init__(latent)
        self.mean = nn.Parameter(torch.randn(components, latent))
        self.raw = nn.Parameter(torch.zeros(components, latent))
        self.logits = nn.Parameter(torch.zeros(components))

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.mean, positive(self.raw), self.logits.log_softmax(0)

    @torch.no_grad()
    def fit(self, z: Float[Tensor, "n latent"], seed: int = 0) -> Self:
        """The mixture that explains the codes, by scikit-learn's expectation-maximisation."""
        found = GaussianMixture(len(self.mean), covariance_type="diag", random_state=seed)
        with threadpool_limits(1), warnings.catch_warnings():  # sums over threads would be rounded differently
            warnings.simplefilter("ignore", ConvergenceWarning)
            found.fit(z.detach().double().cpu().numpy())
        self.mean.copy_(torch.from_numpy(found.means_))
        scale = torch.from_numpy(found.covariances_).sqrt().clamp_min(2 * SMALLEST)
        self.raw.copy_(torch.log(torch.expm1(scale - SMALLEST)) - UNIT)
        self.logits.copy_(torch.from_numpy(found.weights_).log())
        return self


class VampPrior(Components):
    """The posteriors of ``components`` learned rows (Tomczak & Welling, 2018, arXiv:1705.07120).

    ``layers`` turn inputs of ``shape`` into the numbers of a posterior, as :func:`moments` reads them: the encoder's
    own layers, so that the prior moves with the encoder. The learned rows are inputs of these layers, not values:
    a category has no slope. How often each is drawn is learned too (theirs: equally often).

    >>> VampPrior(2, 3, nn.Linear(5, 4), (5,)).sample(7).shape
    torch.Size([7, 2])
    """

    def __init__(self, latent: int, components: int, layers: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__(latent)
        self.rows = nn.Parameter(torch.randn(components, *shape))
        self.logits = nn.Parameter(torch.zeros(components))
        self._layers = (layers,)  # in a tuple, so that the weights are counted and saved once, with their owner

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        mean, scale = moments(self._layers[0](self.rows))
        return mean, scale, self.logits.log_softmax(0)


class Flow(Prior):
    """The standard normal, bent: ``log p(z) = log N(f(z); 0, 1) + log |det df/dz|`` (Rezende & Mohamed, 2015,
    arXiv:1505.05770), f being ``layers`` bends of one ``kind`` (:mod:`diabolo.flows`) of the standardised code.

    >>> Flow(2, layers=2, hidden=8).log_prob(torch.zeros(5, 2)).shape
    torch.Size([5])
    """

    def __init__(self, latent: int, layers: int = 4, hidden: int = 32, kind: Kind = "coupling") -> None:
        super().__init__(latent)
        self.mean = nn.Parameter(torch.zeros(latent))
        self.log_scale = nn.Parameter(torch.zeros(latent))
        self.bends = Bends(latent, layers, hidden, kind=kind)

    def density(self, points: Float[Tensor, "*n latent"]) -> Float[Tensor, "*n"]:
        noise, nats = self.bends((points - self.mean) * (-self.log_scale).exp())
        return nats - self.log_scale.sum() - (noise.square() / 2 + HALF_LOG_TAU).sum(-1)

    def shaped(self, noise: Float[Tensor, "*n latent"]) -> Float[Tensor, "*n latent"]:
        return self.bends.inverse(noise) * self.log_scale.exp() + self.mean

    def fit(self, z: Float[Tensor, "n latent"], seed: int = 0, steps: int = 1000, size: int = 512) -> Self:
        """Moved to the codes by ``steps`` steps of Adam (Kingma & Ba, 2015, arXiv:1412.6980) on ``-log p``."""
        z = z.detach().to(self.mean)
        with torch.no_grad():
            self.mean.copy_(z.mean(0))
            self.log_scale.copy_(z.std(0).clamp_min(SMALLEST).log())
        optimiser = torch.optim.Adam(self.parameters(), 5e-3)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        with seeded(seed), torch.enable_grad():
            for _ in range(steps):
                optimiser.zero_grad()
                (-self.log_prob(z[torch.randint(len(z), (min(size, len(z)),))]).mean()).backward()
                optimiser.step()
                falling.step()
        return self


class Autoregressive(nn.Module):
    """Strings of tokens, each drawn given those before it (van den Oord et al., 2017, arXiv:1711.00937).

    ``log p = sum_t log p(token t | tokens before t)`` in nats, exact. Tokens (n, heads, *grid) are read in raster
    order, the heads of a place one after the other. A small causal transformer (Vaswani et al., 2017,
    arXiv:1706.03762) with ``blocks`` blocks of ``width`` stands for the paper's PixelCNN. ``letters`` says how many
    values the token of each head can take.

    >>> prior = Autoregressive([4, 4], grid=(3,))
    >>> prior.log_prob(prior.sample(5)).shape
    torch.Size([5])
    """

    possible: Tensor

    def __init__(self, letters: Sequence[int], grid: tuple[int, ...] = (), width: int = 48, blocks: int = 2) -> None:
        super().__init__()
        self.heads, self.grid, self.most = len(letters), grid, max(letters)
        self.length = self.heads * math.prod(grid)
        possible = torch.arange(self.most) < torch.tensor(list(letters))[:, None]
        self.register_buffer("possible", possible.repeat(math.prod(grid), 1), persistent=False)
        self.told = nn.Embedding(self.heads * self.most, width)
        self.places = nn.Parameter(0.1 * torch.randn(self.length, width))
        self.blocks = nn.ModuleList(Block(width, Layers("gelu")) for _ in range(blocks))
        self.said = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, self.most))

    def forward(self, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n length letters"]:
        """Log p of every letter at each place of a string, given the tokens before it."""
        told = F.pad(self.told(self._of_heads(tokens)), (0, 0, 1, -1))
        x, later = told + self.places, torch.ones(self.length, self.length, device=tokens.device).triu(1).bool()
        for block in self.blocks:
            x = block(x, later[None])
        return self._chances(x, self.possible)

    def log_prob(self, tokens: Int[Tensor, "n heads *grid"]) -> Float[Tensor, "n"]:
        """Log p of each row of tokens, in nats."""
        line = tokens.movedim(1, -1).flatten(1)
        return self(line).gather(2, line[..., None]).squeeze(2).sum(1)

    @torch.no_grad()
    def sample(self, n: int) -> Int[Tensor, "n heads *grid"]:
        """``n`` rows of tokens, a token at a time."""
        line = self.possible.new_zeros(n, 0, dtype=torch.long)
        told, known = self.places.new_zeros(n, 1, self.places.shape[1]), [None] * len(self.blocks)
        for place in range(self.length):
            x = told + self.places[place]
            for i, block in enumerate(self.blocks):
                x, known[i] = block.step(x, known[i])  # type: ignore[operator]
            chances = self._chances(x, self.possible[place])
            line = torch.cat((line, (chances + gumbel_like(chances)).argmax(2)), 1)
            told = self.told(line[:, -1:] + place % self.heads * self.most)
        return line.unflatten(1, (*self.grid, self.heads)).movedim(-1, 1)

    def fit(self, tokens: Int[Tensor, "n heads *grid"], judged: Int[Tensor, "n heads *grid"], seed: int = 0) -> Self:
        """Learned from tokens, until the ``judged`` ones get no more probable; the best weights are kept."""
        rows = max(1, min(AT_ONCE // self.length, TOGETHER, len(tokens)))
        steps = min(MOST, max(FEWEST, EPOCHS * -(-len(tokens) // rows)))
        optimiser = torch.optim.AdamW(self.parameters(), 3e-3)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        best = (self._cost(judged), self._weights())
        with seeded(seed), torch.enable_grad():
            for step in range(steps):
                optimiser.zero_grad()
                (-self.log_prob(tokens[torch.randint(len(tokens), (rows,))]).mean() / self.length).backward()
                optimiser.step()
                falling.step()
                if (step + 1) % max(1, steps // LOOKS) == 0:
                    best = min(best, (self._cost(judged), self._weights()), key=lambda each: each[0])
        self.load_state_dict(best[1])
        return self

    @torch.no_grad()
    def _cost(self, tokens: Tensor) -> float:
        parts = tokens.split(max(1, 16 * AT_ONCE // self.length))
        return -sum(float(self.log_prob(each).sum()) for each in parts) / len(tokens)

    def _weights(self) -> dict[str, Tensor]:
        return {name: each.clone() for name, each in self.state_dict().items()}

    def _of_heads(self, tokens: Tensor) -> Tensor:
        """Tokens told apart by their heads."""
        return tokens + torch.arange(self.length, device=tokens.device) % self.heads * self.most

    def _chances(self, x: Tensor, possible: Tensor) -> Tensor:
        chances: Tensor = self.said(x).masked_fill(~possible, -math.inf).log_softmax(-1)
        return chances


def moments(h: Float[Tensor, "n width *grid"]) -> tuple[Tensor, Tensor]:
    """Mean and scale of a normal distribution from a network's numbers; h = 0 is the standard normal."""
    mean, raw = h.float().chunk(2, 1)  # in half precision the noise would be coarse
    return mean, positive(raw)


def positive(raw: Tensor) -> Tensor:
    """A scale from any number, 1 from 0; by softplus, since a huge number must not overflow a cost."""
    return F.softplus(raw + UNIT) + SMALLEST


def entropy(scale: Float[Tensor, "n latent *grid"]) -> Float[Tensor, "n"]:
    """Nats of a normal distribution with independent numbers."""
    return (scale.log() + (HALF_LOG_TAU + 0.5)).flatten(1).sum(1)
