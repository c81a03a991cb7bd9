"""Every variant of the autoencoder, each a choice of parts; this file is the one place to add one.

    corruption -> encoder -> bottleneck -> decoder -> likelihood, and penalties

A variant holds numbers and no weights; ``build(schema)`` makes the autoencoder. All costs are nats per row: ``beta``,
``weight`` and ``alpha`` are relative to a log-likelihood summed over the values of a row, not to a mean squared error.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal, cast, final

import torch
from torch import Tensor, nn

from diabolo import linear, penalties
from diabolo.autoencoder import Autoencoder, Bottleneck, Penalty
from diabolo.bottlenecks import FiniteScalar, Gaussian, Plain, Quantised, TopK
from diabolo.corruptions import GaussianNoise, Hide, HidePatches, SaltPepper, SwapRows
from diabolo.ensemble import Ensemble
from diabolo.likelihoods import Columnwise, Scale, fitting
from diabolo.networks import Decoder, Encoder, Layers, mirror
from diabolo.networks.dense import Activation
from diabolo.params import Count, Fraction, Natural, NonNegative, Params, Positive, Within
from diabolo.penalties import L1, Adversary, MeanDiscrepancy, Sparsity, TotalCorrelation
from diabolo.schedules import Anneal
from diabolo.schema import Schema

if TYPE_CHECKING:
    from diabolo.batches import Batches
    from diabolo.trainer import Epoch, Trainer

__all__ = [
    "FSQ",
    "IWAE",
    "VAE",
    "VQVAE",
    "Adversarial",
    "BetaTCVAE",
    "Contractive",
    "Denoising",
    "InfoVAE",
    "KSparse",
    "Linear",
    "Masked",
    "Sparse",
    "Vanilla",
]


def named() -> dict[str, type[Variant]]:
    """Every variant of the house by name.

    >>> named()["VAE"]().latent
    8
    """
    return {name: globals()[name] for name in __all__}


class Variant(Params, ABC):
    """A recipe for an autoencoder; subclasses choose the parts in the hooks below ``build``."""

    latent: Annotated[Count, "numbers in the code"] = 8
    scale: Annotated[Scale, "spread of number columns: learned per column, 1 (squared error), or per value"] = "learned"

    @final
    def build(self, schema: Schema) -> Autoencoder:
        """A new autoencoder for rows of this schema; its weights come from torch's random state.

        Raises InvalidParameter for a parameter outside its allowed values.

        >>> from diabolo.schema import numbers
        >>> VAE(latent=2).build(numbers(5)).bottleneck.latent
        2
        """
        self.check_params()
        members = [self._member(schema) for _ in range(self.members)]
        # An ensemble answers all that trainers and tasks ask of an autoencoder.
        return members[0] if len(members) == 1 else cast(Autoencoder, Ensemble(members))

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
        """Train what ``build`` made; one Epoch per pass over the rows, best weights left in the autoencoder."""
        return trainer.fit(autoencoder, train, valid, seed=seed, on_epoch=on_epoch)

    @abstractmethod
    def bottleneck(self, width: int) -> Bottleneck:
        """What passes the waist of rows of ``width`` numbers."""

    def corruption(self, schema: Schema) -> nn.Module | None:
        """What is done to rows in training before the encoder sees them."""
        return None

    def penalties(self) -> list[Penalty]:
        """Prices in training beyond the likelihood and the code's own costs."""
        return []

    def likelihood(self, schema: Schema) -> Columnwise:
        """How probable values are: per column what the schema names."""
        return fitting(schema, scale=self.scale)

    def judged(self, schema: Schema) -> Tensor | None:
        """In which turn each value is hidden to be judged; None where values are judged while they are seen."""
        return None

    @property
    def samples(self) -> int:
        """Codes drawn per row in training."""
        return 1

    @property
    def members(self) -> int:
        """Autoencoders trained side by side."""
        return 1

    def _member(self, schema: Schema) -> Autoencoder:
        corruption, likelihood = self.corruption(schema), self.likelihood(schema)
        bottleneck = self.bottleneck(cells(schema))
        flags = schema.missing or getattr(corruption, "hides", False)
        encoder, decoder = self.networks(schema, bottleneck, likelihood, flags)
        return Autoencoder(
            encoder,
            bottleneck,
            decoder,
            likelihood,
            corruption=corruption,
            penalties=self.penalties(),
            samples=self.samples,
            turns=self.judged(schema),
        )

    @abstractmethod
    def networks(
        self, schema: Schema, bottleneck: Bottleneck, likelihood: Columnwise, flags: bool
    ) -> tuple[Encoder, Decoder]:
        """Encoder and decoder; with ``flags`` the encoder sees where values are missing."""


