"""Lists of the URLs of shards, which are read from a folder here and may be damaged."""

import json
from pathlib import Path

import pytest

from places.data.remote.listed import ListedShards, listed_urls, save_urls, urls_path
from places.data.shards.manifest import load_manifest
from places.errors import ConfigError, DataError

URL = "https://127.0.0.1:9/train-000000.tar"


def test_a_list_is_read_as_it_was_written_and_only_by_its_user(tmp_path: Path) -> None:
    assert listed_urls(tmp_path, "train") == {}
    save_urls(tmp_path, "train", {"train-000000.tar": URL})
    assert listed_urls(tmp_path, "train") == {"train-000000.tar": URL}
    assert urls_path(tmp_path, "train").stat().st_mode & 0o077 == 0
    assert listed_urls(tmp_path, "val") == {}
    save_urls(tmp_path, "train", {})
    assert not urls_path(tmp_path, "train").exists()
    assert listed_urls(tmp_path / "no" / "folder", "train") == {}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"version": 1}',
        '{"version": 1, "shards": []}',
        json.dumps({"version": 2, "shards": {}}),
        json.dumps({"version": 1, "shards": {"train-000000.tar": 3}}),
        json.dumps({"version": 1, "shards": {"train-000000.tar": "/etc/passwd"}}),
        json.dumps({"version": 1, "shards": {"../train-000000.tar": URL}}),
        json.dumps({"version": 1, "shards": {"val-000000.tar": URL}}),
    ],
)
def test_a_damaged_list_is_named(tmp_path: Path, content: str) -> None:
    urls_path(tmp_path, "train").write_text(content)
    with pytest.raises(DataError, match=r"damaged .*train\.urls\.json: "):
        listed_urls(tmp_path, "train")


def test_a_list_that_is_a_folder_is_named(tmp_path: Path) -> None:
    urls_path(tmp_path, "train").mkdir()
    with pytest.raises(DataError, match="is a folder, not a file"):
        listed_urls(tmp_path, "train")


def test_a_shard_without_a_url_is_named(sample: Path) -> None:
    with pytest.raises(DataError, match=r"train\.urls\.json has no URL for train-000000\.tar"):
        ListedShards(load_manifest(sample, "train"), {})


@pytest.mark.parametrize("url", ["pipe:touch ran", "https://host/a::tar://b"])
def test_a_command_or_a_chain_in_a_list_is_not_run(sample: Path, tmp_path: Path, url: str) -> None:
    manifest = load_manifest(sample, "train")
    urls = dict.fromkeys((shard.name for shard in manifest.shards), url)
    with pytest.raises(ConfigError, match="is no single URL"):
        ListedShards(manifest, urls)
    assert not Path("ran").exists()
