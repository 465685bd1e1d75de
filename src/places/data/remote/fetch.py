"""Shards behind a URL: their manifest and index, and what opens them.

Shards are fetched whole, in the order of the plan, into a bounded cache that all processes of a
machine share.
"""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from places.data.remote.cache import CacheFolder, locked
from places.data.remote.download import MissingFileError, read_file
from places.data.remote.prefetch import ShardCache
from places.data.remote.shard_uses import ShardUses, peak_bytes, shard_uses
from places.data.remote.urls import RemoteFolder, is_url, open_folder, without_credentials
from places.data.shards.manifest import Manifest, index_path, load_manifest, manifest_path
from places.errors import DataError
from places.files import storage_error

__all__ = ["ShardCache", "ShardUses", "fetch_manifest", "is_url", "peak_bytes", "shard_uses"]


def fetch_manifest(
    url: str, split: str, cache: Path, cache_size_bytes: int = sys.maxsize
) -> Manifest:
    """Read the manifest of a split behind a URL, and fetch its index.

    Those of data that were at the same URL before are removed.

    Args:
        url: The folder with the shards, as written by `places pack`.
        split: "train", "val" or "test".
        cache: The folder of the local cache. Each state of the data gets its own folder in it.
        cache_size_bytes: The most bytes of that folder; shards in it are removed to make room.

    Returns:
        The manifest; its root is the local folder.

    Raises:
        ConfigError: No such URL can be read.
        DataError: Manifest or index are missing or damaged.
        StorageError: They cannot be read, or there is no room for them.
    """
    remote = open_folder(url)
    manifest, data = _read_manifest(remote, split)
    # Without credentials: a new token is no new data.
    place = hashlib.sha256(without_credentials(url).encode()).hexdigest()[:16]
    manifest = replace(manifest, root=cache / f"{place}-{manifest.digest[:16]}")
    kept = CacheFolder(manifest.root, cache_size_bytes)
    try:
        with locked(manifest.root / "lock"):
            kept.keep(manifest_path(Path(), split).name, data)
            _fetch_index(remote, manifest, kept)
        for folder in cache.glob(f"{place}-*"):
            if folder != manifest.root and manifest_path(folder, split).exists():
                _remove_index(folder, split)
    except OSError as error:  # those of the network are DataErrors by now
        raise storage_error(f"cannot use the cache {cache}", error) from error
    return manifest


def _read_manifest(remote: RemoteFolder, split: str) -> tuple[Manifest, bytes]:
    name = manifest_path(Path(), split).name
    try:
        data = read_file(remote, name)
    except MissingFileError as error:
        raise _no_manifest(remote, split) from error
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            manifest = load_manifest(folder, split)
        except DataError as error:
            message = error.message.replace(str(path), remote.shown(name))
            raise DataError(message, *error.hint) from error
    for shard in manifest.shards:
        if Path(shard.name).name != shard.name:
            raise DataError(f"{remote.shown(name)} names {shard.name!r}, which is no file name")
    return manifest, data


def _fetch_index(remote: RemoteFolder, manifest: Manifest, kept: CacheFolder) -> None:
    path = index_path(manifest.root, manifest.split)
    if path.exists():
        if _sha256(path.read_bytes()) == manifest.index_sha256:
            return
        path.unlink()
    data = read_file(remote, path.name)
    if _sha256(data) != manifest.index_sha256:
        raise DataError(
            f"{remote.shown(path.name)} is not the index that its manifest describes",
            f"SHA-256 of its manifest:  {manifest.index_sha256}",
            f"SHA-256 found:            {_sha256(data)}",
            "put index and manifest there again, both of the same run of places pack",
        )
    kept.keep(path.name, data)


def _remove_index(folder: Path, split: str) -> None:
    """Remove what is kept of replaced data; who has the index mapped into memory keeps it."""
    with locked(folder / "lock"):
        for path in (manifest_path(folder, split), index_path(folder, split)):
            path.unlink(missing_ok=True)


def _no_manifest(remote: RemoteFolder, split: str) -> DataError:
    shown = without_credentials(remote.url)
    archive = "train_256_places365standard.tar" if split == "train" else f"{split}_256.tar"
    return DataError(
        f"no shards for split {split!r} at {shown}",
        f"looked for: {remote.shown(f'{split}.json')}",
        f"make them:  places pack {archive} --root FOLDER, then copy FOLDER to {shown}",
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
