"""Shards behind a URL: their manifest and index, and what opens them.

Shards are fetched whole, in the order of the plan, into a bounded cache that all processes of a
machine share.
"""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from places.data.cache import locked
from places.data.download import MissingFileError, read_file
from places.data.manifest import Manifest, index_path, load_manifest, manifest_path
from places.data.prefetch import ShardCache
from places.data.urls import RemoteFolder, is_url, open_folder, without_credentials
from places.data.uses import ShardUses, peak_bytes, shard_uses
from places.errors import DataError

__all__ = ["ShardCache", "ShardUses", "fetch_manifest", "is_url", "peak_bytes", "shard_uses"]


def fetch_manifest(url: str, split: str, cache: Path) -> Manifest:
    """Read the manifest of a split behind a URL, and fetch its index.

    Args:
        url: The folder with the shards, as written by `places pack`.
        split: "train", "val" or "test".
        cache: The folder of the local cache. Each state of the data gets its own folder in it.

    Returns:
        The manifest; its root is the local folder.

    Raises:
        ConfigError: No such URL can be read.
        DataError: Manifest or index are missing, damaged or cannot be read.
    """
    remote = open_folder(url)
    name = manifest_path(Path(), split).name
    try:
        data = read_file(remote, name)
    except MissingFileError as error:
        raise _no_manifest(remote, split) from error
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache, prefix="manifest-") as folder:
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
        # Without credentials: a new token is no new data.
        place = hashlib.sha256(without_credentials(url).encode()).hexdigest()[:16]
        manifest = replace(manifest, root=cache / f"{place}-{manifest.digest[:16]}")
        manifest.root.mkdir(exist_ok=True)
        path.replace(manifest.root / name)
    _fetch_index(remote, manifest)
    return manifest


def _fetch_index(remote: RemoteFolder, manifest: Manifest) -> None:
    path = index_path(manifest.root, manifest.split)
    with locked(manifest.root / "lock"):
        if path.exists() and _sha256(path.read_bytes()) == manifest.index_sha256:
            return
        data = read_file(remote, path.name)
        if _sha256(data) != manifest.index_sha256:
            raise DataError(
                f"{remote.shown(path.name)} is not the index that its manifest describes",
                f"SHA-256 of its manifest:  {manifest.index_sha256}",
                f"SHA-256 found:            {_sha256(data)}",
                "put index and manifest there again, both of the same run of places pack",
            )
        temporary = path.with_name(f".{os.getpid()}.{path.name}")
        temporary.write_bytes(data)
        temporary.replace(path)


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
