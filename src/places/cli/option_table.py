"""The options of all commands as a table: help, mistakes and completion import no torch.

`options.json` beside this file is made from the signatures and docstrings of the classes by

    python -m places.cli.option_table

and `tests/cli/test_option_table.py` fails when it is stale.
"""

import functools
import importlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from places.cli.main import COMMANDS, STAGES

if TYPE_CHECKING:
    from places.cli.stage_parser import PlacesParser

FILE = Path(__file__).with_name("options.json")
_HIDDEN = "==SUPPRESS=="
OTHER_DATA = "--data WebDataset"  # a class that no command has by default, in place of a command
Row = tuple[str, str, str, tuple[str, ...]]  # of an `Option`, without its commands


@dataclass(frozen=True)
class Option:
    """One option of one or more commands.

    Attributes:
        name: As it is typed, without dashes: "data.batch_size".
        help: What it does, from the docstring, in one line.
        default: As one would type it; an empty string if there is none to show.
        takes: The values that may be given where they are few, such as "true".
        commands: The commands that have it: "fit", "config diff"; or `OTHER_DATA`.
    """

    name: str
    help: str
    default: str
    takes: tuple[str, ...]
    commands: tuple[str, ...]


@functools.cache
def load_options(command: str) -> Mapping[str, Option]:
    """Return the options of a command by their names, those of the default classes included."""
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    options = (
        Option(name, text, default, tuple(takes), tuple(commands))
        for name, text, default, takes, commands in rows
    )
    return {option.name: option for option in options if command in option.commands}


def make_table() -> str:
    """Return the content of `options.json`, from parsers and signatures; imports everything."""
    commands: dict[Row, list[str]] = {}
    for command, row in (*_of_stages(), *_of_tools(), *_of_other_data()):
        commands.setdefault(row, []).append(command)
    options = [Option(*row, tuple(names)) for row, names in commands.items()]
    options.sort(key=lambda option: (option.name, option.commands))
    return "[\n" + ",\n".join(json.dumps([*asdict(o).values()]) for o in options) + "\n]\n"


def _of_stages() -> Iterator[tuple[str, Row]]:
    from places.cli.resolve import stage_parsers

    for stage, parser in stage_parsers().items():
        yield from ((stage, row) for row in _options(parser))


def _of_tools() -> Iterator[tuple[str, Row]]:
    from places.cli.tool_parser import StageFlags, texts_of

    for command in COMMANDS.keys() - STAGES:
        module, _, name = COMMANDS[command][0].partition(":")
        function = getattr(importlib.import_module(module), name)
        texts, hints = texts_of(inspect.getdoc(function) or ""), get_type_hints(function)
        for parameter in inspect.signature(function).parameters.values():
            hint = hints[parameter.name]
            is_word = parameter.default in (parameter.empty, ())
            if not is_word and hint is not StageFlags:
                yield command, _row(parameter.name, parameter.default, hint, texts)


def _of_other_data() -> Iterator[tuple[str, Row]]:
    from places.cli.tool_parser import texts_of
    from places.data import WebDataset

    texts, hints = texts_of(inspect.getdoc(WebDataset) or ""), get_type_hints(WebDataset.__init__)
    for parameter in inspect.signature(WebDataset).parameters.values():
        row = _row(parameter.name, parameter.default, hints[parameter.name], texts)
        yield OTHER_DATA, (f"data.{row[0]}", *row[1:])


def _row(name: str, default: object, hint: object, texts: Mapping[str, str]) -> Row:
    takes = [take for part in (hint, *get_args(hint)) for take in get_args(part)]
    choices = tuple(take for take in takes if isinstance(take, str))
    return name, _one_line(texts.get(name, "")), _as_typed(default), choices


def _options(parser: "PlacesParser") -> Iterator[Row]:
    seen = set()
    for part in (parser, *parser.default_parts()):
        for action in part._actions:  # argparse offers no other way to them
            flags = [flag for flag in action.option_strings if not flag.endswith("+")]
            names = [flag[2:] for flag in flags if flag.startswith("--")]
            for name in (n for n in names if n not in seen and not n.endswith(".help")):
                seen.add(name)
                takes = _choices(action.metavar)
                yield name, _one_line(action.help or ""), _as_typed(action.default), takes


def _choices(metavar: object) -> tuple[str, ...]:
    is_list = isinstance(metavar, str) and metavar.startswith("{")
    return tuple(str(metavar)[1:-1].split(",")) if is_list else ()


def _one_line(text: str) -> str:
    """Return a docstring's text as plain words: no marks of reStructuredText, one line."""
    text = re.sub(r":\w+:`~?\.?([^`]+)`", r"\1", text)
    return " ".join(text.replace("``", "").split())


def _as_typed(value: Any) -> str:  # noqa: ANN401  # a default may be anything
    if value == _HIDDEN:
        return ""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_as_typed, value))}]"
    kind = value.get("class_path") if hasattr(value, "get") else None
    if kind:
        return str(kind)
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    FILE.write_text(make_table(), encoding="utf-8")
