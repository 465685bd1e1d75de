"""`places config`: resolved recipes, shown or compared."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.console import Console
from rich.table import Table

from places.cli.tool_parser import run_tool, unknown_part
from places.config.recipes import as_typed, flatten
from places.errors import ConfigError

Stage = Literal["fit", "validate", "test", "predict"]

ABSENT = object()
_MASK = "********"
_HELP = """\
usage: places config show RECIPE [--stage STAGE]    print a recipe with all its defaults
       places config diff A B [--stage STAGE]       compare two recipes; exits as diff does"""
_SECRET = re.compile(r"api_key|token|password|secret", re.IGNORECASE)


def main(words: Sequence[str]) -> int:
    """Run `places config show` or `places config diff`.

    Args:
        words: The command line after `places`.

    Returns:
        0; for `diff` 1 if the recipes differ.

    Raises:
        ConfigError: A recipe is missing or invalid, or the command line is.
    """
    action = words[1] if len(words) > 1 else "--help"
    if action in ("-h", "--help"):
        print(_HELP)
        return 0
    if action == "show":
        return run_tool(show, ["config show", *words[2:]], positional="recipe")
    if action == "diff":
        return run_tool(diff, ["config diff", *words[2:]], positional="recipes", many=True)
    raise unknown_part("config", action, ["show", "diff"])


def show(recipe: Path, stage: Stage = "fit") -> int:
    """Print a recipe with all its defaults as YAML.

    Args:
        recipe: A recipe; several layers are joined by +, as in base.yaml+overlay.yaml.
        stage: The stage to resolve it for.

    Returns:
        0.
    """
    config = _masked(resolve_recipe(str(recipe), stage))
    sys.stdout.write(yaml.safe_dump(config, sort_keys=False))
    return 0


def diff(recipes: list[Path], stage: Stage = "fit") -> int:
    """Compare two recipes with all their defaults, and exit as diff does: 0 same, 1 different.

    Args:
        recipes: The recipe before and the one after; layers are joined by +, as in
            base.yaml+overlay.yaml.
        stage: The stage to resolve them for.

    Returns:
        1 if any key differs, else 0.

    Raises:
        ConfigError: Not two recipes are given, or one is missing or invalid.
    """
    if len(recipes) != 2:
        raise ConfigError(f"diff takes 2 recipes, {len(recipes)} were given")
    before, after = map(str, recipes)
    changes = compare(resolve_recipe(before, stage), resolve_recipe(after, stage))
    console = Console(soft_wrap=not sys.stdout.isatty(), highlight=False)
    if changes:
        console.print(change_table(changes, before, after))
    else:
        console.print(f"{before} and {after} resolve to the same config", markup=False)
    return 1 if changes else 0


def resolve_recipe(name: str, stage: Stage) -> dict[str, Any]:
    """Return the config that a stage would run with, all defaults included.

    Args:
        name: A recipe, or several joined by `+`, of which later ones win.
        stage: The stage.

    Raises:
        ConfigError: The recipe is missing or invalid.
    """
    # Needs the real parser, hence torch: imported when it is clear that there is something to do.
    from places.cli.stages import resolve

    flags = [word for part in name.split("+") for word in ("--config", part)]
    return resolve([stage, *flags])


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the keys whose values differ, each with both values, classes before their arguments.

    A key that only one side has is paired with `ABSENT`: that is not the same as null. Values of
    different types differ (`true` and `1`), but for whole numbers and floats of the same value.
    """
    left, right = flatten(before), flatten(after)
    keys = [*right, *(key for key in left if key not in right)]
    changed = [key for key in keys if not _same(left.get(key, ABSENT), right.get(key, ABSENT))]
    return {
        key: (left.get(key, ABSENT), right.get(key, ABSENT)) for key in sorted(changed, key=_order)
    }


def change_table(changes: Mapping[str, tuple[Any, Any]], before: str, after: str) -> Table:
    """Return changes as a table for the terminal."""
    table = Table(title=f"{before} -> {after}: {len(changes)} changed", title_justify="left")
    table.add_column("key", overflow="fold")
    table.add_column("before", overflow="fold")
    table.add_column("after", overflow="fold")
    for key, (left, right) in changes.items():
        table.add_row(as_typed(key), _text(key, left), _text(key, right))
    return table


def _order(key: str) -> tuple[str, int, str]:
    # A class stands directly before its arguments.
    parent, _, last = key.rpartition(".")
    scope = parent.removesuffix(".init_args") if parent.endswith("init_args") else parent
    return scope, last != "class_path", key


def _same(left: object, right: object) -> bool:
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return left == right


def _text(key: str, value: object) -> str:
    if value is ABSENT:
        return "-"
    if _SECRET.search(key) and value is not None:
        return _MASK
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")


def _masked(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _masked(value)
        if isinstance(value, Mapping)
        else (_MASK if _SECRET.search(key) and value is not None else value)
        for key, value in config.items()
    }
