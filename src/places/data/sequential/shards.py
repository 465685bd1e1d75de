"""The shards of a split that is read in sequence: where each is, and what is known of it."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from places.config.secrets import without_credentials
from places.data.remote.urls import TIMEOUT_S, is_url, open_url
from places.data.sequential.checked_tar import CheckedTar
from places.data.sequential.remote_stream import RemoteStream
from places.errors import DataError
from places.files import open_regular, storage_error


@dataclass(frozen=True)
class SequentialShard:
    """A tar that is read from its first byte to its last."""

    place: str  # its path or its URL
    first: int  # the number of its first picture in the split; only for telling pictures apart
    num_samples: int | None = None  # how many pictures it holds, if that is known
    size_bytes: int | None = None  # likewise
    sha256: str = ""  # likewise; compared where it comes from a URL
    timeout_s: float = TIMEOUT_S  # see `Patience`

    @property
    def shown(self) -> str:
        """What to call it in a message."""
        return without_credentials(self.place) if is_url(self.place) else self.place

    @contextmanager
    def opened(self) -> Iterator[CheckedTar]:
        """Open it for webdataset.

        Nothing but this opens shards: webdataset's own function would run `pipe:` in a shell, and
        `curl` for a URL.

        Raises:
            ConfigError: No such URL can be read.
            DataError: There is no such file, or it has not the size of its manifest.
            StorageError: It cannot be read.
        """
        if is_url(self.place):
            remote = open_url(self.place, "the URL", self.timeout_s)
            stream = RemoteStream(replace(remote, size_bytes=self.size_bytes))
            try:
                hashed = _Hashed(stream)
                yield CheckedTar(
                    cast(BinaryIO, hashed),
                    self.shown,
                    lambda: self._check_sha256(hashed.digest.hexdigest()),
                )
            finally:
                stream.close()
            return
        try:
            with os.fdopen(open_regular(Path(self.place)), "rb") as file:
                self._check_size(os.fstat(file.fileno()).st_size)
                yield CheckedTar(file, self.shown)
        except FileNotFoundError as error:
            raise DataError(f"no such shard: {self.shown}") from error
        except OSError as error:
            raise storage_error(f"cannot read {self.shown}", error) from error

    def _check_size(self, size_bytes: int) -> None:
        if self.size_bytes not in (None, size_bytes):
            raise DataError(
                f"{self.shown} was cut or replaced: it has {size_bytes:,} bytes, "
                f"its manifest says {self.size_bytes:,}",
                f"check it:  places verify {Path(self.place).parent}",
            )

    def _check_sha256(self, found: str) -> None:
        if self.sha256 and found != self.sha256:
            raise DataError(
                f"{self.shown} is not the shard that its manifest describes",
                f"SHA-256 of its manifest:  {self.sha256}",
                f"SHA-256 found:            {found}",
            )


class _Hashed:
    """Takes the SHA-256 of what is read."""

    def __init__(self, file: RemoteStream) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, num_bytes: int = -1) -> bytes:
        data = self._file.read(num_bytes)
        self.digest.update(data)
        return data
