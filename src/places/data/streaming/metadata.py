"""Which side of a picture file is up, and the file without all else that is no pixels.

Cameras, phones and programs write tags that are mistyped, doubled, endless or large. Readers of
pictures refuse the picture then. So what is needed of them is read here, and the reader gets a file
without them.
"""

import re
import struct
from collections.abc import Iterator

_ORIENTATION = 274
_XMP_ORIENTATION = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])""")
_JPEG_START, _PNG_START = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_TIFF_STARTS = (b"II*\0", b"MM\0*")
# What a JPEG's pixels depend on: JFIF and Adobe tell the colours. Others are APP1 to APP15, COM.
_COLOURS = (0xE0, 0xEE)
_PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
# Tags of TIFF that say how its pixels are stored (TIFF 6.0, and libtiff's).
_TIFF_PIXELS = frozenset(
    {*range(254, 260), 262, 263, 266, 273, *range(277, 280), 284, 292, 293, 317, 320}
    | {*range(322, 326), 332, 338, 339, 347, *range(512, 522), *range(529, 533)}
)
_MAX_ENTRIES = 1000


def without_metadata(data: bytes) -> tuple[bytes, int]:
    """Return a JPEG, PNG or TIFF with nothing but its pixels, and its orientation.

    Args:
        data: The bytes of any file; those of other formats are returned as they are.

    Returns:
        The bytes, and the EXIF orientation, 1 (as it lies) to 8; 1 where it cannot be read.
    """
    if data.startswith(_JPEG_START):
        return _bare_jpeg(data)
    if data.startswith(_PNG_START):
        return _bare_png(data)
    if data.startswith(_TIFF_STARTS):
        return _bare_tiff(data), orientation_of(data)
    return data, 1


def orientation_of(exif: bytes) -> int:
    """Return the orientation that EXIF data or a TIFF tell, 1 to 8; 1 where it cannot be read."""
    exif = exif.removeprefix(b"Exif\0\0")
    if not exif.startswith(_TIFF_STARTS):
        return 1
    order = ">" if exif.startswith(b"MM") else "<"
    for at in _entries(exif, order):
        tag, kind, _ = struct.unpack_from(f"{order}HHI", exif, at)
        if tag == _ORIENTATION:
            value = _number(exif[at + 8 : at + 12].ljust(4, b"\0"), kind, order)
            if 1 <= value <= 8:
                return value
    return 1


def orientation_in_xmp(xmp: object) -> int:
    """Return the orientation that XMP tells, text or bytes, 1 to 8; 1 where it tells none."""
    data = xmp.encode(errors="replace") if isinstance(xmp, str) else xmp
    found = _XMP_ORIENTATION.search(data) if isinstance(data, bytes) else None
    return int(found[1]) if found else 1


def _entries(tiff: bytes, order: str) -> Iterator[int]:
    """Yield where the entries of the first directory begin, as far as they are there."""
    (start,) = struct.unpack_from(f"{order}I", tiff.ljust(8, b"\0"), 4)
    if start + 2 <= len(tiff):
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for at in range(start + 2, start + 2 + 12 * min(count, _MAX_ENTRIES), 12):
            if at + 10 <= len(tiff):
                yield at


def _number(field: bytes, kind: int, order: str) -> int:
    """Return a number by its type: byte, text, short or long; 0 for others."""
    if kind == 2:
        return int(field[:1]) if field[:1].isdigit() else 0
    form = {1: "B", 3: "H", 4: "I"}.get(kind)
    return int(struct.unpack_from(order + form, field)[0]) if form else 0


def _bare_jpeg(data: bytes) -> tuple[bytes, int]:
    orientation, kept, at = 1, [_JPEG_START], 2
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : end]
        if marker == 0xE1 and orientation == 1:
            found = _XMP_ORIENTATION.search(segment)
            orientation = int(found[1]) if found else orientation_of(segment)
        if marker < 0xE0 or marker in _COLOURS:  # neither for programs nor a comment
            if marker == 0xDA:  # the scan
                break
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]]), orientation


def _bare_png(data: bytes) -> tuple[bytes, int]:
    orientation, kept, at = 1, [_PNG_START], len(_PNG_START)
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        name, chunk = data[at + 4 : at + 8], data[at + 8 : end - 4]
        if name == b"eXIf":
            orientation = orientation_of(chunk)
        elif name == b"iTXt" and orientation == 1 and (found := _XMP_ORIENTATION.search(chunk)):
            orientation = int(found[1])
        if name in _PNG_PIXELS:
            kept.append(data[at:end])
        at = end
    return b"".join(kept), orientation


def _bare_tiff(data: bytes) -> bytes:
    """Make each tag that says nothing about the pixels a private one with the number 0."""
    order = ">" if data.startswith(b"MM") else "<"
    bare = bytearray(data)
    for at in _entries(data, order):
        is_whole = at + 12 <= len(data)
        if is_whole and struct.unpack_from(f"{order}H", data, at)[0] not in _TIFF_PIXELS:
            struct.pack_into(f"{order}HHII", bare, at, 65000, 4, 1, 0)
    return bytes(bare)
