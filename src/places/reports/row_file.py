"""A table that several processes write together, in one order, complete or not at all."""

import heapq
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from places.console import say
from places.endings import signals
from places.files import append, storage_error
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
        self._part = self._part_of(trainer.global_rank)
        self._num_rows = 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("wb", buffering=0)
        except OSError as error:
            raise storage_error(f"cannot write {self._part}", error) from error
        self._advise()

    def write(self, batch_idx: int, rows: Sequence[Sequence[Any] | None]) -> None:
        """Add the rows of a batch; `None` stands for a row that only fills up the batch.

        Raises:
            StorageError: They cannot be written; the rows before are there.
        """
        batch = batch_idx * self._trainer.world_size + self._trainer.global_rank
        texts = [
            json.dumps([position, *row]) + "\n"
            for position, row in enumerate(rows, batch * len(rows))
            if row is not None
        ]
        append(self._file, "".join(texts).encode())
        self._num_rows += len(texts)
        self._advise()

    def finish(self) -> Iterator[list[Any]] | None:
        """Return the rows of all processes in their order, on the first process; else `None`.

        To be called by all processes. The hidden files go with `remove_parts`.
        """
        self._file.close()
        self._trainer.strategy.barrier(self.path.name)
        return self._merged() if self._trainer.is_global_zero else None

    def _merged(self) -> Iterator[list[Any]]:
        with ExitStack() as stack:
            files = [stack.enter_context(part.open(encoding="utf-8")) for part in self._parts()]
            for _, *row in heapq.merge(*(map(json.loads, file) for file in files)):
                yield row

    def remove_parts(self) -> None:
        """Remove the hidden files of all processes: their rows are in the final file."""
        signals.advise("")
        for part in self._parts():
            part.unlink(missing_ok=True)

    def leave(self, error: BaseException) -> None:
        """Say what there is of the table when the run ends early; with signals `advise` does."""
        self._file.close()
        if not isinstance(error, signals.Stopped) and any(map(Path.is_file, self._parts())):
            say(self._what_is_there())

    def _advise(self) -> None:
        signals.advise(self._what_is_there())

    def _what_is_there(self) -> str:
        num_ranks, parts = self._trainer.world_size, f"{self.path.parent}/.{self.path.name}"
        if num_ranks == 1:
            return f"no {self.path.name}; {self._num_rows:,} rows of it are in {parts}.0"
        return f"no {self.path.name}; its rows are in {parts}.0 to .{num_ranks - 1}"

    def _parts(self) -> list[Path]:
        return [self._part_of(rank) for rank in range(self._trainer.world_size)]

    def _part_of(self, rank: int) -> Path:
        return self.path.with_name(f".{self.path.name}.{rank}")