class Deep(Variant, ABC):
    """A variant with hidden layers."""

    hidden: Annotated[tuple[Count, ...], "units of the encoder's hidden layers (channels on images); mirrored"] = (
        64,
        32,
    )
    activation: Annotated[Activation, "what stands between the layers"] = "silu"
    members: Annotated[Count, "networks trained side by side as one batched network; their errors are averaged"] = 1

    @property
    def tied(self) -> bool:
        """Whether the decoder has the encoder's weights."""
        return False

    def networks(
        self, schema: Schema, bottleneck: Bottleneck, likelihood: Columnwise, flags: bool
    ) -> tuple[Encoder, Decoder]:
        """Dense layers for tables, convolutions for series and images."""
        sizes = (bottleneck.width, bottleneck.latent, likelihood.width)
        layers = Layers(self.activation, tied=self.tied)
        return mirror(schema, self.hidden, *sizes, grid=bottleneck.grid, flags=flags, layers=layers)


class Linear(Variant):
    """Principal components: the autoencoder without hidden layers, solved in closed form without a training loop.

    For baselines, and often as good as a network (Baldi & Hornik, 1989; Tipping & Bishop, 1999). A code is at most
    half as wide as the row, so that there is something left to find.
    """

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(at_most_half(self.latent, width))

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

    For compression and embedding without assumptions. Tied weights halve the parameters (Vincent et al., 2010).
    """

    overcomplete: Annotated[bool, "allow a code wider than half the row"] = False
    tied: Annotated[bool, "let the decoder use the encoder's weights"] = False

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(self.latent if self.overcomplete else at_most_half(self.latent, width))


class Denoising(Deep):
    """Restore rows from noise, which draws them to where data is dense (Vincent et al., 2010, JMLR 11).

    For anomaly detection and denoising: what is far from the data is not restored.
    """

    noise: Annotated[Literal["gaussian", "salt_pepper", "swap"], "normal noise, extremes, or other rows' values"] = (
        "gaussian"
    )
    strength: Annotated[Fraction, "standard deviations of normal noise, else the share of values replaced"] = 0.2

    def corruption(self, schema: Schema) -> nn.Module:
        if self.noise == "swap":
            return SwapRows(self.strength)
        return (GaussianNoise if self.noise == "gaussian" else SaltPepper)(schema, self.strength)

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(self.latent)


class Masked(Deep):
    """Restore hidden values from the others (He et al., 2022, arXiv:2111.06377; on tables Pathak et al., 2016).

    For anomaly detection, imputation and data with missing values: hidden and missing are one thing to the encoder,
    and a value is judged only while it is hidden, by ``-log p(value | values of other turns)``.
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

    def corruption(self, schema: Schema) -> nn.Module:
        return HidePatches(self.share, self.patch) if self.patch > 1 else Hide(self.share, self.least)

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(self.latent)

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


class VAE(Deep):
    """A distribution per row, held near the prior (Kingma & Welling, 2014, arXiv:1312.6114).

    For generating rows, and for scores that bound -log p of a row; with ``beta`` other than 1 it is the beta-VAE
    (Higgins et al., 2017).
    """

    beta: Annotated[Positive, "price of a nat of information in the code"] = 1.0
    free: Annotated[NonNegative, "nats per code number that are always paid, so that using them costs no more"] = 0.0
    warmup: Annotated[Natural, "training batches until the full price"] = 0

    def bottleneck(self, width: int) -> Bottleneck:
        return Gaussian(self.latent, Anneal(0.0, self.beta, self.warmup), self.free)


