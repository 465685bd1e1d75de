import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from tests.data.drawn import drawn_picture, gigantic_jpeg, jpeg_of

from places.data.streaming.jpeg import decode_box, decode_jpeg, read_header
from places.errors import DataError

FORMS: dict[str, dict[str, Any]] = {
    "4:2:0": {},
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "thumbnail": {"exif": b"Exif\0\0" + jpeg_of(drawn_picture(16, 16))},
    "grayscale": {},
    "CMYK": {},
}


def _form(name: str, width: int, height: int) -> bytes:
    mode = {"grayscale": "L", "CMYK": "CMYK"}.get(name, "RGB")
    return jpeg_of(drawn_picture(width, height).convert(mode), **FORMS[name])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_pixels_equal_pillow(mode: str) -> None:
    jpeg = jpeg_of(drawn_picture(61, 47).convert(mode))
    expected = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    assert np.array_equal(decode_jpeg(jpeg), expected)


@pytest.mark.parametrize("form", FORMS)
def test_the_header_says_what_pillow_says(form: str) -> None:
    for width, height in [(93, 111), (16, 300), (93, 111)]:  # the third is known by then
        jpeg = _form(form, width, height)
        header = read_header(jpeg)
        with Image.open(io.BytesIO(jpeg)) as image:
            assert (header.width, header.height) == image.size
            assert header.is_cmyk is (image.mode == "CMYK")
            is_plain = form not in ("progressive", "restarts")
            assert (header.frame_start is not None) is is_plain


def test_a_header_with_damage_is_an_error() -> None:
    jpeg = jpeg_of(drawn_picture(64, 64))
    frame = jpeg.index(b"\xff\xc0")
    for at, value in [(0, b"PK"), (frame + 2, b"\0\2"), (frame + 7, b"\0\0"), (frame + 9, b"\2")]:
        with pytest.raises(DataError, match="damaged JPEG"):
            decode_jpeg(jpeg[:at] + value + jpeg[at + len(value) :])
    with pytest.raises(DataError, match="damaged JPEG"):
        decode_jpeg(jpeg[: frame + 2] + b"\0\2" + jpeg[jpeg.index(b"\xff\xda") :])


@pytest.mark.parametrize("cut", [0, 3, 100, -200])
def test_a_damaged_jpeg_is_an_error(cut: int) -> None:
    with pytest.raises(DataError, match="damaged JPEG"):
        decode_jpeg(jpeg_of(drawn_picture(64, 64))[:cut])


def test_a_gigantic_picture_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(DataError, match="picture of 60000 x 60000 pixels; at most 89,478,485"):
        decode_jpeg(gigantic_jpeg())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("box", [(0, 0, 5, 1), (7, 3, 20, 50), (30, 61, 31, 30), (0, 0, 93, 111)])
def test_a_box_is_that_part_of_the_picture(form: str, box: tuple[int, int, int, int]) -> None:
    jpeg = _form(form, 93, 111)
    left, top, width, height = box
    if form == "CMYK":
        whole = decode_jpeg(jpeg)
    else:
        whole = simplejpeg.decode_jpeg(jpeg, "RGB", fastupsample=True)
    expected = whole[top : top + height, left : left + width].copy()
    assert np.array_equal(decode_box(jpeg, read_header(jpeg), box), expected)


@pytest.mark.parametrize("form", ["4:2:0", "4:4:4", "grayscale", "thumbnail"])
def test_rows_below_the_box_are_not_decoded(form: str) -> None:
    # What is below has no way to be decoded, and that goes unnoticed.
    jpeg = bytearray(_form(form, 256, 256))
    scan = jpeg.rindex(b"\xff\xda")
    header = read_header(bytes(jpeg))
    box = (10, 20, 100, 60)
    expected = decode_box(bytes(jpeg), header, box).copy()
    late = (scan + 3 * len(jpeg)) // 4
    jpeg[late:-2] = b"\x55" * len(jpeg[late:-2])
    assert np.array_equal(decode_box(bytes(jpeg), header, box), expected)


