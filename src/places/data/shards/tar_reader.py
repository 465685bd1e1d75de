"""The headers of a tar one after the other, with what stands in front of them about long names.

What a header says is checked as far as it leads elsewhere: positions always rise and stay inside.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from places.console import printable
from places.data.shards.other_formats import other_format
from places.data.shards.tar_headers import (
    BLOCK_BYTES,
    MAX_NAME_BYTES,
    is_header,
    padded,
    read_name,
    read_pax,
    read_size_bytes,
    read_target,
    until_zero,
)
from places.errors import DataError

FILES = b"0\x007"
FOLDERS = b"5D"
HARD_LINK, SYMBOLIC_LINK = b"1", b"2"
LINKS = b"12"

_ZEROS = bytes(BLOCK_BYTES)
_WINDOW_BYTES = 256 << 10  # a few pictures
_MAX_EXTENDED_BYTES = 1 << 20  # of all that is said about one member
MAX_SHOWN = 200  # characters of a name
_MAX_DIGITS = 20  # of a size
ABOUT_NEXT = b"xXgLK"
_LONG = {b"L": b"path", b"K": b"linkpath"}
WITHOUT_DATA = b"123456"  # whatever their size says
ADD_MARK = "if all of it is there, add the mark:  head -c 1024 /dev/zero >> FILE"
"""What to do where a tar ends between two members: nothing else tells that some are missing."""
WITHOUT_LINKS = (
    "unpack the tar, and pack the folder, or write it with the bytes in place of links:  "
    "tar --dereference --hard-dereference --sort=name -cf NEW.tar -C FOLDER ."
)
"""What to do with links and sparse files where the bytes of a picture should be."""
_KINDS = {b"3": "a device", b"4": "a device", b"6": "a named pipe", b"S": "a sparse file"}


class Member(NamedTuple):
    """A member of a tar: its name, the position of its first byte in the tar, its size."""

    name: bytes
    offset: int
    size_bytes: int
    no_file: str = ""  # what it is instead, if it is no file whose bytes lie there


Entry = tuple[bytes, Member, bytes]
"""The type of a member, the member, and what it links to."""


class Blocks:
    """The headers of a file, read at rising positions.

    Args:
        path: The tar.
        file: Its descriptor.
        advance: Called with the number of bytes that were passed since the last call.
        window_bytes: How much is read at once: little where only headers are wanted; a
            few pictures by default.
    """

    def __init__(
        self,
        path: Path,
        file: int,
        advance: Callable[[int], object] = lambda _: None,
        window_bytes: int | None = None,
    ) -> None:
        self.path = path
        self.file = file
        self.size_bytes = os.fstat(file).st_size
        self._advance = advance
        self._window = bytearray(window_bytes or _WINDOW_BYTES)
        self._start = self.end = 0

    def after_end(self, position: int, end: int, is_shard: bool, is_told: bool) -> int:
        """Return where another tar begins, from the end of one on; -1 if there is none.

        Args:
            position: Where the mark of the end of a tar must be.
            end: Where to stop.
            is_shard: Refuse what lies behind the mark, where WebDataset stops.
            is_told: Whether something was told of one more member.
        """
        block = self.block(position, end)
        if block != _ZEROS:
            raise self._no_header(position, block)
        if is_told:
            raise self.damaged(position, "no member behind its name")
        after = self._after_zeros(position, end)
        if after >= 0 and is_shard:
            raise self._goes_on(after)
        return after

    def block(self, position: int, end: int) -> bytes:
        """Return the block at a position."""
        if position + BLOCK_BYTES > end:
            rest = os.pread(self.file, BLOCK_BYTES, position)  # a small file of another format
            hints = [ADD_MARK] if 0 < position == end == self.size_bytes else []
            cut = self.cut(position, "the mark of its end is missing", *hints)
            raise other_format(self.path, position, rest) or cut
        if position + BLOCK_BYTES > self.end:
            self._read(position)
        start = position - self._start
        return bytes(memoryview(self._window)[start : start + BLOCK_BYTES])

    def _after_zeros(self, position: int, end: int) -> int:
        while position < end:
            if position >= self.end:
                self._read(position)
            stop = min(self.end, end)
            data = bytes(memoryview(self._window)[position - self._start : stop - self._start])
            num_zeros = len(data) - len(data.lstrip(b"\0"))
            if num_zeros < len(data):
                return position + num_zeros // BLOCK_BYTES * BLOCK_BYTES
            position = stop
        return -1

    def cut(self, position: int, reason: str, *hints: str) -> DataError:
        """Return the error that the tar ends too early, with more hints than to get it again."""
        message = f"{self.path} is cut short at byte {position:,} of {self.size_bytes:,}: {reason}"
        return DataError(message, "get it again", *hints)

    def damaged(self, position: int, reason: str = "no tar header") -> DataError:
        """Return the error that something is wrong at a position."""
        return DataError(
            f"{self.path} is damaged: {reason} at byte {position:,}",
            "get it again, or unpack it, see what is there, and pack the folder",
        )

    def _goes_on(self, position: int) -> DataError:
        return DataError(
            f"{self.path} goes on behind its end at byte {position:,}, where WebDataset stops",
            "are these two tars in one?  see both:  tar --ignore-zeros --list --file FILE",
            "unpack them, and pack the folder, or write each shard as one tar",
        )

    def _no_header(self, position: int, block: bytes) -> DataError:
        return other_format(self.path, position, block) or self.damaged(position)

    def _read(self, position: int) -> None:
        length = os.preadv(self.file, [self._window], position)
        if length == 0:
            raise self.cut(position, "it shrank while it was read")
        self._advance(position + length - self.end)
        self._start, self.end = position, position + length


def entries_of(blocks: Blocks, position: int, end: int, is_shard: bool = False) -> Iterator[Entry]:
    """Yield all members of a tar that lies in a file, folders and links too.

    What lies behind the end of a tar, such as another one, belongs to it.

    Args:
        blocks: The file.
        position: The first byte of the tar.
        end: The first byte behind it.
        is_shard: Refuse what lies behind the end, where WebDataset stops.

    Raises:
        DataError: The tar is damaged or cut short.
    """
    about: dict[bytes, bytes] = {}  # what was told of the next member before its header
    while position >= 0:
        header = blocks.block(position, end)
        if not is_header(header):
            position = blocks.after_end(position, end, is_shard, bool(about))
            continue
        kind = header[156:157]
        try:
            size_bytes = 0 if kind in WITHOUT_DATA else read_size_bytes(header)
        except DataError as error:
            raise blocks.damaged(position, error.message) from error
        member, target = Member(read_name(header), position + BLOCK_BYTES, size_bytes), b""
        if about or kind not in FILES:
            member, target = _told(blocks, header, member, about, end)
        position = member.offset + padded(member.size_bytes)
        if position > end:
            raise blocks.cut(member.offset, f"{shown(member.name)} goes on after the end")
        if kind in ABOUT_NEXT:
            _learn(blocks, kind, member, about)
            continue
        about.clear()
        if kind in FILES and member.name.endswith(b"/") and not member.size_bytes:
            kind = b"5"  # as the oldest programs wrote folders
        yield kind, member, target


def _told(
    blocks: Blocks, header: bytes, member: Member, about: dict[bytes, bytes], end: int
) -> tuple[Member, bytes]:
    """Return a member as it is with what was told before its header, and what it links to."""
    kind, (name, offset, size_bytes, _) = header[156:157], member
    target = read_target(header) if kind in LINKS else b""
    no_file = "" if kind in FILES else _KINDS.get(kind, f"of the unknown type {kind!r}")
    if kind not in ABOUT_NEXT:
        name, target = about.get(b"path", name), about.get(b"linkpath", target)
        if kind not in WITHOUT_DATA:
            size_bytes = int(about.get(b"size", size_bytes))
        if b"sparse" in about:
            no_file = _KINDS[b"S"]
    if kind in LINKS:
        no_file = f"a link to {shown(target)}"
    if kind == b"S":
        offset = _behind_map(blocks, offset, header, end)
    return Member(name, offset, size_bytes, no_file), target


def _behind_map(blocks: Blocks, position: int, header: bytes, end: int) -> int:
    """Return where the data of a sparse file begin: the map of its holes may go on before them."""
    goes_on = header[482]
    while goes_on:
        goes_on = blocks.block(position, end)[504]
        position += BLOCK_BYTES
    return position


def _learn(blocks: Blocks, kind: bytes, member: Member, about: dict[bytes, bytes]) -> None:
    """Read what is told of the next member, or of all that follow."""
    if member.size_bytes > _MAX_EXTENDED_BYTES:
        reason = f"{member.size_bytes:,} bytes about one member"
        raise blocks.damaged(member.offset, reason)
    data = os.pread(blocks.file, member.size_bytes, member.offset)
    try:
        told = {_LONG[kind]: until_zero(data)} if kind in _LONG else _of_interest(read_pax(data))
    except DataError as error:
        raise blocks.damaged(member.offset, error.message) from error
    if told and kind == b"g":
        raise blocks.damaged(member.offset, "names or sizes for all members")
    for key, value in told.items():
        limit = _MAX_DIGITS if key == b"size" else MAX_NAME_BYTES
        is_right = 0 < len(value) <= limit and (key != b"size" or value.isdigit())
        if not is_right or b"\0" in value or about.get(key, value) != value:
            word = key.decode()
            raise blocks.damaged(member.offset, f"a {word} that is none, or one more {word}")
        about[key] = value


def _of_interest(records: dict[bytes, bytes]) -> dict[bytes, bytes]:
    told: dict[bytes, bytes] = {}
    told |= {key: records[key] for key in (b"path", b"linkpath", b"size") if key in records}
    if any(key.startswith(b"GNU.sparse.") for key in records):
        told[b"sparse"] = b"yes"
        if b"GNU.sparse.name" in records:
            told[b"path"] = records[b"GNU.sparse.name"]
    return told


def shown(name: bytes) -> str:
    """Return a name from a tar as it may be shown."""
    text = printable(name.decode("utf-8", "surrogateescape"))
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
