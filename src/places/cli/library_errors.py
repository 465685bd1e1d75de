"""What other libraries raise while a run is built or goes on, as what a user can do about it."""

import re
from inspect import signature

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer

from places.endings.family import KILLED
from places.errors import ConfigError, LostProcessError, PlacesError

# Where jsonargparse tried several types, the reason why the first of them did not fit.
_REASON = re.compile(r"Errors:\n\s*- (.+)")
# Of Lightning, after the first epoch.
_EARLY = re.compile(
    r"Early stopping conditioned on metric `(?P<metric>.*?)` which is not available\. .*"
    r"any of the following: (?P<known>.*)"
)
_BEST = re.compile(
    r"`ModelCheckpoint\(monitor=(?P<metric>'.*?')\)` could not find .* metrics: \[(?P<known>.*?)\]"
)
_OPTION_FIRST = re.compile(r"`(\w+)`(.*)")
_NO_DEVICE = re.compile(r"No supported gpu backend|can not run on your system")
# What gloo and NCCL say when another process has ended.
_LOST = re.compile("gloo/.*(closed by peer|reset by peer|Broken pipe)|ncclRemoteError")


def mistake_behind(error: Exception) -> PlacesError | None:
    """Return what to tell the user in place of an error, if it is one that the user can correct."""
    if isinstance(error, MisconfigurationException):
        return _misconfigured(error)
    if isinstance(error, PlacesError | ValueError):
        return _wrapped(error) or _of_trainer(error)
    if isinstance(error, RuntimeError):
        return _while_running(error)
    return _of_service(error)


def mistake_in_building(error: Exception) -> PlacesError:
    """Return what to tell the user where a network, a data module or the trainer was not built."""
    reason = _REASON.search(str(error))
    return mistake_behind(error) or ConfigError(reason[1] if reason else first_line(error))


def _misconfigured(error: Exception) -> PlacesError:
    text = str(error)
    if _NO_DEVICE.search(text):
        return ConfigError(
            f"trainer.accelerator: {first_line(error).partition('. The following')[0]}",
            "see what there is:  places doctor",
            "or go without:      --trainer.accelerator cpu",
        )
    if best := _BEST.match(text):  # of a metric that only a user's class logs
        known = best["known"].replace("'", "")
        return ConfigError(
            f"the best checkpoint is chosen by {best['metric']}, which nobody logs",
            f"there are:  {known}",
            "name one:   --checkpoint.monitor val/loss --checkpoint.mode min",
        )
    return _of_trainer(error) or ConfigError(first_line(error))


def _while_running(error: RuntimeError) -> PlacesError | None:
    if stopping := _EARLY.match(str(error)):  # likewise
        return ConfigError(
            f"EarlyStopping watches {stopping['metric']}, which nobody logs",
            f"there are:  {stopping['known'].replace('`', '')}",
            "name one:   --trainer.callbacks.monitor val/loss",
        )
    if _LOST.search(str(error)):
        return LostProcessError("another process of this run has ended", KILLED)
    return _of_service(error)


def _of_service(error: Exception) -> PlacesError | None:
    service = type(error).__module__.partition(".")[0]
    if service == "wandb":
        return ConfigError(
            f"Weights & Biases: {first_line(error)}",
            "log in:             wandb login",
            "without a network:  put  WANDB_MODE=offline  before  places",
        )
    if service == "mlflow":
        return ConfigError(
            f"MLflow: {first_line(error)}",
            "where it logs to:  --trainer.logger.tracking_uri URL, or MLFLOW_TRACKING_URI",
        )
    return None


def _of_trainer(error: Exception) -> PlacesError | None:
    """Return what Lightning found wrong with an option of its trainer, which it names first."""
    option = _OPTION_FIRST.match(first_line(error))
    if option is None or option[1] not in signature(Trainer).parameters:
        return None
    return ConfigError(f"trainer.{option[1]}{option[2]}")


def _wrapped(error: BaseException | None) -> PlacesError | None:
    # jsonargparse wraps what the constructors of our classes raise.
    while error is not None and not isinstance(error, PlacesError):
        error = error.__cause__ or error.__context__
    return error


def first_line(error: Exception) -> str:
    """Return the first line of what an error says; its class where it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
