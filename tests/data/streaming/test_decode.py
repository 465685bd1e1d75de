import io

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.drawn import drawn_picture, jpeg_of
from torchvision.transforms import CenterCrop, RandomResizedCrop, Resize

from places.data.streaming import decode
from places.data.streaming.jpeg import decode_jpeg
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


@pytest.mark.parametrize(("width", "height"), [(1, 4000), (4000, 1), (3, 9000), (9000, 2)])
def test_of_a_thin_line_only_the_centre_is_resized(width: int, height: int) -> None:
    line = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    out, size = np.empty((224, 224, 3), np.uint8), (256 * width, 256 * height)
    short = min(width, height)
    size = (int(256 * width / short), int(256 * height / short))
    decode.eval_crop(line, out, 256, "short_side")
    # Pillow resizes one side only, where that is one; the other one is repeated or blended.
    along = 0 if height > width else 1
    strip = Image.fromarray(line).resize(
        (size[0], height) if along else (width, size[1]), Image.Resampling.BILINEAR
    )
    left, top = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    box = (left, 0, left + 224, height) if along else (0, top, width, top + 224)
    part = strip.crop(box).resize((224, 256) if along else (256, 224), Image.Resampling.BILINEAR)
    expected = np.asarray(part)[16:240] if along else np.asarray(part)[:, 16:240]
    assert abs(out.astype(int) - expected).max() <= 1
