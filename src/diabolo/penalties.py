"""Prices on one trip during training, in nats per row; the score never contains them.

Some are made by rows together (a rate, a total correlation, a discrepancy): their mean over the batch is the published
number, and each row's price is its own share of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp
from torch.nn import functional as F

from diabolo.autoencoder import Autoencoder, Bottleneck, Penalty, Reconstruction
from diabolo.errors import InvalidParameter
from diabolo.randomness import normal_like, uniform_like

if TYPE_CHECKING:
    from jaxtyping import Float

EXACT_UP_TO = 16  # code numbers whose Jacobian rows are computed one by one; above, two random directions estimate it
PROBES = 2


class L1(Penalty):
    """The size of the code: ``weight * sum_j |z_j|``, in nats per row (n,).

    It is -log of a Laplace prior with scale 1 / weight, up to a constant (Ng, 2011, "Sparse autoencoder").
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
    """

    name = "contractive"

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        features = autoencoder.encoder.get_submodule("features")
        numbers = features(trip.seen).detach()  # not x: a category has no slope, its one-hot numbers have

        def code(replaced: Tensor) -> Tensor:
            with features.register_forward_hook(lambda *call: replaced), _still(autoencoder.bottleneck):
                return autoencoder.encode(trip.seen, trip.given).z.flatten(1)

        z, pull, *_ = vjp(code, numbers)
        slopes = [pull(direction)[0] for direction in _directions(z)]
        return self.weight * torch.stack([slope.flatten(1).square().sum(1) for slope in slopes]).sum(0)


@contextmanager
def _still(bottleneck: Bottleneck) -> Iterator[None]:
    """The bottleneck as in evaluation: the slope of noise is not asked for, and nothing may move twice per batch."""
    training = bottleneck.training
    bottleneck.eval()
    try:
        yield
    finally:
        bottleneck.train(training)


def _directions(z: Tensor) -> list[Tensor]:
    """One direction per code number, or a few random ones, scaled so that the squared slopes add up."""
    if z.shape[1] <= EXACT_UP_TO:
        return list(torch.eye(z.shape[1]).to(z)[:, None].expand(-1, *z.shape))
    signs = [torch.where(uniform_like(z) < 0.5, -1.0, 1.0) for _ in range(PROBES)]
    return [each / math.sqrt(PROBES) for each in signs]


class TotalCorrelation(Penalty):
    """How dependent the numbers of the code are: ``weight * KL(q(z) || prod_j q(z_j))`` (Chen et al., 2018,
    arXiv:1802.04942).

    ``q`` is the mixture of the batch's posteriors. A row's price (n,), in nats, is ``log q(z) - sum_j log q(z_j)`` at
    its own code. The paper's minibatch weights add ``(latent - 1) * log(rows of the data)``, a constant without
    gradient, which is left out so that independent codes cost nothing. Raises InvalidParameter if the bottleneck has
    no posterior.
    """

    name = "total_correlation"

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        return self.weight * total_correlation(trip.code.z.flatten(1), *_moments(trip))


def total_correlation(
    z: Float[Tensor, "n latent"], mean: Float[Tensor, "m latent"], scale: Float[Tensor, "m latent"]
) -> Float[Tensor, "n"]:
    """``log q(z_i) - sum_j log q(z_ij)`` of each row, in nats, with q the mean of m normal distributions.

    >>> total_correlation(torch.zeros(1, 3), torch.zeros(1, 3), torch.ones(1, 3))
    tensor([0.])
    """
    each = -((z[:, None] - mean) / scale).square() / 2 - scale.log()  # row i under posterior j, constants cancel
    log_m = math.log(len(mean))
    return (each.sum(-1).logsumexp(1) - log_m) - (each.logsumexp(1) - log_m).sum(-1)


def _moments(trip: Reconstruction) -> tuple[Tensor, Tensor]:
    if trip.code.posterior is None:
        raise InvalidParameter("TotalCorrelation needs a code with a posterior. Use the Gaussian bottleneck.")
    return trip.code.posterior.mean.flatten(1), trip.code.posterior.stddev.flatten(1)


class MeanDiscrepancy(Penalty):
    """How far the codes, all together, are from the prior: ``weight * MMD^2`` (Gretton et al., 2012, JMLR 13;
    Tolstikhin et al., 2018, arXiv:1711.01558; Zhao et al., 2019, arXiv:1706.02262).

    With p as many draws from the standard normal, a row's price (n,) is its share
    ``weight * (mean_j k(z_i, z_j) - 2 mean_j k(z_i, p_j) + mean_j k(p_i, p_j))``, the means over other rows than i
    where both are of one kind, so that equal distributions cost 0 on average. ``kernel="imq"`` is
    ``sum_s s C / (s C + d^2) / 7`` for seven s from 0.1 to 10, ``"gaussian"`` is ``exp(-d^2 / C)``; C = 2 * latent,
    the mean squared distance of two draws.
    """

    name = "discrepancy"

    def __init__(self, weight: float, kernel: Literal["imq", "gaussian"] = "imq") -> None:
        super().__init__()
        self.weight, self.kernel = weight, kernel

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        z = trip.code.z.flatten(1)
        prior = normal_like(z)
        shares = _to_others(self._kernel(z, z)) - 2 * self._kernel(z, prior).mean(1)
        return self.weight * (shares + _to_others(self._kernel(prior, prior)))

    def _kernel(self, a: Tensor, b: Tensor) -> Float[Tensor, "n m"]:
        distance = (a[:, None] - b).square().sum(-1) / (2 * a.shape[1])
        if self.kernel == "gaussian":
            return (-distance).exp()
        scales = torch.tensor([0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]).to(a)
        return (scales / (scales + distance[..., None])).mean(-1)


def _to_others(kernel: Float[Tensor, "n n"]) -> Float[Tensor, "n"]:
    """The mean over the other rows; a row alone has nobody to differ from."""
    return (kernel.sum(1) - kernel.diagonal()) / max(len(kernel) - 1, 1)


class Adversary(Penalty):
    """A critic that tells codes from draws of the prior, and an encoder that fools it (Makhzani et al., 2015,
    arXiv:1511.05644).

    One number per row (n,), in nats, and one optimiser: ``weight * softplus(-critic(z))`` sees the critic's weights
    detached, ``softplus(critic(z.detach())) + softplus(-critic(p))`` sees the codes detached, so that the sum gives
    encoder and critic exactly the gradients that two optimisers would give them.
    """

    name = "adversary"

    def __init__(self, latent: int, hidden: Sequence[int] = (64, 64), weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        sizes = [latent, *hidden]
        layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
        self.critic = nn.Sequential(*layers, nn.Linear(sizes[-1], 1), nn.Flatten(0))

    def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Float[Tensor, "n"]:
        z = trip.code.z.flatten(1)
        told = F.softplus(self.critic(z.detach())) + F.softplus(-self.critic(normal_like(z)))
        return self.weight * F.softplus(-functional_call(self.critic, self._fixed(), z)) + told

    def _fixed(self) -> dict[str, Tensor]:
        return {name: each.detach() for name, each in self.critic.named_parameters()}
