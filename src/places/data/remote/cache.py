"""A folder of fetched files with a bound on their bytes, shared by processes without a server.

Files in use carry a shared flock, files being fetched an exclusive one under the name
`NAME.SIZE.part`. What carries no lock may be removed, least recently used first. A killed process
loses its locks, so nothing has to be cleaned up.
"""

import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from enum import Enum, auto
from glob import glob
from pathlib import Path
from typing import NamedTuple, TypeVar

from places.errors import StorageError
from places.files import storage_error

_NUM_RETRIES = 3
_Result = TypeVar("_Result")
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe in place of a file must not wait
_PART = re.compile(r"\.(\d+)\.part$")


class Wait(Enum):
    """Why a file cannot be fetched now."""

    BUSY = auto()  # another process or thread fetches it, or did until now
    FULL = auto()  # nothing more can be removed


class _File(NamedTuple):
    path: Path
    size_bytes: int  # of a partial file the size that it will have
    used_ns: int
    is_kept: bool  # never removed for another one: manifests, indexes, lock files


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
            file = os.open(path, _READ)
        except FileNotFoundError:
            return None
        found = os.fstat(file)
        is_there = _lock(file, fcntl.LOCK_SH) and os.fstat(file).st_nlink > 0  # else removed now
        if is_there and found.st_size == size_bytes:
            touch(file)
            return file
        if is_there:
            self.discard(name, file)
        os.close(file)
        return None

    def discard(self, name: str, file: int) -> bool:
        """Remove a damaged file; those that have it open keep it.

        Args:
            name: Its name.
            file: A descriptor of it: a whole one that was put there meanwhile stays.

        Returns:
            Whether it was there still.
        """
        path = self.folder / name
        with self._exclusive(), suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file)):
                path.unlink()
                return True
        return False

    @contextmanager
    def claimed(self, name: str, size_bytes: int) -> Iterator[int | Wait]:
        """Make room for a file and become the one that fetches it.

        Yields:
            A descriptor of the partial file, which may hold the beginning already. At the end the
            file gets its name; after an error what has arrived is kept for a later try.
        """
        part = self.folder / f"{name}.{size_bytes}.part"
        file = self._claim(name, part, size_bytes)
        if isinstance(file, Wait):
            yield file
            return
        try:
            yield file
            with self._exclusive():
                part.replace(self.folder / name)
        except BaseException:
            with self._exclusive():
                if os.fstat(file).st_size == 0:
                    part.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)

    def keep(self, name: str, data: bytes) -> None:
        """Write a whole file, unless it is there. The caller makes sure that nobody else does.

        Raises:
            StorageError: There is no room for it.
        """
        with self.claimed(name, len(data)) as part:
            if part is Wait.FULL:
                raise self.full(name, len(data))
            if isinstance(part, int):
                os.ftruncate(part, 0)
                with open(part, "wb", closefd=False) as writer:
                    writer.write(data)

    def kept_bytes(self) -> int:
        """Return the bytes of manifests and indexes, which are never removed."""
        return sum(file.size_bytes for file in self._files() if file.is_kept)

    def full(self, name: str, size_bytes: int) -> StorageError:
        """Return the error that there is no room for a file, with what takes the room."""
        with self._exclusive():
            used = [file for file in self._files() if not file.is_kept and _is_locked(file.path)]
        kept_bytes = self.kept_bytes()
        names = sorted(_PART.sub("", file.path.name) for file in used)
        shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        return StorageError(
            f"no room for {name} with {size_bytes:,} bytes in the cache",
            f"in use:  {sum(file.size_bytes for file in used):,} bytes: {shown or 'nothing'}",
            f"limit:   {self.limit_bytes:,} bytes in {self.cache}, less {kept_bytes:,} for indexes",
            "type a larger `cache_size_gb`, or end other runs with the same cache",
        )

    def _claim(self, name: str, part: Path, size_bytes: int) -> int | Wait:
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
        # Unlike that of `Path`, this glob passes over folders that vanish meanwhile.
        for name in glob("*/*", root_dir=self.cache, include_hidden=True):  # noqa: PTH207
            path = self.cache / name
            with suppress(FileNotFoundError):
                found = path.stat()
                part = _PART.search(path.name)
                size_bytes = int(part[1]) if part else found.st_size
                is_kept = path.suffix in (".json", ".npy", "")
                files.append(_File(path, size_bytes, found.st_mtime_ns, is_kept))
        return files

    def _exclusive(self) -> AbstractContextManager[None]:
        """Keep all others from adding, renaming and removing files; for moments only."""
        return locked(self.cache / "lock")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file against all other processes and threads, waiting for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def touch(file: int) -> None:
    """Note that a file of the cache was used just now, if that can be noted."""
    with suppress(OSError):  # another user's file, a disk that is read-only by now
        os.utime(file)


def even_if_gone(work: Callable[[], _Result]) -> _Result:
    """Do something in the cache, and again if its folder vanishes meanwhile: it is made anew."""
    for _ in range(_NUM_RETRIES):
        with suppress(FileNotFoundError):
            return work()
    return work()


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
    with suppress(FileNotFoundError), os.fdopen(os.open(path, _READ), "rb") as file:
        return not _lock(file.fileno(), fcntl.LOCK_EX)
    return False


def _remove_unused(path: Path) -> bool:
    try:
        with os.fdopen(os.open(path, _READ), "rb") as file:
            if not _lock(file.fileno(), fcntl.LOCK_EX):
                return False
            path.unlink()
    except PermissionError:  # another user's file
        return False
    except FileNotFoundError:  # somebody empties the cache by hand
        return True
    return True
