"""Finding: one thing that a user should know of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What was ``seen``, with its figures; ``why`` it matters; what to ``change``: a sentence each.

    >>> print(Finding("tiny", "The code has 1 number.", "It holds little.", "Raise variant.latent."))
    tiny: The code has 1 number. It holds little. Raise variant.latent.
    """

    name: str
    seen: str
    why: str
    change: str

    def __str__(self) -> str:
        return f"{self.name}: {self.seen} {self.why} {self.change}"

    @staticmethod
    def all_of(entry: Mapping[str, Mapping[str, str]]) -> tuple[Finding, ...]:
        """The findings of an entry of a model card; the inverse of ``entry_of``."""
        return tuple(Finding(name, **told) for name, told in entry.items())

    @staticmethod
    def entry_of(findings: Sequence[Finding]) -> dict[str, dict[str, str]]:
        """The entry of a model card: by name, what each finding says."""
        return {each.name: {"seen": each.seen, "why": each.why, "change": each.change} for each in findings}


def some(names: Sequence[str]) -> str:
    """The first names of columns, and how many more there are.

    >>> some(["a", "b"]), some(list("abcdefg"))
    ("'a', 'b'", "'a', 'b', 'c', 'd', 'e' and 2 more")
    """
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more
