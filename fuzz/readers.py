"""Fuzz the file readers with atheris: ``python fuzz/readers.py -max_total_time=60``.

The first byte of an input chooses the format, the rest is the file. pyarrow is compiled without atheris' eyes, so what
guides the search is the Python around it.
"""

from __future__ import annotations

import os
import sys
import tempfile

import atheris

with atheris.instrument_imports(include=["diabolo.readers"]):
    from diabolo.errors import UnreadableFile
    from diabolo.readers import FORMATS, open_source

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests"))

from test_readers_fuzz import VALID  # one small file of each format

PLACE = os.path.join(tempfile.mkdtemp(), "table")
NAMES = sorted(FORMATS)


def read_one(data: bytes) -> None:
    """Read what ``data`` stands for; anything but valid batches or UnreadableFile is a finding."""
    if not data:
        return
    with open(PLACE, "wb") as file:
        file.write(data[1:])
    try:
        source = open_source(PLACE, NAMES[data[0] % len(NAMES)])
        for batch in source.batches():
            batch.validate(full=True)
            if batch.schema != source.schema:
                raise RuntimeError("a batch is not of the schema of its source")
    except UnreadableFile:
        return


def seeds(folder: str) -> str:
    """A corpus to begin with: every valid file of the tests."""
    for name, content in VALID.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(bytes([NAMES.index(name.rpartition(".")[2])]) + content)
    return folder


if __name__ == "__main__":
    atheris.Setup([*sys.argv, seeds(tempfile.mkdtemp())], read_one)
    atheris.Fuzz()
