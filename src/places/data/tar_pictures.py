"""The pictures in a tar, read where they lie: only its headers are looked at before."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from places.data.shards.tar_members import members_of
from places.data.shards.tar_reader import Member
from places.data.streaming.picture_files import MAX_FILE_BYTES
from places.errors import DataError, StorageError
from places.files import open_regular, storage_error

BETWEEN = "::"
"""Stands between the name of a tar and that of a picture in it, for tars in tars as well."""

_WINDOW_BYTES = 4096  # a header and what stands before it about long names


class TarOfPictures:
    """A tar with pictures, each of which is called `photos.tar::folder/name.jpg`.

    Args:
        path: The file.
        name: What to call it, if not by its path.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = path
        self.name = name or str(path)
        self._version = (0, 0)

    def shown(self, name: str) -> str:
        """Return what to call a picture in it."""
        return f"{self.name}{BETWEEN}{name}"

    def source(self, name: str, offset: int, size_bytes: int) -> Callable[[], bytes]:
        """Return what reads a picture in it."""
        return partial(self._read, offset, size_bytes)

    def members(self) -> Iterator[Member]:
        """Yield its members in their order, those of tars inside it too; links come last.

        Raises:
            DataError: It is no tar, damaged or cut short.
            StorageError: It cannot be read.
        """
        try:
            self._version = _version_of(self.path)
            yield from members_of(self.path, window_bytes=_WINDOW_BYTES, between=BETWEEN.encode())
        except OSError as error:
            raise storage_error(f"cannot read {self.name}", error) from error
        except DataError as error:
            lines = (
                line.replace(str(self.path), self.name) for line in (error.message, *error.hint)
            )
            raise type(error)(*lines) from error

    def _read(self, offset: int, size_bytes: int) -> bytes:
        if size_bytes > MAX_FILE_BYTES:
            raise DataError(f"{size_bytes:,} bytes; {MAX_FILE_BYTES:,} are allowed")
        try:
            file = open_regular(self.path)
            try:
                found = os.fstat(file)
                if (found.st_size, found.st_mtime_ns) != self._version:
                    raise StorageError(
                        f"{self.name} was replaced while it was read", "run it again"
                    )
                return os.pread(file, size_bytes, offset)
            finally:
                os.close(file)
        except OSError as error:  # of the tar, so it concerns all pictures in it
            raise storage_error(f"cannot read {self.name}", error) from error


def _version_of(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
