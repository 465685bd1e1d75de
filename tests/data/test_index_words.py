"""What `places index` says of files and words that are not what they should be."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from tests.data.packing.official import jpeg, write_tar

from places.cli.main import main as places_main
from places.data.remote.urls import open_url
from places.errors import PlacesError


def told(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[str]]:
    status = places_main(["index", *map(str, words)])
    printed = capsys.readouterr()
    return status, [*printed.err.splitlines(), *printed.out.splitlines()]


def without_end(data: bytes) -> bytes:
    """Return a tar without the blocks of zeros behind its last member."""
    return data[: -(-len(data.rstrip(b"\0")) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE]


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"


@pytest.mark.parametrize(
    ("data", "what", "hint"),
    [
        (b"", "empty", "get it again"),
        (LFS, "a pointer of Git LFS", "git lfs pull"),
        (b"<!DOCTYPE html>\n<title>404</title>" * 99, "a web page", "what the server sends"),
        (b'{"error": "no such file"}', 'JSON that begins with \'{"error": ', "the server sends"),
        (b"not found\n" * 99, "a text that begins with 'not found not", "the server sends"),
        (jpeg(1), "a picture (JPEG)", "places pack FOLDER"),
        (b"\x5d\0\0\x80\0" + bytes(range(1, 200)), "lzma", "xz --format=lzma -dc {path} >"),
        (b"\x89HDF\r\n\x1a\n" + bytes(999), "HDF5", "pack that"),
    ],
)
def test_what_is_no_tar_is_called_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, what: str, hint: str
) -> None:
    path = tmp_path / "train-0.tar"
    path.write_bytes(data)
    status, lines = told(capsys, path)
    assert (status, len(lines)) == (2, 2)
    assert lines[0].startswith(f"places: error: {path} is no tar but {what}")
    assert hint.format(path=path) in lines[1]


def test_a_tar_without_the_mark_of_its_end_is_refused_with_the_way_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_tar(tmp_path / "train-0.tar", {"a.jpg": jpeg(1), "a.cls": b"1"})
    path.write_bytes(without_end(path.read_bytes()))
    status, lines = told(capsys, path)
    assert (status, lines[1]) == (2, "  get it again")
    assert lines[2:] == ["  if all of it is there, add the mark:  head -c 1024 /dev/zero >> FILE"]
    with path.open("ab") as file:
        file.write(bytes(1024))
    assert told(capsys, path)[0] == 0


@pytest.mark.parametrize(
    ("files", "lines"),
    [
        # What could be the picture is named, and no other order of the members is asked for.
        ({"a.pnm": b"P6", "a.cls": b"1"}, ["a .cls and no picture that is read", "found:     pnm"]),
        ({"a.jpg.gz": b"x", "a.cls": b"1"}, ["no picture that is read", "found:     jpg.gz"]),
        ({"a.npy": b"x", "a.txt": b"x", "a.cls": b"1"}, ["that is read", "found:     npy"]),
        ({"b.npy": b"x", "README": b"x"}, ["no pictures in", "found:     README, b.npy"]),
        # Parts of one sample: they would fall apart if they were renamed.
        ({"a.in.jpg": b"x", "a.out.png": b"x", "a.cls": b"1"},
         ["one picture and one label", "found:  in.jpg, out.png, cls", "which is meant?"]),
        ({"a.jpg": b"x", "a.one.cls": b"1", "a.two.cls": b"2"},
         ["one picture and one label", "found:  jpg, one.cls, two.cls", "which is meant?"]),
        ({"a.jpg": b"x", "a.cls": b"1", "b.jpg": b"x"},
         ["no .cls for 1 of 2", "without:  b in", "a label for each picture, or without those"]),
        ({"a.jpg": b"x", "a.cls": b"Art Gallery"},
         ["is 'Art Gallery', not 0 to 364", "nearest:  art_gallery"]),
        ({"a.jpg": b"x", "a.cls": b"\x1b[31m"}, ["is '\\x1b[31m', not 0 to 364"]),
    ],
)  # fmt: skip
def test_samples_that_cannot_be_indexed_are_told_what_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, bytes], lines: list[str]
) -> None:
    status, found = told(capsys, write_tar(tmp_path / "train-0.tar", files))
    assert status == 2
    assert len(found) <= 4
    for line, part in zip(found, lines, strict=False):
        assert part in line


def test_labels_in_other_members_are_pointed_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"a.jpg": jpeg(1), "a.txt": b"airfield\n", "b.jpg": jpeg(2), "b.txt": b"arch"}
    status, lines = told(capsys, write_tar(tmp_path / "train-0.tar", files))
    assert (status, lines[0]) == (
        0,
        "train: .txt may hold labels, which are read from .cls and .json only: "
        "write the tar again with .cls",
    )
    files = {"a.jpg": jpeg(1), "a.txt": b"a picture of an airfield"}
    status, lines = told(capsys, write_tar(tmp_path / "val-0.tar", files))
    assert (status, len(lines)) == (0, 1)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_labels_in_json_are_read_in_any_encoding_of_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str
) -> None:
    described = json.dumps({"label": 7.0}).encode(encoding)  # as pandas has numbers beside gaps
    path = write_tar(tmp_path / "train-0.tar", {"a.jpg": jpeg(1), "a.json": described})
    assert told(capsys, path, "--label_key", "label")[0] == 0
    assert np.load(tmp_path / "train.index.npy")["label"].tolist() == [
        json.loads(described)["label"]
    ]


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["{0}", "--split", "test"], ["{0} holds no shards of test by their names, but of train"]),
        (["{0}/x*.tar"], ["no file is called like {0}/x*.tar", "give tars, a folder of tars or"]),
        (["{0}/train-{{0..}}.tar"], ["no such file or folder: {0}/train-{{0..}}.tar"]),
        (["{0}/train-{{0..9999999}}.tar"], ["stands for more than 1,000,000", "65,536 shards at"]),
        (["{0}/train-link.tar"], ["no such file or folder: {0}/train-link.tar"]),
        (["{0}/train-0.TAR", "--root", "{0}/train-0.TAR"],
         ["cannot write to {0}/train-0.TAR: File exists", "is in the way: choose another"]),
    ],
)  # fmt: skip
def test_words_for_shards_are_answered_by_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], lines: list[str]
) -> None:
    write_tar(tmp_path / "train-0.TAR", {"a.jpg": jpeg(1), "a.cls": b"1"})
    (tmp_path / "train-link.tar").symlink_to("nothing")
    status, found = told(capsys, *(word.format(tmp_path) for word in words))
    assert (status, len(found) <= 4) == (2, True)
    for line, part in zip(found, lines, strict=False):
        assert part.format(tmp_path) in line


def test_a_folder_of_tars_with_capitals_is_a_folder_of_tars(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tar(tmp_path / "TRAIN-0.TAR", {"a.jpg": jpeg(1), "a.cls": b"1"})
    assert told(capsys, tmp_path)[0] == 0


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://", "http://... names no server"),
        ("https:///shard.tar", "https://... names no server"),
        ("s3:///shard.tar", "s3://... names no bucket"),
        ("http://host:99999/shard.tar", "its port is no number from 0 to 65535"),
        ("http://user:pa/ss@host/shard.tar", "its port is no number from 0 to 65535"),
    ],
)
def test_urls_that_lead_nowhere_are_refused_before_they_are_asked_for(
    url: str, message: str
) -> None:
    with pytest.raises(PlacesError, match=message) as caught:
        open_url(url)
    assert "pa/ss" not in "\n".join([caught.value.message, *caught.value.hint])


def test_the_scheme_of_a_url_may_have_capitals() -> None:
    assert open_url("HTTP://host/Places").url == "http://host/Places"
