"""`places config schema`: JSON Schema of recipes, from the signatures of the classes in them."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from places.console import put, say
from places.files import write_text

MADE_WITH = ("torch", "lightning")
"""Packages whose classes are described too: another release of one may have other arguments."""


def schema(file: Path | None = None) -> int:
    """Describe recipes to an editor, as JSON Schema: their keys, with types and defaults.

    Recipes shipped with places name the file in their comments, for editors with the YAML language
    server: they complete keys and mark mistakes. It knows the networks of places, the optimizers
    of PyTorch, the callbacks and loggers of Lightning; classes of others may have any arguments.

    Args:
        file: Write it there, instead of to the terminal.
    """
    text = schema_text()
    if file is None:
        put(text.removesuffix("\n"))
    else:
        write_text(file, text)
        say(f"wrote {file}")
    return 0


def schema_text() -> str:
    """Return the schema as the text of a file."""
    from places.cli.configs.schema_parts import Definitions, recipe_properties  # needs torch

    definitions = Definitions()
    properties = recipe_properties(definitions)
    content: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recipe of places",
        "$comment": made_with(),
        "type": ["object", "null"],
        "properties": properties,
        "additionalProperties": False,
        "$defs": dict(sorted(definitions.parts.items())),
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def made_with() -> str:
    """Return the releases of what is described."""
    return "made with " + ", ".join(f"{name} {version(name)}" for name in MADE_WITH)
