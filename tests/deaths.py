"""Signals that a process sends itself at moments of a run that tests choose."""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from places import files

# When a training may be killed, see `Death`.
MOMENTS = (
    *("loader", "train start", "batch start", "batch end", "validation", "epoch end"),
    *("before write", "half write", "before rename", "after rename"),
)


class Death(Callback):
    """Sends its own process a signal, by default the one that nobody can handle.

    Args:
        moment: "loader" (asked for before training), "train start", "batch start", "batch end",
            "validation", "epoch end", "test", "predict"; or of the first checkpoint that is written
            from then on: "before write", "half write", "before rename", "after rename".
        batch: Number of training batches, over all epochs, after which it happens.
        number: The signal.
        rank: The process that gets it.
    """

    def __init__(
        self, moment: str = "never", batch: int = 0, number: int = 9, rank: int = 0
    ) -> None:
        self.moment = moment
        self.batch = batch
        self.number = number
        self.rank = rank
        self._is_sent = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Lightning registers handlers of its own, asks for the loader, and then starts to train.
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by the trainer, not declared
        request = data.train_dataloader

        def request_or_die() -> object:
            self._die_at("loader", trainer)
            return request()

        data.train_dataloader = request_or_die

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._die_at("train start", trainer)
        if self.batch == 0:
            _arm(self.moment)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        self._die_at("batch start", trainer)
        if self._is_time(trainer):
            _arm(self.moment)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Mapping[str, Any] | torch.Tensor | None,
        batch: object,
        batch_idx: int,
    ) -> None:
        self._die_at("batch end", trainer)

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if batch_idx == 1:
            self._die_at("validation", trainer)

    def on_test_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._die_at("test", trainer)

    def on_predict_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if batch_idx == 1:
            self._die_at("predict", trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._die_at("epoch end", trainer)

    def _is_time(self, trainer: Trainer) -> bool:
        return trainer.fit_loop.total_batch_idx + 1 >= self.batch

    def _die_at(self, moment: str, trainer: Trainer) -> None:
        is_chosen = self.moment == moment and trainer.global_rank == self.rank
        if is_chosen and self._is_time(trainer) and not self._is_sent:
            self._is_sent = True
            os.kill(os.getpid(), self.number)


class DeathAtFile(Callback):
    """Kills its process while it writes a file.

    Args:
        name: Name of the file.
        moment: "half write", "before rename" or "after rename".
    """

    def __init__(self, name: str, moment: str) -> None:
        self.name, self.moment = name, moment

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        sync = files.sync

        def sync_or_die(path: Path) -> None:
            is_partial = path.name.startswith(f".{self.name}.") and path.suffix == ".partial"
            if is_partial and self.moment == "half write":
                os.truncate(path, path.stat().st_size // 2)
            if is_partial and self.moment != "after rename":
                die()
            sync(path)
            if self.moment == "after rename" and (path / self.name).exists():
                die()

        files.sync = sync_or_die


class Stop(Callback):
    """Ends the training after a number of batches, as a limit of its time does.

    Args:
        batch: Number of training batches, over all epochs.
    """

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *rest: object, **named: object
    ) -> None:
        trainer.should_stop |= trainer.fit_loop.total_batch_idx + 1 == self.batch


def die() -> None:
    """End this process as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def _arm(moment: str) -> None:
    save, replace = torch.save, Path.replace

    def save_half(content: object, file: Any) -> None:  # noqa: ANN401  # torch's type
        save(content, file)
        file.truncate(file.tell() // 2)
        file.flush()
        die()

    def is_checkpoint(path: Path) -> bool:
        return "last.ckpt" in path.name

    def rename_never(path: Path, target: Path) -> Path:
        if is_checkpoint(path):
            die()
        return replace(path, target)

    def rename_last(path: Path, target: Path) -> Path:
        replace(path, target)
        if is_checkpoint(path):
            die()
        return target

    patches: dict[str, Callable[[], None]] = {
        "before write": lambda: setattr(torch, "save", lambda *_: die()),
        "half write": lambda: setattr(torch, "save", save_half),
        "before rename": lambda: setattr(Path, "replace", rename_never),
        "after rename": lambda: setattr(Path, "replace", rename_last),
    }
    patches.get(moment, lambda: None)()
