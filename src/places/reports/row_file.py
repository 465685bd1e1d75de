"""A table that several processes write together, in one order, complete or not at all."""

import heapq
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any


class RowFile:
    """Rows of a table, written while running to one hidden file per process, and merged at the end.

    Args:
        path: The final file. Hidden files beside it hold the rows until then.
        rank: Number of this process.
        num_ranks: Number of processes.
    """

    def __init__(self, path: Path, rank: int, num_ranks: int) -> None:
        self.path = path
        self._rank, self._num_ranks = rank, num_ranks
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part(rank).open("w", encoding="utf-8")

    def write(self, position: int, row: Sequence[Any]) -> None:
        """Add a row; positions rise within a process and are unique over all of them."""
        self._file.write(json.dumps([position, *row]) + "\n")

    def close(self) -> None:
        """End writing on this process; the rows can then be merged."""
        self._file.close()

    def merged(self) -> Iterator[list[Any]]:
        """Yield the rows of all processes by position, once every process has closed its file."""
        with ExitStack() as stack:
            parts = [
                stack.enter_context(self._part(rank).open(encoding="utf-8"))
                for rank in range(self._num_ranks)
            ]
            for _, *row in heapq.merge(*(map(json.loads, part) for part in parts)):
                yield row

    def remove(self) -> None:
        """Remove the hidden files."""
        for rank in range(self._num_ranks):
            self._part(rank).unlink(missing_ok=True)

    def _part(self, rank: int) -> Path:
        return self.path.with_name(f".{self.path.name}.{rank}")
