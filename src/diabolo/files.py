"""Files that are whole or not there."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Self

FilePath = str | os.PathLike[str]


class Unfinished(ABC):
    """What appears under its name when it is closed; as a context manager it closes at the end.

    After an error, also one of closing, nothing is left behind.
    """

    @abstractmethod
    def close(self) -> None:
        """Finish, and give it its name."""

    @abstractmethod
    def discard(self) -> None:
        """Forget what was written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.discard()
            return
        try:
            self.close()
        except BaseException:
            self.discard()
            raise


@contextmanager
def replacing(path: FilePath) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` when the block ends, whole and on the disk, or not at all.

    It is written beside ``path`` (hidden, ``.diabolo-*``) and renamed. The permissions of an old file are kept.
    Raises OSError, naming ``path``, if the place cannot be written or holds something that is no regular file.
    """
    target = os.path.realpath(os.fspath(path))
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".diabolo-{secrets.token_hex(8)}")
    try:
        mode = mode_of(target)
        with open(temporary, "xb") as file:
            if mode is not None:
                os.chmod(temporary, mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        sync_folder(folder)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def mode_of(target: FilePath) -> int | None:
    """The permissions of a file that is to be replaced; None without one. Raises OSError for a folder or a pipe."""
    with suppress(FileNotFoundError):
        status = os.stat(target)
        if not stat.S_ISREG(status.st_mode):
            kind = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
            raise OSError(kind, "Not a regular file", os.fspath(target))
        return stat.S_IMODE(status.st_mode)
    return None


def sync_folder(folder: FilePath) -> None:
    """Make the rename last through a power cut; some network folders cannot be synced and keep their own promises."""
    if os.name != "posix":
        return
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(place)
