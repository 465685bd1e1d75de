"""From JPEG bytes to uint8 pixels: exactly, or no further than a training crop needs."""

import functools
import io
import math
import struct
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
_BASELINE_FRAME, _RESTART_INTERVAL, _SCAN = 0xC0, 0xDD, b"\xff\xda"
_FRAME_BYTES = 13  # of a frame header with one channel
_OTHER_FRAMES = frozenset(range(0xC1, 0xD0)) - {0xC4, 0xC8, 0xCC}

# Scales at which the decoder's transforms use vector instructions (but for the first, the mean).
_SCALES = (0.125, 0.25, 0.5)

_local = threading.local()


class Header(NamedTuple):
    """What the header of a JPEG says."""

    width: int  # in pixels
    height: int
    is_cmyk: bool
    frame_start: int | None  # where a plain JPEG's frame header begins; others have no single one


def read_header(jpeg: bytes) -> Header:
    """Return the header of a JPEG.

    Raises:
        DataError: There is no valid one, or it claims more than `MAX_PIXELS`.
    """
    # The pictures of a data set have few different headers, so most are known already. To look one
    # up costs a tenth of reading it, and leaves other threads alone.
    header = _plain_header(jpeg[: max(jpeg.find(_SCAN), 0)]) or _any_header(jpeg)
    check_size(header.width, header.height)
    return header


@functools.lru_cache(maxsize=256)
def _plain_header(segments: bytes) -> Header | None:
    """Return the header of a usual JPEG from all bytes before its scan; nothing for all others."""
    frame, end = _find_frame(segments)
    if frame is None or end != len(segments) or end - frame < _FRAME_BYTES:
        return None
    bits, height, width, num_channels = struct.unpack_from(">BHHB", segments, frame + 4)
    is_plain = bits == 8 and num_channels in (1, 3) and width > 0 and height > 0
    return Header(width, height, is_cmyk=False, frame_start=frame) if is_plain else None


def _any_header(jpeg: bytes) -> Header:
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(jpeg)
    except ValueError as error:
        raise DataError(f"damaged JPEG: {error}") from error
    return Header(width, height, colorspace == "CMYK", _find_frame(jpeg)[0])


def _find_frame(jpeg: bytes) -> tuple[int | None, int]:
    """Return where the frame header and the scan of a plain JPEG begin.

    A JPEG in several parts has no such frame header.
    """
    frame, at = None, 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and (marker := jpeg[at + 1]) != _SCAN[1]:
        if marker == _BASELINE_FRAME:
            frame = at
        elif marker == _RESTART_INTERVAL or marker in _OTHER_FRAMES:
            return None, at
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return frame, at


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
        if header.is_cmyk:
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
    if header.is_cmyk:
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

    def decode(jpeg: bytes, height: int) -> Pixels:
        # The decoder takes the smallest scale at which neither side is shorter than asked for: with
        # the width alone, a thin picture would come out smaller than at `scale`.
        sides = {"min_height": math.ceil(height * scale), "min_width": shape[1]}
        shrunk = {**sides, "min_factor": 1 / scale} if scale < 1 else {}
        pixels: Pixels = simplejpeg.decode_jpeg(
            jpeg, colorspace="RGB", fastupsample=True, buffer=buffer, **shrunk
        )
        return pixels

    start = header.frame_start
    if start is not None and num_rows < header.height:
        # With another height in its header the picture ends earlier, and the decoder complains
        # about the bytes that are left before the end marker. It reports the first complaint only:
        # had there been another one, the rows that count would be damaged.
        try:
            decode(
                b"".join((jpeg[: start + 5], num_rows.to_bytes(2, "big"), jpeg[start + 7 :])),
                num_rows,
            )
        except ValueError as error:
            is_whole = "extraneous bytes before marker 0xd9" in str(error)
        else:
            is_whole = True
        if is_whole:
            return np.frombuffer(buffer, np.uint8, math.prod(shape)).reshape(shape)
    try:
        return decode(jpeg, header.height)
    except ValueError as error:
        raise DataError(f"damaged JPEG: {error}") from error


def _buffer(header: Header) -> bytearray:
    # One buffer per thread, grown as needed: a fresh array per picture costs 15 % in page faults.
    size_bytes = 3 * header.width * header.height
    buffer: bytearray = getattr(_local, "buffer", bytearray())
    if len(buffer) < size_bytes:
        buffer = _local.buffer = bytearray(size_bytes)
    return buffer
