"""A price on codes that lie between clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from diabolo.autoencoder import Autoencoder, Penalty, Reconstruction

if TYPE_CHECKING:
    from jaxtyping import Float


class Clusters(Penalty):
    """How unsure it is which of some centres a code belongs to: ``weight * KL(p_i || q_i)`` (Xie, Girshick & Farhadi,
    2016, arXiv:1511.06335).

    ``q_ik`` is proportional to ``1 / (1 + |z_i - c_k|^2)``, and the target ``p_ik`` to ``q_ik^2 / sum_i q_ik``: surer,
    and fair to small clusters. The sum is over the batch, the target is not learned from; the ``centres`` (clusters,
    latent) are.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import Vanilla
    >>> autoencoder, penalty = Vanilla(latent=1).build(numbers(2)), Clusters(3, latent=1, weight=2.0)
    >>> trip = autoencoder(torch.randn(6, 2))
    >>> log_q = membership(trip.code.z, penalty.centres)
    >>> apart = nn.functional.kl_div(log_q, target(log_q), reduction="none").sum(1)
    >>> torch.allclose(penalty(autoencoder, trip), 2 * apart, atol=1e-5)
    True
    """

    name = "clustering"

    def __init__(self, clusters: int, latent: int, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.centres = nn.Parameter(torch.randn(clusters, latent))

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        log_q = membership(trip.code.z.flatten(1), self.centres)
        p = target(log_q.detach())
        return self.weight * (p * (p.clamp_min(1e-12).log() - log_q)).sum(1)

    def extra_repr(self) -> str:
        return f"{tuple(self.centres.shape)}, weight={self.weight}"


def membership(z: Float[Tensor, "n latent"], centres: Float[Tensor, "k latent"]) -> Float[Tensor, "n k"]:
    """``log q``: how much a code belongs to each centre, by Student's t of one degree of freedom.

    >>> membership(torch.zeros(1, 2), torch.tensor([[0.0, 0.0], [1.0, 0.0]])).exp()
    tensor([[0.6667, 0.3333]])
    """
    return (-torch.log1p((z.unsqueeze(1) - centres).square().sum(2))).log_softmax(1)


def target(log_q: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """``p``: memberships squared, over the size of each cluster."""
    q = log_q.exp()
    sharper = q.square() / q.sum(0).clamp_min(1e-12)
    return sharper / sharper.sum(1, keepdim=True).clamp_min(1e-12)
