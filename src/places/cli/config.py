"""`places config`: resolved recipes, shown or compared."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.console import Console
from rich.table import Table

from places.config.compare import ABSENT, compare
from places.config.recipes import as_typed
from places.errors import ConfigError

Stage = Literal["fit", "validate", "test", "predict"]

_MASK = "********"
_SECRET = re.compile(r"api_key|token|password|secret", re.IGNORECASE)


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
    from places.cli.resolve import resolve

    flags = [word for part in name.split("+") for word in ("--config", part)]
    return resolve([stage, *flags])


def change_table(changes: Mapping[str, tuple[Any, Any]], before: str, after: str) -> Table:
    """Return changes as a table for the terminal."""
    table = Table(title=f"{before} -> {after}: {len(changes)} changed", title_justify="left")
    table.add_column("key", overflow="fold")
    table.add_column("before", overflow="fold")
    table.add_column("after", overflow="fold")
    for key, (left, right) in changes.items():
        table.add_row(as_typed(key), _text(key, left), _text(key, right))
    return table


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
