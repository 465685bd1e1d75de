"""Trainings that Lightning's `EarlyStopping` has ended."""

from collections.abc import Iterator

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from places.console import say


class EarlyStops(Callback):
    """Lets a training that `EarlyStopping` has ended stay so when it is resumed, and says why.

    Lightning would train another epoch each time, and takes the patience from the checkpoint,
    whatever is asked for.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note the patience; the state comes from the checkpoint after this."""
        self._patience = [each.patience for each in _early_stopping(trainer)]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the training at once if it has ended already."""
        for each, patience in zip(_early_stopping(trainer), self._patience, strict=True):
            each.patience = patience
            trainer.should_stop |= _has_stopped(each)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say why it ended, of which Lightning writes to a log that nobody sees."""
        for each in _early_stopping(trainer):
            if _has_stopped(each):
                say(f"ended early: {each.stopping_reason_message}")


def _early_stopping(trainer: Trainer) -> Iterator[EarlyStopping]:
    return (each for each in trainer.callbacks if isinstance(each, EarlyStopping))  # type: ignore[attr-defined]  # undeclared


def _has_stopped(callback: EarlyStopping) -> bool:
    reason = callback.stopping_reason
    if reason == EarlyStoppingReason.PATIENCE_EXHAUSTED:
        return callback.wait_count >= callback.patience  # it may be given more
    return reason != EarlyStoppingReason.NOT_STOPPED
