import io
import os
import sys
from pathlib import Path

import pytest

from places.data.picture_sources import find_pictures
from places.errors import DataError


def _make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def _found(*sources: str, null: bool = False) -> list[str]:
    return [str(path) for path in find_pictures(sources, null=null)[0]]


def test_pictures_of_a_folder_come_in_natural_order() -> None:
    names = ["a/img1.jpg", "a/img2.jpg", "a/img10.jpg", "a10/x.jpg", "b/1.png", "b/002.png"]
    _make(*reversed(names))
    assert _found(".") == names


def test_sources_follow_each_other_and_each_picture_counts_once() -> None:
    _make("b/2.jpg", "b/1.jpg", "a.png", "c.png")
    assert _found("c.png", "b", "b/1.jpg", "a.png", "b") == ["c.png", "b/1.jpg", "b/2.jpg", "a.png"]


def test_patterns_are_filled_in_unless_a_file_has_that_name() -> None:
    _make("x/10.jpg", "x/9.jpg", "x/y/1.jpg", "[1].jpg", "1.jpg")
    assert _found("x/*.jpg") == ["x/9.jpg", "x/10.jpg"]
    assert _found("x/**/*.jpg") == ["x/9.jpg", "x/10.jpg", "x/y/1.jpg"]
    assert _found("[1].jpg") == ["[1].jpg"]
    with pytest.raises(DataError, match=r"no file is called like \*\.webp"):
        _found("*.webp")


@pytest.mark.parametrize("null", [False, True])
def test_lists_in_files_and_on_standard_input(monkeypatch: pytest.MonkeyPatch, null: bool) -> None:
    names = [b"b.jpg", b"a b.jpg", b"caf\xe9.jpg", b"gone.jpg", b"-"]
    names += [b"line\nbreak.jpg"] if null else []
    data = (b"\0" if null else b"\r\n").join(names) + (b"" if null else b"\n\n")
    Path("list.txt").write_bytes(data)
    expected = [os.fsdecode(name) for name in names]
    assert _found("@list.txt", null=null) == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert _found("-", null=null) == expected


def test_earlier_runs_are_no_pictures() -> None:
    _make("a.jpg", "runs/demo/0/config.yaml", "runs/demo/0/metrics.csv", "runs/demo/0/curves.png")
    _make("album/config.yaml", "album/b.jpg")
    pictures, left_out = find_pictures(["."], null=False)
    assert [str(path) for path in pictures] == ["a.jpg", "album/b.jpg"]
    assert "runs/demo/0/ (a run)" in str(left_out)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("list.txt", "type  @list.txt"),
        ("photos.zip", "unpack it"),
        ("nowhere", "`images` PICTURES"),
        ("@nowhere.txt", "an @ stands before the name of a list"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_to_type(name: str, hint: str) -> None:
    _make("list.txt", "photos.zip")
    with pytest.raises(DataError) as caught:
        _found(name)
    assert hint in str(caught.value)
