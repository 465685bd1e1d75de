"""Name the JSON Schema of recipes in the comments of each recipe, for editors.

    python scripts/name_schema.py configs

Recipes that name it already stay as they are, byte for byte.
"""

import os
import sys
from pathlib import Path

SCHEMA = "recipe.schema.json"
MARK = "# yaml-language-server: $schema="


def named(text: str, schema: str) -> str:
    """Return a recipe with the comment, after those in front of its first key."""
    if MARK in text:
        return text
    lines = text.splitlines(keepends=True)
    num_comments = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join([*lines[:num_comments], f"{MARK}{schema}\n", *lines[num_comments:]])


def name_in(folder: Path) -> list[Path]:
    """Add the comment to all recipes in a folder, and return those that were changed."""
    changed = []
    for path in sorted(folder.rglob("*.yaml")):
        schema = Path(os.path.relpath(folder / SCHEMA, path.parent)).as_posix()
        before = path.read_text(encoding="utf-8")
        if (after := named(before, schema)) != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path)
    return changed


if __name__ == "__main__":
    for folder in sys.argv[1:] or ["configs"]:
        for changed in name_in(Path(folder)):
            print(changed)
