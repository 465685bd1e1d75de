"""Files behind URLs, brought to this machine: shards, checkpoints and the official archives.

A broken connection is tried again, a started file is continued where it ends. No message shows
credentials.
"""

import fcntl
import json
import logging
import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from io import BytesIO, FileIO
from pathlib import Path
from typing import BinaryIO

from places.data.remote.answers import (
    Part,
    ReplacedError,
    Version,
    ask,
    check_length,
    most_bytes,
)
from places.data.remote.failures import StoppedError, failure_of, reason_of, too_slow
from places.data.remote.patience import Patience
from places.data.remote.urls import RemotePath
from places.errors import DataError, StorageError
from places.files import storage_error, write_text

NUM_TRIES = 8  # one after the other in which nothing new arrives
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0

_LOOK_S = 0.1  # how often a read looks whether it is still wanted
_logger = logging.getLogger("places.data.remote.fetch")


def read_file(remote: RemotePath) -> bytes:
    """Read a small file.

    Raises:
        MissingFileError: There is none.
        DataError: It is longer than it may be.
        StorageError: It cannot be read.
    """
    memory = BytesIO()
    for _ in complete(remote, memory):
        pass
    return memory.getvalue()


def fetch_file(
    remote: RemotePath,
    path: Path,
    verify: Callable[[Path], object] | None = None,
    follow: Callable[[int, int | None], object] = lambda position, size_bytes: None,
) -> None:
    """Fetch a file to `path`, replacing what is there; until it is whole, it is `<path>.part`.

    What has arrived before an error or an interruption is continued by the next call, if the file
    behind the URL is still the same.

    Args:
        remote: The file.
        path: Where it goes.
        verify: Called with the complete `.part`; it raises an error if that is the wrong file, and
            may rename it. Without it, a started file is only continued if the server tells that it
            still is the same.
        follow: Called with the number of bytes that are there, and of all if that is known.

    Raises:
        MissingFileError: There is none.
        StorageError: It cannot be read, or not be written.
    """
    part = path.with_name(f"{path.name}.part")
    record = part.with_name(f"{part.name}.json")  # to which version the partial file belongs
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _only_writer(part, record) as file:
            kept = _kept_version(record)
            start = file.seek(0, os.SEEK_END)
            for position, version in complete(remote, file, kept, is_verified=verify is not None):
                if position == 0:
                    write_text(record, json.dumps(version))
                if position in (0, start) and version.size_bytes:
                    _check_space(part, version.size_bytes - position)
                follow(position, version.size_bytes)
            os.fsync(file.fileno())
            if verify:
                verify(part)
            part.replace(path)
    except OSError as error:  # those of the network are DataErrors by now
        raise storage_error(f"cannot write {part}", error) from error


def complete(
    remote: RemotePath,
    file: BinaryIO | FileIO,
    version: Version = Version(),  # noqa: B008  # immutable
    *,
    is_verified: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[tuple[int, Version]]:
    """Bring a local file to the end of a remote one, asking again when the connection breaks.

    Args:
        remote: The remote file.
        file: The local file, open for writing without a buffer. It may hold the beginning.
        version: The version to which the beginning belongs, if known.
        is_verified: Whether the caller verifies a checksum; then a beginning is continued even if
            nothing tells to which version it belongs.
        stop: Set by another thread to end this early.

    Yields:
        The number of bytes that are there, and their version: when the server answers, and after
        each part. Another version than before is written from byte 0 on.

    Raises:
        MissingFileError: There is no remote file.
        DataError: It has not the size that it must have, or does not end.
        StorageError: It cannot be read.
        TooSlowError: It takes too long.
        StoppedError: `stop` was set.
    """
    stop, patience = stop or threading.Event(), Patience(remote.timeout_s)
    position = furthest = file.seek(0, os.SEEK_END)
    answer, num_tries, reason = None, 0, ""
    while True:
        answer = answer or ask(remote, position if is_verified or version.tag else 0, version)
        read = _read_part(remote, answer, stop, patience, reason)
        if error := read.exception():
            answer, num_tries = None, num_tries + 1
            if isinstance(error, ReplacedError):
                position, version = 0, Version()
            if failure := failure_of(remote, error, num_tries, NUM_TRIES):
                raise failure
            reason = reason_of(remote, error)
            _logger.warning("%s: try %d failed: %s", remote.shown, num_tries, reason)
            # Random, so that the processes of a job do not all come back at the same time.
            pause_s = random.uniform(0, min(FIRST_WAIT_S * 2 ** (num_tries - 1), LONGEST_WAIT_S))
            stop.wait(min(pause_s, max(patience.left_s, 0)))
        elif part := read.result():
            position, data, version = part
            position += _write(remote, file, version, position, data)
            patience.add(len(data), most_bytes(remote, version))
            yield position, version
            if position > furthest:
                num_tries, furthest = 0, position
        else:
            return


def _write(
    remote: RemotePath, file: BinaryIO | FileIO, version: Version, position: int, data: bytes
) -> int:
    try:
        check_length(remote, version, position + len(data))
    except DataError:
        file.truncate(0)  # it is no beginning of what is wanted
        raise
    if not data:
        file.truncate(file.seek(position))
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
    return len(data)


def _read_part(
    remote: RemotePath,
    answer: Iterator[Part],
    stop: threading.Event,
    patience: Patience,
    reason: str,
) -> Future[Part | None]:
    """Read in a thread of its own, which is left to itself once nobody waits any more.

    A server that does not answer holds a connection for a minute, and no library can be told in
    the meantime.

    Returns:
        The next part, `None` at the end, or an error.

    Raises:
        TooSlowError: The patience is at its end; the reason for the last failure is told with it.
        StoppedError: `stop` was set, or this process ends.
    """
    done: Future[Part | None] = Future()

    def run() -> None:
        try:
            done.set_result(next(answer, None))
        except BaseException as error:
            done.set_exception(error)

    if not stop.is_set():
        threading.Thread(target=run, name="places-read", daemon=True).start()
    while not stop.is_set():
        if wait([done], timeout=_LOOK_S).done:
            error = done.exception()
            if isinstance(error, RuntimeError) and "shutdown" in str(error):
                break  # "cannot schedule new futures": this process is about to end
            return done
        if patience.left_s <= 0:  # only now: what has arrived counts, also after a SIGSTOP
            raise too_slow(remote, patience, reason)
    raise StoppedError(f"{remote.shown} was not fetched to its end")


def _kept_version(record: Path) -> Version:
    """Return the version to which a partial file belongs, as far as is known."""
    with suppress(OSError, ValueError, RecursionError):
        match json.loads(record.read_text()):
            case [int() | None as size_bytes, str() as tag] if tag.isprintable():
                return Version(size_bytes, tag)
    return Version()


@contextmanager
def _only_writer(part: Path, record: Path) -> Iterator[FileIO]:
    """Open a partial file, waiting for another process that writes it; an empty one is removed."""
    while True:
        with part.open("ab", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # While this process waited, the other one may have given the file its final name.
            if not part.exists() or not os.path.samestat(os.fstat(file.fileno()), part.stat()):
                continue
            try:
                yield file
            finally:
                if os.fstat(file.fileno()).st_size == 0:
                    part.unlink(missing_ok=True)
                if not part.exists():
                    record.unlink(missing_ok=True)
            return


def _check_space(path: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(path.parent).free
    if needed_bytes > free_bytes:
        raise StorageError(
            f"{path} needs {needed_bytes:,} more bytes, but its disk has {free_bytes:,} free",
            "make room there",
        )
