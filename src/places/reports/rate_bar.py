"""The progress bar of `predict`, with its rate."""

import math
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

from places.console import Counter, progress


class RateBar(ProgressBar):
    """Shows how many pictures of `predict` are classified, how fast, and how long the rest takes.

    On a terminal that is a bar, else a line every ten seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown = ExitStack()
        self._counter: Counter | None = None
        self._is_enabled = True

    def disable(self) -> None:
        """Show nothing: Lightning asks for it on all processes but the first."""
        self._is_enabled = False

    def enable(self) -> None:
        """Show it again."""
        self._is_enabled = True

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin."""
        self._done = self._total = 0
        self._shown.close()
        if self._is_enabled and trainer.is_global_zero:
            self._counter = self._shown.enter_context(progress("predict", 0, "pictures"))

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # of any network
        batch: Any,  # noqa: ANN401  # of any data
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the pictures of a batch, those of the other processes too."""
        keys = batch.get("key") if isinstance(batch, Mapping) else None
        if self._counter is None or keys is None:
            return
        num_batches = sum(trainer.num_predict_batches)  # infinite for data without a length
        num_left = num_batches - batch_idx - 1 if math.isfinite(num_batches) else 1
        num = trainer.world_size * sum(key != "" for key in keys)
        self._done += num
        # The first batch may be smaller, so this is known better and better.
        total = self._done + round(num_left * len(keys) * trainer.world_size)
        self._counter.expect(total - self._total)
        self._total = total
        self._counter.advance(num)
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

    def _end(self) -> None:
        self._counter = None
        self._shown.close()
