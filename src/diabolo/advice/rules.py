"""Rules: what the field would take for a data set and an aim, before anything is tried."""

from __future__ import annotations

from dataclasses import dataclass

from diabolo.advice.look import Look
from diabolo.variants import (
    IIC,
    VAE,
    Contractive,
    Denoising,
    Linear,
    Masked,
    Residual,
    Robust,
    Sparse,
    TopKDictionary,
    VaDE,
    Vanilla,
)
from diabolo.variants.variant import Variant

WANTS = ("interpretable", "stable")
FEW, PER_COLUMN = 200, 5  # rows in all, and per column, below which networks have too little to learn from
STRAIGHT = 0.9  # share of the variance in the directions that columns share, from which a linear code tells most
GAPPY = 0.01  # share of values missing from which a network should know of gaps
WIDE, MANY = 100, 5_000  # columns and rows from which a dictionary pays


@dataclass(frozen=True)
class Candidate:
    """A variant, and the reasons to take it."""

    variant: Variant
    reasons: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return type(self.variant).__name__

    @property
    def linear(self) -> bool:
        """Whether it is PCA."""
        return isinstance(self.variant, Linear)

    def __str__(self) -> str:
        return repr(self.variant)


def candidates(look: Look, aim: str, want: str | None = None) -> list[Candidate]:
    """What to try, the advised one first; ``Linear`` is always among them.

    >>> few = Look(90, 90, "table", (4,), {"numbers": 4}, {}, 0.0, 0, 1, 0.7, 2, 0.0, 1.0)
    >>> [each.name for each in candidates(few, "detect")]
    ['Linear', 'Masked', 'Denoising']
    """
    linear = Candidate(Linear(latent=look.width), _for_linear(look))
    first, *others = _usual(look, aim)
    if want is not None:
        first, others = _wanted(look, want), [first, *others]
    distinct = [first, *(each for each in others if each.name != first.name)][:3]
    if linear.reasons and want is None:
        return [linear, *distinct[:2]]
    return [distinct[0], linear, *distinct[1:]]


def _for_linear(look: Look) -> tuple[str, ...]:
    """Why nothing but principal components may be needed."""
    told = []
    if look.rows < max(FEW, PER_COLUMN * look.columns):
        told.append(f"{look.rows:,} rows are few for {look.columns} columns: a network has too little to learn from")
    if look.shared and look.common >= STRAIGHT:
        told.append(f"{look.shared} straight directions hold {look.common:.0%} of the variance: little is bent")
    return tuple(told)


def _usual(look: Look, aim: str) -> list[Candidate]:
    """The advised candidate and the runners-up, by what the rows are used for."""
    return {
        "detect": _detect,
        "impute": _impute,
        "denoise": _denoise,
        "embed": _embed,
        "cluster": _cluster,
        "synthesize": _synthesize,
    }[aim](look)


def _detect(look: Look) -> list[Candidate]:
    if look.kind != "table":
        reasons = ("hidden values are told too easily by those beside them, so that all are shown", *_of_rows(look))
        return [Candidate(Vanilla(latent=look.width), reasons), Candidate(Denoising(latent=look.width)), _vae(look)]
    reasons = ("each value is judged while it is hidden, by what the others say of it, so that nothing can be copied",)
    robust = [Candidate(Robust(latent=look.width))] if _heavy(look) else []
    return [Candidate(Masked(), reasons + _of_rows(look)), Candidate(Denoising(latent=look.width)), *robust, _vae(look)]


def _impute(look: Look) -> list[Candidate]:
    reasons = ("it is trained to fill values that are hidden from it, as the missing ones are",)
    hiding = Candidate(Denoising(latent=look.width, noise="hide"))
    return [Candidate(Masked(scale="learned"), reasons + _of_rows(look)), hiding, _vae(look)]


def _denoise(look: Look) -> list[Candidate]:
    reasons = ("it is trained to take noise away", *_of_rows(look))
    robust, plain = Candidate(Robust(latent=look.width)), Candidate(Vanilla(latent=look.width))
    return [Candidate(Denoising(latent=look.width), reasons), *((robust, plain) if _heavy(look) else (plain, robust))]


def _embed(look: Look) -> list[Candidate]:
    plain, noisy = Residual(latent=look.width), Denoising(latent=look.width)
    if look.gaps >= GAPPY:
        hiding = Candidate(Denoising(latent=look.width, noise="hide"), ("rows have gaps, and it is trained on such",))
        return [hiding, Candidate(plain), Candidate(Contractive(latent=look.width))]
    if look.kind == "image":
        return [_bent(look), Candidate(plain), Candidate(noisy)]
    reasons = ("its codes start as principal components, and networks add what is bent", *_of_rows(look))
    return [Candidate(plain, reasons), Candidate(noisy), Candidate(Contractive(latent=look.width))]


def _cluster(look: Look) -> list[Candidate]:
    if look.kind == "image":
        return [_bent(look), Candidate(Residual(latent=look.width)), Candidate(VaDE(latent=look.width))]
    reasons = (
        "its codes lie to one another nearly as rows do, and clusters are found by distance",
        *_of_rows(look),
    )
    others = [Candidate(VaDE(latent=look.width)), Candidate(Denoising(latent=look.width))]
    return [Candidate(Residual(latent=look.width), reasons), *others]


def _synthesize(look: Look) -> list[Candidate]:
    reasons = ("its codes follow a prior, so that a drawn code stands for a likely row", *_of_rows(look))
    return [Candidate(_vae(look).variant, reasons), Candidate(Vanilla(latent=look.width))]


def _wanted(look: Look, want: str) -> Candidate:
    if want == "stable":
        told = "its code hardly moves when a row moves a little"
        return Candidate(Contractive(latent=look.width), (told,))
    if look.columns >= WIDE and look.rows >= MANY:
        told = "a row is a sum of few atoms of a dictionary, each of which can be looked at and named"
        return Candidate(TopKDictionary(), (told,))
    told = "few numbers of its code are in use for any row, so that each can be looked at and named"
    return Candidate(Sparse(latent=max(32, 2 * look.width)), (told,))


def _of_rows(look: Look) -> tuple[str, ...]:
    """What the kind of rows asks for, and where it is seen to."""
    told = []
    if look.kind != "table":
        told.append(f"rows are {look.kind}s: hidden layers are convolutions")
    if look.gaps >= GAPPY:
        told.append(f"{look.gaps:.1%} of the values are missing: the network is shown where")
    if look.mixed:
        told.append("each column has the likelihood that suits it, so that all are judged in one unit, nats")
    return tuple(told)


def _vae(look: Look) -> Candidate:
    return Candidate(VAE(latent=look.width))


def _bent(look: Look) -> Candidate:
    told = "an image shows the same in other light and after a small shift, turn or stretch, and these codes bear that"
    return Candidate(IIC(latent=look.width), (told, *_of_rows(look)))


def _heavy(look: Look) -> bool:
    return any("heavy" in kind for kind in look.kinds)
