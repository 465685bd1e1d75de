"""What a change of a setting changes: results, only speed or only output; see groups.toml."""

import functools
import re
import tomllib
from pathlib import Path
from typing import Literal, cast

Group = Literal["results", "speed", "output"]
GROUPS: tuple[Group, ...] = ("results", "speed", "output")
_TABLE = Path(__file__).with_name("groups.toml")


def group_of(key: str) -> Group:
    """Return what a setting changes, given its key as it is typed; unknown ones change results."""
    return _named_group(key) or "results"


def is_named(key: str) -> bool:
    """Tell whether the table says something of a key."""
    return _named_group(key) is not None


@functools.cache
def _named_group(key: str) -> Group | None:
    groups = [group for pattern, group in _rules() if pattern.fullmatch(key)]
    return groups[-1] if groups else None


@functools.cache
def _rules() -> list[tuple[re.Pattern[str], Group]]:
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    assert set(table.values()) <= set(GROUPS), "groups.toml knows three groups"
    return [
        (re.compile(".*".join(map(re.escape, pattern.split("*")))), cast("Group", group))
        for pattern, group in table.items()
    ]
