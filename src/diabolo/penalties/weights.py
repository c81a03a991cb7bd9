"""Prices on the weights, the same for every row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from diabolo.autoencoder import Autoencoder, Penalty, Reconstruction

if TYPE_CHECKING:
    from jaxtyping import Float


class Orthogonality(Penalty):
    """How far the code's numbers are from reading different things: ``weight * |W W' - 1|^2`` for every row (n,), in
    nats, with W the encoder's last layer, (latent, units) (Brock et al., 2017, arXiv:1609.07093; Bansal et al., 2018,
    arXiv:1810.09102). Where W has more rows than columns it is ``|W' W - 1|^2``.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import Linear
    >>> autoencoder = Linear(latent=2).build(numbers(4))
    >>> _ = nn.init.orthogonal_(autoencoder.encoder.layers[0].weight, gain=2.0)
    >>> Orthogonality(0.5)(autoencoder, autoencoder(torch.zeros(2, 4))).round().tolist()  # |4 - 1|^2 on the diagonal
    [9.0, 9.0]
    """

    name = "orthogonality"

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        last = [each for each in autoencoder.encoder.modules() if isinstance(each, (nn.Linear, nn.Conv1d, nn.Conv2d))]
        w = last[-1].weight.flatten(1)
        product = w @ w.T if len(w) <= w.shape[1] else w.T @ w
        away = (product - torch.eye(len(product), device=w.device)).square().sum()
        return self.weight * away.expand(len(trip.x))
