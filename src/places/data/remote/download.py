"""Files behind URLs, read in ranges through fsspec.

A broken connection is tried again, a started file is continued, a finished one is verified. No
message shows credentials.
"""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial

from places.data.remote.urls import RemoteFolder, without_secrets
from places.errors import DataError, StorageError

RANGE_BYTES = 16 * 2**20
SMALLEST_RANGE_BYTES = 2**17  # what is asked for when longer answers broke again and again
NUM_TRIES = 8
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0

_LOOK_S = 0.1  # how often a read looks whether it is still wanted

_PASSING_STATUSES = {408, 425, 429}  # of those from 400 to 499; the others stay as they are
_logger = logging.getLogger("places.data.remote.fetch")


class MissingFileError(DataError):
    """There is no file behind a URL."""


class StoppedError(StorageError):
    """A file was not fetched to its end, because nobody waits for it any more."""


class _WrongLengthError(Exception):
    """An answer has other bytes than were asked for; the text says which."""


def read_file(folder: RemoteFolder, name: str) -> bytes:
    """Read a small file, with several tries.

    Raises:
        MissingFileError: There is none.
        StorageError: It cannot be read.
    """
    return _try(folder, name, lambda _: folder.read(name), threading.Event())


def fetch(
    folder: RemoteFolder,
    name: str,
    size_bytes: int,
    sha256: str,
    file: int,
    stop: threading.Event,
) -> None:
    """Bring a local file to the end of a remote one, and verify it.

    Args:
        folder: Where the remote file lies.
        name: Its name.
        size_bytes: Its size in bytes.
        sha256: Its SHA-256 in hex.
        file: Descriptor of the local file, which holds the beginning of the remote one, or nothing.
            It is empty after an error if what arrived is of no use.
        stop: Set by another thread to end this early.

    Raises:
        MissingFileError: There is none.
        DataError: It is not the expected file, even if fetched twice.
        StorageError: It cannot be read.
        StoppedError: `stop` was set.
    """
    start, start_s = os.fstat(file).st_size, time.monotonic()
    for _ in range(2):
        try:
            _append(folder, name, size_bytes, file, stop)
            found = _sha256(file)
            reasons = (f"SHA-256 of its manifest:  {sha256}", f"SHA-256 found:            {found}")
        except _WrongLengthError as error:
            found, reasons = "", (str(error), f"bytes of its manifest:  {size_bytes:,}")
        if found == sha256:
            os.fsync(file)
            took_s = max(time.monotonic() - start_s, 1e-6)
            megabytes = (size_bytes - start) / 1e6
            speed = f"{megabytes:.1f} MB in {took_s:.1f} s, {megabytes / took_s:.1f} MB/s"
            _logger.info("fetched %s: %s", folder.shown(name), speed)
            return
        _logger.warning("%s arrived damaged: %s", folder.shown(name), ", ".join(reasons))
        os.ftruncate(file, 0)
        start, start_s = 0, time.monotonic()
    raise DataError(
        f"{folder.shown(name)} is not the file that its manifest describes",
        *reasons,
        "put the shard and its manifest there again, both of the same run of places pack",
    )


def _append(
    folder: RemoteFolder, name: str, size_bytes: int, file: int, stop: threading.Event
) -> None:
    while (start := os.fstat(file).st_size) < size_bytes:
        data = _try(folder, name, _range_reader(folder, name, start, size_bytes), stop)
        if len(data) == size_bytes:  # also from servers that know no ranges
            os.ftruncate(file, 0)
        with open(file, "ab", closefd=False) as writer:
            writer.write(data)


def _range_reader(
    folder: RemoteFolder, name: str, start: int, size_bytes: int
) -> Callable[[int], bytes]:
    def read(num_try: int) -> bytes:
        # Shorter with each try: a connection that breaks every few megabytes gets through as well.
        length = max(RANGE_BYTES >> (num_try - 1), min(SMALLEST_RANGE_BYTES, RANGE_BYTES))
        end = min(start + length, size_bytes)
        try:
            data = folder.read(name, start, end)
        except Exception as error:
            if _status(error) == 416:
                raise _WrongLengthError(f"it ends before byte {start:,}") from error
            raise
        if len(data) not in (end - start, size_bytes):
            raise _WrongLengthError(
                f"{len(data):,} bytes arrived instead of {end - start:,} from byte {start:,} on"
            )
        return data

    return read


