"""A folder of fetched files with a bound on their bytes, shared by processes without a server.

Files in use carry a shared flock, files being fetched an exclusive one under the name
`NAME.SIZE.part`. What carries no lock may be removed, least recently used first. A killed process
loses its locks, so nothing has to be cleaned up.
"""

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from places.errors import StorageError
from places.files import storage_error

_PART = re.compile(r"\.(\d+)\.part$")


class Wait(Enum):
    """Why a file cannot be fetched now."""

    BUSY = auto()  # another process or thread fetches it, or did until now
    FULL = auto()  # nothing more can be removed


@dataclass(frozen=True)
class _File:
    path: Path
    size_bytes: int  # of a partial file the size that it will have
    used_ns: int

    @property
    def is_kept(self) -> bool:
        """Whether the file is never removed for another one: manifests, indexes, lock files."""
        return self.path.suffix in (".json", ".npy", "")


class CacheFolder:
    """The files of one data set in a cache that holds several, one folder each.

    Args:
        folder: The folder of this data set; its parent is the cache.
        limit_bytes: The most bytes that all files of the cache may have together.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self.cache = folder.parent
        self.limit_bytes = limit_bytes

    def open(self, name: str, size_bytes: int) -> int | None:
        """Return a read-only descriptor of a complete file; while it is open, the file stays.

        Returns:
            The descriptor, or `None` if the file is not there.
        """
        path = self.folder / name
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        found = os.fstat(file)
        if not _lock(file, fcntl.LOCK_SH) or os.fstat(file).st_nlink == 0:  # removed just now
            os.close(file)
            return None
        if found.st_size != size_bytes:
            with self._exclusive(), suppress(FileNotFoundError):
                if os.path.samestat(path.stat(), found):  # no whole one was put there meanwhile
                    path.unlink()
            os.close(file)
            return None
        touch(file)
        return file

    def claim(self, name: str, size_bytes: int) -> int | Wait:
        """Make room for a file and become the one that fetches it.

        Returns:
            A descriptor of the partial file, which may hold the beginning already. Give it to
            `install` or `give_up`.
        """
        part = self._part(name, size_bytes)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._exclusive():
            if (self.folder / name).exists():
                return Wait.BUSY
            if not part.exists() and not self._make_room(size_bytes):
                return Wait.FULL
            file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if _lock(file, fcntl.LOCK_EX):
                return file
            os.close(file)
            return Wait.BUSY

    def install(self, file: int, name: str, size_bytes: int) -> None:
        """Give a fetched and verified file its name, and close the descriptor."""
        with self._exclusive():
            self._part(name, size_bytes).replace(self.folder / name)
            os.close(file)

    def give_up(self, file: int, name: str, size_bytes: int) -> None:
        """Close the descriptor of a partial file; what has arrived is kept for a later try."""
        with self._exclusive():
            if os.fstat(file).st_size == 0:
                self._part(name, size_bytes).unlink()
            os.close(file)

    def keep(self, name: str, data: bytes) -> None:
        """Write a whole file, unless it is there. The caller makes sure that nobody else does.

        Raises:
            StorageError: There is no room for it.
        """
        part = self.claim(name, len(data))
        if part is Wait.FULL:
            raise self.full(name, len(data))
        if isinstance(part, int):
            os.ftruncate(part, 0)
            with open(part, "wb", closefd=False) as writer:
                writer.write(data)
            self.install(part, name, len(data))

    def kept_bytes(self) -> int:
        """Return the bytes of manifests and indexes, which are never removed."""
        return sum(file.size_bytes for file in self._files() if file.is_kept)

    def full(self, name: str, size_bytes: int) -> StorageError:
        """Return the error that there is no room for a file, with what takes the room."""
        with self._exclusive():
            files = self._files()
            used = [file for file in files if not file.is_kept and _is_locked(file.path)]
        kept_bytes = sum(file.size_bytes for file in files if file.is_kept)
        names = sorted(_PART.sub("", file.path.name) for file in used)
        shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        return StorageError(
            f"no room for {name} with {size_bytes:,} bytes in the cache",
            f"in use:  {sum(file.size_bytes for file in used):,} bytes: {shown or 'nothing'}",
            f"limit:   {self.limit_bytes:,} bytes in {self.cache}, less {kept_bytes:,} for indexes",
            "type a larger `cache_size_gb`, or end other runs with the same cache",
        )

    def _part(self, name: str, size_bytes: int) -> Path:
        return self.folder / f"{name}.{size_bytes}.part"

    def _make_room(self, size_bytes: int) -> bool:
        files = self._files()
        free_bytes = self.limit_bytes - sum(file.size_bytes for file in files)
        for file in sorted(files, key=lambda file: file.used_ns):
            if free_bytes >= size_bytes:
                break
            if not file.is_kept and _remove_unused(file.path):
                free_bytes += file.size_bytes
        return free_bytes >= size_bytes

    def _files(self) -> list[_File]:
        files = []
        for path in self._paths():
            with suppress(FileNotFoundError):
                found = path.stat()
                part = _PART.search(path.name)
                size_bytes = int(part[1]) if part else found.st_size
                files.append(_File(path, size_bytes, found.st_mtime_ns))
        return files

    def _paths(self) -> Iterator[Path]:
        for folder in filter(Path.is_dir, self.cache.iterdir()):
            with suppress(FileNotFoundError):  # somebody may empty the cache
                yield from list(folder.iterdir())

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Keep all others from adding, renaming and removing files; for moments only."""
        with locked(self.cache / "lock"):
            yield


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file against all other processes and threads, waiting for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def touch(file: int) -> None:
    """Note that a file of the cache was used just now."""
    with suppress(PermissionError):  # another user's file
        os.utime(file)


def cache_error(what: str, error: OSError) -> StorageError:
    """Return how to report an error of the system in the cache; see `storage_error`."""
    reported = storage_error(what, error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(reported.message, "make room there, or type a smaller `cache_size_gb`")
    return reported


def _lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        return not _lock(file.fileno(), fcntl.LOCK_EX)


def _remove_unused(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            if not _lock(file.fileno(), fcntl.LOCK_EX):
                return False
            path.unlink()
    except PermissionError:  # another user's file
        return False
    return True
