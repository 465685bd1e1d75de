"""WebDataset shards as others write them, and what the package `webdataset` makes of them."""

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.data.drawn import drawn_picture
from webdataset.tariterators import group_by_keys, tar_file_expander

from places.categories import load_categories

PICTURES = ("jpg", "jpeg", "png", "webp", "ppm")


def picture(number: int, kind: str = "jpg", size: tuple[int, int] = (40, 36)) -> bytes:
    """A drawn picture in the format that an ending names, in any case."""
    kind = kind.lower()
    data = io.BytesIO()
    name = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "ppm": "PPM"}[kind]
    drawn_picture(*size, seed=number).save(data, name)
    return data.getvalue()


def samples_of(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """What the package makes of shards, one after the other."""
    found: list[dict[str, Any]] = []
    for path in paths:
        with path.open("rb") as stream:  # which the package itself would leave open
            found += group_by_keys(tar_file_expander([{"url": str(path), "stream": stream}]))
    return found


def expected_of(
    paths: Iterable[Path], label_key: str | None = None
) -> list[tuple[str, bytes, int]]:
    """Key, picture and label of each sample with a picture, by the package's grouping."""
    found = []
    for sample in samples_of(paths):
        pictures = [kind for kind in PICTURES if kind in sample]
        if pictures:
            assert len(pictures) == 1
            found.append((sample["__key__"], sample[pictures[0]], _label(sample, label_key)))
    return found


def _label(sample: dict[str, Any], label_key: str | None) -> int:
    value: Any = sample["cls"].decode().strip() if "cls" in sample else -1
    if label_key is not None:
        value = json.loads(sample["json"])[label_key]
    names: Sequence[str] = load_categories()
    return names.index(value) if value in names else int(value)
