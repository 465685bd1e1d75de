"""The config that a command line leads to, without running it: what `places config` shows."""

from collections.abc import Sequence
from typing import Any

import yaml

from places.cli.stages import PlacesCLI, quieten


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
