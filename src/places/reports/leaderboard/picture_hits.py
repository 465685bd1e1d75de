"""Which pictures of a test were right, from its `scores.parquet`."""

from importlib.util import find_spec
from pathlib import Path

from places.console import printable
from places.errors import ConfigError, DataError
from places.reports.result_schema import INSTALL_PARQUET


def read_hits(path: Path) -> dict[str, bool]:
    """Return for each picture by its key whether the best guess was right.

    Raises:
        ConfigError: The package that reads the file is not installed.
        DataError: The file is damaged.
    """
    if find_spec("pyarrow") is None:
        raise ConfigError(
            f"reading {path} needs the package pyarrow", f"install it:  {INSTALL_PARQUET}"
        )
    import pyarrow as pa  # an extra, and slow to import
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["key", "label", "top1"])
        keys, labels, guesses = (table.column(name).to_pylist() for name in table.column_names)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"cannot read {path}", printable(str(error))[:80]) from error
    return {key: label == guess for key, label, guess in zip(keys, labels, guesses, strict=True)}
