"""The parser of the four stages: errors of at most four lines, with the nearest valid name."""

import difflib
import inspect
import re
from collections.abc import Iterator
from typing import NoReturn

import yaml
from lightning.pytorch.cli import LightningArgumentParser

from places.data.image_files import ImageFiles
from places.errors import ConfigError
from places.models import VGG
from places.recipes import as_typed, flatten

_UNKNOWN_OPTION = [
    re.compile(r"unrecognized arguments: -*(?P<name>[^\s=]+)"),
    re.compile(r"does not accept option '(?P<name>[^']+)'"),
    re.compile(r"Option '(?P<name>[^']+)' is not accepted"),
]
# Classes that the defaults do not name, with where their arguments go.
_OTHER_CLASSES = {"data.": ImageFiles, "model.net.": VGG}


class PlacesParser(LightningArgumentParser):
    """A parser that raises `ConfigError` instead of printing how everything is used."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the error that the command line shows.

        Args:
            message: What argparse or jsonargparse found.
            ex: The exception behind it, if any.

        Raises:
            ConfigError: Always.
        """
        for pattern in _UNKNOWN_OPTION:
            if found := pattern.search(message):
                name = found["name"]
                raise ConfigError(f"no option {name!r}", *self._suggest(name)) from ex
        lines = [line.strip(" -") for line in message.splitlines() if line.strip(" -")]
        lines[0] = re.sub(r"^Parser key \"(.+)\":$", r"wrong value for \1", lines[0])
        raise ConfigError(lines[0], *lines[1:3]) from ex

    def _suggest(self, name: str) -> list[str]:
        names = sorted(set(self._known_names()))
        last = name.rpartition(".")[2]
        # A name inside a class comes without the way to it, so last parts are compared as well.
        nearest = difflib.get_close_matches(name, names, n=2, cutoff=0.75) or [
            known
            for part in difflib.get_close_matches(
                last, {known.rpartition(".")[2] for known in names}, n=1, cutoff=0.6
            )
            for known in names
            if known.rpartition(".")[2] == part
        ]
        command = self.prog.split()[-1]
        hints = [f"nearest:      {', '.join(nearest[:3])}"] if nearest else []
        return [*hints, f"all options:  places {command} --help"]

    def _known_names(self) -> Iterator[str]:
        parsers = [self, *getattr(self, "_subcommand_parsers", {}).values()]
        for parser in parsers:
            defaults = yaml.safe_load(parser.dump(parser.get_defaults(), skip_validation=True))
            for key in flatten(defaults or {}):
                yield as_typed(key)
        for prefix, kind in _OTHER_CLASSES.items():
            for parameter in inspect.signature(kind).parameters:
                yield prefix + parameter
