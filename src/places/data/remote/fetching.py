"""The shards of a split behind a URL, one at a time: from the local cache, or fetched into it."""

import threading

from places.data.remote.cache import CacheFolder, Wait
from places.data.remote.download import fetch
from places.data.remote.urls import open_folder
from places.data.shards.manifest import Manifest
from places.errors import StorageError
from places.files import storage_error


class Fetcher:
    """Opens shards, fetching them if need be. Safe to use from many threads and processes.

    Args:
        url: The folder with the shards.
        manifest: What `fetch_manifest` returned for it.
        cache_size_bytes: The most bytes of the whole cache, over all splits and URLs.
    """

    def __init__(self, url: str, manifest: Manifest, cache_size_bytes: int) -> None:
        self._remote = open_folder(url)
        self._shards = manifest.shards
        self._folder = CacheFolder(manifest.root, cache_size_bytes)
        self.limit_bytes = cache_size_bytes

    def kept_bytes(self) -> int:
        """Return the bytes of the cache that shards cannot have."""
        return self._folder.kept_bytes()

    def open(self, shard: int) -> int | None:
        """Return a new read-only descriptor of a shard, or `None` if it is not in the cache."""
        return self._folder.open(self._shards[shard].name, self._shards[shard].size_bytes)

    def open_or_fetch(self, shard: int, stop: threading.Event) -> int | Wait:
        """Return a new read-only descriptor of a shard, or why there is none yet.

        Args:
            shard: Its number.
            stop: Set by another thread to end this early.

        Raises:
            DataError: It is missing or damaged.
            StorageError: It cannot be fetched or kept.
        """
        wanted = self._shards[shard]
        try:
            file = self.open(shard)
            if file is not None:
                return file
            part = self._folder.claim(wanted.name, wanted.size_bytes)
            if isinstance(part, Wait):
                return part
            try:
                fetch(self._remote, wanted.name, wanted.size_bytes, wanted.sha256, part, stop)
            except BaseException:
                self._folder.give_up(part, wanted.name, wanted.size_bytes)
                raise
            self._folder.install(part, wanted.name, wanted.size_bytes)
            file = self.open(shard)
        except OSError as error:  # those of the network are DataErrors by now
            what = f"cannot keep {wanted.name} in {self._folder.folder}"
            raise storage_error(what, error) from error
        return Wait.BUSY if file is None else file

    def full(self, shard: int) -> StorageError:
        """Return the error that there is no room for a shard, with what takes the room."""
        return self._folder.full(self._shards[shard].name, self._shards[shard].size_bytes)
