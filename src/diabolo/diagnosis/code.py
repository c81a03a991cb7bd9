"""What the code shows: whether it holds too little, too much or nothing, and whether all of it is used."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Normal

from diabolo.autoencoder import Autoencoder
from diabolo.diagnosis.case import Case
from diabolo.diagnosis.finding import Finding
from diabolo.networks.dense import ACTIVATIONS

BETTER = 2.0  # times as small an error of a wider linear autoencoder: sound fits stay below 1.6
WORTH = 0.05  # of the variance that is lost: below it no code is too narrow
COPIED = 0.02  # of the variance of scrambled rows that is lost: sound fits lose 0.04 or more
ACTIVE = 0.01  # variance of a posterior mean over the rows (Burda et al., 2016); nats that a choice tells of its row
STILL = 1e-10  # variance of a number or a unit that says nothing
DEAD = 0.5  # share of numbers, or units of a layer, that say nothing
USED = 0.1  # of the choices of a token: perplexity beyond 1, over that of even use


def narrow(case: Case) -> Finding | None:
    """More numbers in the code would help: a linear autoencoder with as many as columns share loses half as much."""
    count = case.spectrum.shared
    if case.choices or not case.has_numbers or not case.varied or count <= case.numbers:
        return None
    told = case.spectrum.restored(case.features(case.judged), count, case.hidden)
    own, wider = case.restored.double(), case.apart(case.judged, told).double()
    gain = own - BETTER * wider
    if own.mean() < WORTH or gain.mean() < 3 * _error(gain):
        return None
    return Finding(
        "narrow code",
        f"A code of {case.numbers} leaves {own.mean():.2g} of the variance of a value unexplained, one of {count} in a "
        f"linear autoencoder {wider.mean():.2g}.",
        "What does not pass the code cannot be restored, judged or made anew.",
        f"Set variant.latent={count} or more.",
    )


def copying(case: Case) -> Finding | None:
    """Rows without sense are restored as well as real ones, so the model has learned to copy."""
    if not case.compresses or case.member.turns is not None or not case.has_numbers or not case.varied:
        return None
    scrambled = _scrambled(case.judged)
    lost = case.away(scrambled, case.autoencoder.best(scrambled))
    if lost.mean() > COPIED or case.spectrum.shared == 0:
        return None
    return Finding(
        "copying",
        f"Rows whose values were scrambled column by column are restored up to {lost.mean():.2g} of their variance, "
        f"real ones up to {case.restored.mean():.2g}.",
        "A model that copies whatever it is given has learned no rule, so its errors tell nothing about a row.",
        f"Set variant.latent below {case.numbers}, or hide or corrupt values in training (variant=Masked, Denoising).",
    )


def collapsed(case: Case) -> Finding | None:
    """The posterior of most numbers of the code is the prior, whatever the row."""
    active = _active(case.trip.code.posterior) if case.varied else None
    if active is None or int(active.sum()) >= max(1, -(-min(len(active), case.spectrum.shared) // 2)):
        return None
    return Finding(
        "posterior collapse",
        f"{int(active.sum())} of {len(active)} parts of the code vary with the row (numbers whose mean has a variance "
        f"above {ACTIVE:g}, or choices that tell {ACTIVE:g} nats).",
        "The decoder does without the code, so that codes, new rows and scores know little of what columns share.",
        "Lower the price of the code (variant.beta), or raise it slowly (variant.warmup) or leave some nats free "
        "(variant.free).",
    )


def dead_numbers(case: Case) -> Finding | None:
    """Most numbers of the code never move."""
    code = case.trip.code
    if case.choices or code.posterior is not None or not case.history or not case.varied:
        return None
    codes = torch.cat([code.z, case.autoencoder.encode(case.train).z]).flatten(1)
    dead = int((codes.var(0) < STILL).sum())
    if dead <= DEAD * codes.shape[1]:
        return None
    return Finding(
        "dead numbers",
        f"{dead} of {codes.shape[1]} numbers of the code are the same for all of {len(codes):,} rows.",
        "Dead numbers cost memory and time and hold nothing; the code is narrower than it looks.",
        f"Set variant.latent near {max(1, codes.shape[1] - dead)}, or lower the price of the code (variant.weight) or "
        "the rate (trainer.lr).",
    )


def dead_units(case: Case) -> Finding | None:
    """Most units of a hidden layer never move."""
    if case.member is not case.autoencoder or not case.varied or _sees_nothing(case.autoencoder):
        return None
    shares = _still_units(case)
    worst = max(range(len(shares)), key=shares.__getitem__, default=0)
    if not shares or shares[worst] <= DEAD:
        return None
    return Finding(
        "dead units",
        f"{shares[worst]:.0%} of the units of hidden layer {worst + 1} of {len(shares)} are the same for all of "
        f"{len(case.judged):,} rows.",
        "A unit that never moves gets no gradient and stays dead, so the network is smaller than it looks.",
        "Lower trainer.lr, or take an activation that does not die (variant.activation=silu).",
    )


def _sees_nothing(autoencoder: Autoencoder) -> bool:
    """Whether all values are hidden in one turn, as that of a single column is."""
    return autoencoder.turns is not None and not autoencoder.turns.any()


def unused_tokens(case: Case) -> Finding | None:
    """A codebook of which hardly any vector is used."""
    tokens, choices = case.trip.code.tokens, min(case.choices, len(case.judged) // 4)
    if tokens is None or choices < 2 or not case.varied:
        return None
    perplexity = torch.stack([_perplexity(each) for each in tokens.unbind(1)]).mean().item()
    if perplexity - 1 >= USED * (choices - 1):
        return None
    return Finding(
        "codebook collapse",
        f"The tokens of {len(tokens):,} rows are used as evenly as {perplexity:.1f} choices would be, of "
        f"{case.choices}.",
        "Codes then hardly differ between rows, whatever the size of the codebook.",
        "Lower trainer.lr or the price of the code (variant.commitment, variant.beta), or take variant=FSQ, which has "
        "no codebook to learn.",
    )


def _active(posterior: Distribution | None) -> Tensor | None:
    """Which parts of the code vary with the row; None where the code is no distribution that can tell."""
    if isinstance(posterior, Normal):
        return posterior.mean.flatten(1).var(0) > ACTIVE
    if isinstance(posterior, Categorical):
        chances = posterior.probs.flatten(1, -2)
        return torch.special.entr(chances.mean(0)).sum(-1) - torch.special.entr(chances).sum(-1).mean(0) > ACTIVE
    return None


def _scrambled(x: Tensor) -> Tensor:
    """Rows whose values come from other rows, each column in an order of its own."""
    dice = torch.Generator().manual_seed(0)
    return torch.stack([each[torch.randperm(len(each), generator=dice)] for each in x.unbind(1)], 1)


def _still_units(case: Case) -> list[float]:
    """The share of units of each hidden layer that are the same for all rows, from the encoder to the decoder."""
    found: list[float] = []

    def look(layer: nn.Module, seen: tuple[Tensor, ...], told: Tensor) -> None:
        found.append(float((told.transpose(0, 1).flatten(1).var(1) < STILL).float().mean()))

    kinds = tuple(ACTIVATIONS.values())
    layers = [each for part in (case.member.encoder, case.member.decoder) for each in part.modules()]
    hooks = [each.register_forward_hook(look) for each in layers if isinstance(each, kinds)]
    try:
        case.autoencoder(case.judged)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _perplexity(tokens: Tensor) -> Tensor:
    """How many equally frequent tokens would say as much: exp of the entropy."""
    share = torch.bincount(tokens.flatten()) / tokens.numel()
    return torch.special.entr(share).sum().exp()


def _error(each: Tensor) -> Tensor:
    return each.std() / len(each) ** 0.5