def test_a_cut_jpeg_is_an_error_wherever_the_box_is() -> None:
    jpeg = jpeg_of(drawn_picture(256, 256))
    header = read_header(jpeg)
    for box in [(0, 0, 16, 16), (0, 0, 256, 256)]:
        for length in range(700, len(jpeg), 97):
            with pytest.raises(DataError, match="damaged JPEG"):
                decode_box(jpeg[:length], header, box)


def test_damage_that_the_decoder_sees_in_the_rows_of_a_box_is_an_error() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    jpeg = jpeg_of(Image.fromarray(noise))
    header, scan = read_header(jpeg), jpeg.rindex(b"\xff\xda") + 14
    for at in range(scan, scan + (len(jpeg) - scan) // 2, 101):
        # A marker that has no place there.
        damaged = jpeg[:at] + b"\xff\xd9" + jpeg[at + 2 :]
        with pytest.raises(DataError, match="damaged JPEG"):
            decode_box(damaged, header, (0, 0, 128, 96))
        # Other bits mean another picture, which the decoder cannot know: the same in the box.
        damaged = jpeg[:at] + bytes([jpeg[at] ^ 0x5A, jpeg[at + 1] ^ 0xA5]) + jpeg[at + 2 :]
        rows = simplejpeg.decode_jpeg(damaged, "RGB", strict=False, fastupsample=True)[:96].copy()
        assert np.array_equal(decode_box(damaged, header, (0, 0, 128, 96)), rows)


@pytest.mark.parametrize("form", ["4:2:0", "4:4:4", "progressive"])
def test_a_reduced_box_is_never_smaller_than_asked(form: str) -> None:
    jpeg = _form(form, 800, 603)
    header = read_header(jpeg)
    whole = decode_jpeg(jpeg).astype(float)
    for min_scale in np.linspace(0.02, 1.2, 23).tolist():
        for height in (400, 539):
            pixels = decode_box(jpeg, header, (80, 64, 640, height), min_scale)
            scale = pixels.shape[1] / 640
            assert scale >= min(min_scale, 1)
            assert scale in (0.125, 1) or scale < 2 * min_scale
            assert pixels.shape[0] == pytest.approx(height * scale, abs=1)
            expected = Image.fromarray(whole[64 : 64 + height, 80:720].astype(np.uint8))
            expected = expected.resize(pixels.shape[1::-1], Image.Resampling.BOX)
            assert (
                np.abs(pixels - np.asarray(expected).astype(float)).mean() < 3
            )  # less than a pixel apart


def test_colours_of_lower_resolution_change_pictures_by_half_a_level_at_most(sample: Path) -> None:
    differences = []
    for path in sorted((sample / "pictures").rglob("*.jpg")):
        jpeg = path.read_bytes()
        exact = decode_jpeg(jpeg).astype(int)
        height, width, _ = exact.shape
        differences.append(decode_box(jpeg, read_header(jpeg), (0, 0, width, height)) - exact)
    assert len(differences) > 10
    assert 0 < np.mean(np.abs(differences)) < 0.5
    assert abs(np.mean(differences)) < 0.05


@pytest.mark.parametrize(("width", "height"), [(4, 87), (87, 4), (1, 64), (7, 49), (3, 3)])
def test_parts_of_thin_pictures_are_not_shrunk(width: int, height: int) -> None:
    jpeg = jpeg_of(drawn_picture(width, height).convert("L"))  # has no colours to interpolate
    header = read_header(jpeg)
    whole = decode_jpeg(jpeg).copy()
    decode_jpeg(jpeg_of(Image.new("RGB", (99, 99), "white")))  # leaves white in the buffer
    for rows in range(1, height + 1):
        part = decode_box(jpeg, header, (0, 0, width, rows))
        assert np.array_equal(part, whole[:rows])
