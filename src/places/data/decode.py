"""From JPEG bytes or picture files to uint8 pixels of the wanted crop.

Evaluation pixels equal those of Pillow and torchvision. Training crops may be decoded at a reduced
size (in the DCT domain) and are resized by OpenCV, which is faster and close, not equal.
"""

import io
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageOps

from places.errors import DataError

Pixels = npt.NDArray[np.uint8]  # (height, width, 3), RGB
ResizeMode = Literal["short_side", "squash"]

# Pillow's limit. Larger pictures are refused: a small file can claim to be gigantic.
MAX_PIXELS = 89_478_485
NUM_CROP_TRIES = 10  # as torchvision.transforms.RandomResizedCrop
NUM_CROP_UNIFORMS = 4 * NUM_CROP_TRIES

# Above this factor a picture is shrunk by averaging. Below it (256-pixel pictures to 224), it would
# cost a tenth of the loader's speed and bring the pixels 0.3 levels nearer to Pillow's.
_MOST_LINEAR = 1.15

_local = threading.local()


def crop_box(
    width: int,
    height: int,
    uniforms: Sequence[float],
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[int, int, int, int]:
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
    """Decode a random crop of a JPEG into `out`, `(size, size, 3)` uint8, RGB.

    Args:
        jpeg: The whole JPEG file.
        uniforms: Numbers in [0, 1) that choose the crop, see `crop_box`.
        out: Where the pixels go; contiguous.
        scale: See `crop_box`.
        ratio: See `crop_box`.

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

    The pixels are valid until the thread's next call; see `decode_train_crop` for the arguments.
    """
    width, height = _jpeg_size(jpeg)
    left, top, crop_width, crop_height = crop_box(width, height, uniforms, scale, ratio)
    pixels = decode_jpeg(
        jpeg,
        min_width=math.ceil(width * size / crop_width),
        min_height=math.ceil(height * size / crop_height),
    )
    x_scale, y_scale = pixels.shape[1] / width, pixels.shape[0] / height
    columns = slice(round(left * x_scale), math.ceil((left + crop_width) * x_scale))
    rows = slice(round(top * y_scale), math.ceil((top + crop_height) * y_scale))
    return pixels[rows, columns]


def resize_crop(crop: Pixels, out: Pixels) -> None:
    """Resize a crop into `out`, `(size, size, 3)` uint8, contiguous."""
    shrinks = max(crop.shape[0], crop.shape[1]) > _MOST_LINEAR * out.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    cv2.resize(crop, out.shape[1::-1], dst=out, interpolation=interpolation)


def decode_eval_crop(jpeg: bytes, out: Pixels, resize_size: int, mode: ResizeMode) -> None:
    """Decode the evaluation crop of a JPEG into `out`, see `eval_crop`.

    Raises:
        DataError: The JPEG is damaged.
    """
    eval_crop(decode_jpeg(jpeg), out, resize_size, mode)


def eval_crop(pixels: Pixels, out: Pixels, resize_size: int, mode: ResizeMode) -> None:
    """Resize a picture and write its central square into `out`.

    The pixels equal torchvision's `Resize(resize_size)` on a Pillow image (bilinear, antialiased)
    and `CenterCrop(size)`.

    Args:
        pixels: `(height, width, 3)` uint8, RGB.
        out: `(size, size, 3)` uint8, contiguous, with size at most `resize_size`.
        resize_size: Length of the short side after resizing, in pixels.
        mode: "short_side" keeps the aspect ratio; "squash" makes the picture square, as the
            official 256-pixel archives do.
    """
    height, width = pixels.shape[:2]
    if mode == "squash":
        new_width = new_height = resize_size
    elif width <= height:
        new_width, new_height = resize_size, int(resize_size * height / width)
    else:
        new_width, new_height = int(resize_size * width / height), resize_size
    if (new_width, new_height) != (width, height):
        image = Image.fromarray(pixels).resize((new_width, new_height), Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
    size = out.shape[0]
    left, top = round((new_width - size) / 2), round((new_height - size) / 2)
    out[:] = pixels[top : top + size, left : left + size]


def decode_jpeg(jpeg: bytes, min_width: int = 0, min_height: int = 0) -> Pixels:
    """Decode a JPEG to `(height, width, 3)` uint8, RGB.

    The pixels lie in a buffer of the calling thread: they are valid until its next call.

    Args:
        jpeg: The whole JPEG file. Grayscale and CMYK become RGB as in Pillow.
        min_width: The picture may be decoded at half size and less, but not narrower than this;
            0 decodes at full size.
        min_height: Likewise for the height.

    Raises:
        DataError: The JPEG is damaged, or has more than `MAX_PIXELS`.
    """
    width, height = _jpeg_size(jpeg)
    try:
        if simplejpeg.decode_jpeg_header(jpeg)[2] == "CMYK":
            with Image.open(io.BytesIO(jpeg)) as image:
                return np.asarray(image.convert("RGB"))
        scaled = min_width > 0 and min(width / min_width, height / min_height) >= 2
        pixels: Pixels = simplejpeg.decode_jpeg(
            jpeg,
            "RGB",
            min_width=min_width if scaled else 0,
            min_height=min_height if scaled else 0,
            min_factor=2 if scaled else 1,
            buffer=_buffer(3 * width * height),
        )
    except (ValueError, OSError) as error:
        raise DataError(f"damaged JPEG: {error}") from error
    return pixels


def decode_file(path: Path) -> Pixels:
    """Decode a picture file of any format that Pillow reads to `(height, width, 3)` uint8, RGB.

    The picture is turned upright as its EXIF orientation says. Transparent parts become white,
    16-bit grayscale is scaled to 8 bits, and of an animation the first picture is taken.

    Raises:
        DataError: The file is no picture, is damaged, or has more than `MAX_PIXELS`.
    """
    try:
        with Image.open(path) as opened:
            _check_size(*opened.size)
            image: Image.Image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16") or image.mode == "I":
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.has_transparency_data:
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image.convert("RGBA"))
            return np.asarray(image.convert("RGB"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"picture of more than {MAX_PIXELS:,} pixels") from error
    except (OSError, ValueError, SyntaxError) as error:
        # Pillow raises SyntaxError for broken PNG chunks.
        raise DataError(f"not a readable picture: {error}") from error


def _jpeg_size(jpeg: bytes) -> tuple[int, int]:
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
    except ValueError as error:
        raise DataError(f"damaged JPEG: {error}") from error
    _check_size(width, height)
    return width, height


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DataError(f"picture of {width} x {height} pixels; at most {MAX_PIXELS:,} are allowed")


def _buffer(size_bytes: int) -> bytearray:
    # One buffer per thread, grown as needed: a fresh array per picture costs 15 % in page faults.
    buffer: bytearray = getattr(_local, "buffer", bytearray())
    if len(buffer) < size_bytes:
        buffer = _local.buffer = bytearray(size_bytes)
    return buffer
