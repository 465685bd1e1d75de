"""Recipes: where a name leads to, and what a nested config looks like as flat keys."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from places.categories import nearest
from places.errors import ConfigError

_FLAGS = ("-c", "--config")
_MAX_SIZE_BYTES = 2**20
_MAX_NODES = 10_000  # values and keys
_MAX_DEPTH = 50
_MAX_DIGITS = 20  # of a number that is shown


def recipe_folders() -> list[Path]:
    """Return where bare names are looked for: `configs` here, then the recipes shipped."""
    package = Path(__file__).parents[1]
    # In a source checkout the recipes lie beside `src`; in a wheel they lie inside the package.
    parent = package if (package / "configs").is_dir() else package.parents[1]
    return [Path("configs"), parent / "configs"]


def find_recipe(name: str) -> Path:
    """Return the file of a recipe: that path, else the first of `recipe_folders` that has it.

    Raises:
        ConfigError: There is none; the message lists the nearest names.
    """
    folders = recipe_folders()
    if not name:
        raise ConfigError(
            "the name of a recipe is empty", "type one, such as  demo.yaml  or  configs/mine.yaml"
        )
    for candidate in (Path(name), *(folder / name for folder in folders)):
        for path in (candidate, Path(f"{candidate}.yaml")):
            if path.is_file():
                return path
    if Path(name).is_dir():
        config = Path(name) / "config.yaml"  # of a run
        hints = [f"its config:  --config {config}"] if config.is_file() else []
        raise ConfigError(f"{name} is a folder, and no recipe", *hints)
    files = {folder: folder.rglob("*.yaml") for folder in folders}
    names = {file.relative_to(folder).as_posix() for folder in files for file in files[folder]}
    raise ConfigError(
        f"no recipe {name!r}",
        f"looked for:  {name}, and in {', '.join(map(str, folders))}",
        f"nearest:     {nearest(name, sorted(names))}",
    )


def find_recipes(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Replace the recipes in a command line by their files, and put them before all other flags.

    The parser lets win what comes last, and flags win over recipes wherever they stand.

    Args:
        words: The stage, and what was typed behind it.

    Returns:
        The files in their order, and the command line with them.
    """
    files, args, before = list[Path](), list[str](), ""
    for word in words:
        flag, equals, name = word.partition("=")
        if before or (flag in _FLAGS and equals):
            path = find_recipe(word if before else name)
            list(read_keys(path))  # raises what is wrong with it
            files.append(path)
            before = ""
        elif word in _FLAGS:
            before = word
        else:
            args.append(word)
    recipes = [f"--config={path}" for path in files]
    return files, [*args[:1], *recipes, *args[1:], *filter(None, [before])]


