"""Values, keys and numbers as they are shown in all forms for people."""

from collections.abc import Iterable

import yaml

from places.config.changes.change import Block, Change
from places.config.changes.derived import NAMES
from places.config.changes.report import Compared
from places.config.compare import ABSENT
from places.config.secrets import MASK
from places.console import printable

SIGNS = {"added": "+", "removed": "-", "changed": "~", "moved": "~", "type": "~"}
_MAX_VALUE = 120  # letters


def value_text(value: object) -> str:
    """Return a value as a recipe would have it, in one line."""
    if value is ABSENT:
        return ""
    if value == MASK:  # YAML would quote it
        return MASK
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    text = printable(text.removesuffix("\n").removesuffix("\n..."))
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}..."


def values_text(change: Change) -> str:
    """Return both values of a change."""
    if change.kind in ("added", "removed"):
        return value_text(change.new if change.kind == "added" else change.old)
    return f"{value_text(change.old)} -> {value_text(change.new)}"


def why_text(change: Change) -> str:
    """Return why a change is there, and where."""
    place = str(change.place) if change.place else ""
    if change.cause == "written":
        return place
    told = change.cause if change.why == "written" else f"implied: {change.cause}"
    return f"{told}, {place}" if place else told


def short_key(change: Change, block: Block) -> str:
    """Return the key of a change within its block."""
    if change is block.head:
        return change.key
    return change.key.removeprefix(block.head.key.removesuffix("class_path"))


def split_minor(block: Block, show_all: bool) -> tuple[list[Change], list[Change]]:
    """Return the changes of a block that are shown, and those that are only counted."""
    minor = [] if show_all else [change for change in block.changes if change.is_minor]
    return [change for change in block.changes if change not in minor], minor


def minor_text(minor: list[Change]) -> str:
    """Return how many changes are not shown: null, false, 0 or empty, or gone with their class."""
    gone = sum(change.kind == "removed" for change in minor)
    parts = [(len(minor) - gone, "new"), (gone, "gone")]
    return f"{', '.join(f'{num} {word}' for num, word in parts if num)}, of no value or unset"


def derived_lines(recipe: Compared) -> list[tuple[str, str, str]]:
    """Return name, value before and value after of the derived numbers that are known.

    None where neither they nor any result changes.
    """
    is_told = any(change.group == "results" for block in recipe.blocks for change in block.changes)
    return [
        (NAMES[name], number_text(old), number_text(new))
        for name, (old, new) in recipe.derived.items()
        if not (old is None and new is None) and (is_told or old != new)
    ]


def number_text(number: float | int | None) -> str:
    """Return a number for people."""
    if number is None:
        return "?"
    if isinstance(number, int):
        return f"{number:,}" if number < 10**9 else f"{number / 1e9:,.2f} G"
    return f"{number:.6g}"


def title(recipe: Compared) -> str:
    """Return a recipe and what became of it, in words."""
    name = printable(recipe.path)
    if recipe.status == "renamed":
        return f"{name}: renamed, was {printable(recipe.old_path)}"
    if recipe.status == "added":
        beside = f", shown beside {printable(recipe.old_path)}" if recipe.old_path else ""
        return f"{name}: new{beside}"
    words = {
        "removed": "removed",
        "invalid": "cannot be resolved",
        "repaired": "could not be resolved before",
    }
    return f"{name}: {words[recipe.status]}" if recipe.status in words else name


def problem_lines(recipe: Compared) -> Iterable[tuple[str, str]]:
    """Yield on which side a recipe does not resolve, and a line of why."""
    for side, lines in zip(("before", "now"), recipe.problems, strict=True):
        for line in lines:
            yield side, printable(line)
