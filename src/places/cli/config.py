"""`places config`: resolved recipes, shown or compared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.table import Table

from places.config.compare import compare, value_text
from places.config.recipes import as_typed
from places.config.secrets import masked
from places.console import put
from places.errors import ConfigError

Stage = Literal["fit", "validate", "test", "predict"]


def show(recipe: Path, stage: Stage = "fit") -> int:
    """Print a recipe with all its defaults as YAML.

    Args:
        recipe: A recipe; several layers are joined by +, as in base.yaml+overlay.yaml.
        stage: The stage to resolve it for.
    """
    config = masked(_resolve_recipe(str(recipe), stage))
    put(yaml.safe_dump(config, sort_keys=False).removesuffix("\n"))
    return 0


def diff(recipes: list[Path], stage: Stage = "fit") -> int:
    """Compare two recipes with all their defaults, and exit as diff does: 0 same, 1 different.

    Args:
        recipes: The recipe before and the one after; layers are joined by +, as in
            base.yaml+overlay.yaml.
        stage: The stage to resolve them for.

    Raises:
        ConfigError: Not two recipes are given, or one is missing or invalid.
    """
    if len(recipes) != 2:
        raise ConfigError(f"diff takes 2 recipes, {len(recipes)} were given")
    before, after = map(str, recipes)
    changes = compare(_resolve_recipe(before, stage), _resolve_recipe(after, stage))
    if changes:
        put(change_table(changes, before, after))
    else:
        put(f"{before} and {after} resolve to the same config")
    return 1 if changes else 0


def _resolve_recipe(name: str, stage: Stage) -> dict[str, Any]:
    """Return the config that a stage would run with; of recipes joined by `+` later ones win."""
    # Needs the real parser, hence torch: imported when it is clear that there is something to do.
    from places.cli.resolve import resolve

    flags = [word for part in name.split("+") for word in ("--config", part)]
    return resolve([stage, *flags])


def change_table(changes: Mapping[str, tuple[Any, Any]], before: str, after: str) -> Table:
    """Return changes as a table for the terminal."""
    table = Table(title=f"{before} -> {after}: {len(changes)} changed", title_justify="left")
    for title in ("key", "before", "after"):
        table.add_column(title, overflow="fold")
    for key, (left, right) in changes.items():
        table.add_row(as_typed(key), value_text(key, left), value_text(key, right))
    return table
