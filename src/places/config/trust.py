"""What a config may name: whatever it names is imported and called, so it is code that runs.

The user's own recipes and flags may name classes of any package that is installed for the purpose,
and functions where a function is expected. A checkpoint may come from anybody: it may only choose
among the networks, optimizers, data modules and options that the user has or trusts.
"""

import functools
import importlib
import sys
import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from os.path import lexists
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml
from torch import nn
from torch.optim import Optimizer

from places.console import printable
from places.errors import CheckpointError, ConfigError

# Whose classes a checkpoint may name without further ado. The rest of PyTorch has networks, too,
# that compile or fetch what they are given.
_OURS = ("places", "torch.nn", "torch.optim", "torchvision")

# Whose values are what they look like. Where anything else is expected, a text is a name to import.
_PLAIN_TYPES = (str, int, float, bool, type(None), Path)
_MAX_VALUES = 10_000  # one config has about a hundred
_MAX_DEPTH = 20
# They run what they are given, as the standard library does, or decide what may be imported.
_NEVER = frozenset({*sys.stdlib_module_names, "jsonargparse", "pip", "pkg_resources", "setuptools"})


@functools.cache
def deny_standard_library() -> None:
    """Let no recipe and no flag name anything of the standard library, as `os.system`.

    Neither by its own name nor by that of a package that happens to import it.
    """
    from jsonargparse import set_parsing_settings  # not needed from Python

    set_parsing_settings(
        import_path_denylist=sorted(_NEVER - {"jsonargparse"}),
        instantiate_subclass_spec_in_any=False,
    )


def as_packages(value: object) -> list[str]:
    """Return the packages that a recipe or flags name as `trust`, be they one, several or none.

    Raises:
        ConfigError: The value is no list of names.
    """
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        shown = printable(f"{value!r:.60}")
        raise ConfigError(
            f"trust takes the names of packages, not {shown}", "such as  --trust mynetworks"
        )
    return value


def check_trusted(names: Collection[str]) -> None:
    """Refuse what `--trust` may not name.

    Raises:
        ConfigError: It is no package or belongs to those that are never trusted.
    """
    for name in names:
        if not isinstance(name, str) or not _is_path(name):  # from Python it may be anything
            raise ConfigError(f"trust takes the name of a package, not {name!r}")
        if name.partition(".")[0] in _NEVER:
            raise ConfigError(
                f"{name} is never trusted: what it is given, it runs",
                "trust the package of a network, such as  --trust mynetworks",
            )


def named_packages(words: Sequence[str], recipes: Sequence[Path]) -> set[str]:
    """Return the packages whose classes the user names in flags and recipes.

    Args:
        words: The command line.
        recipes: The recipes in it.
    """
    texts = [recipe.read_text(encoding="utf-8") for recipe in recipes]
    for word, following in zip(words, [*words[1:], ""], strict=True):
        flag, equals, value = word.partition("=")
        if flag.startswith(("--model", "--data", "--trainer")):
            texts.append(value if equals else following)
    values = (str(value) for text in texts for value in _leaves(_load(text)))
    names = {v for v in values if "." in v and _is_path(v) and not lexists(v)}
    return {name.partition(".")[0] for name in names} - _NEVER


def check_classes(config: Mapping[str, Any]) -> None:
    """Refuse functions where a class is expected: as the model, the data or part of the trainer.

    Args:
        config: What was parsed of flags and recipes.

    Raises:
        ConfigError: There is one.
    """
    specs = {key: config[key] for key in ("model", "data")}
    specs |= {f"trainer.{key}": value for key, value in config["trainer"].items()}
    for key, value in specs.items():
        for spec in value if isinstance(value, list) else [value]:
            name = spec.get("class_path") if isinstance(spec, Mapping) else None
            if name is not None and not isinstance(_loaded(name), type):
                raise ConfigError(f"{key} takes the name of a class, {name} is a function")


def check_stored(config: Mapping[str, Any], trusted: Collection[str], path: Path) -> None:
    """Refuse the config of a checkpoint that names anything it may not name.

    Nothing is imported, except from what is trusted, and nothing is called.

    Args:
        config: `model` and `data` as they are stored, each a class path with its arguments.
        trusted: Packages, modules, classes and functions that the user trusts, beside networks and
            optimizers of PyTorch, torchvision and this package.
        path: The checkpoint, for messages.

    Raises:
        CheckpointError: It does; the message tells what, and how to allow it.
    """
    check = functools.partial(_check_name, trusted=trusted, path=path)
    for key in ("model", "data"):
        _check_value(key, config[key], object, check)


def check_part(key: str, spec: object, trusted: Collection[str], path: Path) -> Any:  # noqa: ANN401  # anything
    """Refuse a part of a stored config that names anything it may not name, as `check_stored`.

    Args:
        key: What it is called in the config, for messages.
        spec: A class path with its arguments, or the class path alone.
        trusted: See `check_stored`.
        path: The checkpoint, for messages.

    Returns:
        The class, or the function that is trusted by name.

    Raises:
        CheckpointError: It does, or it names nothing.
    """
    check = functools.partial(_check_name, trusted=trusted, path=path)
    _check_value(key, spec, object, check)
    return check(key, spec.get("class_path") if isinstance(spec, Mapping) else spec)


