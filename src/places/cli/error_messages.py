"""What libraries found wrong, in at most four lines for the user."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from places.cli.suggestions import (
    locate,
    nearest_class,
    nearest_option,
    option_for,
    other_owner,
    other_stage,
    short_path,
    takes_of,
)
from places.errors import ConfigError, PlacesError

NO_PICTURES = "no pictures are given"
PICTURES_HINTS = (
    "type:          places predict PICTURES... --ckpt_path runs/demo/0",
    'PICTURES are:  files, folders, "photos/*.jpg", tars, URLs, @FILE for a list of them',
)
_UNKNOWN_OPTION = [
    re.compile(r"unrecognized arguments: -+(?P<name>[^\s=]+)"),
    re.compile(r"Group '(?P<group>[^']+)' does not accept option '(?P<name>[^']+)'"),
    re.compile(r"does not accept option '(?P<name>[^']+)'"),
    re.compile(r"Option '(?P<name>[^']+)' is not accepted"),
]
_UNKNOWN_WORD = re.compile(r"unrecognized arguments: ([^-\s]\S*)")
_NO_VALUE = re.compile(r"argument (?:-\w/)?(--[\w.]+): expected (?:one|at least one) argument")
_MISSING = re.compile(r"arguments are required: (.+)")
_WRONG_VALUE = re.compile(r'Parser key "(?P<name>[^"]+)":')
_VALUE = re.compile(r"(?:Given|Got) value: (.*)")
_EXPECTED = re.compile(
    r"Expected an? (<class '[^']+'>|typing\.Literal\[[^\]]+\])|Not a valid (subclass of \w+)"
)
_WRONG_CLASS = [
    re.compile(r"Expected '([\w.]+)' to be a subclass of"),
    re.compile(r"Expected an import path or a subclass spec, but got (.{1,60}?)\. Got value"),
    re.compile(r"Expected a dot import path string: (\S+)"),
    re.compile(r"Multiple subclasses with name (\w+)"),
    re.compile(r"has no attribute '\w+'\. Got value: (?:Namespace\(class_path=')?([\w.]+)"),
    re.compile(r"No module named '[^']+'\. Got value: (?:Namespace\(class_path=')?([\w.]+)"),
]
_NO_MODULE = re.compile(r"No module named '([^']+)'")
_BESIDE = re.compile(r"must include a class_path and optionally init_args, but got (\{.*?\})\. Got")
_EMPTY_GROUP = re.compile(r"(?:fit|validate|test|predict)\.(\w+)")
_NO_GROUP = re.compile(r"Unable to load config '(.*)'")
_DENIED = re.compile(r"Importing '([\w.]+)' is not allowed")
_PROBLEM = re.compile(r"Problem with given class_path '([^']+)':\s+(.+)")
# An option at the start of a message.
_OPTION = re.compile(
    r"(?:seed_everything|(?:model|data|trainer|checkpoint|resume|predictions|test)\.[\w.]+\w)\b"
)
_SHOWN = 60  # characters of a value


@dataclass(frozen=True)
class Finding:
    """What argparse or jsonargparse found wrong with a command line; most of it is empty."""

    unknown: str  # an option that there is not, without its dashes and as far as it is told
    word: str  # belongs to no option
    missing: str  # must be given and is not
    unvalued: str  # an option behind which nothing stands
    option: str  # one whose value is not accepted
    value: str | None  # that value
    takes: list[str]  # the types or values that it takes
    wrong_class: str  # a name or path that is no class
    no_module: str  # what of that path there is not
    beside: str  # what was given beside the name of a class, with it
    denied: str  # a name that may not be given anywhere
    problem: tuple[str, ...]  # a class that cannot be built as asked, and why
    lines: list[str]  # the message itself


def read_message(message: str) -> Finding:
    """Read what argparse or jsonargparse says is wrong."""
    found = [match.groupdict() for match in (p.search(message) for p in _UNKNOWN_OPTION) if match]
    unknown = ".".join(filter(None, [found[0].get("group"), found[0]["name"]])) if found else ""
    option, problem = _WRONG_VALUE.match(message), _PROBLEM.search(message)
    kinds = (kind[1] or kind[2] for kind in _EXPECTED.finditer(message))
    value = _first_group([_VALUE], message)
    return Finding(
        unknown=unknown,
        word=_first_group([_UNKNOWN_WORD], message) or "",
        missing=_first_group([_MISSING], message) or "",
        unvalued=_first_group([_NO_VALUE], message) or "",
        option=option["name"] if option else "",
        value=value if value is None or len(value) <= _SHOWN else f"{value[:_SHOWN]}...",
        takes=list(dict.fromkeys(word for kind in kinds for word in _in_words(kind))),
        wrong_class=_first_group(_WRONG_CLASS, message) or "",
        no_module=_first_group([_NO_MODULE], message) or "",
        beside=(_first_group([_BESIDE], message) or "")[:_SHOWN],
        denied=_first_group([_DENIED], message) or "",
        problem=problem.groups() if problem else (),
        lines=[line.strip(" -") for line in message.splitlines() if line.strip(" -")],
    )


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
        unvalued: The beginning of the option behind which nothing stands: of the options of a class
            the parser names the class.
    """

    def __init__(
        self,
        message: str,
        name: str = "",
        names: Collection[str] = (),
        kind: type | None = None,
        hints: Sequence[str] = (),
        unvalued: str = "",
    ) -> None:
        super().__init__(2)
        self.unvalued = unvalued
        self.message, self.name, self.names, self.kind = message, name, names, kind
        self.hints = list(hints)

    def explained(
        self, words: Sequence[str], recipes: Sequence[Path], names: Collection[str]
    ) -> ConfigError:
        """Return what to tell the user: the command line, its recipes and its options are given."""
        if self.unvalued:
            typed = _unvalued(words, self.unvalued)
            return ConfigError(f"no value for {typed}", f"type:  {typed} VALUE")
        if not self.name:
            return ConfigError(self.message, *self.hints)
        key, place = locate(self.name, words, recipes) or (self.name, None)
        way = key.removesuffix(self.name)
        message = self.message.replace("{}", key, 1)
        lines = [f"given in:     {place}"] if place else []
        if self.hints:
            return ConfigError(message, *lines, *self.hints)
        if owner := other_stage(key, names) or other_owner(self.name, self.kind):
            lines.append(f"belongs to:   {owner}")
        elif nearest := nearest_option(self.name, self.names or names):
            lines.append(f"nearest:      {way}{nearest}")
        option = "help_all"
        if self.kind is not None and way:
            option = f"{way.rstrip('.')}.help {short_path(self.kind)}"
        return ConfigError(message, *lines, f"all options:  places {words[0]} --{option}")


