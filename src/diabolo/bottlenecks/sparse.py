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

GROWTH = 0.8  # share of the training in which k grows from 1
PACE = 0.1  # of the threshold: a batch with twice as many numbers in use raises it by 7 %
FARTHEST = 2.0  # times too many or too few: what is farther off is taken for that


class Growing(Continuous, ABC):
    """Codes of which a row may at first use one number, and up to ``k`` in the course of training.

    A row that may use one atom only goes to the nearest one, as in clustering, and finds it before others have to be
    told apart. k grows in the first 0.8 of a training by ``Trainer``. Where a threshold is to decide, it does so from
    then on: before, it would leave many rows without an atom, and strong atoms would take all others' places. Raises
    InvalidParameter if ``k`` is larger than ``latent``.
    """

    def __init__(self, latent: int, k: int) -> None:
        super().__init__(latent, latent)
        self.k = k
        self.growth = Anneal(1.0, _checked(k, latent), GROWTH)

    def sample(self, n: int, grid: tuple[int, ...] = ()) -> Float[Tensor, "n latent *grid"]:
        return self(self._normal(n, grid)).z

    def largest(self, h: Float[Tensor, "n latent *grid"], count: Tensor) -> Float[Tensor, "n latent *grid"]:
        """The ``count`` largest numbers, if positive, all others 0; of a part of a number that part."""
        kept, places = h.topk(self.k, 1)
        share = (count - torch.arange(self.k, device=h.device)).clamp(0.0, 1.0)
        return torch.zeros_like(h).scatter(1, places, (kept.relu() * along(share, h)).to(h.dtype))

    def grown(self, h: Tensor, z: Tensor, count: Tensor) -> Float[Tensor, "n latent *grid"]:
        """``z``, or the ``count`` largest numbers of each row while k grows."""
        return torch.where(self.growth.moving(), self.largest(h, count), z) if self.training else z

    def excess(self, used: Tensor, count: Tensor) -> Tensor:
        """By what a threshold is to be multiplied so that ``count`` numbers of a row are above it, as batches say."""
        above, rows = added_up(torch.stack([used.sum(), used[:, :1].numel() * torch.ones_like(used.sum())]))
        return torch.where(rows > 0, (above / (count * rows)).clamp(1 / FARTHEST, FARTHEST).pow(PACE), 1.0)


class GrowingTopK(Growing):
    """The ``k`` largest numbers, if positive, all others 0 (Gao et al., 2024, arXiv:2406.04093).

    In training k may grow from 1; while it is not whole, the last of the numbers kept is taken in part. h and z have
    shape (n, latent, *grid). Raises InvalidParameter if ``k`` is larger than ``latent``.

    >>> GrowingTopK(latent=3, k=2)(torch.tensor([[0.5, 2.0, -3.0]])).z
    tensor([[0.5000, 2.0000, 0.0000]])
    """

    def forward(self, h: Float[Tensor, "n latent *grid"]) -> Code:
        return Code(self.largest(h, self.growth()), {})


class BatchTopK(Growing):
    """The numbers above one threshold, which moves so that a row uses ``k`` of them on average (Bussmann et al., 2024,
    arXiv:2412.06410).

    ``z = h`` where ``h > threshold``, else 0. The paper keeps the ``n k`` largest numbers of a batch, so what a row
    keeps depends on the others, and takes a threshold in evaluation only. Here the threshold comes from the batches
    before: after each one it is multiplied by ``(numbers above it / n k)^0.1``. In training and evaluation alike a
    row's code is then its own. While k grows from 1, a row keeps its k largest numbers, as in GrowingTopK. h and z have
    shape (n, latent, *grid). Raises InvalidParameter if ``k`` is larger than ``latent``.

    >>> part = BatchTopK(latent=3, k=1)
    >>> part(torch.tensor([[0.5, 2.0, -3.0]])).z
    tensor([[0., 2., 0.]])
    """

    threshold: Tensor

    def __init__(self, latent: int, k: int, start: float = 1.0) -> None:
        super().__init__(latent, k)
        self.register_buffer("threshold", torch.tensor(start))

    def forward(self, h: Float[Tensor, "n latent *grid"]) -> Code:
        count, used = self.growth(), h > self.threshold
        z = self.grown(h, torch.where(used, h, 0.0), count)
        if self.training:  # after the batch has its codes, so that no row's code depends on another row
            with torch.no_grad():
                self.threshold.mul_(self.excess(used, count))
        return Code(z, {})


