"""The formats that pictures in shards have, told by how their bytes begin, never by their names.

A split names its formats in its manifest, unless all its pictures are JPEGs.
"""

from collections.abc import Iterable

JPEG, PNG, PPM, WEBP = "jpeg", "png", "ppm", "webp"
FORMATS = (JPEG, PNG, PPM, WEBP)
"""What the field `formats` of a manifest may name. PPM is the binary one, "P6"."""

START_BYTES = 16
"""How many bytes of a picture tell its format."""

SUFFIXES = {b"jpg": JPEG, b"jpeg": JPEG, b"png": PNG, b"webp": WEBP, b"ppm": PPM}
"""How the members of a tar that hold them may end, in any case."""


def format_of(start: bytes) -> str | None:
    """Return the format of a picture from its first `START_BYTES`, none if it is another one."""
    if start.startswith(b"\xff\xd8"):
        return JPEG
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return WEBP
    if start.startswith(b"P6") and start[2:3].isspace():
        return PPM
    return None


def in_order(formats: Iterable[str]) -> tuple[str, ...]:
    """Return formats as a manifest has them: each once, in the order of `FORMATS`."""
    found = {*formats}
    return tuple(name for name in FORMATS if name in found)