def refusal(finding: Finding, annotation: object) -> Refused:
    """Return the refusal of anything but an unknown option.

    Args:
        finding: What was found.
        annotation: The type of the option, if its value is not accepted.
    """
    name = finding.option
    if not name:
        return _without_option(finding)
    if finding.denied:
        hint = f"it is never imported: {finding.denied.partition('.')[0]} runs what it is given"
        return Refused(f"wrong value for {{}}: {finding.denied}", name, hints=[hint])
    if finding.wrong_class:
        hints = [*_meant(finding, annotation), f"takes:        {takes_of(annotation)}"]
        return Refused(f"wrong value for {{}}: {finding.wrong_class}", name, hints=hints)
    if finding.beside:
        where = "arguments of a class stand below init_args, beside class_path"
        return Refused(f"wrong value for {{}}: {finding.beside}", name, hints=[where])
    if finding.problem:
        given, reason = finding.problem
        return Refused(f"wrong value for {{}}: {given}", name, hints=[reason])
    if group := _NO_GROUP.search("\n".join(finding.lines)):
        hint = "takes:        settings by their names, each an option of its own or a key"
        return Refused(f"wrong value for {{}}: {group[1]:.60}", name, hints=[hint])
    if finding.value is None or not finding.takes:
        return Refused("wrong value for {}", name, hints=finding.lines[1:3])
    takes = f"takes:        {', '.join(finding.takes)}"
    shown = finding.value or "''"  # what is empty could not be seen
    return Refused(f"wrong value for {{}}: {shown}", name, hints=[takes])


def _without_option(finding: Finding) -> Refused:
    """Return the refusal of something that is no value of an option."""
    if finding.word:
        is_recipe = finding.word.endswith((".yaml", ".yml"))
        hint = f"--config {finding.word}" if is_recipe else "--OPTION VALUE"
        return Refused(f"unexpected word {finding.word!r}", hints=[f"type:  {hint}"])
    if finding.unvalued:
        return Refused(f"no value for {finding.unvalued}", unvalued=finding.unvalued)
    if finding.missing == "images":  # of ImageFiles
        return Refused(NO_PICTURES, hints=PICTURES_HINTS)
    if group := _EMPTY_GROUP.fullmatch(finding.missing):
        hint = "leave it out for the default, or name a class"
        return Refused("no value for {}: it is empty (null)", group[1], hints=[hint])
    return Refused(finding.lines[0], hints=finding.lines[1:3])


def _meant(finding: Finding, annotation: object) -> list[str]:
    """Return what to say of a class that does not fit: another one, or where it belongs."""
    typed = finding.wrong_class
    last = typed.rpartition(".")[2]
    meant = nearest_class(typed, annotation)
    is_same = meant is not None and meant.rpartition(".")[2].lower() == last.lower()
    owner = None if is_same else option_for(typed)
    if owner:
        return [f"belongs to:   {owner}"]
    if finding.no_module and not is_same:  # what else is called like its end says nothing
        return [f"there is no package {finding.no_module!r} here: is it installed?"]
    return [f"nearest:      {meant}"] if meant else []


def with_place(error: PlacesError, words: Sequence[str], recipes: Sequence[Path]) -> PlacesError:
    """Return an error about an option with the place where that was given, if it tells none.

    Args:
        error: The error; its message begins with the option, as `check_range` has it.
        words: The command line.
        recipes: The recipes in it.
    """
    option = _OPTION.match(error.message)
    place = locate(option[0], words, recipes) if option else None
    if place is None or any(line.startswith("given in:") for line in error.hint):
        return error
    return type(error)(error.message, f"given in:     {place[1]}", *error.hint[:2])


def _unvalued(words: Sequence[str], start: str) -> str:
    """Return the option with that beginning behind which another one stands, or nothing."""
    typed = (word for word, after in pairwise([*words, "--"]) if after.startswith("--"))
    return next((word for word in typed if f"{word}.".startswith(f"{start}.")), start)


def _first_group(patterns: Sequence[re.Pattern[str]], message: str) -> str | None:
    return next((found[1] for found in (p.search(message) for p in patterns) if found), None)


def _in_words(kind: str) -> list[str]:
    if kind.startswith("typing.Literal"):
        return kind[len("typing.Literal[") : -1].replace("'", "").split(", ")
    if kind.startswith("subclass"):
        return [f"a {kind}"]
    name = kind[len("<class '") : -2].rpartition(".")[2]
    return [{"NoneType": "null", "bool": "true, false"}.get(name, name)]
