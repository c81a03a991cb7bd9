"""A model as one file: JSON and tensors, never code.

    8 bytes   length of the header, little-endian
    header    JSON: {"__metadata__": {"diabolo": "1.0", "manifest": "<JSON>", "sha256": "<hex>"},
                     "<tensor>": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
    data      the tensors' bytes in the order of the header, without a gap

It is a safetensors file that every tool of that format opens. We write it ourselves, because the same content must
give the same bytes, and read it ourselves, because a file may come from a stranger: nothing is allocated that the
file's own size does not pay for, and the digest covers the manifest, the table and the data alike.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from diabolo import manifest as manifests
from diabolo.errors import InvalidArtifact
from diabolo.files import FilePath, replacing

FORMAT = (1, 0)  # a reader knows every minor of its major; a new major means files that it cannot understand
MAX_BYTES = 8 << 30
MAX_TENSORS = 10_000
MAX_DIMENSIONS = 16
MAX_NAME = 512  # characters
MAX_COUNT = 1 << 48  # elements, also of a tensor whose zeros are taken for ones

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_CODES = {dtype: code for code, dtype in DTYPES.items()}

Table = dict[str, dict[str, Any]]


def write(path: FilePath, manifest: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write one model file; the same content in the same order gives the same bytes.

    ``manifest`` holds None, bool, int, float (NaN and infinities too), str, list, tuple (read back as a list) and
    dict with text keys. The old file stays whole until the new one is on the disk; a link is followed, not replaced.
    Raises InvalidArtifact for content that ``read`` would refuse, OSError if the place cannot be written.

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/pump.diabolo"
    >>> write(path, {"limit": float("inf")}, {"weight": torch.eye(2)})
    >>> read(path)
    ({'limit': inf}, {'weight': tensor([[1., 0.],
            [0., 1.]])})
    """
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    try:
        header = _header_of(manifest, ordered)
    except InvalidArtifact as error:
        raise InvalidArtifact(f"{os.fspath(path)!r} was not written: the model {error}") from None
    with replacing(path) as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _, tensor in ordered:
            file.write(_bytes_of(tensor))


