"""Lists of pictures, pictures in tars and behind URLs: which are found, and what is refused."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.data.packing.official import jpeg, write_tar
from tests.data.remote.servers import run_hanging_server

from places.data import picture_sources
from places.data.picture_sources import find_pictures
from places.data.streaming.samples import Cache
from places.errors import ConfigError, DataError, StorageError


def _found(*sources: str, cache: Cache | None = None) -> list[str]:
    return [str(name) for name in find_pictures(sources, null=False, cache=cache)[0]]


TAR = {"a.jpg": jpeg(0), "in/b.jpg": jpeg(1), "in/notes.txt": b"x"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A tar with two pictures, one of them in a folder, and a text."""
    return write_tar(tmp_path / "photos.tar", TAR)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of such a tar, of a picture and of a list."""
    served = tmp_path_factory.mktemp("served")
    write_tar(served / "album.tar", TAR)
    (served / "c.jpg").write_bytes(jpeg(2))
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        run_hanging_server(served, "album.tar") as (url, _),
    ):
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        lines = ["c.jpg", "album.tar::a.jpg", f"{url}/d.jpg", f"{url}/album.tar::in/b.jpg"]
        lines += ["http://[broken/e.jpg", "file:///etc/f.jpg"]
        (served / "list.txt").write_text("\n".join(lines))
        yield url


def test_a_list_may_name_tars_and_pictures_in_them(photos: Path) -> None:
    Path("list.txt").write_text("photos.tar::in/b.jpg\nc.jpg\nphotos.tar\n")
    both = ["photos.tar::a.jpg", "photos.tar::in/b.jpg"]
    assert _found("@list.txt") == ["photos.tar::in/b.jpg", "c.jpg", *both]
    assert _found("photos.tar::in/b.jpg") == ["photos.tar::in/b.jpg"]
    with pytest.raises(DataError) as caught:
        _found("photos.tar::b.jpg")
    assert str(caught.value).splitlines() == [
        "photos.tar has no member b.jpg",
        "  see:  tar -tf photos.tar",
    ]


def test_pictures_behind_urls_are_found_by_each_of_their_names(url: str, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    member = f"{url}/album.tar::in/b.jpg"
    assert _found(member, f"{url}/c.jpg", cache=cache) == [member, f"{url}/c.jpg"]
    # What a list behind a URL names without one lies beside it, and never on this machine.
    write_tar(tmp_path / "album.tar", {"a.jpg": jpeg(7)})
    pictures, _ = find_pictures([f"@{url}/list.txt"], null=False, cache=cache)
    assert list(pictures) == [
        *(f"{url}/c.jpg", f"{url}/album.tar::a.jpg", f"{url}/d.jpg", member),
        *("http://[broken/e.jpg", "file:///etc/f.jpg"),
    ]
    first, second = pictures.source(1), pictures.source(3)
    assert callable(first)
    assert first() == TAR["a.jpg"]
    assert callable(second)
    assert second() == TAR["in/b.jpg"]
    for number, reason in ((4, "is no URL: "), (5, "leads to no file of this machine")):
        refuse = pictures.source(number)
        assert callable(refuse)
        with pytest.raises(DataError, match=reason):
            refuse()


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("{}/", ["{} is a folder behind a URL", "give the URLs of the pictures"]),
        ("{}/holiday/*.jpg", ["{}/holiday/*.jpg: patterns of names", "give numbers as in {{"]),
        ("{}/list.txt", ["{}/list.txt is no picture", "is it a list of pictures?  type  @{}"]),
        ("@{}/gone.txt", ["no list of pictures at {}/gone.txt: not found (404)"]),
    ],
)
def test_urls_of_no_picture_are_refused_with_what_to_type(
    url: str, source: str, lines: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        _found(source.format(url))
    found = str(caught.value).splitlines()
    for line, start in zip(found, lines, strict=True):
        assert line.strip().startswith(start.format(url))


def test_a_server_that_is_not_there_is_no_wrong_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(StorageError, match=r"http://127\.0\.0\.1:9/list\.txt"):
        _found("@http://127.0.0.1:9/list.txt", cache=Cache(timeout_s=1))


def test_text_that_is_no_url_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"http://\[broken/a\.jpg is no URL: "):
        _found("http://[broken/a.jpg")


def test_what_is_no_list_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("list.txt").write_bytes("a.jpg\nb.jpg\n".encode("utf-16"))
    with pytest.raises(DataError) as caught:
        _found("@list.txt")
    assert str(caught.value).splitlines() == [
        "list.txt has zero bytes in its lines",
        "  where one ends each path:  `null` true",
        "  where it is UTF-16: save it as UTF-8",
    ]
    monkeypatch.setattr(picture_sources, "_MOST_LIST_BYTES", 1000)
    data = b"a.jpg\n" * 166 + b"b.jp"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert _found("-") == ["a.jpg", "b.jp"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data + b"g")))
    with pytest.raises(DataError, match="standard input is no list: it has more than 1,000 bytes"):
        _found("-")


def test_a_tar_that_cannot_be_read_again_is_told_as_such(photos: Path) -> None:
    pictures, _ = find_pictures(["photos.tar::a.jpg"], null=False)
    read = pictures.source(0)
    assert callable(read)
    assert read() == TAR["a.jpg"]
    photos.rename(photos.with_name("moved.tar"))
    with pytest.raises(StorageError, match=r"cannot read photos\.tar"):
        read()


def test_a_tar_behind_a_url_is_kept_until_what_tells_of_it_is_damaged(
    url: str, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache")
    member = f"{url}/album.tar::a.jpg"
    assert _found(member, cache=cache) == [member]
    (kept,) = cache.folder.glob("*.tar")
    (record,) = cache.folder.glob("*.tar.json")
    kept.write_bytes(write_tar(tmp_path / "other.tar", {"a.jpg": jpeg(9)}).read_bytes())
    assert _read(member, cache) == jpeg(9)  # nothing was fetched
    record.write_text("{")
    assert _read(member, cache) == TAR["a.jpg"]
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=f"cannot keep {url}/album.tar in .*file"):
        _found(member, cache=Cache(tmp_path / "file"))


def _read(source: str, cache: Cache) -> bytes:
    pictures, _ = find_pictures([source], null=False, cache=cache)
    read = pictures.source(0)
    assert callable(read)
    return read()
