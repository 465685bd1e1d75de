"""Rows of a gallery whose thumbnails tell by their colour which picture they are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from places.categories import load_categories, load_settings
from places.reports.gallery import Gallery, thumbnails
from places.reports.prediction_row import PredictionRow

CATEGORIES = load_categories()
# Few, so that filters find several; both sides; with slashes and underscores.
LABELS = tuple(
    map(
        CATEGORIES.index,
        ["beach", "church/outdoor", "church/indoor", "bus_interior", "forest/broadleaf", "kitchen"],
    )
)
IS_INDOOR = np.array([setting == "indoor" for setting in load_settings()])


def colour_of(number: int) -> tuple[int, int, int]:
    """Return a colour of its own for each of 216 pictures, far from all others."""
    return number % 6 * 50, number // 6 % 6 * 50, number // 36 % 6 * 50


def thumbnail_of(number: int, size: int = 64) -> bytes:
    """Return a picture of one colour as `Gallery` takes it."""
    image = torch.tensor(colour_of(number), dtype=torch.uint8)[:, None, None].expand(3, size, size)
    return thumbnails(image[None])[0]


def answer(number: int, path: str = "", **changes: object) -> PredictionRow:
    """Return a row with an answer; its best category is `LABELS[number % 6]`."""
    generator = np.random.default_rng(number)
    probabilities = np.sort(generator.dirichlet(np.full(6, 0.6)))[::-1][:5]
    labels = tuple(LABELS[(number + rank) % 6] for rank in range(5))
    activation = np.zeros((7, 7), np.uint8)
    activation[number % 7, 0] = 255
    fields: dict[str, object] = {
        "path": path or f"photos/IMG_{number:04}.jpg",
        "labels": labels,
        "probabilities": tuple(probabilities.tolist()),
        "indoor": float(probabilities[IS_INDOOR[list(labels)]].sum()),
        "width": 640 + number,
        "height": 480,
        "thumbnail": thumbnail_of(number),
        "activation": activation,
    }
    return PredictionRow(**{**fields, **changes})  # type: ignore[arg-type]  # tests name real fields


def failure(number: int, reason: str = "cut off after 34,816 bytes") -> PredictionRow:
    """Return a row of a picture that could not be read."""
    return PredictionRow(f"photos/broken_{number:04}.jpg", error=reason)


def rows(count: int) -> list[PredictionRow]:
    """Return rows of which every tenth could not be read."""
    return [failure(number) if number % 10 == 4 else answer(number) for number in range(count)]


def page_of(path: Path, content: Sequence[PredictionRow], **options: object) -> Path:
    """Write a page from rows, some at a time, and return where it is."""
    gallery = Gallery(path, **options)  # type: ignore[arg-type]  # as above
    gallery.start(0)
    for first in range(0, len(content), 32):
        gallery.add(content[first : first + 32])
    gallery.finish()
    assert path.is_file()
    return path
