"""A file behind a URL, read once from its first byte to its last; nothing is kept on a disk."""

import os
from collections.abc import Iterator

from places.data.remote.answers import Version
from places.data.remote.download import complete
from places.data.remote.urls import RemotePath
from places.errors import DataError


class RemoteStream:
    """Reads a file behind a URL as a stream, asking again where a connection breaks.

    Args:
        remote: The file.

    Raises:
        ConfigError: No such URL can be read.
    """

    def __init__(self, remote: RemotePath) -> None:
        self._shown = remote.shown
        self._unread = _Unread()
        self._parts: Iterator[tuple[int, Version]] = complete(remote, self._unread)  # type: ignore[arg-type]  # does what is asked of a file there
        self._version: Version | None = None
        self._has_ended = False

    def read(self, num_bytes: int = -1) -> bytes:
        """Return the next bytes: as many as are asked for, all if negative, fewer at the end only.

        Raises:
            MissingFileError: There is no such file.
            DataError: It was replaced meanwhile.
            StorageError: It cannot be read.
        """
        while not self._has_ended and not 0 <= num_bytes <= self._unread.num_bytes:
            part = next(self._parts, None)
            self._has_ended = part is None
            if part is not None:
                self._check_version(part[1])
        return self._unread.take(num_bytes)

    def close(self) -> None:
        """Let go of the connection."""
        self._has_ended = True
        close = getattr(self._parts, "close", None)
        if close:
            close()

    def _check_version(self, version: Version) -> None:
        before, self._version = self._version or version, version
        if any(now != was for now, was in zip(version, before, strict=True) if now and was):
            raise DataError(
                f"{self._shown} was replaced while it was read", "start again from its beginning"
            )


class _Unread:
    """What has come and was not taken: a file as far as `complete` writes one.

    After a broken connection a server may begin again at the first byte: what was there before is
    passed over.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._end = 0  # position of the first byte that has not come yet
        self._position = 0  # where the next byte is written

    @property
    def num_bytes(self) -> int:
        """How many bytes can be taken."""
        return len(self._data)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Move to where the next part belongs; see `complete`."""
        self._position = self._end if whence == os.SEEK_END else position
        return self._position

    def truncate(self, position: int) -> None:
        """Keep what was there: only what comes again would be cut."""

    def write(self, data: memoryview) -> int:
        """Take a part, as far as it is new."""
        num_known = min(max(self._end - self._position, 0), len(data))
        self._data += data[num_known:]
        self._position += len(data)
        self._end = max(self._end, self._position)
        return len(data)

    def take(self, num_bytes: int) -> bytes:
        """Return the first bytes, and forget them."""
        taken = bytes(self._data if num_bytes < 0 else self._data[:num_bytes])
        del self._data[: len(taken)]
        return taken
