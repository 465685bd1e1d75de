"""Raw pictures whose headers are nearly alike, compared with Pillow and torchvision."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.drawn import drawn_picture, jpeg_of
from torchvision.transforms import CenterCrop, Resize

import places.data
from places.cli.main import main

# As many bytes in each, so that nothing but its own header tells which is which.
SIZES = [(48, 36), (36, 48), (48, 36), (48, 36), (54, 32), (36, 48)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "airfield"
    folder.mkdir()
    for number in range(24):
        jpeg = jpeg_of(drawn_picture(*SIZES[number % len(SIZES)], seed=number))
        (folder / f"{number:02d}.jpg").write_bytes(jpeg)
    return folder.parent


@pytest.mark.parametrize("pixels", ["raw", "mixed:0.5"])
@pytest.mark.parametrize("num_threads", [1, 3])
def test_pictures_of_one_size_in_bytes_keep_their_shapes(
    pictures: Path, tmp_path: Path, pixels: str, num_threads: int
) -> None:
    where = ["--root", str(tmp_path), "--split", "val"]
    assert main(["pack", str(pictures), *where, "--pixels", pixels]) == 0
    found = {
        key: image.permute(1, 2, 0).numpy()
        for batch in places.data.open(
            tmp_path, "val", 8, train=False, image_size=24, resize_size=30, num_threads=num_threads
        )
        for key, image in zip(batch["key"], batch["image"], strict=True)
    }
    assert len(found) == 24
    for key, image in found.items():
        with Image.open(pictures / f"{key}.jpg") as picture:
            expected = CenterCrop(24)(Resize(30)(picture.convert("RGB")))
        assert np.array_equal(image, np.asarray(expected))
