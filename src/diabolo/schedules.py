"""Numbers that move with training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

UNTOLD = -1.0  # how far a training is that tells nothing


class Anneal(nn.Module):
    """A number that goes from ``start`` to ``end`` in the first ``share`` of a training, and stays there.

    ``start + (end - start) * min(done / share, 1)``, ``done`` being the share of its steps that a training has taken,
    as ``Trainer`` tells by ``reach``. In evaluation mode it is ``end``, so that validation costs of different epochs
    can be compared, and so it is where nobody tells how far the training is. ``done`` is a buffer, saved, resumed and
    copied with the weights; it never falls, so that a training which goes on does not start anew. A warm-up of the KL
    cost (Bowman et al., 2016, arXiv:1511.06349) is ``Anneal(0.0, 1.0, share)``.

    >>> warmup = Anneal(0.0, 1.0, share=0.5)
    >>> warmup().item(), warmup.reach(0.25)().item(), warmup.reach(0.75)().item(), warmup.eval()().item()
    (1.0, 0.5, 1.0, 1.0)
    """

    done: Tensor

    def __init__(self, start: float, end: float, share: float) -> None:
        super().__init__()
        self.start, self.end, self.share = start, end, share
        self.register_buffer("done", torch.tensor(UNTOLD))

    def forward(self) -> Tensor:
        """The number now."""
        if not (self.training and self.share):
            return torch.full_like(self.done, self.end)
        gone = torch.where(self.done < 0, 1.0, self.done / self.share).clamp(max=1.0)
        return self.start + (self.end - self.start) * gone

    def reach(self, done: float) -> Anneal:
        """Move on to this share of the training, from 0 to 1."""
        self.done.clamp_(min=done)
        return self

    def moving(self) -> Tensor:
        """Whether the number is on its way."""
        return (self.done >= 0) & (self.done < self.share)

    def extra_repr(self) -> str:
        return f"{self.start:g} -> {self.end:g} in {self.share:g} of the training"


def annealed(number: float | Anneal) -> Anneal:
    """The number as one that may move."""
    return number if isinstance(number, Anneal) else Anneal(number, number, 0.0)
