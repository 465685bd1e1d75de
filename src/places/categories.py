"""The 365 categories in their official order, which is the order of the labels."""

import csv
import difflib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from places.errors import DataError


@cache
def load_categories() -> tuple[str, ...]:
    """Return the 365 official names, such as `"church/outdoor"`; the position is the label."""
    return tuple(row["category"] for row in _rows())


@cache
def load_settings() -> tuple[Literal["indoor", "outdoor"], ...]:
    """Return "indoor" or "outdoor" for each label, as published in `IO_places365.txt`.

    A few official values look odd (`bus_station/indoor` is outdoor) and are kept as published.
    """
    return tuple("indoor" if row["setting"] == "indoor" else "outdoor" for row in _rows())


def label_of(name: str, categories: Sequence[str] | None = None) -> int:
    """Return the label of a category, however a folder or a list spells it.

    Accepts the official spelling (`/c/church/outdoor`), the name alone (`church/outdoor`), and the
    flattened forms of common copies (`church-outdoor`, `church_outdoor`).

    Args:
        name: The spelling found.
        categories: The names in label order; the official 365 by default.

    Raises:
        DataError: The name is no known category; the message lists the nearest names.
    """
    names = tuple(categories) if categories is not None else load_categories()
    label = _spellings(names).get(name.strip("/"))
    if label is None:
        raise DataError(f"unknown category {name!r}", f"nearest:  {nearest(name, names)}")
    return label


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the three names most like `name`, joined by commas, for use in an error message."""
    return ", ".join(difflib.get_close_matches(name, list(names), n=3, cutoff=0.0))


@cache
def _spellings(names: tuple[str, ...]) -> dict[str, int]:
    # Later entries do not replace earlier ones, so an exact name always wins over a flattened one.
    spellings: dict[str, int] = {}
    for flatten in (str, _with_letter, _dashed, _underscored):
        for label, name in enumerate(names):
            spellings.setdefault(flatten(name), label)
    return spellings


def _with_letter(name: str) -> str:
    return f"{name[0]}/{name}"


def _dashed(name: str) -> str:
    return name.replace("/", "-")


def _underscored(name: str) -> str:
    return name.replace("/", "_")


def _rows() -> list[dict[str, str]]:
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
