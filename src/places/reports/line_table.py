"""The table of predictions in a format of text, to which rows are added."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from places.reports.line_file import LineFile
from places.reports.prediction_row import PredictionRow
from places.reports.table_formats import LineFormat


class LineTable:
    """A table of which each row is a record of lines.

    Args:
        path: The file.
        format: How rows are written.
    """

    def __init__(self, path: Path, format: LineFormat) -> None:
        self.path = self.rows_path = path
        self._format = format
        self._file = LineFile(path, format.header, format.is_whole)

    def open(self) -> None:
        """Open the file, or make it, for this process alone.

        Raises:
            ConfigError: Another process writes it.
            StorageError: The system refuses.
        """
        self._file.open()

    @property
    def is_open(self) -> bool:
        """Whether the file is open."""
        return self._file.is_open

    def clear(self) -> None:
        """Remove all that is in the file."""
        self._file.clear()

    def is_empty(self) -> bool:
        """Tell whether nothing was ever written."""
        return self._file.is_empty()

    def has_rows(self) -> bool:
        """Tell whether there are rows, also of another number of columns, or parts of them."""
        return self._file.has_records()

    def rows(self) -> Iterator[PredictionRow]:
        """Yield all whole rows; one that cannot be read ends them, as the last one may be torn."""
        for _, record in self._file.records():
            try:
                row = self._format.read(record)
            except ValueError:
                return
            yield row

    def start(self, num_rows: int) -> None:
        """Keep the first rows only, and be ready for more."""
        end = 0
        for end, _ in itertools.islice(self._file.records(), num_rows):  # noqa: B007  # the last is used
            pass
        self._file.cut(end)

    def add(self, rows: Sequence[PredictionRow]) -> None:
        """Add rows, whole or not at all.

        Raises:
            StorageError: They cannot be written; those before are there.
        """
        self._file.add("".join(map(self._format.write, rows)))

    def finish(self) -> None:
        """Wait until all rows are on the disk, and close the file."""
        self._file.finish()

    def close(self) -> None:
        """Close the file as it is, for others to write."""
        self._file.close()
