"""`places leaderboard score`: the errors of a submission, as the official scorer counts them."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

from rich.table import Table

from places.categories import load_categories
from places.console import FirstFew, counted, printable, put
from places.errors import ConfigError, DataError
from places.files import open_regular
from places.training.intervals import wilson

NUM_GUESSES = 5
_MAX_LINE_BYTES = 1 << 12
_MAX_SHOWN = 60  # characters of a line that is not understood
_T = TypeVar("_T")


def score(
    submission: Path, labels: Path | None = None, format: Literal["text", "json"] = "text"
) -> int:
    """Score a submission file with a list of labels, as the official development kit does.

    A picture counts as wrong with n guesses if its label is not among the first n.

    Args:
        submission: The file: in each line the name of a picture and five labels, best first.
        labels: The list, such as places365_val.txt: in each line a name and a label.
        format: "text" prints a table, "json" the errors as JSON.

    Raises:
        ConfigError: The list is not given.
        DataError: A line of a file is wrong, or the two do not name the same pictures.
    """
    if labels is None:
        raise ConfigError(
            "the list with the right labels is missing",
            f"give it:  places leaderboard score {submission} `labels` places365_val.txt",
        )
    errors = errors_of(*read_both(submission, labels))
    if format == "json":
        put(json.dumps({"num_images": errors[0], "errors": errors[1]}))
        return 0
    table = Table("guesses", "error", "accuracy", "95 % interval")
    num = errors[0]
    for number, error in enumerate(errors[1], 1):
        low, high = wilson(round((1 - error) * num), num)
        table.add_row(str(number), f"{error:.4f}", f"{1 - error:.2%}", f"{low:.2%} to {high:.2%}")
    put(table)
    put(f"{counted(errors[0], 'picture')} of {submission}, labels of {labels}")
    return 0


def errors_of(
    guesses: dict[str, tuple[int, ...]], labels: dict[str, int]
) -> tuple[int, list[float]]:
    """Return how many pictures there are, and the errors in 0..1 with 1 to 5 guesses."""
    num_hits = [0] * NUM_GUESSES
    for name, label in labels.items():
        if label in guesses[name]:
            num_hits[guesses[name].index(label)] += 1
    num = len(labels)
    return num, [1 - sum(num_hits[: n + 1]) / num for n in range(NUM_GUESSES)]


def read_both(submission: Path, labels: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Return the guesses of a submission and the labels of a list, both by the picture's name.

    Raises:
        DataError: A line of a file is wrong, or the two do not name the same pictures.
    """
    guesses = read_guesses(submission)
    right = _read(labels, "a name and a label", _label_in)
    absent = [name for name in right if name not in guesses]
    others = [name for name in guesses if name not in right]
    if absent or others:
        lines = [
            f"{len(names):,} {what}, the first:  {printable(names[0])[:_MAX_SHOWN]}"
            for names, what in (
                (absent, f"are only in {labels}"),
                (others, f"are only in {submission}"),
            )
            if names
        ]
        raise DataError(
            f"{submission} has {counted(len(guesses), 'picture')}, {labels} has {len(right):,}",
            *lines,
        )
    return guesses, right


def read_guesses(submission: Path) -> dict[str, tuple[int, ...]]:
    """Return the guesses of a submission by the picture's name.

    Raises:
        DataError: A line is wrong.
    """
    return _read(submission, "a name and 5 labels", _guesses_in)


def _read(path: Path, what: str, meaning_of: Callable[[list[bytes]], _T | None]) -> dict[str, _T]:
    found: dict[str, _T] = {}
    wrong = FirstFew(max_shown=2)
    for number, line in enumerate(_lines_of(path), 1):
        fields = line.split()
        if not fields:
            continue
        meaning = meaning_of(fields[1:])
        name = os.fsdecode(fields[0])
        if meaning is None:
            shown = printable(line.decode(errors="replace"))[:_MAX_SHOWN]
            wrong.add(f"line {number:,}: not {what} in 0..364: {shown!r}")
        elif name in found:
            wrong.add(f"line {number:,}: {printable(name)[:_MAX_SHOWN]} a second time")
        else:
            found[name] = meaning
    if wrong.count:
        lines = filter(None, [*wrong.shown, wrong.more])
        raise DataError(f"{path} has {counted(wrong.count, 'wrong line')}", *lines)
    if not found:
        raise DataError(f"{path} is empty", f"looked for:  in each line {what}")
    return found


def _lines_of(path: Path) -> Iterator[bytes]:
    if not path.exists():
        raise DataError(f"no file at {path}")
    with os.fdopen(open_regular(path), "rb") as file:
        while line := file.readline(_MAX_LINE_BYTES):
            yield line.rstrip(b"\r\n")


def _label_in(fields: list[bytes]) -> int | None:
    guesses = _numbers_in(fields)
    return guesses[0] if guesses is not None and len(guesses) == 1 else None


def _guesses_in(fields: list[bytes]) -> tuple[int, ...] | None:
    guesses = _numbers_in(fields)
    return guesses if guesses is not None and len(guesses) == NUM_GUESSES else None


def _numbers_in(fields: list[bytes]) -> tuple[int, ...] | None:
    if not all(field.isdigit() and len(field) <= 3 for field in fields):
        return None
    numbers = tuple(map(int, fields))
    return numbers if all(number < len(load_categories()) for number in numbers) else None
