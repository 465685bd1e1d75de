"""Every picture file gives its pixels, upright, or an error; never black or white by mistake."""

import errno
import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data.drawn import drawn_picture, gigantic_jpeg, jpeg_of

from places.data.streaming.picture_files import decode_file
from places.errors import DataError, StorageError

MAX_PIXELS = 10**7
UPRIGHT = drawn_picture(60, 40)
GRAY = np.asarray(UPRIGHT.convert("L"))


def _decoded(content: bytes, max_pixels: int = MAX_PIXELS, min_side: int | None = None) -> Any:  # noqa: ANN401  # numpy's
    Path("picture").write_bytes(content)
    return decode_file(Path("picture"), max_pixels, min_side)


def _saved(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:  # noqa: ANN401  # Pillow's
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _turned(orientation: int) -> Image.Image:
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return UPRIGHT.transpose(turned[orientation]) if orientation in turned else UPRIGHT


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_files_are_turned_upright(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "WEBP" else {"quality": 95, "subsampling": 0}
    pixels = _decoded(_saved(_turned(orientation), form, exif=exif, **options))
    assert pixels.shape == (40, 60, 3)
    assert abs(pixels.astype(int) - np.asarray(UPRIGHT)).mean() < (4 if form == "JPEG" else 1e-9)


def _exif(*entries: tuple[int, int, int, bytes], order: str = "<", following: int = 0) -> bytes:
    """Return EXIF data with entries of tag, type, count and field."""
    packed = [
        struct.pack(f"{order}HHI", *entry[:3]) + entry[3].ljust(4, b"\0") for entry in entries
    ]
    start = b"II*\0" if order == "<" else b"MM\0*"
    count = struct.pack(f"{order}IH", 8, len(entries))
    return b"Exif\0\0" + start + count + b"".join(packed) + struct.pack(f"{order}I", following)


SIX = (274, 3, 1, b"\6\0")
EXIFS = {
    "sound": _exif(SIX),
    "big endian": _exif((274, 3, 1, b"\0\6"), order=">"),
    "long": _exif((274, 4, 1, b"\6")),
    "byte": _exif((274, 1, 1, b"\6")),
    "text": _exif((274, 2, 2, b"6")),
    "twice": _exif(SIX, (274, 3, 1, b"\3\0")),
    "after others of all types": _exif(*((n, n, 1, b"abcd") for n in range(1, 14)), SIX),
    "after one that points nowhere": _exif((270, 2, 10**9, b"\xff\xff\xff\xff"), SIX),
    "after a rational in a short": _exif((282, 10, 1, b"\x08\0\0\0"), SIX),
    "endless": _exif(SIX, following=8),
    "cut": _exif(SIX)[:-5],
    "more claimed than there": _exif(SIX)[:14] + b"\xff\xff" + _exif(SIX)[16:],
    "XMP": b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>',
    "XMP as an element": b"http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>6</tiff:Orientation>",
}
NO_EXIFS = {
    "wrong": _exif((274, 3, 1, b"\x09\0")),
    "zero": _exif((274, 3, 1, b"\0\0")),
    "rational": _exif((274, 5, 1, b"\x08\0\0\0")),
    "elsewhere": _exif(SIX).replace(b"\x08\0\0\0", b"\xff\xff\xff\xff", 1),
    "nothing": b"Exif\0\0",
    "noise": b"Exif\0\0" + os.urandom(60),
    "empty": b"",
}


@pytest.mark.parametrize("name", [*EXIFS, *NO_EXIFS])
def test_no_metadata_of_a_jpeg_costs_the_picture(name: str) -> None:
    segment = {**EXIFS, **NO_EXIFS}[name]
    jpeg = jpeg_of(_turned(6), quality=95, subsampling=0)
    for marker in (b"\xff\xe1", b"\xff\xff\xe1"):  # one with padding
        length = (len(segment) + 2).to_bytes(2, "big")
        pixels = _decoded(jpeg[:2] + marker + length + segment + jpeg[2:])
        assert pixels.shape == ((40, 60, 3) if name in EXIFS else (60, 40, 3))
    noise = b"".join(
        bytes([0xFF, marker]) + (302).to_bytes(2, "big") + os.urandom(300)
        for marker in (0xE2, 0xED, 0xE1, 0xEF, 0xFE)
    )
    assert np.array_equal(_decoded(jpeg[:2] + noise + jpeg[2:]), _decoded(jpeg))


def _chunk(name: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(name + data).to_bytes(4, "big")
    return len(data).to_bytes(4, "big") + name + data + crc


@pytest.mark.parametrize(
    "chunk",
    [
        _chunk(b"tEXt", b"Comment\0" + b"x" * 10**7),
        _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(10**8))),
        _chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(bytes(10**8))),
        _chunk(b"iCCP", b"profile\0\0" + b"no profile"),
        _chunk(b"tEXt", b"x")[:-4] + b"\0\0\0\0",  # a wrong checksum
        _chunk(b"pHYs", b"1"),
        _chunk(b"gAMA", b""),
        _chunk(b"eXIf", b"MM"),
    ],
    ids=lambda chunk: chunk[4:8].decode() + str(len(chunk)),
)
def test_no_metadata_of_a_png_costs_the_picture(chunk: bytes) -> None:
    png = _saved(UPRIGHT)
    assert np.array_equal(_decoded(png[:33] + chunk + png[33:]), np.asarray(UPRIGHT))
    assert np.array_equal(_decoded(png[:-12] + chunk + png[-12:]), np.asarray(UPRIGHT))


