"""A critic of rows that learns beside the autoencoder: what a reconstruction looks like, not value by value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from diabolo.autoencoder import Autoencoder, Penalty, Reconstruction

if TYPE_CHECKING:
    from jaxtyping import Float


class Discriminator(Penalty):
    """A critic that tells rows from decoded ones, and whose own numbers compare a row with its reconstruction (Larsen
    et al., 2016, arXiv:1512.09300).

    ``reading`` turns rows, as an encoder does, into ``width`` numbers f, from which ``critic`` tells real from made.
    One number per row (n,), in nats, and one optimiser. With r the row, r' its reconstruction, made rows m decoded
    from the code and from a draw of the prior, and weights that a bar holds fixed:

        content * |f(r) - f(r')|^2 / 2        f fixed: moves encoder and decoder
        weight * sum_m softplus(-critic(m))   critic fixed, code fixed: moves the decoder
        softplus(-critic(r)) + sum_m softplus(critic(m))   rows fixed: moves the critic

    These are the gradients that the paper's three optimisers would see; the likelihood stays beside ``content``, since
    it is the score. A missing value is missing in all rows compared. Booleans and categories are judged by their best
    value, which has no slope: numbers and counts teach the decoder.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import VAEGAN
    >>> autoencoder = VAEGAN(latent=2, weight=0.5).build(numbers(3))
    >>> (penalty,) = autoencoder.penalties
    >>> _ = [nn.init.zeros_(each) for each in penalty.parameters()]  # a critic that cannot tell
    >>> torch.allclose(penalty(autoencoder, autoencoder(torch.zeros(4, 3))), (3 + 0.5 * 2) * F.softplus(torch.zeros(4)))
    True
    """

    name = "discriminator"

    def __init__(self, reading: nn.Module, width: int, weight: float = 1.0, content: float = 1.0) -> None:
        super().__init__()
        self.weight, self.content = weight, content
        self.reading = reading
        self.critic = nn.Sequential(nn.SiLU(), nn.Linear(width, 1), nn.Flatten(0))

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        z = trip.code.z.detach()
        codes = (z, autoencoder.bottleneck.sample(len(z), tuple(z.shape[2:])))
        made = [self._row(autoencoder, trip, autoencoder.decoder(code, trip.given)) for code in codes]
        told = F.softplus(-self.critic(self.reading(trip.x, trip.given)))
        told = told + sum(F.softplus(self.critic(self.reading(each.detach(), trip.given))) for each in made)
        fooled = sum(F.softplus(-_fixed(self.critic, _fixed(self.reading, each, trip.given))) for each in made)
        returned = self._row(autoencoder, trip, trip.output)
        unlike = [_fixed(self.reading, each, trip.given) for each in (trip.x, returned)]
        return told + self.weight * fooled + self.content * (unlike[0] - unlike[1]).square().sum(1) / 2

    @staticmethod
    def _row(autoencoder: Autoencoder, trip: Reconstruction, output: Tensor) -> Tensor:
        """The best values, with the same ones missing as in the row."""
        return torch.where(trip.observed, autoencoder.likelihood.best(output), torch.nan)


def _fixed(module: nn.Module, *inputs: Tensor | None) -> Tensor:
    """The module's output, with weights that get no gradient."""
    weights = {name: each.detach() for name, each in module.named_parameters()}
    output: Tensor = functional_call(module, weights, inputs)
    return output
