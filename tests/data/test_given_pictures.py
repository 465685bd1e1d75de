"""Images, arrays and tensors of a program become the pixels that a file of them would become."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from tests.data.drawn import drawn_picture

from places.data.given_batches import batches_of
from places.data.given_pictures import take
from places.data.streaming.batches import EvalCrop
from places.data.streaming.picture_files import decode_array, decode_file, decode_image
from places.errors import DataError

PIXELS = 250_000_000
PICTURE = drawn_picture(60, 40)
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright_as_its_file_is(ending: str, orientation: int) -> None:
    path = Path(f"a.{ending}")
    PICTURE.save(path, exif=turned(orientation))
    expected = decode_file(path, PIXELS)
    assert expected.shape == ((40, 60, 3) if orientation < 5 else (60, 40, 3))
    with Image.open(path) as image:
        assert np.array_equal(decode_image(image, PIXELS), expected)
        upright = ImageOps.exif_transpose(image)
        if ending != "tif":  # Pillow has turned it when it read it
            assert np.array_equal(decode_image(image.convert("RGB"), PIXELS), expected)
            assert np.array_equal(decode_image(image.copy(), PIXELS), expected)
        assert np.array_equal(decode_image(upright, PIXELS), expected)  # not once more


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_what_xmp_says_counts_too(ending: str) -> None:
    path = Path(f"a.{ending}")
    if ending == "jpg":
        PICTURE.save(path, xmp=XMP.encode())
    else:
        from PIL.PngImagePlugin import PngInfo

        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP)
        PICTURE.save(path, pnginfo=text)
    with Image.open(path) as image:
        found = decode_image(image, PIXELS)
    assert found.shape == (60, 40, 3)
    assert np.array_equal(found, decode_file(path, PIXELS))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, when it opens the file
def test_tags_that_cannot_be_read_cost_no_image() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\xff\xff\xff\xff\0\0\0\0"
    PICTURE.save("a.jpg", exif=exif)
    with Image.open("a.jpg") as image:
        assert np.array_equal(decode_image(image, PIXELS), decode_file(Path("a.jpg"), PIXELS))


GRAY = np.asarray(PICTURE.convert("L")).astype(np.int64)
MODES: dict[str, Image.Image] = {
    **{mode: PICTURE.convert(mode) for mode in ("1", "L", "P", "RGB", "CMYK", "YCbCr", "RGBX")},
    **{mode: PICTURE.convert(mode) for mode in ("LA", "RGBA")},
    "I;16": Image.fromarray((GRAY * 257).astype("<u2")),
    "I;16B": Image.fromarray((GRAY * 257).astype(">u2")),
    "I": Image.fromarray((GRAY * 16).astype(np.int32)),
    "F": Image.fromarray((GRAY / 255).astype(np.float32)),
    "HSV": PICTURE.convert("HSV"),
    "RGBa": PICTURE.convert("RGBA").convert("RGBa"),
    "La": PICTURE.convert("LA").convert("La"),
    "PA": PICTURE.convert("LA").convert("PA"),
}


@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_any_mode_has_the_brightness_that_it_shows(mode: str) -> None:
    image = MODES[mode]
    assert image.mode == mode
    before = image.tobytes()
    found = decode_image(image, PIXELS)
    wide = mode in ("I;16", "I;16B", "I", "F", "L", "LA", "La", "PA", "1")
    expected = GRAY.mean() if wide else np.asarray(PICTURE).mean()
    assert found.shape == (40, 60, 3)
    assert found.mean() == pytest.approx(expected, abs=2.5)
    assert image.mode == mode
    assert image.tobytes() == before  # theirs


@pytest.mark.parametrize("name", ["uint8", "uint16", "int32", "int64", "uint64", "bool"])
@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 1), (40, 60, 3)])
def test_whole_numbers_of_any_width(name: str, shape: tuple[int, ...]) -> None:
    values = np.asarray(PICTURE)[:, :, : shape[2]] if len(shape) == 3 else GRAY
    array = values > 127 if name == "bool" else values.astype(name)
    expected = 255 * (values > 127) if name == "bool" else values
    found = decode_array(array, PIXELS)
    assert np.array_equal(found, np.broadcast_to(expected.reshape(40, 60, -1), (40, 60, 3)))


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_floating_point_numbers(name: str) -> None:
    values = np.asarray(PICTURE)
    part, whole = (values / 255).astype(name), values.astype(name)
    for array in (part, whole):
        assert np.abs(decode_array(array, PIXELS).astype(int) - values).max() <= 1
    for wrong in (part - 1, part * np.nan, part * 3):
        with pytest.raises(DataError, match="which is white is not known"):
            decode_array(wrong, PIXELS)


def test_alpha_lies_over_white() -> None:
    clear = np.zeros((4, 5, 4), np.uint8)
    assert (decode_array(clear, PIXELS) == 255).all()
    assert (decode_array(clear[:, :, :2], PIXELS) == 255).all()
    clear[:, :, 3] = 255
    assert (decode_array(clear, PIXELS) == 0).all()


def test_tensors_have_their_colours_first() -> None:
    array = np.asarray(PICTURE).copy()
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    kinds: list[Any] = [
        tensor,
        tensor.float() / 255,
        tensor.bfloat16(),
        tensor.requires_grad_(False),
    ]
    for given in take([*kinds, tensor.double().requires_grad_()], PIXELS, None):
        pixels, size = given.decode()
        assert size == (60, 40)
        assert np.array_equal(pixels, array)


class Misleading:
    """Says that it has more or fewer pictures than it has."""

    def __init__(self, said: int, there: int) -> None:
        self.said, self.there = said, there

    def __len__(self) -> int:
        return self.said

    def __iter__(self) -> Any:  # noqa: ANN401  # an iterator
        return iter([PICTURE] * self.there)


@pytest.mark.parametrize("said", [0, 1, 5, 9, 40])
@pytest.mark.parametrize("there", [0, 1, 5, 9])
def test_no_picture_is_lost_or_invented(said: int, there: int) -> None:
    batches = batches_of(
        Misleading(said, there),
        EvalCrop(8, 8, "short_side"),
        batch_size=4,
        max_pixels=PIXELS,
        exact=False,
        pin_memory=False,
    )
    assert sum(len(seen) for _, seen in batches) == there


def test_defaults_of_torch_change_nothing() -> None:
    expected = [images for images, _ in _batches()]
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            found = [images for images, _ in _batches()]
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(map(torch.equal, expected, found))


def _batches() -> Any:  # noqa: ANN401  # an iterator
    crop = EvalCrop(8, 8, "short_side")
    options: Any = {"batch_size": 2, "max_pixels": PIXELS, "exact": True, "pin_memory": False}
    return batches_of([PICTURE] * 3, crop, **options)
