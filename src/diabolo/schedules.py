"""Numbers that move with training."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Anneal(nn.Module):
    """A number that goes from ``start`` to ``end`` in equal steps, one per training batch.

    The ``t``-th call in training mode gives ``start + (end - start) * min(t / steps, 1)``; a call in evaluation mode
    gives ``end``, so that validation costs of different epochs can be compared. The count of steps is a buffer: it is
    saved, resumed and copied with the weights. A warm-up of the KL cost (Bowman et al., 2016, arXiv:1511.06349) is
    ``Anneal(0.0, 1.0, steps)``.

    >>> warmup = Anneal(0.0, 1.0, steps=2)
    >>> [float(warmup()) for batch in range(3)], float(warmup.eval()())
    ([0.5, 1.0, 1.0], 1.0)
    """

    step: Tensor

    def __init__(self, start: float, end: float, steps: int) -> None:
        super().__init__()
        self.start, self.end, self.steps = start, end, steps
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self) -> Tensor:
        """The number now; in training mode, one step further."""
        if not self.training:
            return torch.full_like(self.step, self.end, dtype=torch.float32)
        self.step += 1
        return self.start + (self.end - self.start) * (self.step / max(self.steps, 1)).clamp(max=1.0)

    def extra_repr(self) -> str:
        return f"{self.start:g} -> {self.end:g} in {self.steps} steps"
