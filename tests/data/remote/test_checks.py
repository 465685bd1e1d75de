"""A cache whose disk damages shards: found, fetched again, and told from damage on the server."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.packing.official import jpeg, ppm, write_tar
from tests.data.remote.servers import WaywardServer, run_wayward_server, wait_until
from tests.integration.stages import MACHINE, TINY_RECIPE

import places.data
from places.cli.main import main
from places.data.loader import Loader
from places.data.packing.indexing import index_shards
from places.data.remote import checks, download
from places.data.remote.checks import CacheChecks
from places.data.remote.fetch import fetch_manifest
from places.data.remote.prefetch import RemoteShards
from places.data.remote.shard_uses import shard_uses
from places.data.shards.index import load_index
from places.data.shards.manifest import load_manifest
from places.data.streaming.any_format import decode_picture
from places.data.streaming.bad_samples import BadSamplePolicy
from places.data.streaming.raw import Stored
from places.data.streaming.samples import SplitSamples
from places.errors import DataError, StorageError

NUM_SHARDS, PLENTY = 3, 10**9


@pytest.fixture(params=[jpeg, ppm], ids=["jpeg", "raw"])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """What is served: shards of 6 pictures."""
    ending = {jpeg: "jpg", ppm: "ppm"}[request.param]
    for shard in range(NUM_SHARDS):
        files = {}
        for number in range(shard * 6, shard * 6 + 6):
            files[f"{number:04d}.{ending}"] = request.param(number, 40)
            files[f"{number:04d}.cls"] = b"1"
        write_tar(tmp_path / "served" / f"val-{shard:06d}.tar", files)
    index_shards(tmp_path / "served", "val")
    return tmp_path / "served"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def _open(
    url: str | Path,
    cache: Path,
    bad_samples: BadSamplePolicy = "raise",
    *,
    check_cache: bool = False,
) -> Loader:
    return places.data.open(
        url,
        "val",
        6,
        image_size=32,
        resize_size=36,
        num_threads=3,
        cache_folder=cache,
        bad_samples=bad_samples,
        check_cache=check_cache,
    )


def _same(batches: Loader, others: Loader) -> bool:
    return all(
        torch.equal(batch["image"], other["image"]) and batch["key"] == other["key"]
        for batch, other in zip(batches, others, strict=True)
    )


def _cached(cache: Path, shard: int) -> Path:
    (path,) = cache.glob(f"*/val-{shard:06d}.tar")
    return path


def _filled(root: Path, cache: Path) -> None:
    list(_open(root.as_uri(), cache))


def _write(path: Path, position: int, data: bytes) -> None:
    """Write as a failing disk does, which does not tell."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(position)
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _flip(path: Path, position: int, num_bytes: int) -> None:
    data = path.read_bytes()[position : position + num_bytes]
    _write(path, position, bytes(byte ^ 255 for byte in data))


def _rows(root: Path, shard: int) -> np.ndarray:
    index = load_index(load_manifest(root, "val"))
    rows: np.ndarray = index[index["shard"] == shard]
    return rows


def _picture_header(root: Path, path: Path) -> None:
    _flip(path, int(_rows(root, 1)["offset"][2]), 4)


def _tar_header(root: Path, path: Path) -> None:
    _flip(path, int(_rows(root, 1)["offset"][2]) - 512 + 257, 5)


def _tar_size(root: Path, path: Path) -> None:
    _flip(path, int(_rows(root, 1)["offset"][2]) - 512 + 124, 12)


def _everything(root: Path, path: Path) -> None:
    _flip(path, 0, path.stat().st_size)


def _cut(root: Path, path: Path) -> None:
    os.truncate(path, 700)


