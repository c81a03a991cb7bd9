r"""Mixture: codes as draws from several Gaussians, learned by scikit-learn and kept as tensors.

::

    p(z) = sum_k weight_k N(z | mean_k, factor_k factor_k^T)         z (n, d), nats

Learned from conditions g and codes together, they are conditioned in closed form. The conditions come first, so that a
factor has theirs, G, above and the codes' own, Z, below::

    factor_k = [[G, 0], [C, Z]]       e = G^-1 (g - mean of g)
    p(z | g) = sum_k weight_k(g) N(z | mean of z + C e, Z Z^T)       weight_k(g) ~ weight_k N(g | k)

Codes have no unit: the largest spread differs from network to network. They are divided by one number, their overall
standard deviation, before they are learned from, so that the floor of the variances means the same everywhere;
conditions are divided by theirs.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Self, TypeVar

import numpy as np
import torch
from sklearn import config_context
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits
from torch import Tensor

from diabolo.batches import Batch, by_weight
from diabolo.errors import InvalidData
from diabolo.randomness import normal_like

Made = TypeVar("Made")

FLOOR = 1e-4  # of the codes' variance that every Gaussian has at least in every direction
STARTS = 3  # of which the best is taken
HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Mixture:
    """Gaussians with full covariances: ``weights`` (k,), ``means`` (k, d), lower triangular ``factors`` (k, d, d).

    >>> mixture = Mixture(torch.ones(1).double(), torch.zeros(1, 2).double(), torch.eye(2)[None].double())
    >>> mixture.shares(torch.zeros(3, 2)).flatten().tolist()
    [1.0, 1.0, 1.0]
    """

    weights: Tensor
    means: Tensor
    factors: Tensor

    @classmethod
    def of_gaussians(cls, codes: Batch, count: int, seed: int, starts: int = STARTS) -> Self:
        """At most ``count`` Gaussians by expectation maximisation (Dempster, Laird and Rubin, 1977).

        They are those of conditions and codes together where the batch has conditions.
        """
        some = by_weight(codes, seed)
        parts = [_standard(each) for each in (some.given, some.x) if each is not None]
        z, scale = (np.concatenate(each, -1) for each in zip(*parts, strict=True))
        model = GaussianMixture(_at_most(count, z), reg_covar=FLOOR, n_init=starts)
        quietly(lambda: model.set_params(random_state=seed % 2**32).fit(z))
        factors = np.linalg.cholesky(model.covariances_)
        found = cls._from(model.weights_, model.means_ * scale, factors * scale[:, None])
        return found._of_use(_behind(codes.given, codes.x))

    @classmethod
    def of_means(cls, codes: Batch, count: int, seed: int, starts: int = STARTS) -> Self:
        """At most ``count`` means (MacQueen, 1967) as equal spheres, whose likeliest is the nearest mean."""
        z, (scale, *_) = _standard(codes.x)
        model = KMeans(_at_most(count, z), n_init=starts, random_state=seed % 2**32)
        quietly(lambda: model.fit(z, sample_weight=codes.weights.numpy()))
        spread = math.sqrt(model.inertia_ / (float(codes.weights.sum()) * z.shape[1]) + FLOOR)
        k, d = model.cluster_centers_.shape
        factors = np.tile(spread * scale * np.eye(d), (k, 1, 1))
        return cls._from(np.full(k, 1 / k), model.cluster_centers_ * scale, factors)._of_use(codes.x)

    @property
    def count(self) -> int:
        """How many Gaussians there are."""
        return len(self.weights)

    def joint(self, z: Tensor) -> Tensor:
        """``log weight_k + log N(z | k)``, shape (n, k), in nats."""
        away = z.double().unsqueeze(0) - self.means.unsqueeze(1)  # (k, n, d)
        steps = torch.linalg.solve_triangular(self.factors, away.transpose(1, 2), upper=False)
        volume = self.factors.diagonal(dim1=1, dim2=2).log().sum(1) + z.shape[1] * HALF_LOG_TAU
        return (self.weights.log() - volume - 0.5 * steps.square().sum(1).T).contiguous()

    def log_density(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """``log p(z)``, or ``log p(z | given)``, shape (n,), in nats."""
        nats = self.joint(_behind(given, z)).logsumexp(1)
        return nats if given is None else nats - self.first(given.shape[1]).log_density(given)

    def first(self, count: int) -> Self:
        """The distribution of the first ``count`` numbers."""
        return type(self)(self.weights, self.means[:, :count], self.factors[:, :count, :count])

    def shares(self, z: Tensor) -> Tensor:
        """The probability of each Gaussian given the code, shape (n, k)."""
        return self.joint(z).softmax(1)

    def sample(self, count: int, given: Tensor | None = None) -> Tensor:
        """New codes (count, d), drawn from torch's random state: from ``p(z | given)`` where conditions are given."""
        if given is not None:
            return self._sample_behind(given.double())
        which = torch.multinomial(self.weights, count, replacement=True) if count else torch.empty(0).long()
        noise = normal_like(self.means[which])
        return (self.means[which] + (self.factors[which] @ noise.unsqueeze(2)).squeeze(2)).float()

    def _sample_behind(self, given: Tensor) -> Tensor:
        """What follows the conditions (n, numbers) of each code: the steps that lead to these, then noise."""
        first, (n, count) = self.first(given.shape[1]), given.shape
        which = torch.multinomial(first.shares(given), 1).squeeze(1) if n else torch.empty(0).long()
        away = (given - first.means[which]).unsqueeze(2)
        steps = torch.linalg.solve_triangular(first.factors[which], away, upper=False)
        noise = normal_like(self.means[which][:, count:]).unsqueeze(2)
        drawn = self.means[which] + (self.factors[which] @ torch.cat((steps, noise), 1)).squeeze(2)
        return drawn[:, count:].float()

    def state(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def restored(cls, state: Mapping[str, Tensor], width: int) -> Self:
        """The inverse of ``state``, for codes of ``width`` numbers. Raises InvalidData if the shapes do not fit."""
        made = cls(**{each.name: state[each.name] for each in fields(cls)})
        k = len(made.weights)
        if (made.weights.shape, made.means.shape, made.factors.shape) != ((k,), (k, width), (k, width, width)):
            raise InvalidData(f"The mixture in the file is not one of codes of {width} numbers.")
        return made

    @classmethod
    def _from(cls, weights: np.ndarray, means: np.ndarray, factors: np.ndarray) -> Self:
        return cls(*(torch.from_numpy(np.ascontiguousarray(each, np.float64)) for each in (weights, means, factors)))

    def _of_use(self, z: Tensor) -> Self:
        """Without the Gaussians that no code belongs to."""
        used = self.joint(z).argmax(1).unique()
        return type(self)(self.weights[used] / self.weights[used].sum(), self.means[used], self.factors[used])


def fewest(z: Tensor) -> int:
    """How many different codes there are."""
    return len(z.unique(dim=0))


def _behind(given: Tensor | None, z: Tensor) -> Tensor:
    """Codes behind their conditions, if they have any."""
    return z if given is None else torch.cat((given, z), 1)


def _standard(z: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The codes over their overall standard deviation, and that number for each of theirs."""
    scale = float(z.double().var(0, correction=0).mean().sqrt()) or 1.0
    return z.double().numpy() / scale, np.full(z.shape[1], scale)


def _at_most(count: int, z: np.ndarray) -> int:
    return min(count, len(np.unique(z, axis=0)))


def quietly(learn: Callable[[], Made]) -> Made:
    """What ``learn`` gives, without warnings, with numpy and on one thread: sums over several would be rounded
    differently each time.
    """
    with threadpool_limits(1), config_context(array_api_dispatch=False), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return learn()
