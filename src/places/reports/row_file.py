"""A table that several processes write together, in one order, complete or not at all."""

import heapq
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from places.processes import run_folder


class RowFile:
    """Rows of a table, written while running to one hidden file per process, and merged at the end.

    Args:
        trainer: The trainer, on all processes.
        name: Name of the final file in the folder of the run. Hidden files beside it hold the rows
            until then.
    """

    def __init__(self, trainer: Trainer, name: str) -> None:
        self.path = run_folder(trainer) / name
        self._trainer = trainer
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part(trainer.global_rank).open("w", encoding="utf-8")

    def write(self, batch_idx: int, rows: Sequence[Sequence[Any] | None]) -> None:
        """Add the rows of a batch; `None` stands for a row that only fills up the batch."""
        batch = batch_idx * self._trainer.world_size + self._trainer.global_rank
        for position, row in enumerate(rows, batch * len(rows)):
            if row is not None:
                self._file.write(json.dumps([position, *row]) + "\n")

    def finish(self) -> Iterator[list[Any]] | None:
        """Return the rows of all processes in their order, on the first process; else `None`.

        To be called by all processes. The hidden files go when all rows have been taken.
        """
        self._file.close()
        self._trainer.strategy.barrier(self.path.name)
        return self._merged() if self._trainer.is_global_zero else None

    def _merged(self) -> Iterator[list[Any]]:
        parts = [self._part(rank) for rank in range(self._trainer.world_size)]
        with ExitStack() as stack:
            files = [stack.enter_context(part.open(encoding="utf-8")) for part in parts]
            for _, *row in heapq.merge(*(map(json.loads, file) for file in files)):
                yield row
        for part in parts:
            part.unlink(missing_ok=True)

    def _part(self, rank: int) -> Path:
        return self.path.with_name(f".{self.path.name}.{rank}")
