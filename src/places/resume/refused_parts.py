"""Callbacks of Lightning with which a resumed run would not be the same, refused before it starts.

`tests/integration/test_lightning_parts.py` tries all others.
"""

from collections.abc import Iterable

from lightning.pytorch.callbacks import (
    BaseFinetuning,
    BatchSizeFinder,
    Callback,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    OnExceptionCheckpoint,
    SpikeDetection,
    StochasticWeightAveraging,
    Timer,
    WeightAveraging,
)

from places.checkpoints.runs import is_resume_point
from places.errors import ConfigError
from places.lightning_internals import filenames_of

# Of each class, and those derived from it: why, and what to do instead.
REFUSED: dict[type, tuple[str, str]] = {
    BaseFinetuning: (
        "it adds weights to the optimizer in mid-course, and a resumed run finds another one",
        "train all weights from those of a file:  --model.weights FILE, --model.replace_head true",
    ),
    BatchSizeFinder: (
        "another batch size is another order of the pictures and another result",
        "give the one that fits:  --data.batch_size",
    ),
    LearningRateFinder: (
        "it trains before the training, and the model has no attribute `lr` for what it finds",
        "give the rate:  --model.optimizer.lr",
    ),
    ModelPruning: (
        "it renames the weights, so that no checkpoint fits the network",
        "prune the network after its training",
    ),
    OnExceptionCheckpoint: (
        "a later run would resume from an old file of it, unasked and not exactly",
        "every run keeps resume points:  --resume.every_minutes, --ckpt_path last",
    ),
    SpikeDetection: (
        "Lightning cannot restore its state, so no run with it can be resumed",
        "a loss that is NaN or infinite ends every run; clip:  --trainer.gradient_clip_val",
    ),
    StochasticWeightAveraging: (
        "it replaces the schedule, and a resumed run cannot restore that",
        "average the weights:  --model.average_decay 0.9999",
    ),
    Timer: (
        "its options cannot be written into the record of the run",
        "end by the clock:  --trainer.max_time 00:12:00:00",
    ),
    WeightAveraging: (
        "it exchanges the weights for each validation, and a resumed run scores otherwise",
        "average the weights:  --model.average_decay 0.9999",
    ),
}


def check_callbacks(kinds: Iterable[type[Callback]]) -> None:
    """Refuse a callback with which a resumed run would not be the same.

    Args:
        kinds: The classes of those that were asked for.

    Raises:
        ConfigError: With the class and the reason.
    """
    for kind in kinds:
        for refused, (reason, hint) in REFUSED.items():
            if issubclass(kind, refused):
                raise ConfigError(f"{kind.__name__} cannot be used: {reason}", hint)


def check_checkpoint(callback: ModelCheckpoint) -> None:
    """Refuse one that would write files from which a run could resume unasked and not exactly.

    Raises:
        ConfigError: With the name or the option.
    """
    if callback.save_on_exception:
        reason, hint = REFUSED[OnExceptionCheckpoint]
        raise ConfigError(f"save_on_exception true cannot be used: {reason}", hint)
    for name in filenames_of(callback):
        if is_resume_point(name):
            raise ConfigError(
                f"{type(callback).__name__} would write files named like resume points: {name}",
                "they are written between two batches, and  --ckpt_path last  resumes from them",
                "give it another  filename; leave out  save_last, of which there is no need",
            )
