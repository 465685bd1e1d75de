"""Pictures sorted into folders: what the system refuses, and what a list of before may hold."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from places.categories import load_categories
from places.errors import StorageError
from places.reports.prediction_row import PredictionRow
from places.reports.sorted_folders import LIST_NAME, SortedFolders, Way

LABEL = load_categories().index("church/outdoor")


def _row(name: str) -> PredictionRow:
    path = Path("photos", name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(name.encode())
    return PredictionRow(str(path), (LABEL,), (1.0,))


def _sort(*rows: PredictionRow, by: Way = "link", num_before: int = 0) -> SortedFolders:
    folders = SortedFolders(Path("sorted"), by)
    folders.start(num_before)
    folders.add(rows)
    return folders


def _files() -> list[str]:
    return sorted(p.relative_to("sorted").as_posix() for p in Path("sorted").glob("*/*"))


def test_what_is_no_file_is_counted_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [_row("a.jpg"), PredictionRow("in/an.tar", (LABEL,), (1.0,)), PredictionRow("b.jpg")]
    _sort(*rows).finish()
    assert _files() == ["church-outdoor/a.jpg"]
    said = capsys.readouterr()
    assert "1 picture sorted into sorted" in said.out + said.err
    assert "1 not sorted: in/an.tar (no file)" in said.out + said.err


def test_a_full_disk_leaves_no_half_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = _row("a.jpg")

    def refuse(_source: Path, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copy2", refuse)
    folders = SortedFolders(Path("sorted"), "copy")
    folders.start(0)
    with pytest.raises(StorageError, match="No space left on device"):
        folders.add([row])
    folders.close()
    assert [path.name for path in Path("sorted").rglob("*") if path.is_file()] == [LIST_NAME]


@pytest.mark.parametrize("code", [errno.EXDEV, errno.ENOSPC])
def test_symbolic_links_where_there_are_no_others(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    row = _row("a.jpg")
    monkeypatch.setattr(os, "link", refuse)
    folders = _sort()
    if code == errno.ENOSPC:
        with pytest.raises(StorageError, match="No space left on device"):
            folders.add([row])
        folders.close()
        return
    folders.add([row])
    folders.close()
    target = Path("sorted/church-outdoor/a.jpg")
    assert target.is_symlink()
    assert target.read_bytes() == b"a.jpg"


@pytest.mark.parametrize("by", ["link", "copy"])
def test_what_came_after_the_rows_that_are_kept_is_taken_back(tmp_path: Path, by: Way) -> None:
    _sort(_row("a.jpg"), _row("b.jpg"), by=by).close()
    Path("sorted/.picture.1.partial").touch()
    folders = SortedFolders(Path("sorted"), by)
    folders.start(1)
    assert _files() == ["church-outdoor/a.jpg"]
    assert len(Path("sorted", LIST_NAME).read_text().splitlines()) == 1
    folders.add([_row("a.jpg")])
    folders.close()
    assert _files() == ["church-outdoor/a (2).jpg", "church-outdoor/a.jpg"]


@pytest.mark.parametrize(
    "change",
    [{"row": "0"}, {"path": 1}, {"folder": ".."}, {"name": "../../photos/b.jpg"}, {"path": "else"}],
    ids=str,
)
def test_a_list_of_before_removes_nothing_but_what_was_sorted(
    tmp_path: Path, change: dict[str, object]
) -> None:
    mine, other = _row("a.jpg"), _row("b.jpg")
    _sort(mine).close()
    entry = json.loads(Path("sorted", LIST_NAME).read_text()) | change
    Path("sorted", LIST_NAME).write_text(json.dumps(entry) + "\n")
    _sort(num_before=0).close()
    assert Path(other.path).read_bytes() == b"b.jpg"
    assert _files() == ["church-outdoor/a.jpg"]


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"row": 0}'])
def test_a_torn_list_ends_there(tmp_path: Path, line: str) -> None:
    _sort(_row("a.jpg")).close()
    with Path("sorted", LIST_NAME).open("a") as file:
        file.write(f"{line}\n")
    _sort(num_before=1).close()
    assert _files() == ["church-outdoor/a.jpg"]
    assert len(Path("sorted", LIST_NAME).read_text().splitlines()) == 1
