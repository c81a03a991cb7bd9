"""What is written is there whole, or not at all; ``replacing`` is tested with the model files that it writes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from diabolo.files import Unfinished, mode_of


class Noted(Unfinished):
    def __init__(self, error: BaseException | None = None) -> None:
        self.error, self.steps = error, list[str]()

    def close(self) -> None:
        self.steps.append("close")
        if self.error is not None:
            raise self.error

    def discard(self) -> None:
        self.steps.append("discard")


def test_what_cannot_be_closed_is_discarded() -> None:
    with Noted() as whole:
        pass
    with pytest.raises(ZeroDivisionError), Noted() as broken:
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt), Noted(KeyboardInterrupt()) as cut_off:
        pass
    assert (whole.steps, broken.steps, cut_off.steps) == (["close"], ["discard"], ["close", "discard"])


def test_permissions_are_those_of_regular_files(tmp_path: Path) -> None:
    (tmp_path / "old").touch(0o640)
    assert mode_of(tmp_path / "old") == stat.S_IMODE(os.stat(tmp_path / "old").st_mode)
    assert mode_of(tmp_path / "new") is None
    with pytest.raises(OSError, match="Not a regular file"):
        mode_of(tmp_path)