def test_no_metadata_of_a_tiff_costs_the_picture() -> None:
    content = bytearray(_saved(UPRIGHT, "TIFF", dpi=(72, 72), description="text"))
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", content, at)[0] in (270, 282, 283, 296, 305):
            struct.pack_into("<HII", content, at + 2, 2, 2**31, 2**32 - 1)
    assert np.array_equal(_decoded(bytes(content)), np.asarray(UPRIGHT))


DEPTHS: dict[str, Callable[[], Image.Image]] = {
    "16 bit": lambda: Image.fromarray(GRAY.astype(np.uint16) * 257),
    "12 bit": lambda: Image.fromarray(np.round(GRAY / 255 * 4095).astype(np.uint16)),
    "10 bit": lambda: Image.fromarray(np.round(GRAY / 255 * 1023).astype(np.uint16)),
    "8 bit in 16": lambda: Image.fromarray(GRAY.astype(np.uint16)),
    "8 bit in 32": lambda: Image.fromarray(GRAY.astype(np.int32)),
    "16 bit in 32": lambda: Image.fromarray(GRAY.astype(np.int32) * 257),
    "0 to 1": lambda: Image.fromarray(GRAY.astype(np.float32) / 255),
    "0 to 255": lambda: Image.fromarray(GRAY.astype(np.float32)),
    "0 to 65535": lambda: Image.fromarray(GRAY.astype(np.float32) * 257),
}


@pytest.mark.parametrize("name", DEPTHS)
def test_more_than_8_bits_are_scaled(name: str) -> None:
    pixels = _decoded(_saved(DEPTHS[name](), "TIFF"))
    assert pixels.shape == (40, 60, 3)
    assert abs(pixels[..., 0].astype(int) - GRAY).max() <= 1
    assert abs(pixels.mean() - GRAY.mean()) < 0.5


