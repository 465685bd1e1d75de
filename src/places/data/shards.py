"""Random access to the samples of tar shards, by their position in the index."""

import os
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt

from places.data.manifest import BLOCK_BYTES, Manifest, load_index, read_key, read_size_bytes
from places.errors import DataError


class Shards:
    """The samples of one split, numbered as in the index. Safe to use from many threads.

    Args:
        manifest: What the split holds.

    Attributes:
        labels: `(num_samples,)` int16, the label of each sample, -1 where there is none.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._paths = manifest.shard_paths
        self._index = load_index(manifest)
        self._files: dict[int, int] = {}
        self._lock = threading.Lock()
        self.labels: npt.NDArray[np.int16] = self._index["label"]

    def read(self, sample: int) -> tuple[str, bytes]:
        """Return the key and the JPEG bytes of a sample.

        Raises:
            DataError: The shard cannot be read, or does not hold what the index says.
        """
        entry = self._index[sample]
        shard, offset, size_bytes = (
            int(entry["shard"]),
            int(entry["offset"]),
            int(entry["size_bytes"]),
        )
        path = self._paths[shard]
        try:
            # The tar header lies right before the picture: one read brings both, and proves the
            # place.
            start = offset - BLOCK_BYTES
            block = os.pread(self._file(shard, path), BLOCK_BYTES + size_bytes, start)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from error
        header = block[:BLOCK_BYTES]
        if len(block) < BLOCK_BYTES + size_bytes or read_size_bytes(header) != size_bytes:
            raise DataError(
                f"{path} does not hold sample {sample} at byte {offset:,} as its index says",
                "it was cut or replaced",
                f"check it:  places verify {path.parent}",
            )
        return read_key(header), block[BLOCK_BYTES:]

    def close(self) -> None:
        """Close the shards that were opened; reading opens them again."""
        with self._lock:
            for file in self._files.values():
                os.close(file)
            self._files.clear()

    def _file(self, shard: int, path: Path) -> int:
        file = self._files.get(shard)
        if file is None:
            with self._lock:
                if shard not in self._files:
                    self._files[shard] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                file = self._files[shard]
        return file