def read(path: FilePath, *, max_bytes: int = MAX_BYTES) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The manifest and the tensors of a model file; memory is that of the file.

    Raises InvalidArtifact for a file that is missing, truncated, altered, hostile, larger than ``max_bytes`` or in a
    newer format.
    """
    path = os.fspath(path)
    try:
        with _opened(path) as file:
            return _read(file, max_bytes)
    except InvalidArtifact as error:
        raise InvalidArtifact(f"{path!r} {error}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise InvalidArtifact(f"{path!r} cannot be read: {error}. Check the path.") from error


def compare_probe(kept: npt.ArrayLike, now: npt.ArrayLike, tolerance: float = 1e-5) -> None:
    """Check that the golden probe, rows kept in the file with their scores, still scores the same.

    A score may differ by ``tolerance * max(1, |kept|)``; NaN equals NaN. Raises InvalidArtifact that names the row
    with the largest difference.

    >>> compare_probe([1.0, 2.0], [1.0, 2.000001])
    """
    old, new = np.asarray(kept, np.float64), np.asarray(now, np.float64)
    if old.shape != new.shape:
        raise InvalidArtifact(f"The file keeps probe scores of shape {old.shape}; the model gives {new.shape}.")
    off = _relative_difference(old, new)
    if off.size and off.max() > tolerance:
        row = np.unravel_index(int(off.argmax()), off.shape)
        raise InvalidArtifact(
            "This machine does not reproduce the scores kept in the file: probe row "
            f"{', '.join(map(str, row))} scored {old[row]:.9g} when it was saved and {new[row]:.9g} here, off by "
            f"{off[row]:.3g} where {tolerance:g} is allowed. Use the versions of diabolo and torch that the file was "
            "saved with, or fit the model again here."
        )


def _relative_difference(old: npt.NDArray[np.float64], new: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    same = (old == new) | (np.isnan(old) & np.isnan(new))
    with np.errstate(invalid="ignore"):
        off = np.abs(new - old) / np.maximum(1.0, np.abs(old))
    return np.where(same, 0.0, np.where(np.isnan(off), np.inf, off))


# -- reading -------------------------------------------------------------------------------------------------------


def _opened(path: FilePath) -> BinaryIO:
    """The regular file at ``path``; never waits for a pipe, never touches a device."""
    _check_regular(os.stat(path).st_mode)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = open(os.open(path, flags), "rb")
    try:
        _check_regular(os.fstat(file.fileno()).st_mode)  # the path may point elsewhere since
    except InvalidArtifact:
        file.close()
        raise
    return file


def _check_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
        raise InvalidArtifact(f"is {kind}, not a model file. Pass the file that `save` or `diabolo fit -o` wrote.")


def _read(file: BinaryIO, max_bytes: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    size = os.fstat(file.fileno()).st_size
    header = _header(file, size, max_bytes)
    metadata, table = _split(header)
    _check_table(table, size - file.tell())
    digest = _sealed({key: text for key, text in metadata.items() if key != "sha256"}, table)
    tensors = {name: _tensor(entry, file, digest) for name, entry in table.items()}
    if digest.hexdigest() != metadata.get("sha256"):
        raise InvalidArtifact("was altered or damaged after it was written (its sha256 differs). Copy it again.")
    for name, tensor in tensors.items():
        if tensor.dtype is torch.bool and bool((tensor.view(torch.uint8) > 1).any()):
            raise InvalidArtifact(f"holds bytes other than 0 and 1 in the boolean tensor {name!r}.")
    return manifests.from_text(metadata.get("manifest", "")), tensors


def _header(file: BinaryIO, size: int, max_bytes: int) -> dict[str, Any]:
    if size > max_bytes:
        raise InvalidArtifact(f"has {size:,} bytes; at most {max_bytes:,} are read. Pass max_bytes={size} to allow it.")
    length = int.from_bytes(file.read(8), "little")
    if size < 10 or not 2 <= length <= size - 8:
        raise InvalidArtifact("is not a model file of diabolo, or was cut short. Copy it again or fit a new one.")
    if length > manifests.MAX_LENGTH:
        raise InvalidArtifact(f"has a header of {length:,} bytes; at most {manifests.MAX_LENGTH:,} are read.")
    text = file.read(length)
    if len(text) != length:
        raise InvalidArtifact("became shorter while it was read. Copy it again.")
    return manifests.parsed(text, "header")


def _split(header: dict[str, Any]) -> tuple[dict[str, str], Table]:
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise InvalidArtifact("is a safetensors file without the manifest of diabolo: it holds no fitted task.")
    _check_format(metadata.get("diabolo"))
    return metadata, header


def _check_format(version: str | None) -> None:
    numbered = re.fullmatch(r"([0-9]{1,4})\.[0-9]{1,4}", version or "")
    if not numbered:
        raise InvalidArtifact("is a safetensors file, but names no format of diabolo: it holds no fitted task.")
    major = int(numbered[1])
    if major > FORMAT[0]:
        raise InvalidArtifact(
            f"was written in format {version}; this diabolo reads format {FORMAT[0]}. "
            "Upgrade: pip install --upgrade diabolo"
        )
    if major < 1:
        raise InvalidArtifact(f"was written in format {version}, which never existed.")


def _check_table(table: dict[str, Any], data: int) -> None:
    """Entries are well formed and fill the ``data`` bytes one after the other."""
    if len(table) > MAX_TENSORS:
        raise InvalidArtifact(f"lists {len(table):,} tensors; at most {MAX_TENSORS:,} are read.")
    place = 0
    for name, entry in table.items():
        if len(name) > MAX_NAME or not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise InvalidArtifact(f"describes the tensor {name[:80]!r} in a way that is not understood.")
        span = _span(name, entry["dtype"], entry["shape"])
        if not _are_counts(entry["data_offsets"]) or entry["data_offsets"] != [place, place + span]:
            raise InvalidArtifact(f"places the tensor {name!r} of {span:,} bytes at {entry['data_offsets']!r:.80}.")
        place += span
    if place != data:
        raise InvalidArtifact(f"lists {place:,} bytes of tensors and holds {data:,}: cut short or added to.")


def _span(name: str, dtype: Any, shape: Any) -> int:
    """The bytes of a tensor, after its dtype and shape were found possible."""
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise InvalidArtifact(f"holds the tensor {name!r} of type {dtype!r:.80}. Known: {', '.join(DTYPES)}.")
    if not _are_counts(shape) or len(shape) > MAX_DIMENSIONS or math.prod(max(n, 1) for n in shape) > MAX_COUNT:
        raise InvalidArtifact(f"holds the tensor {name!r} of an impossible shape.")
    count: int = math.prod(shape)
    return count * DTYPES[dtype].itemsize


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(each) is int and 0 <= each <= MAX_COUNT for each in values)


def _tensor(entry: dict[str, Any], file: BinaryIO, digest: hashlib._Hash) -> Tensor:
    """The next tensor of the file, read into its own memory."""
    tensor = torch.empty(entry["shape"], dtype=DTYPES[entry["dtype"]])
    space = _bytes_of(tensor)
    if file.readinto(space) != space.nbytes:  # type: ignore[attr-defined]
        raise InvalidArtifact("became shorter while it was read. Copy it again.")
    digest.update(space)
    return tensor


# -- bytes ---------------------------------------------------------------------------------------------------------


def _header_of(manifest: Mapping[str, Any], tensors: list[tuple[str, Tensor]]) -> bytes:
    """The header as JSON, padded with blanks so that the data begins at a multiple of 8."""
    table = _table(tensors)
    metadata = {"diabolo": "{}.{}".format(*FORMAT), "manifest": manifests.to_text(manifest)}
    digest = _sealed(metadata, table)
    for _, tensor in tensors:
        digest.update(_bytes_of(tensor))
    metadata["sha256"] = digest.hexdigest()
    header = manifests.dumped({"__metadata__": metadata, **table}).encode()
    manifests.check_budget(header, "header")
    return header + b" " * (-len(header) % 8)


def _table(tensors: Iterable[tuple[str, Tensor]]) -> Table:
    table: Table = {}
    place = 0
    for name, tensor in tensors:
        _check_writable(name, tensor)
        shape, begin = list(tensor.shape), place
        place += tensor.numel() * tensor.element_size()
        table[name] = {"dtype": _CODES[tensor.dtype], "shape": shape, "data_offsets": [begin, place]}
    _check_table(table, place)
    return table


def _check_writable(name: str, tensor: Tensor) -> None:
    if not isinstance(name, str) or name == "__metadata__" or not name.isprintable():
        raise InvalidArtifact(f"calls a tensor {name!r}. Use printable text other than '__metadata__'.")
    if tensor.dtype not in _CODES or tensor.layout is not torch.strided or tensor.device.type == "meta":
        raise InvalidArtifact(
            f"has a tensor {name!r} ({tensor.dtype}, {tensor.layout}, {tensor.device}) that a file cannot keep. "
            f"Convert it to a dense tensor of {', '.join(str(each) for each in _CODES)}."
        )


def _bytes_of(tensor: Tensor) -> memoryview:
    """The bytes of a tensor, little-endian; of a contiguous one in main memory its own, not a copy."""
    if sys.byteorder != "little":
        raise InvalidArtifact("cannot be kept or read here: model files are little-endian, this machine is not.")
    flat = tensor.detach().cpu().contiguous().flatten()
    return (flat if len(flat) else flat.new_empty(0)).view(torch.uint8).numpy().data  # empty arrays have stride 0


def _sealed(metadata: Mapping[str, str], table: Table) -> hashlib._Hash:
    """A sha256 that has seen everything but the tensors' bytes."""
    return hashlib.sha256(manifests.dumped([metadata, list(table.items())]).encode())
