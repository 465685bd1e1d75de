"""What a mistyped name was meant to be, and where it was typed."""

import difflib
import inspect
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from places.config.recipes import as_typed, read_keys

_COMMANDS = {"test": "places test", "predictions": "places predict"}  # by group of options
_CLOSE = 0.65  # of difflib, 0 to 1: "SDG" and "SGD" have 0.67


def locate(name: str, words: Sequence[str], recipes: Sequence[Path]) -> tuple[str, str] | None:
    """Return where an option was given: as which key, and as which flag or in which line.

    Args:
        name: The option, perhaps without the start of its way.
        words: The command line.
        recipes: The recipes in it.
    """
    for word in words:
        flag = word.partition("=")[0].lstrip("-").removesuffix("+")
        if word.startswith("--") and _ends_with(flag, name):
            return flag, f"--{flag}"
    for recipe in recipes:
        for key, line in read_keys(recipe):
            if _ends_with(as_typed(key), name) or _ends_with(key, name):
                return as_typed(key), f"{recipe}, line {line}"
    return None


def nearest_option(typed: str, names: Collection[str]) -> str | None:
    """Return the option that was probably meant, if there is one that is close.

    Args:
        typed: What was typed, parts joined by dots.
        names: The options there are. What belongs to a class that is chosen elsewhere is not among
            them: such parts are kept as they are.
    """
    parts: list[str] = []
    for part in typed.split("."):
        way = "".join(f"{known}." for known in parts)
        choices = {name[len(way) :].partition(".")[0] for name in names if name.startswith(way)}
        meant = part if part in choices or not choices else _closest(part, choices)
        if meant is None:
            if by_end := _by_last_part(typed, names):
                return by_end
            break
        parts.append(meant)
    whole = ".".join(parts)
    is_as_typed = f"{typed}.".startswith(f"{whole}.")
    return None if is_as_typed or not whole else whole


_USUAL = {  # what other programs call it
    "lr": "model.optimizer.lr",
    "learning_rate": "model.optimizer.lr",
    "momentum": "model.optimizer.momentum",
    "weight_decay": "model.optimizer.weight_decay",
    "epochs": "trainer.max_epochs",
    "num_epochs": "trainer.max_epochs",
    "steps": "trainer.max_steps",
    "gpus": "trainer.devices",
    "device": "trainer.accelerator",
    "amp": "trainer.precision",
    "fp16": "trainer.precision",
    "arch": "model.net",
    "net": "model.net",
    "network": "model.net",
    "optimizer": "model.optimizer",
    "pretrained": "model.weights",
    "seed": "seed_everything",
    "resume": "ckpt_path",
    "checkpoint": "ckpt_path",
    "ckpt": "ckpt_path",
    "output": "trainer.default_root_dir",
    "output_dir": "trainer.default_root_dir",
    "logger": "trainer.logger",
    "workers": "data.num_threads",
    "num_workers": "data.num_threads",
    "dataset": "data.root",
    "data_dir": "data.root",
}


def usual_option(typed: str) -> str | None:
    """Return the option that other programs call by this name, without a way before it."""
    return _USUAL.get(typed.replace("-", "_").lower())


def other_owner(name: str, kind: type | None) -> str | None:
    """Return how to choose the class that has an option which the chosen class lacks."""
    # Only stages get here, which have imported them; tools do without.
    from lightning.pytorch import LightningDataModule
    from torch import nn
    from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

    from places.data import WebDataset
    from places.data.image_files import ImageFiles
    from places.data.places365 import Places365
    from places.models import VGG, ResNet

    alternatives: list[tuple[str, type, tuple[type, ...]]] = [
        ("--data", LightningDataModule, (Places365, ImageFiles, WebDataset)),
        ("--model.net", nn.Module, (ResNet, VGG)),
        ("--model.optimizer", Optimizer, (SGD, AdamW, Adam, RMSprop)),
    ]
    for flag, base, kinds in alternatives:
        is_one = kind in kinds or (base is Optimizer and _is_subclass(kind, base))
        for other in kinds if is_one else ():
            if name.partition(".")[0] in inspect.signature(other).parameters:
                return f"{flag} {nearest_class(other.__name__, base)}"
    return None


