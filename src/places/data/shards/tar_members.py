"""The members of a tar, as they would lie in a folder, and the checksum of a whole file.

Python's `tarfile` takes longer for a header than the disk for a picture; these functions do only
what shards and archives of pictures need.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Protocol

from places.data.shards.tar_links import follow_links
from places.data.shards.tar_reader import (
    FILES,
    FOLDERS,
    LINKS,
    Blocks,
    Member,
    entries_of,
)
from places.files import open_regular

RECORD_BYTES = 10240  # tars are filled up to a multiple of this

_CHUNK_BYTES = 2 << 20  # when a file is hashed
_MAX_DEPTH = 8  # of tars in tars


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
    with os.fdopen(open_regular(path), "rb", buffering=0) as file:
        while not stop.is_set() and (length := file.readinto(buffer)):
            digest.update(buffer[:length])
            advance(length)


def members_of(
    path: Path,
    digest: Digest | None = None,
    advance: Callable[[int], object] = lambda _: None,
    is_shard: bool = False,
    window_bytes: int | None = None,
    between: bytes | None = None,
) -> Iterator[Member]:
    """Yield the members of a tar that are no folders, also those of tars inside it.

    Links come last, as the files that they lead to. What has no bytes of its own says what it is.

    Args:
        path: The tar.
        digest: Is fed every byte of the file, in a second thread; complete after the last member.
        advance: Called with the number of bytes that were passed since the last call.
        is_shard: Read it as WebDataset does: tars inside are files, links have no bytes, and there
            is nothing behind its end.
        window_bytes: How much is read at once: little where only headers are wanted; a
            few pictures by default.
        between: What stands between the name of a tar inside and those of its members; null leaves
            out the name of that tar.

    Raises:
        DataError: The tar is damaged or cut short.
    """
    stop = Event()
    with (
        ThreadPoolExecutor(1) as hasher,
        os.fdopen(open_regular(path), "rb", buffering=0) as file,
    ):
        hashed = hasher.submit(hash_file, path, digest, stop) if digest else None
        blocks = Blocks(path, file.fileno(), advance, window_bytes)
        try:
            if is_shard:
                entries = entries_of(blocks, 0, blocks.size_bytes, is_shard=True)
                yield from (member for kind, member, _ in entries if kind not in FOLDERS)
            else:
                yield from _members(blocks, 0, blocks.size_bytes, between)
            advance(blocks.size_bytes - blocks.end)  # what is left counts as passed
            if hashed:
                hashed.result()
        finally:
            stop.set()


def _members(
    blocks: Blocks, start: int, end: int, between: bytes | None, depth: int = 0
) -> Iterator[Member]:
    has_links = False
    for kind, member, _ in entries_of(blocks, start, end):
        if kind in LINKS:
            has_links = True
        elif member.name.endswith(b".tar") and kind in FILES and not _is_passed_over(member):
            if depth == _MAX_DEPTH:
                raise blocks.damaged(member.offset, f"a tar in {_MAX_DEPTH} others")
            inside = member.offset, member.offset + member.size_bytes
            prefix = b"" if between is None else member.name + between
            for deeper in _members(blocks, *inside, between, depth + 1):
                yield deeper._replace(name=prefix + deeper.name)
        elif kind not in FOLDERS:
            yield member
    if has_links:
        again = Blocks(blocks.path, blocks.file)
        yield from follow_links(blocks.path, entries_of(again, start, end))


def _is_passed_over(member: Member) -> bool:
    """Tell whether what is named like a tar is a hidden file, such as those of macOS, or sparse."""
    return bool(member.no_file) or member.name.rpartition(b"/")[2].startswith(b".")
