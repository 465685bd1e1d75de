"""The progress bar of the four stages, with rate and time left."""

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.trainer.states import TrainerFn

from places.classifier import SceneClassifier
from places.console import Counter, counted, progress, say

_S_PER_LINE = 30.0  # of a training without a terminal
_S_PER_READING = 2.0  # of the scores of an evaluation: each waits for the device


class Bar(ProgressBar):
    """Shows how many pictures are done, how fast, how long the rest takes, and the last scores.

    On a terminal that is a bar, else a line now and then. Nothing is read from the device for a
    training: loss and accuracy are those that were logged last. Of an evaluation it shows the
    accuracies so far of the first process, read once in a few seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown = ExitStack()
        self._counter: Counter | None = None
        self._is_enabled = True
        self._done = self._total = 0
        self._scores: dict[str, float] = {}  # of the last validation
        self._read_s = 0.0

    def disable(self) -> None:
        """Show nothing: Lightning asks for it on all processes but the first."""
        self._is_enabled = False

    def enable(self) -> None:
        """Show it again."""
        self._is_enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a training, and say how large the network is."""
        if self._is_enabled and trainer.is_global_zero:
            num = sum(weight.numel() for weight in pl_module.parameters() if weight.requires_grad)
            say(f"training {counted(num, 'weight')} on {trainer.strategy.root_device}")
        self._begin(trainer, _epoch(trainer), _S_PER_LINE)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the epoch."""
        self._describe(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # of any network
        batch: Any,  # noqa: ANN401  # of any data
        batch_idx: int,
    ) -> None:
        """Count the pictures of a batch."""
        self._count(trainer, batch, _num_left(trainer, batch_idx))
        self._describe(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End."""
        self._end()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin, or say that a training validates."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._describe(trainer, pl_module, is_validating=True)
        else:
            self._begin(trainer, "validate")

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # of any network
        batch: Any,  # noqa: ANN401  # of any data
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the pictures of a batch, unless a training validates."""
        if trainer.state.fn != TrainerFn.FITTING:
            self._tell_scores("validate", pl_module)
            self._count(trainer, batch, _sum(trainer.num_val_batches) - batch_idx - 1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End, or take the scores for the bar of a training."""
        if trainer.state.fn != TrainerFn.FITTING:
            self._end()
        elif self._counter is not None:
            found = trainer.callback_metrics
            self._scores = {name: float(found[name]) for name in ("val/top1",) if name in found}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin."""
        self._begin(trainer, "test")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # of any network
        batch: Any,  # noqa: ANN401  # of any data
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the pictures of a batch."""
        self._tell_scores("test", pl_module)
        self._count(trainer, batch, _sum(trainer.num_test_batches) - batch_idx - 1)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End."""
        self._end()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin."""
        self._begin(trainer, "predict")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # of any network
        batch: Any,  # noqa: ANN401  # of any data
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the pictures of a batch."""
        num_left = _sum(trainer.num_predict_batches) - batch_idx - 1
        self._count(trainer, batch, num_left)
        if num_left <= 0:  # the table is told of after this
            self._end()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End."""
        self._end()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """End, so that what is said of it stands alone."""
        self._end()

    def _begin(self, trainer: Trainer, title: str, s_per_line: float | None = None) -> None:
        self._end()
        self._done = self._total = 0
        self._read_s = time.monotonic()
        if self._is_enabled and trainer.is_global_zero:
            shown = progress(title, 0, "pictures", s_per_line)
            self._counter = self._shown.enter_context(shown)

    def _end(self) -> None:
        self._counter = None
        self._shown.close()

    def _count(self, trainer: Trainer, batch: object, num_left: float) -> None:
        """Count the pictures of a batch, those of the other processes too."""
        keys = batch.get("key") if isinstance(batch, Mapping) else None
        if self._counter is None or keys is None:
            return
        num = trainer.world_size * sum(key != "" for key in keys)
        self._done += num
        # Batches may be smaller than others, so this is known better and better.
        rest = num_left if math.isfinite(num_left) else 1
        total = self._done + round(rest * len(keys) * trainer.world_size)
        self._counter.expect(total - self._total)
        self._total = total
        self._counter.advance(num)

    def _tell_scores(self, title: str, pl_module: LightningModule) -> None:
        """Show the accuracies so far, now and then."""
        if self._counter is None or time.monotonic() - self._read_s < _S_PER_READING:
            return
        self._read_s = time.monotonic()
        if isinstance(pl_module, SceneClassifier) and (num := pl_module.evaluation.count):
            hits = pl_module.evaluation.rank_hits
            note = f"top-1 {hits[0] / num:.1%}, top-{len(hits)} {hits.sum() / num:.1%}"
            self._counter.describe(title, note)

    def _describe(
        self, trainer: Trainer, pl_module: LightningModule, *, is_validating: bool = False
    ) -> None:
        if self._counter is not None:
            means = pl_module.train_means if isinstance(pl_module, SceneClassifier) else {}
            note = "validating" if is_validating else note_of({**means, **self._scores})
            self._counter.describe(_epoch(trainer), note)


def note_of(scores: Mapping[str, float]) -> str:
    """Return the two numbers that matter while a network is trained, as far as they are known."""
    loss, top1 = scores.get("train/loss"), scores.get("val/top1")
    parts = [
        "" if loss is None else f"loss {loss:.3f}",
        "" if top1 is None else f"top-1 {top1:.1%}",
    ]
    return ", ".join(filter(None, parts))


def _epoch(trainer: Trainer) -> str:
    planned = trainer.max_epochs
    of_all = f" of {planned}" if planned is not None and planned > 0 else ""
    return f"epoch {trainer.current_epoch + 1}{of_all}"


def _num_left(trainer: Trainer, batch_idx: int) -> float:
    """Return how many batches of a training are left; of one without an end, of its epoch."""
    per_epoch = float(trainer.num_training_batches)
    num_left = per_epoch - batch_idx - 1
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        num_left += (trainer.max_epochs - trainer.current_epoch - 1) * per_epoch
    if trainer.max_steps > 0:
        num_steps = trainer.max_steps - trainer.global_step
        in_batches = float(num_steps * trainer.accumulate_grad_batches)
        num_left = min(in_batches, num_left) if trainer.max_epochs else in_batches
    return num_left


def _sum(num_batches: list[int | float] | int | float) -> float:
    return float(sum(num_batches)) if isinstance(num_batches, list) else float(num_batches)
