"""JPEGs with damaged headers and data."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.drawn import drawn_picture
from tests.fuzz.mutations import damage_bytes
from tests.fuzz.tool import in_time

from places.data.streaming.decode import NUM_CROP_UNIFORMS, decode_train_crop
from places.data.streaming.jpeg import decode_jpeg
from places.data.streaming.picture_files import decode_file
from places.errors import DataError

_FORMS: list[dict[str, object]] = [
    {"quality": 75},
    {"quality": 95, "subsampling": 0},
    {"progressive": True},
    {"optimize": True, "exif": Image.Exif().tobytes() + bytes(40)},
    {"restart_marker_blocks": 4},
]


def _jpeg(rng: random.Random) -> bytes:
    image = Image.fromarray(np.asarray(drawn_picture(rng.randint(1, 90), rng.randint(1, 90))))
    image = image.convert(rng.choice(["RGB", "L", "CMYK"]))
    file = io.BytesIO()
    image.save(file, "JPEG", **rng.choice(_FORMS))
    return file.getvalue()


def one(rng: random.Random, folder: Path) -> str:
    """Damage a JPEG and decode it in every way; return the kind of damage."""
    jpeg = _jpeg(rng)
    head = jpeg[: rng.choice([64, 256, 700, len(jpeg)])]
    kind, damaged = damage_bytes(rng, head)
    data = damaged if kind == "cut" else damaged + jpeg[len(head) :]
    path = folder / "picture.jpg"
    path.write_bytes(data)
    uniforms = [rng.random() for _ in range(NUM_CROP_UNIFORMS)]
    out = np.empty((32, 32, 3), np.uint8)
    outcomes = []
    with in_time():
        for decode in (
            lambda: decode_jpeg(data),
            lambda: decode_train_crop(data, uniforms, out, (0.08, 1.0), (0.75, 1.33)),
            lambda: decode_file(path, 10**6),
            lambda: decode_file(path, 1000, 8),
        ):
            try:
                pixels = decode()
            except DataError:
                outcomes.append(False)
            else:
                outcomes.append(True)
                assert pixels is None or (pixels.dtype == np.uint8 and pixels.shape[2] == 3)
    return f"{kind}, decoded by {sum(outcomes)} of 4"


@pytest.mark.parametrize("seed", range(150))
def test_damaged_jpegs(seed: int, tmp_path: Path) -> None:
    one(random.Random(seed), tmp_path)
