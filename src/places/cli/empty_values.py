"""Keys that were left empty, or are no groups: jsonargparse takes null, and any value for a group.

`batch_size:` in YAML is null; `augment: true` gives a value in place of settings.
"""

import dataclasses
import inspect
import sys
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, get_args, get_type_hints

from places.cli.error_messages import Refused


def refuse_empty(config: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    """Refuse null where a class does not take it, and a value where settings have names.

    Args:
        config: The resolved config of a stage, as plain mappings.
        kinds: The class of each group that has no class path, such as the trainer.

    Raises:
        Refused: The message says what the key takes.
    """
    if config.get("seed_everything", 0) is None:  # of Lightning's own options, in no class
        raise _refused("seed_everything", int)
    for key, annotation, value in _wrong(config, "", kinds):
        if value is None:
            raise _refused(key, annotation)
        names = ", ".join(field.name for field in dataclasses.fields(annotation))
        hints = [f"takes:        settings by their names: {names}"]
        raise Refused(f"wrong value for {{}}: {value!r:.60}", key, hints=hints)


def _refused(key: str, annotation: Any) -> Refused:  # noqa: ANN401  # an annotation may be anything
    takes = f"takes:        {_in_words(annotation)}"
    return Refused("no value for {}: it is empty (null)", key, hints=[takes])


def _wrong(
    config: Mapping[str, Any], way: str, kinds: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield each key with a wrong value, the annotation of its parameter and that value.

    Args:
        config: Mappings of keys to values.
        way: What stands before the keys, with a dot.
        kinds: For keys the class or annotation of their values, where it is known.
    """
    for key, value in config.items():
        name = f"{way}{key}"
        if isinstance(value, Mapping) and isinstance(path := value.get("class_path"), str):
            yield from _of_class(value.get("init_args") or {}, f"{name}.", _class_of(path))
        elif isinstance(value, Mapping):
            kind = kinds.get(key)
            yield from _of_class(value, f"{name}.", kind if inspect.isclass(kind) else None)


def _of_class(
    values: Mapping[str, Any], way: str, kind: type | None
) -> Iterator[tuple[str, Any, Any]]:
    if kind is None:
        return
    parameters = inspect.signature(kind).parameters
    hints = _hints(kind)
    for key, value in values.items():
        parameter = parameters.get(key)
        is_empty = value is None and parameter is not None and parameter.default is not None
        if is_empty and key in hints and not _takes_null(hints[key]):
            yield f"{way}{key}", hints[key], None
        is_value = value is not None and not isinstance(value, Mapping)
        if is_value and inspect.isclass(hints.get(key)) and dataclasses.is_dataclass(hints[key]):
            yield f"{way}{key}", hints[key], value
    yield from _wrong(values, way, hints)


def _hints(kind: type) -> dict[str, Any]:
    owner = kind if dataclasses.is_dataclass(kind) else kind.__init__  # type: ignore[misc]  # of a class
    try:
        return get_type_hints(inspect.unwrap(owner))
    except (NameError, TypeError):  # names that only a type checker imports
        return {}


def _takes_null(annotation: Any) -> bool:  # noqa: ANN401  # an annotation may be anything
    return annotation is Any or annotation is NoneType or NoneType in get_args(annotation)


def _class_of(path: str) -> type | None:
    """Return a class by its path, if it has been imported, as all that were parsed have."""
    module, _, name = path.rpartition(".")
    kind = getattr(sys.modules.get(module), name, None)
    return kind if inspect.isclass(kind) else None


def _in_words(annotation: Any) -> str:  # noqa: ANN401  # an annotation may be anything
    parts = get_args(annotation)
    if parts and all(isinstance(part, str) for part in parts):
        return ", ".join(parts)
    names = {"bool": "true, false", "int": "a whole number", "float": "a number", "str": "text"}
    if inspect.isclass(annotation) and not parts:
        return names.get(annotation.__name__, annotation.__name__)
    return str(annotation).replace("typing.", "").replace("collections.abc.", "")
