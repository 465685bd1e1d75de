"""Folders with links in loops, pipes, sockets and odd names; pipes where files are wanted."""

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.data.packing.official import jpeg, write_tar
from tests.data.packing.unusual import Run, packed

import places.data
from places.data.packing import pack as pack_module
from places.data.packing.listing import Pictures
from places.data.packing.pack import pack as pack_sources
from places.data.packing.writer import Layout, lay_out
from places.data.shards.manifest import index_path, manifest_path
from places.errors import DataError

SOUND = {f"airfield/{number}": jpeg(number) for number in range(3)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three pictures."""
    folder = tmp_path / "folder"
    for key, content in SOUND.items():
        path = folder / f"{key}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def socket_at(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("make", "what"),
    [
        (os.mkfifo, "a named pipe"),
        (socket_at, "a socket"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.symlink_to("nothing"), "a link to nothing"),
        (lambda path: path.symlink_to(path.name), "a link in a loop"),
        (lambda path: path.symlink_to("."), "a link in a loop"),
        (lambda path: path.symlink_to(".."), "a link in a loop"),
    ],
)
@pytest.mark.parametrize("name", ["x.jpg", "x\x1b[2J\n.jpg", "x"])
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_what_is_no_file_is_not_opened_but_named(
    folder: Path, tmp_path: Path, pack: Run, make: Callable[[Path], None], what: str, name: str
) -> None:
    make(folder / "airfield" / name)
    status, lines = pack(folder)
    assert status == 0
    assert packed(tmp_path / "root") == SOUND
    assert lines[0].endswith("; 4 members = 3 packed + 1 left out")
    shown = name.encode("unicode_escape").decode()
    assert lines[1] == f"  left out (no files): airfield/{shown} ({what})"


def test_names_that_are_no_text_are_refused_or_counted(
    folder: Path, tmp_path: Path, pack: Run
) -> None:
    bad = os.fsencode(folder) + b"/airfield/\xff\x1b[2J"
    Path(os.fsdecode(bad + b".txt")).touch()
    Path(os.fsdecode(bad + b".png")).touch()
    status, lines = pack(folder)
    assert (status, lines[1]) == (2, r"  found:         airfield/\xff\x1b[2J.png")
    Path(os.fsdecode(bad + b".png")).unlink()
    status, lines = pack(folder)
    assert status == 0
    assert lines[1] == r"  left out (no pictures, or hidden): airfield/\xff\x1b[2J.txt"
    Path(os.fsdecode(bad + b".jpg")).write_bytes(jpeg(1))
    status, lines = pack(folder)
    assert (status, "is not UTF-8" in lines[0]) == (2, True)


def test_control_characters_in_names_of_pictures_are_packed_as_escapes(
    folder: Path, tmp_path: Path, pack: Run
) -> None:
    (folder / "airfield" / "a\tb\x7f.jpg").write_bytes(jpeg(7))
    assert pack(folder)[0] == 0
    assert packed(tmp_path / "root") == SOUND | {"airfield/a%09b%7F": jpeg(7)}


@pytest.mark.timeout(60)
def test_folders_as_deep_as_the_system_allows(tmp_path: Path, folder: Path, pack: Run) -> None:
    here, depth = os.open(folder, os.O_RDONLY), 1500
    try:
        for _ in range(depth):
            os.mkdir("a", dir_fd=here)
            inside = os.open("a", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inside
        os.close(os.open("x.txt", os.O_CREAT, dir_fd=here))
        os.close(here)
        status, lines = pack(folder)
    finally:
        subprocess.run(["rm", "-r", folder], check=True)  # too deep for Python's own
    assert status == 0
    assert lines[0].endswith("; 4 members = 3 packed + 1 left out")


def test_a_file_that_became_a_pipe_after_it_was_listed_is_not_opened(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap(pictures: Pictures, shard_size_bytes: int) -> Layout:
        (folder / "airfield" / "1.jpg").unlink()
        os.mkfifo(folder / "airfield" / "1.jpg")
        return lay_out(pictures, shard_size_bytes)

    monkeypatch.setattr(pack_module, "lay_out", swap)
    with pytest.raises(DataError, match=r"1\.jpg is a named pipe, not a file"):
        pack_sources([folder], tmp_path / "root", split="val")


# Pipes, sockets, devices and folders where a file is wanted


KINDS: dict[str, Callable[[Path], object]] = {
    "a named pipe": os.mkfifo,
    "a socket": socket_at,
    "a folder": Path.mkdir,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_what_is_no_file_is_refused_wherever_a_file_is_wanted(
    tmp_path: Path, run: Run, kind: str
) -> None:
    root = tmp_path / "root"
    source = write_tar(tmp_path / "sound.tar", {f"{key}.jpg": data for key, data in SOUND.items()})
    assert run("pack", source, "--root", root, "--split", "val")[0] == 0

    def put(path: Path) -> None:
        path.rename(tmp_path / "kept")
        KINDS[kind](path)

    def put_back(path: Path) -> None:
        path.rmdir() if kind == "a folder" else path.unlink()
        (tmp_path / "kept").rename(path)

    shard = root / "val-000000.tar"
    put(shard)
    for words, expected in ((["--decode"], 1), (["--index"], 1)):
        status, lines = run("verify", root, *words)
        assert (status, any(f"val-000000.tar is {kind}" in line for line in lines)) == (1, True)
        assert status == expected
    with pytest.raises(DataError, match=f"val-000000.tar is {kind}, not a file"):
        list(places.data.open(root, "val", 3, num_threads=1))
    index_path(root, "val").unlink()
    status, lines = run("verify", root, "--index")
    assert (status, f"val-000000.tar is {kind}" in lines[0]) == (2, True)
    put_back(shard)
    assert run("verify", root, "--index")[0] == 0

    for path in (index_path(root, "val"), manifest_path(root, "val")):
        put(path)
        status, lines = run("verify", root)
        assert (status, any(f"{path.name} is {kind}" in line for line in lines)) == (1, True)
        with pytest.raises(DataError, match=f"{path.name} is {kind}, not a file"):
            places.data.open(root, "val", 3)
        put_back(path)

    if kind != "a folder":
        for name in ("x.tar", "val_256.tar", "filelist_places365-standard.tar"):
            KINDS[kind](tmp_path / name)
            sources = [tmp_path / name, *([source] if "list" in name else [])]
            status, lines = run("pack", *sources, "--root", tmp_path / "new", "--split", "val")
            assert (status, f"{name} is {kind}, not a file" in lines[0]) == (2, True)
    assert run("verify", root, "--decode")[0] == 0


def test_shards_and_manifests_may_be_links(tmp_path: Path, run: Run) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    source = write_tar(tmp_path / "a.tar", {f"{key}.jpg": data for key, data in SOUND.items()})
    assert run("pack", source, "--root", elsewhere, "--split", "val")[0] == 0
    root.mkdir()
    for path in elsewhere.iterdir():
        (root / path.name).symlink_to(path)
    assert run("verify", root, "--decode")[0] == 0
    [batch] = places.data.open(root, "val", 3, num_threads=1)
    assert np.array_equal(batch["label"], [0, 0, 0])
