"""Smooth random pictures and their JPEGs."""

import io
from typing import Any

import numpy as np
from PIL import Image


def drawn_picture(width: int, height: int, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def jpeg_of(
    image: Image.Image,
    quality: int = 90,
    **options: Any,  # noqa: ANN401 - what Pillow's writer takes
) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, **options)
    return file.getvalue()


def gigantic_jpeg() -> bytes:
    """A small file whose header claims 60,000 x 60,000 pixels."""
    jpeg = bytearray(jpeg_of(drawn_picture(64, 64)))
    size = jpeg.index(b"\xff\xc0") + 5
    jpeg[size : size + 4] = b"\xea\x60\xea\x60"
    return bytes(jpeg)