def _try(
    folder: RemoteFolder, name: str, read: Callable[[int], bytes], stop: threading.Event
) -> bytes:
    """Call `read` with the number of the try, from 1, until it works or there is no hope."""
    import tenacity  # only runs with remote data need it

    def warn(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        reason = _reason(folder, error)
        shown = folder.shown(name)
        _logger.warning("%s: try %d failed: %s", shown, state.attempt_number, reason)

    tries = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        stop=tenacity.stop_after_attempt(NUM_TRIES) | tenacity.stop_when_event_set(stop),
        wait=tenacity.wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
        sleep=tenacity.sleep_using_event(stop),
        before_sleep=warn,
        reraise=True,
    )
    num_tries = 0

    def read_once() -> bytes:
        nonlocal num_tries
        num_tries += 1
        return _read_unless(stop, partial(read, num_tries), folder.shown(name))

    try:
        return tries(read_once)
    except (_WrongLengthError, StoppedError):
        raise
    except Exception as error:
        # Not chained: the original may show credentials.
        failure = _failure(folder, name, error, num_tries)
    raise failure


def _read_unless(stop: threading.Event, read: Callable[[], bytes], shown: str) -> bytes:
    """Read in a thread of its own, which is left to itself once nobody waits any more.

    A server that does not answer holds a connection for a minute, and no library can be told in
    the meantime.
    """
    done: Future[bytes] = Future()

    def run() -> None:
        try:
            done.set_result(read())
        except BaseException as error:
            done.set_exception(error)

    if not stop.is_set():
        threading.Thread(target=run, name="places-read", daemon=True).start()
    while not stop.is_set():
        if wait([done], timeout=_LOOK_S).done:
            if isinstance(done.exception(), RuntimeError) and "shutdown" in str(done.exception()):
                break  # "cannot schedule new futures": this process is about to end
            return done.result()
    raise StoppedError(f"{shown} was not fetched to its end")


def _may_pass(error: BaseException) -> bool:
    """Tell whether an error may not come again."""
    lasting = (FileNotFoundError, PermissionError, _WrongLengthError, ImportError, StoppedError)
    if isinstance(error, lasting) or type(error).__name__ == "NoCredentialsError":
        return False
    status = _status(error)
    is_lasting = status is not None and 400 <= status < 500 and status not in _PASSING_STATUSES
    return isinstance(error, Exception) and not is_lasting


def _failure(folder: RemoteFolder, name: str, error: Exception, num_tries: int) -> DataError:
    shown, reason, status = folder.shown(name), _reason(folder, error), _status(error)
    if isinstance(error, FileNotFoundError) or status == 404:
        return MissingFileError(
            f"{shown} does not exist", "not found (404): check the address, or upload the file"
        )
    denied = isinstance(error, PermissionError) or type(error).__name__ == "NoCredentialsError"
    if denied or status in (401, 403):
        return StorageError(
            f"no permission to read {shown}",
            f"the answer:  {reason}",
            "check the address and the credentials; some stores refuse missing files like this",
        )
    return StorageError(
        f"cannot read {shown}",
        f"after {num_tries} {'try' if num_tries == 1 else 'tries'}:  {reason}",
        "start again when the server answers: what has arrived is kept",
    )


def _reason(folder: RemoteFolder, error: BaseException | None) -> str:
    """Return kind and text of an error without the secrets of the folder's URL."""
    text = without_secrets(str(error), folder.url)
    status = _status(error)
    kind = type(error).__name__ + (f" {status}" if status and str(status) not in text else "")
    return f"{kind}: {text}" if text else kind


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status of an error, whichever library raised it."""
    if type(error) is OSError and error.__cause__ is not None:  # s3fs
        response = getattr(error.__cause__, "response", None) or {}
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(error, "status", None) or getattr(error, "code", None)
    return status if isinstance(status, int) else None


def _sha256(file: int) -> str:
    with open(file, "rb", closefd=False) as reader:
        reader.seek(0)
        return hashlib.file_digest(reader, "sha256").hexdigest()
