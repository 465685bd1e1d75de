"""The one way `places` reports a user's mistake: what is wrong, what was seen, what to type."""


class PlacesError(Exception):
    """A mistake the user can correct; shown without a traceback, exit code 2.

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
