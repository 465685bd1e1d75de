import hashlib
import io
import os
import tarfile
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.packing.official import write_tar

from places.data.shards import tar_members as tar_files
from places.data.shards import tar_reader
from places.data.shards.tar_headers import header_of, is_header, padded
from places.data.shards.tar_members import hash_file, members_of
from places.errors import DataError

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def listing(path: Path) -> list[tuple[str, int, int]]:
    with tarfile.open(path) as tar:
        return [(m.name, m.offset_data, m.size) for m in tar if m.isfile()]


def our_listing(path: Path) -> list[tuple[str, int, int]]:
    files = (member for member in members_of(path) if not member.no_file)
    return [(member.name.decode(), member.offset, member.size_bytes) for member in files]


name_parts = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1)


@given(st.lists(name_parts, min_size=1, max_size=9).map("/".join), st.integers(0, (1 << 33) - 1))
def test_headers_equal_those_of_tarfile(name: str, size_bytes: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size_bytes
    if len(name.encode()) > 250 or name.endswith("/"):
        return
    try:
        expected = member.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
    except ValueError:
        with pytest.raises(DataError, match="too long for a tar of pictures"):
            header_of(name.encode(), size_bytes)
        return
    header = header_of(name.encode(), size_bytes)
    assert is_header(header)
    read = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    assert (read.name, read.size, read.mode, read.mtime) == (name, size_bytes, 0o644, 0)
    if len(name.encode()) <= 100:
        assert header == expected


def test_a_long_name_is_cut_where_both_parts_fit() -> None:
    name = f"{'a' * 60}/{'b' * 60}/{'c' * 60}.jpg"
    assert tarfile.TarInfo.frombuf(header_of(name.encode(), 1), "utf-8", "strict").name == name


@pytest.mark.parametrize("tar_format", FORMATS)
def test_members_are_those_that_tarfile_finds(tmp_path: Path, tar_format: int) -> None:
    files = {f"{'long' * 20}/{'name' * 20}/{i}.jpg": os.urandom(i * 97) for i in range(0, 999, 37)}
    path = write_tar(tmp_path / "a.tar", files, tar_format)
    assert our_listing(path) == listing(path)
    assert len(our_listing(path)) == len(files)


@pytest.mark.parametrize("tar_format", FORMATS[1:])
def test_very_long_names_come_from_the_extra_members(tmp_path: Path, tar_format: int) -> None:
    files = {f"{'long' * 90}/é{i}.jpg": b"x" * i for i in range(3)} | {"short.jpg": b"y"}
    path = write_tar(tmp_path / "a.tar", files, tar_format)
    assert our_listing(path) == listing(path)


def test_folders_are_passed_over_and_links_to_nothing_are_no_files(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for kind, link in (
            (tarfile.DIRTYPE, ""),
            (tarfile.SYMTYPE, "target" * 40),
            (tarfile.LNKTYPE, "x"),
        ):
            member = tarfile.TarInfo(f"{kind.decode()}name" * 30)
            member.type, member.linkname = kind, link
            tar.addfile(member)
        member = tarfile.TarInfo("picture.jpg")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    assert our_listing(tmp_path / "a.tar") == listing(tmp_path / "a.tar")
    assert [(member.name[:5], member.no_file) for member in members_of(tmp_path / "a.tar")] == [
        (b"pictu", ""),
        (b"1name", "a link to nothing"),
        (b"2name", "a link to nothing"),
    ]


def test_members_of_tars_inside_have_their_place_in_the_outer_file(tmp_path: Path) -> None:
    inner = write_tar(tmp_path / "inner.tar", {"b.jpg": b"second", "c.jpg": b"third"}).read_bytes()
    files = {"a.jpg": b"first", "inner.tar": inner, "d.jpg": b"fourth"}
    data = write_tar(tmp_path / "outer.tar", files).read_bytes()
    found = {
        name: data[offset : offset + size]
        for name, offset, size in our_listing(tmp_path / "outer.tar")
    }
    assert found == {"a.jpg": b"first", "b.jpg": b"second", "c.jpg": b"third", "d.jpg": b"fourth"}


@pytest.mark.parametrize("chunk_bytes", [512, 1536, 1 << 22])
def test_every_byte_is_hashed_and_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr(tar_files, "_CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(tar_reader, "_WINDOW_BYTES", chunk_bytes)
    path = write_tar(tmp_path / "a.tar", {f"{i}.jpg": os.urandom(700 * i) for i in range(9)})
    digest, passed = hashlib.md5(), list[int]()
    members = list(members_of(path, digest, passed.append))
    assert digest.hexdigest() == hashlib.md5(path.read_bytes()).hexdigest()
    assert sum(passed) == path.stat().st_size
    passed.clear()
    assert list(members_of(path, advance=passed.append)) == members
    assert sum(passed) == path.stat().st_size


@pytest.mark.parametrize("num_chunks", [0, 1, 3])
def test_hashing_ends_after_the_chunk_in_which_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_chunks: int
) -> None:
    monkeypatch.setattr(tar_files, "_CHUNK_BYTES", 1000)
    data = os.urandom(4500)
    (tmp_path / "a.tar").write_bytes(data)
    stop, chunks = Event(), list[bytes]()
    if num_chunks == 0:
        stop.set()

    class Digest:
        def update(self, data: memoryview, /) -> None:
            chunks.append(bytes(data))
            if len(chunks) == num_chunks:
                stop.set()

    hash_file(tmp_path / "a.tar", Digest(), stop)
    assert chunks == [data[1000 * i : 1000 * (i + 1)] for i in range(num_chunks)]


def test_hashing_ends_when_the_tar_turns_out_to_be_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(tar_files, "hash_file", lambda *words: told.append(words[2].wait(60)))
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"x"})
    os.truncate(path, 1024)
    with pytest.raises(DataError, match="is cut short"):
        list(members_of(path, hashlib.md5()))
    assert told == [True]


