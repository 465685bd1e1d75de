"""The table of predictions in Parquet, made of a journal beside it."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from places.errors import ConfigError
from places.files import written_whole
from places.reports.line_table import LineTable
from places.reports.prediction_row import PredictionRow
from places.reports.table_formats import JsonFormat, cells_of, column_names, row_of_cells

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_PER_GROUP = 10_000  # so many are in memory at a time


class ParquetTable:
    """A table in Parquet, a format to which nothing can be added.

    So rows go to a journal beside it, in JSON Lines. The table is made of the journal again each
    time the rows have doubled, and at the end, when the journal is removed.

    Args:
        path: The file.
        top_k: Number of categories for each picture.
        labelled: Whether there are columns for the label that a picture has.
    """

    def __init__(self, path: Path, top_k: int, *, labelled: bool = False) -> None:
        check_pyarrow(path)
        self.path = path
        self.rows_path = path.with_name(f"{path.name}.jsonl")
        self._top_k, self._labelled = top_k, labelled
        self._journal = LineTable(self.rows_path, JsonFormat(labelled=labelled))
        self._num_rows = self._num_published = 0

    def open(self) -> None:
        """Open the journal, or make it, for this process alone."""
        self._journal.open()

    def clear(self) -> None:
        """Remove all rows."""
        self.path.unlink(missing_ok=True)
        self._journal.clear()

    def is_empty(self) -> bool:
        """Tell whether nothing was ever written."""
        return self._journal.is_empty() and not self.path.exists()

    def has_rows(self) -> bool:
        """Tell whether there are rows, also of another number of columns, or parts of them."""
        if self._journal.has_rows() or not self.path.exists():
            return self._journal.has_rows()
        import pyarrow.parquet as pq

        try:
            return bool(pq.read_metadata(self.path).num_rows)
        except (OSError, ValueError):  # damaged, or no Parquet
            return True

    def rows(self) -> Iterator[PredictionRow]:
        """Yield all whole rows: of the journal, or of the table if that is finished."""
        if self._journal.is_empty() and self.path.exists():
            return _parquet_rows(self.path, self._labelled)
        return self._journal.rows()

    def start(self, num_rows: int) -> None:
        """Keep the first rows only, and make the table of them."""
        if self._journal.is_empty() and self.path.exists():
            for rows in _chunks(itertools.islice(self.rows(), num_rows)):
                self._journal.add(rows)
        self._journal.start(num_rows)
        self._num_rows = num_rows
        self._publish()

    def add(self, rows: Sequence[PredictionRow]) -> None:
        """Add rows, whole or not at all.

        Raises:
            StorageError: They cannot be written; those before are there.
        """
        self._journal.add(rows)
        self._num_rows += len(rows)
        if self._num_rows >= 2 * self._num_published:
            self._publish()

    def finish(self) -> None:
        """Make the table of all rows, and remove the journal."""
        if self._num_rows > self._num_published:
            self._publish()
        self._journal.close()
        self.rows_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the journal as it is, for others to write; an empty one goes."""
        if self._journal.is_open and self._journal.is_empty():
            self.rows_path.unlink(missing_ok=True)
        self._journal.close()

    def _publish(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = _schema(self._top_k, self._labelled)
        with (
            written_whole(self.path) as partial,
            partial.open("wb") as file,
            pq.ParquetWriter(file, schema) as writer,
        ):
            for rows in _chunks(self._journal.rows()):
                cells = (cells_of(row, self._top_k, labelled=self._labelled) for row in rows)
                columns = zip(*cells, strict=True)
                arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        self._num_published = self._num_rows


def check_pyarrow(path: Path) -> None:
    """Refuse Parquet if the package that writes it is not installed.

    Raises:
        ConfigError: See there.
    """
    try:
        import pyarrow.parquet  # noqa: F401  # whether it is there
    except ImportError as error:
        raise ConfigError(
            f"{path.name} needs the package pyarrow, which is not installed",
            "type:  pip install 'places[parquet]', or take .csv or .jsonl",
        ) from error


def _chunks(rows: Iterator[PredictionRow]) -> Iterator[list[PredictionRow]]:
    while chunk := list(itertools.islice(rows, _ROWS_PER_GROUP)):
        yield chunk


def _schema(top_k: int, labelled: bool) -> "pa.Schema":
    import pyarrow as pa

    kinds = dict.fromkeys(("index", "true_index", "width", "height"), pa.int32())
    kinds |= {"probability": pa.float32(), "indoor_probability": pa.float32()}
    names = column_names(top_k, labelled=labelled)
    plain = [name.rpartition("_")[0] if name[-1].isdigit() else name for name in names]
    return pa.schema(
        [(name, kinds.get(kind, pa.string())) for name, kind in zip(names, plain, strict=True)]
    )


def _parquet_rows(path: Path, labelled: bool) -> Iterator[PredictionRow]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_PER_GROUP):
            columns = [column.to_pylist() for column in batch.columns]
            for cells in zip(*columns, strict=True):
                yield row_of_cells(cells, labelled=labelled)