DAMAGES = [_picture_header, _tar_header, _tar_size, _everything, _cut]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_read_in_the_cache_is_fetched_again(
    damage: Callable[[Path, Path], None], root: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _filled(root, cache)
    whole, path = _cached(cache, 1).read_bytes(), _cached(cache, 1)
    others = [_cached(cache, shard).stat().st_ino for shard in (0, 2)]
    damage(root, path)
    assert _same(_open(root.as_uri(), cache), _open(root, cache))
    assert path.read_bytes() == whole
    assert others == [_cached(cache, shard).stat().st_ino for shard in (0, 2)]
    lines = [f"{path} was damaged in the cache: it is fetched again"]
    assert caplog.messages == (lines if damage is not _cut else [])


def test_a_command_goes_on_and_tells(
    root: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--random_weights", "true", "--data.root", root.as_uri(), "--data.cache_folder"]
    words = ["validate", *TINY_RECIPE, *MACHINE, *words, str(cache)]
    assert main(words) == 0
    scores = capsys.readouterr().out
    _everything(root, _cached(cache, 1))
    assert main(words) == 0
    out, error = capsys.readouterr()
    assert out == scores
    assert f"places: {_cached(cache, 1)} was damaged in the cache: it is fetched again" in error


def test_damage_on_the_server_is_told_from_damage_in_the_cache(
    root: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _picture_header(root, root / "val-000001.tar")
    for path in root.glob("val.*"):
        path.unlink()
    index_shards(root, "val")
    for _ in range(2):  # fetched just now, and cached
        with pytest.raises(DataError) as caught:
            list(_open(root.as_uri(), cache))
        lines = str(caught.value).splitlines()
        assert lines[0].startswith(("damaged JPEG: ", "not a readable picture: "))
        assert lines[1] == "  its shard has the SHA-256 of the manifest: it was packed like this"
        assert "skip" in lines[2]
    keys = [
        key for batch in _open(root.as_uri(), cache, bad_samples="skip") for key in batch["key"]
    ]
    assert len(keys) == 18
    assert "fetched again" not in caplog.text


def test_without_its_server_a_damaged_shard_ends_the_run(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "NUM_TRIES", 1)
    _filled(root, cache)
    _everything(root, _cached(cache, 1))
    loader = _open(root.as_uri(), cache, bad_samples="skip")
    shutil.move(root / "val-000001.tar", root / "val-000001.gone")
    with pytest.raises(DataError, match=r"val-000001.tar does not exist"):
        list(_open(root.as_uri(), cache))
    shutil.move(root / "val-000001.gone", root / "val-000001.tar")
    assert _same(loader, _open(root, cache))


def test_a_disk_that_damages_a_shard_each_time_is_to_blame(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def damage(file: int) -> None:  # after the check of what arrived
        fsync(file)
        if os.fstat(file).st_size == (root / "val-000001.tar").stat().st_size:
            os.pwrite(file, bytes(8192), 0)

    _filled(root, cache)
    _everything(root, _cached(cache, 1))
    monkeypatch.setattr(os, "fsync", damage)
    with pytest.raises(StorageError) as caught:
        list(_open(root.as_uri(), cache, bad_samples="skip"))
    assert "was damaged in the cache" in str(caught.value)
    assert "check the disk" in str(caught.value)


def _recolour(root: Path, path: Path, shard: int) -> None:
    """Change a bit, so that a picture has other pixels and still decodes."""
    offset, size_bytes = _rows(root, shard)[["offset", "size_bytes"]][2].tolist()
    data = path.read_bytes()[offset : offset + size_bytes]
    before = decode_picture(data).copy()
    bit = 128 if data.startswith(b"P6") else 1
    for position in range(size_bytes // 2, size_bytes):
        other = data[:position] + bytes([data[position] ^ bit]) + data[position + 1 :]
        with suppress(DataError):
            if np.abs(decode_picture(other).astype(int) - before)[8:32, 8:32].max() > 9:
                _write(path, offset + position, other[position : position + 1])
                return
    raise AssertionError("no bit of it changes pixels")


def test_with_check_cache_pixels_are_those_of_the_server(
    root: Path, cache: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _filled(root, cache)
    _recolour(root, _cached(cache, 1), 1)
    assert not _same(_open(root.as_uri(), cache), _open(root, cache))  # what the option is for
    hashed: list[int] = []

    def count(file: int, stop: object = None) -> str:
        hashed.append(os.fstat(file).st_size)
        return sha256_of(file)

    sha256_of = checks.sha256_of
    monkeypatch.setattr(checks, "sha256_of", count)
    loader = _open(root.as_uri(), cache, check_cache=True)
    for _ in range(3):
        assert _same(loader, _open(root, cache))
    assert len(hashed) == NUM_SHARDS  # once per run
    assert caplog.text.count("was damaged in the cache: it is fetched again") == 1
    assert _same(_open(root.as_uri(), cache), _open(root, cache))
    assert len(hashed) == NUM_SHARDS  # only if asked


def test_what_another_thread_renewed_meanwhile_is_whole(
    root: Path, cache: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _filled(root, cache)
    _recolour(root, _cached(cache, 1), 1)
    manifest = fetch_manifest(root.as_uri(), "val", cache)
    shards = RemoteShards(root.as_uri(), manifest, PLENTY, checks=CacheChecks(before_use=True))
    is_due, overtaken = CacheChecks.is_due, list[Path]()

    def slowly(self: CacheChecks, path: Path) -> bool:
        found = is_due(self, path)
        if found and not overtaken:
            overtaken.append(path)
            os.close(shards.open(1))
        return found

    with _cached(cache, 1).open("rb") as damaged:
        monkeypatch.setattr(CacheChecks, "is_due", slowly)
        os.close(shards.open(1))
        assert overtaken
        renewed = _cached(cache, 1).stat()
        again = shards.renew(1, damaged.fileno())  # by a reader that had it open all the time
        assert again is not None
        assert os.path.samestat(os.fstat(again), renewed)
        os.close(again)
    shards.close()
    assert caplog.text.count("was damaged in the cache: it is fetched again") == 1


def test_checks_run_ahead_of_the_reader(root: Path, cache: Path) -> None:
    _filled(root, cache)
    _recolour(root, _cached(cache, 2), 2)
    whole = (root / "val-000002.tar").read_bytes()
    manifest = fetch_manifest(root.as_uri(), "val", cache)
    shards = RemoteShards(root.as_uri(), manifest, PLENTY, checks=CacheChecks(before_use=True))
    shards.follow(shard_uses(np.repeat([0, 1, 2], 6), 6), first_step=0)
    wait_until(lambda: [path.read_bytes() for path in cache.glob("*/val-000002.tar")] == [whole])
    file = shards.open(2)
    os.close(file)
    shards.close()


def test_others_keep_reading_what_they_have_open(root: Path, cache: Path) -> None:
    _filled(root, cache)
    manifest = fetch_manifest(root.as_uri(), "val", cache)
    ours, other = (RemoteShards(root.as_uri(), manifest, PLENTY) for _ in range(2))
    theirs = other.open(1)
    _everything(root, _cached(cache, 1))
    damaged = os.pread(theirs, 100, 0)
    ours_before = ours.open(1)
    ours_now = ours.renew(1, ours_before)
    assert ours_now is not None
    assert os.pread(ours_now, 100, 0) == (root / "val-000001.tar").read_bytes()[:100]
    assert os.pread(theirs, 100, 0) == damaged
    inode = _cached(cache, 1).stat().st_ino
    theirs_now = other.renew(1, theirs)  # finds the whole one that is there by now
    assert theirs_now is not None
    assert os.fstat(theirs_now).st_ino == inode
    assert ours.renew(1, ours_now) is None
    for file in (theirs, ours_before, ours_now, theirs_now):
        os.close(file)


@pytest.fixture
def server(root: Path) -> Iterator[WaywardServer]:
    with run_wayward_server((root / "val-000001.tar").read_bytes()) as server:
        yield server


def test_many_threads_that_meet_the_damage_fetch_once(
    root: Path, cache: Path, server: WaywardServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    manifest = fetch_manifest(root.as_uri(), "val", cache)
    local = list(_open(root, cache))
    remote = RemoteShards(server.url, manifest, PLENTY)
    os.close(remote.open(1))
    _everything(root, _cached(cache, 1))
    source = SplitSamples(manifest, remote=remote)
    ids = np.flatnonzero(load_index(manifest)["shard"] == 1)
    seen: list[str] = []

    def load(number: int) -> None:
        pixels = np.zeros((1, 1, 3), np.uint8)
        entry = source.entries(np.array([number]))[0]
        seen.append(source.load(number, entry, pixels, decode).key)

    def decode(picture: Stored) -> None:
        decode_picture(picture)

    threads = [threading.Thread(target=load, args=(int(i),)) for i in ids for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(seen)) == local[1]["key"]
    assert len(server.asked) == 2
    source.close()
