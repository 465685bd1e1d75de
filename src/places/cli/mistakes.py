"""Mistakes that only a library notices: told in a few lines, without a traceback."""

import re

from lightning.fabric.utilities.exceptions import MisconfigurationException

from places.cli.error_messages import lost_process
from places.errors import ConfigError, PlacesError

# Where jsonargparse tried several types, the reason why the first of them did not fit.
_REASON = re.compile(r"Errors:\n\s*- (.+)")


def mistake_behind(error: Exception) -> PlacesError | None:
    """Return what to tell the user in place of an error, if it is one that the user can correct."""
    if isinstance(error, MisconfigurationException):
        return ConfigError(_first_line(error))
    if isinstance(error, ValueError):
        return _wrapped(error)
    if isinstance(error, RuntimeError):
        return lost_process(error)
    if type(error).__module__.partition(".")[0] == "wandb":
        return ConfigError(
            f"Weights & Biases: {_first_line(error)}",
            "log in:             wandb login",
            "without a network:  put  WANDB_MODE=offline  before  places",
        )
    return None


def mistake_in_building(error: Exception) -> PlacesError:
    """Return what to tell the user where a network, a data module or the trainer was not built."""
    reason = _REASON.search(str(error))
    return mistake_behind(error) or ConfigError(reason[1] if reason else _first_line(error))


def _wrapped(error: BaseException | None) -> PlacesError | None:
    # jsonargparse wraps what the constructors of our classes raise.
    while error is not None and not isinstance(error, PlacesError):
        error = error.__cause__ or error.__context__
    return error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
