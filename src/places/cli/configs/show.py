"""`places config show`: one config with all its defaults, and where each value comes from."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Literal

import yaml

from places.cli.configs.operands import operand
from places.cli.configs.sides import found_side
from places.cli.tool_parser import StageFlags
from places.config.changes.as_words import value_text
from places.config.changes.change import Side
from places.config.changes.leaves import leaves
from places.config.secrets import MASK, is_secret, masked
from places.config.written import Written, place_of, written_flags
from places.console import put
from places.errors import ConfigError

Stage = Literal["fit", "validate", "test", "predict"]
Form = Literal["yaml", "json", "flat"]


def show(
    config: str,
    stage: Stage | None = None,
    origin: bool = False,
    format: Form = "yaml",
    flags: StageFlags = StageFlags(),  # noqa: B008  # never changed
) -> int:
    """Print a config with all its defaults.

    Args:
        config: A recipe; base.yaml+overlay.yaml; REV:path, a recipe of a revision; run:FOLDER or
            ckpt:FILE, what a run was; defaults.
        stage: The stage to resolve it for; that of the run, or fit.
        origin: Print each key in a line, and whether its value is a default, or in which line of
            which file or by which flag it was given.
        format: yaml; json; flat, each key in a line.
        flags: Flags of the stage, such as --trainer.max_epochs 30, win over recipes.

    Raises:
        ConfigError: The config is missing or invalid.
    """
    asked = operand(config)
    if asked.saved is not None and flags:
        raise ConfigError(f"{config} was saved as it is: flags do not change it")
    with ExitStack() as stack:
        files, resolver = found_side(asked, stack)
        answer = resolver.ask(files.request(stage or "fit", flags)).result()
        if "problem" in answer:
            first, *rest = answer["problem"]
            raise ConfigError(first, *(line.strip() for line in rest))
        side = asked.saved or files.side(answer["config"])
    side = replace(side, written={**side.written, **written_flags(flags)})
    put(_shown(side, origin, format))
    return 0


def _shown(side: Side, origin: bool, format: Form) -> str:
    if not origin and format == "yaml":
        return yaml.safe_dump(masked(side.config), sort_keys=False).removesuffix("\n")
    if not origin and format == "json":
        return json.dumps(masked(side.config), indent=2, default=str)
    flat = {key: _masked(key, value) for key, value in leaves(side.config).items()}
    if not origin:
        return "\n".join(f"{key}: {value_text(value)}" for key, value in flat.items())
    origins = {key: origin_of(key, side.written, side.recorded) for key in flat}
    if format == "json":
        table = {key: {"value": flat[key], "origin": origins[key]} for key in flat}
        return json.dumps(table, indent=2, default=str)
    lines = {key: f"{key}: {value_text(value)}" for key, value in flat.items()}
    width = min(60, max(map(len, lines.values())))
    return "\n".join(f"{line:<{width}}  # {origins[key]}" for key, line in lines.items())


def origin_of(key: str, written: Mapping[str, Written], recorded: str = "") -> str:
    """Return where a value comes from: a line of a file, a flag, "default", or a file of a run."""
    found = place_of(key, written)
    return str(found.place) if found else recorded or "default"


def _masked(key: str, value: Any) -> Any:  # noqa: ANN401  # of any config
    parts = key.replace("[", ".").replace("]", "").split(".")
    return MASK if is_secret(parts, value) else masked(value, parts)
