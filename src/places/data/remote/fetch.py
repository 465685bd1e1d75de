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
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Protocol

from places.config.secrets import without_credentials
from places.data.remote.cache import CacheFolder, Wait, cache_error, even_if_gone, locked
from places.data.remote.checks import CacheChecks, sha256_of
from places.data.remote.download import complete, read_file
from places.data.remote.failures import MissingFileError
from places.data.remote.urls import TIMEOUT_S, RemotePath, open_url
from places.data.shards.index import SAMPLE
from places.data.shards.manifest import (
    NO_SHARDS,
    Manifest,
    Shard,
    index_path,
    load_manifest,
    manifest_path,
)
from places.errors import DataError
from places.files import storage_error

MOST_MANIFEST_BYTES = 2**24  # an index numbers 65,536 shards at most

_INDEX_HEADER_BYTES = 2**12  # at most
_logger = logging.getLogger("places.data.remote.fetch")


class Files(Protocol):
    """The shards behind URLs: those of a folder, or each behind its own."""

    def file(self, name: str, size_bytes: int | None = None) -> RemotePath:
        """Return the file of a shard."""


def open_shard(
    folder: CacheFolder,
    remote: Files,
    shard: Shard,
    stop: threading.Event,
    checks: CacheChecks,
) -> int | Wait:
    """Return a new read-only descriptor of a shard, fetched if need be, or why there is none yet.

    Args:
        folder: Where it is kept.
        remote: The shards.
        shard: The shard.
        stop: Set by another thread to end this early.
        checks: What is known of the shards that are there already.

    Raises:
        DataError: It is missing or damaged.
        StorageError: It cannot be fetched or kept.
    """
    try:
        return even_if_gone(lambda: _open_shard(folder, remote, shard, stop, checks))
    except OSError as error:  # those of the network are DataErrors by now
        raise cache_error(f"cannot keep {shard.name} in {folder.folder}", error) from error


def discard_if_damaged(
    folder: CacheFolder, shard: Shard, file: int, stop: threading.Event, checks: CacheChecks
) -> bool:
    """Compare a shard in the cache with its SHA-256; remove it and tell so if that is wrong.

    Args:
        folder: Where it is kept.
        shard: The shard.
        file: A descriptor of what was there. What another thread put there meanwhile stays.
        stop: Set by another thread to end this early.
        checks: What is known of the shards that are there.

    Returns:
        Whether it is damaged.

    Raises:
        StorageError: The cache damaged it again and again.
    """
    path = folder.folder / shard.name
    if checks.is_whole(path, file, shard.sha256, stop):
        return False
    if folder.discard(shard.name, file):
        _logger.warning("%s was damaged in the cache: it is fetched again", path)
        checks.note_renewal(path)
    return True


def _open_shard(
    folder: CacheFolder,
    remote: Files,
    shard: Shard,
    stop: threading.Event,
    checks: CacheChecks,
) -> int | Wait:
    path = folder.folder / shard.name
    if checks.is_due(path):
        with checks.alone(path) as is_mine:
            if not is_mine:
                return Wait.BUSY
            _compare(folder, shard, stop, checks)
    file = folder.open(shard.name, shard.size_bytes)
    if file is not None:
        return file
    with folder.claimed(shard.name, shard.size_bytes) as part:
        if isinstance(part, Wait):
            return part
        _fetch(remote.file(shard.name, shard.size_bytes), shard.sha256, part, stop)
    checks.note_arrival(path)
    file = folder.open(shard.name, shard.size_bytes)
    return Wait.BUSY if file is None else file


def _compare(folder: CacheFolder, shard: Shard, stop: threading.Event, checks: CacheChecks) -> None:
    # Opened only now: what lay there before may have been damaged, and renewed by another thread.
    file = folder.open(shard.name, shard.size_bytes)
    if file is None:
        return
    try:
        if checks.is_due(folder.folder / shard.name):
            discard_if_damaged(folder, shard, file, stop, checks)
    finally:
        os.close(file)


def fetch_manifest(
    url: str,
    split: str,
    cache: Path,
    cache_size_bytes: int = sys.maxsize,
    timeout_s: float = TIMEOUT_S,
) -> Manifest:
    """Read the manifest of a split behind a URL, and fetch its index.

    Those of data that were at the same URL before are removed.

    Args:
        url: The folder with the shards, as written by `places pack`.
        split: "train", "val" or "test".
        cache: The folder of the local cache. Each state of the data gets its own folder in it.
        cache_size_bytes: The most bytes of that folder; shards in it are removed to make room.
        timeout_s: How long to be patient with each file, see `Patience`.

    Returns:
        The manifest; its root is the local folder.

    Raises:
        ConfigError: No such URL can be read.
        DataError: Manifest or index are missing or damaged.
        StorageError: They cannot be read, or there is no room for them.
    """
    remote = open_url(url, timeout_s=timeout_s)
    manifest, data = read_manifest(remote, split)

    def fetch_index(kept: CacheFolder, manifest: Manifest) -> None:
        _fetch_index(remote, manifest, kept)

    return _keep(without_credentials(url), manifest, data, cache, cache_size_bytes, fetch_index)


