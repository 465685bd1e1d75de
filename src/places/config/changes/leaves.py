"""A resolved config as flat keys, as they are typed, in which items of lists have names."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# What takes one class or a list of them.
LISTS = ("trainer.callbacks", "trainer.logger", "trainer.plugins")
CLASS = ".class_path"  # the end of a key that names a class


def leaves(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a config by their keys, without `init_args`.

    A class in a list is named in brackets, as in `trainer.callbacks[EarlyStopping].patience`; the
    second one of its name is `[EarlyStopping#2]`. Other lists are values.
    """
    return dict(_leaves(config, ""))


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401  # of any config
    items = class_list(key, value)
    if items:
        for label, item in zip(labels(items), items, strict=True):
            yield from _leaves(item, f"{key}[{label}]")
    elif isinstance(value, Mapping) and value:
        for name, item in value.items():
            if name == "init_args" and isinstance(item, Mapping | None):
                yield from _leaves(item, key) if item else ()
            else:
                yield from _leaves(item, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


def class_list(key: str, value: object) -> list[Mapping[str, Any]]:
    """Return the classes in a list of them, also where one stands for a list; empty for others."""
    items = [value] if key in LISTS and isinstance(value, Mapping) else value
    if not isinstance(items, list) or not all(_is_class(item) for item in items):
        return []
    return items


def labels(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a name for each class in a list, of which no two are the same."""
    counts: Counter[str] = Counter()
    names = []
    for item in items:
        name = str(item["class_path"]).rpartition(".")[2]
        counts[name] += 1
        names.append(name if counts[name] == 1 else f"{name}#{counts[name]}")
    return names


def scopes(key: str) -> Iterator[str]:
    """Yield the keys above a key, the nearest first: of `a.b[C].d` these are `a.b[C]`, `a.b`, `a`.

    Args:
        key: As `leaves` returns it.
    """
    for end in range(len(key) - 1, 0, -1):
        if key[end] in ".[" and key.count("[", 0, end) == key.count("]", 0, end):
            yield key[:end]


def list_orders(flat: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of the classes in each list of them, in their order."""
    orders: dict[str, list[str]] = {}
    for key in flat:
        if key.endswith(f"]{CLASS}"):
            way, _, label = key.removesuffix(f"]{CLASS}").rpartition("[")
            orders.setdefault(way, []).append(label)
    return orders


def _is_class(item: object) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("class_path"), str)
