"""Codes held in check by their width, by noise, by hidden values or by sparsity."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal, cast

import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from diabolo import linear, penalties
from diabolo.autoencoder import Autoencoder, Bottleneck, Penalty
from diabolo.bottlenecks import Plain, TopK
from diabolo.corruptions import GaussianNoise, Hide, HideBoxes, HidePatches, SaltPepper, SwapRows, Views, Warp
from diabolo.likelihoods import Columnwise, Scale
from diabolo.networks import Decoder, Encoder
from diabolo.networks.dense import Sum
from diabolo.params import Count, Fraction, NonNegative, Positive, Within
from diabolo.penalties import L1, Orthogonality, Outliers, Sparsity
from diabolo.schema import Schema
from diabolo.variants.variant import Deep, Variant, at_most_half, cells, in_turn

if TYPE_CHECKING:
    from diabolo.batches import Batch, Batches
    from diabolo.trainer import Epoch, Trainer


__all__ = [
    "DEC",
    "Contractive",
    "Denoising",
    "Energy",
    "KSparse",
    "Linear",
    "Masked",
    "Residual",
    "Robust",
    "Sparse",
    "Vanilla",
]

TINY = 1e-12
GATHERED = 20_000  # rows whose codes the first centres are found among
STARTS = 10  # of k-means, of which the best is taken
SMALL = 1e-2  # of the weights of a network that starts as next to nothing
Noise = Literal["gaussian", "salt_pepper", "swap", "hide", "warp", "views"]
NOISES = (
    "normal noise, extremes, other rows' values, missing values, a bend, or one in other light, partly covered and "
    "noisy (of tables both: other rows' values)"
)
OF_COLUMNS: dict[str, Callable[[Schema, float], nn.Module]] = {
    "gaussian": GaussianNoise,
    "salt_pepper": SaltPepper,
    "warp": Warp,
    "views": Views,
}
STRENGTHS = "standard deviations of normal noise, share of the values replaced, or how far a bend or a view goes"


class Linear(Variant):
    """Principal components: the autoencoder without hidden layers, solved in closed form without a training loop.

    For baselines, and often as good as a network (Baldi & Hornik, 1989; Tipping & Bishop, 1999). A code is at most
    half as wide as the row, so that there is something left to find.
    """

    overcomplete: Annotated[bool, "allow a code wider than half the row, up to one number less than it has"] = False

    def bottleneck(self, width: int) -> Bottleneck:
        most = max(1, min(self.latent, width - 1))
        return Plain(most if self.overcomplete else at_most_half(self.latent, width))

    def networks(
        self, schema: Schema, bottleneck: Bottleneck, likelihood: Columnwise, flags: bool
    ) -> tuple[Encoder, Decoder]:
        return linear.mirror(schema, bottleneck.latent, likelihood)

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
        """Solve instead of train: the trainer, the seed and the validation rows are not needed; no epochs."""
        linear.solve(autoencoder, train)
        return []


class Vanilla(Deep):
    """Encode to few numbers and decode (Rumelhart, Hinton & Williams, 1986; Hinton & Salakhutdinov, 2006).

    For compression and embedding without assumptions. Tied weights halve the parameters (Vincent et al., 2010); the
    L2 price of weights is the trainer's ``weight_decay``.
    """

    overcomplete: Annotated[bool, "allow a code wider than half the row"] = False
    tied: Annotated[bool, "let the decoder use the encoder's weights"] = False
    orthogonal: Annotated[NonNegative, "nats per squared distance of the code's weights from orthogonal ones"] = 0.0

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(self.latent if self.overcomplete else at_most_half(self.latent, width))

    def penalties(self) -> list[Penalty]:
        return [Orthogonality(self.orthogonal)] if self.orthogonal else []


class Denoising(Deep):
    """Restore rows from noise, which draws them to where data is dense (Vincent et al., 2010, JMLR 11).

    For anomaly detection and denoising: what is far from the data is not restored.
    """

    noise: Annotated[Noise, NOISES] = "gaussian"
    strength: Annotated[Fraction, STRENGTHS] = 0.2
    tied: Annotated[bool, "let the decoder use the encoder's weights"] = False

    def corruption(self, schema: Schema) -> nn.Module:
        if self.noise == "hide":
            return Hide(self.strength)
        if self.noise == "swap" or (self.noise in ("warp", "views") and not schema.grid):
            return SwapRows(self.strength)
        return OF_COLUMNS[self.noise](schema, self.strength)

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(self.latent)


class Residual(Deep):
    """Principal components, and networks beside them for what is not linear (Kramer, 1991, AIChE Journal 37; as a
    shortcut He et al., 2016, arXiv:1512.03385).

    For embedding and clustering: ``z = A x + f(x)`` and ``x' = B z + g(z)`` start from the closed form of A and B with
    f and g near 0. Codes lie to one another nearly as the rows do, which those of a network from scratch do not:
    their numbers are not of one spread, but of those that the rows have in these directions.
    Numbers are learned by squared error: with a scale per column those that hardly vary would count as much as others.
    """

    latent: Annotated[Count, "numbers in the code"] = 16
    hidden: Annotated[tuple[Count, ...], "units of the encoder's hidden layers (channels on images); mirrored"] = (
        128,
        64,
    )
    scale: Annotated[Scale, "spread of number columns: learned per column, 1 (squared error), or per value"] = "unit"
    noise: Annotated[NonNegative, "standard deviations of the noise that rows are restored from"] = 0.1
    overcomplete: Annotated[bool, "allow a code wider than half the row, up to its width"] = False

    def corruption(self, schema: Schema) -> nn.Module:
        return GaussianNoise(schema, self.noise)

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(min(self.latent, width) if self.overcomplete else at_most_half(self.latent, width))

    def networks(
        self, schema: Schema, bottleneck: Bottleneck, likelihood: Columnwise, flags: bool
    ) -> tuple[Encoder, Decoder]:
        """The linear pair and the deep one, whose last layers start small."""
        straight = linear.mirror(schema, bottleneck.latent, likelihood)
        bent = super().networks(schema, bottleneck, likelihood, flags)
        for each in bent:
            _shrink(each)
        return cast(tuple[Encoder, Decoder], tuple(map(Sum, straight, bent)))

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
        """Solve the linear part, then train all; an ensemble starts from linear parts of random directions."""
        if isinstance(autoencoder, Autoencoder):
            straight = _straight(autoencoder)
            linear.solve(straight, train)
            _unwhiten(straight)
        return trainer.fit(autoencoder, train, valid, seed=seed, on_epoch=on_epoch)


class DEC(Residual):
    """Codes that gather around a centre per cluster (Xie et al., 2016, arXiv:1511.06335; the decoder is kept as by Guo
    et al., 2017, IJCAI).

    For clustering into a known number of groups: ``Clusterer(DEC(clusters=10), clusters=10, by="means")``. Training
    starts without centres and goes on from those that k-means finds among the codes; each part gets half of the epochs.
    """

    clusters: Annotated[Count, "centres that codes gather around"] = 10
    weight: Annotated[NonNegative, "price of a nat of doubt about the centre of a code"] = 50.0

    def critics(self, schema: Schema) -> list[Penalty]:
        return [penalties.Clusters(self.clusters, self.bottleneck(cells(schema)).latent, self.weight)]

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
        """Train in two parts, of which the second is reported; an ensemble starts from random centres instead.

        The second part ends with its last weights, since held-out rows are judged without the price and prefer the
        first.
        """
        if isinstance(autoencoder, Autoencoder) and trainer.epochs != 1:
            first, trainer = trainer.halved(train.rows)
            price = cast(penalties.Clusters, autoencoder.penalties[-1])
            weight, price.weight = price.weight, 0.0
            try:
                super().train(autoencoder, first, train, valid, seed=seed)
            finally:
                price.weight = weight
            _centre(autoencoder, price, next(iter(train.shuffled(GATHERED, seed, 0))), seed)
        return trainer.fit(autoencoder, train, None, seed=seed, on_epoch=on_epoch)


class Masked(Deep):
    """Restore hidden values from the others (He et al., 2022, arXiv:2111.06377; on tables Pathak et al., 2016).

    For anomaly detection, imputation and data with missing values: hidden and missing are one thing to the encoder,
    and a value is judged only while it is hidden, by ``-log p(value | values of other turns)``. As in the paper with
    ``network="patches", places=True``, a ``patch`` of 2 to the number of entries of ``hidden``, and images.
    """

    latent: Annotated[Count, "numbers in the code"] = 32
    hidden: Annotated[tuple[Count, ...], "units of the encoder's hidden layers (channels on images); mirrored"] = (96,)
    scale: Annotated[Scale, "spread of number columns: learned per column, 1 (squared error), or per value"] = (
        "predicted"
    )
    share: Annotated[Fraction, "largest share of a row hidden in training; each row draws its own"] = 0.9
    least: Annotated[Fraction, "smallest share of a row hidden in training"] = 0.1
    turns: Annotated[Count, "parts that the values are cut into to be judged, each part while it is hidden"] = 4
    patch: Annotated[Count, "side of the patches hidden together, on images and series"] = 1
    boxes: Annotated[Fraction, "share of images and series of which a box is hidden instead, of any size"] = 0.0
    places: Annotated[bool, "a code for each place of an image or series, instead of one for the row"] = False

    def corruption(self, schema: Schema) -> nn.Module:
        parts = HidePatches(self.share, self.patch, self.least) if self.patch > 1 else Hide(self.share, self.least)
        return HideBoxes(parts, self.boxes) if self.boxes else parts

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(self.latent, grid=self.places)

    def judged(self, schema: Schema) -> Tensor:
        return in_turn(schema, self.turns, self.patch)


class Sparse(Deep):
    """Many code numbers, few of them used by any row (Olshausen & Field, 1996; Ng, 2011, "Sparse autoencoder").

    For parts and features that can be named. The weights are tied: else a small code and large weights would be free.
    """

    latent: Annotated[Count, "numbers in the code"] = 32
    by: Annotated[Literal["l1", "kl"], "price of the code's size, or of a rate of use other than 'rate'"] = "l1"
    weight: Annotated[NonNegative, "nats per unit of size, or per nat of divergence of the rates"] = 0.1
    rate: Annotated[float, Within(0.001, 0.999), "share of rows that should use each code number, with by='kl'"] = 0.05

    @property
    def tied(self) -> bool:
        return True

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(self.latent, nn.ReLU() if self.by == "l1" else nn.Sigmoid())

    def penalties(self) -> list[Penalty]:
        return [L1(self.weight) if self.by == "l1" else Sparsity(self.weight, self.rate)]


class KSparse(Deep):
    """Many code numbers of which exactly ``k`` are used (Makhzani & Frey, 2014, arXiv:1312.5663).

    For sparse features without a weight to tune.
    """

    latent: Annotated[Count, "numbers in the code"] = 32
    k: Annotated[Count, "code numbers a row may use"] = 8
    tied: Annotated[bool, "let the decoder use the encoder's weights, as in the paper"] = False

    def bottleneck(self, width: int) -> Bottleneck:
        return TopK(self.latent, self.k)


class Contractive(Deep):
    """A code that hardly moves when the row moves a little (Rifai et al., 2011, ICML).

    For embeddings that ignore small disturbances. The weights are tied: else a small code would do.
    """

    weight: Annotated[NonNegative, "nats per unit of the squared slope of the code"] = 0.1

    @property
    def tied(self) -> bool:
        return True

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(self.latent)

    def penalties(self) -> list[Penalty]:
        return [penalties.Contractive(self.weight)]


class Robust(Deep):
    """Split outliers off and learn from what is left (Zhou & Paffenroth, 2017, KDD).

    For anomaly detection and denoising when the training data has anomalies in it: single values, or whole rows.
    """

    by: Annotated[Literal["values", "rows"], "outliers are single values, or whole rows"] = "values"
    weight: Annotated[Positive, "error, in standard deviations of the columns, beyond which a value is an outlier"] = (
        1.0
    )

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(at_most_half(self.latent, width))

    def penalties(self) -> list[Penalty]:
        return [Outliers(self.weight, self.by)]


class Energy(Deep):
    """A row's error as its energy: low on the data, and high off it by training, not by a narrow code (Zhao et al.,
    2017, arXiv:1609.03126; score matching: Vincent, 2011; Alain & Bengio, 2014, arXiv:1211.4246).

    For anomaly detection, and for codes wider than the row.
    """

    by: Annotated[Literal["margin", "score"], "made-up rows cost more, or energy rises as noise does"] = "margin"
    weight: Annotated[NonNegative, "price of a nat of the comparison"] = 1.0
    margin: Annotated[NonNegative, "nats that a row with values from others must cost more, with by='margin'"] = 5.0
    noise: Annotated[Positive, "standard deviations of the noise, with by='score'"] = 0.3

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(self.latent)

    def penalties(self) -> list[Penalty]:
        return [penalties.Energy(self.weight, self.by, self.margin, self.noise)]


def _straight(autoencoder: Autoencoder) -> Autoencoder:
    """The linear part of a residual autoencoder, of the same weights."""
    encoder, decoder = (cast(Sum, each).first for each in (autoencoder.encoder, autoencoder.decoder))
    straight = Autoencoder(encoder, autoencoder.bottleneck, decoder, autoencoder.likelihood)
    return straight.reading(autoencoder.conditions)


@torch.no_grad()
def _centre(autoencoder: Autoencoder, price: penalties.Clusters, rows: Batch, seed: int) -> None:
    """Put the centres where k-means finds them among the codes of these rows, if there are enough of them."""
    z = autoencoder.eval().encode(rows.x, rows.given).z.flatten(1)
    if len(z.unique(dim=0)) >= len(price.centres):
        with threadpool_limits(1):
            means = KMeans(len(price.centres), n_init=STARTS, random_state=seed % 2**32).fit(z.numpy())
        price.centres.copy_(torch.from_numpy(means.cluster_centers_))


@torch.no_grad()
def _unwhiten(straight: Autoencoder) -> None:
    """Give the numbers of the code the spreads that the rows have in their directions, over the root of their mean
    square: distances between codes then are those between rows, and the code is of unit variance overall.
    """
    there: nn.Linear = straight.encoder.layers[-1]  # type: ignore[assignment, index]
    back: nn.Linear = straight.decoder.layers[0]  # type: ignore[assignment, index]
    latent = there.out_features
    spread = back.weight[:, :latent].norm(dim=0)
    factor = torch.where(spread > 0, spread * spread.square().mean().clamp_min(TINY).rsqrt(), 1.0)
    there.weight.mul_(factor.unsqueeze(1))
    there.bias.mul_(factor)
    back.weight[:, :latent] /= factor


@torch.no_grad()
def _shrink(network: nn.Module) -> None:
    """Make what comes out of ``network`` small, by the weights of its last layer."""
    last = [each for each in network.modules() if getattr(each, "weight", None) is not None][-1]
    last.get_parameter("weight").mul_(SMALL)
