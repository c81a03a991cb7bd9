"""Variant: a recipe for an autoencoder, and what most recipes share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, cast, final

import torch
from torch import Tensor, nn

from diabolo.autoencoder import Autoencoder, Bottleneck, Bound, Penalty
from diabolo.ensemble import Ensemble
from diabolo.errors import InvalidParameter
from diabolo.likelihoods import Columnwise, Scale, fitting
from diabolo.networks import Decoder, Encoder, Given, Layers, mirror
from diabolo.networks.dense import Activation, Network, Normalisation
from diabolo.params import Count, Params, Within
from diabolo.schema import Schema

if TYPE_CHECKING:
    from diabolo.batches import Batches
    from diabolo.trainer import Epoch, Trainer

Shapes = dict[str, tuple[int, ...]]


class Variant(Params, ABC):
    """A recipe for an autoencoder; subclasses choose the parts in the hooks below ``build``."""

    purpose: ClassVar[str] = ""  # what codes are for, where restoring rows from them does not tell how good they are
    latent: Annotated[Count, "numbers in the code"] = 8
    scale: Annotated[Scale, "spread of number columns: learned per column, 1 (squared error), or per value"] = "learned"

    @final
    def build(self, schema: Schema) -> Autoencoder:
        """A new autoencoder for rows of this schema; its weights come from torch's random state.

        The hooks are asked about the learned columns: their schema has none that is given, but so many conditions.
        Raises InvalidParameter for a parameter outside its allowed values, and where torch's default is not 32 bits.

        >>> from diabolo.schema import numbers
        >>> from diabolo.variants import VAE
        >>> VAE(latent=2).build(numbers(5)).bottleneck.latent
        2
        """
        self.check_params()
        if torch.get_default_dtype() != torch.float32:
            raise InvalidParameter(
                f"Rows are read in 32 bits, and torch makes weights of {torch.get_default_dtype()} here. Build inside "
                "torch.set_default_dtype(torch.float32), and set it back behind."
            )
        members = [self._member(schema) for _ in range(self.members)]
        # An ensemble answers all that trainers and tasks ask of an autoencoder.
        return members[0] if len(members) == 1 else cast(Autoencoder, Ensemble(members))

    def shapes(self, schema: Schema) -> Shapes:
        """The shapes of the weights of what ``build`` makes, for which one member is made, however many there are.

        >>> from diabolo.schema import numbers
        >>> from diabolo.variants import Vanilla
        >>> Vanilla(hidden=(), members=3).shapes(numbers(5))["stack.encoder.layers.0.weight"]
        (3, 2, 5)
        """
        self.check_params()
        own = shapes(self._member(schema).state_dict())
        return own if self.members == 1 else {f"stack.{name}": (self.members, *each) for name, each in own.items()}

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

    def critics(self, schema: Schema) -> list[Penalty]:
        """Prices set by networks that read rows, beyond ``penalties``."""
        return []

    def likelihood(self, schema: Schema) -> Columnwise:
        """How probable values are: per column what the schema names."""
        return fitting(schema, scale=self.scale)

    def judged(self, schema: Schema) -> Tensor | None:
        """In which turn each value is hidden to be judged; None where values are judged while they are seen."""
        return None

    def bound(self) -> Bound:
        """How many codes are drawn per row in training, and how their costs become one."""
        return Bound()

    @property
    def members(self) -> int:
        """Autoencoders trained side by side."""
        return 1

    def _member(self, schema: Schema) -> Autoencoder:
        conditions = Given(schema)
        schema = conditions.learned
        corruption, likelihood = self.corruption(schema), self.likelihood(schema)
        bottleneck = self.bottleneck(cells(schema))
        flags = schema.missing or getattr(corruption, "hides", False)
        encoder, decoder = self.networks(schema, bottleneck, likelihood, flags)
        autoencoder = Autoencoder(
            encoder,
            bottleneck,
            decoder,
            likelihood,
            corruption=corruption,
            penalties=[*self.penalties(), *self.critics(schema)],
            bound=self.bound(),
            turns=self.judged(schema),
        )
        return autoencoder.reading(conditions if conditions.width else None)

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
    network: Annotated[Network, "residual: two more layers at each; patches: a transformer on series and images"] = (
        "plain"
    )
    activation: Annotated[Activation, "what stands between the layers; gdn divides each by the others"] = "silu"
    normalisation: Annotated[Normalisation, "layer: a hidden layer's numbers get mean 0 and deviation 1"] = "none"
    dropout: Annotated[
        float, Within(0, 0.95), "share of hidden units that are switched off in training, drawn for each row"
    ] = 0.0
    members: Annotated[Count, "networks trained side by side as one batched network; their errors are averaged"] = 1

    @property
    def tied(self) -> bool:
        """Whether the decoder has the encoder's weights."""
        return False

    def networks(
        self, schema: Schema, bottleneck: Bottleneck, likelihood: Columnwise, flags: bool
    ) -> tuple[Encoder, Decoder]:
        """Dense layers for tables, convolutions or patches for series and images."""
        sizes = (bottleneck.width, bottleneck.latent, likelihood.width)
        layers = Layers(self.activation, self.dropout, self.normalisation, tied=self.tied, network=self.network)
        return mirror(schema, self.hidden, *sizes, grid=bottleneck.grid, flags=flags, layers=layers)


def shapes(weights: Mapping[str, Tensor]) -> Shapes:
    """The shape of each tensor."""
    return {name: tuple(each.shape) for name, each in weights.items()}


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