class JumpReLU(Growing):
    """The numbers above a threshold each, learned, at a price per number in use (Rajamanoharan et al., 2024,
    arXiv:2407.14435).

    ``z_j = h_j H(h_j - t_j)`` with the step function H; its cost, in nats per row, is
    ``l0 = weight * sum_j H(h_j - t_j)``. A step has no slope; the thresholds learn from a straight-through one, ``1 /
    (bandwidth t_j)`` for h_j within half of ``bandwidth t_j`` of the step. In ``z`` it reaches the thresholds alone, as
    in the paper, and is h_j times as steep where theirs is t_j times; in ``l0`` also the encoder (Conerly et al., 2025,
    "Dictionary learning optimization techniques"). In training a row may at first keep its largest numbers, from 1 up
    to ``k`` of them, at a price that moves nothing, while all thresholds follow so that they will keep as many; the
    paper's weight grows instead. h and z have shape (n, latent, *grid). Raises InvalidParameter if ``k`` is larger than
    ``latent``.

    >>> JumpReLU(2, weight=0.5)(torch.tensor([[0.5, 2.0]])).costs["l0"]
    tensor([0.5000], grad_fn=<MulBackward0>)
    """

    def __init__(self, latent: int, weight: float, k: int = 1, start: float = 1.0, bandwidth: float = 1.0) -> None:
        super().__init__(latent, k)
        self.weight, self.bandwidth = weight, bandwidth
        self.log_threshold = nn.Parameter(torch.full((latent,), math.log(start)))

    def forward(self, h: Float[Tensor, "n latent *grid"]) -> Code:
        count, threshold = self.growth(), along(self.log_threshold.exp(), h)
        z = self.grown(h, h * self._step(h.detach(), threshold), count)
        step = self._step(h, threshold)
        if self.training:
            step = torch.where(self.growth.moving(), step.detach(), step)
            self._follow(h > threshold, count)
        return Code(z, {"l0": self.weight * step.flatten(1).sum(1)})

    @torch.no_grad()
    def _follow(self, used: Tensor, count: Tensor) -> None:
        self.log_threshold.add_(torch.where(self.growth.moving(), self.excess(used, count).log(), 0.0))

    def _step(self, h: Tensor, threshold: Tensor) -> Tensor:
        ramp = ((h - threshold) / (self.bandwidth * threshold.detach()) + 0.5).clamp(0.0, 1.0)
        return (h > threshold).to(h.dtype) + (ramp - ramp.detach())


class Gated(Growing):
    """Whether a number is in use and how large it is, said apart (Rajamanoharan et al., 2024, arXiv:2404.16014).

    ``z_j = H(h_j) relu(exp(r_j) h_j + m_j)``: h opens the gate, and with a scale and an offset of its own it is the
    size. The step function H has no slope, so the gate learns from ``penalties.Gate`` alone. In training a row may at
    first keep its largest sizes whatever their gates, from 1 up to ``k`` of them. h and z have shape (n, latent,
    *grid). Raises InvalidParameter if ``k`` is larger than ``latent``.

    >>> Gated(2)(torch.tensor([[-1.0, 2.0]])).z
    tensor([[0., 2.]], grad_fn=<WhereBackward0>)
    """

    def __init__(self, latent: int, k: int = 1) -> None:
        super().__init__(latent, k)
        self.log_scale = nn.Parameter(torch.zeros(latent))
        self.offset = nn.Parameter(torch.zeros(latent))

    def forward(self, h: Float[Tensor, "n latent *grid"]) -> Code:
        size = along(self.log_scale.exp(), h) * h + along(self.offset, h)
        return Code(self.grown(size, (h > 0) * size.relu(), self.growth()), {})


def _checked(k: int, latent: int) -> float:
    if not 1 <= k <= latent:
        raise InvalidParameter(f"k must lie in 1 to latent = {latent}. Got {k}: lower k or raise latent.")
    return float(k)


def along(vector: Tensor, h: Tensor) -> Tensor:
    """``vector``, one number per code number, along axis 1 of ``h``."""
    return vector.view(-1, *[1] * (h.dim() - 2))
