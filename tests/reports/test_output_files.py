"""Files that grow while predictions are made: damaged, of others, or refused by the system."""

import errno
import fcntl
import io
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tests.failing_files import FailingFiles

from places.errors import DataError, StorageError
from places.reports.embeddings import Embeddings
from places.reports.gallery.record_file import Record, RecordFile
from places.reports.line_file import LineFile
from places.reports.parquet_table import ParquetTable
from places.reports.prediction_row import PredictionRow
from places.reports.prediction_state import PredictionState, read_state, state_path
from places.reports.table_formats import CsvFormat, JsonFormat

ROWS = [
    PredictionRow("a.jpg", (3, 4), (0.75, 0.25), 0.5, 40, 30, label=7),
    PredictionRow("b.jpg", error="not a readable picture"),
]


def _features(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


def _line_file(path: Path, text: bytes) -> list[str]:
    path.write_bytes(text)
    return [record for _, record in LineFile(path, "head\n").records()]


def test_records_end_where_the_first_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    assert _line_file(path, b"head\none\ntwo\n") == ["one\n", "two\n"]
    assert _line_file(path, b"head\none\n\xff\xfe\nthree\n") == ["one\n"]
    assert _line_file(path, b"head\none\ntwo") == ["one\n"]
    assert _line_file(path, b"other\none\n") == []
    long = b"x" * 2**20
    assert _line_file(path, b"head\none\n" + long + b"\nthree\n") == ["one\n"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO])
def test_a_file_system_without_locks_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(file: io.FileIO, operation: int) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(fcntl, "flock", refuse)
    file = LineFile(tmp_path / "lines")
    if number == errno.EIO:
        with pytest.raises(StorageError, match=r"cannot write .*lines"):
            file.open()
        return
    file.open()
    file.add("one\n")
    file.finish()
    assert (tmp_path / "lines").read_text() == "one\n"


def test_what_the_disk_refuses_is_told_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, records = LineFile(tmp_path / "bad-lines"), RecordFile(tmp_path / "bad-records")
    features = Embeddings(tmp_path / "bad.npy")
    lines.open()
    lines.add("one\n")
    features.start(0)
    features.num_features = 2
    features.add([PredictionRow("a.jpg", features=_features(1, 2))])
    records.cut(0)
    FailingFiles(monkeypatch, "bad", errno.EIO)
    for finish in (lines.finish, features.finish):
        with pytest.raises(StorageError, match=r"cannot write .*bad"):
            finish()
    with pytest.raises(StorageError, match=r"cannot write .*bad-records"):
        records.add([Record({"a": 1}, b"12345")])
    assert list(records) == []
    FailingFiles(monkeypatch, "bad", errno.EROFS)
    with pytest.raises(StorageError, match=r"cannot write .*bad-records"):
        records.cut(0)
    with pytest.raises(StorageError, match=r"cannot write .*bad\.npy"):
        Embeddings(tmp_path / "bad.npy").start(0)
    lines.close()


def test_features_go_on_only_where_those_of_the_first_rows_are(tmp_path: Path) -> None:
    path = tmp_path / "features.npy"
    rows = [PredictionRow(f"{i}.jpg", features=_features(i, i / 2, -i)) for i in range(3)]
    rows.insert(1, PredictionRow("bad.jpg", error="damaged"))
    kept = Embeddings(path)
    kept.num_features = 3
    kept.start(0)
    kept.add(rows[:3])
    kept.close()  # as a run that is killed leaves it
    again = Embeddings(path)
    again.start(2)
    again.add(rows[2:])
    again.finish()
    expected = np.array(
        [[0, 0, 0], [np.nan] * 3, [1, 0.5, -1], [2, 1, -2]],
        np.float32,
    )
    np.testing.assert_array_equal(np.load(path), expected)

    def refused(num_rows: int = 2) -> str:
        other = Embeddings(path)
        with (
            closing(other),
            pytest.raises(DataError, match=r"cannot go on with .*features\.npy") as caught,
        ):
            other.start(num_rows)
        assert "--predictions.overwrite true" in str(caught.value)
        return caught.value.message

    assert "not the features of the first 5 rows" in refused(5)
    for other in (expected.astype(np.float64), expected[0], expected[:1]):
        np.save(path, other)
        refused()
    path.write_bytes(b"no array at all")
    refused()
    path.unlink()
    assert "it is gone" in refused()


def test_records_are_kept_up_to_the_first_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "records"
    file = RecordFile(path)
    records = [Record({"number": number}, bytes([number]) * 4) for number in range(3)]
    assert (list(file), file.cut(2)) == ([], 0)
    file.add(records)
    whole = path.read_bytes()
    size_bytes = len(whole) // 3
    assert list(file) == records

    def after(position: int) -> list[Record]:
        """Return what is left when a byte of the second record is another one."""
        at = size_bytes + position
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        assert file.cut(3) == len(list(file))
        return list(file)

    assert after(0) == records[:1]  # its mark
    assert after(7) == records[:1]  # its length: far too long
    assert after(size_bytes - 1) == records[:1]  # its data
    path.write_bytes(whole[:-1])
    assert list(file) == records[:2]
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageError, match=r"cannot read .*records"):
        list(file)


@pytest.mark.parametrize(
    "record",
    [
        '"a.jpg","x",3,0.5\n',
        '"a.jpg","x",3,0.5,"indoor",0.5,40,30,""\n',  # of one guess instead of two
        '"a.jpg"x,"x",3,0.5,"y",4,0.25,"indoor",0.5,40,30,""\n',
        '"a.jpg","x",three,0.5,"y",4,0.25,"indoor",0.5,40,30,""\n',
        '"a.jpg","x"',
        "",
    ],
)
def test_a_line_that_is_no_row_of_csv_is_refused(record: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whatever it says
        CsvFormat(2).read(record)


@pytest.mark.parametrize("record", ["[]", "3", '{"path": "a.jpg"}', "no JSON", '"indices"'])
def test_a_line_that_is_no_row_of_json_is_refused(record: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whatever it says
        JsonFormat().read(record)


def test_rows_of_parquet_with_labels_are_those_that_were_written(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    table = ParquetTable(path, 2, labelled=True)
    table.open()
    assert table.is_empty()
    assert not table.has_rows()
    table.start(0)
    table.add(ROWS)
    assert table.has_rows()
    assert list(table.rows()) == ROWS
    table.finish()
    again = ParquetTable(path, 2, labelled=True)
    again.open()
    assert again.has_rows()
    assert list(again.rows()) == ROWS
    # What is damaged is no empty table: it is not written over.
    path.write_bytes(path.read_bytes()[:-8])
    assert again.has_rows()
    assert not again.is_empty()
    again.clear()
    assert again.is_empty()
    assert not path.exists()
    again.close()


def test_what_made_a_table_is_not_believed_of_another_version(tmp_path: Path) -> None:
    table = tmp_path / "out.csv"
    state = PredictionState({"--model.net": "places.models.VGG"}, complete=True)
    assert read_state(table) is None
    state.write(table)
    assert read_state(table) == state
    text = state_path(table).read_text()
    for old, new in (
        ('"version": 1', '"version": 2'),
        ('"about": "how', '"abou": "how'),
        ("{", "["),
    ):
        state_path(table).write_text(text.replace(old, new, 1))
        assert read_state(table) is None
    state_path(table).unlink()
    state_path(table).mkdir()
    with pytest.raises((StorageError, DataError), match=r"out\.csv\.json"):
        read_state(table)
