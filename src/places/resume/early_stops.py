"""Trainings that end before their epochs are over, or have nothing left to do."""

from collections.abc import Iterator

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, Timer
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from places.console import counted, say


class EarlyStops(Callback):
    """Says why a training ended, and lets one that `EarlyStopping` has ended stay so when resumed.

    Lightning would train another epoch each time, and takes the patience from the checkpoint,
    whatever is asked for. Why it ends it writes to a log that nobody sees.
    """

    _has_begun = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note the patience; the state comes from the checkpoint after this."""
        self._patience = [each.patience for each in _early_stopping(trainer)]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the training at once if it has ended already."""
        self._has_begun = True
        for each, patience in zip(_early_stopping(trainer), self._patience, strict=True):
            each.patience = patience
            trainer.should_stop |= _has_stopped(each)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say whether it ended early."""
        for each in _early_stopping(trainer):
            if _has_stopped(each):
                say(f"ended early: {each.stopping_reason_message}")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say whether time ran out or nothing was left to do; then perhaps no training began."""
        for timer in (each for each in trainer.callbacks if isinstance(each, Timer)):  # type: ignore[attr-defined]  # undeclared
            left_s = timer.time_remaining()
            if left_s is not None and left_s <= 0:
                say("ended by trainer.max_time; with a longer one it goes on:  --ckpt_path last")
                return
        if not self._has_begun and trainer.global_step:
            done = counted(trainer.current_epoch, "epoch")
            say(f"nothing was left to do after {done}; more:  --trainer.max_epochs N")


def _early_stopping(trainer: Trainer) -> Iterator[EarlyStopping]:
    return (each for each in trainer.callbacks if isinstance(each, EarlyStopping))  # type: ignore[attr-defined]  # undeclared


def _has_stopped(callback: EarlyStopping) -> bool:
    reason = callback.stopping_reason
    if reason == EarlyStoppingReason.PATIENCE_EXHAUSTED:
        return callback.wait_count >= callback.patience  # it may be given more
    return reason != EarlyStoppingReason.NOT_STOPPED
