"""Files that this user may not read, or that nobody can read now: one rule for all ways to them."""

import csv
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]  # ships no type information
import pytest
from PIL import Image
from tests.integration.stages import run

import places.cli.stages
from places.data.picture_sources import find_pictures
from places.data.streaming.picture_files import decode_file
from places.errors import DataError, StorageError

NOBODY = 65534
IMPORTED_BEFORE = (fsspec, places.cli.stages)  # it reads files of the user who imports it
STORAGE = [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EREMOTEIO, errno.ENOMEM]
OF_ONE_FILE = [errno.EACCES, errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG]
WORDS = ["--random_weights", "--model.net=tests.networks.Tiny", "--data.image_size=32"]


class Failing:
    """Lets the system refuse what has to do with paths that contain a text.

    Args:
        monkeypatch: Puts all back at the end of the test.
        name: A part of the path.
        number: What the system answers.
        ways: "stat", "scandir", "open" or "read".
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, number: int, *ways: str) -> None:
        self.name, self.number = name, number
        for way in ways:
            function = {"stat": "stat", "scandir": "scandir", "open": "open", "read": "fdopen"}[way]
            monkeypatch.setattr(os, function, self._changed(getattr(os, function), way))

    def _changed(self, function: Any, way: str) -> Any:  # noqa: ANN401  # any of os
        def changed(path: Any, *rest: Any, **named: Any) -> Any:  # noqa: ANN401  # as it takes
            found = Path(f"/proc/self/fd/{path}").readlink() if isinstance(path, int) else path
            if self.name not in str(found):
                return function(path, *rest, **named)
            error = OSError(self.number, os.strerror(self.number), str(found))
            if way != "read":
                raise error
            return _Unreadable(function(path, *rest, **named), error)

        return changed


class _Unreadable:
    def __init__(self, file: Any, error: OSError) -> None:  # noqa: ANN401  # any file
        self._file, self._error = file, error

    def __enter__(self) -> "_Unreadable":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fileno(self) -> int:
        return int(self._file.fileno())

    def read(self, *_: object) -> bytes:
        raise self._error


def _make(*names: str) -> None:
    for number, name in enumerate(names):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (number * 20, 0, 0)).save(name)


def _rows() -> dict[str, str]:
    """Return the error of each picture of the only run."""
    (file,) = Path("runs").rglob("predictions.csv")
    with file.open(encoding="utf-8", newline="") as opened:
        return {row["path"]: row["error"] for row in csv.DictReader(opened)}


@pytest.fixture
def _as_nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working folder for a user who may not read everything."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o777)
        monkeypatch.chdir(folder)
        try:
            yield
        finally:
            if os.getuid() == 0:
                os.seteuid(0)
            for path in sorted(Path(folder).rglob("*")):
                path.chmod(0o777)
            os.chdir("/")


@pytest.mark.usefixtures("_as_nobody")
def test_what_this_user_may_not_read_is_a_row_or_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _make("photos/a.png", "photos/locked.png", "photos/listed/b.png", "photos/listed/sub/c.png")
    _make("photos/closed/d.png")
    Path("photos/locked.png").chmod(0)
    Path("photos/listed").chmod(0o444)  # its names are there, nothing in it can be opened
    Path("photos/closed").chmod(0)
    Path("runs").mkdir()
    Path("runs").chmod(0o777)
    if os.getuid() == 0:
        os.seteuid(NOBODY)
    sources = ["photos", "photos/listed/*.png", "photos/listed/gone.png", "photos/locked.png"]
    assert run("predict", *sources, *WORDS) == 1
    errors = _rows()
    names = ["a.png", "listed/b.png", "locked.png", "listed/gone.png"]
    assert list(errors) == [f"photos/{name}" for name in names]
    assert errors.pop("photos/a.png") == ""
    assert set(errors.values()) == {"not a readable picture: Permission denied"}
    told = capsys.readouterr().err
    assert "photos/closed/ (Permission denied)" in told
    assert "photos/listed/sub/ (Permission denied)" in told


@pytest.mark.parametrize("number", STORAGE, ids=errno.errorcode.get)
@pytest.mark.parametrize("way", ["stat", "scandir", "open", "read"])
def test_what_concerns_the_storage_is_no_fault_of_a_picture(
    monkeypatch: pytest.MonkeyPatch, way: str, number: int
) -> None:
    _make("photos/a.png", "photos/deep/broken.png")
    Failing(monkeypatch, "deep", number, way)
    picture = "photos/deep/broken.png"
    do: Callable[[], object] = {
        "stat": partial(find_pictures, [picture], null=False),
        "scandir": partial(find_pictures, ["photos"], null=False),
    }.get(way, partial(decode_file, Path(picture), 10**6))
    with pytest.raises(StorageError) as caught:
        do()
    assert os.strerror(number) in str(caught.value)
    assert "deep" in caught.value.message


@pytest.mark.parametrize("number", STORAGE[:3], ids=errno.errorcode.get)
@pytest.mark.parametrize("source", ["photos/deep/*.png", "@deep.txt", "photos/deep.tar"])
def test_the_rule_holds_for_every_kind_of_source(
    monkeypatch: pytest.MonkeyPatch, source: str, number: int
) -> None:
    _make("photos/deep/broken.png")
    Path("deep.txt").write_text("photos/deep/broken.png")
    Path("photos/deep.tar").write_bytes(bytes(10240))
    Failing(monkeypatch, "deep", number, "scandir", "open")
    with pytest.raises(StorageError, match=os.strerror(number)):
        find_pictures([source], null=False)


@pytest.mark.parametrize("number", OF_ONE_FILE, ids=errno.errorcode.get)
@pytest.mark.parametrize("way", ["open", "read"])
def test_what_concerns_one_file_is_its_row(
    monkeypatch: pytest.MonkeyPatch, way: str, number: int
) -> None:
    _make("photos/deep/broken.png")
    Failing(monkeypatch, "deep", number, way)
    with pytest.raises(DataError) as caught:
        decode_file(Path("photos/deep/broken.png"), 10**6)
    assert not isinstance(caught.value, StorageError)
    assert os.strerror(number) in caught.value.message


def test_a_storage_that_fails_in_between_stops_in_few_lines_with_the_rows_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"photos/{number}.png" for number in range(6)]
    _make(*names)
    Failing(monkeypatch, "photos/4.png", errno.ESTALE, "read")
    assert run("predict", "photos", *WORDS, "--data.batch_size=1") == 2
    lines = capsys.readouterr().err.splitlines()
    at = next(number for number, line in enumerate(lines) if "places: error: " in line)
    assert lines[at].startswith("places: error: cannot read photos/4.png: Stale file handle")
    assert len(lines) - at <= 3
    assert _rows() == dict.fromkeys(names[:4], "")


def test_a_picture_that_vanishes_after_it_was_listed_is_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _make("photos/0.png", "photos/1.png")
    Failing(monkeypatch, "photos/1.png", errno.ENOENT, "open")
    assert run("predict", "photos", *WORDS) == 1
    assert "No such file" in _rows()["photos/1.png"]
