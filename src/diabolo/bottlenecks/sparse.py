"""Sparse codes of many numbers: how a number is judged to be in use."""

from __future__ import annotations

import math
from abc import ABC
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from diabolo.autoencoder import Code
from diabolo.bottlenecks.continuous import Continuous
from diabolo.bottlenecks.quantised import added_up
from diabolo.errors import InvalidParameter
from diabolo.schedules import Anneal

if TYPE_CHECKING:
    from jaxtyping import Float

PACE = 0.1  # of the threshold: a batch with twice as many numbers in use raises it by 7 %
FARTHEST = 2.0  # times too many or too few: what is farther off is taken for that


class Growing(Continuous, ABC):
    """Codes ruled by a number, ``growth``, that grows over ``growth.steps`` training batches; unless set, at once."""

    def __init__(self, latent: int, first: float, last: float) -> None:
        super().__init__(latent, latent)
        self.growth = Anneal(first, last, 0)

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        return self(self._normal(n, grid)).z


class GrowingTopK(Growing):
    """The ``k`` largest numbers, if positive, all others 0 (Gao et al., 2024, arXiv:2406.04093).

    In training k may grow from 1: a row that may use one atom only goes to the nearest one, as in clustering, and finds
    it before others have to be told apart. While k is not whole, the last of the numbers kept is taken in part. h and z
    have shape (n, latent, *grid). Raises InvalidParameter if ``k`` is larger than ``latent``.

    >>> GrowingTopK(latent=3, k=2)(torch.tensor([[0.5, 2.0, -3.0]])).z
    tensor([[0.5000, 2.0000, 0.0000]])
    """

    def __init__(self, latent: int, k: int) -> None:
        super().__init__(latent, 1.0, _checked(k, latent))
        self.k = k

    def forward(self, h: Float[Tensor, "n latent *grid"]) -> Code:
        kept, places = h.topk(self.k, 1)
        share = (self.growth() - torch.arange(self.k, device=h.device)).clamp(0.0, 1.0)
        return Code(torch.zeros_like(h).scatter(1, places, kept.relu() * along(share, h)), {})


class BatchTopK(Growing):
    """The numbers above one threshold, which moves so that a row uses ``k`` of them on average (Bussmann et al., 2024,
    arXiv:2412.06410).

    ``z = h`` where ``h > threshold``, else 0. The paper keeps the ``n k`` largest numbers of a batch, so what a row
    keeps depends on the others, and takes a threshold in evaluation only. Here the threshold comes from the batches
    before: after each one it is multiplied by ``(numbers in use / n k)^0.1``. In training and evaluation alike a row's
    code is then its own. In training k may grow from 1, as that of GrowingTopK. h and z have shape (n, latent, *grid).
    Raises InvalidParameter if ``k`` is larger than ``latent``.

    >>> part = BatchTopK(latent=3, k=1)
    >>> part(torch.tensor([[0.5, 2.0, -3.0]])).z
    tensor([[0., 2., 0.]])
    """

    threshold: Tensor

    def __init__(self, latent: int, k: int, start: float = 1.0) -> None:
        super().__init__(latent, 1.0, _checked(k, latent))
        self.k = k
        self.register_buffer("threshold", torch.tensor(start))

    def forward(self, h: Float[Tensor, "n latent *grid"]) -> Code:
        used = h > self.threshold
        z = torch.where(used, h, 0.0)
        if self.training:
            self._follow(used)
        return Code(z, {})

    @torch.no_grad()
    def _follow(self, used: Tensor) -> None:
        """Move the threshold after the batch has its codes, so that no row's code depends on another row."""
        counts = added_up(torch.stack([used.sum(), used[:, :1].numel() * torch.ones_like(used.sum())]))
        ratio = counts[0] / (self.growth() * counts[1])
        self.threshold.mul_(ratio.clamp(1 / FARTHEST, FARTHEST).pow(PACE))


class JumpReLU(Growing):
    """The numbers above a threshold each, learned, at a price per number in use (Rajamanoharan et al., 2024,
    arXiv:2407.14435).

    ``z_j = h_j H(h_j - t_j)`` with the step function H; its cost, in nats per row, is
    ``l0 = weight * sum_j H(h_j - t_j)``. A step has no slope; the thresholds learn from a straight-through one,
    ``1 / (bandwidth t_j)`` for h_j within half of ``bandwidth t_j`` of the step. In ``z`` it reaches the thresholds
    alone, as in the paper; in ``l0`` also the encoder (Conerly et al., 2025, "Dictionary learning optimization
    techniques"). In training the weight may grow from 0, as in the paper. h and z have shape (n, latent, *grid).

    >>> JumpReLU(2, weight=0.5)(torch.tensor([[0.5, 2.0]])).costs["l0"]
    tensor([0.5000], grad_fn=<MulBackward0>)
    """

    def __init__(self, latent: int, weight: float, start: float = 1.0, bandwidth: float = 1.0) -> None:
        super().__init__(latent, 0.0, weight)
        self.bandwidth = bandwidth
        self.log_threshold = nn.Parameter(torch.full((latent,), math.log(start)))

    def forward(self, h: Float[Tensor, "n latent *grid"]) -> Code:
        threshold = along(self.log_threshold.exp(), h)
        z = h * self._step(h.detach(), threshold)
        return Code(z, {"l0": self.growth() * self._step(h, threshold).flatten(1).sum(1)})

    def _step(self, h: Tensor, threshold: Tensor) -> Tensor:
        ramp = ((h - threshold) / (self.bandwidth * threshold.detach()) + 0.5).clamp(0.0, 1.0)
        return (h > threshold).to(h.dtype) + (ramp - ramp.detach())


class Gated(Continuous):
    """Whether a number is in use and how large it is, said apart (Rajamanoharan et al., 2024, arXiv:2404.16014).

    ``z_j = H(h_j) relu(exp(r_j) h_j + m_j)``: h opens the gate, and with a scale and an offset of its own it is the
    size. The step function H has no slope, so the gate learns from ``penalties.Gate`` alone. h and z have shape (n,
    latent, *grid).

    >>> Gated(2)(torch.tensor([[-1.0, 2.0]])).z
    tensor([[0., 2.]], grad_fn=<MulBackward0>)
    """

    def __init__(self, latent: int) -> None:
        super().__init__(latent, latent)
        self.log_scale = nn.Parameter(torch.zeros(latent))
        self.offset = nn.Parameter(torch.zeros(latent))

    def forward(self, h: Float[Tensor, "n latent *grid"]) -> Code:
        size = along(self.log_scale.exp(), h) * h + along(self.offset, h)
        return Code((h > 0) * size.relu(), {})

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        return self(self._normal(n, grid)).z


def _checked(k: int, latent: int) -> float:
    if not 1 <= k <= latent:
        raise InvalidParameter(f"k must lie in 1 to latent = {latent}. Got {k}: lower k or raise latent.")
    return float(k)


def along(vector: Tensor, h: Tensor) -> Tensor:
    """``vector``, one number per code number, along axis 1 of ``h``."""
    return vector.view(-1, *[1] * (h.dim() - 2))
