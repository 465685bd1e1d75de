"""From JPEG bytes to uint8 pixels of the wanted crop.

Evaluation pixels equal those of Pillow and torchvision. Training crops are decoded no further than
needed, perhaps at a reduced size (in the DCT domain), and resized by OpenCV: faster, and close.
"""

import math
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from places.data.streaming.jpeg import Box, Pixels, decode_box, read_header
from places.data.streaming.resize import resize_part

ResizeMode = Literal["short_side", "squash"]

NUM_SQUARES = 6  # of which ten crops are made, see `crop_places`
CENTER = 4  # the number of the centre among them

NUM_CROP_UNIFORMS = 4 * 10  # for ten tries, as torchvision.transforms.RandomResizedCrop

# Above this factor a picture is shrunk by averaging. Below it (256-pixel pictures to 224), it would
# cost a tenth of the loader's speed and bring the pixels 0.3 levels nearer to Pillow's.
_MOST_LINEAR = 1.15
# With more, a picture is so thin that nearly all that a resize makes would be cut off again.
_MAX_RESIZED_PIXELS = 2**24


def crop_box(
    width: int,
    height: int,
    uniforms: Sequence[float],
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> Box:
    """Choose a random crop as torchvision's `RandomResizedCrop` does, from given numbers.

    Args:
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        uniforms: `NUM_CROP_UNIFORMS` numbers in [0, 1).
        scale: Smallest and largest area of the crop, as a part of the picture's area.
        ratio: Smallest and largest aspect ratio (width / height) of the crop.

    Returns:
        Left, top, width and height of the crop in pixels.
    """
    log_low, log_high = math.log(ratio[0]), math.log(ratio[1])
    for first in range(0, NUM_CROP_UNIFORMS, 4):
        u_area, u_ratio, u_left, u_top = uniforms[first : first + 4]
        area = width * height * (scale[0] + u_area * (scale[1] - scale[0]))
        aspect = math.exp(log_low + u_ratio * (log_high - log_low))
        crop_width = round(math.sqrt(area * aspect))
        crop_height = round(math.sqrt(area / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left = int(u_left * (width - crop_width + 1))
            top = int(u_top * (height - crop_height + 1))
            return left, top, crop_width, crop_height
    # No try fitted: the largest central crop within the allowed ratios.
    crop_width, crop_height = width, height
    if width / height < ratio[0]:
        crop_height = round(width / ratio[0])
    elif width / height > ratio[1]:
        crop_width = round(height * ratio[1])
    return (width - crop_width) // 2, (height - crop_height) // 2, crop_width, crop_height


def decode_train_crop(
    jpeg: bytes,
    uniforms: Sequence[float],
    out: Pixels,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> None:
    """Decode a random crop of a JPEG into `out`, `(size, size, 3)` uint8, RGB, contiguous.

    See `crop_box` for the numbers that choose the crop.

    Raises:
        DataError: The JPEG is damaged.
    """
    resize_crop(decode_for_crop(jpeg, uniforms, out.shape[0], scale, ratio), out)


def decode_for_crop(
    jpeg: bytes,
    uniforms: Sequence[float],
    size: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> Pixels:
    """Return the random crop of a JPEG, decoded as small as a crop of `size` pixels allows.

    The pixels are valid until the thread's next call; see `crop_box` for the arguments.
    """
    header = read_header(jpeg)
    box = crop_box(header.width, header.height, uniforms, scale, ratio)
    return decode_box(jpeg, header, box, min_scale=size / min(box[2:]))


def resize_crop(crop: Pixels, out: Pixels) -> None:
    """Resize a crop into `out`, `(size, size, 3)` uint8, contiguous."""
    shrinks = max(crop.shape[0], crop.shape[1]) > _MOST_LINEAR * out.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    cv2.resize(crop, out.shape[1::-1], dst=out, interpolation=interpolation)


def eval_crop(
    pixels: Pixels,
    out: Pixels,
    resize_size: int,
    mode: ResizeMode,
    size: tuple[int, int] | None = None,
) -> None:
    """Resize a picture and write its central square into `out`, or the squares of ten crops.

    The pixels equal torchvision's `Resize(resize_size)` on a Pillow image (bilinear, antialiased)
    and `CenterCrop(size)`, or `TenCrop(size)`.

    Args:
        pixels: `(height, width, 3)` uint8, RGB.
        out: `(size, size, 3)` uint8, contiguous, with size at most `resize_size`; `(6 * size, size,
            3)` gets the squares of `crop_places`, one under the other.
        resize_size: Length of the short side after resizing, in pixels.
        mode: "short_side" keeps the aspect ratio; "squash" makes the picture square, as the
            official 256-pixel archives do.
        size: Width and height of the picture as it is stored, if it was decoded smaller: that
            rounds, so that a side after resizing, and with it the centre, may be a pixel off.
    """
    height, width = pixels.shape[:2]
    whole_width, whole_height = size or (width, height)
    new_width, new_height = _resized(whole_width, whole_height, resize_size, mode)
    side = out.shape[1]
    corners = crop_places(new_width - side, new_height - side)
    if out.shape[0] == side:
        corners = corners[CENTER : CENTER + 1]
    squares = out.reshape(len(corners), side, side, 3)
    if new_width * new_height > _MAX_RESIZED_PIXELS:  # a thin line
        for square, (left, top) in zip(squares, corners, strict=True):
            square[:] = resize_part(pixels, new_width, new_height, left, top, side)
        return
    if (new_width, new_height) != (width, height):
        image = Image.fromarray(pixels).resize((new_width, new_height), Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
    for square, (left, top) in zip(squares, corners, strict=True):
        square[:] = pixels[top : top + side, left : left + side]


def shrunk(pixels: Pixels, resize_size: int) -> Pixels:
    """Return a picture with a short side of `resize_size`, unless that is shorter already.

    It is resized as `eval_crop` does, so an evaluation with the same `resize_size` sees the same.
    """
    height, width = pixels.shape[:2]
    if min(width, height) <= resize_size:
        return pixels
    size = _resized(width, height, resize_size, "short_side")
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def crop_places(across: int, down: int) -> list[tuple[int, int]]:
    """Return left and top of the squares of which torchvision's `TenCrop` and its mirrors are made.

    These are the four corners, the centre, and what becomes the centre of the mirrored picture:
    where the margins are odd, that is one column to the side.

    Args:
        across: How much wider the picture is than a square, in pixels.
        down: How much higher.
    """
    left, top = round(across / 2), round(down / 2)
    corners = [(0, 0), (across, 0), (0, down), (across, down)]
    return [*corners, (left, top), (across - left, top)]


def _resized(width: int, height: int, resize_size: int, mode: ResizeMode) -> tuple[int, int]:
    """Return the width and the height of a picture after resizing, as torchvision has them."""
    if mode == "squash":
        return resize_size, resize_size
    if width <= height:
        return resize_size, int(resize_size * height / width)
    return int(resize_size * width / height), resize_size
