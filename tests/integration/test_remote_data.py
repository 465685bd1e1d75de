"""Training, testing and plain loops from shards behind a URL equal those from a folder."""

import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.data.packing.official import jpeg_or_ppm, write_tar
from tests.data.remote.servers import CuttingProxy, Nginx, run_hanging_server, run_nginx, run_s3
from tests.integration.stages import load_weights, run

import places.data
from places.data.loader import Loader
from places.data.packing.indexing import index_shards
from places.data.remote import download, prefetch
from places.data.remote.fetch import fetch_manifest
from places.data.remote.prefetch import RemoteShards
from places.data.streaming.bad_samples import BadSamplePolicy, BadSamples
from places.data.streaming.batches import EvalCrop, TrainCrop, Workers, eval_batches, train_batches
from places.data.streaming.samples import Cache, open_samples
from places.errors import ConfigError, DataError, StorageError

NUM_SHARDS = 12


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve mixed shards of 8 to 13 pictures, for training and for validation."""
    folder = tmp_path / "served"
    for split in ("train", "val"):
        number = 0
        for shard in range(NUM_SHARDS):
            files = {}
            for _ in range(8 + shard % 6):
                ending, picture = jpeg_or_ppm(number, 40)
                files[f"{number:04d}.{ending}"] = picture
                files[f"{number:04d}.cls"] = str(number % 365).encode()
                number += 1
            write_tar(folder / f"{split}-{shard:06d}.tar", files)
        index_shards(folder, split)
    return folder


@pytest.fixture
def nginx(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nginx]:
    with run_nginx(root, tmp_path, monkeypatch) as server:
        yield server


def _node(
    url: str | Path,
    cache: Path,
    rank: int,
    size_gb: float = 1.0,
    epoch: int = 0,
    num_ranks: int = 2,
) -> Loader:
    """The batches of a process of two nodes."""
    return places.data.open(
        url,
        "train",
        8,
        image_size=32,
        shuffle_window=4,
        rank=rank,
        num_ranks=num_ranks,
        num_ranks_per_node=num_ranks // 2,
        num_threads=2,
        epoch=epoch,
        cache_folder=cache,
        cache_size_gb=size_gb,
    )


@pytest.mark.parametrize("per_node", [1, 2])
def test_each_shard_goes_to_one_node_but_for_the_one_that_both_share(
    nginx: Nginx, root: Path, tmp_path: Path, per_node: int
) -> None:
    for node in range(2):
        ranks = range(node * per_node, (node + 1) * per_node)
        remote, local = (
            [_node(url, tmp_path / f"node{node}", rank, num_ranks=2 * per_node) for rank in ranks]
            for url in (nginx.url(), root)
        )
        # Side by side, as processes of one job run.
        for batches, expected in zip(
            zip(*remote, strict=True), zip(*local, strict=True), strict=True
        ):
            assert [batch["key"] for batch in batches] == [batch["key"] for batch in expected]
            assert torch.equal(batches[-1]["image"], expected[-1]["image"])
    requests = nginx.requests()
    # Equal batches for all cut the row of shards in the middle, seldom between two of them.
    assert NUM_SHARDS <= len(requests) <= NUM_SHARDS + 1
    assert len({request.path for request in requests}) == NUM_SHARDS


def test_a_cache_for_a_part_of_the_shards_stays_within_its_bound(
    nginx: Nginx, root: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    sizes = [path.stat().st_size for path in root.glob("train-*.tar")]
    limit_bytes = sum(sizes) * 3 // 4
    keys = []
    for epoch in range(2):
        for batch in _node(nginx.url(), cache, 0, limit_bytes / 1e9, epoch):
            held = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
            assert held <= limit_bytes
            keys.append(batch["key"])
    local = [batch["key"] for epoch in range(2) for batch in _node(root, cache, 0, epoch=epoch)]
    assert keys == local


def test_a_cache_that_is_too_small_is_refused_with_the_size_it_needs(
    nginx: Nginx, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="3e-05 is too small") as raised:
        next(iter(_node(nginx.url(), tmp_path / "cache", 0, 0.00003)))
    assert "`cache_size_gb`" in str(raised.value)
    assert not nginx.requests()


def test_a_validation_that_is_left_early_leaves_the_cache_to_the_training(
    root: Path, tmp_path: Path
) -> None:
    # Seven of twelve shards have room; the training needs up to five, with its eight ahead.
    limit_bytes = 7 * max(path.stat().st_size for path in root.glob("*.tar")) + 20_000
    words = ["--data.root", root.as_uri(), "--data.cache_size_gb", limit_bytes / 1e9]
    words += ["--data.batch_size", 4, "--data.shuffle_window", 1, "--trainer.max_epochs", 1]
    words += ["--trainer.num_sanity_val_steps", 1, "--trainer.val_check_interval", 8]
    assert run("fit", *words, "--trainer.limit_val_batches", 1) == 0
    cached = {path.name for path in (tmp_path / "data" / "cache").rglob("val-*.tar")}
    assert cached <= {"val-000000.tar"}, "what nobody would read was fetched"


def _fetching_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "places-fetch" in thread.name]


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_epoch_that_is_left_early_lets_go_of_its_shards(
    root: Path, tmp_path: Path, split: str
) -> None:
    source = open_samples(root.as_uri(), split, cache=Cache(tmp_path / "cache"))
    workers = Workers(num_threads=2)
    if split == "train":
        crop = TrainCrop(32, (0.08, 1.0), (3 / 4, 4 / 3), flip=True)
        batches = train_batches(source, crop, workers, batch_size=4, seed=0, epoch=0)
    else:
        batches = eval_batches(source, EvalCrop(32, 36, "squash"), workers, batch_size=4)
    next(batches)
    shards = list(source.manifest.root.glob("*.tar"))
    assert shards
    assert _fetching_threads()
    del batches  # as the end of a loop does
    assert not _fetching_threads()
    for path in shards:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds it any more


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def _one_by_one(url: str | Path, cache: Path, bad_samples: BadSamplePolicy = "raise") -> Loader:
    """Batches that each read one shard, one after the other."""
    return places.data.open(
        url,
        "val",
        8,
        image_size=32,
        resize_size=36,
        num_threads=2,
        bad_samples=bad_samples,
        cache_folder=cache,
        cache_size_gb=1.0,
    )


# In these three a request would hang for eight minutes.


@pytest.mark.usefixtures("no_proxy")
def test_leaving_an_epoch_does_not_wait_for_a_server_that_hangs(root: Path, tmp_path: Path) -> None:
    with run_hanging_server(root, "val-000000.tar") as (url, hangs):
        batches = iter(_one_by_one(url, tmp_path / "cache"))
        next(batches)
        hangs.wait()
        del batches
    assert not [thread for thread in threading.enumerate() if "places-decode" in thread.name]
    # What was given up is no damage, and can be fetched now.
    keys = [batch["key"] for batch in _one_by_one(root.as_uri(), tmp_path / "cache", "skip")]
    assert keys == [batch["key"] for batch in _one_by_one(root, tmp_path)]


@pytest.mark.usefixtures("no_proxy")
def test_an_error_does_not_wait_for_a_server_that_hangs(root: Path, tmp_path: Path) -> None:
    with (root / "val-000000.tar").open("r+b") as tar:
        tar.write(b"other")
    error = "val-000000.tar is not the file that its manifest describes"
    with (
        run_hanging_server(root, "val-000000.tar") as (url, _),
        pytest.raises(DataError, match=error),
    ):
        list(_one_by_one(url, tmp_path / "cache"))


@pytest.mark.usefixtures("no_proxy")
def test_an_interrupt_does_not_wait_for_a_server_that_hangs(root: Path, tmp_path: Path) -> None:
    def interrupt() -> None:
        hangs.wait()
        time.sleep(1)  # a signal right before a thread begins to wait does not wake it up
        # To the thread that waits, as a terminal's comes; other threads would not wake it up.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    # A job in the background of a shell ignores Ctrl-C; the tests may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with run_hanging_server(root) as (url, hangs):
            thread = threading.Thread(target=interrupt)
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                list(_one_by_one(url, tmp_path / "cache"))
            thread.join()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_server_that_fails_is_no_damage(
    nginx: Nginx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "NUM_TRIES", 1)
    loader = _one_by_one(nginx.url(), tmp_path / "cache", "skip")
    proxy = CuttingProxy(nginx.port, num_cuts=0, after_bytes=0)
    down = _one_by_one(nginx.url(port=proxy.port), tmp_path / "cache", "skip")
    proxy.close()
    with pytest.raises(StorageError, match="cannot read") as raised:
        list(down)
    assert "bad_samples" not in str(raised.value)
    assert len(list(loader)) == len(loader)


def test_a_cache_without_room_is_no_damage(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "PATIENCE_S", 0.2)
    size_gb = 0.9 * sum(path.stat().st_size for path in root.glob("val-*.tar")) / 1e9
    cache = Cache(tmp_path / "cache", size_gb)
    manifest = fetch_manifest(root.as_uri(), "val", cache.folder)
    other = RemoteShards(root.as_uri(), manifest, int(size_gb * 1e9))
    held = [other.open(shard) for shard in range(10)]
    source = open_samples(root.as_uri(), "val", BadSamples("skip"), cache)
    batches = eval_batches(source, EvalCrop(32, 36, "squash"), Workers(), batch_size=4)
    with pytest.raises(StorageError, match="no room for val-0000") as raised:
        list(batches)
    assert "bad_samples" not in str(raised.value)
    for file in held:
        os.close(file)


@pytest.fixture
def over_http(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with run_nginx(sample, tmp_path, monkeypatch) as server:
        yield server.url()


@pytest.fixture
def over_s3(mixed_sample: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with run_s3(monkeypatch) as client:
        client.create_bucket(Bucket="data")
        for path in mixed_sample.glob("*.*"):
            client.upload_file(str(path), "data", f"places/{path.name}")
        yield "s3://data/places"


@pytest.mark.first_covers
@pytest.mark.parametrize(
    ("server", "shards"), [("over_http", "sample"), ("over_s3", "mixed_sample")]
)
def test_training_from_a_server_equals_training_from_a_folder(
    server: str, shards: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for root in map(request.getfixturevalue, (shards, server)):
        assert run("fit", "--data.root", root, "--trainer.max_epochs", 2) == 0
    runs = tmp_path / "runs" / "fit"
    local, remote = (load_weights(runs / n / "checkpoints" / "last.ckpt") for n in ("0", "1"))
    assert all(torch.equal(local[key], remote[key]) for key in local)
    assert run("test", "--ckpt_path", runs / "1") == 0
    assert len(list(tmp_path.rglob("result.json"))) == 1
    assert {path.name for path in (tmp_path / "data" / "cache").rglob("*.tar")} == {
        "train-000000.tar",
        "val-000000.tar",
    }


def test_raw_shards_from_a_server_equal_those_of_a_folder_and_are_repaired(
    raw_sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"

    def batches(root: object, split: str) -> list[torch.Tensor]:
        loader = places.data.open(str(root), split, 16, image_size=32, cache_folder=cache)
        return [batch["image"] for batch in loader]

    with run_nginx(raw_sample, tmp_path, monkeypatch) as server:
        for split in ("train", "val"):
            expected = torch.cat(batches(raw_sample, split))
            assert torch.equal(torch.cat(batches(server.url(), split)), expected)
            [path] = cache.rglob(f"{split}-*.tar")
            with path.open("r+b") as tar:  # the cache damages the header of a picture
                tar.seek(tar.read().index(b"P6"))
                tar.write(b"XX")
            assert torch.equal(torch.cat(batches(server.url(), split)), expected)
    assert path.read_bytes() == (raw_sample / path.name).read_bytes()


@pytest.mark.slow
def test_training_does_not_notice_a_slow_busy_server_that_cuts_connections(
    nginx: Nginx, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.1)
    words = ["--data.batch_size", 8, "--data.shuffle_window", 4, "--trainer.max_epochs", 2]
    with CuttingProxy(nginx.port, num_cuts=8, after_bytes=15_000) as proxy:
        for place in (root, nginx.url("harsh", port=proxy.port)):
            assert run("fit", "--data.root", place, *words) == 0
    runs = tmp_path / "runs" / "fit"
    local, remote = (load_weights(runs / n / "checkpoints" / "last.ckpt") for n in ("0", "1"))
    assert all(torch.equal(local[key], remote[key]) for key in local)
    statuses = [request.status for request in nginx.requests()]
    assert {200, 206, 503} <= set(statuses)
    assert proxy.num_connections > proxy.num_cuts
    names = {path.name for path in root.glob("*.tar")}
    assert {path.name for path in (tmp_path / "data" / "cache").rglob("*.tar")} == names
