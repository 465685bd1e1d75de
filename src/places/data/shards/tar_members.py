"""Tar headers, written and read: the 512 bytes in front of each picture.

Python's `tarfile` takes longer for a header than the disk for a picture; these functions do only
what shards and archives of pictures need.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import NamedTuple, Protocol

from places.data.shards.tar_headers import (
    BLOCK_BYTES,
    is_header,
    padded,
    read_name,
    read_size_bytes,
)
from places.errors import DataError

RECORD_BYTES = 10240  # tars are filled up to a multiple of this

_ZEROS = bytes(BLOCK_BYTES)
_CHUNK_BYTES = 2 << 20  # when a file is hashed
_WINDOW_BYTES = 256 << 10  # when headers are read: a few pictures


class Member(NamedTuple):
    """A regular file in a tar: its name, the position of its first byte in the tar, its size."""

    name: bytes
    offset: int
    size_bytes: int


class Digest(Protocol):
    """What `hashlib` makes."""

    def update(self, data: memoryview, /) -> None: ...  # noqa: D102 - as in hashlib


def hash_file(
    path: Path,
    digest: Digest,
    stop: Event,
    advance: Callable[[int], object] = lambda _: None,
) -> None:
    """Feed a file to a digest, from its first byte to its last, unless told to stop before.

    Args:
        path: The file.
        digest: What it is fed to.
        stop: Set by another thread to end this early.
        advance: Called with the number of bytes of each part.
    """
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while not stop.is_set() and (length := file.readinto(buffer)):
            digest.update(buffer[:length])
            advance(length)


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
            advance(blocks.size_bytes - blocks.end)  # what is left counts as passed
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
        self._start = self.end = 0

    def header(self, position: int, end: int) -> bytes | None:
        """Return the header at a position, `None` at the mark of the end of a tar."""
        if position + BLOCK_BYTES > end:
            raise self.cut(position, "the mark of its end is missing")
        if position + BLOCK_BYTES > self.end:
            self._read(position)
        start = position - self._start
        block = bytes(memoryview(self._window)[start : start + BLOCK_BYTES])
        if block == _ZEROS:
            return None
        if not is_header(block):
            raise self.damaged(position)
        return block

    def _read(self, position: int) -> None:
        length = os.preadv(self.file, [self._window], position)
        if length == 0:
            raise self.cut(position, "it shrank while it was read")
        self._advance(position + length - self.end)
        self._start, self.end = position, position + length

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
