"""What a recipe writes: each key as it is typed, with its text, its file and its line."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from places.config.changes.leaves import CLASS, LISTS, labels, scopes
from places.config.recipes import read_keys, read_nodes

_MERGE = "<<"  # of YAML: what another mapping has


@dataclass(frozen=True)
class Place:
    """Where something stands: a line of a file, a flag, or something else without a line."""

    file: str  # as it is shown, or a flag such as "--trainer.max_epochs"
    line: int | None = None

    def __str__(self) -> str:
        """Return both as editors and terminals know it."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Written:
    """A value as it was written."""

    text: str
    place: Place


def written_keys(layers: Sequence[tuple[Path, str]], is_strict: bool = True) -> dict[str, Written]:
    """Return what recipes write, by the keys of `leaves`; later recipes win.

    Args:
        layers: For each recipe its file, and how it is shown.
        is_strict: Refuse a key that is there twice.

    Raises:
        ConfigError: See `read_keys`.
    """
    found: dict[str, Written] = {}
    for path, shown in layers:
        if is_strict:
            list(read_keys(path))
        for key, text, line in _written(read_nodes(path), ""):
            found[key] = Written(text, Place(shown, line))
    return found


def written_flags(words: Sequence[str]) -> dict[str, Written]:
    """Return what flags give, by the keys of `leaves`."""
    found: dict[str, Written] = {}
    for number, word in enumerate(words):
        following = words[number + 1] if number + 1 < len(words) else ""
        flag, equals, value = word.partition("=")
        if flag.startswith("--"):
            key = ".".join(part for part in flag[2:].rstrip("+").split(".") if part != "init_args")
            found[key] = Written(value if equals else following, Place(flag))
    return found


def place_of(key: str, written: Mapping[str, Written]) -> Written | None:
    """Return what was written for a key of a resolved config, if it was.

    A class may be written without `class_path`, and a group of settings as one text.
    """
    if key in written:
        return written[key]
    if key.endswith(CLASS):
        short = key.removesuffix(CLASS)
        if short in written and written[short].text:
            return written[short]
        if short.endswith("]"):  # --trainer.callbacks+ EarlyStopping
            way, _, label = short.removesuffix("]").rpartition("[")
            whole = written.get(way)
            if whole and label.partition("#")[0] in whole.text:
                return whole
        return None
    for scope in scopes(key):
        whole = written.get(scope)
        if whole is not None and whole.text.startswith("{"):
            return whole
    return None


def _written(node: yaml.Node | None, prefix: str) -> Iterator[tuple[str, str, int]]:
    """Yield each key, the text of its value and its line; what is in a container comes after it."""
    if isinstance(node, yaml.SequenceNode):
        yield from _of_list(node.value, prefix)
    elif isinstance(node, yaml.MappingNode) and prefix in LISTS and _class_in(node):
        yield from _of_list([node], prefix)
    elif isinstance(node, yaml.MappingNode):
        merged = [pair for pair in node.value if pair[0].value == _MERGE]
        for _, value in merged:  # what the mapping itself says wins
            for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                yield from _written(part, prefix)
        for key_node, value in (pair for pair in node.value if pair not in merged):
            way = str(key_node.value).rstrip("+").split(".")
            key = ".".join(filter(None, [prefix, *(part for part in way if part != "init_args")]))
            if way != ["init_args"]:
                yield key, _text(value), key_node.start_mark.line + 1
            yield from _written(value, key)


def _of_list(items: Sequence[yaml.Node], prefix: str) -> Iterator[tuple[str, str, int]]:
    names = [_class_in(item) for item in items]
    if items and all(names):
        for label, item in zip(labels([{"class_path": n} for n in names]), items, strict=True):
            yield from _written(item, f"{prefix}[{label}]")


def _class_in(node: yaml.Node) -> str | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((str(value.value) for key, value in pairs if key.value == "class_path"), None)


def _text(node: yaml.Node) -> str:
    """Return the text of a scalar or of a plain list; an empty one for other containers."""
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    parts = node.value if isinstance(node, yaml.SequenceNode) else []
    if parts and all(isinstance(part, yaml.ScalarNode) for part in parts):
        return f"[{', '.join(str(part.value) for part in parts)}]"
    return ""
