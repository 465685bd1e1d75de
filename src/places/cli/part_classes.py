"""The classes of parts of the trainer that were asked for as configs."""

from pydoc import locate

from jsonargparse import Namespace


def classes_of(asked: object) -> list[type]:
    """Return the classes of parts that were asked for as configs: one, several or none."""
    parts = asked if isinstance(asked, list) else [asked]
    kinds = (locate(part.class_path) for part in parts if isinstance(part, Namespace))
    return [kind for kind in kinds if isinstance(kind, type)]
