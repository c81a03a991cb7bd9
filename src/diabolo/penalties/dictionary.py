"""Prices that keep a dictionary in order: no dead atoms, gates that open, coarse atoms before fine ones.

All of them are second reconstructions of the same rows, in nats per row like the first one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diabolo.autoencoder import Autoencoder, Penalty, Reconstruction
from diabolo.bottlenecks.quantised import added_up
from diabolo.schedules import Anneal, annealed

if TYPE_CHECKING:
    from jaxtyping import Float


class AuxK(Penalty):
    """What the dead atoms could add to the reconstruction (Gao et al., 2024, arXiv:2406.04093).

    ``weight * (nll(z + the k largest positive h of dead atoms) - nll(z))`` per row (n,), z held fixed: less than 0
    where they help. The decoder's columns of live atoms learn from it too. The paper divides either error by what there
    was to explain, so that its weight, 1/32, is here 1/32 divided by the share of the variance that z leaves
    unexplained. An atom is dead while the last ``patience`` training rows did not use it, and before its first use. The
    count (latent,) moves after the price is made, so a row's price does not depend on the other rows. Runs the encoder
    and the decoder a second time.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import TopKDictionary
    >>> autoencoder, penalty = TopKDictionary(latent=8, k=1).build(numbers(3)), AuxK(latent=8, k=4)
    >>> trip = autoencoder(torch.randn(5, 3))
    >>> price = penalty(autoencoder, trip)  # from now on, the atoms in use are not dead
    >>> torch.equal(penalty.quiet < penalty.patience, (trip.code.z != 0).any(0))
    True
    """

    name = "auxiliary"
    quiet: Tensor

    def __init__(self, latent: int, k: int, weight: float = 1 / 32, patience: int = 10_000) -> None:
        super().__init__()
        self.k, self.weight, self.patience = min(k, latent), weight, patience
        self.register_buffer("quiet", torch.full((latent,), float(patience)))  # rows since the last use

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        h = autoencoder.encoder(trip.seen, trip.given)
        kept, places = h.masked_fill(self.quiet < self.patience, -torch.inf).topk(self.k, 1)
        z = trip.code.z.detach()
        price = _nll(autoencoder, z.scatter_add(1, places, kept.relu().to(z.dtype)), trip) - trip.nll.detach()
        if self.training:
            self._count(z)
        return self.weight * price

    @torch.no_grad()
    def _count(self, z: Tensor) -> None:
        used = z.ne(0).sum(0)
        uses = added_up(torch.cat([used, torch.full_like(used[:1], z[:, :1].numel())]))
        self.quiet.copy_(torch.where(uses[:-1] > 0, 0.0, self.quiet + uses[-1]))


class Gate(Penalty):
    """What teaches the gates of ``Gated`` (Rajamanoharan et al., 2024, arXiv:2404.16014), per row (n,).

    ``weight * sum_j relu(h_j) + nll(relu(h))``: few gates are open, and what is behind the open ones reconstructs the
    row. ``weight`` is a number or an ``Anneal``. In the paper the decoder is held fixed in it; here it learns from both
    reconstructions, by which more of a known dictionary is recovered. Runs the encoder and the decoder a second time.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import GatedDictionary
    >>> autoencoder, x = GatedDictionary(latent=8).build(numbers(3)), torch.randn(5, 3)
    >>> free, dear = (Gate(weight)(autoencoder, autoencoder(x)) for weight in (0.0, 2.0))
    >>> torch.allclose(dear - free, 2 * autoencoder.encoder(x).relu().sum(1), atol=1e-5)
    True
    """

    name = "gate"

    def __init__(self, weight: float | Anneal) -> None:
        super().__init__()
        self.weight = annealed(weight)

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        opened = autoencoder.encoder(trip.seen, trip.given).relu()
        return self.weight() * opened.flatten(1).sum(1) + _nll(autoencoder, opened, trip)


class Prefixes(Penalty):
    """The first atoms alone have to do as well (Bussmann et al., 2025, arXiv:2503.17547), per row (n,).

    ``weight * mean_i nll(the first latent / 2^i numbers of z)`` for i = 1 to ``count``: common features are found by
    the first atoms, and later ones cannot take their place. In the paper every prefix counts as much as the whole
    dictionary, ``weight = count``; but a dictionary too small for the features blends them ("hedging", Chanin, Dulka &
    Garriga-Alonso, 2025, arXiv:2505.11756), which a lower weight holds back. Runs the decoder ``count`` more times.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import Matryoshka
    >>> autoencoder, x = Matryoshka(latent=4, k=2).build(numbers(3)), torch.randn(5, 3)
    >>> trip = autoencoder(x)
    >>> first = autoencoder.decoder(trip.code.z * torch.tensor([1, 1, 0, 0]))
    >>> torch.allclose(Prefixes(1)(autoencoder, trip), autoencoder.likelihood.errors(first, x).sum(1))
    True
    """

    name = "prefixes"

    def __init__(self, count: int, weight: float = 1.0) -> None:
        super().__init__()
        self.count, self.weight = count, weight

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        z = trip.code.z
        place = torch.arange(z.shape[1], device=z.device)
        shares = [torch.where(place < z.shape[1] >> i, z, 0.0) for i in range(1, self.count + 1)]
        return self.weight * torch.stack([_nll(autoencoder, share, trip) for share in shares]).mean(0)


def _nll(autoencoder: Autoencoder, z: Tensor, trip: Reconstruction) -> Tensor:
    return autoencoder.nll_of(autoencoder.decoder(z, trip.given), trip.x, trip.observed)
