"""Resume points: checkpoints from which a run resumes exactly, however it was ended."""

import signal
import time
from functools import partial
from itertools import chain
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from places.config.ranges import check_range
from places.endings import signals
from places.errors import CheckpointError
from places.files import keep_as
from places.lightning_internals import (
    ignore_signals,
    is_started_by_lightning,
    is_trial,
    number_logs_by_steps,
    reopen_epoch,
)
from places.processes import Agreement, run_folder
from places.resume.between_batches import before_each_batch

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
# After these the run is gone on with by a launcher, which may wait; Ctrl-C is for now.
_OF_LAUNCHERS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


class ResumePoints(Checkpoint):
    """Keeps `checkpoints/last.ckpt`, and the one before as `previous.ckpt`.

    A resume point is written between two batches, when the gradients of a step are not half
    accumulated and all metrics are in their files: before the first batch of the process and of
    each epoch; and when SIGTERM, SIGUSR1, SIGHUP or Ctrl-C comes, after which the run ends with
    status 143, 138, 129 or 130.
    The last is written at the end of the training.

    Args:
        every_n_steps: Write one every so many optimizer steps; 0 for none.
        every_minutes: Write one when the last is so many minutes old; 0 for none.
        keep_all: Keep each as `step-<number>.ckpt` too.
        agree_every_n_batches: Number of batches after which all processes tell each other of
            signals and of the time.
    """

    def __init__(
        self,
        every_n_steps: int = 0,
        every_minutes: float = 10.0,
        keep_all: bool = False,
        agree_every_n_batches: int = 10,
    ) -> None:
        check_range("resume.every_n_steps", every_n_steps, 0)
        check_range("resume.every_minutes", every_minutes, 0)
        self.every_n_steps = every_n_steps
        self.every_minutes = every_minutes
        self.keep_all = keep_all
        self.agree_every_n_batches = agree_every_n_batches
        self._has_ended = False
        self._num_batches = 0
        self._number = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen to the batches, and let Lightning not listen to signals."""
        ignore_signals(trainer)
        self._folder = run_folder(trainer) / "checkpoints"
        if stage == "fit":
            signals.advise(self._advice(trainer))
            before_each_batch(trainer, partial(self._between_batches, trainer))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse to resume from different checkpoints on different processes.

        Raises:
            CheckpointError: With the files.
        """
        first = trainer.strategy.broadcast(trainer.ckpt_path)
        if str(first) != str(trainer.ckpt_path):
            raise CheckpointError(
                f"process {trainer.global_rank} would resume from {trainer.ckpt_path}",
                f"process 0 resumes from {first}",
                "name the file:  --ckpt_path FILE",
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note signals from now on. Before, they end the process: there is nothing to save yet."""
        signals.note(signal.SIGINT, *_OF_LAUNCHERS)
        self._agreement = Agreement(trainer.world_size)
        self._seen_step = self._saved_step = trainer.global_step
        self._saved_at_s = time.monotonic()
        self._is_first = self._is_due = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have a resume point written before the first batch.

        Not when the epoch before ends: with `max_steps` Lightning would leave out this one.
        """
        self._is_first = self._is_due = True

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let Ctrl-C end a validation at once; other signals wait for its end."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            signals.note(*_OF_LAUNCHERS)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note Ctrl-C again."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            signals.note(signal.SIGINT, *_OF_LAUNCHERS)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the final state, unless the time ended between the batches of one step."""
        self._has_ended = True
        if trainer.global_step > self._seen_step:
            self._save(trainer)
        signals.note(*_OF_LAUNCHERS)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let a training that has ended be resumed, if it is given more steps or time."""
        if self._has_ended:
            reopen_epoch(checkpoint["loops"]["fit_loop"], trainer.num_training_batches)

    def _between_batches(self, trainer: Trainer) -> None:
        if self._num_batches == 0:
            number_logs_by_steps(trainer)
        # No optimizer step since the last batch: gradients are half accumulated.
        is_whole = self._is_first or trainer.global_step > self._seen_step
        self._seen_step, self._is_first = trainer.global_step, False
        number = self._agree(trainer)
        if is_whole and number:
            signals.take_time()
        if is_whole and (self._is_due or number):
            self._save(trainer)
        if is_whole and number:
            how = "interrupted" if number == signal.SIGINT else f"stopped by signal {number}"
            signals.say_last(f"{how} after step {trainer.global_step}: {self._advice(trainer)}")
            # Lightning takes any other status of a process that it started for a failure.
            raise SystemExit(0 if is_started_by_lightning(trainer) else 128 + number)

    def _agree(self, trainer: Trainer) -> int:
        """Let all processes agree whether to write a resume point, and on a signal, or 0."""
        every = self.every_n_steps
        if every and trainer.global_step // every > self._saved_step // every:
            self._is_due = True
        if self._num_batches % (self.agree_every_n_batches if trainer.world_size > 1 else 1) == 0:
            age_s = time.monotonic() - self._saved_at_s
            is_old = 0 < 60 * self.every_minutes <= age_s
            any_old, self._number = self._agreement.largest([is_old, signals.received()])
            self._is_due |= bool(any_old)
        self._num_batches += 1
        return self._number

    def _save(self, trainer: Trainer) -> None:
        self._is_due = False
        # Statistics of batch norms differ between processes, and so may what is broken.
        is_broken = not _has_finite_weights(trainer.lightning_module)
        if is_trial(trainer) or self._agreement.largest([is_broken])[0]:
            return
        # A run that is resumed from here does not log again what was logged up to here.
        for logger in trainer.loggers:
            logger.save()
        last = self._folder / LAST
        if trainer.is_global_zero and last.is_file():
            keep_as(last, self._folder / PREVIOUS)
        trainer.save_checkpoint(last)
        if trainer.is_global_zero and self.keep_all:
            keep_as(last, self._folder / f"step-{trainer.global_step}.ckpt")
        self._saved_step, self._saved_at_s = trainer.global_step, time.monotonic()
        signals.advise(f"{self._advice(trainer)}, of step {trainer.global_step}")

    def _advice(self, trainer: Trainer) -> str:
        """Return how to go on, if the run ends now."""
        last = self._folder / LAST
        file = last if last.is_file() else trainer.ckpt_path
        return f"resume with  --ckpt_path {file}" if file else "nothing is saved"


def _has_finite_weights(module: LightningModule) -> bool:
    """Return whether all weights and buffers are numbers. Waits for the device."""
    tensors = chain(module.parameters(), module.buffers())
    finite = [tensor.detach().isfinite().all() for tensor in tensors]
    return bool(torch.stack(finite).all()) if finite else True
