"""Values of the trainer that Lightning takes, and that are found wrong only while it trains."""

import math

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
    strategy = trainer.get("strategy")
    if isinstance(strategy, str) and any(word in strategy for word in _STARTED_OTHERWISE):
        raise ConfigError(
            f"trainer.strategy {strategy} cannot be used: it copies a run that has begun",
            "each process starts on its own with:  --trainer.strategy ddp",
        )
