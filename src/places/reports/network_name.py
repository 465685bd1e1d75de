"""A network as people write it: "ResNet-50", "VGG-16 (batch_norm, global_pool)"."""

from collections.abc import Mapping
from typing import Any

from places.console import printable

_MAX_LENGTH = 80
_OF_NAME = ("depth", "variant")
# Told by nobody: what networks have by default beside what is off, and what changes no result.
_USUAL = {"groups": 1, "width_per_group": 64, "dropout": 0.5, "checkpoint_gradients": True}


def network_name(class_path: object, arguments: object = None) -> str:
    """Return the name of a network, from what may stand in anybody's config.

    Args:
        class_path: Its class; anything but text has no name.
        arguments: Its arguments, if there are any.

    Returns:
        The name without its modules, with its depth or variant and what else was switched on.
    """
    if not isinstance(class_path, str):
        return ""
    given: Mapping[str, Any] = arguments if isinstance(arguments, Mapping) else {}
    name = class_path.rpartition(".")[2]
    name += "".join(f"-{given[key]}" for key in _OF_NAME if given.get(key))
    words = [
        str(key) if value is True else f"{key}={value}"
        for key, value in given.items()
        if value and key not in _OF_NAME and value != _USUAL.get(key)
    ]
    return printable(f"{name} ({', '.join(words)})" if words else name)[:_MAX_LENGTH]
