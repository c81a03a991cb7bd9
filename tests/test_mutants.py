"""Each law is seen to fail on a variant with the mistake it is there for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor, nn

from diabolo import checks
from diabolo.autoencoder import Autoencoder, Bottleneck, Code, Penalty, Reconstruction
from diabolo.bottlenecks import Gaussian, Plain, Quantised
from diabolo.checks import KINDS, Case, check_variant
from diabolo.errors import DiaboloError, InvalidParameter, LawBroken
from diabolo.likelihoods import Columnwise
from diabolo.networks import Decoder, Encoder, Given
from diabolo.params import Count, NonNegative
from diabolo.schema import Schema
from diabolo.variants import VAE, Deep, Vanilla


class Built(Deep):
    """A variant whose bottleneck, penalty or decoder a test replaces."""

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(self.latent)


class Clamped(Gaussian):
    def forward(self, h: Tensor) -> Code:
        code = super().forward(h)
        return Code(code.z, {"kl": code.costs["kl"].clamp(max=1e-3)}, posterior=code.posterior)


class Averaged(Gaussian):
    def forward(self, h: Tensor) -> Code:
        code = super().forward(h)
        return Code(code.z, {"kl": code.costs["kl"].mean()})


class AveragedAndSpread(Gaussian):
    def forward(self, h: Tensor) -> Code:
        code = super().forward(h)
        return Code(code.z, {"kl": code.costs["kl"].mean().expand(len(h))})


class AlwaysDrawn(Gaussian):
    def forward(self, h: Tensor) -> Code:
        training, self.training = self.training, True
        code = super().forward(h)
        self.training = training
        return code


class Unlearned(Quantised):
    def forward(self, h: Tensor) -> Code:
        code = super().forward(h)
        return Code(code.z, {name: each.detach() + h.sum() * 0 for name, each in code.costs.items()})


class UnlearnedBook(Quantised):
    def forward(self, h: Tensor) -> Code:
        points, learned, self.learned = h, self.learned, False
        code = super().forward(points)
        self.learned = learned
        return code

    def _follow(self, points: Tensor, tokens: Tensor) -> None:
        """Nothing moves the codebook."""


class Centred(Plain):
    def forward(self, h: Tensor) -> Code:
        return Code(h - h.mean(0), {})


class Counting(Plain):
    def forward(self, h: Tensor) -> Code:
        self.seen = getattr(self, "seen", 0) + self.training  # not in the weights
        return Code(h * (1 + self.seen), {})


class Restless(Quantised):
    def forward(self, h: Tensor) -> Code:
        training, self.training = self.training, True  # so that scoring, too, moves the codebook
        code = super().forward(h)
        self.training = training
        return code


def with_bottleneck(make: Callable[[], Bottleneck]) -> type[Deep]:
    class Mutant(Built):
        def bottleneck(self, width: int) -> Bottleneck:
            return make()

    return Mutant


def with_networks(change: Callable[[Encoder, Decoder], None]) -> type[Deep]:
    class Mutant(Built):
        def networks(
            self, schema: Schema, bottleneck: Bottleneck, likelihood: Columnwise, flags: bool
        ) -> tuple[Encoder, Decoder]:
            encoder, decoder = super().networks(schema, bottleneck, likelihood, flags)
            change(encoder, decoder)
            return encoder, decoder

    return Mutant


def normalise(encoder: Encoder, decoder: Decoder) -> None:
    encoder.layers.append(nn.BatchNorm1d(8))


def unused(encoder: Encoder, decoder: Decoder) -> None:
    encoder.spare = nn.Linear(2, 2)


def broken(law: Callable[[Case], None], variant: type[Deep]) -> str:
    with pytest.raises(LawBroken) as caught:
        law(Case(variant(), "row", KINDS["row"]))
    assert str(law.__doc__) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "law, mutant",
    [
        (checks.every_cost_reaches_the_encoder, with_bottleneck(lambda: Clamped(8))),
        (checks.every_cost_reaches_the_encoder, with_bottleneck(lambda: Unlearned(8, 4))),
        (checks.costs_are_per_row, with_bottleneck(lambda: Averaged(8))),
        (checks.rows_do_not_leak, with_bottleneck(lambda: AveragedAndSpread(8))),
        (checks.a_row_scores_alone, with_bottleneck(lambda: AveragedAndSpread(8))),
        (checks.scoring_repeats, with_bottleneck(lambda: AlwaysDrawn(8))),
        (checks.scoring_repeats, with_bottleneck(lambda: Restless(8, 4))),
        (checks.every_parameter_learns, with_bottleneck(lambda: UnlearnedBook(8, 4, update="gradient"))),
        (checks.every_parameter_learns, with_networks(unused)),
        (checks.a_row_scores_alone, with_bottleneck(lambda: Centred(8))),
        (checks.rows_do_not_leak, with_bottleneck(lambda: Centred(8))),
        (checks.rows_do_not_leak, with_networks(normalise)),
        (checks.weights_round_trip, with_bottleneck(lambda: Counting(8))),
    ],
)
def test_part_that_breaks_a_law(law: Callable[[Case], None], mutant: type[Deep]) -> None:
    assert "Mutant" in broken(law, mutant)


@pytest.mark.parametrize("part", [lambda: Plain(8), lambda: Gaussian(8), lambda: Quantised(8, 4, update="gradient")])
def test_the_same_variant_without_a_mistake_breaks_none(part: Callable[[], Bottleneck]) -> None:
    for law in checks.LAWS:
        law(Case(with_bottleneck(part)(), "row", KINDS["row"]))


def with_trip(change: Callable[[Reconstruction], Reconstruction]) -> Callable[..., Reconstruction]:
    whole = Autoencoder.forward
    return lambda self, x, given=None: change(whole(self, x, given))


def changed(trip: Reconstruction, **parts: Tensor) -> Reconstruction:
    return Reconstruction(**{**trip.__dict__, **parts})


@pytest.mark.parametrize(
    "law, change, found",
    [
        (checks.errors_add_up, lambda trip: changed(trip, nll=trip.errors.flatten(1).mean(1)), "gap"),
        (checks.errors_add_up, lambda trip: changed(trip, errors=trip.errors.flatten(1).sum(1)), "shape"),
        (checks.costs_are_per_row, lambda trip: changed(trip, nll=trip.nll.sum()), "nll of shape ()"),
        (checks.costs_are_per_row, lambda trip: changed(trip, nll=trip.nll / 0), "not finite"),
        (checks.a_row_scores_alone, lambda trip: changed(trip, nll=trip.nll - trip.nll.mean()), "nll of row 0"),
        (checks.missing_values_cost_nothing, lambda trip: changed(trip, errors=trip.errors + 1), "not 0"),
        (checks.missing_values_cost_nothing, lambda trip: changed(trip, nll=trip.nll + 1), "nats for a row"),
    ],
)
def test_trip_that_breaks_a_law(
    law: Callable[[Case], None],
    change: Callable[[Reconstruction], Reconstruction],
    found: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    law(Case(Vanilla(), "row", KINDS["row"]))
    monkeypatch.setattr(Autoencoder, "forward", with_trip(change))
    assert found in broken(law, Vanilla)


@pytest.mark.parametrize(
    "name, change, found",
    [
        ("whole", lambda whole: lambda self, learned, x: whole(self, learned, x) + 1, "an error that is not 0"),
        ("whole", lambda whole: lambda self, learned, x: whole(self, learned, x.roll(1, 0)), "corrupted value"),
        ("forward", lambda read: lambda self, x: (read(self, x)[0], 0 * read(self, x)[1]), "whatever is given"),
    ],
)
def test_given_columns_that_are_not_told(
    name: str, change: Callable[..., Any], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    law, case = checks.given_columns_are_told, Case(Vanilla(), "conditional table", KINDS["conditional table"])
    law(case)
    monkeypatch.setattr(Given, name, change(getattr(Given, name)))
    with pytest.raises(LawBroken, match=found):
        law(case)


def test_missing_values_that_poison_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classic: errors computed on NaN and masked afterwards give gradients of NaN."""

    def masked_late(self: Autoencoder, output: Tensor, x: Tensor, observed: Tensor, judged: Tensor) -> Tensor:
        return torch.where(observed, self.likelihood.errors(output, x), 0.0)

    monkeypatch.setattr(Autoencoder, "_errors", masked_late)
    assert "not finite" in broken(checks.missing_values_cost_nothing, Vanilla)


