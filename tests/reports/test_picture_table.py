"""`scores.parquet` from elsewhere: read as data with bounds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from places.errors import DataError
from places.reports import picture_table
from places.reports.picture_table import read_pictures

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

LABELS = [3, 7, 3]
KEYS = ["a", "b", "c/d"]


def _columns(**others: Any) -> dict[str, Any]:  # noqa: ANN401  # any column
    guesses = {f"top{rank}": [rank, 7, -1] for rank in range(1, 6)}
    plain = {"key": KEYS, "label": LABELS, **guesses, "probability": [0.25, 0.5, 0.0]}
    return {key: value for key, value in {**plain, **others}.items() if value is not None}


def _write(path: Path, columns: dict[str, Any], **options: Any) -> Path:  # noqa: ANN401  # pyarrow's
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    columns = _columns(confidence=[0.5, 1.0, 0.25], loss=[1.5, 0.25, 9.0], other=["x", None, "y"])
    found = read_pictures(_write(tmp_path / "scores.parquet", columns))
    assert found.keys == KEYS
    assert found.labels.tolist() == LABELS
    assert found.guesses.tolist() == [[1, 2, 3, 4, 5], [7] * 5, [-1] * 5]
    assert found.by_key() == {"a": False, "b": True, "c/d": False}
    assert found.loss is not None
    assert found.confidence is not None
    assert found.loss.tolist() == columns["loss"]
    assert found.confidence.tolist() == columns["confidence"]
    # Files of earlier versions lack two columns.
    old = read_pictures(_write(tmp_path / "old.parquet", _columns()))
    assert (old.loss, old.confidence) == (None, None)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (_columns(label=None), "label"),
        (_columns(label=[3, None, 3]), "it has empty cells"),
        (_columns(key=["a", None, "c"]), "it has empty cells"),
        (_columns(key=["a", "b", "c" * 1001]), "it has names of more than 1,000 characters"),
        (_columns(label=[3.0, 7.0, 3.0]), "its columns are of other kinds"),
        (_columns(top5=["x", "y", "z"]), "its columns are of other kinds"),
    ],
)
def test_other_tables_are_refused_with_the_reason(
    tmp_path: Path, columns: dict[str, Any], reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        read_pictures(_write(tmp_path / "scores.parquet", columns))


def test_a_table_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num = 100_000
    small = _columns(key=["a"] * num, label=np.zeros(num, int), probability=np.zeros(num))
    small |= {f"top{rank}": np.zeros(num, int) for rank in range(1, 6)}
    path = _write(tmp_path / "scores.parquet", small)
    assert len(read_pictures(path).keys) == num
    assert path.stat().st_size < num  # it is packed well
    monkeypatch.setattr(picture_table, "_MAX_ROWS", num - 1)
    with pytest.raises(DataError, match="it holds more than 99,999 rows"):
        read_pictures(path)
    monkeypatch.setattr(picture_table, "_MAX_FILE_BYTES", 1000)
    with pytest.raises(DataError, match="it has more than 1,000 bytes"):
        read_pictures(path)


def test_without_the_package_the_reason_and_what_to_install_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path / "scores.parquet", _columns())
    monkeypatch.setattr(picture_table, "find_spec", lambda _: None)
    with pytest.raises(DataError) as caught:
        read_pictures(path)
    assert caught.value.message == "the package pyarrow is missing"
    assert "pip install" in str(caught.value)
