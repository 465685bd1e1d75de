"""`places verify` of a cache: what is there, compared with the manifests in it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.data.remote.servers import write_shards

from places.cli.main import main
from places.data.remote.fetch import fetch_manifest
from places.data.remote.prefetch import RemoteShards

NUM_SHARDS = 4


@pytest.fixture
def served(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        write_shards(tmp_path / "served", split, NUM_SHARDS, 5000)
    return tmp_path / "served"


@pytest.fixture
def cache(served: Path, tmp_path: Path) -> Path:
    """Three of four shards of one split, and all of the other."""
    for split, numbers in (("train", (0, 1, 3)), ("val", range(NUM_SHARDS))):
        manifest = fetch_manifest(served.as_uri(), split, tmp_path / "cache")
        shards = RemoteShards(served.as_uri(), manifest, 10**9)
        for number in numbers:
            shards.open(number)
    return tmp_path / "cache"


def _folder(cache: Path, split: str) -> Path:
    (manifest,) = cache.glob(f"*/{split}.json")
    return manifest.parent


def test_a_whole_cache_is_well(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(cache)]) == 0
    out = capsys.readouterr().out
    assert sorted(out.splitlines()) == sorted(
        [
            f"{_folder(cache, 'train')}: train: 3 of 4 shards here, all is well",
            f"{_folder(cache, 'val')}: val: 4 of 4 shards here, all is well",
        ]
    )
    assert main(["verify", str(_folder(cache, "val"))]) == 0
    assert "4 of 4" in capsys.readouterr().out
    assert main(["verify", str(cache), "--split", "train"]) == 0
    assert "val" not in capsys.readouterr().out.replace("served", "")


@pytest.mark.parametrize("name", ["train-000001.tar", "train.index.npy"])
def test_a_flipped_bit_is_named_with_what_to_type(
    name: str, cache: Path, served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _folder(cache, "train") / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert main(["verify", str(cache)]) == 1
    out = capsys.readouterr().out
    assert "3 of 4 shards here, problems: 1" in out
    assert f"  {name}: its SHA-256 is not the one of the manifest" in out
    assert f"  remove it, and the next run fetches it again:  rm {path}\n" in out
    assert path.read_bytes() == data  # it only looks
    path.unlink()
    manifest = fetch_manifest(served.as_uri(), "train", cache)
    RemoteShards(served.as_uri(), manifest, 10**9).open(1)
    assert main(["verify", str(cache)]) == 0


@pytest.mark.parametrize("damage", [lambda text: text[:50], lambda text: text.replace("4", "5")])
def test_a_damaged_manifest_is_named(
    damage: Callable[[str], str], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _folder(cache, "val") / "val.json"
    path.write_text(damage(path.read_text()))
    assert main(["verify", str(cache)]) == 1
    assert f"rm {path}\n" in capsys.readouterr().out


def test_a_cut_shard_and_what_was_replaced_are_told(
    cache: Path, served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (_folder(cache, "val") / "val-000002.tar").write_bytes(b"short")
    before = _folder(cache, "train")
    write_shards(served, "train", NUM_SHARDS, 5000, seed=1)
    fetch_manifest(served.as_uri(), "train", cache)
    assert main(["verify", str(cache)]) == 1
    out = capsys.readouterr().out
    assert "val-000002.tar: its SHA-256 is not the one of the manifest" in out
    assert f"{before}: shards of data that were replaced; they go when room is needed" in out
    assert "train: 0 of 4 shards here, all is well" in out


def test_a_folder_that_is_no_cache_is_none(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(_folder(cache, "val"), tmp_path / "packed")
    assert main(["verify", str(tmp_path / "packed")]) == 1  # random bytes, no tars of pictures
    assert "are here" not in capsys.readouterr().out


def test_a_file_that_the_system_does_not_open_is_named(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = _folder(cache, "val") / "val.index.npy"
    index.unlink()
    index.symlink_to(index.name)  # leads to itself
    assert main(["verify", str(cache), "--split", "val"]) == 2
    assert f"places: error: cannot read {index}" in capsys.readouterr().err
