"""Trainings that end before their epochs are over, or have nothing left to do."""

from collections.abc import Iterator

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, Timer
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from places.console import counted, say
from places.lightning_internals import is_trial


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
        """Say what else ended it, or that nothing was left to do; then perhaps no training began.

        That all epochs were trained goes without saying.
        """
        if is_trial(trainer):  # ends after its few steps
            return
        has_all_steps = 0 <= trainer.max_steps <= trainer.global_step
        if _is_out_of_time(trainer):
            say("ended by trainer.max_time; with a longer one it goes on:  --ckpt_path last")
        elif not self._has_begun:
            done = counted(trainer.current_epoch, "epoch")
            more = "--trainer.max_steps N" if has_all_steps else "--trainer.max_epochs N"
            say(f"nothing was left to do after {done}; more:  {more}")
        elif has_all_steps:
            say(f"ended by trainer.max_steps after {counted(trainer.global_step, 'step')}")
        elif trainer.should_stop and not any(map(_has_stopped, _early_stopping(trainer))):
            done = counted(trainer.current_epoch, "epoch")
            say(f"ended early, after {done}: a callback or the model set trainer.should_stop")


def _is_out_of_time(trainer: Trainer) -> bool:
    timers = (each for each in trainer.callbacks if isinstance(each, Timer))  # type: ignore[attr-defined]  # undeclared
    left_s = (timer.time_remaining() for timer in timers)
    return any(left is not None and left <= 0 for left in left_s)


def _early_stopping(trainer: Trainer) -> Iterator[EarlyStopping]:
    return (each for each in trainer.callbacks if isinstance(each, EarlyStopping))  # type: ignore[attr-defined]  # undeclared


def _has_stopped(callback: EarlyStopping) -> bool:
    reason = callback.stopping_reason
    if reason == EarlyStoppingReason.PATIENCE_EXHAUSTED:
        return callback.wait_count >= callback.patience  # it may be given more
    return reason != EarlyStoppingReason.NOT_STOPPED
