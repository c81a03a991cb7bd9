"""Image files, read and written: the one place that knows Pillow."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from diabolo.errors import InvalidData, InvalidParameter, MissingExtra, UnreadableFile
from diabolo.files import Unfinished
from diabolo.grids import channels, stacked

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MOST_PIXELS = 1 << 27  # of a file that is decoded
MODES = {("grey",): "L", ("red", "green", "blue"): "RGB", ("red", "green", "blue", "alpha"): "RGBA"}
GREYS = ("1", "L", "LA", "La")
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # more than 8 bits
DEEPEST = 65_535
STEPS = DEEPEST // 255  # of 16 bits in one of 8
MOVING = ("TIFF", "GIF", "WEBP", "PNG")  # of which each file may hold several images; photographs hold previews
TURNED = (5, 6, 7, 8)  # values of Exif's orientation under which height and width change places
ORIENTATION = 0x0112


class Header(NamedTuple):
    """What an image file says before its pixels are decoded: (height, width) and Pillow's mode."""

    size: tuple[int, int]
    mode: str


def header(file: Path) -> Header:
    """The header of an image as it is seen upright. Raises UnreadableFile."""
    with opened(file) as image:
        (width, height), mode = image.size, image.mode
        turned = image.format != "TIFF" and image.getexif().get(ORIENTATION) in TURNED  # Pillow turns TIFF itself
        alpha = mode == "P" and "transparency" in image.info
        pages = getattr(image, "n_frames", 1) if image.format in MOVING else 1
    if pages > 1:
        raise UnreadableFile(f"{file} has {pages} pages or frames. Save each of them as an image of its own.")
    if width * height > MOST_PIXELS:
        raise UnreadableFile(f"{file} has {width} x {height} pixels, more than {MOST_PIXELS:,}. Shrink it.")
    if mode == "F":
        raise UnreadableFile(f"{file} holds fractions, which are no images here. Save it with 8 or 16 bits.")
    return Header((width, height) if turned else (height, width), "RGBA" if alpha else mode)


def check(file: Path) -> None:
    """Decode the image. Raises UnreadableFile where it is too large or damaged."""
    header(file)
    with opened(file) as image:
        image.load()


def pixels_of(file: Path, mode: str, grid: tuple[int, ...]) -> np.ndarray:
    """The image upright, in ``mode`` and at the size ``grid``: (height, width, colours); of mode F in 16 bits.

    White is 255 of 8 bits and 65,535 of 16.
    """
    from PIL import Image, ImageOps

    with opened(file) as image:
        told = ImageOps.exif_transpose(image)
        if told.mode in DEEP:
            values = np.asarray(told)
            if values.min() < 0 or values.max() > DEEPEST:
                raise UnreadableFile(f"{file} holds values beyond 0 to {DEEPEST:,}. Save it with 8 or 16 bits.")
            told = told if mode == "F" else Image.fromarray(np.rint(values / STEPS).astype(np.uint8))
        factor = STEPS if mode == "F" and told.mode not in DEEP else 1
        told = told.convert(mode)
        told = told.point(lambda value: value * factor + 0) if factor > 1 else told
        if told.size[::-1] != grid:
            told = told.resize((grid[1], grid[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(told).reshape(*grid, -1)
    return np.clip(np.rint(pixels), 0, DEEPEST).astype(np.uint16) if mode == "F" else pixels


@contextmanager
def opened(file: Path) -> Iterator[Image]:
    """The image in ``file``, decoded when it is asked for its pixels; whatever goes wrong becomes UnreadableFile."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtra(f"{file} is an image; Pillow reads those. Type: pip install 'diabolo[images]'") from None
    try:
        with Image.open(file) as image:
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        told = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UnreadableFile(f"{file} cannot be read as an image: {told}. Replace it, or take it away.") from error


class Pictures(Unfinished):
    """A new folder that rows with images go to, as PNG files under the names in ``file``, or under their numbers.

    The folder appears under its name once it is complete. Raises InvalidParameter where it exists already, InvalidData
    for rows without images.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists():
            raise InvalidParameter(f"{folder} exists already. Name a new folder.")
        if not folder.resolve().parent.is_dir():
            raise InvalidParameter(f"There is no folder {folder.parent} to make {folder.name} in. Make it first.")
        self.path, self.rows = folder.resolve(), 0
        self._taken: set[Path] = set()
        self._part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=self.path.parent))

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Write the images of these rows."""
        names = channels(rows.schema)
        if tuple(names) not in MODES:
            raise InvalidData(
                f"An image has the columns {', '.join(' + '.join(each) for each in MODES)}; these rows have "
                f"{', '.join(names) or 'none of them'}. Name a file, such as {self.path}.parquet"
            )
        pixels = np.moveaxis(stacked(rows, names, tuple(rows.schema.field(names[0]).type.shape)), 1, 3)
        deep = rows.schema.field(names[0]).type.value_type == pa.uint16()
        if deep and len(names) > 1:
            raise InvalidData(f"Colours of 16 bits have no room in PNG. Name a file, such as {self.path}.parquet")
        given = rows["file"].to_pylist() if "file" in rows.schema.names else [None] * len(pixels)
        for image, name in zip(pixels, given, strict=True):
            self._save(image, deep, self._free(_place(name, self.rows)))
            self.rows += 1

    def close(self) -> None:
        """Give the folder its name."""
        self._part.chmod(0o755)  # temporary folders belong to their maker alone
        self._part.rename(self.path)

    def discard(self) -> None:
        """Forget what was written."""
        shutil.rmtree(self._part, ignore_errors=True)

    def _free(self, place: Path) -> Path:
        """The place, or where it is taken the first free one of the same name and a number: a (2).png."""
        tried = (place.with_stem(f"{place.stem} ({count})") for count in itertools.count(2))
        free = next(each for each in itertools.chain([place], tried) if each not in self._taken)
        self._taken.add(free)
        return free

    def _save(self, image: np.ndarray, deep: bool, name: Path) -> None:
        """The pixels in 16 bits or in 8; missing ones are black."""
        from PIL import Image

        most, kind = (DEEPEST, np.uint16) if deep else (255, np.uint8)
        drawn = np.clip(np.rint(np.nan_to_num(image)), 0, most).astype(kind)
        (self._part / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn[..., 0] if drawn.shape[2] == 1 else drawn).save(self._part / name)


def _place(name: object, row: int) -> Path:
    """Where an image goes in the folder; a name that leads out of it, or nowhere, is not followed."""
    path = Path(f"{row:06}" if name in (None, "") else str(name))
    if path.is_absolute() or ".." in path.parts or not path.name:
        path = Path(f"{row:06}")
    return path if path.suffix.lower() == ".png" else path.with_name(f"{path.name}.png")
