"""Pictures whose pixels lie ready in a file: of them only the rows that are wanted are read."""

import threading
from collections.abc import Callable

import numpy as np

from places.data.shards.ppm import PpmHeader
from places.data.streaming.jpeg import Pixels, check_size

_local = threading.local()


class RawPicture:
    """A PPM in a shard, of which nothing but the header was read.

    Args:
        header: Its header.
        read: Fills a buffer with the bytes of the picture from a position on, or raises.
    """

    __slots__ = ("_read", "_start", "height", "width")

    def __init__(self, header: PpmHeader, read: Callable[[memoryview, int], None]) -> None:
        self.width, self.height, self._start = header
        self._read = read

    def rows(self, top: int, num_rows: int) -> Pixels:
        """Return `(num_rows, width, 3)` uint8, RGB, from the row `top` on.

        They lie in a buffer of the calling thread: valid until its next call.

        Raises:
            DataError: The picture has too many pixels, or the shard does not hold them any more.
            StorageError: They cannot be read now.
        """
        check_size(self.width, self.height)
        row_bytes = 3 * self.width
        part = _buffer(num_rows * row_bytes)
        self._read(part.data, self._start + top * row_bytes)
        return part.reshape(num_rows, self.width, 3)

    def whole(self, size_bytes: int) -> bytes:
        """Return the file, of which the size is known; raises as `rows` does."""
        file = bytearray(size_bytes)
        self._read(memoryview(file), 0)
        return bytes(file)


Stored = bytes | RawPicture
"""A picture of a shard: the bytes of its file, or a raw one."""


def _buffer(size_bytes: int) -> Pixels:
    # One per thread, grown as needed: fresh memory of this size would come from the system, page by
    # page, for each picture.
    buffer: Pixels | None = getattr(_local, "buffer", None)
    if buffer is None or len(buffer) < size_bytes:
        buffer = _local.buffer = np.empty(size_bytes, np.uint8)
    return buffer[:size_bytes]
