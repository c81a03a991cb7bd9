"""The errors of diabolo; each says what was given, what is allowed and what to do next.

DiaboloError
├── InvalidParameter (ValueError)     a parameter of a task, variant or trainer; exit code 2
├── InvalidData (ValueError)          the user's rows; exit code 3
│   ├── UnreadableFile                a data file that cannot be read
│   └── SchemaMismatch                rows whose columns are not those of the fit
├── InvalidArtifact (ValueError)      a model file that is damaged, hostile or too new; exit code 3
├── MissingExtra (ImportError)        an optional dependency that is not installed; exit code 1
├── LawBroken (AssertionError)        a variant that breaks a law of check_variant; exit code 1
└── TrainingFailed (RuntimeError)     training that did not stay finite; exit code 1
    └── Interrupted                   SIGTERM during training, state saved; exit code 143

Warnings: DiaboloWarning (UserWarning).
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class DiaboloError(Exception):
    """Root of every error that diabolo raises on purpose."""

    exit_code: ClassVar[int] = 1


class InvalidParameter(DiaboloError, ValueError):
    """A parameter outside its allowed values."""

    exit_code = 2


class InvalidData(DiaboloError, ValueError):
    """Rows that cannot be learned from or scored; the message names the column and the fix."""

    exit_code = 3


class UnreadableFile(InvalidData):
    """A file that is not the table it claims to be; the message names the file and the place."""


class SchemaMismatch(InvalidData):
    """Rows whose columns differ from the columns seen in fit."""


class InvalidArtifact(DiaboloError, ValueError):
    """A model file that is truncated, altered, hostile or written by a newer diabolo."""

    exit_code = 3


class MissingExtra(DiaboloError, ImportError):
    """An optional dependency is missing; the message holds the pip command to type."""


class LawBroken(DiaboloError, AssertionError):
    """A variant, yours or ours, that breaks a law; the message names the law, the variant and the data."""


class TrainingFailed(DiaboloError, RuntimeError):
    """Training left the finite numbers and could not be brought back."""


class Interrupted(TrainingFailed):
    """Training was asked to stop (SIGTERM) and saved its state first."""

    exit_code = 143


class DiaboloWarning(UserWarning):
    """Something worth knowing that does not stop the work."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """A question to end an error about ``word`` with, if a known word is close to it.

    >>> suggestion("varaint", ["variant", "trainer"])
    " Did you mean 'variant'?"
    """
    spelled = {each.lower(): each for each in known}
    close = get_close_matches(word.lower(), spelled, n=1)
    return f" Did you mean {spelled[close[0]]!r}?" if close else ""
