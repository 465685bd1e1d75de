"""`metrics.csv` of Lightning's `CSVLogger`, whole at any moment."""

import csv
import io
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from lightning.pytorch.loggers.csv_logs import CSVLogger, ExperimentWriter

from places.errors import StorageError
from places.files import append, write_text


def keep_whole(logger: CSVLogger) -> None:
    """Let a logger write rows as a whole or not at all.

    Lightning writes the table anew in place when there is a metric that it did not know before: a
    run that ends meanwhile loses all of it.
    """
    writer = logger.experiment
    if isinstance(writer, ExperimentWriter) and "://" not in writer.metrics_file_path:
        writer.save = partial(_save, writer)  # type: ignore[method-assign]  # it offers no other way


def _save(writer: ExperimentWriter) -> None:
    path, rows = Path(writer.metrics_file_path), writer.metrics
    if not rows:
        return
    if not path.parent.is_dir():  # made when the run began
        raise StorageError(
            f"the folder of this run is gone: {path.parent}",
            "what it held is lost, unless who removed it has it",
        )
    keys = sorted({*writer.metrics_keys, *(key for row in rows for key in row)})
    if keys == writer.metrics_keys and path.is_file():
        with path.open("ab", buffering=0) as table:
            append(table, _table(keys, rows).encode())
    else:
        before: list[dict[str, str]] = []
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                before = list(csv.DictReader(file))
        write_text(path, _table(keys, [*before, *rows], has_header=True))
    writer.metrics_keys, writer.metrics = keys, []


def _table(
    keys: Sequence[str], rows: Sequence[Mapping[str, object]], *, has_header: bool = False
) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, keys)
    if has_header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
