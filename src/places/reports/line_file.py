"""A file of records to which one process adds, and of which all whole records can be read."""

import errno
import fcntl
import io
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from places.errors import ConfigError
from places.files import append, storage_error, sync

_MAX_RECORD_BYTES = 2**20  # paths and reasons are shorter


class LineFile:
    """Records of one or several lines of text, written as a whole or not at all.

    Args:
        path: The file.
        header: What stands before the first record.
        is_whole: Tells whether lines that follow each other are a whole record; by default each
            line is one.
    """

    def __init__(
        self, path: Path, header: str = "", is_whole: Callable[[bytes], bool] = lambda _: True
    ) -> None:
        self.path = path
        self._header = header.encode()
        self._is_whole = is_whole
        self._file: io.FileIO | None = None

    def open(self) -> None:
        """Open the file, or make it, for this process alone.

        Raises:
            ConfigError: Another process writes it.
            StorageError: The system refuses.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _open_locked(self.path)
        except OSError as error:
            raise storage_error(f"cannot write {self.path}", error) from error

    @property
    def is_open(self) -> bool:
        """Whether the file is open."""
        return self._file is not None and not self._file.closed

    def is_empty(self) -> bool:
        """Tell whether nothing was ever written."""
        return os.fstat(self._opened.fileno()).st_size == 0

    def has_records(self) -> bool:
        """Tell whether there is more than a header, of whatever kind, in one line."""
        with self.path.open("rb") as file:
            if self._header:
                file.readline(_MAX_RECORD_BYTES)
            return bool(file.read(1))

    def records(self) -> Iterator[tuple[int, str]]:
        """Yield records until one is not whole, each with its end in bytes."""
        with self.path.open("rb") as file:
            if file.read(len(self._header)) == self._header:
                yield from _whole_records(file, self._is_whole)

    def clear(self) -> None:
        """Remove all that is in the file."""
        self._truncate(0)

    def cut(self, end: int) -> None:
        """Keep the records up to one, by its end in bytes; 0 keeps the header only."""
        self._truncate(end)
        if not end and self._header:
            append(self._opened, self._header)

    def add(self, text: str) -> None:
        """Add records, whole or not at all.

        Raises:
            StorageError: They cannot be written; those before are there.
        """
        append(self._opened, text.encode("utf-8", "backslashreplace"))

    def finish(self) -> None:
        """Wait until all is on the disk, and close the file.

        Raises:
            StorageError: The system refuses.
        """
        try:
            sync(self.path)
        except OSError as error:
            raise storage_error(f"cannot write {self.path}", error) from error
        self.close()

    def close(self) -> None:
        """Close the file as it is, for others to write."""
        if self._file is not None:
            self._file.close()

    @property
    def _opened(self) -> io.FileIO:
        assert self._file is not None, "it is to be opened first"
        return self._file

    def _truncate(self, end: int) -> None:
        try:
            self._opened.truncate(end)
            self._opened.seek(end)
        except OSError as error:
            raise storage_error(f"cannot write {self.path}", error) from error


def is_locked(path: Path) -> bool:
    """Tell whether a process has such a file open to write."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _open_locked(path: Path) -> io.FileIO:
    """Open a file to add to it, which no other process can do meanwhile."""
    while True:
        file = path.open("ab+", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise ConfigError(
                f"another places predict writes {path} now",
                "wait for it, or name another file:  --predictions.file FILE",
            ) from error
        except OSError as error:  # some network file systems have no locks
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                file.close()
                raise
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # the other one has just removed it


def _whole_records(file: BinaryIO, is_whole: Callable[[bytes], bool]) -> Iterator[tuple[int, str]]:
    end, record = file.tell(), b""
    while line := file.readline(_MAX_RECORD_BYTES):
        record += line
        if not line.endswith(b"\n") or len(record) > _MAX_RECORD_BYTES:
            return
        if is_whole(record):
            end += len(record)
            try:
                text = record.decode()
            except UnicodeDecodeError:
                return
            yield end, text
            record = b""
