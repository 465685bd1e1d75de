"""What a checkpoint names, built without the command line: for `places.load`.

jsonargparse does this for commands. Here it is done for the part of a config that a network needs.
"""

import inspect
import types
from collections.abc import Callable, Collection, Mapping
from collections.abc import Callable as CallableKind
from contextlib import suppress
from dataclasses import is_dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from places.config.num_classes import call_with_num_classes
from places.config.trust import check_part
from places.errors import CheckpointError

_CONTAINERS: dict[object, type] = {list: list, tuple: tuple, set: set}


def factory_of(key: str, spec: object, trusted: Collection[str], path: Path) -> partial[Any]:
    """Return what makes the thing that a part of a stored config describes.

    Args:
        key: What the part is called in the config, such as "model.net".
        spec: A class path with its arguments, or the class path alone.
        trusted: Packages that the user trusts, see `check_stored`.
        path: The checkpoint, for messages.

    Returns:
        The class with its arguments. What a caller adds comes before them: the number of classes.

    Raises:
        CheckpointError: It names what it may not name, or arguments that the class does not take.
    """
    made = check_part(key, spec, trusted, path)
    table = spec if isinstance(spec, Mapping) else {}
    arguments = {**(table.get("init_args") or {}), **(table.get("dict_kwargs") or {})}
    hints: dict[str, Any] = {}
    with suppress(Exception):  # annotations are code of their package
        hints = get_type_hints(made.__init__ if inspect.isclass(made) else made)
    for name, value in arguments.items():
        try:
            found = _fitting(f"{key}.{name}", value, hints.get(name, Any), trusted, path)
        except TypeError as error:
            raise _unusable(path, f"{key}.{name}: {error}") from error
        arguments[name] = found
    return partial(made, **arguments)


def build(
    key: str, spec: object, trusted: Collection[str], path: Path, first: tuple[object, ...] = ()
) -> Any:  # noqa: ANN401  # what the config names
    """Make the thing that a part of a stored config describes, see `factory_of`.

    Args:
        key: See there.
        spec: See there.
        trusted: See there.
        path: See there.
        first: The number of classes of a network, which the config does not hold.

    Raises:
        CheckpointError: See there, or it cannot be made.
    """
    factory = factory_of(key, spec, trusted, path)
    try:
        return call_with_num_classes(factory, *first) if first else factory()
    except Exception as error:  # its code may do anything with arguments that are not its own
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise _unusable(path, f"{key} cannot be built: {reason}") from error


def _fitting(
    key: str,
    value: object,
    annotation: Any,  # noqa: ANN401  # any annotation
    trusted: Collection[str],
    path: Path,
) -> Any:  # noqa: ANN401  # what fits it
    """Return a stored value as a parameter with this annotation takes it.

    Raises:
        TypeError: It takes none like this.
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    is_text = isinstance(value, str) and str in parts  # where either may stand, as "gelu" in timm
    if _takes_factory(annotation) and isinstance(value, str | Mapping) and not is_text:
        return factory_of(key, value, trusted, path)
    if isinstance(value, Mapping) and "class_path" in value:
        return build(key, value, trusted, path)
    if isinstance(annotation, type) and is_dataclass(annotation) and isinstance(value, Mapping):
        name = f"{annotation.__module__}.{annotation.__qualname__}"
        return build(key, {"class_path": name, "init_args": value}, trusted, path)
    if origin in (Union, types.UnionType):
        return _first_fitting(key, value, parts, trusted, path)
    if origin is Literal:
        if any(type(value) is type(part) and value == part for part in parts):
            return value
        raise TypeError(f"{value!r:.60} is none of {', '.join(map(str, parts))}")
    if origin in _CONTAINERS and isinstance(value, list | tuple):
        kinds = parts if origin is tuple and ... not in parts and len(parts) == len(value) else ()
        kind = parts[0] if parts and not kinds else Any
        items = [
            _fitting(f"{key}.{number}", item, kinds[number] if kinds else kind, trusted, path)
            for number, item in enumerate(value)
        ]
        return _CONTAINERS[origin](items)
    return _as_plain(value, annotation)


def _takes_factory(annotation: Any) -> bool:  # noqa: ANN401  # any annotation
    """Tell whether a class or a function is expected, not what it makes."""
    if get_origin(annotation) in (Union, types.UnionType):
        return any(map(_takes_factory, get_args(annotation)))
    return annotation in (Callable, type) or get_origin(annotation) in (CallableKind, type)


def _first_fitting(
    key: str, value: object, parts: tuple[Any, ...], trusted: Collection[str], path: Path
) -> Any:  # noqa: ANN401  # what fits
    # As it is, if one of them takes it so: 1 is no float where there may be an int.
    exact = [part for part in parts if isinstance(part, type) and type(value) is part]
    for part in exact or parts:
        with suppress(TypeError):
            return _fitting(key, value, part, trusted, path)
    raise TypeError(f"{value!r:.60} fits none of its types")


def _as_plain(value: object, annotation: Any) -> Any:  # noqa: ANN401  # any annotation
    if annotation is float and type(value) is int:
        return float(value)
    if annotation is Path and isinstance(value, str):
        return Path(value)
    if isinstance(annotation, type) and issubclass(annotation, Enum) and isinstance(value, str):
        if value in annotation.__members__:
            return annotation[value]
    elif annotation in (int, float, str, bool) and type(value) is not annotation:
        raise TypeError(f"{value!r:.60} is no {annotation.__name__}")
    elif annotation is type(None) and value is not None:
        raise TypeError(f"{value!r:.60} is not null")
    return value


def _unusable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"this version of places cannot use the config in {path}",
        reason[:200],
        f"use it as weights:  --config RECIPE --model.weights {path}",
    )
