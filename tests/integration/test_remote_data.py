"""Training, testing and plain loops from shards behind a URL equal those from a folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.data.official import jpeg, write_tar
from tests.data.servers import Nginx, run_nginx, run_s3
from tests.integration.stages import load_weights, run

import places.data
from places.data.indexing import index_shards
from places.data.loader import Loader
from places.errors import ConfigError

NUM_SHARDS = 12


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve shards of 8 to 13 pictures."""
    folder = tmp_path / "served"
    number = 0
    for shard in range(NUM_SHARDS):
        files = {}
        for _ in range(8 + shard % 6):
            files[f"{number:04d}.jpg"] = jpeg(number, 40)
            files[f"{number:04d}.cls"] = str(number % 365).encode()
            number += 1
        write_tar(folder / f"train-{shard:06d}.tar", files)
    index_shards(folder, "train")
    return folder


@pytest.fixture
def nginx(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nginx]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "nginx").mkdir()
    with run_nginx(root, tmp_path / "nginx") as server:
        yield server


def _node(url: str | Path, cache: Path, rank: int, size_gb: float = 1.0, epoch: int = 0) -> Loader:
    return places.data.open(
        url,
        "train",
        8,
        image_size=32,
        shuffle_window=4,
        rank=rank,
        num_ranks=2,
        num_threads=2,
        epoch=epoch,
        cache_folder=cache,
        cache_size_gb=size_gb,
    )


def test_each_shard_goes_to_one_node_but_for_the_one_that_both_share(
    nginx: Nginx, root: Path, tmp_path: Path
) -> None:
    for rank in range(2):
        remote = _node(nginx.url(), tmp_path / f"node{rank}", rank)
        for batch, expected in zip(remote, _node(root, tmp_path, rank), strict=True):
            assert batch["key"] == expected["key"]
            assert torch.equal(batch["image"], expected["image"])
    requests = nginx.requests()
    # Equal batches for all cut the row of shards in the middle, seldom between two of them.
    assert NUM_SHARDS <= len(requests) <= NUM_SHARDS + 1
    assert len({request.path for request in requests}) == NUM_SHARDS


def test_a_cache_for_a_part_of_the_shards_stays_within_its_bound(
    nginx: Nginx, root: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    sizes = [path.stat().st_size for path in root.glob("*.tar")]
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
    with pytest.raises(ConfigError, match="1e-05 is too small") as raised:
        next(iter(_node(nginx.url(), tmp_path / "cache", 0, 0.00001)))
    assert "--data.cache_size_gb" in str(raised.value)
    assert not nginx.requests()


@pytest.fixture
def over_http(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "nginx").mkdir()
    with run_nginx(sample, tmp_path / "nginx") as server:
        yield server.url()


@pytest.fixture
def over_s3(sample: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with run_s3(monkeypatch) as client:
        client.create_bucket(Bucket="data")
        for path in sample.glob("*.*"):
            client.upload_file(str(path), "data", f"places/{path.name}")
        yield "s3://data/places"


@pytest.mark.parametrize("server", ["over_http", "over_s3"])
def test_training_from_a_server_equals_training_from_a_folder(
    server: str, sample: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(server)
    for root in (sample, url):
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
