"""The parser of the tool commands: plain argparse with errors that are instructions."""

import argparse
from typing import NoReturn

from places.errors import ConfigError


class ToolParser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `ConfigError` and takes no abbreviations.

    jsonargparse's `auto_cli` has no form for `SOURCE... --root ROOT`, hence argparse.

    Args:
        command: The words that call the command, such as "places pack".
        description: What the command does.
    """

    def __init__(self, command: str, description: str) -> None:
        super().__init__(
            prog=command,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Refuse what was typed.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(message, f"options:  {self.prog} --help")
