"""`scores.parquet`: what a network said about each picture of a test, beside `result.json`."""

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from places.files import written_whole
from places.processes import Agreement, run_folder
from places.reports.result_schema import PICTURES

_NUM_GUESSES = 5
_NUMBERS = ("probability", "confidence", "loss")


def can_write() -> bool:
    """Tell whether the package that writes the file is installed."""
    return find_spec("pyarrow") is not None


class PictureScores:
    """Collects the rows of a test while it runs, and writes them as a table.

    They are kept in memory, about 100 bytes for each picture: an interrupted test leaves nothing.

    Columns: `key` (text), `label` (int16), `top1` to `top5` (int16, the guessed labels, best
    first), `probability` (float32, of the true class, in 0..1), `confidence` (float32, that of the
    first guess), `loss` (float32, in nats). Rows are in the order of the split.

    Args:
        trainer: The trainer, on all processes.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._path = run_folder(trainer) / PICTURES
        self._agreement = Agreement(trainer.world_size)
        self._rank, self._num_ranks = trainer.global_rank, trainer.world_size
        self._keys: list[str] = []
        self._positions: list[int] = []
        self._batches: list[tuple[Tensor, ...]] = []

    def add(self, batch: Mapping[str, Any], outputs: Mapping[str, Any], batch_idx: int) -> None:
        """Add the pictures of a batch. Does not wait for the device."""
        first = (batch_idx * self._num_ranks + self._rank) * len(batch["key"])
        self._keys += batch["key"]
        self._positions += range(first, first + len(batch["key"]))
        numbers = (outputs["true_probability"], outputs["probability"][:, 0], outputs["loss"])
        self._batches.append((batch["weight"], batch["label"], outputs["label"], *numbers))

    def finish(self, *, keep: bool) -> dict[str, str] | None:
        """Write the table on the first process, and return its name and SHA-256.

        To be called on all processes.

        Args:
            keep: Whether there is to be a table; else the rows are forgotten.
        """
        columns = [torch.cat(parts).cpu().numpy() for parts in zip(*self._batches, strict=True)]
        everyone = self._agreement.to_first((self._keys, self._positions, columns))
        if not (everyone and keep):
            return None
        keys = [key for part, *_ in everyone for key in part]
        order = np.argsort([position for _, part, _ in everyone for position in part])
        parts = [part for *_, part in everyone if part]
        _write(keys, [np.concatenate(x) for x in zip(*parts, strict=True)], order, self._path)
        with self._path.open("rb") as file:
            return {"file": PICTURES, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _write(
    keys: list[str], columns: list[npt.NDArray[Any]], order: npt.NDArray[np.intp], path: Path
) -> None:
    import pyarrow as pa  # an extra, and slow to import
    import pyarrow.parquet as pq

    weight, label, best, *numbers = columns
    order = order[weight[order] > 0]  # without unreadable and filling rows
    guesses = np.full((len(order), _NUM_GUESSES), -1, np.int16)  # for networks of few classes
    guesses[:, : best.shape[1]] = best[order]
    table = pa.table(
        {
            "key": [keys[row] for row in order],
            "label": label[order].astype(np.int16),
            **{f"top{rank + 1}": guesses[:, rank].copy() for rank in range(_NUM_GUESSES)},
            **{
                name: values[order].astype(np.float32)
                for name, values in zip(_NUMBERS, numbers, strict=True)
            },
        }
    )
    with written_whole(path) as partial:
        pq.write_table(table, partial)
