"""What a run really trained on, batch by batch, for tests to compare."""

import hashlib
import json
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from places.processes import run_folder


class Row(NamedTuple):
    """One batch after the step that was taken with it; of one process or of all together."""

    epoch: int
    batch_idx: int
    step: int  # optimizer steps taken so far, this batch's included
    keys: tuple[str, ...]
    digests: tuple[str, ...]  # for each picture the SHA-256 of its pixels, flip, label and weight


class Record(Callback):
    """Writes a line for each training batch into `trained-<rank>.jsonl` in the run's folder."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._path = run_folder(trainer) / f"trained-{trainer.global_rank}.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Mapping[str, Any] | torch.Tensor | None,
        batch: Any,  # noqa: ANN401  # Lightning's type; ours is a Batch
        batch_idx: int,
    ) -> None:
        columns = [batch[name] for name in ("image", "flip", "label", "weight")]
        digests = [
            hashlib.sha256(b"".join(value.contiguous().numpy().tobytes() for value in row))
            for row in zip(*columns, strict=True)
        ]
        place = [trainer.current_epoch, batch_idx, trainer.global_step]
        row = [*place, batch["key"], [digest.hexdigest() for digest in digests]]
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read_record(folder: Path) -> list[Row]:
    """Return the global batches of a run, the shares of the processes joined in their order."""
    # By name is by number: these tests have less than ten processes.
    paths = sorted(folder.glob("trained-*.jsonl"))
    shares = [
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in paths
    ]
    return [_joined(rows) for rows in zip(*shares, strict=True)]


def _joined(rows: tuple[list[Any], ...]) -> Row:
    ((epoch, batch_idx, step),) = {tuple(row[:3]) for row in rows}
    keys, digests = (tuple(chain.from_iterable(row[i] for row in rows)) for i in (3, 4))
    return Row(epoch, batch_idx, step, keys, digests)


class Estimate(Callback):
    """Asks for the number of steps while the trainer still restores a checkpoint."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # As modules do in configure_optimizers; Lightning then makes the loader at once.
        assert trainer.estimated_stepping_batches > 0


def num_pictures(batch: Mapping[str, Any]) -> int:
    """Return the number of pictures of a batch, for Lightning's `ThroughputMonitor`."""
    return len(batch["key"])
