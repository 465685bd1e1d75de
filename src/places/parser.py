"""The parser of the four stages: errors of at most four lines, with the nearest valid name."""

import difflib
import functools
import inspect
import operator
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, Union, get_args, get_origin

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser
from torch.optim import SGD, AdamW

from places.augment import Augment
from places.callbacks.best import BestCheckpoint
from places.callbacks.resume import ResumePoints
from places.classifier import SceneClassifier
from places.data.image_files import ImageFiles
from places.data.places365 import Places365
from places.errors import ConfigError
from places.models import VGG, ResNet

_UNKNOWN_OPTION = [
    re.compile(r"unrecognized arguments: -*(?P<name>[^\s=]+)"),
    re.compile(r"does not accept option '(?P<name>[^']+)'"),
    re.compile(r"Option '(?P<name>[^']+)' is not accepted"),
]
_WRONG_VALUE = re.compile(r'Parser key "(?P<name>[^"]+)":')
# Where the arguments of which classes go, for suggestions.
_CLASSES: dict[str, tuple[type, ...]] = {
    "trainer.": (Trainer,),
    "model.": (SceneClassifier,),
    "model.net.": (ResNet, VGG),
    "model.augment.": (Augment,),
    "model.optimizer.": (SGD, AdamW),
    "data.": (Places365, ImageFiles),
    "checkpoint.": (BestCheckpoint,),
    "resume.": (ResumePoints,),
}
_FLAGS = ("config", "ckpt_path", "random_weights", "seed_everything", "weights_only", "verbose")


class Refused(SystemExit):
    """What was typed is not accepted.

    Not an ordinary exception: jsonargparse would take one from a class inside a class for a reason
    to try something else, and would report that instead.

    Args:
        name: The option in question, or an empty string.
        error: What to tell the user.
    """

    def __init__(self, name: str, error: ConfigError) -> None:
        super().__init__(2)
        self.name = name
        self.error = error


class PlacesParser(LightningArgumentParser):
    """A parser that says in a few lines what is wrong, instead of how everything is used."""

    def add_lightning_class_args(
        self,
        lightning_class: Any,  # noqa: ANN401  # as in Lightning, which lists a dozen types
        nested_key: str,
        subclass_mode: bool = False,
        required: bool = True,
    ) -> list[str]:
        """Add the arguments of a class as options, see Lightning."""
        if inspect.isclass(lightning_class):
            prefer_int(lightning_class)
        return super().add_lightning_class_args(
            lightning_class, nested_key, subclass_mode, required
        )

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Refuse what was typed.

        Args:
            message: What argparse or jsonargparse found.
            ex: The exception behind it, if any.

        Raises:
            Refused: Always.
        """
        for pattern in _UNKNOWN_OPTION:
            if found := pattern.search(message):
                error = ConfigError(f"no option {found['name']!r}", *_suggest(found["name"]))
                raise Refused(found["name"], error) from ex
        lines = [line.strip(" -") for line in message.splitlines() if line.strip(" -")]
        found = _WRONG_VALUE.match(lines[0])
        if found:
            lines[0] = f"wrong value for {found['name']}"
        raise Refused(found["name"] if found else "", ConfigError(lines[0], *lines[1:3])) from ex


def prefer_int(kind: type) -> None:
    """Let `1` be a whole number where the constructor of a class takes `int | float`.

    For `--trainer.limit_test_batches` 1 is one batch and 1.0 is all of them. The types are tried in
    their order, and `typing` remembers the order that any library in the process wrote first.
    """
    annotations = inspect.unwrap(kind.__init__).__annotations__  # type: ignore[misc]  # of a class
    for name, annotation in annotations.items():
        types = get_args(annotation)
        if get_origin(annotation) is Union and int in types and float in types:
            rest = [type_ for type_ in types if type_ not in (int, float)]
            annotations[name] = functools.reduce(operator.or_, rest, int | float)


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


def locate(name: str, words: Sequence[str], recipes: Sequence[Path]) -> str | None:
    """Return where an option was given: as which flag, or in which line of which recipe."""
    for word in words:
        flag = word.partition("=")[0].lstrip("-")
        if word.startswith("--") and (flag == name or flag.endswith(f".{name}")):
            return f"--{flag}"
    key = re.compile(rf"\b{re.escape(name.rpartition('.')[2])}\s*:")
    for recipe in recipes:
        for number, line in enumerate(recipe.read_text(encoding="utf-8").splitlines(), 1):
            if key.search(line.partition("#")[0]):
                return f"{recipe}, line {number}"
    return None


def _suggest(name: str) -> list[str]:
    names = [*_FLAGS]
    for prefix, kinds in _CLASSES.items():
        for kind in kinds:
            names += [f"{prefix}{parameter}" for parameter in inspect.signature(kind).parameters]
    # A name inside a class comes without the way to it, so last parts are compared as well.
    last_parts = {known.rpartition(".")[2] for known in names}
    near_parts = difflib.get_close_matches(name.rpartition(".")[2], last_parts, n=1, cutoff=0.6)
    nearest = difflib.get_close_matches(name, names, n=2, cutoff=0.8) or [
        known for known in names if known.rpartition(".")[2] in near_parts
    ]
    hints = [f"nearest:      {', '.join(dict.fromkeys(nearest[:3]))}"] if nearest else []
    return [*hints, "all options:  add --help"]