def check_plain(value: object, path: Path) -> None:
    """Refuse what a config cannot hold: other things than numbers, texts, lists and tables.

    Raises:
        CheckpointError: There is something else, or too much, or one thing inside of itself.
    """
    layer, count = [value], 0
    for _ in range(_MAX_DEPTH):
        count += len(layer)
        if not layer or count > _MAX_VALUES:
            break
        following: list[object] = []
        for item in layer:
            if isinstance(item, dict) and all(isinstance(key, str) for key in item):
                following += item.values()
            elif isinstance(item, list | tuple):
                following += item
            elif type(item) not in (str, int, float, bool, type(None)):
                raise _unreadable(path, f"there is a {type(item).__name__} in it")
        layer = following
    if layer:
        raise _unreadable(path, "it is larger or deeper than any config")


def _check_value(
    key: str, value: object, annotation: object, check: Callable[[str, object], object]
) -> None:
    """Check all names in a value that is meant for a parameter with this annotation."""
    if isinstance(value, Mapping):
        _check_table(key, value, check)
    elif _is_plain(annotation):
        return
    elif isinstance(value, list | tuple):
        for part in value:
            _check_value(key, part, object, check)
    elif isinstance(value, str) and _may_lead_on(value):
        check(key, value)


def _check_table(
    key: str, table: Mapping[str, Any], check: Callable[[str, object], object]
) -> None:
    annotations: dict[str, object] = {}
    if "class_path" in table:
        annotations = _annotations(check(key, table["class_path"]))
        parts = [part for name, part in table.items() if name != "class_path"]
        for part in parts:
            if not isinstance(part, Mapping | None):
                check(key, part)  # refuses it
        table = {name: value for part in parts if part for name, value in part.items()}
    for name, value in table.items():
        _check_value(f"{key}.{name}", value, annotations.get(name, object), check)


def _may_lead_on(text: str) -> bool:
    """Tell whether jsonargparse might import a text, or read a file of this name as a config."""
    return any(sign in text for sign in "./{[\\~") or lexists(text)


def _check_name(key: str, name: object, trusted: Collection[str], path: Path) -> object:
    """Return the class, or the function that is trusted by name, or refuse it."""
    shown = printable(str(name))[:80]
    packages = (*(allowed.partition(".")[0] for allowed in trusted), *_OURS)
    if not isinstance(name, str) or not _is_path(name):
        raise CheckpointError(f"{path} names {shown!r} as {key}, which is no class")
    where = next((way for way in (*trusted, *_OURS) if _is_in(name, way)), None)
    if where is None:
        package = name.partition(".")[0]
        raise CheckpointError(
            f"{path} names {shown} as {key}: it would be imported, and so run",
            f"if you trust {package}:  --trust {package}"
            if package not in _NEVER
            else f"{package} is never trusted: this is no checkpoint of places",
        )
    try:
        found = _import(name) if where in trusted else _loaded(name)
    except Exception as error:  # the code of a package may do anything
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise CheckpointError(f"{path} needs {shown} as {key}, which is gone", reason) from error
    if name in trusted and callable(found):
        return found
    # Not isinstance, which asks the thing itself.
    is_class = issubclass(type(found), type)
    if is_class and any(_is_in(found.__module__, package) for package in packages):
        is_option = is_dataclass(found) and not where.startswith("torch")
        if is_option or issubclass(found, _kinds()):
            return found
    raise CheckpointError(
        f"{path} names {shown} as {key}, which is no network, optimizer or the like",
        f"if you trust it, by its full name:  --trust {shown}",
    )


def _kinds() -> tuple[type, ...]:
    """Return what a class that a checkpoint names may derive from.

    There are data modules only where Lightning is imported already: from Python it is not needed.
    """
    lightning = sys.modules.get("lightning.pytorch")
    modules = () if lightning is None else (lightning.LightningDataModule,)
    return (nn.Module, Optimizer, *modules)


def _is_in(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def _import(name: str) -> Any:  # noqa: ANN401  # anything
    parts = name.split(".")
    ways = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    found: object = importlib.import_module(ways[0])
    for way, part in zip(ways[1:], parts[1:], strict=True):
        if not hasattr(found, part):
            importlib.import_module(way)
        found = getattr(found, part)
    return found


def _loaded(name: str) -> Any:  # noqa: ANN401  # anything
    """Return what a path names in a module that is imported already: to look imports nothing."""
    parts = name.split(".")
    module = next(
        sys.modules[way]
        for way in (".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1))
        if way in sys.modules
    )
    found: object = module
    for part in parts[module.__name__.count(".") + 1 :]:
        found = vars(found)[part]
    return found


def _annotations(kind: Any) -> dict[str, object]:  # noqa: ANN401  # a class or a function
    try:
        if isinstance(kind, type):
            return _hints_of_class(kind)
        return get_type_hints(kind)
    except Exception:  # annotations are code of their package
        return {}


@functools.cache
def _hints_of_class(kind: type) -> dict[str, object]:
    return get_type_hints(kind.__init__)  # type: ignore[misc]  # of a class


def _is_plain(annotation: object) -> bool:
    origin = get_origin(annotation)
    if origin is Literal or annotation in _PLAIN_TYPES:
        return True
    plain_origins = (Union, types.UnionType, list, tuple, dict, Sequence, Mapping)
    arguments = [part for part in get_args(annotation) if part is not ...]
    return origin in plain_origins and all(map(_is_plain, arguments))


def _is_path(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _load(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"the config in {path} cannot be read: {reason}",
        f"use it as weights:  --config RECIPE --model.weights {path}",
    )
