import hashlib
import logging
import multiprocessing
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tests.data.remote.servers import (
    CuttingProxy,
    Nginx,
    run_nginx,
    run_s3,
    wait_until,
    write_shards,
)

from places.data.remote import answers, download, prefetch
from places.data.remote.cache import CacheFolder
from places.data.remote.failures import StoppedError
from places.data.remote.fetch import fetch_manifest
from places.data.remote.prefetch import NUM_PREFETCHERS, RemoteShards
from places.data.remote.shard_uses import shard_uses
from places.data.remote.urls import is_url
from places.data.shards.index import load_index
from places.data.shards.manifest import Manifest, index_path, load_manifest, manifest_path
from places.errors import ConfigError, DataError, StorageError

NUM_SHARDS, SHARD_BYTES = 8, 300_000
PLENTY = 10**9


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What the servers serve."""
    write_shards(tmp_path / "served", "train", NUM_SHARDS, SHARD_BYTES)
    return tmp_path / "served"


@pytest.fixture
def nginx(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nginx]:
    with run_nginx(root, tmp_path, monkeypatch) as nginx:
        yield nginx


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(answers, "PART_BYTES", 20_000)
    monkeypatch.setattr(answers, "RANGE_BYTES", 100_000)


def _read(shards: RemoteShards, shard: int) -> bytes:
    file = shards.open(shard)
    with os.fdopen(file, "rb") as reader:
        return reader.read()


def _served(root: Path, shard: int, split: str = "train") -> bytes:
    return (root / f"{split}-{shard:06d}.tar").read_bytes()


def _local_manifest(root: Path, cache: Path) -> Manifest:
    """A manifest as if fetched, for servers that would not give it."""
    fetched = fetch_manifest(root.as_uri(), "train", cache)
    assert fetched.shards == load_manifest(root, "train").shards
    return fetched


def _cache_bytes(cache: Path) -> int:
    num_bytes = 0
    for path in cache.glob("*/*"):
        with suppress(FileNotFoundError):  # shards come and go
            num_bytes += path.stat().st_size
    return num_bytes


@pytest.mark.parametrize(
    ("root_text", "expected"),
    [
        ("https://host/places", True),
        ("s3://bucket/places", True),
        ("file:///data/places", True),
        ("pipe:cat x", True),  # to be refused with a reason
        ("simplecache::https://host", True),
        ("data/places", False),
        ("/data/places", False),
        ("C:/places", False),
        ("odd:name", False),
    ],
)
def test_urls_are_told_from_folders(root_text: str, expected: bool) -> None:
    assert is_url(root_text) == expected


def test_the_manifest_is_fetched_and_the_index_only_once(nginx: Nginx, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):
        manifest = fetch_manifest(nginx.url(), "train", cache)
    expected = load_manifest(nginx.root, "train")
    assert manifest.digest == expected.digest
    assert np.array_equal(load_index(manifest), load_index(expected))
    url_hash = hashlib.sha256(nginx.url().encode()).hexdigest()[:16]
    assert manifest.root == cache / f"{url_hash}-{expected.digest[:16]}"
    assert len(nginx.requests("train.json")) == 2
    assert len(nginx.requests("index.npy")) == 1
    assert load_manifest(manifest.root, "train") == manifest


def test_replaced_data_get_another_folder_and_the_old_index_goes(
    nginx: Nginx, tmp_path: Path
) -> None:
    write_shards(nginx.root, "val", 2, SHARD_BYTES)
    val = fetch_manifest(nginx.url(), "val", tmp_path / "cache")
    before = fetch_manifest(nginx.url(), "train", tmp_path / "cache")
    in_use = load_index(before)
    expected = in_use.copy()
    write_shards(nginx.root, "train", NUM_SHARDS, SHARD_BYTES, seed=1)
    after = fetch_manifest(nginx.url(), "train", tmp_path / "cache")
    assert before.root != after.root
    for manifest in (val, after):
        path = index_path(manifest.root, manifest.split)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == manifest.index_sha256
    assert [path.name for path in before.root.iterdir()] == ["lock"]
    assert np.array_equal(in_use, expected)


def test_a_damaged_index_in_the_cache_is_fetched_again(nginx: Nginx, tmp_path: Path) -> None:
    for _ in range(2):
        manifest = fetch_manifest(nginx.url(), "train", tmp_path / "cache")
        path = index_path(manifest.root, "train")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == manifest.index_sha256
        path.write_bytes(b"other")


def test_indexes_make_room_for_themselves(root: Path, tmp_path: Path) -> None:
    write_shards(root, "val", 2, SHARD_BYTES)
    cache = tmp_path / "cache"
    train = fetch_manifest(root.as_uri(), "train", cache)
    limit_bytes = _cache_bytes(cache) + 3 * SHARD_BYTES
    shards = RemoteShards(root.as_uri(), train, limit_bytes)
    files = [shards.open(number) for number in range(3)]
    with pytest.raises(StorageError, match=r"no room for val.json with .* bytes in the cache"):
        fetch_manifest(root.as_uri(), "val", cache, limit_bytes)
    for file in files:
        os.close(file)
    val = fetch_manifest(root.as_uri(), "val", cache, limit_bytes)
    assert load_index(val).shape == (2,)
    assert _cache_bytes(cache) <= limit_bytes
    assert len(list(train.root.glob("*.tar"))) == 2


def test_a_missing_split_is_an_instruction(nginx: Nginx, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch_manifest(nginx.url(login="me:secret88@"), "val", tmp_path / "cache")
    shown = nginx.url()
    assert str(caught.value).splitlines() == [
        f"no shards for split 'val' at {shown}",
        f"  looked for: {shown}/val.json",
        f"  make them:  places pack val_256.tar --root FOLDER, then copy FOLDER to {shown}",
    ]


def test_a_damaged_manifest_is_named_by_its_url(nginx: Nginx, tmp_path: Path) -> None:
    manifest_path(nginx.root, "train").write_text("{")
    with pytest.raises(DataError, match=rf"^damaged manifest {nginx.url()}/train.json: "):
        fetch_manifest(nginx.url(), "train", tmp_path / "cache")


def test_names_that_leave_the_folder_are_refused(nginx: Nginx, tmp_path: Path) -> None:
    path = manifest_path(nginx.root, "train")
    path.write_text(path.read_text().replace("train-000003.tar", "../../train-000003.tar"))
    with pytest.raises(DataError, match=r"train\.json: shards\[3\]\.name is '../../"):
        fetch_manifest(nginx.url(), "train", tmp_path / "cache")


def test_a_wrong_index_is_named_with_both_sums(nginx: Nginx, tmp_path: Path) -> None:
    expected = load_manifest(nginx.root, "train").index_sha256
    index_path(nginx.root, "train").write_bytes(b"other")
    with pytest.raises(DataError) as caught:
        fetch_manifest(nginx.url(), "train", tmp_path / "cache")
    assert f"{nginx.url()}/train.index.npy is not the index" in caught.value.message
    assert expected in str(caught.value)
    assert hashlib.sha256(b"other").hexdigest() in str(caught.value)


@pytest.mark.parametrize("url", ["pipe:curl -H key:hidden https://h/p", "zip://a::https://h/p"])
def test_commands_and_chains_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is no single URL") as caught:
        fetch_manifest(url, "train", tmp_path)
    assert "commands and chains of URLs are not run" in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["memory", "zip", "git", "reference", "data", "local", "dir"])
def test_what_is_no_storage_is_refused(scheme: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{scheme}:// is no storage") as caught:
        fetch_manifest(f"{scheme}://a/b", "train", tmp_path)
    assert "https, lakefs" in str(caught.value)


def test_an_unknown_kind_of_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`root` parchment://h/p cannot be read: .*parchment"):
        fetch_manifest("parchment://h/p", "train", tmp_path)


def test_a_shard_comes_once_and_unharmed(
    nginx: Nginx, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "places.data.remote.fetch")
    manifest = fetch_manifest(nginx.url(), "train", tmp_path / "cache")
    shards = RemoteShards(nginx.url(), manifest, PLENTY)
    for _ in range(2):
        assert _read(shards, 3) == _served(nginx.root, 3)
    assert [request.sent_bytes for request in nginx.requests()] == [SHARD_BYTES]
    assert re.search(r"fetched http.*/train-000003.tar: 0.3 MB in .* MB/s", caplog.text)
    assert not list(manifest.root.glob("*.part"))


def test_a_file_url_works_too(root: Path, tmp_path: Path) -> None:
    manifest = fetch_manifest(root.as_uri(), "train", tmp_path / "cache")
    shards = RemoteShards(root.as_uri(), manifest, PLENTY)
    assert _read(shards, 0) == _served(root, 0)


def test_a_server_without_ranges_sends_the_whole_file(nginx: Nginx, tmp_path: Path) -> None:
    manifest = fetch_manifest(nginx.url("whole"), "train", tmp_path / "cache")
    part = manifest.root / f"train-000002.tar.{SHARD_BYTES}.part"
    part.write_bytes(_served(nginx.root, 2)[:1000])
    assert _read(RemoteShards(nginx.url("whole"), manifest, PLENTY), 2) == _served(nginx.root, 2)
    assert [request.status for request in nginx.requests()] == [200]


def test_a_busy_server_is_asked_again(nginx: Nginx, tmp_path: Path) -> None:
    manifest = _local_manifest(nginx.root, tmp_path / "cache")
    shards = RemoteShards(nginx.url("busy"), manifest, PLENTY)
    for shard in range(3):
        assert _read(shards, shard) == _served(nginx.root, shard)
    statuses = [request.status for request in nginx.requests()]
    assert statuses.count(200) == 3
    assert 503 in statuses


def test_a_broken_connection_is_taken_up_where_it_broke(nginx: Nginx, tmp_path: Path) -> None:
    manifest = _local_manifest(nginx.root, tmp_path / "cache")
    with CuttingProxy(nginx.port, num_cuts=2, after_bytes=130_000) as proxy:
        shards = RemoteShards(nginx.url(port=proxy.port), manifest, PLENTY)
        assert _read(shards, 5) == _served(nginx.root, 5)
    ranges = [request.range for request in nginx.requests()]
    assert proxy.num_connections == 3
    assert [bool(asked) for asked in ranges] == [False, True, True]


def test_connections_that_all_break_early_bring_the_file(nginx: Nginx, tmp_path: Path) -> None:
    manifest = _local_manifest(nginx.root, tmp_path / "cache")
    with CuttingProxy(nginx.port, num_cuts=1000, after_bytes=30_000) as proxy:
        shards = RemoteShards(nginx.url(port=proxy.port), manifest, PLENTY)
        assert _read(shards, 5) == _served(nginx.root, 5)


def test_a_wrong_sum_is_fetched_once_more_and_then_named(nginx: Nginx, tmp_path: Path) -> None:
    manifest = fetch_manifest(nginx.url(), "train", tmp_path / "cache")
    other = bytes(SHARD_BYTES)
    (nginx.root / "train-000001.tar").write_bytes(other)
    with pytest.raises(DataError) as caught:
        RemoteShards(nginx.url(), manifest, PLENTY).open(1)
    assert str(caught.value).splitlines()[:3] == [
        f"{nginx.url()}/train-000001.tar is not the file that its manifest describes",
        f"  SHA-256 of its manifest:  {manifest.shards[1].sha256}",
        f"  SHA-256 found:            {hashlib.sha256(other).hexdigest()}",
    ]
    assert [request.sent_bytes for request in nginx.requests()] == [SHARD_BYTES] * 2
    assert not list(manifest.root.glob("*.tar*"))


def test_a_wrong_beginning_from_before_is_replaced(nginx: Nginx, tmp_path: Path) -> None:
    manifest = fetch_manifest(nginx.url(), "train", tmp_path / "cache")
    part = manifest.root / f"train-000001.tar.{SHARD_BYTES}.part"
    part.write_bytes(b"wrong beginning")
    assert _read(RemoteShards(nginx.url(), manifest, PLENTY), 1) == _served(nginx.root, 1)
    assert not part.exists()


@pytest.mark.parametrize("kept_bytes", [0, 200_000, 250_000])
def test_a_file_of_another_size_is_named(nginx: Nginx, tmp_path: Path, kept_bytes: int) -> None:
    manifest = fetch_manifest(nginx.url(), "train", tmp_path / "cache")
    part = manifest.root / f"train-000001.tar.{SHARD_BYTES}.part"
    part.write_bytes(_served(nginx.root, 1)[:kept_bytes])
    os.truncate(nginx.root / "train-000001.tar", 200_000)
    named = "train-000001.tar has 200,000 bytes, its manifest says 300,000"
    with pytest.raises(DataError, match=named):
        RemoteShards(nginx.url(), manifest, PLENTY).open(1)


def test_a_missing_shard_is_asked_for_once(nginx: Nginx, tmp_path: Path) -> None:
    manifest = fetch_manifest(nginx.url(), "train", tmp_path / "cache")
    (nginx.root / "train-000001.tar").unlink()
    with pytest.raises(
        DataError, match=rf"^{nginx.url()}/train-000001.tar does not exist"
    ) as error:
        RemoteShards(nginx.url(), manifest, PLENTY).open(1)
    assert "not found (404)" in str(error.value)
    assert [request.status for request in nginx.requests()] == [404]


def test_no_permission_is_said_at_once_without_the_credentials(
    nginx: Nginx, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = _local_manifest(nginx.root, tmp_path / "cache")
    for url in (nginx.url("denied", login="me:secret66@"), nginx.url("denied?key=secret66")):
        with pytest.raises(DataError) as caught:
            RemoteShards(url, manifest, PLENTY).open(1)
        shown = f"{nginx.url('denied')}/train-000001.tar"
        assert caught.value.message == f"no permission to read {shown}"
        assert "403" in str(caught.value)
        assert "secret66" not in str(caught.value) + caplog.text
        assert caught.value.__cause__ is caught.value.__context__ is None  # they would show it
    assert [request.status for request in nginx.requests()] == [403, 403]


def test_user_and_password_or_a_token_open_the_door(nginx: Nginx, tmp_path: Path) -> None:
    login, token = nginx.url("login", login="me:secret88@"), nginx.url("token?token=hidden77")
    for url in (login, token):
        manifest = fetch_manifest(url, "train", tmp_path / "cache")
        assert _read(RemoteShards(url, manifest, PLENTY), 1) == _served(nginx.root, 1)
    renewed = nginx.url("login", login="me:other@")
    with pytest.raises(DataError, match="no permission"):
        fetch_manifest(renewed, "train", tmp_path / "cache")


def test_a_server_that_is_down_is_named_with_the_tries(
    nginx: Nginx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "NUM_TRIES", 3)
    manifest = _local_manifest(nginx.root, tmp_path / "cache")
    proxy = CuttingProxy(nginx.port, 0, 0)
    proxy.close()  # nobody listens there now
    url = nginx.url(port=proxy.port, login="me:secret66@")
    with pytest.raises(DataError) as caught:
        RemoteShards(url, manifest, PLENTY).open(1)
    shown = nginx.url(port=proxy.port)
    assert caught.value.message == f"cannot read {shown}/train-000001.tar"
    assert caught.value.hint[0].startswith("after 3 tries:  ClientConnector")
    assert "secret66" not in str(caught.value)


def test_shards_are_fetched_ahead_in_order_of_use(nginx: Nginx, tmp_path: Path) -> None:
    manifest = fetch_manifest(nginx.url(), "train", tmp_path / "cache")
    shards = RemoteShards(nginx.url(), manifest, PLENTY)
    order = [5, 2, 7, 0]
    shards.follow(shard_uses(np.repeat(order, 10), 1), first_step=0)
    wait_until(lambda: len(list(manifest.root.glob("*.tar"))) == 4)
    shards.close()
    assert {path.name for path in manifest.root.glob("*.tar")} == {
        f"train-{shard:06d}.tar" for shard in order
    }
    assert nginx.requests()[0].path.endswith(("5.tar", "2.tar", "7.tar", "0.tar"))
    assert len(nginx.requests()) == 4


def test_a_resumed_epoch_fetches_only_what_is_left(nginx: Nginx, tmp_path: Path) -> None:
    manifest = fetch_manifest(nginx.url(), "train", tmp_path / "cache")
    shards = RemoteShards(nginx.url(), manifest, PLENTY)
    shards.follow(shard_uses(np.repeat(range(NUM_SHARDS), 10), 1), first_step=60)
    wait_until(lambda: len(list(manifest.root.glob("*.tar"))) == 2)
    shards.close()
    assert sorted(path.name for path in manifest.root.glob("*.tar*")) == [
        "train-000006.tar",
        "train-000007.tar",
    ]


def test_the_cache_never_outgrows_its_bound(nginx: Nginx, tmp_path: Path) -> None:
    manifest = fetch_manifest(nginx.url(), "train", tmp_path / "cache")
    limit_bytes = 3 * SHARD_BYTES + _cache_bytes(tmp_path / "cache")
    shards = RemoteShards(nginx.url(), manifest, limit_bytes)
    order = np.random.default_rng(0).permutation(NUM_SHARDS)
    shards.follow(shard_uses(np.repeat(order, 20), 2), first_step=0)
    for step, shard in enumerate(np.repeat(order, 10).tolist()):
        assert _read(shards, shard) == _served(nginx.root, shard)
        assert _cache_bytes(tmp_path / "cache") <= limit_bytes
        shards.advance(step)
        assert _cache_bytes(tmp_path / "cache") <= limit_bytes
    shards.close()
    assert len(nginx.requests()) == NUM_SHARDS  # none was removed before its last use


def test_shards_read_at_the_same_time_must_fit(root: Path, tmp_path: Path) -> None:
    manifest = fetch_manifest(root.as_uri(), "train", tmp_path / "cache")
    others_bytes = _cache_bytes(tmp_path / "cache")
    uses = shard_uses(np.tile(range(NUM_SHARDS), 20), 4)
    needed_bytes = NUM_SHARDS * SHARD_BYTES + others_bytes
    shards = RemoteShards(root.as_uri(), manifest, needed_bytes - 1)
    with pytest.raises(ConfigError) as caught:
        shards.follow(uses, 0)
    assert str(caught.value).splitlines() == [
        f"`cache_size_gb` {(needed_bytes - 1) / 1e9:g} is too small for the shards in use",
        f"  needed:  {needed_bytes:,} bytes      given: {needed_bytes - 1:,} bytes",
        "  type:    `cache_size_gb` 0.1, or a small `shuffle_window`",
    ]
    enough = RemoteShards(root.as_uri(), manifest, needed_bytes)
    enough.follow(uses, 0)
    enough.close()
    with pytest.raises(ConfigError) as caught:
        RemoteShards(root.as_uri(), manifest, needed_bytes, prefetch_share=0.5).follow(uses, 0)
    assert f"needed:  {2 * needed_bytes:,} bytes" in str(caught.value)
    enough = RemoteShards(root.as_uri(), manifest, 2 * needed_bytes, prefetch_share=0.5)
    enough.follow(uses, 0)
    enough.close()


def test_shards_in_use_are_not_removed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "PATIENCE_S", 0.2)
    manifest = fetch_manifest(root.as_uri(), "train", tmp_path / "cache")
    limit_bytes = 2 * SHARD_BYTES + _cache_bytes(tmp_path / "cache")
    shards = RemoteShards(root.as_uri(), manifest, limit_bytes)
    files = [shards.open(0), shards.open(1)]
    with pytest.raises(DataError) as caught:
        shards.open(2)
    assert caught.value.message == "no room for train-000002.tar with 300,000 bytes in the cache"
    assert caught.value.hint[0] == "in use:  600,000 bytes: train-000000.tar, train-000001.tar"
    assert "`cache_size_gb`" in caught.value.hint[-1]
    assert os.pread(files[0], SHARD_BYTES, 0) == _served(root, 0)
    os.close(files[0])
    assert _read(shards, 2) == _served(root, 2)
    assert os.pread(files[1], SHARD_BYTES, 0) == _served(root, 1)
    assert sorted(path.name for path in manifest.root.glob("*.tar")) == [
        "train-000001.tar",
        "train-000002.tar",
    ]
    os.close(files[1])


def test_waiting_for_room_ends_when_another_reader_is_done(root: Path, tmp_path: Path) -> None:
    manifest = fetch_manifest(root.as_uri(), "train", tmp_path / "cache")
    limit_bytes = SHARD_BYTES + _cache_bytes(tmp_path / "cache")
    other = RemoteShards(root.as_uri(), manifest, limit_bytes).open(0)
    done = threading.Timer(0.2, os.close, [other])
    done.start()
    shards = RemoteShards(root.as_uri(), manifest, limit_bytes)
    assert _read(shards, 1) == _served(root, 1)
    done.join()
    assert not (manifest.root / "train-000000.tar").exists()


def test_the_bound_holds_for_all_splits_together(root: Path, tmp_path: Path) -> None:
    write_shards(root, "val", 2, SHARD_BYTES)
    train = fetch_manifest(root.as_uri(), "train", tmp_path / "cache")
    val = fetch_manifest(root.as_uri(), "val", tmp_path / "cache")
    limit_bytes = 3 * SHARD_BYTES + _cache_bytes(tmp_path / "cache")
    for shard in range(3):
        _read(RemoteShards(root.as_uri(), train, limit_bytes), shard)
    assert _read(RemoteShards(root.as_uri(), val, limit_bytes), 1) == _served(root, 1, "val")
    assert _cache_bytes(tmp_path / "cache") <= limit_bytes
    assert [path.name for path in train.root.glob("*.tar")] != []


def test_a_shard_that_failed_is_not_tried_for_every_sample(nginx: Nginx, tmp_path: Path) -> None:
    manifest = fetch_manifest(nginx.url(), "train", tmp_path / "cache")
    data = (nginx.root / "train-000001.tar").read_bytes()
    (nginx.root / "train-000001.tar").unlink()
    shards = RemoteShards(nginx.url(), manifest, PLENTY)
    uses = shard_uses(np.repeat([0, 1], 20), 1)
    shards.follow(uses, first_step=0)
    for _ in range(20):
        with pytest.raises(DataError, match="does not exist"):
            shards.open(1)
    # Once by each thread that fetches ahead of time, once for the sample.
    assert len(nginx.requests("train-000001.tar")) <= NUM_PREFETCHERS + 1
    (nginx.root / "train-000001.tar").write_bytes(data)
    shards.follow(uses, first_step=0)  # another epoch, another chance
    assert _read(shards, 1) == data
    shards.close()


def test_closing_ends_waiting_threads_and_keeps_what_has_arrived(
    nginx: Nginx, tmp_path: Path
) -> None:
    manifest = _local_manifest(nginx.root, tmp_path / "cache")
    shards = RemoteShards(nginx.url("slow"), manifest, PLENTY)
    shards.follow(shard_uses(np.repeat([0, 1], 20), 1), first_step=0)
    part = manifest.root / f"train-000000.tar.{SHARD_BYTES}.part"
    wait_until(lambda: part.exists() and part.stat().st_size > 0)
    threads = shards._threads
    shards.close()
    assert not any(thread.is_alive() for thread in threads)
    assert 0 < part.stat().st_size < SHARD_BYTES
    assert _read(RemoteShards(nginx.url(), manifest, PLENTY), 0) == _served(nginx.root, 0)
    assert nginx.requests("/places/train-000000")[0].range.startswith("bytes=")


def _open_all(url: str, cache: Path, root: Path) -> None:
    manifest = fetch_manifest(url, "train", cache)
    shards = RemoteShards(url, manifest, PLENTY)
    shards.follow(shard_uses(np.repeat(range(NUM_SHARDS), 4), 4), first_step=0)
    for shard in range(NUM_SHARDS):
        assert _read(shards, shard) == _served(root, shard)
    shards.close()


@pytest.mark.slow
def test_processes_share_one_cache_without_fetching_twice(nginx: Nginx, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    arguments = (nginx.url(), tmp_path / "cache", nginx.root)
    processes = [context.Process(target=_open_all, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    paths = [request.path for request in nginx.requests()]
    assert sorted(paths) == [f"/places/train-{shard:06d}.tar" for shard in range(NUM_SHARDS)]
    assert len(nginx.requests("index.npy")) == 1


def _open_slowly(url: str, manifest: Manifest) -> None:
    answers.PART_BYTES = 20_000
    RemoteShards(url, manifest, PLENTY).open(0)


@pytest.mark.slow
def test_what_a_killed_process_fetched_is_continued(nginx: Nginx, tmp_path: Path) -> None:
    manifest = _local_manifest(nginx.root, tmp_path / "cache")
    part = manifest.root / f"train-000000.tar.{SHARD_BYTES}.part"
    arguments = (nginx.url("slow"), manifest)
    process = multiprocessing.get_context("spawn").Process(target=_open_slowly, args=arguments)
    process.start()
    wait_until(lambda: part.exists() and part.stat().st_size >= 40_000)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    arrived_bytes = part.stat().st_size
    assert _read(RemoteShards(nginx.url(), manifest, PLENTY), 0) == _served(nginx.root, 0)
    requests = nginx.requests("/places/train-000000.tar")
    assert requests[0].range.startswith(f"bytes={arrived_bytes}-")
    assert sum(request.sent_bytes for request in requests) == SHARD_BYTES - arrived_bytes


def test_a_full_disk_is_named(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = fetch_manifest(root.as_uri(), "train", tmp_path / "cache")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"cannot keep train-000001.tar in .*: No space left"):
        RemoteShards(root.as_uri(), manifest, PLENTY).open(1)


def test_what_is_cached_and_wanted_is_not_removed_for_other_wanted_shards(
    nginx: Nginx, tmp_path: Path
) -> None:
    manifest = fetch_manifest(nginx.url(), "train", tmp_path / "cache")
    limit_bytes = 3 * SHARD_BYTES + _cache_bytes(tmp_path / "cache")
    shards = RemoteShards(nginx.url(), manifest, limit_bytes)
    for number, shard in enumerate([4, 0, 7]):  # 4 is the one that was used longest ago
        _read(shards, shard)
        os.utime(manifest.shard_paths[shard], (number, number))
    shards.follow(shard_uses(np.repeat([1, 2, 4], 5), 1), first_step=0)
    wanted = {manifest.shard_paths[shard] for shard in (1, 2, 4)}
    wait_until(lambda: set(manifest.root.glob("*.tar")) == wanted)
    shards.close()
    assert len(nginx.requests("000004.tar")) == 1


def test_another_epoch_lets_go_of_shards_that_it_needs_late(root: Path, tmp_path: Path) -> None:
    manifest = fetch_manifest(root.as_uri(), "train", tmp_path / "cache")
    limit_bytes = 2 * SHARD_BYTES + _cache_bytes(tmp_path / "cache")
    shards = RemoteShards(root.as_uri(), manifest, limit_bytes)
    shards.follow(shard_uses(np.repeat([0, 1, 2, 3], 20), 1), first_step=0)
    wait_until(lambda: len(list(manifest.root.glob("*.tar"))) == 2)
    shards.follow(shard_uses(np.repeat([3, 2, 1, 0], 20), 1), first_step=0)
    assert _read(shards, 3) == _served(root, 3)
    shards.close()


def test_closing_ends_waiting_for_room(root: Path, tmp_path: Path) -> None:
    manifest = fetch_manifest(root.as_uri(), "train", tmp_path / "cache")
    limit_bytes = SHARD_BYTES + _cache_bytes(tmp_path / "cache")
    shards = RemoteShards(root.as_uri(), manifest, limit_bytes)
    file = shards.open(0)
    closing = threading.Timer(0.2, shards.close)
    closing.start()
    with pytest.raises(DataError, match=r"train-000001.tar was closed before it was fetched"):
        shards.open(1)
    closing.join()
    os.close(file)
    assert _read(shards, 1) == _served(root, 1)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ConfigError, match=r"`root` gs://bucket needs a package") as caught:
        fetch_manifest("gs://bucket", "train", tmp_path)
    assert "pip install 'places[gs]'" in str(caught.value)


def test_errors_of_the_local_disk_do_not_end_prefetching(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = fetch_manifest(root.as_uri(), "train", tmp_path / "cache")
    shards = RemoteShards(root.as_uri(), manifest, PLENTY)
    with monkeypatch.context() as patch:

        def too_many(self: CacheFolder, name: str, size_bytes: int) -> int:
            raise OSError(24, "Too many open files")

        patch.setattr(CacheFolder, "open", too_many)
        shards.follow(shard_uses(np.repeat([0, 1], 20), 1), first_step=0)
        wait_until(lambda: "nothing is fetched ahead: [Errno 24] Too many" in caplog.text)
    wait_until(lambda: len(list(manifest.root.glob("*.tar"))) == 2)
    assert _read(shards, 1) == _served(root, 1)
    shards.close()


def test_a_process_that_ends_does_not_complain_about_the_server(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = fetch_manifest(root.as_uri(), "train", tmp_path / "cache")
    num_reads = 0

    def end(*_: object) -> Iterator[answers.Part]:
        nonlocal num_reads
        num_reads += 1
        yield from ()
        raise RuntimeError("cannot schedule new futures after shutdown")

    monkeypatch.setattr(download, "ask", end)
    shards = RemoteShards(root.as_uri(), manifest, PLENTY)
    shards.follow(shard_uses(np.repeat([0, 1], 20), 1), first_step=0)
    wait_until(lambda: num_reads > 2)
    with pytest.raises(StoppedError):
        shards.open(1)
    shards.close()
    assert not caplog.messages


def test_a_lost_cache_folder_is_made_again(root: Path, tmp_path: Path) -> None:
    manifest = fetch_manifest(root.as_uri(), "train", tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    assert _read(RemoteShards(root.as_uri(), manifest, PLENTY), 1) == _served(root, 1)


@pytest.mark.slow
def test_shards_come_from_s3(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_s3(monkeypatch) as client:
        client.create_bucket(Bucket="bucket")
        for path in root.iterdir():
            client.upload_file(str(path), "bucket", f"places/{path.name}")
        url = "s3://bucket/places"
        manifest = fetch_manifest(url, "train", tmp_path / "cache")
        shards = RemoteShards(url, manifest, PLENTY)
        shards.follow(shard_uses(np.repeat(range(NUM_SHARDS), 4), 4), first_step=0)
        for shard in range(NUM_SHARDS - 1):
            assert _read(shards, shard) == _served(root, shard)
        shards.close()
        with pytest.raises(DataError, match="no shards for split 'val' at s3://bucket/places"):
            fetch_manifest(url, "val", tmp_path / "cache")
        client.put_object(Bucket="bucket", Key="places/train-000007.tar", Body=bytes(200_000))
        # Elsewhere, since what was under way when the first ones were closed may still arrive.
        manifest = fetch_manifest(url, "train", tmp_path / "other")
        with pytest.raises(DataError, match="has fewer than 300,000 bytes"):
            RemoteShards(url, manifest, PLENTY).open(7)
