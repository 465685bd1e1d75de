"""How fast a training goes and how long it waits for pictures, logged beside its losses."""

import time
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from places.lightning_internals import log_every_n_steps


class Rates(Callback):
    """Logs the learning rate, pictures per second and the share of time spent waiting for data.

    `train/learning_rate` is that of the first group of weights in this step.
    `time/images_per_second` counts the pictures of all processes since the last log, without
    validation and checkpoints. `time/waiting_share`, in 0..1, is the part of that time in which the
    first process waited for its next batch and its way to the device. The device is never waited
    for: on a GPU, work that is still queued counts for the next steps.
    """

    def __init__(self) -> None:
        self._waited_s = self._worked_s = self._since_s = 0.0
        self._num_images = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for the first batch of the epoch from here on."""
        self._since_s = time.monotonic()

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,  # noqa: ANN401  # Lightning's type
        batch_idx: int,
    ) -> None:
        """Take the time that was waited."""
        self._waited_s += self._lap_s()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Every few steps, log what was measured."""
        every = log_every_n_steps(trainer)
        if not every or (trainer.global_step + 1) % every:
            return
        pl_module.log("train/learning_rate", optimizer.param_groups[0]["lr"])
        whole_s = self._waited_s + self._worked_s
        if self._num_images and whole_s > 0:
            pl_module.log("time/images_per_second", self._num_images / whole_s)
            pl_module.log("time/waiting_share", self._waited_s / whole_s)
        self._waited_s = self._worked_s = 0.0
        self._num_images = 0

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # Lightning's type
        batch: Any,  # noqa: ANN401  # likewise
        batch_idx: int,
    ) -> None:
        """Count the pictures of a step."""
        self._worked_s += self._lap_s()
        if isinstance(batch, Mapping) and "image" in batch:
            self._num_images += len(batch["image"]) * trainer.world_size

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave out the time of a validation."""
        self._since_s = time.monotonic()

    def _lap_s(self) -> float:
        now_s = time.monotonic()
        lap_s, self._since_s = now_s - self._since_s, now_s
        return lap_s
