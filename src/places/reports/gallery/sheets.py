"""Thumbnails, and the sheets in which a page keeps them: many pictures in one file of pixels."""

import io
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image
from torch import Tensor

THUMBNAIL_SIZE = 192  # pixels; twelve blocks of a JPEG, so that no tile touches another's
NUM_COLUMNS = 5  # of a sheet, and its rows: few, since a page that is sorted needs many sheets
NUM_TILES = NUM_COLUMNS**2
_THUMBNAIL_QUALITY = 90  # they are written once more, into the sheet
_SHEET_QUALITY = 70
_SHEET_EFFORT = 0  # of 6; 2 takes half as long again for 14 % of the bytes
_BLOCK = 16
_MAX_THREADS = 8  # each holds a sheet of 3 MB


def thumbnails(images: Tensor) -> list[bytes]:
    """Return small JPEGs of pictures, at most 192 pixels high and wide.

    Args:
        images: `(N, 3, H, W)` uint8, on any device.

    Returns:
        The bytes of `N` JPEGs.
    """
    return [thumbnail(pixels) for pixels in images.permute(0, 2, 3, 1).cpu().numpy()]


def thumbnail(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a small JPEG of a picture `(H, W, 3)` uint8, at most 192 pixels high and wide."""
    fitted = _fitted(pixels, THUMBNAIL_SIZE)
    jpeg: bytes = simplejpeg.encode_jpeg(fitted, _THUMBNAIL_QUALITY, "RGB", "420")
    return jpeg


def _fitted(array: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Return a picture `(h, w, 3)` made smaller until neither side is longer than `size`."""
    scale = size / max(array.shape[:2])
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in array.shape[:2])
        array = cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]  # keeps uint8
    return np.ascontiguousarray(array)


def tile_size(thumbnail: bytes, limit: int) -> int:
    """Return how many pixels wide and high the tiles of a sheet should be.

    Args:
        thumbnail: The first JPEG that goes into them.
        limit: The most.
    """
    height, width, *_ = simplejpeg.decode_jpeg_header(thumbnail)
    whole = -(-max(int(height), int(width)) // _BLOCK) * _BLOCK
    return min(limit, whole)


def sheets(jpegs: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Draw thumbnails into sheets of five rows of five, as they come.

    Args:
        jpegs: The thumbnails.
        size: Width and height of the tile of each in pixels.

    Yields:
        A WebP image for each 25 thumbnails; the last is as high as it has to be.
    """
    rest = iter(jpegs)
    num_threads = min(_MAX_THREADS, len(os.sched_getaffinity(0)))
    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        while part := list(islice(rest, NUM_TILES)):
            waiting.append(pool.submit(_sheet, part, size))
            if len(waiting) > num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _sheet(jpegs: Sequence[bytes], size: int) -> bytes:
    num_rows = -(-len(jpegs) // NUM_COLUMNS)
    sheet = np.zeros((num_rows * size, NUM_COLUMNS * size, 3), np.uint8)
    for position, jpeg in enumerate(jpegs):
        row, column = divmod(position, NUM_COLUMNS)
        tile = sheet[row * size : (row + 1) * size, column * size : (column + 1) * size]
        tile[:] = _tile(jpeg, size)
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "WEBP", quality=_SHEET_QUALITY, method=_SHEET_EFFORT)
    return file.getvalue()


def _tile(jpeg: bytes, size: int) -> npt.NDArray[np.uint8]:
    pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(jpeg)
    if pixels.shape[:2] != (size, size):
        shrinks = max(pixels.shape[:2]) > size
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, (size, size), interpolation=how)  # type: ignore[assignment]  # keeps uint8
    return pixels
