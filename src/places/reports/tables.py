"""The table of predictions: CSV, JSON Lines or Parquet, valid at any moment while it grows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from places.errors import ConfigError
from places.reports.line_table import LineTable
from places.reports.parquet_table import ParquetTable
from places.reports.prediction_row import PredictionRow
from places.reports.table_formats import CsvFormat, JsonFormat

ENDINGS = (".csv", ".jsonl", ".parquet")


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

    def has_rows(self) -> bool:
        """Tell whether there are rows, also of another number of columns, or parts of them."""

    def start(self, num_rows: int) -> None:
        """Keep the first rows only, and be ready for more."""

    def add(self, rows: Sequence[PredictionRow]) -> None:
        """Add rows, whole or not at all."""

    def finish(self) -> None:
        """Bring the table into its final form and close it."""

    def close(self) -> None:
        """Close the file as it is."""


def open_table(path: Path, top_k: int, *, labelled: bool = False) -> Table:
    """Return the table that the ending of a name asks for.

    Args:
        path: The file.
        top_k: Number of categories for each picture.
        labelled: Whether there are columns for the label that a picture has.

    Raises:
        ConfigError: It is another ending, or Parquet without the package that writes it.
    """
    check_ending(path)
    ending = path.suffix.lower()
    if ending == ".parquet":
        return ParquetTable(path, top_k, labelled=labelled)
    is_csv = ending == ".csv"
    format = CsvFormat(top_k, labelled=labelled) if is_csv else JsonFormat(labelled=labelled)
    return LineTable(path, format)


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
