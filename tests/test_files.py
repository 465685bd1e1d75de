import errno
import os
import socket
from pathlib import Path

import pytest

from places.errors import DataError, StorageError
from places.files import (
    is_plain_name,
    keep_as,
    name_as_text,
    open_regular,
    read_json,
    storage_error,
    text_as_name,
    write_text,
    written_whole,
)


def test_text_is_replaced_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "file.txt", "first")
    write_text(tmp_path / "a" / "file.txt", "second")
    assert (tmp_path / "a" / "file.txt").read_text() == "second"
    assert len(list((tmp_path / "a").iterdir())) == 1


def test_what_fails_leaves_the_file_before_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "first")

    def fail() -> None:
        with written_whole(path) as partial:
            partial.write_text("half")
            assert partial.name == f".file.txt.{socket.gethostname()}.{os.getpid()}.partial"
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=r"cannot write .*file\.txt: No space left"):
        fail()
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_second_name_keeps_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError("no hard links here")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    last, previous = tmp_path / "last.txt", tmp_path / "kept" / "previous.txt"
    for text in ("first", "second"):
        write_text(last, text)
        keep_as(last, previous)
    write_text(last, "third")
    assert previous.read_text() == "second"
    assert [path.name for path in previous.parent.iterdir()] == ["previous.txt"]


def test_an_error_of_the_system_comes_with_a_remedy() -> None:
    full = storage_error("cannot write x", OSError(errno.ENOSPC, "No space left on device"))
    assert full.message == "cannot write x: No space left on device"
    assert "make room there" in full.hint[0]
    assert "check the disk" in storage_error("cannot read x", OSError("odd")).hint[0]


@pytest.mark.parametrize("name", ["train-000000.tar", "église à côté.jpg", "a" * 255, "x y", "🏠"])
def test_plain_names_may_be_joined(name: str) -> None:
    assert is_plain_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "c:x", ".hidden", "a\0", "a\nb"],
)
def test_names_that_lead_elsewhere_may_not(name: str) -> None:
    assert not is_plain_name(name)


@pytest.mark.parametrize(
    "name", ["\x1b[2J", "a\u202egpj", "a" * 256, "é" * 128, "a\udcff", None, 3, b"x", ["x"]]
)
def test_other_names_may_not(name: object) -> None:
    assert not is_plain_name(name)


@pytest.mark.parametrize("name", ["a.jpg", "é🏠", "caf\udce9", "\udc80\udcff/x"])
def test_names_of_any_bytes_become_texts_and_names_again(name: str) -> None:
    name_as_text(name).encode()
    assert text_as_name(name_as_text(name)) == name


def test_a_file_that_has_the_name_is_meant() -> None:
    Path("caf\uefe9").touch()
    assert text_as_name("caf\uefe9") == "caf\uefe9"


@pytest.mark.timeout(60)
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("text")
    (tmp_path / "link").symlink_to(path)
    for name in (path, tmp_path / "link", bytes(path)):
        with os.fdopen(open_regular(name)) as file:
            assert file.read() == "text"
    os.mkfifo(tmp_path / "pipe")
    for name, kind in ((tmp_path / "pipe", "a named pipe"), (tmp_path, "a folder")):
        with pytest.raises(DataError, match=f"{name} is {kind}, not a file"):
            open_regular(name)
    with pytest.raises(DataError, match="/dev/null is a device, not a file"):
        open_regular(Path("/dev/null"))
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[" * 9000, "nested too deep"),
        ("[NaN]", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' is there twice"),
        ("9" * 5000, "Exceeds the limit"),
        (" " * 9999, "more than 9,998 bytes"),
        ("\xff", "can't decode byte"),
    ],
)
def test_json_that_does_damage_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=reason):
        read_json(tmp_path / "x.json", 9998)
