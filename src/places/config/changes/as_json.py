"""A comparison for programs: versioned JSON, see diff.schema.json; and annotations for GitHub."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from places.config.changes.as_words import problem_lines, values_text
from places.config.changes.change import Change
from places.config.changes.report import Compared, Report
from places.config.compare import ABSENT
from places.config.groups import GROUPS

FORMAT = "places.config-diff/1"
SCHEMA = Path(__file__).with_name("diff.schema.json")


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as plain values; `old` and `new` are left out where there is none."""
    return {
        "schema": FORMAT,
        "before": report.before,
        "after": report.after,
        "stage": report.stage,
        "recipes": [_recipe(recipe) for recipe in report.recipes],
        "summary": {group: report.count(group) for group in GROUPS}
        | {"different": len(report.different), "invalid": report.num_invalid},
        "exit_status": report.exit_status,
    }


def as_annotations(report: Report) -> Iterator[str]:
    """Yield a line for each change that stands in a file, as GitHub reads it from a log."""
    for recipe in report.recipes:
        for _, line in problem_lines(recipe):
            level = "error" if recipe.status == "invalid" else "notice"
            yield annotation(level, recipe.path, None, "config", line)
        for change in recipe.changes:
            # A line that is gone cannot be annotated.
            if change.place is not None and change.place.line and not _is_gone(change):
                level = "warning" if change.group == "results" else "notice"
                text = f"{change.key}: {values_text(change)} ({change.why}, {recipe.path})"
                title = f"{change.group} of {recipe.path}"
                yield annotation(level, change.place.file, change.place.line, title, text)


def _is_gone(change: Change) -> bool:
    return change.cause.startswith(("left out", "gone"))


def annotation(level: str, file: str, line: int | None, title: str, text: str) -> str:
    """Return a line in a log that GitHub shows beside a line of a file.

    Args:
        level: "error", "warning" or "notice".
        file: The file, as it is in the repository.
        line: The line, if it is known.
        title: What is shown in front.
        text: What is shown.
    """
    where = [f"file={_property(file)}", *([f"line={line}"] if line else [])]
    return f"::{level} {','.join([*where, f'title={_property(title)}'])}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def _recipe(recipe: Compared) -> dict[str, Any]:
    return {
        "path": recipe.path,
        "old_path": recipe.old_path or None,
        "status": recipe.status,
        "hashes": list(recipe.hashes),
        "changes": [_change(change) for block in recipe.blocks for change in block.changes],
        "derived": {name: list(pair) for name, pair in recipe.derived.items()},
        "problems": {"before": list(recipe.problems[0]), "after": list(recipe.problems[1])},
    }


def _change(change: Change) -> dict[str, Any]:
    place = change.place
    values = {"old": change.old, "new": change.new}
    return {
        "key": change.key,
        "kind": change.kind,
        "why": change.why,
        "group": change.group,
        "cause": change.cause,
        "source": {"file": place.file, "line": place.line} if place else None,
    } | {name: _plain(value) for name, value in values.items() if value is not ABSENT}


def _plain(value: Any) -> Any:  # noqa: ANN401  # of any config
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
