"""Reads `scores.parquet`, which `places test` writes: what a network said about each picture."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from places.errors import DataError
from places.reports.result_schema import INSTALL_PARQUET

_MAX_FILE_BYTES = 1 << 28
_MAX_BYTES = 1 << 30  # unpacked
_MAX_ROWS = 5_000_000
_MAX_KEY = 1000  # characters
_GUESSES = tuple(f"top{rank}" for rank in range(1, 6))


@dataclass(frozen=True)
class PictureTable:
    """The rows of a test, in the order of the split.

    Attributes:
        keys: Name of each picture.
        labels: `(N,)` int64, the true class.
        guesses: `(N, 5)` int64, the guessed classes, best first; -1 for none.
        probability: `(N,)` float64 in 0..1, of the true class.
        confidence: `(N,)` float64 in 0..1, of the best guess; `None` in files of earlier versions.
        loss: `(N,)` float64, in nats; `None` likewise.
    """

    keys: list[str]
    labels: npt.NDArray[np.int64]
    guesses: npt.NDArray[np.int64]
    probability: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64] | None
    loss: npt.NDArray[np.float64] | None = None

    @property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """`(N,)`: whether the best guess is the true class."""
        right: npt.NDArray[np.bool_] = self.guesses[:, 0] == self.labels
        return right

    def by_key(self) -> dict[str, bool]:
        """Return for each picture by its name whether the best guess was right."""
        return dict(zip(self.keys, self.is_right.tolist(), strict=True))


def read_pictures(path: Path) -> PictureTable:
    """Return the rows of a `scores.parquet`, which may come from anybody.

    Raises:
        DataError: The package that reads it is missing, or it is damaged or too large.
        OSError: It cannot be read.
    """
    if find_spec("pyarrow") is None:
        raise DataError("the package pyarrow is missing", f"install it:  {INSTALL_PARQUET}")
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise DataError(f"it has more than {_MAX_FILE_BYTES:,} bytes")
    import pyarrow as pa  # an extra, and slow to import
    import pyarrow.parquet as pq

    try:
        # A name that is repeated a million times stays one name.
        with pq.ParquetFile(path, read_dictionary=["key"]) as file:
            _check_size(file.metadata)
            names = set(file.schema_arrow.names)
            wanted = ["key", "label", *_GUESSES, "probability"]
            table = file.read([*wanted, *({"confidence", "loss"} & names)])
        return _table_of(table)
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        raise DataError(str(error).partition("\n")[0] or type(error).__name__) from error


def _check_size(metadata: Any) -> None:  # noqa: ANN401  # pyarrow ships no types
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    num_bytes = sum(group.total_byte_size for group in groups)
    if metadata.num_rows > _MAX_ROWS or num_bytes > _MAX_BYTES:
        raise ValueError(f"it holds more than {_MAX_ROWS:,} rows or {_MAX_BYTES:,} bytes")


def _table_of(table: Any) -> PictureTable:  # noqa: ANN401  # likewise
    columns = {name: table.column(name) for name in table.column_names if name != "key"}
    if any(column.null_count for column in table.columns):
        raise ValueError("it has empty cells")
    keys: list[str] = []
    for chunk in table.column("key").chunks:
        if any(len(name) > _MAX_KEY for name in chunk.dictionary.to_pylist()):
            raise ValueError(f"it has names of more than {_MAX_KEY:,} characters")
        keys += chunk.to_pylist()
    numbers = {name: column.to_numpy() for name, column in columns.items()}
    labels, guesses = numbers["label"], np.stack([numbers[name] for name in _GUESSES], axis=1)
    is_whole = all(part.dtype.kind in "iu" for part in (labels, guesses))
    if not is_whole or not all(isinstance(key, str) for key in keys):
        raise ValueError("its columns are of other kinds")
    confidence, loss = numbers.get("confidence"), numbers.get("loss")
    return PictureTable(
        keys,
        labels.astype(np.int64),
        guesses.astype(np.int64),
        _share(numbers["probability"]),
        None if confidence is None else _share(confidence),
        None if loss is None else np.asarray(loss, np.float64),
    )


def _share(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    shares = np.nan_to_num(np.asarray(values, np.float64), nan=0.0, posinf=1.0, neginf=0.0)
    clipped: npt.NDArray[np.float64] = shares.clip(0, 1)
    return clipped
