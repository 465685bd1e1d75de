"""`scores.parquet`: what a network said about each picture of a test, beside `result.json`."""

import hashlib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from places.files import written_whole
from places.reports.result_schema import PICTURES
from places.reports.row_file import RowFile

_ROWS_PER_GROUP = 65_536


def can_write() -> bool:
    """Tell whether the package that writes the file is installed."""
    return find_spec("pyarrow") is not None


class PictureScores:
    """Collects the rows of a test while it runs, and writes them as a table.

    Columns: `key` (text), `label` (int16), `top1` to `top5` (int16, the guessed labels, best
    first), `probability` (float32, of the true class, in 0..1).

    Args:
        trainer: The trainer, on all processes.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._rows = RowFile(trainer, PICTURES)

    def add(self, batch: Mapping[str, Any], outputs: Mapping[str, Any], batch_idx: int) -> None:
        """Add the pictures of a batch: those that count."""
        labels, best = batch["label"].tolist(), outputs["label"].tolist()
        chances, counts = outputs["true_probability"].tolist(), batch["weight"].tolist()
        rows = zip(batch["key"], labels, best, chances, counts, strict=True)
        self._rows.write(batch_idx, [row if counted else None for *row, counted in rows])

    def finish(self, *, keep: bool) -> dict[str, str] | None:
        """Write the table on the first process, and return its name and SHA-256.

        To be called on all processes.

        Args:
            keep: Whether there is to be a table; else the rows are forgotten.
        """
        rows = self._rows.finish()
        if rows is None:
            return None
        if keep:
            _write(rows, self._rows.path)
        self._rows.remove_parts()
        if not keep:
            return None
        with self._rows.path.open("rb") as file:
            return {"file": PICTURES, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}

    def leave(self, error: BaseException) -> None:
        """Say what there is of the table when the run ends early."""
        self._rows.leave(error)


def _write(rows: Iterator[list[Any]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    ranks = [f"top{rank}" for rank in range(1, 6)]
    small = [(name, pa.int16()) for name in ("label", *ranks)]
    schema = pa.schema([("key", pa.string()), *small, ("probability", pa.float32())])
    with written_whole(path) as partial, pq.ParquetWriter(partial, schema) as writer:
        while group := list(islice(rows, _ROWS_PER_GROUP)):
            keys, labels, best, chances = zip(*group, strict=True)
            guesses = [list(column) for column in zip(*best, strict=True)]
            guesses += [[None] * len(keys)] * (len(ranks) - len(guesses))  # few classes
            columns = [list(keys), list(labels), *guesses, list(chances)]
            writer.write_table(
                pa.table(
                    [pa.array(x, f.type) for x, f in zip(columns, schema, strict=True)],
                    schema=schema,
                )
            )
