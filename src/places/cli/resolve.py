"""The config that a command line leads to, and the parsers that read it, without running it.

`resolve` is asked by `places config diff` of older revisions, too: its name and what it takes and
returns stay as they are, see `places.cli.configs.worker`.
"""

from collections.abc import Sequence
from typing import Any

import yaml
from lightning.pytorch.cli import ArgsType, LightningArgumentParser

from places.cli.places_cli import PlacesCLI
from places.cli.stage_parser import PlacesParser
from places.cli.stages import quieten


def resolve(words: Sequence[str]) -> dict[str, Any]:
    """Return the config that a command line leads to, with all defaults, and run nothing."""
    quieten()
    try:
        _ResolvingCLI(words)
    except _Resolved as resolved:
        config: dict[str, Any] = resolved.args[0]
        return config
    raise AssertionError("a command line leads to a config or to an error")


class _Resolved(Exception):  # noqa: N818  # no error
    """Ends a command line before anything is built, with the config of the stage."""


class _ResolvingCLI(PlacesCLI):
    def before_instantiate_classes(self) -> None:
        config = yaml.safe_load(self.parser.dump(self.config, skip_unset=False))
        raise _Resolved(config[str(self.subcommand)])


class _Built(BaseException):
    """Ends the set-up of `PlacesCLI` when its parsers are there; nothing has been parsed."""

    def __init__(self, parsers: dict[str, PlacesParser]) -> None:
        super().__init__()
        self.parsers = parsers


class _ParsersOnly(PlacesCLI):
    def __init__(self) -> None:
        super().__init__([])

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        raise _Built(self._stage_parsers)


def stage_parsers() -> dict[str, PlacesParser]:
    """Return the parser of each stage, as `places STAGE` uses it."""
    try:
        _ParsersOnly()
    except _Built as built:
        parsers = built.parsers
    return parsers
