"""What was taken for what: the part of a confusion matrix that is worth reading."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from places.categories import load_categories
from places.reports.picture_table import PictureTable

Counts = npt.NDArray[np.int64]
_MAX_BLOCK = 18  # categories of the block: more names cannot be read
_MAX_CLASSES = 2000


@dataclass(frozen=True)
class Pair:
    """Two categories that were confused, by their labels; the more common direction first.

    Attributes:
        first: The one.
        second: The other.
        first_as_second: Pictures of the first that were taken for the second.
        second_as_first: The other way round.
    """

    first: int
    second: int
    first_as_second: int
    second_as_first: int


def counts_of(pictures: PictureTable | None, validation: Mapping[str, Any] | None) -> Counts | None:
    """Return `(C, C)` counts by true class (row) and guessed class; `None` if nothing tells.

    Args:
        pictures: What was said about each picture.
        validation: Else the last validation of a training.
    """
    if pictures is not None:
        rows, columns = pictures.labels, pictures.guesses[:, 0]
        numbers = np.ones(len(rows), np.int64)
    elif validation is not None and "confusion" in validation:
        cells = np.array(validation["confusion"], np.int64).reshape(-1, 3)
        rows, columns, numbers = cells.T
    else:
        return None
    num = max(len(load_categories()), int(max(rows.max(initial=0), columns.max(initial=0))) + 1)
    if num > _MAX_CLASSES or min(rows.min(initial=0), columns.min(initial=0)) < 0:
        raise ValueError("labels that are none")
    counts = np.zeros((num, num), np.int64)
    np.add.at(counts, (rows, columns), numbers)
    return counts


def pairs_of(counts: Counts, most: int) -> list[Pair]:
    """Return the pairs of categories that were confused most, in both directions together."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    both = np.triu(wrong + wrong.T)
    order = np.argsort(-both, axis=None, kind="stable")[:most]
    pairs = zip(*(part.tolist() for part in np.unravel_index(order, both.shape)), strict=True)
    found = [(a, b) if wrong[a, b] >= wrong[b, a] else (b, a) for a, b in pairs if both[a, b]]
    return [Pair(a, b, int(wrong[a, b]), int(wrong[b, a])) for a, b in found]


def block_of(counts: Counts) -> tuple[list[int], Counts]:
    """Return the categories of the pairs that are confused most, and their counts.

    They begin with the worst pair. The one that comes next is the one that is confused most with
    those before it, so that what is alike stands together.

    Returns:
        Up to 18 labels, and counts `(K, K + 1)`, whose last column holds all other guesses.
    """
    rest: list[int] = []
    for pair in pairs_of(counts, _MAX_BLOCK**2):
        new = [label for label in (pair.first, pair.second) if label not in rest]
        if len(rest) + len(new) <= _MAX_BLOCK:
            rest += new
    wrong, labels = counts + counts.T, rest[:1]
    rest = rest[1:]
    while rest:
        # The latest count more: then neighbours are alike.
        weights = 0.7 ** np.arange(len(labels))[::-1]
        nearness = weights @ wrong[np.ix_(labels, rest)]
        labels.append(rest.pop(int(nearness.argmax())))
    block = counts[np.ix_(labels, labels)]
    others = counts[labels].sum(axis=1) - block.sum(axis=1)
    return labels, np.concatenate([block, others[:, None]], axis=1)


def mostly_taken_for(counts: Counts, names: Sequence[str]) -> dict[int, str]:
    """Return for each category that was ever missed what it was mostly taken for."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    best = wrong.argmax(axis=1)
    return {
        label: f"{names[best[label]]} ({wrong[label, best[label]]:,})"
        for label in np.flatnonzero(wrong.max(axis=1, initial=0)).tolist()
    }


def names_for(num: int) -> list[str]:
    """Return names of so many classes: those of the categories, then numbers."""
    known = list(load_categories())
    return [*known, *(f"class {label}" for label in range(len(known), num))][: max(num, len(known))]
