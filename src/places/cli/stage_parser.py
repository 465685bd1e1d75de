"""The parser of the four stages: errors of at most four lines, with the nearest valid name."""

import argparse
import functools
import inspect
import operator
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, Union, get_args, get_origin

from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.loggers import Logger

from places.classifier import SceneClassifier
from places.cli.error_messages import Refused, read_message, refusal
from places.cli.logger_parts import FOLDERS
from places.cli.suggestions import short_path
from places.config.recipes import as_typed
from places.console import put
from places.data.image_files import ImageFiles
from places.data.places365 import Places365

# What is chosen where any subclass of the first may be.
_DEFAULTS: dict[type, type] = {LightningModule: SceneClassifier, LightningDataModule: Places365}
_PREDICT = "predict"  # the stage that has other data
_CLASS_HELP = {"--model.help": LightningModule, "--data.help": LightningDataModule}
_MORE_HELP = """\
Options of other classes, by the name of the class:
  --model.net.help places.models.VGG
  --model.optimizer.help AdamW
"""
_MORE_DATA_HELP = "  --data.help ImageFiles\n  --data.help WebDataset\n"
_PICTURES_HELP = """\
PICTURES:
  Files, folders, patterns in quotes such as "photos/*.jpg", tars such as
  "val-{000000..000003}.tar", URLs of pictures and tars, @FILE or @URL for
  a list of all these, - for a list on standard input.

  places predict photos --ckpt_path runs/demo/0
"""
_KNOWN_CLASSES = re.compile(r",\s+known\s+subclasses:[\w.,\s]+(?=\))")


