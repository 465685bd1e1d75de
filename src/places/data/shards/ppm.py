"""The header of a picture in a raw shard: a binary PPM, 8 bits, red, green and blue.

After the header the rows lie one after the other, 3 bytes for each pixel, so any rows of a picture
are one range of bytes.
"""

import re
from typing import NamedTuple

SUFFIX = b"ppm"
MAGIC = b"P6"
HEAD_BYTES = 64  # of a picture: the header is in it, unless it holds comments

_MAX_HEADER_BYTES = 1 << 16  # with comments
_GAP = rb"(?:[ \t\n\v\f\r]|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(rb"P6" + 3 * (_GAP + rb"(\d{1,9})") + rb"[ \t\n\v\f\r]")


class PpmHeader(NamedTuple):
    """What the header of a PPM says."""

    width: int  # in pixels
    height: int
    start: int  # where the first row begins, in bytes


def ppm_header_of(width: int, height: int) -> bytes:
    """Return the header of a picture, as Pillow writes it."""
    return b"P6\n%d %d\n255\n" % (width, height)


def read_ppm_header(data: bytes, size_bytes: int) -> PpmHeader | None:
    """Return the header of a PPM with 8 bits, `None` if it is of another kind or too short.

    Args:
        data: How the file begins; `HEAD_BYTES` do unless the header holds comments.
        size_bytes: The size of the file.
    """
    match = _HEADER.match(data, 0, _MAX_HEADER_BYTES)
    if match is None or match[3] != b"255":
        return None
    width, height = int(match[1]), int(match[2])
    wanted_bytes = match.end() + 3 * width * height
    is_whole = width and height and size_bytes >= wanted_bytes
    return PpmHeader(width, height, match.end()) if is_whole else None
