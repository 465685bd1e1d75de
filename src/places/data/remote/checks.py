"""What a run knows about the shards in its cache: compared with their SHA-256, or not yet."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from places.data.remote.failures import StoppedError
from places.errors import StorageError

MOST_RENEWALS = 3  # of a shard in a run; a disk that damages it each time is to blame

_CHUNK_BYTES = 2**20


class CacheChecks:
    """Which shards of the cache are known to be whole. Safe to use from many threads.

    Shards are compared with their SHA-256 when they are fetched. What lies in the cache from before
    may have been damaged there.

    Args:
        before_use: Whether each of those is compared again before a run first reads it.
    """

    def __init__(self, *, before_use: bool = False) -> None:
        self._before_use = before_use
        self._lock = threading.Lock()
        # Each as it was when it was compared; nothing for one that was compared as it arrived.
        self._whole: dict[Path, tuple[int, int] | None] = {}
        self._being_checked: set[Path] = set()
        self._num_renewals: dict[Path, int] = {}

    def is_due(self, path: Path) -> bool:
        """Tell whether a shard must be compared before it may be read."""
        with self._lock:
            return self._before_use and path not in self._whole

    @contextmanager
    def alone(self, path: Path) -> Iterator[bool]:
        """Tell whether this thread may compare a shard: no other of this process does."""
        with self._lock:
            is_first = path not in self._being_checked
            self._being_checked.add(path)
        try:
            yield is_first
        finally:
            if is_first:
                with self._lock:
                    self._being_checked.discard(path)

    def is_whole(self, path: Path, file: int, sha256: str, stop: threading.Event) -> bool:
        """Compare a shard with its SHA-256, unless it is as it was the last time.

        Args:
            path: Where it lies.
            file: A descriptor of it.
            sha256: What is expected, in hex.
            stop: Set by another thread to end this early.
        """
        state = _state(file)
        with self._lock:
            if self._whole.get(path) == state:
                return True
        if sha256_of(file, stop) != sha256:
            return False
        with self._lock:
            self._whole[path] = state
        return True

    def note_arrival(self, path: Path) -> None:
        """Note that a shard with the right SHA-256 was put into the cache."""
        with self._lock:
            self._whole[path] = None

    def note_renewal(self, path: Path) -> None:
        """Note that a shard was damaged in the cache and is fetched again.

        Raises:
            StorageError: That happened too often.
        """
        with self._lock:
            self._whole.pop(path, None)
            count = self._num_renewals[path] = self._num_renewals.get(path, 0) + 1
        if count > MOST_RENEWALS:
            raise StorageError(
                f"{path} was damaged in the cache {count} times in this run",
                "check the disk, or name another folder:  `cache_folder` FOLDER",
            )


def sha256_of(file: int, stop: threading.Event | None = None) -> str:
    """Return the SHA-256 of an open file in hex; its position stays where it is.

    Args:
        file: A descriptor.
        stop: Set by another thread to end this early, with a `StoppedError`.
    """
    digest, position = hashlib.sha256(), 0
    while data := os.pread(file, _CHUNK_BYTES, position):
        if stop and stop.is_set():
            raise StoppedError("a check of the cache was given up")
        digest.update(data)
        position += len(data)
    return digest.hexdigest()


def _state(file: int) -> tuple[int, int]:
    found = os.fstat(file)
    return found.st_ino, found.st_mtime_ns
