"""Random access to the samples of tar shards, by their position in the index."""

import os
import resource
import threading

from places.data.remote.prefetch import RemoteShards
from places.data.remote.shard_uses import shard_uses
from places.data.shards.manifest import Manifest, load_index
from places.data.shards.tar_headers import BLOCK_BYTES, read_key, read_size_bytes
from places.errors import DataError
from places.files import storage_error
from places.hashing import Ids

Entry = tuple[int, int, int, int]  # a row of the index: offset, size in bytes, shard, label

_OTHER_FILES = 256  # what else a process may have open


class Shards:
    """The samples of one split, numbered as in the index. Safe to use from many threads.

    Args:
        manifest: What the split holds.
        remote: Fetches the shards; by default they are files in the manifest's folder.
    """

    def __init__(self, manifest: Manifest, remote: RemoteShards | None = None) -> None:
        self._shards = manifest.shards
        self._paths = manifest.shard_paths
        self._index = load_index(manifest)
        self._remote = remote
        self._last_steps: dict[int, int] = {}
        self._files: dict[int, int] = {}
        self._lock = threading.Lock()
        _allow_open_files(len(self._shards) * (2 if remote else 1))  # the cache holds them too

    def entries(self, samples: Ids) -> list[Entry]:
        """Return the rows of the index for some samples."""
        # One fancy indexing for a whole batch: a row at a time costs 20 times as much.
        entries: list[Entry] = self._index[samples].tolist()
        return entries

    def read(self, entry: Entry) -> tuple[str, bytes]:
        """Return the key and the JPEG bytes of a sample.

        Raises:
            DataError: The shard is not there, or does not hold what the index says.
            StorageError: It cannot be read now, or there is no room for it.
        """
        offset, size_bytes, shard, _ = entry
        try:
            # The tar header lies right before the picture: one read brings both, and proves the
            # place.
            start = offset - BLOCK_BYTES
            block = os.pread(self._file(shard), BLOCK_BYTES + size_bytes, start)
        except FileNotFoundError as error:
            raise DataError(f"no such shard: {self._paths[shard]}") from error
        except OSError as error:
            raise storage_error(f"cannot read {self._paths[shard]}", error) from error
        header = block[:BLOCK_BYTES]
        if len(block) < BLOCK_BYTES + size_bytes or read_size_bytes(header) != size_bytes:
            raise self._replaced(shard, f"at byte {offset:,} the picture of the index is missing")
        return read_key(header), block[BLOCK_BYTES:]

    def place(self, entry: Entry) -> str:
        """Return in words where a sample lies."""
        return f"{self._paths[entry[2]]} at byte {entry[0]:,}"

    def follow(self, samples: Ids, batch_size: int, first_step: int) -> None:
        """Fetch remote shards ahead, in the order of an epoch.

        Args:
            samples: What all processes of this node read in the epoch, in the order of reading.
            batch_size: How many of them each step reads.
            first_step: The step to begin with.
        """
        if self._remote:
            uses = shard_uses(self._index["shard"][samples], batch_size)
            self._last_steps = dict(zip(uses.shards.tolist(), uses.last_step.tolist(), strict=True))
            self._remote.follow(uses, first_step)

    def advance(self, step: int) -> None:
        """Note that all samples up to and including a step were read; local shards stay open."""
        if self._remote:
            with self._lock:
                for shard in list(self._files):
                    if self._last_steps.get(shard, -1) <= step:
                        os.close(self._files.pop(shard))
            self._remote.advance(step)

    def cancel(self) -> None:
        """End all waiting for remote shards with an error, until `leave` is called."""
        if self._remote:
            self._remote.cancel()

    def leave(self) -> None:
        """Let go of remote shards and fetch no more, once nobody reads; local ones stay open."""
        if self._remote:
            self.close()

    def close(self) -> None:
        """Close the shards that were opened; reading opens them again."""
        with self._lock:
            for file in self._files.values():
                os.close(file)
            self._files.clear()
        if self._remote:
            self._remote.close()

    def _file(self, shard: int) -> int:
        file = self._files.get(shard)
        if file is None:
            opened = self._open(shard)  # without the lock: a remote shard may take a while
            with self._lock:
                file = self._files.setdefault(shard, opened)
            if file != opened:  # another thread was faster
                os.close(opened)
        return file

    def _open(self, shard: int) -> int:
        if self._remote:
            return self._remote.open(shard)
        file = os.open(self._paths[shard], os.O_RDONLY | os.O_CLOEXEC)
        size_bytes = os.fstat(file).st_size
        if size_bytes != self._shards[shard].size_bytes:
            os.close(file)
            expected = f"{self._shards[shard].size_bytes:,}"
            raise self._replaced(
                shard, f"it has {size_bytes:,} bytes, its manifest says {expected}"
            )
        return file

    def _replaced(self, shard: int, reason: str) -> DataError:
        path = self._paths[shard]
        return DataError(
            f"{path} was cut or replaced: {reason}",
            f"check it:  places verify {path.parent}",
        )


def _allow_open_files(num_files: int) -> None:
    """Raise this process's limit of open files, as far as it may, when many shards need it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < num_files + _OTHER_FILES:
        wanted = num_files + _OTHER_FILES
        resource.setrlimit(
            resource.RLIMIT_NOFILE,
            (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard),
        )
