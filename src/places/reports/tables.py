"""The table of predictions: CSV, JSON Lines or Parquet, valid at any moment while it grows."""

import errno
import fcntl
import io
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from places.errors import ConfigError
from places.files import append, storage_error, sync, written_whole
from places.reports.prediction_row import PredictionRow
from places.reports.table_formats import (
    CsvFormat,
    JsonFormat,
    LineFormat,
    cells_of,
    column_names,
    row_of_cells,
)

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".csv", ".jsonl", ".parquet")
_MAX_RECORD_BYTES = 2**20  # paths and reasons are shorter
_ROWS_PER_GROUP = 10_000  # of Parquet; so many are in memory at a time


class Table(Protocol):
    """A table that grows; a `PredictionOutput` that can be read, too."""

    path: Path
    rows_path: Path  # the file in which all rows are that were added so far

    def open(self) -> None:
        """Open the file, or make it, for this process alone.

        Raises:
            ConfigError: Another process writes it.
            StorageError: The system refuses.
        """

    def clear(self) -> None:
        """Remove all rows."""

    def rows(self) -> Iterator[PredictionRow]:
        """Yield all whole rows, with paths as `places.files.name_as_text` has them."""

    def is_empty(self) -> bool:
        """Tell whether nothing was ever written."""

    def start(self, num_rows: int) -> None:
        """Keep the first rows only, and be ready for more."""

    def add(self, rows: Sequence[PredictionRow]) -> None:
        """Add rows, whole or not at all."""

    def finish(self) -> None:
        """Bring the table into its final form and close it."""

    def close(self) -> None:
        """Close the file as it is."""


def open_table(path: Path, top_k: int) -> Table:
    """Return the table that the ending of a name asks for.

    Raises:
        ConfigError: It is another ending, or Parquet without the package that writes it.
    """
    check_ending(path)
    ending = path.suffix.lower()
    if ending == ".parquet":
        return ParquetTable(path, top_k)
    return LineTable(path, CsvFormat(top_k) if ending == ".csv" else JsonFormat())


def check_ending(path: Path) -> None:
    """Refuse a name for a table that does not tell its format.

    Raises:
        ConfigError: See there.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        names = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
        example = path.with_suffix(".csv") if path.name else path / "predictions.csv"
        raise ConfigError(
            f"predictions.file must end with {names}, not {path.name or str(path)!r}",
            f"type:  --predictions.file {example}",
        )


class LineTable:
    """A table of which each row is a record of lines; only added to while it grows.

    Args:
        path: The file.
        format: How rows are written.
    """

    def __init__(self, path: Path, format: LineFormat) -> None:
        self.path = self.rows_path = path
        self._format = format
        self._file: io.FileIO | None = None

    def open(self) -> None:
        """Open the file, or make it, for this process alone.

        Raises:
            ConfigError: Another process writes it.
            StorageError: The system refuses.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _open_locked(self.path)
        except OSError as error:
            raise storage_error(f"cannot write {self.path}", error) from error

    def clear(self) -> None:
        """Remove all rows."""
        self._opened.truncate(0)

    def is_empty(self) -> bool:
        """Tell whether nothing was ever written."""
        return self._size_bytes() == 0

    def rows(self) -> Iterator[PredictionRow]:
        """Yield all whole rows; one that cannot be read ends them, as the last one may be torn."""
        for _, record in self._records():
            try:
                row = self._format.read(record)
            except ValueError:
                return
            yield row

    def start(self, num_rows: int) -> None:
        """Keep the first rows only; without any the header is written."""
        end = len(self._format.header.encode())
        for end, _ in itertools.islice(self._records(), num_rows):  # noqa: B007  # the last is used
            pass
        file = self._opened
        try:
            file.truncate(end if num_rows else 0)
            file.seek(0, os.SEEK_END)
        except OSError as error:
            raise storage_error(f"cannot write {self.path}", error) from error
        if not num_rows:
            append(file, self._format.header.encode())

    def add(self, rows: Sequence[PredictionRow]) -> None:
        """Add rows, whole or not at all.

        Raises:
            StorageError: They cannot be written; those before are there.
        """
        text = "".join(map(self._format.write, rows))
        append(self._opened, text.encode("utf-8", "backslashreplace"))

    def finish(self) -> None:
        """Wait until all rows are on the disk, and close the file."""
        try:
            sync(self.path)
        except OSError as error:
            raise storage_error(f"cannot write {self.path}", error) from error
        self.close()

    def close(self) -> None:
        """Close the file as it is, for others to write."""
        if self._file is not None:
            self._file.close()

    @property
    def _opened(self) -> io.FileIO:
        if self._file is None:
            raise RuntimeError(f"{self.path} is not open")
        return self._file

    def _size_bytes(self) -> int:
        return os.fstat(self._opened.fileno()).st_size

    def _records(self) -> Iterator[tuple[int, str]]:
        """Yield whole records after the header, each with its end in bytes."""
        with self.path.open("rb") as file:
            header = self._format.header.encode()
            if file.read(len(header)) != header:
                return
            yield from _whole_records(file, self._format.is_whole)


