"""What libraries found wrong, in at most four lines for the user."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from inspect import signature
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
from places.endings.family import KILLED
from places.errors import ConfigError, LostProcessError, PlacesError

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
# Where jsonargparse tried several types, the reason why the first of them did not fit.
_REASON = re.compile(r"Errors:\n\s*- (.+)")
# An option at the start of a message.
_OPTION = re.compile(
    r"(?:seed_everything|(?:model|data|trainer|checkpoint|resume|predictions|test)\.[\w.]+\w)\b"
)
# Of Lightning, after the first epoch.
_EARLY = re.compile(
    r"Early stopping conditioned on metric `(?P<metric>.*?)` which is not available\. .*"
    r"any of the following: (?P<known>.*)"
)
_BEST = re.compile(
    r"`ModelCheckpoint\(monitor=(?P<metric>'.*?')\)` could not find .* metrics: \[(?P<known>.*?)\]"
)
_OPTION_FIRST = re.compile(r"`(\w+)`(.*)")
_SHOWN = 60  # characters of a value
_NO_DEVICE = re.compile(r"No supported gpu backend|can not run on your system")
# What gloo and NCCL say when another process has ended.
_LOST = re.compile("gloo/.*(closed by peer|reset by peer|Broken pipe)|ncclRemoteError")


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
        """Return what to tell the user: the command line, its recipes and its options are given."""
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
        return Refused(
            f"no value for {finding.unvalued}", hints=[f"type:  {finding.unvalued} VALUE"]
        )
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


def mistake_behind(error: Exception) -> PlacesError | None:
    """Return what to tell the user in place of an error, if it is one that the user can correct."""
    # Only stages get here, which have imported it; tools do without.
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    if isinstance(error, MisconfigurationException) and _NO_DEVICE.search(str(error)):
        return ConfigError(
            f"trainer.accelerator: {first_line(error).partition('. The following')[0]}",
            "see what there is:  places doctor",
            "or go without:      --trainer.accelerator cpu",
        )
    if isinstance(error, MisconfigurationException):
        if best := _BEST.match(str(error)):  # of a metric that only a user's class logs
            known = best["known"].replace("'", "")
            return ConfigError(
                f"the best checkpoint is chosen by {best['metric']}, which nobody logs",
                f"there are:  {known}",
                "name one:   --checkpoint.monitor val/loss --checkpoint.mode min",
            )
        return _of_trainer(error) or ConfigError(first_line(error))
    if isinstance(error, PlacesError | ValueError):
        return _wrapped(error) or _of_trainer(error)
    if isinstance(error, RuntimeError) and (stopping := _EARLY.match(str(error))):
        return ConfigError(  # of a metric that only a user's class logs
            f"EarlyStopping watches {stopping['metric']}, which nobody logs",
            f"there are:  {stopping['known'].replace('`', '')}",
            "name one:   --trainer.callbacks.monitor val/loss",
        )
    if isinstance(error, RuntimeError) and _LOST.search(str(error)):
        return LostProcessError("another process of this run has ended", KILLED)
    service = type(error).__module__.partition(".")[0]
    if service == "wandb":
        return ConfigError(
            f"Weights & Biases: {first_line(error)}",
            "log in:             wandb login",
            "without a network:  put  WANDB_MODE=offline  before  places",
        )
    if service == "mlflow":
        return ConfigError(
            f"MLflow: {first_line(error)}",
            "where it logs to:  --trainer.logger.tracking_uri URL, or MLFLOW_TRACKING_URI",
        )
    return None


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


def mistake_in_building(error: Exception) -> PlacesError:
    """Return what to tell the user where a network, a data module or the trainer was not built."""
    reason = _REASON.search(str(error))
    return mistake_behind(error) or ConfigError(reason[1] if reason else first_line(error))


def _of_trainer(error: Exception) -> PlacesError | None:
    """Return what Lightning found wrong with an option of its trainer, which it names first."""
    from lightning.pytorch import Trainer

    option = _OPTION_FIRST.match(first_line(error))
    if option is None or option[1] not in signature(Trainer).parameters:
        return None
    return ConfigError(f"trainer.{option[1]}{option[2]}")


def _first_group(patterns: Sequence[re.Pattern[str]], message: str) -> str | None:
    return next((found[1] for found in (p.search(message) for p in patterns) if found), None)


def _in_words(kind: str) -> list[str]:
    if kind.startswith("typing.Literal"):
        return kind[len("typing.Literal[") : -1].replace("'", "").split(", ")
    if kind.startswith("subclass"):
        return [f"a {kind}"]
    name = kind[len("<class '") : -2].rpartition(".")[2]
    return [{"NoneType": "null", "bool": "true, false"}.get(name, name)]


def _wrapped(error: BaseException | None) -> PlacesError | None:
    # jsonargparse wraps what the constructors of our classes raise.
    while error is not None and not isinstance(error, PlacesError):
        error = error.__cause__ or error.__context__
    return error


def first_line(error: Exception) -> str:
    """Return the first line of what an error says; its class where it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
