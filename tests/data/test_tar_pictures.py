"""What counts as a picture in a tar, and what tars are refused."""

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from places.data.picture_sources import find_pictures
from places.errors import DataError


def _tar(path: str, *members: tuple[str, bytes | str]) -> bytes:
    """Write a tar of files, and of symbolic links where a text is given."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return Path(path).read_bytes()


def _read(pictures: object, number: int) -> bytes:
    source = pictures.source(number)  # type: ignore[attr-defined]  # of Pictures
    data: bytes = source()
    return data


def test_tars_in_tars_links_and_two_tars_in_one() -> None:
    inner = _tar("inner.tar", ("x.jpg", b"inner"))
    first = _tar(
        "a.tar", ("x.jpg", b"outer"), ("deep/inner.tar", inner), ("link.jpg", "x.jpg"),
        ("lost.jpg", "nowhere"), (".hidden/y.jpg", b""), ("._x.jpg", b""), ("x.cls", b"3"),
    )  # fmt: skip
    Path("a.tar").write_bytes(first + _tar("b.tar", ("second.jpg", b"second")))
    pictures, left_out = find_pictures(["a.tar"], null=False)
    expected = {
        "a.tar::x.jpg": b"outer",
        "a.tar::deep/inner.tar::x.jpg": b"inner",
        "a.tar::second.jpg": b"second",
        "a.tar::link.jpg": b"outer",
    }
    assert list(pictures) == [*expected, "a.tar::lost.jpg"]
    assert [_read(pictures, number) for number in range(4)] == list(expected.values())
    with pytest.raises(DataError, match="a link to nothing"):
        _read(pictures, 4)
    assert left_out.count == 3
    again, _ = find_pictures(["a.tar::deep/inner.tar::x.jpg", "a.tar::x.jpg"], null=False)
    assert [_read(again, number) for number in range(2)] == [b"inner", b"outer"]


def test_labels_stand_beside_the_pictures_of_their_name() -> None:
    members: list[tuple[str, bytes | str]] = [
        ("a.jpg", b""), ("a.cls", b"3"), ("b.cls", b"beach\n"), ("b.png", b""), ("c.jpg", b""),
        ("d.jpg", b""), ("d.json", b"{}"), ("d.cls", b"7"), ("e.cls", b"1"),
    ]  # fmt: skip
    _tar("x.tar", *members)
    _tar("y.tar", ("a.jpg", b""))
    pictures, left_out = find_pictures(["x.tar", "y.tar", "x.tar"], null=False)
    labels = {pictures[number]: pictures.label(number) for number in range(len(pictures))}
    assert labels == {
        "x.tar::a.jpg": 3,
        "x.tar::b.png": 48,
        "x.tar::c.jpg": -1,
        "x.tar::d.jpg": 7,
        "y.tar::a.jpg": -1,
    }
    assert pictures.has_labels
    assert sorted(left_out.shown) == ["x.tar::d.json", "x.tar::e.cls"]
    one, _ = find_pictures(["x.tar::d.jpg"], null=False)
    assert [one.label(0)] == [7]
    assert not find_pictures(["y.tar"], null=False)[0].has_labels


@pytest.mark.parametrize("label", [b"365", b"-1", b"dog", b"", b"1" * 500, b"\xff"])
def test_a_tar_with_other_labels_has_none(label: bytes) -> None:
    _tar("x.tar", ("a.jpg", b""), ("a.cls", b"3"), ("b.jpg", b""), ("b.cls", label))
    pictures, left_out = find_pictures(["x.tar"], null=False)
    assert not pictures.has_labels
    assert left_out.count == 2


def test_tars_that_are_none_say_what_to_do() -> None:
    data = _tar("a.tar", ("x.jpg", os.urandom(3000)))
    for name, content, expected in [
        ("packed.tar", gzip.compress(data), "gzip -dc packed.tar"),
        ("cut.tar", data[:2000], "cut.tar is cut short"),
        ("noise.tar", b"\xfe" * 2000, "noise.tar is damaged"),
        ("text.tar", b"x" * 2000, "text.tar is no tar but a text that begins with 'xxx"),
        ("empty.tar", b"", "empty.tar is no tar but empty"),
        ("packed.tar.gz", gzip.compress(data), "gzip -dc packed.tar.gz > packed.tar"),
        ("a.zip", b"PK", "unzip a.zip -d FOLDER"),
    ]:
        Path(name).write_bytes(content)
        with pytest.raises(DataError) as caught:
            find_pictures([name], null=False)
        assert expected in str(caught.value)


def test_braces_stand_for_shards() -> None:
    for number in range(3):
        _tar(f"val-{number:06d}.tar", (f"{number}.jpg", b""))
    pictures, _ = find_pictures(["val-{000000..000002}.tar"], null=False)
    assert list(pictures) == [f"val-{number:06d}.tar::{number}.jpg" for number in range(3)]
    pictures, _ = find_pictures(["val-00000{0,2}.tar", "val-*.tar"], null=False)
    assert len(pictures) == 3
    with pytest.raises(DataError, match=r"no such file: val-000003\.tar"):
        find_pictures(["val-{000000..000003}.tar"], null=False)
    with pytest.raises(DataError, match="more than 1,000,000 names"):
        find_pictures(["{0..9999999}.jpg"], null=False)


def test_a_pattern_takes_pictures_and_counts_the_rest() -> None:
    for name in ("p/1.jpg", "p/10.jpg", "p/2.jpg", "p/notes.txt", "p/data.bin"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    pictures, left_out = find_pictures(["p/*"], null=False)
    assert (list(pictures), left_out.count) == (["p/1.jpg", "p/2.jpg", "p/10.jpg"], 2)
    assert list(find_pictures(["p/*.bin"], null=False)[0]) == ["p/data.bin"]


@pytest.mark.parametrize("name", ["²", "٣", "①"])
def test_names_of_odd_digits_are_no_numbers(name: str) -> None:
    Path("p", name).mkdir(parents=True)
    Path("p", name, "1.jpg").touch()
    assert list(find_pictures(["p"], null=False)[0]) == [f"p/{name}/1.jpg"]
