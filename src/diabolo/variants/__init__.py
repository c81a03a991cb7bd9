"""Every variant of the autoencoder, each a choice of parts; this folder is the one place to add one.

    corruption -> encoder -> bottleneck -> decoder -> likelihood, and penalties

A variant holds numbers and no weights; ``build(schema)`` makes the autoencoder. All costs are nats per row: ``beta``,
``weight`` and ``alpha`` are relative to a log-likelihood summed over the values of a row, not to a mean squared error.
A file per family; what it lists in ``__all__`` has a name everywhere.
"""

from __future__ import annotations

from diabolo.variants import adversarial, constrained, dictionary, discrete, posteriors, variational
from diabolo.variants.adversarial import *
from diabolo.variants.constrained import *
from diabolo.variants.dictionary import *
from diabolo.variants.discrete import *
from diabolo.variants.posteriors import *
from diabolo.variants.variant import Deep as Deep
from diabolo.variants.variant import Variant as Variant
from diabolo.variants.variational import *

FAMILIES = (constrained, variational, posteriors, discrete, adversarial, dictionary)


def named() -> dict[str, type[Variant]]:
    """Every variant of the house by name, family by family.

    >>> named()["VAE"]().latent
    8
    """
    return {name: getattr(family, name) for family in FAMILIES for name in family.__all__}