def test_a_tar_cut_at_any_block_is_noticed(tmp_path: Path) -> None:
    data = write_tar(tmp_path / "a.tar", {"a.jpg": b"x" * 600, "b.jpg": b"y" * 600}).read_bytes()
    path = tmp_path / "cut.tar"
    end = 2 * (512 + padded(600))
    for length in [*range(0, end + 1, 256), end + 511]:
        path.write_bytes(data[:length])
        what = f"is cut short at byte .* of {length:,}: " if length else "is no tar but empty"
        with pytest.raises(DataError, match=rf"cut\.tar {what}"):
            list(members_of(path))
    path.write_bytes(data[: end + 512])
    assert len(list(members_of(path))) == 2


def test_a_damaged_header_is_named_with_its_place(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"x" * 600, "b.jpg": b"y" * 600})
    data = bytearray(path.read_bytes())
    data[1536] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.tar is damaged: no tar header at byte 1,536"):
        list(members_of(path))


@pytest.mark.parametrize("record", [b"nonsense", b"0 path=a\n", b"5", b"2 x"])
def test_a_damaged_long_name_is_refused(tmp_path: Path, record: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        member = tarfile.TarInfo("pax")
        member.type, member.size = tarfile.XHDTYPE, len(record)
        tar.addfile(member, io.BytesIO(record))
    with pytest.raises(DataError, match="is damaged"):
        list(members_of(tmp_path / "a.tar"))


def test_text_where_the_checksum_should_be_is_no_header() -> None:
    assert not is_header(b"x" * 512)
    assert not is_header(bytes(512))


def test_a_file_that_shrinks_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {f"{i}.jpg": bytes(200_000) for i in range(4)})
    members = members_of(path)
    next(members)
    os.truncate(path, 1000)
    with pytest.raises(DataError, match="it shrank while it was read"):
        list(members)
