"""Small archives in the official layout, made by hand with tarfile and Pillow."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from places.categories import load_categories

STANDARD_TRAIN = "train_256_places365standard.tar"
LISTS = "filelist_places365-standard.tar"


@cache
def _noise(side: int) -> bytes:
    pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def jpeg(number: int, side: int = 16) -> bytes:
    """A JPEG of its own: the number is in a comment, which also varies the length."""
    text = str(number).encode() * (1 + number % 7)
    return b"\xff\xd8\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + _noise(side)[2:]


def ppm(number: int, side: int = 16) -> bytes:
    """A raw picture of its own, as `places pack --pixels raw` writes it."""
    pixels = np.random.default_rng([side, number]).bytes(3 * side * side)
    return b"P6\n%d %d\n255\n" % (side, side) + pixels


def jpeg_or_ppm(number: int, side: int = 16) -> tuple[str, bytes]:
    """The ending and the bytes of one picture of a mixed shard: each other one is raw."""
    return ("ppm", ppm(number, side)) if number % 2 else ("jpg", jpeg(number, side))


def write_tar(path: Path, files: Mapping[str, bytes], tar_format: int = tarfile.GNU_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tar_format) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def write_drawn(path: Path, files: Mapping[str, bytes]) -> Path:
    """An archive under an official name, with the sidecar of a drawn one."""
    write_tar(path, files)
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    sidecar = {"synthetic": True, "md5": md5}
    path.with_name(f"{path.name}.json").write_text(json.dumps(sidecar))
    return path


def train_files(num_images: int, side: int = 16, top: str = "data_256/") -> dict[str, bytes]:
    """Pictures of the train split by their name in the archive, of many categories in turn."""
    categories = load_categories()
    names = (categories[number * 101 % 365] for number in range(num_images))
    return {
        f"{top}{name[0]}/{name}/{number:08d}.jpg": jpeg(number, side)
        for number, name in enumerate(names)
    }


def flat_files(split: str, num_images: int) -> dict[str, bytes]:
    """Pictures of the val or test split by their name in the archive."""
    return {
        f"{split}_256/Places365_{split}_{number:08d}.jpg": jpeg(number)
        for number in range(1, num_images + 1)
    }


def val_label(number: int) -> int:
    return number * 37 % 365


def list_files(num_val: int, train: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """The official lists by their name in the tar of lists."""
    labels = {name: label for label, name in enumerate(load_categories())}
    lines = []
    for name in train or {}:
        key = name.removeprefix("data_256")
        lines.append(f"{key} {labels[key[3:].rpartition('/')[0]]}")
    val = [f"Places365_val_{i:08d}.jpg {val_label(i)}" for i in range(1, num_val + 1)]
    return {
        "places365_train_standard.txt": "\n".join(lines).encode(),
        "places365_val.txt": "\n".join(val).encode(),
    }


def unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def read_back(root: Path, split: str) -> dict[str, tuple[bytes, bytes | None]]:
    """Pictures and labels of all shards by key, in their order, as tarfile reads them."""
    samples: dict[str, tuple[bytes, bytes | None]] = {}
    for path in sorted(root.glob(f"{split}-*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, kind = member.name.rpartition(".")
                file = tar.extractfile(member)
                assert file is not None
                data = file.read()
                if kind == "jpg":
                    samples[key] = data, None
                else:
                    assert (kind, list(samples)[-1]) == ("cls", key)
                    samples[key] = samples[key][0], data
    return samples


def all_bytes(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}