def keep_manifest(manifest: Manifest, cache: Path, cache_size_bytes: int = sys.maxsize) -> Manifest:
    """Let a cache keep shards whose manifest and index are in a folder here.

    Args:
        manifest: Of a folder; that stays as it is.
        cache: As for `fetch_manifest`.
        cache_size_bytes: As for `fetch_manifest`.

    Returns:
        The manifest with the local folder of its shards as its root, where no index is.

    Raises:
        StorageError: There is no room, or the manifest was removed meanwhile.
    """
    path = manifest_path(manifest.root, manifest.split)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise storage_error(f"cannot read {path}", error) from error
    return _keep(str(manifest.root.resolve()), manifest, data, cache, cache_size_bytes)


def _keep(
    place: str,
    manifest: Manifest,
    data: bytes,
    cache: Path,
    cache_size_bytes: int,
    keep_more: Callable[[CacheFolder, Manifest], None] = lambda kept, manifest: None,
) -> Manifest:
    """Put the manifest of a place into the cache, and remove those that were there before it.

    Args:
        place: Without credentials: a new token is no new data.
        manifest: What is there.
        data: The bytes of its file.
        cache: The folder of the cache.
        cache_size_bytes: See `fetch_manifest`.
        keep_more: Brings what else is kept.
    """
    key, split = hashlib.sha256(place.encode()).hexdigest()[:16], manifest.split
    manifest = replace(manifest, root=cache / f"{key}-{manifest.digest[:16]}")
    kept = CacheFolder(manifest.root, cache_size_bytes)

    def keep() -> None:
        with locked(manifest.root / "lock"):
            kept.keep(manifest_path(Path(), split).name, data)
            keep_more(kept, manifest)

    try:
        even_if_gone(keep)
        for folder in cache.glob(f"{key}-*"):
            if folder != manifest.root and manifest_path(folder, split).exists():
                with locked(folder / "lock"):  # processes that have the files open keep them
                    manifest_path(folder, split).unlink(missing_ok=True)
                    index_path(folder, split).unlink(missing_ok=True)
    except OSError as error:  # those of the network are DataErrors by now
        raise cache_error(f"cannot use the cache {cache}", error) from error
    return manifest


def _fetch(
    remote: RemotePath, sha256: str, part: int, stop: threading.Event | None, kind: str = "file"
) -> None:
    """Bring a partial file to the end of a remote one; it is empty if that is wrong twice."""
    with open(part, "r+b", buffering=0, closefd=False) as file:
        for _ in range(2):
            start, start_s = file.seek(0, os.SEEK_END), time.monotonic()
            for _ in complete(remote, file, is_verified=True, stop=stop):
                pass
            megabytes, took_s = (file.tell() - start) / 1e6, time.monotonic() - start_s
            found = sha256_of(part)
            if found == sha256:
                os.fsync(part)
                speed = f"{megabytes:.1f} MB in {took_s:.1f} s, {megabytes / took_s:.1f} MB/s"
                _logger.info("fetched %s: %s", remote.shown, speed)
                return
            _logger.warning("%s arrived damaged: SHA-256 %s", remote.shown, found)
            file.truncate(0)
    raise DataError(
        f"{remote.shown} is not the {kind} that its manifest describes",
        f"SHA-256 of its manifest:  {sha256}",
        f"SHA-256 found:            {found}",
        f"put the {kind} and its manifest there again, both of the same run of places pack",
    )


def read_manifest(folder: RemotePath, split: str) -> tuple[Manifest, bytes]:
    """Return the manifest of a split in a folder behind a URL, and the bytes of its file.

    Raises:
        DataError: There is none, or it is damaged.
        StorageError: It cannot be read.
    """
    name = manifest_path(Path(), split).name
    remote = folder.file(name, most_bytes=MOST_MANIFEST_BYTES)
    try:
        data = read_file(remote)
    except MissingFileError as error:
        archive = "train_256_places365standard.tar" if split == "train" else f"{split}_256.tar"
        raise DataError(
            f"{NO_SHARDS} {split!r} at {folder.shown}",
            f"looked for: {remote.shown}",
            f"make them:  places pack {archive} --root FOLDER, then copy FOLDER to {folder.shown}",
        ) from error
    try:
        with TemporaryDirectory() as temporary:
            path = Path(temporary) / name
            path.write_bytes(data)
            manifest = load_manifest(temporary, split)
    except OSError as error:
        raise storage_error(f"cannot write to {gettempdir()} (TMPDIR)", error) from error
    except DataError as error:
        message = error.message.replace(str(path), remote.shown)
        raise DataError(message, *error.hint) from error
    return manifest, data


def _fetch_index(remote: RemotePath, manifest: Manifest, kept: CacheFolder) -> None:
    path = index_path(manifest.root, manifest.split)
    if path.is_file():
        with path.open("rb") as file:
            if sha256_of(file.fileno()) == manifest.index_sha256:
                return
    path.unlink(missing_ok=True)
    most_bytes = manifest.num_samples * SAMPLE.itemsize + _INDEX_HEADER_BYTES
    with kept.claimed(path.name, most_bytes) as part:
        if part is Wait.FULL:
            raise kept.full(path.name, most_bytes)
        if isinstance(part, int):
            wanted = remote.file(path.name, most_bytes=most_bytes)
            _fetch(wanted, manifest.index_sha256, part, None, "index")