def read_keys(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each key of a recipe, dotted as it is written, and its line.

    Raises:
        ConfigError: The file is no YAML, holds no keys, or has a key twice.
    """
    for key, first, line in _lines_of_keys(read_nodes(path), ""):
        if first is not None:
            raise ConfigError(
                f"{path} has the key {key} twice, in line {first} and in line {line}",
                "YAML would take the last and forget the others: remove one",
            )
        yield key, line


def double_keys(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield each key that a recipe has again, with the line before and the line where.

    Raises:
        ConfigError: See `read_nodes`.
    """
    for key, first, line in _lines_of_keys(read_nodes(path), ""):
        if first is not None:
            yield key, first, line


def read_nodes(path: Path) -> yaml.Node | None:
    """Return what YAML makes of a recipe, with the line of each part; `None` for an empty one.

    Raises:
        ConfigError: The file is no YAML, holds no keys, or more than any recipe needs.
    """
    try:
        if path.stat().st_size > _MAX_SIZE_BYTES:
            raise ConfigError(f"{path} is no recipe: it has more than {_MAX_SIZE_BYTES:,} bytes")
        root = yaml.compose(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except RecursionError as error:
        raise _too_large(path) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no recipe: it is not a text in UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(f"{path}{line} is not valid YAML: {problem}") from error
    if not isinstance(root, yaml.MappingNode) or not root.value:
        raise ConfigError(f"{path} is no recipe: it holds no keys", "see:  places config show demo")
    _check_nodes(root, path)
    (key, value), *others = root.value
    is_empty = isinstance(value, yaml.ScalarNode) and not value.value and value.style is None
    if is_empty and not others:  # which jsonargparse takes for a text
        raise ConfigError(
            f"{path} is no recipe: its only key, {key.value}, has no value",
            "see:  places config show demo",
        )
    return root


def read_config(path: Path, is_strict: bool = True) -> dict[str, Any]:
    """Return the content of a recipe or a `config.yaml` that may come from anybody.

    Args:
        path: The file.
        is_strict: Refuse a key that is there twice; else the last one wins.

    Raises:
        ConfigError: See `read_keys`; or it has values that YAML itself does not know.
    """
    list(read_keys(path)) if is_strict else read_nodes(path)  # refuses what would not end
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError, TypeError) as error:  # a date that is none, a list as key
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{path} is not valid YAML: {reason}") from error


def _check_nodes(root: yaml.Node | None, path: Path) -> None:
    """Refuse a recipe whose aliases make more of it than is written, perhaps without end."""
    layer, count = [root] if root else [], 0
    for _ in range(_MAX_DEPTH):
        count += len(layer)
        if count > _MAX_NODES:
            break
        for node in layer:
            if isinstance(node, yaml.MappingNode):
                _check_class(node, path)
            if isinstance(node, yaml.ScalarNode):
                _check_scalar(node, path)
        inner = [node.value for node in layer if isinstance(node, yaml.CollectionNode)]
        parts = [part for value in inner for part in value]
        layer = [node for part in parts for node in (part if isinstance(part, tuple) else [part])]
    if layer:
        raise _too_large(path)
    if isinstance(root, yaml.MappingNode):
        _check_keys(root, path)


def _check_scalar(node: yaml.ScalarNode, path: Path) -> None:
    """Refuse what no value has, and numbers that YAML 1.1 reads as nobody means them."""
    line, text = node.start_mark.line + 1, str(node.value)
    if "\0" in text:
        raise ConfigError(f"{path} has a NUL character in line {line}: no value has one")
    is_octal = _OCTAL.fullmatch(text) is not None
    if node.tag.endswith((":int", ":float")) and (is_octal or _BASE_60.fullmatch(text)):
        shown = text if len(text) <= _MAX_DIGITS else f"{text[:_MAX_DIGITS]}..."
        value = yaml.safe_load(text) if len(text) <= _MAX_DIGITS else "another number"
        first = "leave out the first 0, or " if is_octal else ""
        raise ConfigError(
            f"{path}, line {line}: YAML reads {shown} as {value}, by base {8 if is_octal else 60}",
            f'{first}write {value} if that is meant, or "{shown}" for a text',
        )


_OCTAL = re.compile(r"[-+]?0[0_]*[1-7]_*[0-7][0-7_]*")  # 07 is 7 by any base
_BASE_60 = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?", re.ASCII)
_KINDS = {"bool": "true or false", "int": "a number", "float": "a number", "null": "null"}
_OF_CLASS = {"class_path", "init_args", "dict_kwargs", "<<"}


def _check_keys(root: yaml.MappingNode, path: Path) -> None:
    """Refuse keys that are no names of options, which only a mapping inside of a value may have."""
    groups = [value for _, value in root.value if isinstance(value, yaml.MappingNode)]
    for key, _ in (pair for group in (root, *groups) for pair in group.value):
        line = f"{path}, line {key.start_mark.line + 1}"
        kind = key.tag.rpartition(":")[2]
        if kind not in ("str", "merge"):
            what = _KINDS.get(kind, f"a {kind}")
            raise ConfigError(f"{line}: the key {str(key.value)!r} is {what} to YAML, no name")
        if any(character.isspace() for character in key.value):
            raise ConfigError(f"{line}: the key {key.value!r} has a space in it, as no option has")


def _check_class(node: yaml.MappingNode, path: Path) -> None:
    """Refuse a class that is none by the kind of its YAML, and arguments that have no names."""
    names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    for key, value in node.value:
        line = f"{path}, line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{line}: a list or a mapping stands in the place of a key")
        if "class_path" in names and key.value not in _OF_CLASS:
            raise ConfigError(
                f"{line}: {key.value} stands beside class_path",
                "arguments of a class stand below init_args, which stands beside class_path",
            )
        is_empty = value.tag.endswith(":null")
        shown = "nothing" if is_empty else _shown(value)
        if key.value == "class_path" and not value.tag.endswith(":str"):
            raise ConfigError(f"{line}: class_path is the name of a class, not {shown}")
        if key.value == "init_args" and not isinstance(value, yaml.MappingNode):
            raise ConfigError(
                f"{line}: init_args holds arguments by their names, not {shown}",
                "leave it out, or write below it such as  depth: 18",
            )


def _shown(value: yaml.Node) -> str:
    """Return the beginning of a text; of what has parts its kind, for it may be endless."""
    if isinstance(value, yaml.ScalarNode):
        return str(value.value)[:40]
    return "a list" if isinstance(value, yaml.SequenceNode) else "a mapping"


def _too_large(path: Path) -> ConfigError:
    return ConfigError(
        f"{path} is no recipe: it holds more than any recipe needs",
        f"at most {_MAX_NODES:,} values and {_MAX_DEPTH} levels, with all aliases (*) filled in",
    )


def _lines_of_keys(
    node: yaml.Node | None, prefix: str, lines: dict[str, int] | None = None
) -> Iterator[tuple[str, int | None, int]]:
    """Yield each key, the line where it was before, if it was, and its line.

    `data.batch_size` may stand as it is, or as `batch_size` below `data`: it is the same.
    """
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _lines_of_keys(item, prefix)
    elif isinstance(node, yaml.MappingNode):
        lines = {} if lines is None else lines
        for key_node, value in node.value:
            key, line = f"{prefix}{key_node.value}", key_node.start_mark.line + 1
            yield key, lines.get(key), line
            lines[key] = line
            yield from _lines_of_keys(value, f"{key}.", lines)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by their dotted keys; lists are leaves."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def as_typed(key: str) -> str:
    """Return a flat key of a config as one types it: without `init_args`, and + for a list."""
    parts = (part.removesuffix("+") for part in key.split("."))
    return ".".join(part for part in parts if part != "init_args")