class ParquetTable:
    """A table in Parquet, a format to which nothing can be added.

    So rows go to a journal beside it, in JSON Lines. The table is made of the journal again each
    time the rows have doubled, and at the end, when the journal is removed.

    Args:
        path: The file.
        top_k: Number of categories for each picture.
    """

    def __init__(self, path: Path, top_k: int) -> None:
        check_pyarrow(path)
        self.path = path
        self.rows_path = path.with_name(f"{path.name}.jsonl")
        self._top_k = top_k
        self._journal = LineTable(self.rows_path, JsonFormat())
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

    def rows(self) -> Iterator[PredictionRow]:
        """Yield all whole rows: of the journal, or of the table if that is finished."""
        if self._journal.is_empty() and self.path.exists():
            return _parquet_rows(self.path)
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
        if self._journal.is_empty():
            self.rows_path.unlink(missing_ok=True)
        self._journal.close()

    def _publish(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = _schema(self._top_k)
        with (
            written_whole(self.path) as partial,
            partial.open("wb") as file,
            pq.ParquetWriter(file, schema) as writer,
        ):
            for rows in _chunks(self._journal.rows()):
                columns = zip(*(cells_of(row, self._top_k) for row in rows), strict=True)
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


def is_locked(path: Path) -> bool:
    """Tell whether a process writes a table or a journal now."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _open_locked(path: Path) -> io.FileIO:
    """Open a file to add to it, which no other process can do meanwhile."""
    while True:
        file = path.open("ab+", buffering=0)
        assert isinstance(file, io.FileIO)  # that is what Python gives for no buffer
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise ConfigError(
                f"another places predict writes {path} now",
                "wait for it, or name another file:  --predictions.file FILE",
            ) from error
        except OSError as error:  # some network file systems have no locks
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # the other one has just removed it


def _whole_records(file: BinaryIO, is_whole: Callable[[bytes], bool]) -> Iterator[tuple[int, str]]:
    """Yield the records of a file until one is not whole, each with its end in bytes."""
    end, record = file.tell(), b""
    while line := file.readline(_MAX_RECORD_BYTES):
        record += line
        if not line.endswith(b"\n") or len(record) > _MAX_RECORD_BYTES:
            return
        if is_whole(record):
            end += len(record)
            try:
                text = record.decode()
            except UnicodeDecodeError:
                return
            yield end, text
            record = b""


def _chunks(rows: Iterator[PredictionRow]) -> Iterator[list[PredictionRow]]:
    while chunk := list(itertools.islice(rows, _ROWS_PER_GROUP)):
        yield chunk


def _schema(top_k: int) -> "pa.Schema":
    import pyarrow as pa

    kinds = {"index": pa.int32(), "width": pa.int32(), "height": pa.int32()}
    kinds |= {"probability": pa.float32(), "indoor_probability": pa.float32()}
    names = column_names(top_k)
    plain = [name.rpartition("_")[0] if name[-1].isdigit() else name for name in names]
    return pa.schema(
        [(name, kinds.get(kind, pa.string())) for name, kind in zip(names, plain, strict=True)]
    )


def _parquet_rows(path: Path) -> Iterator[PredictionRow]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_PER_GROUP):
            columns = [column.to_pylist() for column in batch.columns]
            yield from map(row_of_cells, zip(*columns, strict=True))
