"""Which networks and ways are meant by the words of a command line."""

import ast
import difflib
import importlib
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from places.config.num_classes import call_with_num_classes
from places.errors import ConfigError
from places.models.listing import NETWORKS

MAX_CHOICES = 200  # of one option


@dataclass(frozen=True)
class Choice:
    """A network that was asked for.

    Attributes:
        name: As it was typed.
        class_path: The class, or the function, that makes it.
        init_args: Its arguments beside the number of classes.
        paper: Who published it, if that is known.
    """

    name: str
    class_path: str
    init_args: Mapping[str, Any]
    paper: str | None

    def build(self, num_classes: int, device: torch.device) -> nn.Module:
        """Return the network on a device, with the same random weights each time.

        Args:
            num_classes: Width of its last layer.
            device: Where it is made: on a GPU random weights take no time.

        Raises:
            Exception: Whatever its code raises, or TypeError if it makes no network.
        """
        made = _imported(self.class_path)
        with torch.random.fork_rng(devices=[]), device:
            torch.manual_seed(0)
            net = call_with_num_classes(partial(made, **self.init_args), num_classes)
        if not isinstance(net, nn.Module):
            raise TypeError(f"{self.class_path} makes a {type(net).__name__}, no network")
        return net.to(device)


def find_network(text: str) -> Choice:
    """Return the network that a word names.

    Args:
        text: A name such as "resnet50", or a class path such as "torchvision.models.convnext_tiny";
            either may have arguments, as in "places.models.ResNet(depth=18, blur_pool=True)".

    Raises:
        ConfigError: There is none of this name, or it cannot be imported.
    """
    name, arguments = _parsed(text)
    if name in NETWORKS:
        network = NETWORKS[name]
        return Choice(text, network.class_path, {**network.init_args, **arguments}, network.paper)
    if "." not in name:
        raise _unknown_network(name)
    try:
        made = _imported(name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"cannot import the network {name}: {error}",
            "type the path of a class that can be imported:  torchvision.models.convnext_tiny",
            "or one of the names that are listed by:  places models",
        ) from error
    _check_makes_networks(name, made)
    return Choice(text, name, arguments, None)


def words_of(option: str, text: str, known: Collection[str] | None = None) -> list[str]:
    """Return the words of an option that takes several, such as "eager,compiled".

    Args:
        option: Its name, for messages.
        text: What was typed; commas between the words, and perhaps brackets around them.
        known: The words that may be, if not any.

    Raises:
        ConfigError: There is none, an unknown one, one twice, or far too many.
    """
    words = [word.strip() for word in text.strip().strip("[]").split(",") if word.strip()]
    if not words:
        raise ConfigError(f"`{option}` names nothing", "commas stand between several words")
    for word in words if known is not None else ():
        assert known is not None
        if word not in known:
            raise unknown_word(option, word, known)
    check_choices(option, words)
    return words


def check_choices(option: str, words: Sequence[str]) -> None:
    """Refuse a word that is there twice, and far too many.

    Raises:
        ConfigError: See there.
    """
    twice = next((word for word in words if words.count(word) > 1), None)
    if twice is not None:
        raise ConfigError(f"`{option}` names {twice} twice")
    if len(words) > MAX_CHOICES:
        raise ConfigError(f"`{option}` names {len(words)} things, at most {MAX_CHOICES} may be")


def numbers_of(option: str, text: str) -> list[int]:
    """Return the numbers of an option that takes several, such as "1,8,32".

    Raises:
        ConfigError: One is no whole number from 1 to 65536, or is there twice.
    """
    words = words_of(option, text)
    for word in words:
        if not (word.isascii() and word.isdigit() and 1 <= int(word[:9]) <= 1 << 16):
            raise ConfigError(
                f"`{option}` takes whole numbers from 1 to 65536, not {word!r}",
                "commas stand between several:  1,8,32",
            )
    return [int(word) for word in words]


def unknown_word(option: str, word: str, known: Collection[str]) -> ConfigError:
    """Return the error about a word that an option does not take."""
    nearest = difflib.get_close_matches(word, known, n=1)
    return ConfigError(
        f"`{option}` takes no {word!r}",
        *(f"nearest:  {name}" for name in nearest),
        f"takes:    {', '.join(known)}",
    )


def _unknown_network(name: str) -> ConfigError:
    nearest = difflib.get_close_matches(name.lower(), NETWORKS, n=3)
    few = ", ".join(nearest or list(NETWORKS)[:8])
    return ConfigError(
        f"no network is called {name!r}",
        f"{'nearest' if nearest else 'some are'}:  {few}",
        "all names:  places models",
        "any other by its class path:  torchvision.models.convnext_tiny",
    )


def _parsed(text: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the arguments in words such as "resnet50(blur_pool=True)"."""
    name, bracket, _ = text.partition("(")
    if all(part.isidentifier() for part in name.split(".")):
        if not bracket:
            return name, {}
        try:
            call = ast.parse(text, mode="eval").body
            if isinstance(call, ast.Call) and not call.args:
                # `**table` has no name, and no literal would be one.
                return name, {str(x.arg): ast.literal_eval(x.value) for x in call.keywords if x.arg}
        except (SyntaxError, ValueError):
            pass
    raise ConfigError(
        f"{text!r} is no network",
        "type a name, a class path, or one with arguments in quotes:",
        "'places.models.ResNet(depth=18, zero_init_residual=True)'",
    )


def _check_makes_networks(name: str, made: object) -> None:
    """Refuse what makes no networks, and the standard library, by whatever way it is reached.

    Raises:
        ConfigError: See there.
    """
    is_class = isinstance(made, type)
    if not (issubclass(made, nn.Module) if isinstance(made, type) else callable(made)):
        what = "class of networks" if is_class else "class or function that makes a network"
        raise ConfigError(f"{name} is no {what}", "type one:  torchvision.models.convnext_tiny")
    package = str(getattr(made, "__module__", "")).partition(".")[0]
    if package in sys.stdlib_module_names:
        raise ConfigError(f"{name} belongs to the standard library, which has no networks")


def _imported(path: str) -> Callable[..., Any]:
    """Return what a dotted path names.

    Raises:
        ConfigError: It belongs to the standard library.
        ImportError: There is no such module.
        AttributeError: Nothing in it is called so.
    """
    parts = path.split(".")
    if parts[0] in sys.stdlib_module_names:
        raise ConfigError(f"{path} belongs to the standard library, which has no networks")
    found: Any = importlib.import_module(parts[0])
    for end, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            try:
                importlib.import_module(".".join(parts[:end]))
            except ModuleNotFoundError as error:
                raise AttributeError(f"{'.'.join(parts[: end - 1])} has no {part}") from error
        found = getattr(found, part)
    made: Callable[..., Any] = found
    return made