class Ignoring(VAE):
    strength: Annotated[NonNegative, "read by nobody"] = 1.0


class ReadByChoice(Vanilla):
    """The parameter matters only where the code is overcomplete: no mistake."""

    extra: Annotated[Count, "more code numbers"] = 1

    def bottleneck(self, width: int) -> Bottleneck:
        return Plain(self.latent + self.extra) if self.overcomplete else Plain(2)


def test_parameter_that_nobody_reads() -> None:
    with pytest.raises(LawBroken, match="'strength' that changes nothing"):
        check_variant(Ignoring(), kinds=["row"])


def test_parameter_that_matters_under_a_choice() -> None:
    checks.every_parameter_matters([Case(ReadByChoice(), "row", KINDS["row"])])


def test_penalty_that_forgets_the_encoder() -> None:
    class Detached(Penalty):
        name = "detached"

        def forward(self, autoencoder: Autoencoder, trip: Reconstruction) -> Tensor:
            return trip.code.z.detach().square().sum(1)

    class Mutant(Built):
        def penalties(self) -> list[Penalty]:
            return [Detached()]

    assert "no gradient from detached" in broken(checks.every_cost_reaches_the_encoder, Mutant)


def test_check_variant_runs_every_law_and_names_the_data() -> None:
    with pytest.raises(DiaboloError, match="on the image"):
        check_variant(with_bottleneck(lambda: AlwaysDrawn(8))(), kinds=["image"])
    with pytest.raises(InvalidParameter, match="row, image, sequence, mixed table, conditional table"):
        check_variant(Vanilla(), kinds=["audio"])


def test_checking_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    check_variant(VAE(), kinds=["row"])
    assert torch.equal(torch.rand(1), expected)
