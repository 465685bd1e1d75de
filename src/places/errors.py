"""The one way `places` reports a user's mistake: what is wrong, what was seen, what to type."""

import re
from collections.abc import Collection


def with_prefix(error: "PlacesError", prefix: str, names: Collection[str]) -> "PlacesError":
    """Return an error that names options of a command line instead of arguments in Python.

    Args:
        error: The error; see `PlacesError` for how it names arguments.
        prefix: What the command line puts before their names, such as "--data.". In the message the
            dashes are left out; hints have them, for they say what to type.
        names: The arguments that are options. Other words in backticks stay: libraries use them,
            too, in messages that become ours.
    """

    def named(text: str, prefix: str) -> str:
        return re.sub(rf"`((?:no_)?(?:{'|'.join(names)}))`", rf"{prefix}\1", text)

    hint = (named(line, prefix) for line in error.hint)
    return type(error)(named(error.message, prefix.lstrip("-")), *hint)


class PlacesError(Exception):
    """A mistake the user can correct; shown without a traceback, exit code 2.

    Arguments of the function or class in question are named in backticks, such as `batch_size`. In
    Python they are shown like this; a command line calls `with_prefix`.

    Args:
        message: What is wrong, in one line, with the value seen and where it came from.
        hint: What to look at or type next; each line is printed indented under the message.
    """

    def __init__(self, message: str, *hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message and its indented hints, as printed after `places: error: `."""
        return "\n".join([self.message, *(f"  {line}" for line in self.hint)])


class DataError(PlacesError):
    """Something is wrong with archives, shards, manifests or pictures."""


class StorageError(DataError):
    """A disk, a network or a limit of the system fails: no sample is to blame, none is skipped."""


class ConfigError(PlacesError):
    """Something is wrong with a recipe, an option or a flag."""


class CheckpointError(PlacesError):
    """A checkpoint or weight file cannot be used as asked."""


class LostProcessError(PlacesError):
    """Another process of the run has ended; what this one knows of it."""
