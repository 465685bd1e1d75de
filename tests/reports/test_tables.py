import json
import os
from pathlib import Path

import pyarrow.parquet
import pytest

from places.errors import ConfigError
from places.reports import parquet_table
from places.reports.line_file import is_locked
from places.reports.parquet_table import ParquetTable
from places.reports.prediction_row import PredictionRow
from places.reports.tables import ENDINGS, Table, check_ending, open_table

NAMES = [f"out{ending}" for ending in ENDINGS]
ROWS = [
    PredictionRow("a, \"b\"\n'c'\r.jpg", (1, 2), (0.75, 0.125), 0.875, 640, 480),
    PredictionRow("caf\udce9/\N{SNOWMAN}.jpg", error='no "picture", a\\x1b'),
    PredictionRow("=1+1", (3, 4), (0.5, 0.5), 0.25),
    *(PredictionRow(f"{number}\n", (number, 0), (1.0, 0.0), 1.0, 1, 1) for number in range(5, 9)),
]
AS_TEXT = [row.path.replace("\udce9", "\uefe9") for row in ROWS]


def _begun(path: Path) -> Table:
    table = open_table(path, 2)
    table.open()
    return table


def _paths(table: Table) -> list[str]:
    return [row.path for row in table.rows()]


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_there_as_soon_as_they_are_added(name: str, tmp_path: Path) -> None:
    table = _begun(tmp_path / "new" / name)
    assert table.is_empty()
    table.start(0)
    for number in range(0, len(ROWS), 2):
        table.add(ROWS[number : number + 2])
        assert _paths(table) == AS_TEXT[: number + 2]
    table.finish()
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_wherever_a_table_is_torn_its_whole_rows_remain(name: str, tmp_path: Path) -> None:
    whole = _begun(tmp_path / name)
    whole.start(0)
    whole.add(ROWS)
    data = whole.rows_path.read_bytes()
    whole.finish()
    expected = (tmp_path / name).read_bytes()
    path = tmp_path / "torn" / name
    path.parent.mkdir()
    ends = [data.find(b"\n", start) for start in range(len(data))]
    for size in {0, len(data), *range(1, len(data), 7), *ends, *(end + 1 for end in ends)}:
        torn = open_table(path, 2)
        path.unlink(missing_ok=True)
        torn.rows_path.write_bytes(data[: max(size, 0)])
        torn.open()
        num = len(_paths(torn))
        assert _paths(torn) == AS_TEXT[:num]
        torn.start(num)
        torn.add(ROWS[num:])
        torn.finish()
        assert path.read_bytes() == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_kept", [0, 3])
def test_a_finished_table_can_be_cut_and_continued(
    name: str, num_kept: int, tmp_path: Path
) -> None:
    table = _begun(tmp_path / name)
    table.start(0)
    table.add(ROWS)
    table.finish()
    expected = (tmp_path / name).read_bytes()
    table = _begun(tmp_path / name)
    assert _paths(table) == AS_TEXT
    table.start(num_kept)
    assert _paths(table) == AS_TEXT[:num_kept]
    table.add(ROWS[num_kept:])
    table.finish()
    assert (tmp_path / name).read_bytes() == expected


@pytest.mark.parametrize("name", NAMES)
def test_what_a_lost_power_leaves_is_cut(name: str, tmp_path: Path) -> None:
    table = _begun(tmp_path / name)
    table.start(0)
    table.add(ROWS)
    table.close()
    with table.rows_path.open("ab") as file:
        file.write(b"\0" * 50 + b"\n\xff\xfe\n")
    table = _begun(tmp_path / name)
    assert _paths(table) == AS_TEXT
    table.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_table_is_written_by_one_process(name: str, tmp_path: Path) -> None:
    table = _begun(tmp_path / name)
    table.start(0)
    assert is_locked(table.rows_path)
    with pytest.raises(ConfigError, match="another places predict writes"):
        open_table(tmp_path / name, 2).open()
    table.close()
    assert not is_locked(table.rows_path)
    assert not is_locked(tmp_path / "nothing")


def test_parquet_is_valid_at_any_moment_and_in_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_table, "_ROWS_PER_GROUP", 10)
    path = tmp_path / "out.parquet"
    table = _begun(path)
    table.start(0)
    made = [path.stat().st_ino]
    for number in range(100):
        rows = pyarrow.parquet.read_table(path).num_rows
        assert rows >= number // 2
        table.add([PredictionRow(str(number), (0, 1), (0.5, 0.25), 0.5)])
        if path.stat().st_ino != made[-1]:
            made.append(path.stat().st_ino)
    assert len(made) < 10
    lines = [json.loads(line) for line in (tmp_path / "out.parquet.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == list(map(str, range(100)))
    table.finish()
    with pyarrow.parquet.ParquetFile(path) as file:
        assert file.num_row_groups == 10
        assert file.read()["path"].to_pylist() == list(map(str, range(100)))
    assert os.listdir(tmp_path) == ["out.parquet"]  # noqa: PTH208  # names are enough


def test_without_pyarrow_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match="needs the package pyarrow") as caught:
        ParquetTable(tmp_path / "out.parquet", 5)
    assert "pip install 'places[parquet]'" in str(caught.value)


@pytest.mark.parametrize("name", ["out.tsv", "out", "", ".", "/", "out.csv.gz", "..", "a/.csv"])
def test_other_endings_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"must end with \.csv, \.jsonl or \.parquet") as caught:
        check_ending(Path(name))
    check_ending(Path(caught.value.hint[0].split()[-1]))


@pytest.mark.parametrize("name", ["out.csv", "OUT.CSV", "a.b.JSONL", "x.Parquet"])
def test_endings_may_be_capitals(name: str) -> None:
    check_ending(Path(name))