class PlacesParser(LightningArgumentParser):
    """A parser that says in a few lines what is wrong, instead of how everything is used.

    Args:
        *args: As its base class takes them.
        stage: The stage whose options it parses; none for the parser of all stages.
        **kwargs: As its base class takes them.
    """

    def __init__(self, *args: Any, stage: str = "", **kwargs: Any) -> None:  # noqa: ANN401  # see above
        self.stage = stage
        self._kinds: dict[str, type] = {}
        super().__init__(*args, **kwargs)

    def add_class_arguments(
        self,
        class_type: type,
        nested_key: str | None = None,
        *args: Any,  # noqa: ANN401  # passed on
        **kwargs: Any,  # noqa: ANN401  # passed on
    ) -> list[str]:
        """Add the arguments of a class as options, see jsonargparse."""
        self._kinds[nested_key or ""] = class_type
        if issubclass(class_type, Logger):  # it is given the folder of its run, see `fill_in`
            kwargs.setdefault("default", _required_folders(class_type))
        with _int_first(class_type):
            added: list[str] = super().add_class_arguments(class_type, nested_key, *args, **kwargs)
        return added

    def add_argument_group(self, *args: Any, name: str | None = None, **kwargs: Any) -> Any:  # noqa: ANN401  # passed on
        """Add a group, see jsonargparse; that of `Trainer.test` does not take the name of ours."""
        is_taken = name is not None and name in (self.groups or {})
        return super().add_argument_group(
            *args, name=f"Trainer.{name}" if is_taken else name, **kwargs
        )

    def add_subclass_arguments(  # type: ignore[override]  # passed on as it comes
        self,
        baseclass: type,
        nested_key: str,
        *args: Any,  # noqa: ANN401  # passed on
        **kwargs: Any,  # noqa: ANN401  # passed on
    ) -> list[str]:
        """Add an option that takes a class, see jsonargparse."""
        self._kinds[nested_key] = baseclass
        added: list[str] = super().add_subclass_arguments(baseclass, nested_key, *args, **kwargs)
        return added

    def format_help(self, *args: Any) -> str:  # noqa: ANN401  # passed on
        """Return the help, without the names of all classes that PyTorch happens to have."""
        parts = [super().format_help(*args), *(part.format_help() for part in self.default_parts())]
        # jsonargparse takes back a space with a backspace.
        text = _KNOWN_CLASSES.sub("", "\n".join(parts)).replace(" \b", "")
        if len(parts) == 1:
            return text
        if self.stage != _PREDICT:
            return f"{text}\n{_MORE_HELP}{_MORE_DATA_HELP}"
        chosen = f"{{'class_path': '{ImageFiles.__module__}.{ImageFiles.__name__}'}}"
        text = re.sub(r"\{'class_path':\s+'[\w.]+\.Places365'\}", chosen, text)
        text = re.sub(r"^usage: .*?predict ", "usage: places predict PICTURES... ", text)
        text = text.replace("options:", f"{_PICTURES_HELP}\noptions:", 1)
        return f"{text}\n{_MORE_HELP}"

    @property
    def kinds(self) -> "dict[str, type]":
        """The class of each group of options, such as "trainer"; a base class where one chooses."""
        return dict(self._kinds)

    def default_parts(self) -> "list[PlacesParser]":
        """Return parsers with the options of the classes that are taken where none is named."""
        parts = []
        for key, base in self._kinds.items():
            if base in _DEFAULTS:
                part = type(self)(description="", add_help=False, usage=argparse.SUPPRESS)
                part.add_class_arguments(_default_of(self.stage, base), key)
                parts.append(part)
        return parts

    def parse_args(self, args: Sequence[str] | None = None, *rest: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # noqa: ANN401  # passed on
        """Parse; without the name of a class, the help of a class is that of the default one."""
        words = list(args or [])
        stage = words[0] if words else self.stage
        for number, word in enumerate(words):
            next_word = words[number + 1] if number + 1 < len(words) else "--"
            if word in _CLASS_HELP and next_word.startswith("--"):
                words[number] = f"{word}={short_path(_default_of(stage, _CLASS_HELP[word]))}"
        return super().parse_args(words if args is not None else None, *rest, **kwargs)

    def _print_message(self, message: str, file: object = None) -> None:
        put(message.removesuffix("\n"))  # argparse keeps silent about a disk that is full

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Refuse what was typed.

        Raises:
            Refused: Always.
        """
        finding = read_message(message)
        if finding.unknown:
            names = set() if "Subcommand" in message else option_names(self)
            raise Refused("no option '{}'", finding.unknown, names, self._kinds.get("")) from ex
        own = self._kinds.get("")  # of a class inside of another
        is_ours = own is ImageFiles  # `refusal` says more of it
        if own is not None and finding.missing and not (finding.option or is_ours):
            raise Refused(
                f"{own.__name__} needs {finding.missing}",
                hints=["give it below init_args, or as an option behind that of the class"],
            ) from ex
        raise refusal(finding, self._annotation(finding.option)) from ex

    def _annotation(self, name: str) -> object:
        way, _, last = name.rpartition(".")
        kind = self._kinds.get(way)
        if kind is None:
            return self._kinds.get(name)
        parameter = inspect.signature(kind).parameters.get(last)
        return parameter.annotation if parameter else None


def _default_of(stage: str, base: type) -> type:
    """Return the class that is meant where none is named; predict takes pictures."""
    is_pictures = stage == _PREDICT and base is LightningDataModule
    return ImageFiles if is_pictures else _DEFAULTS[base]


def option_names(parser: ArgumentParser) -> set[str]:
    """Return all options as they are typed, those of the classes chosen by default included."""
    names = {as_typed(key) for key, _ in parser.get_defaults(skip_validation=True).items()}
    return names | {"class_path", "init_args"}


def own_defaults(default: Any, chosen: Any) -> Any:  # noqa: ANN401  # as jsonargparse has them
    """Return a default, in which each class that was not chosen is replaced by the chosen one.

    Args:
        default: A class path with its arguments, in which there may be others.
        chosen: What flags and recipes made of it.
    """
    if not isinstance(default, dict) or not isinstance(chosen, dict | Namespace):
        return default
    if default.get("class_path") != chosen.get("class_path"):
        return {"class_path": chosen["class_path"]}
    return {key: own_defaults(value, chosen.get(key)) for key, value in default.items()}


def _required_folders(kind: type) -> dict[str, str]:
    parameters = inspect.signature(kind).parameters
    folders = [parameters[name] for name in FOLDERS if name in parameters]
    return {folder.name: "." for folder in folders if folder.default is folder.empty}


@contextmanager
def _int_first(kind: type) -> Iterator[None]:
    """Let `1` be a whole number where the constructor of a class takes `int | float`.

    For `--trainer.limit_test_batches` 1 is one batch and 1.0 is all of them. jsonargparse tries the
    types in their order, and `typing` remembers the order that any library in the process wrote
    first. So the annotations are others while a parser reads them; it offers no other way.
    """
    constructor = inspect.unwrap(kind.__init__)  # type: ignore[misc]  # of a class
    annotations: dict[str, Any] = getattr(constructor, "__annotations__", {})
    before = dict(annotations)
    for name, annotation in before.items():
        types = get_args(annotation)
        if get_origin(annotation) is Union and int in types and float in types:
            rest = [type_ for type_ in types if type_ not in (int, float)]
            annotations[name] = functools.reduce(operator.or_, rest, int | float)
    try:
        yield
    finally:
        annotations.update(before)


def without_model(words: Sequence[str]) -> list[str]:
    """Return a command line without its flags of the model, each of which takes a value."""
    kept, is_value = [], False
    for word in words:
        if is_value:
            is_value = False
        elif re.match(r"--model\b", word):
            is_value = "=" not in word
        else:
            kept.append(word)
    return kept
