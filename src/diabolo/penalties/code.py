"""Prices on the code of a row: its size, how rarely it is used, how much it moves, how little it tells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import vjp
from torch.nn import functional as F

from diabolo.autoencoder import Autoencoder, Penalty, Reconstruction, still
from diabolo.bottlenecks import LookupFree
from diabolo.bottlenecks.quantised import TINY, cut
from diabolo.errors import InvalidParameter
from diabolo.randomness import uniform_like

if TYPE_CHECKING:
    from jaxtyping import Float

EXACT_UP_TO = 16  # code numbers whose Jacobian rows are computed one by one; above, two random directions estimate it
PROBES = 2


class L1(Penalty):
    """The size of the code: ``weight * sum_j |z_j|``, in nats per row (n,).

    It is -log of a Laplace prior with scale 1 / weight, up to a constant (Ng, 2011, "Sparse autoencoder").

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import Sparse
    >>> autoencoder = Sparse().build(numbers(3))
    >>> trip = autoencoder(torch.randn(5, 3))
    >>> torch.allclose(L1(0.5)(autoencoder, trip), 0.5 * trip.code.z.abs().sum(1))
    True
    """

    name = "l1"

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        return self.weight * trip.code.z.flatten(1).abs().sum(1)


class Sparsity(Penalty):
    """How far the rate of each code number is from ``rate``, for codes in (0, 1) (Ng, 2011, "Sparse autoencoder").

    ``weight * sum_j KL(Bernoulli(rate) || Bernoulli(r_j))`` with ``r_j`` the mean of ``z_j`` over the batch. A row's
    price (n,), in nats, is its share: the tangent of that KL at the batch's rate, taken at the row's own code. The
    mean of the shares and its gradient are those of the KL.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import Sparse
    >>> autoencoder = Sparse(by="kl").build(numbers(3))
    >>> trip = autoencoder(torch.randn(50, 3))
    >>> r = trip.code.z.mean(0)
    >>> divergence = (0.1 * (0.1 / r).log() + 0.9 * (0.9 / (1 - r)).log()).sum()
    >>> torch.allclose(Sparsity(1.0, rate=0.1)(autoencoder, trip).mean(), divergence, rtol=1e-3)
    True
    """

    name = "sparsity"

    def __init__(self, weight: float, rate: float = 0.05) -> None:
        super().__init__()
        self.weight, self.rate = weight, rate

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        z = trip.code.z.flatten(1)
        mean = z.detach().mean(0)
        reached = mean.clamp(1e-6, 1 - 1e-6)
        divergence = self._information(reached)
        slope = (1 - self.rate) / (1 - reached) - self.rate / reached
        return self.weight * (divergence + slope * (z - mean)).sum(1)

    def _information(self, reached: Tensor) -> Tensor:
        rate = torch.as_tensor(self.rate).to(reached)
        return torch.special.xlogy(rate, rate / reached) + torch.special.xlogy(1 - rate, (1 - rate) / (1 - reached))


class Contractive(Penalty):
    """How much the code moves with the row: ``weight * |dz/dx|^2`` per row (n,) (Rifai et al., 2011, ICML).

    The squared Frobenius norm of the Jacobian of the code by the numbers the encoder reads, exact for codes of up to
    16 numbers, else estimated without bias from random directions v with ``E[v v'] = 1``:
    ``|J|^2 = E |v' J|^2`` (Hutchinson, 1989). Runs the encoder a second time, without the noise of a random code.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import Linear
    >>> autoencoder = Linear(latent=2).build(numbers(4))
    >>> price = Contractive(0.5)(autoencoder, autoencoder(torch.zeros(1, 4)))
    >>> torch.allclose(price, 0.5 * autoencoder.encoder.layers[0].weight.square().sum())
    True
    """

    name = "contractive"

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        features = autoencoder.encoder.get_submodule("features")
        numbers = features(trip.seen).detach()  # not x: a category has no slope, its one-hot numbers have

        def code(replaced: Tensor) -> Tensor:
            with features.register_forward_hook(lambda *call: replaced), still(autoencoder.bottleneck):
                return autoencoder.encode(trip.seen, trip.given).z.flatten(1)

        z, pull, *_ = vjp(code, numbers)
        slopes = [pull(direction)[0] for direction in _directions(z)]
        return self.weight * torch.stack([slope.flatten(1).square().sum(1) for slope in slopes]).sum(0)


class Information(Penalty):
    """What is given for tokens that tell rows apart: ``-weight * I(token; row)`` (Yu et al., 2024, arXiv:2310.05737).

    The paper's entropy cost: ``weight * (E H(q) - H(E q))``, q the chances of all tokens of a row or place, the
    expectations over the batch, summed over heads and places. A row's price (n,), in nats, is its share
    ``-weight * KL(q || E q)``; the mean of the shares and its gradient are those of the cost. Raises InvalidParameter
    for another bottleneck than LookupFree.

    >>> from diabolo.schema import numbers
    >>> from diabolo.variants import LFQ
    >>> autoencoder = LFQ(latent=3).build(numbers(3))
    >>> alike, apart = (autoencoder(x) for x in (torch.ones(9, 3), torch.randn(9, 3)))
    >>> [bool(Information(1.0)(autoencoder, trip).mean() < -1e-4) for trip in (alike, apart)]
    [False, True]
    """

    name = "information"

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        if not isinstance(autoencoder.bottleneck, LookupFree):
            raise InvalidParameter("Information needs to know how sure each sign is. Use the LookupFree bottleneck.")
        logs = _of_tokens(cut(trip.code.posterior.logits, autoencoder.bottleneck.heads))  # type: ignore[union-attr]
        mean = logs.detach().exp().mean((0, 1)).clamp_min(TINY)
        return -self.weight * (logs.exp() * (logs - mean.log())).flatten(1).sum(1)


def _of_tokens(logits: Float[Tensor, "n places heads bits"]) -> Float[Tensor, "n places heads tokens"]:
    """The log of the chance of every token, from the logits of its signs."""
    bits = logits.shape[-1]
    up = (torch.arange(2**bits, device=logits.device)[:, None] >> torch.arange(bits, device=logits.device)) % 2
    up = up.to(logits.dtype)
    return F.logsigmoid(logits) @ up.T + F.logsigmoid(-logits) @ (1 - up).T


def _directions(z: Tensor) -> list[Tensor]:
    """One direction per code number, or a few random ones, scaled so that the squared slopes add up."""
    if z.shape[1] <= EXACT_UP_TO:
        return list(torch.eye(z.shape[1]).to(z)[:, None].expand(-1, *z.shape))
    signs = [torch.where(uniform_like(z) < 0.5, -1.0, 1.0) for _ in range(PROBES)]
    return [each / math.sqrt(PROBES) for each in signs]
