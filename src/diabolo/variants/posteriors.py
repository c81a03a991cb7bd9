"""Priors and posteriors other than normal distributions: clusters, learned rows, flows, spheres, levels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, cast

import torch

from diabolo import priors
from diabolo.autoencoder import Autoencoder, Bottleneck
from diabolo.bottlenecks import Bent, Gaussian, Ladder, Spherical
from diabolo.flows import Kind
from diabolo.likelihoods import Columnwise
from diabolo.networks import Decoder, Encoder
from diabolo.params import Count
from diabolo.schedules import Anneal
from diabolo.schema import Schema
from diabolo.variants.variational import VAE

if TYPE_CHECKING:
    from diabolo.batches import Batch, Batches
    from diabolo.trainer import Epoch, Trainer

__all__ = [
    "FlowPosterior",
    "FlowPrior",
    "Hyperspherical",
    "LadderVAE",
    "VaDE",
    "VampPrior",
]

CLUSTERED = 20_000  # rows whose codes the first clusters are made of
ALMOST_FREE = 1e-6  # a price at which the prior does not count, but every weight keeps its gradient


class VaDE(VAE):
    """A VAE whose codes come from several normal distributions, a cluster each (Jiang et al., 2017, arXiv:1611.05148).

    For clustering, and for generation where the rows are of several kinds. As in the paper, training starts without a
    prior and goes on from the clusters of the codes found so; each part gets half of the epochs.
    """

    components: Annotated[Count, "normal distributions that codes come from"] = 10

    def prior(self) -> priors.Prior:
        return priors.Mixture(self.latent, self.components)

    def train(
        self,
        autoencoder: Autoencoder,
        trainer: Trainer,
        train: Batches,
        valid: Batches | None = None,
        *,
        seed: int = 0,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> list[Epoch]:
        """Train in two parts, of which the second is reported; an ensemble starts from random clusters instead."""
        part = getattr(autoencoder, "bottleneck", None)
        if isinstance(part, Gaussian) and trainer.epochs != 1:
            first, trainer = trainer.halved(train.rows)
            price, part.weight = part.weight, Anneal(ALMOST_FREE, ALMOST_FREE, 0)
            try:
                first.fit(autoencoder, train, valid, seed=seed)
            finally:
                part.weight = price
            _cluster(autoencoder, next(iter(train.shuffled(CLUSTERED, seed, 0))), seed)
        return trainer.fit(autoencoder, train, valid, seed=seed, on_epoch=on_epoch)


def _cluster(autoencoder: Autoencoder, rows: Batch, seed: int) -> None:
    """Fit the mixture to the codes of these rows, if there are enough different ones."""
    prior = cast(priors.Mixture, autoencoder.bottleneck.prior)
    with torch.no_grad():
        z = autoencoder.eval().encode(rows.x, rows.given).z
    if len(z.unique(dim=0)) >= len(prior.mean):
        prior.fit(z, seed)


class VampPrior(VAE):
    """A VAE whose codes come from the posteriors of learned rows (Tomczak & Welling, 2018, arXiv:1705.07120).

    For generation and for tight bounds on log p: the prior follows the encoder, so that fewer code numbers go unused.
    """

    components: Annotated[Count, "learned rows"] = 32

    def networks(
        self, schema: Schema, bottleneck: Bottleneck, likelihood: Columnwise, flags: bool
    ) -> tuple[Encoder, Decoder]:
        """Those of every deep variant; the prior reads its rows with the encoder's layers."""
        encoder, decoder = super().networks(schema, bottleneck, likelihood, flags)
        wide = encoder.features.width
        flat = encoder.flat or not schema.grid
        shape = (wide * math.prod(schema.grid) + encoder.given,) if flat else (wide + encoder.given, *schema.grid)
        prior = priors.VampPrior(self.latent, self.components, encoder.layers, shape)
        cast(Gaussian, bottleneck).prior = prior
        return encoder, decoder


class FlowPrior(VAE):
    """A VAE whose codes come from a normal distribution bent by a flow (Chen et al., 2017, arXiv:1611.02731).

    For generation and for tight bounds on log p: the prior takes the form of the codes instead of the reverse. The
    paper's flow is autoregressive: it judges codes in one pass and draws them a number at a time. Affine couplings draw
    as fast as they judge, and bend less.
    """

    flow: Annotated[Kind, "affine couplings, autoregressive, or planar pushes"] = "autoregressive"
    layers: Annotated[Count, "bends, one after the other"] = 4
    units: Annotated[Count, "units of the hidden layer of each bend; planar ones have none"] = 128

    def prior(self) -> priors.Prior:
        return priors.Flow(self.latent, self.layers, self.units, self.flow)


class FlowPosterior(VAE):
    """A VAE whose posterior is bent by a flow that reads the row (Rezende & Mohamed, 2015, arXiv:1505.05770).

    For tight bounds on log p where code numbers depend on each other given the row. The flow is made of affine
    couplings (Dinh et al., 2017, arXiv:1605.08803), of the planar pushes of the paper, or it is the inverse
    autoregressive one of Kingma et al. (2016, arXiv:1606.04934).
    """

    flow: Annotated[Kind, "affine couplings, autoregressive, or planar pushes"] = "coupling"
    layers: Annotated[Count, "bends, one after the other"] = 4
    units: Annotated[Count, "units of the hidden layer of each bend; planar ones have none"] = 32

    def bottleneck(self, width: int) -> Bottleneck:
        price = Anneal(0.0, self.beta, self.warmup)
        return Bent(self.latent, price, self.free, layers=self.layers, hidden=self.units, flow=self.flow)


class Hyperspherical(VAE):
    """A VAE whose codes are directions, spread evenly over all of them by the prior (Davidson et al., 2018,
    arXiv:1804.00891).

    For directional data, and for codes that are compared by their angle; the prior has no centre to collapse to.
    """

    def bottleneck(self, width: int) -> Bottleneck:
        return Spherical(self.latent, Anneal(0.0, self.beta, self.warmup), self.free)


class LadderVAE(VAE):
    """A VAE whose code is drawn given a smaller code above it, and so on (Sønderby et al., 2016, arXiv:1602.02282).

    For generation and for tight bounds on log p where rows have coarse and fine causes. The encoder's numbers for all
    levels come from its last layer; the paper's from a layer each.
    """

    above: Annotated[tuple[Count, ...], "numbers in the codes above, from low to high"] = (4,)
    units: Annotated[Count, "units of the hidden layer between two levels"] = 32

    def bottleneck(self, width: int) -> Bottleneck:
        return Ladder(self.latent, self.above, self.units, Anneal(0.0, self.beta, self.warmup), self.free)
