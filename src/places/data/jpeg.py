"""From JPEG bytes to uint8 pixels: exactly, or no further than a training crop needs."""

import functools
import io
import math
import threading
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from places.errors import DataError

Pixels = npt.NDArray[np.uint8]  # (height, width, 3), RGB
Box = tuple[int, int, int, int]  # left, top, width and height in pixels

# Pillow's limit. Larger pictures are refused: a small file can claim to be gigantic.
MAX_PIXELS = 89_478_485

# Markers of JPEG segments (ITU-T T.81, table B.1).
_BASELINE_FRAME, _SCAN, _RESTART_INTERVAL = 0xC0, 0xDA, 0xDD
_OTHER_FRAMES = frozenset(range(0xC1, 0xD0)) - {0xC4, 0xC8, 0xCC}

# Scales at which the decoder's transforms use vector instructions (but for the first, the mean).
_SCALES = (0.125, 0.25, 0.5)

_local = threading.local()


class Header(NamedTuple):
    """What the header of a JPEG says."""

    width: int  # in pixels
    height: int
    colorspace: str  # as simplejpeg names it


def read_header(jpeg: bytes) -> Header:
    """Return the header of a JPEG.

    Raises:
        DataError: There is no valid one, or it claims more than `MAX_PIXELS`.
    """
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(jpeg)
    except ValueError as error:
        raise DataError(f"damaged JPEG: {error}") from error
    check_size(width, height)
    return Header(width, height, colorspace)


def check_size(width: int, height: int) -> None:
    """Refuse a picture that would fill the memory.

    Raises:
        DataError: The picture has more than `MAX_PIXELS`.
    """
    if width * height > MAX_PIXELS:
        raise DataError(f"picture of {width} x {height} pixels; at most {MAX_PIXELS:,} are allowed")


def decode_jpeg(jpeg: bytes) -> Pixels:
    """Decode a JPEG to `(height, width, 3)` uint8, RGB, as Pillow does.

    The pixels lie in a buffer of the calling thread: they are valid until its next call.

    Args:
        jpeg: The whole JPEG file. Grayscale and CMYK become RGB as in Pillow.

    Raises:
        DataError: The JPEG is damaged, or has more than `MAX_PIXELS`.
    """
    header = read_header(jpeg)
    try:
        if header.colorspace == "CMYK":
            with Image.open(io.BytesIO(jpeg)) as image:
                return np.asarray(image.convert("RGB"))
        pixels: Pixels = simplejpeg.decode_jpeg(jpeg, "RGB", buffer=_buffer(header))
    except (ValueError, OSError) as error:
        raise DataError(f"damaged JPEG: {error}") from error
    return pixels


def decode_box(jpeg: bytes, header: Header, box: Box, min_scale: float = 1.0) -> Pixels:
    """Decode a part of a JPEG, faster than `decode_jpeg` and close to it.

    Rows below the box are left out if the JPEG allows it; damage there goes unnoticed. Colours of
    lower resolution are repeated, not interpolated, which changes photographs by 0.4 levels of 255
    in the mean. (The decoder's fast transform would save 5 % more, but darkens all by 0.8 levels.)

    Args:
        jpeg: The whole JPEG file.
        header: Its header.
        box: The part.
        min_scale: The part may be decoded at half its size and less, but not smaller than this;
            1 decodes at full size.

    Returns:
        The part at its scale, `(rows, columns, 3)` uint8, RGB, in a buffer of the calling thread:
        valid until its next call.

    Raises:
        DataError: The JPEG is damaged.
    """
    left, top, width, height = box
    if header.colorspace == "CMYK":
        return decode_jpeg(jpeg)[top : top + height, left : left + width]
    scale = next((scale for scale in _SCALES if scale >= min_scale), 1.0)
    pixels = _decode_rows(jpeg, header, top + height, scale)
    rows = slice(round(top * scale), math.ceil((top + height) * scale))
    columns = slice(round(left * scale), math.ceil((left + width) * scale))
    return pixels[rows, columns]


def _decode_rows(jpeg: bytes, header: Header, num_rows: int, scale: float) -> Pixels:
    """Decode a JPEG at a scale, its first rows if possible, or else all."""
    buffer = _buffer(header)
    shape = math.ceil(num_rows * scale), math.ceil(header.width * scale), 3
    decode = functools.partial(
        simplejpeg.decode_jpeg,
        colorspace="RGB",
        fastupsample=True,
        min_width=shape[1],
        min_factor=1 / scale,
        buffer=buffer,
    )
    start = _frame_start(jpeg) if num_rows < header.height else None
    if start is not None:
        # With another height in its header the picture ends earlier, and the decoder complains
        # about the bytes that are left before the end marker. It reports the first complaint only:
        # had there been another one, the rows that count would be damaged.
        try:
            decode(b"".join((jpeg[: start + 5], num_rows.to_bytes(2, "big"), jpeg[start + 7 :])))
        except ValueError as error:
            is_whole = "extraneous bytes before marker 0xd9" in str(error)
        else:
            is_whole = True
        if is_whole:
            return np.frombuffer(buffer, np.uint8, math.prod(shape)).reshape(shape)
    try:
        pixels: Pixels = decode(jpeg)
    except ValueError as error:
        raise DataError(f"damaged JPEG: {error}") from error
    return pixels


def _frame_start(jpeg: bytes) -> int | None:
    """Return where the frame header of a plain JPEG begins; nothing if it has several parts."""
    frame, at = None, 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and (marker := jpeg[at + 1]) != _SCAN:
        if marker == _BASELINE_FRAME:
            frame = at
        elif marker == _RESTART_INTERVAL or marker in _OTHER_FRAMES:
            return None
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return frame


def _buffer(header: Header) -> bytearray:
    # One buffer per thread, grown as needed: a fresh array per picture costs 15 % in page faults.
    size_bytes = 3 * header.width * header.height
    buffer: bytearray = getattr(_local, "buffer", bytearray())
    if len(buffer) < size_bytes:
        buffer = _local.buffer = bytearray(size_bytes)
    return buffer
