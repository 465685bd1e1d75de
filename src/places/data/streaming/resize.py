"""A part of a resized picture, without the rest: for pictures whose sides differ a lot.

A picture of 1 x 4,000 pixels becomes 256 x 1,024,000 before its centre is cut out.
"""

import numpy as np
import numpy.typing as npt

from places.data.streaming.jpeg import Pixels

_PRECISION_BITS = 22  # of the weights in Pillow's resize, for 8-bit pixels


def resize_part(pixels: Pixels, width: int, height: int, left: int, top: int, size: int) -> Pixels:
    """Return a square of a picture that is resized as Pillow does, bilinear and antialiased.

    First across, then down, as Pillow before 13 did for all pictures. Pillow 13 takes some that
    become much lower the other way; their pixels may differ by one level.

    Args:
        pixels: `(h, w, 3)` uint8.
        width: Width of the whole picture after resizing.
        height: Its height.
        left: Where the square begins in it.
        top: Where it begins.
        size: Length of its sides; the square lies within the resized picture.

    Returns:
        `(size, size, 3)` uint8.
    """
    rows, row_weights = _weights(pixels.shape[0], height, top, size)
    columns, column_weights = _weights(pixels.shape[1], width, left, size)
    first, last = rows[0, 0], rows[-1, -1]
    part = pixels[first : last + 1, columns]  # (rows, size, taps, 3)
    across = _weighted(part, column_weights[None, :, :, None])
    return _weighted(across[rows - first].swapaxes(1, 2), row_weights[:, None, :, None])


def _weighted(values: Pixels, weights: npt.NDArray[np.int64]) -> Pixels:
    """Return the weighted sums over the third axis, rounded."""
    sums = (values * weights).sum(axis=2) + (1 << _PRECISION_BITS - 1)
    rounded: Pixels = np.clip(sums >> _PRECISION_BITS, 0, 255).astype(np.uint8)
    return rounded


def _weights(
    old_size: int, new_size: int, first: int, count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return which old pixels make the new ones, and their weights, both `(count, taps)`.

    In the order of Pillow's sums, so that their last bits are the same.
    """
    scale = old_size / new_size
    support = max(scale, 1.0)  # of a triangle, stretched over what becomes one pixel
    centers = (np.arange(first, first + count) + 0.5) * scale
    begins = np.maximum((centers - support + 0.5).astype(np.int64), 0)
    ends = np.minimum((centers + support + 0.5).astype(np.int64), old_size)
    taps = begins[:, None] + np.arange((ends - begins).max())
    inside = taps < ends[:, None]
    distances = (taps - centers[:, None] + 0.5) * (1.0 / support)
    weights = np.where(inside, np.maximum(1.0 - np.abs(distances), 0.0), 0.0)
    weights /= np.cumsum(weights, axis=1)[:, -1:]
    rounded = (0.5 + weights * (1 << _PRECISION_BITS)).astype(np.int64)
    return np.minimum(taps, old_size - 1), np.where(inside, rounded, 0)
