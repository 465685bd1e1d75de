"""A tar on its way to webdataset, whose reader would not notice that it is cut or damaged.

`tarfile`, which webdataset reads with, takes a damaged header for the end of the tar, unpacks what
is compressed, and believes any size. So each header is looked at as the bytes pass.
"""

from collections.abc import Callable
from typing import BinaryIO

from places.console import printable
from places.data.shards.other_formats import other_format
from places.data.shards.picture_formats import SUFFIXES
from places.data.shards.tar_headers import (
    BLOCK_BYTES,
    is_header,
    padded,
    read_name,
    read_pax,
    read_size_bytes,
)
from places.data.shards.tar_reader import (
    ABOUT_NEXT,
    ADD_MARK,
    LINKS,
    WITHOUT_DATA,
    WITHOUT_LINKS,
    shown,
)
from places.errors import DataError

MAX_MEMBER_BYTES = 1 << 28  # webdataset takes each into the memory
_MAX_ABOUT_BYTES = 1 << 20  # of what is said about a member in front of it
_DRAIN_BYTES = 1 << 20


class CheckedTar:
    """Passes on the bytes of a tar, and raises an error where they cannot be right.

    Args:
        file: The tar, which gives as many bytes as are asked for until its end.
        name: What to call it.
        at_end: Called when all of it was read.
    """

    def __init__(
        self, file: BinaryIO, name: str, at_end: Callable[[], object] = lambda: None
    ) -> None:
        self._file = file
        self._name = name
        self._at_end = at_end
        self._position = 0  # of the next byte
        self._header = bytearray()  # as far as it has come
        self._num_left = 0  # bytes up to the next header
        self._about: bytearray | None = None  # what is told of the next member, while it comes
        self._has_ended = False

    def read(self, num_bytes: int = -1) -> bytes:
        """Return the next bytes; none at the end.

        Raises:
            DataError: The tar is damaged, cut short, or holds what webdataset should not read.
        """
        data = self._file.read(num_bytes)
        if not data and num_bytes and not self._has_ended:
            if self._position < BLOCK_BYTES:
                self._refuse_format(bytes(self._header), 0)
            is_between = bool(self._position) and not self._num_left and not self._header
            raise DataError(
                f"{self._name} is cut short at byte {self._position:,}: "
                "the mark of its end is missing",
                "get it again",
                *([ADD_MARK] if is_between else []),
            )
        self._follow(memoryview(data))
        return data

    def finish(self) -> None:
        """Read what is left behind the last member; raises as `read` does."""
        while self.read(_DRAIN_BYTES):
            pass
        self._at_end()

    def _follow(self, data: memoryview) -> None:
        while data:
            if self._has_ended:
                if bytes(data).strip(b"\0"):
                    raise self._damaged("it goes on behind its end, where WebDataset stops,")
                taken = len(data)
            elif self._num_left:
                taken = min(self._num_left, len(data))
                self._num_left -= taken
                if self._about is not None:
                    self._about += data[:taken]
                    self._learn()
            else:
                taken = min(BLOCK_BYTES - len(self._header), len(data))
                self._header += data[:taken]
                if len(self._header) == BLOCK_BYTES:
                    self._position += taken - BLOCK_BYTES  # where the header begins
                    self._enter(bytes(self._header))
                    self._position += BLOCK_BYTES - taken
                    self._header.clear()
            self._position += taken
            data = data[taken:]

    def _enter(self, header: bytes) -> None:
        if not is_header(header):
            if header.strip(b"\0"):
                self._refuse_format(header, self._position)
                raise self._damaged("no tar header")
            self._has_ended = True
            return
        kind = header[156:157]
        try:
            size_bytes = 0 if kind in WITHOUT_DATA else read_size_bytes(header)
        except DataError as error:
            raise self._damaged(error.message) from error
        name = read_name(header)
        limit = _MAX_ABOUT_BYTES if kind in ABOUT_NEXT else MAX_MEMBER_BYTES
        if size_bytes > limit:
            raise self._damaged(f"{shown(name)} of {size_bytes:,} bytes, {limit:,} at most,")
        if kind == b"S":
            raise self._no_bytes(name, "a sparse file")
        if kind in LINKS and name.rpartition(b".")[2].lower() in SUFFIXES:
            raise self._no_bytes(name, "a link, which WebDataset passes over")
        self._num_left = padded(size_bytes)
        if kind in b"xg" and size_bytes:
            self._about = bytearray()

    def _learn(self) -> None:
        """Refuse sizes that are told in another place than the header, once all is there."""
        if self._num_left or self._about is None:
            return
        try:
            records = read_pax(bytes(self._about))
        except DataError as error:
            raise self._damaged(error.message) from error
        self._about = None
        if any(key == b"size" or key.startswith(b"GNU.sparse.") for key in records):
            raise self._damaged("a size in front of the header of its member")

    def _damaged(self, reason: str) -> DataError:
        return DataError(
            f"{self._name} is damaged: {reason} at byte {self._position:,}",
            "get it again, or unpack it, see what is there, and pack the folder",
        )

    def _no_bytes(self, name: bytes, what: str) -> DataError:
        message = f"{shown(name)} in {self._name} is {what}, at byte {self._position:,}"
        return DataError(message, WITHOUT_LINKS)

    def _refuse_format(self, data: bytes, position: int) -> None:
        error = other_format(printable(self._name), position, data)
        if error:
            raise error