class BetaTCVAE(VAE):
    """A VAE that pays extra only for dependence between code numbers (Chen et al., 2018, arXiv:1802.04942).

    For codes whose numbers mean one thing each.
    """

    weight: Annotated[NonNegative, "extra price of a nat of total correlation"] = 5.0

    def penalties(self) -> list[Penalty]:
        return [TotalCorrelation(self.weight)]


class IWAE(Deep):
    """A VAE with several draws per row, weighed by how well they explain it (Burda et al., 2016, arXiv:1509.00519).

    For tighter bounds on log p and richer codes than the VAE's. Draws are made in training; scores use the mean code.
    """

    samples: Annotated[Count, "codes drawn per row in training"] = 8

    def bottleneck(self, width: int) -> Bottleneck:
        return Gaussian(self.latent)


class InfoVAE(Deep):
    """A VAE whose codes, all together, match the prior while each may stay informative (Zhao et al., 2019,
    arXiv:1706.02262).

    For generation where the VAE's code collapses. The paper's objective: ``(1 - alpha) KL + (alpha + weight - 1) MMD``.
    """

    alpha: Annotated[Fraction, "how much of the price on each row's information is waived"] = 0.5
    weight: Annotated[float, Within(1), "the paper's lambda: price of the discrepancy from the prior"] = 20.0
    kernel: Annotated[Literal["imq", "gaussian"], "how codes are compared: with heavy or light tails"] = "imq"

    def bottleneck(self, width: int) -> Bottleneck:
        return Gaussian(self.latent, 1 - self.alpha)

    def penalties(self) -> list[Penalty]:
        return [MeanDiscrepancy(self.alpha + self.weight - 1, self.kernel)]


class VQVAE(Deep):
    """A code of indices into learned codebooks (van den Oord et al., 2017, arXiv:1711.00937).

    For compression and discrete tokens: ``heads`` of them per row of a table, per place of the grid of an image.
    """

    codes: Annotated[int, Within(2), "vectors in each codebook"] = 64
    heads: Annotated[Count, "tokens per row or place; must divide latent"] = 4
    update: Annotated[Literal["ema", "gradient"], "codebook follows its points, or is trained with the rest"] = "ema"
    commitment: Annotated[Positive, "nats per squared distance of the encoder from its vector"] = 0.25

    def bottleneck(self, width: int) -> Bottleneck:
        return Quantised(self.latent, self.codes, self.heads, update=self.update, commitment=self.commitment)


class FSQ(Deep):
    """A code of rounded numbers: tokens without a codebook to learn (Mentzer et al., 2023, arXiv:2309.15505).

    For compression and discrete tokens where a VQVAE leaves codes unused.
    """

    levels: Annotated[int, Within(2), "values each code number can take"] = 5

    def bottleneck(self, width: int) -> Bottleneck:
        return FiniteScalar([self.levels] * self.latent)


class Adversarial(Deep):
    """Codes that a critic cannot tell from draws of the prior (Makhzani et al., 2015, arXiv:1511.05644).

    For generation with a code that is a point, not a distribution.
    """

    weight: Annotated[NonNegative, "nats paid for a code that the critic recognises"] = 1.0
    critic: Annotated[tuple[Count, ...], "units of the critic's hidden layers"] = (64, 64)

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(self.latent)

    def penalties(self) -> list[Penalty]:
        return [Adversary(self.latent, self.critic, self.weight)]


def in_turn(schema: Schema, turns: int, patch: int = 1) -> Tensor:
    """The turn of each value of a row, in no order that the columns could know; a patch of a grid has one turn."""
    places = [-(-size // patch) for size in schema.grid] if schema.grid else [len(schema.columns)]
    count = math.prod(places)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0), device="cpu")
    turn = (order % min(turns, count)).view(places)
    for axis, size in enumerate(schema.grid):
        turn = turn.repeat_interleave(patch, axis).narrow(axis, 0, size)
    return turn.expand(schema.shape).clone()


def cells(schema: Schema) -> int:
    """How many numbers the encoder sees of a row."""
    return sum(column.width for column in schema.columns) * math.prod(schema.grid)


def at_most_half(latent: int, width: int) -> int:
    """``latent``, or half of ``width`` where that is less."""
    return max(1, min(latent, width // 2))