@pytest.mark.parametrize(
    "values",
    [
        GRAY.astype(np.int32) * 1000,
        GRAY.astype(np.int32) - 100,
        GRAY.astype(np.float32) / GRAY.max() * 1.02,
        GRAY.astype(np.float32) / 100,
        GRAY.astype(np.float32) * 1e6,
        -GRAY.astype(np.float32),
        np.where(GRAY > 200, np.nan, GRAY / 255).astype(np.float32),
        np.where(GRAY > 200, np.inf, GRAY / 255).astype(np.float32),
    ],
)
def test_values_that_no_rule_covers_are_an_error(values: Any) -> None:  # noqa: ANN401  # an array
    with pytest.raises(DataError, match="which is white is not known"):
        _decoded(_saved(Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"]
)
@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG"])
def test_every_mode_shows_the_picture(mode: str, form: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(GRAY.astype(np.uint16) * 257)
    else:
        via = UPRIGHT.convert("P") if mode == "PA" else UPRIGHT
        image = via.convert(mode)
    try:
        content = _saved(image, form)
    except (OSError, KeyError):
        pytest.skip(f"Pillow writes no {form} of mode {mode}")
    gray = mode in ("1", "L", "LA", "I;16")
    expected = UPRIGHT.convert("L") if gray else UPRIGHT
    assert abs(_decoded(content).mean() - np.asarray(expected).mean()) < (4 if mode == "1" else 2)


def test_what_is_clear_is_white() -> None:
    assert (_decoded(_saved(Image.new("RGBA", (4, 4), (255, 0, 0, 0)))) == 255).all()
    assert (_decoded(_saved(Image.new("LA", (4, 4), (0, 0)))) == 255).all()
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    assert (_decoded(_saved(palette, transparency=1)) == 255).all()
    assert (_decoded(_saved(palette, transparency=bytes([255, 0]))) == 255).all()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n broken", b"\xff\xd8"])
def test_a_file_that_is_no_picture_is_an_error(content: bytes) -> None:
    with pytest.raises(DataError, match="not a readable picture"):
        _decoded(content)


def test_no_program_is_started_to_draw_a_picture() -> None:
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    with pytest.raises(DataError, match="of no format that is read here"):
        _decoded(content)


def test_a_cut_file_is_an_error() -> None:
    for form in ("JPEG", "PNG", "TIFF", "WEBP", "GIF"):
        content = _saved(UPRIGHT, form)
        with pytest.raises(DataError, match="not a readable picture"):
            _decoded(content[: len(content) // 2])


def test_large_jpegs_are_decoded_smaller_and_other_pictures_refused() -> None:
    large = UPRIGHT.resize((600, 400))
    assert _decoded(_saved(large, "JPEG"), max_pixels=240_000).shape == (400, 600, 3)
    assert _decoded(_saved(large, "JPEG"), max_pixels=100_000).shape == (200, 300, 3)
    assert _decoded(_saved(large, "JPEG"), max_pixels=4_000).shape == (50, 75, 3)
    with pytest.raises(DataError, match="picture of 600 x 400 pixels; at most 3,000 are allowed"):
        _decoded(_saved(large, "JPEG"), max_pixels=3_000)
    for content in (_saved(large), _saved(large, "JPEG", progressive=True)):
        with pytest.raises(DataError, match="at most 100,000 are allowed"):
            _decoded(content, max_pixels=100_000)
    with pytest.raises(DataError, match="picture of 60,000 x 60,000 pixels"):
        _decoded(gigantic_jpeg())


def test_a_jpeg_keeps_twice_the_pixels_that_are_needed() -> None:
    large = _saved(UPRIGHT.resize((600, 400)), "JPEG")
    shapes = {
        side: _decoded(large, min_side=side).shape[0] for side in (401, 400, 200, 199, 51, 50)
    }
    assert shapes == {401: 400, 400: 400, 200: 200, 199: 200, 51: 100, 50: 50}


def test_what_is_no_file_is_an_error_at_once(tmp_path: Path) -> None:
    os.mkfifo("pipe")
    Path("gone").symlink_to("nowhere")
    Path("loop").symlink_to("loop")
    for name in ("pipe", ".", "gone", "loop", "nothing", "/dev/zero", "x" * 300):
        with pytest.raises(DataError):
            decode_file(Path(name), MAX_PIXELS)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT])
@pytest.mark.parametrize("call", ["open", "fstat"])
def test_a_failing_storage_is_no_fault_of_the_picture(
    monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    Path("picture").write_bytes(_saved(UPRIGHT))

    def fail(*rest: object, **named: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError, match="cannot read picture"):
        decode_file(Path("picture"), MAX_PIXELS)
    monkeypatch.undo()  # pytest needs it itself


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT, errno.EPERM])
def test_a_file_that_may_not_be_read_is_an_error_of_its_own(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*rest: object, **named: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(DataError, match="not a readable picture") as caught:
        decode_file(Path("picture"), MAX_PIXELS)
    assert not isinstance(caught.value, StorageError)
