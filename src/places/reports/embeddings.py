"""Features of pictures as a `.npy` file that grows, valid at any moment."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from places.errors import DataError
from places.files import append, storage_error, sync
from places.reports.prediction_row import PredictionRow
from places.reports.prediction_state import ANEW

Precision = Literal["float32", "float16"]
_HEADER_BYTES = 128  # of this format for two dimensions, with room for any number of rows


class Embeddings:
    """A `.npy` file `(N, D)` with the pooled features of each row of the table, in its order.

    A picture without an answer has a row of NaN. `numpy.load(path, mmap_mode="r")` reads the file
    also while it grows, for its header always tells how many rows there are.

    Args:
        path: The file.
        dtype: Type of the numbers.
    """

    def __init__(self, path: Path, dtype: Precision = "float32") -> None:
        self.path = path
        self.num_features = 0  # D; to be set before the first rows are added
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._file: io.FileIO | None = None
        self._num_rows = 0

    def start(self, num_rows: int) -> None:
        """Begin, or keep the first rows of an earlier run.

        Raises:
            DataError: There are fewer rows.
            StorageError: The system refuses.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("rb+" if num_rows else "wb+", buffering=0)
            if num_rows:
                self._keep(self._file, num_rows)
        except FileNotFoundError as error:
            raise self._unfit("it is gone") from error
        except OSError as error:
            raise storage_error(f"cannot write {self.path}", error) from error
        self._num_rows = num_rows

    def add(self, rows: Sequence[PredictionRow]) -> None:
        """Add the features of some rows, whole or not at all.

        Raises:
            StorageError: The system refuses; the rows before are there.
        """
        values = np.full((len(rows), self.num_features), np.nan, self._dtype)
        for number, row in enumerate(rows):
            if row.features is not None:
                values[number] = row.features
        file = self._opened
        if not self._num_rows:
            file.seek(0)
            append(file, self._header(0))
        append(file, values.tobytes())
        self._num_rows += len(rows)
        self._tell()

    def finish(self) -> None:
        """Wait until all is on the disk."""
        self._opened.close()
        try:
            sync(self.path)
        except OSError as error:
            raise storage_error(f"cannot write {self.path}", error) from error

    def close(self) -> None:
        """Close the file as it is."""
        if self._file is not None:
            self._file.close()

    @property
    def _opened(self) -> io.FileIO:
        assert self._file is not None, "it is to be opened first"
        return self._file

    def _tell(self) -> None:
        """Write into the header how many rows there are: a few bytes, in one piece."""
        try:
            os.pwrite(self._opened.fileno(), self._header(self._num_rows), 0)
        except OSError as error:
            raise storage_error(f"cannot write {self.path}", error) from error

    def _header(self, num_rows: int) -> bytes:
        shape = (num_rows, self.num_features)
        text = f"{{'descr': '{self._dtype.str}', 'fortran_order': False, 'shape': {shape}, }}"
        size = _HEADER_BYTES - 10
        return b"\x93NUMPY\x01\x00" + size.to_bytes(2, "little") + f"{text:<{size - 1}}\n".encode()

    def _keep(self, file: io.FileIO, num_rows: int) -> None:
        values = _mapped(self.path)
        if values is None or values.dtype != self._dtype or len(values) < num_rows:
            raise self._unfit(f"it has not the features of the first {num_rows:,} rows")
        self.num_features = values.shape[1]
        self._num_rows = num_rows
        self._tell()
        file.truncate(_HEADER_BYTES + num_rows * values.shape[1] * self._dtype.itemsize)
        file.seek(0, os.SEEK_END)

    def _unfit(self, reason: str) -> DataError:
        return DataError(f"cannot go on with {self.path}: {reason}", ANEW)


def _mapped(path: Path) -> npt.NDArray[np.generic] | None:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:
        return None
    is_ours = isinstance(values, np.memmap) and values.ndim == 2
    return values if is_ours and values.offset == _HEADER_BYTES else None
