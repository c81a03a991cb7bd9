"""Fuzz the loader of model files with atheris: ``python fuzz/artifact.py -max_total_time=60``.

An input is a file as it stands (first byte even), or a valid file whose digest was made right again after the change
(first byte odd), so that what lies behind the digest is reached too.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile

import atheris

with atheris.instrument_imports(include=["diabolo.artifact", "diabolo.manifest"]):
    import torch

    from diabolo import artifact
    from diabolo.errors import InvalidArtifact

PLACE = os.path.join(tempfile.mkdtemp(), "model.diabolo")


def read_one(data: bytes) -> None:
    """Read what ``data`` stands for; anything but content or InvalidArtifact is a finding."""
    content = resealed(data[1:]) if data[:1] and data[0] % 2 else data[1:]
    with open(PLACE, "wb") as file:
        file.write(content)
    try:
        manifest, tensors = artifact.read(PLACE)
    except InvalidArtifact:
        return
    artifact.write(PLACE, manifest, tensors)  # what was read can be written, and read again
    again, same = artifact.read(PLACE)
    if repr(again) != repr(manifest) or same.keys() != tensors.keys():
        raise RuntimeError("the content changed on its way")


def resealed(content: bytes) -> bytes:
    """The same file with the digest that it should have; unchanged if its header cannot be read."""
    end = 8 + int.from_bytes(content[:8], "little")
    try:
        table = json.loads(content[8:end])
        metadata = table.pop("__metadata__")
        metadata.pop("sha256", None)
        digest = artifact._sealed(metadata, table)
        digest.update(content[end:])
        header = json.dumps({"__metadata__": metadata | {"sha256": digest.hexdigest()}, **table}).encode()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return content
    return len(header).to_bytes(8, "little") + header + content[end:]


def seeds(folder: str) -> str:
    """A corpus to begin with: one small valid file, as it stands and to be resealed."""
    artifact.write(PLACE, {"a": [1, -0.5, float("nan"), None, True, "x"]}, {"w": torch.eye(2), "n": torch.arange(3)})
    with open(PLACE, "rb") as file:
        content = file.read()
    for first in (b"\0", b"\1"):
        with open(os.path.join(folder, f"valid{first[0]}"), "wb") as file:
            file.write(first + content)
    return folder


if __name__ == "__main__":
    atheris.Setup([*sys.argv, seeds(tempfile.mkdtemp())], read_one)
    atheris.Fuzz()
