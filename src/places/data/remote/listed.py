"""Shards that lie behind URLs of their own, while manifest and index are in a folder here.

`<split>.urls.json` names them. Only the folder of this machine is asked for it: a manifest from
elsewhere leads nowhere, and what is fetched must have the SHA-256 of the manifest.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from places.data.remote.download import fetch_file
from places.data.remote.urls import TIMEOUT_S, RemotePath, is_url, open_url
from places.data.shards.fields import is_shard_name
from places.data.shards.manifest import Manifest, Shard
from places.errors import DataError
from places.files import read_json, storage_error, write_text

_MAX_BYTES = 1 << 26
_VERSION = 1


def urls_path(root: Path, split: str) -> Path:
    """Return where the list of the URLs of a split lies."""
    return root / f"{split}.urls.json"


def listed_urls(root: Path, split: str) -> dict[str, str]:
    """Return the URL of each shard of a split by its name; nothing if they are files here.

    Raises:
        DataError: The list is damaged.
    """
    path = urls_path(root, split)
    try:
        fields = read_json(path, _MAX_BYTES)
        urls = fields["shards"] if isinstance(fields, dict) else None
        if not isinstance(urls, dict) or fields.get("version") != _VERSION:
            raise ValueError(f"it is no list of version {_VERSION}")
        for name, url in urls.items():
            if not is_shard_name(name, split) or not isinstance(url, str) or not is_url(url):
                raise ValueError("it names what is no shard, or no URL")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, KeyError) as error:
        raise DataError(
            f"damaged {path}: {error}", "index the shards again:  places index URLS --root ROOT"
        ) from error
    except OSError as error:
        raise storage_error(f"cannot read {path}", error) from error
    return urls


def save_urls(root: Path, split: str, urls: Mapping[str, str]) -> None:
    """Write the list of a split, or remove it if there are none."""
    path = urls_path(root, split)
    if not urls:
        path.unlink(missing_ok=True)
        return
    write_text(path, json.dumps({"version": _VERSION, "shards": dict(urls)}, indent=2) + "\n")
    path.chmod(0o600)  # URLs may hold credentials


class ListedShards:
    """The files behind the URLs of shards, in the place of a folder behind one URL.

    Args:
        manifest: Of the split.
        urls: By the names of the shards.
        timeout_s: How long to be patient with each, see `Patience`.

    Raises:
        DataError: A shard has no URL.
        ConfigError: A URL cannot be read.
    """

    def __init__(
        self, manifest: Manifest, urls: Mapping[str, str], timeout_s: float = TIMEOUT_S
    ) -> None:
        missing = [shard.name for shard in manifest.shards if shard.name not in urls]
        if missing:
            path = urls_path(manifest.root, manifest.split)
            raise DataError(
                f"{path} has no URL for {missing[0]}",
                "index the shards again:  places index URLS --root ROOT",
            )
        self._urls = dict(urls)
        self._timeout_s = timeout_s
        open_url(urls[manifest.shards[0].name], "the URL", timeout_s)  # says now what is missing

    def file(
        self, name: str, size_bytes: int | None = None, most_bytes: int | None = None
    ) -> RemotePath:
        """Return the file of a shard."""
        opened = open_url(self._urls[name], "the URL", self._timeout_s)
        return replace(opened, size_bytes=size_bytes, most_bytes=most_bytes)


@contextmanager
def at_hand(manifest: Manifest, shard: Shard, path: Path) -> Iterator[Path]:
    """Give a shard as a file for the time of a block: one behind a URL is fetched for it.

    Args:
        manifest: Of the split.
        shard: The shard.
        path: Where it lies if it is a file.

    Raises:
        DataError: The list of URLs is damaged, or the URL leads to nothing.
        StorageError: It cannot be fetched.
    """
    urls = {} if path.exists() else listed_urls(manifest.root, manifest.split)
    if shard.name not in urls:
        yield path
        return
    with TemporaryDirectory(prefix=".places-", dir=manifest.root) as folder:
        fetched = Path(folder) / shard.name
        fetch_file(ListedShards(manifest, urls).file(shard.name), fetched)
        yield fetched
