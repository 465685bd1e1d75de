"""Tars that few programs write, and some that none should, member by member."""

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from tests.data.packing.official import read_back

from places.data.shards.tar_headers import padded

END = bytes(1024)

Outcome = tuple[int, list[str]]
"""An exit status and the lines that were printed."""

Run = Callable[..., Outcome]


def packed(root: Path) -> dict[str, bytes]:
    """The pictures that were packed as val, by their keys."""
    return {key: picture for key, (picture, _) in read_back(root, "val").items()}


class Part(NamedTuple):
    """A member of a tar: its name, what it holds, its type and what it links to."""

    name: str
    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    target: str = ""


def folder(name: str) -> Part:
    return Part(name, kind=tarfile.DIRTYPE)


def link(name: str, target: str) -> Part:
    return Part(name, kind=tarfile.SYMTYPE, target=target)


def hard_link(name: str, target: str) -> Part:
    return Part(name, kind=tarfile.LNKTYPE, target=target)


def write_parts(path: Path, parts: Iterable[Part], tar_format: int = tarfile.GNU_FORMAT) -> Path:
    """Write a tar with `tarfile`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tar_format) as tar:
        for name, content, kind, target in parts:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, target, len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def block(
    name: bytes, size: bytes | int, kind: bytes = b"0", target: bytes = b"", magic: bytes = b""
) -> bytes:
    """A header with a right checksum; a size in bytes is taken as it is."""
    size = b"%011o\0" % size if isinstance(size, int) else size.ljust(12, b"\0")
    header = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size + b"0" * 11 + b"\0"
    header += b" " * 8 + kind + target.ljust(100, b"\0") + (magic or b"ustar\00000")
    header = header.ljust(512, b"\0")
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def data(content: bytes) -> bytes:
    """What a member holds, filled up to whole blocks."""
    return content.ljust(padded(len(content)), b"\0")


def raw(name: bytes, content: bytes, kind: bytes = b"0", target: bytes = b"") -> bytes:
    return block(name, len(content), kind, target) + data(content)


def pax(**records: str) -> bytes:
    """Records of an extended header, of type "x" or "g"."""
    lines = b""
    for key, value in records.items():
        text = f" {key.replace('__', '.')}={value}\n".encode()
        length = len(text) + len(str(len(text)))
        length = len(text) + len(str(length))
        lines += str(length).encode() + text
    return lines
