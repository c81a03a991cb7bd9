"""What the training shows: rows learned by heart, costs that jump or still fall, and fits that disagree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from diabolo.diagnosis.case import Case
from diabolo.diagnosis.finding import Finding

FEWEST = 20  # rows that a mean cost is told from
BY_HEART = 0.25  # nats per value that held-out rows cost more than training rows
JUMP, JUMPS = 0.2, 3  # nats per value that costs rise from one epoch to the next; and how often: sound ones twice
SETTLED = 3  # epochs after which costs should not jump
FALLING = 0.02  # of the range of all costs, in the last five epochs
LEARNING = 0.005  # nats per value in the last five epochs: less is hardly ever worth as many more
LOST = 0.5  # of what the linear autoencoder costs, that a network costs more: sound ones up to 0.45
AGREED = 0.6  # rank correlation of the costs of rows between two fits


def over_fitted(case: Case) -> Finding | None:
    """Held-out rows cost much more than training rows."""
    if case.held_out is None or min(len(case.train), len(case.held_out)) < FEWEST:
        return None
    values = case.train[0].numel()
    train, held_out = case.training_costs.double() / values, case.costs.double() / values
    gap = float(held_out.mean() - train.mean())
    error = float((train.var() / len(train) + held_out.var() / len(held_out)).sqrt())
    if gap < BY_HEART or gap < 3 * error:
        return None
    return Finding(
        "over-fitting",
        f"A value of a held-out row costs {held_out.mean():.2f} nats, one of a training row {train.mean():.2f}.",
        "The model has learned rows by heart, so new rows look stranger and are restored worse than those of the fit.",
        "Give more rows, or a smaller network (variant.hidden, variant.latent), variant.dropout or "
        "trainer.weight_decay.",
    )


def unstable(case: Case) -> Finding | None:
    """Training had to be set back, or the costs of held-out rows jump."""
    setbacks = max((epoch.setbacks for epoch in case.epochs_made), default=0)
    costs = _curve(case)
    jumps = int((np.diff(costs[SETTLED:]) > JUMP * case.train[0].numel()).sum())
    if not setbacks and jumps < JUMPS:
        return None
    seen = [f"was set back {setbacks} times"] if setbacks else []
    seen += [f"made held-out rows dearer {jumps} times, by {JUMP:g} nats per value or more"] if jumps >= JUMPS else []
    return Finding(
        "unstable training",
        f"In {len(case.epochs_made)} epochs training {' and '.join(seen)}.",
        "Where it ends is then a matter of luck, and another seed gives another model.",
        "Lower trainer.lr, or trainer.clip.",
    )


def unfinished(case: Case) -> Finding | None:
    """Held-out rows still became cheaper when the epochs were over."""
    costs = _curve(case)
    if len(costs) < 5 or len(costs) < case.epochs or int(np.argmin(costs)) < len(costs) - 2:
        return None
    fallen = float(costs[-5] - costs[-1])
    if fallen <= max(FALLING * float(np.ptp(costs)), LEARNING * case.train[0].numel()):
        return None
    return Finding(
        "unfinished training",
        f"The cost of held-out rows fell by {fallen:.3g} nats per row in the last 5 of {len(costs)} epochs.",
        "The model was still learning when it was stopped.",
        f"Set trainer.epochs={2 * case.epochs} or more.",
    )


def behind(case: Case) -> Finding | None:
    """The task does much worse with this network than with the linear autoencoder."""
    told = case.comparison
    if not case.history or told is None or told["difference"] <= max(LOST * told["linear"], 3 * told["error"]):
        return None
    return Finding(
        "behind PCA",
        f"On {told['rows']:,} rows PCA of {told['width']} numbers costs {told['linear']:.3g}, this model "
        f"{told['deep']:.3g} ({told['measure']}).",
        "What a closed form does better at once, a network is not worth.",
        f"Set variant=Linear (variant.latent={told['width']}, variant.overcomplete=True), or try more rows, more "
        "trainer.epochs or another variant (`diabolo choose`).",
    )


def disagreement(costs: Sequence[np.ndarray]) -> Finding | None:
    """Fits from other seeds that find other rows costly, from what each fit asks for the same rows (fits, n).

    >>> disagreement([np.arange(9), np.arange(9) ** 2]) is None
    True
    """
    ranks = np.stack([rankdata(each) for each in costs])
    pairs = np.corrcoef(ranks)[np.triu_indices(len(ranks), 1)]
    if float(pairs.min()) >= AGREED:
        return None
    return Finding(
        "unstable seeds",
        f"Of {len(costs)} fits with other seeds, two rank the costs of {ranks.shape[1]:,} rows with a correlation of "
        f"only {pairs.min():.2f} (on average {pairs.mean():.2f}).",
        "What one fit finds strange, the next finds normal.",
        "Average several networks (variant.members=8), give more rows or more trainer.epochs, or take variant=Linear, "
        "which has no seed.",
    )


def _curve(case: Case) -> np.ndarray:
    """The cost of held-out rows after each epoch; empty where it was not measured."""
    return np.array([sum(epoch.valid.values()) for epoch in case.epochs_made if epoch.valid])
