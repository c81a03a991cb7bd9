"""Images as a source: one row per image, one column per colour."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from diabolo.errors import DiaboloWarning, InvalidParameter, UnreadableFile
from diabolo.grids import grid_column
from diabolo.images import DEEP, ENDINGS, GREYS, MODES, Header, check, header, pixels_of
from diabolo.readers.source import Source, rows_at_once
from diabolo.schema import Schema

MOST_NAMED = 5  # images in a warning
BITS = {"grid uint16": True, "grid uint8": False}  # whether pixels of a fit were deep
LARGEST = 256  # pixels along a side that are read as they are


class Images(Source):
    """The images below a folder, in the order of their names, or one image; what is none by its ending is passed over.

    ``file`` names the image, ``folder`` (where there are folders in the folder) the one it lies in; neither is learned
    from. The colours are ``grey``, or ``red``, ``green`` and ``blue``, with ``alpha`` where every image has it, from 0
    to 255 (to 65,535 where every image is grey and of 16 bits). ``grid`` (height, width) shrinks or widens them;
    without it all must be of one size, at most 256 pixels along a side. ``schema`` reads them as those of a fit were,
    whose ``types`` tell the bits of a pixel.
    Turned photographs are set upright. Without a ``schema``, for a fit, images that cannot be read are left out with a
    warning that names them; new rows are never left out. Raises UnreadableFile naming the image.
    """

    def __init__(
        self,
        place: Path,
        grid: tuple[int, ...] = (),
        schema: Schema | None = None,
        types: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        folder = place if place.is_dir() else place.parent
        files = _found(place) if place.is_dir() else [place]
        self.name, self._folder = str(place), folder
        headers = {file: header(file) for file in (files if schema else _whole(files, folder))}
        self._files = list(headers)
        self.rows = len(self._files)
        self._grid = grid or (schema.grid if schema else ()) or _one_size(headers)
        self._colours = _known(schema) or _colours({file: each.mode for file, each in headers.items()})
        alike = all(each.mode in DEEP for each in headers.values())
        self._deep = self._colours == ("grey",) and BITS.get(types.get("grey", ""), alike)
        self._nested = any(file.parent != folder for file in self._files)
        self.schema = self._fields()
        self._size = rows_at_once(self.schema, 256)
        self.starts = tuple(range(0, self.rows, self._size))

    def piece(self, i: int) -> Iterator[pa.RecordBatch]:
        files = self._files[self.starts[i] : self.starts[i] + self._size]
        mode = "F" if self._deep else MODES[self._colours]
        pixels = np.stack([pixels_of(file, mode, self._grid) for file in files])
        names = [pa.array([self.called(row) for row in range(self.starts[i], self.starts[i] + len(files))])]
        names += [pa.array([_written(file.parent.relative_to(self._folder)) for file in files])] if self._nested else []
        colours = [grid_column(each) for each in np.moveaxis(pixels, 3, 0)]
        yield pa.RecordBatch.from_arrays([*names, *colours], schema=self.schema)

    def called(self, row: int) -> str:
        return _written(self._files[row].relative_to(self._folder))

    def locate(self, row: int) -> str:
        return str(self._files[row])

    def _fields(self) -> pa.Schema:
        kind = pa.fixed_shape_tensor(pa.uint16() if self._deep else pa.uint8(), self._grid)
        told = [pa.field("file", pa.string(), metadata={"set aside": "the name of the image"})]
        if self._nested:
            told.append(pa.field("folder", pa.string(), metadata={"set aside": "the folder of the image"}))
        return pa.schema([*told, *(pa.field(name, kind) for name in self._colours)])


def _written(path: Path) -> str:
    """The name as text, with ? for bytes that are none."""
    return str(path).encode(errors="replace").decode()


def _found(folder: Path) -> list[Path]:
    files = sorted(
        each
        for each in folder.rglob("*")
        if each.suffix.lower() in ENDINGS and not any(part.startswith(".") for part in each.relative_to(folder).parts)
    )
    if not files:
        raise UnreadableFile(f"{folder} is a folder without images ({', '.join(ENDINGS)}). Name a file or another one.")
    return files


def _whole(files: list[Path], folder: Path) -> list[Path]:
    """The images that can be read, with a warning that names the others. Raises UnreadableFile if none can."""
    broken: dict[Path, UnreadableFile] = {}
    for file in files:
        try:
            check(file)
        except UnreadableFile as error:
            broken[file] = error
    kept = [file for file in files if file not in broken]
    if not kept:
        raise next(iter(broken.values()))
    if broken:
        names = ", ".join(str(file.relative_to(folder)) for file in list(broken)[:MOST_NAMED])
        names += f" and {len(broken) - MOST_NAMED} more" if len(broken) > MOST_NAMED else ""
        told = f"{len(broken)} of {len(files)} images in {folder} are left out ({names}): {next(iter(broken.values()))}"
        warnings.warn(told, DiaboloWarning, stacklevel=4)
    return kept


def _one_size(headers: dict[Path, Header]) -> tuple[int, int]:
    """The size of all images (height, width). Raises UnreadableFile if there is none, or if it is too large."""
    first, *others = headers
    size = headers[first].size
    fix = "To bring all to one size, type --format images:64; in Python, open_source(folder, 'images:64')."
    for file in others:
        if headers[file].size != size:
            raise UnreadableFile(
                f"{file} has {_by(headers[file].size)} pixels and {first} has {_by(size)}, height by width. {fix}"
            )
    if max(size) > LARGEST:
        raise UnreadableFile(
            f"The images have {_by(size)} pixels; up to {LARGEST} along a side are read as they are. {fix}"
        )
    return size


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _known(schema: Schema | None) -> tuple[str, ...] | None:
    """The colours of the fit, if it was one of images of such names."""
    names = tuple(schema.sources) if schema else ()
    return names if names in MODES else None


def _colours(modes: dict[Path, str]) -> tuple[str, ...]:
    deep = [file for file, mode in modes.items() if mode in DEEP]
    if len(deep) == len(modes) or all(mode in GREYS for mode in modes.values()):
        return ("grey",)
    if deep:
        flat = next(file for file in modes if file not in deep)
        raise UnreadableFile(f"Some images have 8 bits and some 16: {flat} and {deep[0]}. Bring all to one of these.")
    return ("red", "green", "blue", *(["alpha"] if all(mode == "RGBA" for mode in modes.values()) else []))


def size_of(text: str) -> tuple[int, int]:
    """The size in ``images:64`` or ``images:48x64``, height by width. Raises InvalidParameter for anything else.

    >>> size_of("images:64"), size_of("images:48x64")
    ((64, 64), (48, 64))
    """
    sides = text.removeprefix("images:").split("x")
    if not (1 <= len(sides) <= 2 and all(side.isdecimal() and 0 < int(side) < 10_000 for side in sides)):
        raise InvalidParameter(f"The format {text!r} names no size. Type images:64, or images:48x64 (height by width).")
    return int(sides[0]), int(sides[-1])
