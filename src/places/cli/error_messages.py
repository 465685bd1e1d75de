"""What argparse and jsonargparse found wrong with a command line, in a few lines for its user."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from places.cli.suggestions import locate, nearest_class, nearest_option, other_owner, short_path
from places.errors import ConfigError, PlacesError

_UNKNOWN_OPTION = [
    re.compile(r"unrecognized arguments: -+(?P<name>[^\s=]+)"),
    re.compile(r"Group '(?P<group>[^']+)' does not accept option '(?P<name>[^']+)'"),
    re.compile(r"does not accept option '(?P<name>[^']+)'"),
    re.compile(r"Option '(?P<name>[^']+)' is not accepted"),
]
_UNKNOWN_WORD = re.compile(r"unrecognized arguments: (?P<word>[^-\s]\S*)")
_WRONG_VALUE = re.compile(r'Parser key "(?P<name>[^"]+)":')
_VALUE = re.compile(r"(?:Given|Got) value: (.*)")
_EXPECTED = re.compile(
    r"Expected an? (<class '[^']+'>|typing\.Literal\[[^\]]+\])|Not a valid (subclass of \w+)"
)
_WRONG_CLASS = [
    re.compile(r"Expected a dot import path string: (\S+)"),
    re.compile(r"Multiple subclasses with name (\w+)"),
    re.compile(r"has no attribute '\w+'\. Got value: (?:Namespace\(class_path=')?([\w.]+)"),
    re.compile(r"No module named '[^']+'\. Got value: (?:Namespace\(class_path=')?([\w.]+)"),
]
_PROBLEM = re.compile(r"Problem with given class_path '([^']+)':\s+(.+)")


class Refused(SystemExit):
    """What was typed is not accepted.

    Not an ordinary exception: jsonargparse would take one from a class inside a class for a reason
    to try something else, and would report that instead.

    Args:
        message: What is wrong; the first {} stands for the name of the option.
        name: The option in question, perhaps without the start of its way, or an empty string.
        names: The options of the class that refused it.
        kind: That class.
        hints: What else to say.
    """

    def __init__(
        self,
        message: str,
        name: str = "",
        names: Collection[str] = (),
        kind: type | None = None,
        hints: Sequence[str] = (),
    ) -> None:
        super().__init__(2)
        self.message, self.name, self.names, self.kind = message, name, names, kind
        self.hints = list(hints)

    def explained(
        self, words: Sequence[str], recipes: Sequence[Path], names: Collection[str]
    ) -> ConfigError:
        """Return what to tell the user.

        Args:
            words: The command line.
            recipes: The recipes in it.
            names: The options of the stage.
        """
        if not self.name:
            return ConfigError(self.message, *self.hints)
        key, place = locate(self.name, words, recipes) or (self.name, None)
        way = key.removesuffix(self.name)
        lines = [f"given in:     {place}"] if place else []
        if self.hints:
            return ConfigError(self.message.replace("{}", key, 1), *lines, *self.hints)
        if owner := other_owner(self.name, self.kind):
            lines.append(f"belongs to:   {owner}")
        elif nearest := nearest_option(self.name, self.names or names):
            lines.append(f"nearest:      {way}{nearest}")
        if self.kind is not None and way:
            option = f"{way.rstrip('.')}.help {short_path(self.kind)}"
        else:
            option = "help"
        lines.append(f"all options:  places {words[0]} --{option}")
        return ConfigError(self.message.replace("{}", key, 1), *lines)


def unknown_option(message: str) -> str | None:
    """Return the option that is not known, as far as its way is told; `None` if it is not that."""
    for pattern in _UNKNOWN_OPTION:
        if found := pattern.search(message):
            return ".".join(filter(None, [found.groupdict().get("group"), found["name"]]))
    return None


def option_with_wrong_value(message: str) -> str | None:
    """Return the option whose value is not accepted; `None` if it is not that."""
    found = _WRONG_VALUE.match(message)
    return found["name"] if found else None


def other_refusal(message: str) -> Refused:
    """Return the refusal of anything but an option or its value."""
    if found := _UNKNOWN_WORD.search(message):
        is_recipe = found["word"].endswith((".yaml", ".yml"))
        hint = f"--config {found['word']}" if is_recipe else "--OPTION VALUE"
        return Refused(f"unexpected word {found['word']!r}", hints=[f"type:  {hint}"])
    first, *others = _lines(message)
    return Refused(first, hints=others[:2])


def wrong_value(message: str, name: str, annotation: object) -> Refused:
    """Return the refusal of a value.

    Args:
        message: What was found.
        name: The option.
        annotation: Its type.
    """
    for pattern in _WRONG_CLASS:
        if found := pattern.search(message):
            meant = nearest_class(found[1], annotation)
            hints = [f"nearest:      {meant}"] if meant else []
            hints.append("takes:        the name of a class, or its path as in Python")
            return Refused(f"wrong value for {{}}: {found[1]}", name, hints=hints)
    if found := _PROBLEM.search(message):
        return Refused(f"wrong value for {{}}: {found[1]}", name, hints=[found[2]])
    value = _VALUE.search(message)
    kinds = dict.fromkeys(
        word for kind in _EXPECTED.finditer(message) for word in _in_words(kind[1] or kind[2])
    )
    if value is None or not kinds:
        return Refused("wrong value for {}", name, hints=_lines(message)[1:3])
    given = value[1] if len(value[1]) <= 60 else f"{value[1][:60]}..."
    return Refused(
        f"wrong value for {{}}: {given}", name, hints=[f"takes:        {', '.join(kinds)}"]
    )


def _in_words(kind: str) -> list[str]:
    if kind.startswith("typing.Literal"):
        return kind[len("typing.Literal[") : -1].replace("'", "").split(", ")
    if kind.startswith("subclass"):
        return [f"a {kind}"]
    name = kind[len("<class '") : -2].rpartition(".")[2]
    return [{"NoneType": "null", "bool": "true, false"}.get(name, name)]


def _lines(message: str) -> list[str]:
    return [line.strip(" -") for line in message.splitlines() if line.strip(" -")]


def lost_process(error: RuntimeError) -> PlacesError | None:
    """Return what to say in place of an error if it is only that another process has gone."""
    if not _LOST.search(str(error)):
        return None
    return PlacesError(
        "another process of this run has ended",
        "its own message says why; one without a message was killed, mostly for want of memory",
    )


# In what gloo and NCCL say.
_LOST = re.compile("gloo/.*(closed by peer|reset by peer|Broken pipe)|ncclRemoteError")
