import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.drawn import drawn_picture, gigantic_jpeg, jpeg_of
from torchvision.transforms import CenterCrop, RandomResizedCrop, Resize

from places.data.streaming import decode
from places.data.streaming.jpeg import decode_jpeg
from places.errors import DataError
from places.hashing import uniforms


@pytest.mark.parametrize(("width", "height"), [(256, 256), (683, 512), (512, 700), (300, 256)])
def test_evaluation_pixels_equal_torchvision(width: int, height: int) -> None:
    jpeg = jpeg_of(drawn_picture(width, height))
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    out = np.empty((224, 224, 3), dtype=np.uint8)
    decode.eval_crop(decode_jpeg(jpeg), out, 256, "short_side")
    assert np.array_equal(out, np.asarray(CenterCrop(224)(Resize(256)(image))))
    decode.eval_crop(decode_jpeg(jpeg), out, 256, "squash")
    assert np.array_equal(out, np.asarray(CenterCrop(224)(Resize((256, 256))(image))))


def test_crops_are_distributed_as_torchvisions() -> None:
    numbers = uniforms(np.arange(4000, dtype=np.int64), decode.NUM_CROP_UNIFORMS, 1)
    scale, ratio = (0.08, 1.0), (3 / 4, 4 / 3)
    ours = np.array([decode.crop_box(256, 200, row, scale, ratio) for row in numbers.tolist()])
    torch.manual_seed(0)
    empty = torch.empty(3, 200, 256)
    theirs = np.array(
        [RandomResizedCrop.get_params(empty, list(scale), list(ratio)) for _ in range(4000)]
    )
    # torchvision gives top, left, height, width. Standard error of these means is about 1 pixel.
    assert ours.mean(axis=0) == pytest.approx(theirs.mean(axis=0)[[1, 0, 3, 2]], abs=4)
    assert ours.std(axis=0) == pytest.approx(theirs.std(axis=0)[[1, 0, 3, 2]], abs=3)
    assert (ours[:, 0] + ours[:, 2]).max() <= 256
    assert (ours[:, 1] + ours[:, 3]).max() <= 200


def test_a_picture_too_long_for_any_try_gives_its_central_part() -> None:
    numbers = [0.99] * decode.NUM_CROP_UNIFORMS
    box = decode.crop_box(1000, 10, numbers, (0.9, 1.0), (3 / 4, 4 / 3))
    assert box == ((1000 - 13) // 2, 0, 13, 10)
    box = decode.crop_box(10, 1000, numbers, (0.9, 1.0), (3 / 4, 4 / 3))
    assert box == (0, (1000 - 13) // 2, 10, 13)


@pytest.mark.parametrize(("size", "bound"), [(32, 5), (224, 1)])
def test_training_crops_are_close_to_pillows(size: int, bound: float) -> None:
    jpeg = jpeg_of(drawn_picture(640, 512))
    numbers = uniforms(np.arange(20, dtype=np.int64), decode.NUM_CROP_UNIFORMS, 2).tolist()
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    out = np.empty((size, size, 3), dtype=np.uint8)
    differences = []
    for row in numbers:
        decode.decode_train_crop(jpeg, row, out, (0.08, 1.0), (3 / 4, 4 / 3))
        left, top, width, height = decode.crop_box(640, 512, row, (0.08, 1.0), (3 / 4, 4 / 3))
        box = (left, top, left + width, top + height)
        expected = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
        differences.append(np.abs(out.astype(int) - np.asarray(expected).astype(int)).mean())
    assert np.mean(differences) < bound


def test_a_gigantic_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "bomb.jpg").write_bytes(gigantic_jpeg())
    with pytest.raises(DataError, match="picture of more than 89,478,485 pixels"):
        decode.decode_file(tmp_path / "bomb.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_files_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    turned = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    upright = drawn_picture(60, 40)
    stored = upright if turned is None else upright.transpose(turned)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "picture.png", exif=exif)
    assert np.array_equal(decode.decode_file(tmp_path / "picture.png"), np.asarray(upright))


def test_transparent_and_16_bit_files_become_what_one_sees(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (decode.decode_file(tmp_path / "clear.png") == 255).all()
    deep = np.full((4, 4), 0x80FF, dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert (decode.decode_file(tmp_path / "deep.png") == 0x80).all()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n broken"])
def test_a_file_that_is_no_picture_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.png").write_bytes(content)
    with pytest.raises(DataError, match="not a readable picture"):
        decode.decode_file(tmp_path / "file.png")
