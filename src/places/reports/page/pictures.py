"""Which pictures a page shows: the best, the worst, those that were most confidently wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from places.console import printable
from places.reports.page.confusion import Pair
from places.reports.page.thumbnails import Thumbnails
from places.reports.picture_table import PictureTable

_NUM_SHOWN = 12
_NUM_OF_PAIR = 4  # of each direction


@dataclass(frozen=True)
class Shown:
    """A picture and what was said of it.

    Attributes:
        image: The picture as a data URL; empty if it is not at hand.
        key: Its name.
        true: Its category.
        guess: The category that was guessed.
        confidence: Of the guess, in words; empty if not known.
        probability: Of the true category, in words.
        is_right: Whether the guess is right.
    """

    image: str
    key: str
    true: str
    guess: str
    confidence: str
    probability: str
    is_right: bool


@dataclass(frozen=True)
class Strip:
    """Some pictures with what they have in common."""

    title: str
    about: str
    pictures: list[Shown]


def strips_of(table: PictureTable, names: Sequence[str], thumbnails: Thumbnails) -> list[Strip]:
    """Return the best, the worst and the most confidently wrong pictures of a test."""
    right, sure = table.is_right, table.confidence
    best = _first(-(table.probability if sure is None else sure), right)
    worst = _first(table.probability, ~right)
    chosen = [
        ("Best", "right, and most sure of it", best),
        ("Worst", "the true category got the least probability", worst),
    ]
    if sure is not None:
        wrong = _first(-sure, ~right)
        chosen.insert(1, ("Most confidently wrong", "wrong, and most sure of it", wrong))
    return [
        Strip(title, about, [_shown(table, row, names, thumbnails) for row in rows])
        for title, about, rows in chosen
        if rows
    ]


def pictures_of(
    table: PictureTable, pair: Pair, names: Sequence[str], thumbnails: Thumbnails
) -> list[Shown]:
    """Return pictures of two categories that were taken for each other, the surest first."""
    order = table.probability if table.confidence is None else -table.confidence
    found: list[Shown] = []
    for true, guess in ((pair.first, pair.second), (pair.second, pair.first)):
        is_one = (table.labels == true) & (table.guesses[:, 0] == guess)
        rows = _first(order, is_one, _NUM_OF_PAIR)
        found += [_shown(table, row, names, thumbnails) for row in rows]
    return [picture for picture in found if picture.image]


def _first(
    order: npt.NDArray[np.float64], wanted: npt.NDArray[np.bool_], num: int = _NUM_SHOWN
) -> list[int]:
    rows = np.flatnonzero(wanted)
    first: list[int] = rows[np.argsort(order[rows], kind="stable")[:num]].tolist()
    return first


def _shown(table: PictureTable, row: int, names: Sequence[str], thumbnails: Thumbnails) -> Shown:
    label, guess = int(table.labels[row]), int(table.guesses[row, 0])
    sure = None if table.confidence is None else float(table.confidence[row])
    return Shown(
        image=thumbnails.of(row, table.keys[row]),
        key=printable(table.keys[row]),
        true=_name(names, label),
        guess=_name(names, guess),
        confidence="" if sure is None else f"{sure:.1%}",
        probability=f"{table.probability[row]:.1%}",
        is_right=label == guess,
    )


def _name(names: Sequence[str], label: int) -> str:
    return names[label] if 0 <= label < len(names) else f"class {label}"