def takes_of(annotation: object) -> str:
    """Return in words which classes an option takes, for an annotation that is made of classes."""
    names = [kind.__name__ for kind in _classes_in(annotation) if kind.__name__ != "Tensor"]
    if not names:
        return "the name of a class, or its path as in Python"
    return (
        f"a subclass of {' or '.join(dict.fromkeys(names))}, by its name or its path as in Python"
    )


def option_for(typed: str) -> str | None:
    """Return the option that takes a class which was given to another one.

    Args:
        typed: A name or a path of a class.
    """
    from lightning.pytorch import Callback, LightningDataModule, LightningModule
    from lightning.pytorch.loggers import Logger
    from torch import nn
    from torch.optim import Optimizer

    # A LightningModule is an nn.Module, too.
    options = [
        ("--model", LightningModule),
        ("--data", LightningDataModule),
        ("--model.optimizer", Optimizer),
        ("--trainer.callbacks", Callback),
        ("--trainer.logger", Logger),
        ("--model.net", nn.Module),
    ]
    name = typed.rpartition(".")[2]
    for option, base in options:
        if any(kind.__name__ == name for kind in _subclasses(base)):
            return f"{option} {typed}"
    return None


def other_stage(typed: str, names: Collection[str]) -> str | None:
    """Return the command that has a group of options which this one lacks.

    Args:
        typed: What was typed, parts joined by dots.
        names: The options there are.
    """
    group, dot, _ = typed.partition(".")
    is_known = any(name.startswith(f"{group}.") for name in names)
    return None if is_known or not dot else _COMMANDS.get(group)


def nearest_class(typed: str, annotation: object) -> str | None:
    """Return the name of the class that was probably meant, as it can be typed.

    Args:
        typed: A name or a path of a class.
        annotation: The type of the option: a class, or something that is made of classes.
    """
    by_name: dict[str, list[type]] = {}
    for base in _classes_in(annotation):
        for kind in _subclasses(base):
            if not kind.__name__.startswith("_"):
                by_name.setdefault(kind.__name__, []).append(kind)
    name = typed.rpartition(".")[2]
    meant = name if name in by_name else _closest(name, by_name)
    if meant is None:
        return None
    kinds = by_name[meant]
    ours = [kind for kind in kinds if kind.__module__.startswith("places.")]
    is_ambiguous = len(set(kinds)) > 1 or "." in typed
    return short_path((ours or kinds)[0]) if is_ambiguous else meant


def short_path(kind: type) -> str:
    """Return the shortest path by which a class can be imported: `places.models.ResNet`."""
    packages = kind.__module__.split(".")
    for end in range(1, len(packages) + 1):
        module = ".".join(packages[:end])
        if getattr(sys.modules.get(module), kind.__name__, None) is kind:
            return f"{module}.{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_subclass(kind: type | None, base: type) -> bool:
    return kind is not None and issubclass(kind, base)


def _ends_with(key: str, name: str) -> bool:
    return key == name or key.endswith(f".{name}")


def _closest(word: str, choices: Collection[str]) -> str | None:
    found = difflib.get_close_matches(word, choices, n=1, cutoff=_CLOSE)
    if not found:  # the right letters in capitals or small
        found = [choice for choice in choices if choice.lower() == word.lower()]
    return found[0] if found else None


def _by_last_part(typed: str, names: Collection[str]) -> str | None:
    # The start of the way may have been left out: --batch_size for --data.batch_size.
    ends = {name.rpartition(".")[2]: name for name in sorted(names, reverse=True)}
    last = typed.rpartition(".")[2]
    found = difflib.get_close_matches(last, ends, n=1, cutoff=0.85)
    return ends[found[0]] if found else None


def _classes_in(annotation: object) -> Iterator[type]:
    for part in get_args(annotation):
        if not isinstance(part, list):  # what a callable takes
            yield from _classes_in(part)
    packages = ("lightning", "places", "torch")
    if inspect.isclass(annotation) and annotation.__module__.partition(".")[0] in packages:
        yield annotation


def _subclasses(base: type[Any]) -> set[type]:
    return {base}.union(*(_subclasses(kind) for kind in type.__subclasses__(base)))
