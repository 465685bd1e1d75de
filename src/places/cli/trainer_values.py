"""Values of the trainer that Lightning takes, and that are found wrong only while it trains."""

import math
from contextlib import suppress

from jsonargparse import Namespace

from places.config.ranges import check_range
from places.errors import ConfigError

# The smallest values that mean something. Lightning divides by some of them, and clips the
# gradients by a negative one, which turns them round.
_SMALLEST = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "gradient_clip_val": 0,
    "log_every_n_steps": 0,
    "min_epochs": 0,
    "min_steps": 0,
    "reload_dataloaders_every_n_epochs": 0,
    "num_sanity_val_steps": -1,
    "fast_dev_run": 0,
}
_NOT_ZERO = {
    "val_check_interval": "to validate less often:  --trainer.check_val_every_n_epoch N",
    "limit_train_batches": "it would train nothing; to score only:  places validate",
}
_LIMITS = [f"limit_{kind}_batches" for kind in ("train", "val", "test", "predict")]
_STARTED_OTHERWISE = ("spawn", "fork", "notebook")


def check_trainer_values(trainer: Namespace, stage: str) -> None:
    """Refuse values with which a run would fail later, or do nothing.

    Args:
        trainer: The options of the trainer.
        stage: The command.

    Raises:
        ConfigError: With the smallest value, or with what to type.
    """
    for name, smallest in _SMALLEST.items():
        value = trainer.get(name)
        if isinstance(value, int | float):
            check_range(f"trainer.{name}", value, smallest, math.inf)
    for name, hint in _NOT_ZERO.items() if stage == "fit" else ():
        value = trainer.get(name)
        if isinstance(value, int | float) and value == 0:
            raise ConfigError(f"trainer.{name} must not be 0", hint)
    for name in _LIMITS:
        _check_limit(name, trainer.get(name))
    _check_devices(trainer.get("devices"))
    strategy = trainer.get("strategy")
    if isinstance(strategy, str) and any(word in strategy for word in _STARTED_OTHERWISE):
        raise ConfigError(
            f"trainer.strategy {strategy} cannot be used: it copies a run that has begun",
            "each process starts on its own with:  --trainer.strategy ddp",
        )


def _check_limit(name: str, value: object) -> None:
    """Refuse a number of batches below 0, and what is no share of them."""
    highest = 1.0 if isinstance(value, float) else math.inf
    if isinstance(value, int | float) and not 0 <= value <= highest:
        raise ConfigError(
            f"trainer.{name} must be a number of batches, or a share from 0.0 to 1.0, not {value}"
        )


def _check_devices(value: object) -> None:
    """Refuse a number of devices with which nothing could run; what is no number is Lightning's."""
    with suppress(TypeError, ValueError):
        num = len(value) if isinstance(value, list) else int(str(value))
        if num < -1 or num == 0:
            shown = value if value != [] else "[]"
            raise ConfigError(f"trainer.devices must be 1 or more, or -1 for all, not {shown}")


def check_parts_are_on(trainer: Namespace) -> None:
    """Refuse switches that would take away what every run of `places` has.

    Raises:
        ConfigError: The message says what to type instead.
    """
    if trainer.barebones:
        raise ConfigError(
            "trainer.barebones is for measuring: it leaves no scores, logs and checkpoints",
            "what they cost:  places bench step",
        )
    if trainer.enable_checkpointing is False:
        raise ConfigError(
            "trainer.enable_checkpointing false would lose the weights at the end",
            "to keep only the last:  --checkpoint.save_top_k 0",
            "to try without files:   --trainer.fast_dev_run true",
        )
