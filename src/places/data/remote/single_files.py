"""Single files behind URLs, of which there may be many: pictures, lists, tars of pictures.

What concerns one of them is told from a server that is down: the first is the trouble of a picture,
the second that of the run.
"""

import hashlib
import json
import threading
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from places.config.secrets import without_credentials
from places.console import progress
from places.data.remote.answers import AnswerError, Version
from places.data.remote.cache import locked
from places.data.remote.download import complete, fetch_file
from places.data.remote.failures import MissingFileError, StoppedError, TooSlowError
from places.data.remote.urls import RemotePath, open_url
from places.errors import DataError, StorageError
from places.files import storage_error, write_text

_LOOK_S = 10.0  # how long a server has to show that it is not down


class SingleFiles:
    """Reads files behind URLs into the memory.

    Args:
        timeout_s: How long to be patient with each, see `Patience`.
        most_bytes: How long each may be.
    """

    def __init__(self, timeout_s: float, most_bytes: int) -> None:
        self.timeout_s = timeout_s
        self.most_bytes = most_bytes
        self._given: dict[str, RemotePath] = {}  # by each server, the last one

    def open(self, url: str) -> RemotePath:
        """Prepare to read a file; asks for nothing yet.

        Raises:
            ConfigError: No such URL can be read, or a package is missing for it.
        """
        remote = open_url(url, "`images`", self.timeout_s)
        return replace(remote, most_bytes=self.most_bytes)

    def read(self, url: str, stop: threading.Event | None = None) -> bytes:
        """Read a file.

        Raises:
            DataError: This file cannot be had: it is missing, denied, too long, or led elsewhere.
            StorageError: Its server is down or too slow.
            StoppedError: `stop` was set.
        """
        remote, memory = self.open(url), BytesIO()
        server = urlsplit(url).netloc.rpartition("@")[2]
        try:
            for _ in complete(remote, memory, stop=stop):
                pass
        except MissingFileError as error:
            raise DataError("not found (404)") from error
        except AnswerError as error:
            raise _of_one_file(error) from error
        except StoppedError:
            raise
        except StorageError as error:
            if server in self._given and _answers(self._given[server]):
                raise _of_one_file(error) from error
            raise
        self._given[server] = remote
        return memory.getvalue()


def _of_one_file(error: StorageError) -> DataError:
    """Return an error that says nothing about the server, in one line with the reason."""
    told = [line.partition(":  ")[2] for line in error.hint if ":  " in line]
    reason = [] if isinstance(error, TooSlowError) else told[:1]
    return DataError(": ".join([error.message, *reason]))


def fetch_whole(url: str, folder: Path, timeout_s: float, most_bytes: int) -> Path:
    """Bring a file to this machine, unless the same one is there from an earlier run.

    Args:
        url: Where it is.
        folder: Where it goes, under a name made of its URL.
        timeout_s: How long to be patient, see `Patience`.
        most_bytes: How long it may be.

    Raises:
        ConfigError: No such URL can be read, or a package is missing for it.
        DataError: There is no such file, or it is too long.
        StorageError: It cannot be fetched or kept.
    """
    remote = replace(open_url(url, "`images`", timeout_s), most_bytes=most_bytes)
    # Without credentials: a new token is no new file, and the server is asked each time.
    key = hashlib.sha256(without_credentials(url).encode()).hexdigest()[:16]
    path = folder / f"{key}-{PurePosixPath(urlsplit(url).path).name[-100:]}"
    record = path.with_name(f"{path.name}.json")  # which version that is
    try:
        with locked(folder / "lock"):
            version = _version_of(remote)
            if not (version.tag and path.is_file() and _kept(record) == list(version)):
                record.unlink(missing_ok=True)
                _fetch(remote, path)
                if version.tag and _version_of(remote) == version:
                    write_text(record, json.dumps(version))
    except OSError as error:  # those of the network are DataErrors by now
        raise storage_error(f"cannot keep {remote.shown} in {folder}", error) from error
    return path


def _fetch(remote: RemotePath, path: Path) -> None:
    known_bytes = seen_bytes = 0
    with progress(f"fetching {path.name}", 0) as counter:

        def follow(position: int, size_bytes: int | None) -> None:
            nonlocal known_bytes, seen_bytes
            counter.expect((size_bytes or position) - known_bytes)
            counter.advance(position - seen_bytes)
            known_bytes, seen_bytes = size_bytes or position, position

        fetch_file(remote, path, follow=follow)


def _version_of(remote: RemotePath) -> Version:
    """Return what the server tells of a file now."""
    for _, version in complete(remote, BytesIO()):
        return version
    return Version()


def _kept(record: Path) -> object:
    with suppress(OSError, ValueError, RecursionError):
        return json.loads(record.read_text(encoding="utf-8"))
    return None


def _answers(remote: RemotePath) -> bool:
    """Tell whether a server still says something of a file that it gave before."""
    quick = replace(remote, timeout_s=min(_LOOK_S, remote.timeout_s))
    try:
        _version_of(quick)
    except (AnswerError, MissingFileError):
        return True
    except DataError:
        return False
    return True
