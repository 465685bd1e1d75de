"""JPEGs of large photographs: decoded smaller, faster, and to nearly the same pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.drawn import drawn_picture

from places.data.streaming.decode import ResizeMode, eval_crop
from places.data.streaming.jpeg import Pixels
from places.data.streaming.picture_files import decode_file

MAX_PIXELS = 250_000_000


def _photograph(path: Path, width: int, height: int, **options: object) -> Path:
    """Write a JPEG with large shapes, edges and the noise of a sensor."""
    rng = np.random.default_rng(width)
    pixels = np.asarray(drawn_picture(width, height)).astype(np.int16)
    pixels[height // 3 : height // 2, width // 4 : width // 2] //= 3  # a house has edges
    noise = rng.normal(0, 5, (height, width, 1)).round().astype(np.int16)
    Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(path, "JPEG", **options)
    return path


def _crop(path: Path, min_side: int | None, mode: ResizeMode = "short_side") -> Pixels:
    out = np.zeros((224, 224, 3), np.uint8)
    with Image.open(path) as image:
        eval_crop(decode_file(path, MAX_PIXELS, min_side), out, 256, mode, image.size)
    return out


@pytest.mark.parametrize("mode", ["short_side", "squash"])
@pytest.mark.parametrize(
    ("width", "height", "options"),
    [
        (2000, 1500, {"quality": 92}),
        (1500, 2003, {"quality": 75, "subsampling": 0}),
        (1030, 4101, {"quality": 90}),
        (2999, 2003, {"quality": 90}),
        (4033, 3021, {"quality": 80}),
        (2048, 2048, {"quality": 85, "progressive": True}),
    ],
    ids=["landscape", "portrait", "thin", "odd", "larger", "progressive"],
)
def test_the_pixels_are_within_a_level_of_the_exact_ones(
    width: int, height: int, options: dict[str, object], mode: ResizeMode
) -> None:
    path = _photograph(Path("large.jpg"), width, height, **options)
    exact, fast = _crop(path, None, mode), _crop(path, 512, mode)
    assert np.abs(exact.astype(int) - fast).mean() < 1
    assert not np.array_equal(exact, fast)  # it was decoded smaller
    with Image.open(path) as image:
        expected = np.zeros_like(exact)
        eval_crop(np.asarray(image.convert("RGB")), expected, 256, mode)
    assert np.array_equal(exact, expected)
