"""Two small trained networks, and pictures of many kinds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data.drawn import drawn_picture
from tests.integration.stages import MACHINE

from places.cli.main import main


def fit(root: Path, sample: Path, *words: str) -> Path:
    """Train ResNet-18 for a moment, with a crop and colours that are not the defaults."""
    given = [
        *("--model.net", "places.models.ResNet", "--model.net.depth", "18"),
        *("--model.mean", "[0.5, 0.4, 0.3]", "--model.std", "[0.2, 0.25, 0.3]"),
        *("--data.root", str(sample), "--data.batch_size", "8", "--model.optimizer.lr", "0.003"),
        *("--data.image_size", "32", "--data.resize_size", "40"),
        *("--trainer.max_epochs", "2", "--trainer.default_root_dir", str(root)),
    ]
    assert main(["fit", *given, *MACHINE, *words]) == 0
    return root / "fit" / "0"


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """The folder of a run that kept an average of the weights."""
    return fit(tmp_path_factory.mktemp("run"), sample, "--model.average_decay", "0.9")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eleven pictures of many kinds, of which the fifth cannot be read."""
    folder = tmp_path_factory.mktemp("photos")
    picture = drawn_picture(120, 90)
    sideways = Image.Exif()
    sideways[0x0112] = 6
    transparent = picture.convert("RGBA")
    transparent.putalpha(
        Image.fromarray(np.linspace(0, 255, 90 * 120).reshape(90, 120).astype("u1"))
    )
    gray = np.asarray(picture.convert("L")).astype(np.uint16) * 16
    saved: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "00.jpg": (picture, {}),
        "01.jpg": (picture, {"exif": sideways}),
        "02.png": (transparent, {}),
        "03.png": (Image.fromarray(gray), {}),
        "05.gif": (picture.quantize(), {}),
        "06.jpg": (picture.convert("CMYK"), {}),
        "07.webp": (picture, {"lossless": True}),
        "08.tif": (Image.fromarray(gray.astype(np.float32) / 4095), {}),
        "09.bmp": (picture.convert("1"), {}),
        "10.jpg": (drawn_picture(1000, 700), {}),
    }
    for name, (image, options) in saved.items():
        image.save(folder / name, **options)
    (folder / "04.jpg").write_bytes((folder / "00.jpg").read_bytes()[:1500])
    return sorted(folder.iterdir())
