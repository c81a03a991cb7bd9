r"""The linear autoencoder, solved in closed form: principal components, without a training loop.

::

    f = features(x)                               as the encoder sees a row, missing values filled
    f - B [1, given] = residual r                 least squares on the conditions; without any, r = f - mean;
                                                  with some, r = 0 where a value is missing
    covariance of r = V L V^T                     the largest ``latent`` eigenvalues
    z = L^-1/2 V^T r                              encoder: codes are uncorrelated and of unit variance
    f' = V L^1/2 z + B [1, given]                 decoder: their prior is the standard normal

The minimum of the squared error over all linear autoencoders spans the same subspace (Baldi and Hornik, 1989); with a
scale of the residuals per column it gives a likelihood. Probabilistic PCA (Tipping and Bishop, 1999) would have L less
the mean of the eigenvalues left out in place of L, and its reconstructions would be shrunk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from diabolo.autoencoder import Autoencoder
from diabolo.batches import Batches
from diabolo.errors import InvalidData
from diabolo.likelihoods import Columnwise
from diabolo.networks import Decoder, Encoder, Features
from diabolo.networks.dense import started
from diabolo.schema import Schema

if TYPE_CHECKING:
    from jaxtyping import Float

SIZE, FEWEST = 8192, 64  # rows per batch, and where these would be more than CELLS values
WIDE = 1024  # features from which a covariance matrix costs more than walking over the rows again
FEW = 2048  # rows whose products with one another cost less than walking over them again
CELLS = 2**24  # values of a batch, and values looked at for the scales of the residuals
PASSES = 8  # walks over the rows that the leading eigenvectors of a wide covariance take
SPARE = 16  # vectors more than asked for in these walks, so that the last ones asked for converge
LEAST = 0.05  # of the spread of numbers, that conditions are taken to leave
NEGLIGIBLE = 1e-10  # of the largest eigenvalue: variance that is rounding


class Link(nn.Module):
    """From features to what the likelihood reads; without parameters of its own."""

    def __init__(self, features: Features, likelihood: Columnwise) -> None:
        super().__init__()
        self._both = features, likelihood  # in a tuple, so that they stay parts of their owners only

    def forward(self, features: Tensor) -> Tensor:
        seen, likelihood = self._both
        return likelihood.link(seen.values(features))


class Rest(nn.Module):
    """Features less what conditions explain of them. Of a missing value nothing is left: it is what they say."""

    owner: Tensor

    def __init__(self, features: Features, cells: int, given: int) -> None:
        super().__init__()
        self.widths = [features.values_width * cells, features.columns * cells, given]
        self.told = nn.Linear(given, self.widths[0])
        started(self.told, 1.0)
        self.register_buffer("owner", features.owners(cells), persistent=False)

    def forward(self, seen: Float[Tensor, "n features+flags+given"]) -> Float[Tensor, "n features"]:
        features, missing, given = seen.split(self.widths, 1)
        return (features - self.told(given)) * (1 - missing.index_select(1, self.owner))


def mirror(schema: Schema, latent: int, likelihood: Columnwise) -> tuple[Encoder, Decoder]:
    r"""One matrix to ``latent`` numbers and one back to the features, with the likelihood's link behind it.

    Shapes: x (n, columns, \*grid) to h (n, latent) and z (n, latent) to (n, likelihood.width, \*grid).

    >>> from diabolo.likelihoods import fitting
    >>> from diabolo.schema import numbers
    >>> encoder, decoder = mirror(numbers(4), 2, fitting(numbers(4)))
    >>> decoder(encoder(torch.zeros(3, 4))).shape
    torch.Size([3, 4])
    """
    features, cells = Features(schema, flags=schema.given > 0), math.prod(schema.grid)
    wide = features.values_width * cells
    there = started(nn.Linear(wide, latent), 1.0)
    back = started(nn.Linear(latent + schema.given, wide), 1.0)
    layers = [*([Rest(features, cells, schema.given)] if schema.given else []), there]
    encoder = Encoder(features, nn.Sequential(*layers), schema.given, flat=bool(schema.grid))
    shape = [nn.Unflatten(1, (features.values_width, *schema.grid))] if schema.grid else []
    return encoder, Decoder(nn.Sequential(back, *shape, Link(features, likelihood)), schema.given)


@torch.no_grad()
def solve(autoencoder: Autoencoder, batches: Batches) -> None:
    """Set the weights of a linear autoencoder, and the scales of its likelihood, from ``batches``.

    Up to 1024 features one walk over the rows is enough; beyond, a few walks. What is kept in memory grows with the
    features, never with the rows. At least one direction is left to the residuals: a code as wide as the rows would
    explain every row alike. Codes that the data do not need stay 0. Raises InvalidData without rows.
    """
    autoencoder.eval()
    there: nn.Linear = autoencoder.encoder.layers[-1]  # type: ignore[assignment, index]
    back: nn.Linear = autoencoder.decoder.layers[0]  # type: ignore[assignment, index]
    size = max(FEWEST, min(SIZE, -(-CELLS // back.out_features)))
    rows = Residuals(autoencoder, batches, size)
    variance, axes = rows.components(min(there.out_features, rows.width - 1))
    kept = variance > NEGLIGIBLE * variance.sum()
    first: nn.Module = autoencoder.encoder.layers[0]  # type: ignore[assignment, index]
    rest = first.told if isinstance(first, Rest) else None
    encode, decode = axes[:, kept] * variance[kept].rsqrt(), axes[:, kept] * variance[kept].sqrt()
    _write((rest, there, back), rows.trend, encode, decode)
    _solve_likelihood(autoencoder, batches, size)


class Residuals:
    """The features of rows less what the conditions explain of them, in double precision, ``size`` rows at a time.

    ``trend`` (1 + given, width) holds the coefficients of [1, given]; without conditions it is the mean.
    """

    def __init__(self, autoencoder: Autoencoder, batches: Batches, size: int) -> None:
        self.autoencoder, self.batches, self.size = autoencoder, batches, size
        self.encoder: Encoder = autoencoder.encoder  # type: ignore[assignment]
        self.count, self.moments = self._add_up()
        design = 1 + self.encoder.given
        self.width = self.moments.shape[1] - design
        self.weight = self.moments[0, 0]
        across = self.moments[:design]
        self.trend = coefficients(across[:, :design], across[:, design:])

    def components(self, count: int) -> tuple[Tensor, Tensor]:
        """The ``count`` largest variances (count,), falling, and their directions (width, count)."""
        if self.width <= WIDE:
            variance, axes = self._from_covariance()
        elif self.count <= FEW:
            variance, axes = self._from_products()
        else:
            variance, axes = self._from_walks(count)
        variance, axes = variance.flip(0)[:count].clamp_min(0), axes.flip(1)[:, :count]
        top = axes.gather(0, axes.abs().argmax(0, keepdim=True))
        return variance, axes * torch.where(top < 0, -1.0, 1.0)  # the largest loading is positive, on any machine

    def _add_up(self) -> tuple[int, Tensor]:
        """Rows, and the sums of products of [1, given, features]: all of them, or of [1, given] where wide."""
        count, moments = 0, None
        for design, features, weight in self._walk():
            joint = torch.cat((design, features), 1)
            left = joint if features.shape[1] <= WIDE else design
            product = left.T @ (weight * joint)
            moments = product if moments is None else moments + product
            count += len(features)
        if moments is None or not moments[0, 0] > 0:
            raise InvalidData("A linear autoencoder is solved from rows of positive weight. Got none: pass some.")
        return count, moments

    def _from_covariance(self) -> tuple[Tensor, Tensor]:
        design = len(self.trend)
        explained = self.moments[design:, :design] @ self.trend
        return eigen((self.moments[design:, design:] - explained) / self.weight)

    def _from_products(self) -> tuple[Tensor, Tensor]:
        """From the products of the rows with one another: few rows, many features."""
        rows = torch.cat([residual * weight.sqrt() for residual, weight in self._residuals()])
        variance, axes = eigen(rows @ rows.T / self.weight)
        kept = variance > NEGLIGIBLE * variance.sum()
        return variance[kept], rows.T @ axes[:, kept] * (variance[kept] * self.weight).rsqrt()

    def _from_walks(self, count: int) -> tuple[Tensor, Tensor]:
        """By subspace iteration, one walk over the rows per step (Halko, Martinsson and Tropp, 2011)."""
        start = torch.Generator().manual_seed(0)
        axes = torch.randn(self.width, min(count + SPARE, self.width), generator=start, dtype=torch.float64)
        axes = torch.linalg.qr(axes.to(self.moments.device)).Q
        for _ in range(PASSES):
            image = self._image(axes)
            inner = axes.T @ image / self.weight
            last, axes = axes, torch.linalg.qr(image).Q
        variance, turn = eigen((inner + inner.T) / 2)
        return variance, last @ turn

    def _image(self, axes: Tensor) -> Tensor:
        """The covariance, times the weight, times ``axes``, without the covariance."""
        image = torch.zeros_like(axes)
        for residual, weight in self._residuals():
            image += residual.T @ (weight * (residual @ axes))
        return image

    def _residuals(self) -> Iterator[tuple[Tensor, Tensor]]:
        return ((features - design @ self.trend, weight) for design, features, weight in self._walk())

    def _walk(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """[1, given], features and weight (as a column) of each batch."""
        for batch in self.batches.ordered(self.size):
            x, given = self.autoencoder.apart(batch.x, batch.given)
            features = self.encoder.features.filled(x).flatten(1).double()
            ones = features.new_ones(len(features), 1)
            weight = ones if batch.weight is None else batch.weight.double().view(-1, 1)
            design = ones if not self.encoder.given else torch.cat((ones, _conditions(given)), 1)
            yield design, features, weight


def coefficients(design: Tensor, across: Tensor) -> Tensor:
    """The least-squares coefficients of [1, given], from its products with itself and with what is to be explained."""
    return torch.linalg.pinv(design, hermitian=True) @ across


class Trend:
    """What conditions explain of other numbers: ``[1, given] B``, least squares; and how much they leave.

    ``table`` (1 + given + 1, width) holds B, and below it for each number the share of its spread that is left,
    ``sqrt(1 - R^2)``, at least 0.05.

    >>> given = torch.tensor([[0.0], [1.0], [2.0]])
    >>> Trend.learn(given, 3 * given + 1).rest(given, 3 * given).round(decimals=3).flatten().tolist()
    [-20.0, -20.0, -20.0]
    """

    def __init__(self, table: Tensor) -> None:
        self.table = table

    @classmethod
    def learn(cls, given: Tensor, values: Tensor, weight: Tensor | None = None) -> Trend:
        """From conditions (n, given) and what goes with them (n, width); rows of more weight count for more."""
        design, values = _design(given).double(), values.double()
        share = torch.ones_like(design[:, :1]) if weight is None else weight.double().unsqueeze(1)
        share = share / share.sum()
        found = coefficients((share * design).T @ design, (share * design).T @ values)
        left = (share * (values - design @ found).square()).sum(0)
        whole = (share * (values - (share * values).sum(0)).square()).sum(0)
        kept = torch.where(whole > 0, left / whole, 1.0).sqrt().clamp(LEAST, 1.0)
        return cls(torch.cat((found, kept.unsqueeze(0))).float())

    def rest(self, given: Tensor, values: Tensor) -> Tensor:
        """The values less what the conditions explain, of the spread that they had with it."""
        return torch.addmm(values, _design(given), self.table[:-1], alpha=-1) / self.table[-1]


def _design(given: Tensor) -> Tensor:
    return torch.cat((torch.ones_like(given[:, :1]), given), 1)


def eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, rising, and eigenvectors of a symmetric matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return values, vectors


def _conditions(given: Tensor | None) -> Tensor:
    if given is None:
        raise InvalidData("This model reads conditions. Got none: pass given with the rows.")
    return given.double()


def _write(
    layers: tuple[nn.Linear | None, nn.Linear, nn.Linear], trend: Tensor, encode: Tensor, decode: Tensor
) -> None:
    """Set the layers so that the code is ``encode^T (f - trend)`` and the output ``decode z + trend``.

    The first is what conditions explain; without any, what is explained is the mean, which is the encoder's own offset.
    """
    rest, there, back = layers
    codes, latent = encode.shape[1], there.out_features
    for each in (*there.parameters(), *back.parameters()):
        each.zero_()
    there.weight[:codes] = encode.T.float()
    if rest is None:
        there.bias[:codes] = -(encode.T @ trend[0]).float()
    else:
        rest.weight.copy_(trend[1:].T.float())
        rest.bias.copy_(trend[0].float())
    back.weight[:, :codes] = decode.float()
    back.weight[:, latent:] = trend[1:].T.float()
    back.bias.copy_(trend[0].float())


def _solve_likelihood(autoencoder: Autoencoder, batches: Batches, size: int) -> None:
    """Set the scales from a seeded draw of rows, for which the decoder gives some 2^24 numbers."""
    outputs, rows, weights, left = [], [], [], CELLS
    for batch in batches.shuffled(size, 0, 0):
        batch = batch if batch.weight is None else batch[batch.weight > 0]
        x, given = autoencoder.apart(batch.x, batch.given)
        outputs.append(autoencoder(x, given).output)
        rows.append(x)
        weights.append(batch.weights)
        left -= outputs[-1].numel()
        if left <= 0:
            break
    autoencoder.likelihood.solve(*map(torch.cat, (outputs, rows, weights)))  # type: ignore[operator]
