"""A cache whose disk vanishes, is full, read-only or broken: healed, or named in two lines."""

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.data.packing.official import jpeg, jpeg_or_ppm, write_tar
from tests.integration.stages import MACHINE, TINY_RECIPE

import places.data
from places import errors
from places.cli.main import main
from places.data.loader import Loader
from places.data.packing.indexing import index_shards
from places.data.remote import download
from places.data.remote.fetch import fetch_manifest
from places.data.remote.prefetch import RemoteShards

NUM_SHARDS = 6


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Mixed shards."""
    for split in ("train", "val"):
        for shard in range(NUM_SHARDS):
            files = {}
            for number in range(shard * 4, shard * 4 + 4):
                ending, picture = jpeg_or_ppm(number, 40)
                files[f"{number:04d}.{ending}"] = picture
                files[f"{number:04d}.cls"] = b"1"
            write_tar(tmp_path / "served" / f"{split}-{shard:06d}.tar", files)
        index_shards(tmp_path / "served", split)
    return tmp_path / "served"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


_FUNCTIONS = {"open": ("open",), "rename": ("rename", "replace"), "mkdir": ("mkdir",)}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@contextmanager
def _refusing(folder: Path, work: str, number: int) -> Iterator[list[str]]:
    """Let the system refuse what changes a folder; what was refused is noted."""
    refused: list[str] = []

    def replaced(function: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(path: Any, *rest: Any, **named: Any) -> Any:  # noqa: ANN401  # as `os` takes it
            place = str(Path(f"/proc/self/fd/{path}").readlink() if isinstance(path, int) else path)
            reads = work == "open" and not rest[0] & _WRITES
            if reads or not place.startswith(str(folder)):
                return function(path, *rest, **named)
            refused.append(place)
            raise OSError(number, os.strerror(number), place)

        return refuse

    with pytest.MonkeyPatch.context() as patch:
        for name in _FUNCTIONS.get(work, (work,)):
            patch.setattr(os, name, replaced(getattr(os, name)))
        yield refused


def _validate(root: Path, cache: Path) -> int:
    words = ["--random_weights", "true", "--data.root", root.as_uri()]
    return main(["validate", *TINY_RECIPE, *MACHINE, *words, "--data.cache_folder", str(cache)])


def _only_two_lines(error: str, cache: Path) -> None:
    lines = error[error.index("places: error: ") :].splitlines()
    assert len(lines) == 2, lines
    assert str(cache) in lines[0]
    assert lines[1].startswith("  ")
    assert "Traceback" not in error


REFUSALS = [
    *(("open", number) for number in (errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EIO)),
    *(("rename", number) for number in (errno.EROFS, errno.ENOSPC, errno.EIO, errno.EDQUOT)),
    *(("mkdir", number) for number in (errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EIO)),
]


@pytest.mark.parametrize(("work", "number"), REFUSALS)
def test_a_disk_that_refuses_is_named_in_two_lines(
    work: str, number: int, root: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _refusing(cache, work, number) as refused:
        assert _validate(root, cache) == 2
        assert refused
    error = capsys.readouterr().err
    _only_two_lines(error, cache)
    assert os.strerror(number) in error
    if number == errno.ENOSPC:
        assert "make room there" in error
    assert _validate(root, cache) == 0  # what is there by now is no hindrance


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO])
def test_what_only_notes_the_use_of_a_file_may_fail(number: int, root: Path, cache: Path) -> None:
    with _refusing(cache, "utime", number) as refused:
        assert _validate(root, cache) == 0
        assert refused


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO])
def test_a_disk_that_breaks_between_two_shards_is_named(
    number: int, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = fetch_manifest(root.as_uri(), "val", cache)
    shards = RemoteShards(root.as_uri(), manifest, 10**9)
    os.close(shards.open(0))
    with _refusing(cache, "open", number), pytest.raises(errors.StorageError) as caught:
        shards.open(1)
    assert str(cache) in caught.value.message
    os.close(shards.open(1))


def test_a_cache_that_is_a_file_is_named(
    root: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.write_text("no folder")
    assert _validate(root, cache) == 2
    _only_two_lines(capsys.readouterr().err, cache)
    assert _validate(root, cache / "below") == 2
    _only_two_lines(capsys.readouterr().err, cache)


@pytest.mark.skipif(os.getuid() != 0, reason="mounts a small disk")
@pytest.mark.parametrize("size_kb", [8, 16, 32])
def test_a_full_disk_is_named(
    size_kb: int, root: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.mkdir()
    if os.system(f"mount -t tmpfs -o size={size_kb}k none {cache} 2> /dev/null") != 0:
        pytest.skip("this container may not mount")
    try:
        assert _validate(root, cache) == 2
        error = capsys.readouterr().err
        _only_two_lines(error, cache)
        assert "No space left" in error
        assert "type a smaller --data.cache_size_gb" in error
    finally:
        os.system(f"umount -l {cache}")  # threads that end meanwhile may hold files in it


def _one_by_one(url: str | Path, cache: Path, split: str = "val") -> Loader:
    return places.data.open(
        url, split, 4, image_size=32, resize_size=36, num_threads=2, cache_folder=cache
    )


@pytest.mark.parametrize("split", ["val", "train"])
def test_a_cache_that_is_removed_under_a_run_is_made_again(
    split: str, root: Path, cache: Path
) -> None:
    loader = _one_by_one(root.as_uri(), cache, split)
    for epoch in range(2):  # the second one finds no index either
        for number, (batch, local) in enumerate(
            zip(loader, _one_by_one(root, cache, split), strict=True)
        ):
            assert torch.equal(batch["image"], local["image"])
            if number % 2 == epoch:
                shutil.rmtree(cache, ignore_errors=True)
        shutil.rmtree(cache, ignore_errors=True)


def test_a_cache_that_is_removed_all_the_time_is_no_endless_loop(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.01)
    stop = threading.Event()

    def remove() -> None:
        while not stop.is_set():
            shutil.rmtree(cache, ignore_errors=True)

    thread, told = threading.Thread(target=remove), []
    thread.start()
    try:
        for _ in range(3):
            try:
                list(_one_by_one(root.as_uri(), cache))
            except errors.StorageError as error:
                told.append(str(error).splitlines())
        assert all(len(lines) == 2 and str(cache) in lines[0] for lines in told)
    finally:
        stop.set()
        thread.join()


def test_replaced_data_end_a_loop_whose_cache_is_gone(root: Path, cache: Path) -> None:
    loader = _one_by_one(root.as_uri(), cache)
    list(loader)
    shutil.rmtree(cache)
    write_tar(root / "val-000000.tar", {"0.jpg": jpeg(99, 40), "0.cls": b"1"})
    for path in root.glob("val.*"):
        path.unlink()
    index_shards(root, "val")
    with pytest.raises(errors.DataError, match="its manifest"):
        list(loader)
