"""What differs between two resolved configs."""

from collections.abc import Mapping
from typing import Any

import yaml

from places.config.recipes import flatten
from places.config.secrets import MASK, masked

ABSENT = object()
"""Stands for the value of a key that a config does not have, which is not the same as null."""


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the keys whose values differ, each with both values, classes before their arguments.

    A key that only one side has is paired with `ABSENT`: that is not the same as null. Values of
    different types differ (`true` and `1`), but for whole numbers and floats of the same value.
    """
    left, right = flatten(before), flatten(after)
    keys = sorted({**right, **left}, key=_order)
    pairs = {key: (left.get(key, ABSENT), right.get(key, ABSENT)) for key in keys}
    return {key: pair for key, pair in pairs.items() if not is_same(*pair)}


def _order(key: str) -> tuple[str, int, str]:
    # A class stands directly before its arguments.
    parent, _, last = key.rpartition(".")
    scope = parent.removesuffix(".init_args") if parent.endswith("init_args") else parent
    return scope, last != "class_path", key


def is_same(left: object, right: object) -> bool:
    """Tell whether two values of a config are the same: 1 and 1.0 are, 1 and true are not."""
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(is_same, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(is_same(left[key], right[key]) for key in left)
    is_nan = left != left and right != right  # as only NaN does
    return is_nan or left == right


def value_text(key: str, value: object) -> str:
    """Return the value of a flat key as one writes it in YAML, without secrets."""
    if value is ABSENT:
        return "-"
    value = masked(value, key.split("."))
    if value == MASK:  # YAML would quote it
        return MASK
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")
