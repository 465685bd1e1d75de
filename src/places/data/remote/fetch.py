"""Shards behind a URL: their manifest and index, and what opens them.

Shards are fetched whole, in the order of the plan, into a bounded cache that all processes of a
machine share.
"""

import hashlib
import logging
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from places.data.remote.cache import CacheFolder, Wait, cache_error, locked
from places.data.remote.download import MissingFileError, complete, read_file
from places.data.remote.urls import RemotePath, open_url, without_credentials
from places.data.shards.manifest import Manifest, Shard, index_path, load_manifest, manifest_path
from places.errors import DataError

_logger = logging.getLogger("places.data.remote.fetch")


def open_shard(
    folder: CacheFolder, remote: RemotePath, shard: Shard, stop: threading.Event
) -> int | Wait:
    """Return a new read-only descriptor of a shard, fetched if need be, or why there is none yet.

    Args:
        folder: Where it is kept.
        remote: The folder with the shards.
        shard: The shard.
        stop: Set by another thread to end this early.

    Raises:
        DataError: It is missing or damaged.
        StorageError: It cannot be fetched or kept.
    """
    try:
        file = folder.open(shard.name, shard.size_bytes)
        if file is not None:
            return file
        with folder.claimed(shard.name, shard.size_bytes) as part:
            if isinstance(part, Wait):
                return part
            _fetch(remote.file(shard.name, shard.size_bytes), shard.sha256, part, stop)
        file = folder.open(shard.name, shard.size_bytes)
    except OSError as error:  # those of the network are DataErrors by now
        raise cache_error(f"cannot keep {shard.name} in {folder.folder}", error) from error
    return Wait.BUSY if file is None else file


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
    remote = open_url(url)
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
                with locked(folder / "lock"):  # processes that have the files open keep them
                    manifest_path(folder, split).unlink(missing_ok=True)
                    index_path(folder, split).unlink(missing_ok=True)
    except OSError as error:  # those of the network are DataErrors by now
        raise cache_error(f"cannot use the cache {cache}", error) from error
    return manifest


def _fetch(remote: RemotePath, sha256: str, part: int, stop: threading.Event) -> None:
    """Bring a partial file to the end of a shard; it is empty if the shard is wrong twice."""
    with open(part, "r+b", buffering=0, closefd=False) as file:
        for _ in range(2):
            start, start_s = file.seek(0, os.SEEK_END), time.monotonic()
            for _ in complete(remote, file, is_verified=True, stop=stop):
                pass
            megabytes, took_s = (file.tell() - start) / 1e6, time.monotonic() - start_s
            file.seek(0)
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if found == sha256:
                os.fsync(part)
                speed = f"{megabytes:.1f} MB in {took_s:.1f} s, {megabytes / took_s:.1f} MB/s"
                _logger.info("fetched %s: %s", remote.shown, speed)
                return
            _logger.warning("%s arrived damaged: SHA-256 %s", remote.shown, found)
            file.truncate(0)
    raise _wrong_sum(remote, "file", "the shard and its manifest", sha256, found)


def _read_manifest(folder: RemotePath, split: str) -> tuple[Manifest, bytes]:
    name = manifest_path(Path(), split).name
    remote = folder.file(name)
    try:
        data = read_file(remote)
    except MissingFileError as error:
        archive = "train_256_places365standard.tar" if split == "train" else f"{split}_256.tar"
        raise DataError(
            f"no shards for split {split!r} at {folder.shown}",
            f"looked for: {remote.shown}",
            f"make them:  places pack {archive} --root FOLDER, then copy FOLDER to {folder.shown}",
        ) from error
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / name
        path.write_bytes(data)
        try:
            manifest = load_manifest(temporary, split)
        except DataError as error:
            message = error.message.replace(str(path), remote.shown)
            raise DataError(message, *error.hint) from error
    return manifest, data


def _fetch_index(remote: RemotePath, manifest: Manifest, kept: CacheFolder) -> None:
    path = index_path(manifest.root, manifest.split)
    if path.exists():
        if _sha256(path.read_bytes()) == manifest.index_sha256:
            return
        path.unlink()
    file = remote.file(path.name)
    data = read_file(file)
    if _sha256(data) != manifest.index_sha256:
        sums = manifest.index_sha256, _sha256(data)
        raise _wrong_sum(file, "index", "index and manifest", *sums)
    kept.keep(path.name, data)


def _wrong_sum(file: RemotePath, kind: str, both: str, expected: str, found: str) -> DataError:
    return DataError(
        f"{file.shown} is not the {kind} that its manifest describes",
        f"SHA-256 of its manifest:  {expected}",
        f"SHA-256 found:            {found}",
        f"put {both} there again, both of the same run of places pack",
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
