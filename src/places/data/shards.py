"""Random access to the samples of tar shards, by their position in the index."""

import os
import resource
import threading
from collections.abc import Mapping
from typing import Protocol

from places.data.manifest import BLOCK_BYTES, Manifest, load_index, read_key, read_size_bytes
from places.data.plan import Ids
from places.errors import DataError

Entry = tuple[int, int, int, int]  # a row of the index: offset, size in bytes, shard, label

_SPARE_FILES = 256  # what else a process may have open


class Opener(Protocol):
    """Opens shards that do not lie in the manifest's folder yet, see `remote.ShardCache`."""

    def open(self, shard: int) -> int:
        """Return a new file descriptor of a shard."""


class Shards:
    """The samples of one split, numbered as in the index. Safe to use from many threads.

    Args:
        manifest: What the split holds.
        opener: Opens the shards; by default they are files in the manifest's folder.
    """

    def __init__(self, manifest: Manifest, opener: Opener | None = None) -> None:
        self._shards = manifest.shards
        self._paths = manifest.shard_paths
        self._index = load_index(manifest)
        self._opener = opener
        self._files: dict[int, int] = {}
        self._lock = threading.Lock()
        _allow_open_files(len(self._shards))

    def entries(self, samples: Ids) -> list[Entry]:
        """Return the rows of the index for some samples."""
        # One fancy indexing for a whole batch: a row at a time costs 20 times as much.
        entries: list[Entry] = self._index[samples].tolist()
        return entries

    def shards_of(self, samples: Ids) -> Ids:
        """Return the number of the shard that each sample lies in."""
        shards: Ids = self._index["shard"][samples].astype("int64")
        return shards

    def read(self, entry: Entry) -> tuple[str, bytes]:
        """Return the key and the JPEG bytes of a sample.

        Raises:
            DataError: The shard cannot be read, or does not hold what the index says.
        """
        offset, size_bytes, shard, _ = entry
        try:
            # The tar header lies right before the picture: one read brings both, and proves the
            # place.
            start = offset - BLOCK_BYTES
            block = os.pread(self._file(shard), BLOCK_BYTES + size_bytes, start)
        except OSError as error:
            raise DataError(f"cannot read {self._paths[shard]}: {error.strerror}") from error
        header = block[:BLOCK_BYTES]
        if len(block) < BLOCK_BYTES + size_bytes or read_size_bytes(header) != size_bytes:
            raise self._replaced(shard, f"at byte {offset:,} the picture of the index is missing")
        return read_key(header), block[BLOCK_BYTES:]

    def place(self, entry: Entry) -> str:
        """Return in words where a sample lies."""
        return f"{self._paths[entry[2]]} at byte {entry[0]:,}"

    def close_finished(self, last_steps: Mapping[int, int], step: int) -> None:
        """Close the shards that are not read any more after a step, see `remote.ShardUses`."""
        with self._lock:
            for shard in [shard for shard in self._files if last_steps.get(shard, -1) <= step]:
                os.close(self._files.pop(shard))

    def close(self) -> None:
        """Close the shards that were opened; reading opens them again."""
        with self._lock:
            for file in self._files.values():
                os.close(file)
            self._files.clear()

    def _file(self, shard: int) -> int:
        file = self._files.get(shard)
        if file is None:
            with self._lock:
                if shard not in self._files:
                    self._files[shard] = self._open(shard)
                file = self._files[shard]
        return file

    def _open(self, shard: int) -> int:
        if self._opener:
            return self._opener.open(shard)
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
    if soft < num_files + _SPARE_FILES:
        wanted = num_files + _SPARE_FILES
        resource.setrlimit(
            resource.RLIMIT_NOFILE,
            (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard),
        )
