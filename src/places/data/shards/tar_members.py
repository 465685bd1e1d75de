"""Tar headers, written and read: the 512 bytes in front of each picture.

Python's `tarfile` takes longer for a header than the disk for a picture; these functions do only
what shards and archives of pictures need.
"""

import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import NamedTuple, Protocol

from places.data.shards.tar_headers import BLOCK_BYTES, read_name, read_size_bytes
from places.errors import DataError

RECORD_BYTES = 10240  # tars are filled up to a multiple of this

_ZEROS = bytes(BLOCK_BYTES)
_CHUNK_BYTES = 2 << 20  # when a file is hashed
_WINDOW_BYTES = 256 << 10  # when headers are read: a few pictures
_OWNER = b"0000644\0" + b"0000000\0" * 2
_MODIFIED = b"00000000000\0"
_REST = bytes(100) + (b"ustar\00000").ljust(255, b"\0")  # all behind the type of the member
_FIXED_SUM = sum(_OWNER) + sum(_MODIFIED) + sum(_REST) + ord("0") + 8 * ord(" ")


class Member(NamedTuple):
    """A regular file in a tar: its name, the position of its first byte in the tar, its size."""

    name: bytes
    offset: int
    size_bytes: int


class Digest(Protocol):
    """What `hashlib` makes."""

    def update(self, data: memoryview, /) -> None: ...  # noqa: D102 - as in hashlib


def padded(size_bytes: int) -> int:
    """Return a size rounded up to whole blocks of 512 bytes."""
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def header_of(name: bytes, size_bytes: int) -> bytes:
    """Return the header of a regular file: one ustar block, owner 0, mode 0644, time 0.

    Raises:
        DataError: The name does not fit into the block.
    """
    rest = _REST
    checksum = _FIXED_SUM
    if len(name) > 100:
        prefix, name = split_name(name)
        rest = _REST[:188] + prefix.ljust(167, b"\0")
        checksum += sum(prefix)
    size = b"%011o\0" % size_bytes
    checksum += sum(name) + sum(size)
    fields = name.ljust(100, b"\0"), _OWNER, size, _MODIFIED, checksum, rest
    return b"%b%b%b%b%06o\0 0%b" % fields


def split_name(name: bytes) -> tuple[bytes, bytes]:
    """Cut a long name at a slash into at most 155 and 100 bytes, as the ustar format wants it.

    Raises:
        DataError: There is no such slash.
    """
    slash = name.rfind(b"/", 0, 156)
    if slash > 0 and 0 < len(name) - slash - 1 <= 100:
        return name[:slash], name[slash + 1 :]
    raise DataError(
        f"the name {name.decode(errors='replace')!r} is too long for a tar of pictures",
        "at most 100 bytes, or 155 before a slash and 100 after it: shorten the file's name",
    )


def is_header(block: bytes) -> bool:
    """Tell whether a block is a tar header, by its checksum."""
    field = block[148:156]
    try:
        checksum = int(field.strip(b" \0"), 8)
    except ValueError:
        return False
    # Adler-32 ends in the sum of all bytes, modulo 65521: twenty times faster than sum().
    rest = (1 + checksum + sum(field) - 8 * ord(" ")) % 65521
    return zlib.adler32(block) & 0xFFFF == rest


def hash_file(path: Path, digest: Digest, stop: Event) -> None:
    """Feed a file to a digest, from its first byte to its last, unless told to stop before."""
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while not stop.is_set() and (length := file.readinto(buffer)):
            digest.update(buffer[:length])


def members_of(
    path: Path, digest: Digest | None = None, advance: Callable[[int], object] = lambda _: None
) -> Iterator[Member]:
    """Yield the regular files of a tar in order, also those of tars inside it.

    Args:
        path: The tar.
        digest: Is fed every byte of the file, in a second thread; complete after the last member.
        advance: Called with the number of bytes that were passed since the last call.

    Raises:
        DataError: The tar is damaged or cut short.
    """
    stop = Event()
    with ThreadPoolExecutor(1) as hasher, path.open("rb", buffering=0) as file:
        hashed = hasher.submit(hash_file, path, digest, stop) if digest else None
        blocks = _Blocks(path, file.fileno(), advance)
        try:
            yield from _members(blocks, 0, blocks.size_bytes)
            blocks.finish()
            if hashed:
                hashed.result()
        finally:
            stop.set()


class _Blocks:
    """The headers of a file, read at rising positions."""

    def __init__(self, path: Path, file: int, advance: Callable[[int], object]) -> None:
        self.path = path
        self.file = file
        self.size_bytes = os.fstat(file).st_size
        self._advance = advance
        self._window = bytearray(_WINDOW_BYTES)
        self._start = self._end = 0

    def header(self, position: int, end: int) -> bytes | None:
        """Return the header at a position, `None` at the mark of the end of a tar."""
        if position + BLOCK_BYTES > end:
            raise self.cut(position, "the mark of its end is missing")
        if position + BLOCK_BYTES > self._end:
            self._read(position)
        start = position - self._start
        block = bytes(memoryview(self._window)[start : start + BLOCK_BYTES])
        if block == _ZEROS:
            return None
        if not is_header(block):
            raise self.damaged(position)
        return block

    def finish(self) -> None:
        """Count what is left of the file as passed."""
        self._advance(self.size_bytes - self._end)

    def _read(self, position: int) -> None:
        length = os.preadv(self.file, [self._window], position)
        if length == 0:
            raise self.cut(position, "it shrank while it was read")
        self._advance(position + length - self._end)
        self._start, self._end = position, position + length

    def cut(self, position: int, reason: str) -> DataError:
        return DataError(
            f"{self.path} is cut short at byte {position:,} of {self.size_bytes:,}: {reason}",
            "get it again",
        )

    def damaged(self, position: int) -> DataError:
        return DataError(
            f"{self.path} is damaged: no tar header at byte {position:,}", "get it again"
        )


def _members(blocks: _Blocks, position: int, end: int) -> Iterator[Member]:
    long_name = b""
    while header := blocks.header(position, end):
        name, kind = long_name or read_name(header), header[156:157]
        member = Member(name, position + BLOCK_BYTES, read_size_bytes(header))
        position = member.offset + padded(member.size_bytes)
        if position > end:
            shown = name.decode(errors="replace")
            raise blocks.cut(member.offset, f"{shown} goes on after the end")
        if kind in b"0\x007":
            if name.endswith(b".tar"):
                yield from _members(blocks, member.offset, member.offset + member.size_bytes)
            else:
                yield member
        if kind in b"Lx":
            long_name = _long_name(blocks, kind, member)
        elif kind not in b"gK":
            long_name = b""


def _long_name(blocks: _Blocks, kind: bytes, member: Member) -> bytes:
    data = os.pread(blocks.file, member.size_bytes, member.offset)
    if kind == b"L":
        return data.rstrip(b"\0")
    while data:  # records of the form "26 path=a/long/name.jpg\n"
        digits = data.partition(b" ")[0][:12]
        length = int(digits) if digits.isdigit() else 0
        if not len(digits) + 1 < length <= len(data):
            raise blocks.damaged(member.offset)
        field, data = data[len(digits) + 1 : length - 1], data[length:]
        if field.startswith(b"path="):
            return field[5:]
    return b""
