"""One split as a source of samples: opened by its folder or URL, read by position in the index."""

import os
import resource
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt

from places.config.ranges import check_range
from places.data.remote.checks import CacheChecks
from places.data.remote.fetch import fetch_manifest, keep_manifest
from places.data.remote.listed import ListedShards, listed_urls
from places.data.remote.prefetch import RemoteShards
from places.data.remote.shard_uses import shard_uses
from places.data.remote.urls import TIMEOUT_RANGE_S, TIMEOUT_S, is_url
from places.data.shards.index import load_index
from places.data.shards.manifest import Manifest, load_manifest
from places.data.shards.picture_formats import PPM
from places.data.shards.ppm import HEAD_BYTES, MAGIC, PpmHeader, read_ppm_header
from places.data.shards.tar_headers import (
    BLOCK_BYTES,
    LOOK_BACK_BYTES,
    may_be_extended,
    read_key,
    read_size_bytes,
)
from places.data.streaming.bad_samples import BadSamples
from places.data.streaming.jpeg import Pixels
from places.data.streaming.raw import RawPicture, Stored
from places.data.streaming.stream import Sample
from places.errors import DataError, StorageError
from places.files import open_regular, storage_error
from places.hashing import Ids

Entry = tuple[int, int, int, int]  # a row of the index: offset, size in bytes, shard, label

_OTHER_FILES = 256  # what else a process may have open
_TRAIN_SHARE = 0.8  # of the cache
# Where a split has raw pictures, of one with more bytes the beginning is read first: if it is raw,
# only some of its rows are wanted. A JPEG of this size takes far longer to decode than a read more.
_HEAD_FIRST_BYTES = 1 << 16


class SplitSamples:
    """The samples of one split, numbered as in the index. Safe to use from many threads.

    Args:
        manifest: What the split holds.
        bad_samples: What becomes of samples that cannot be read; by default they are refused.
        remote: Fetches the shards; by default they are files in the manifest's folder.
        index: The index of the manifest, if it was loaded before.

    Raises:
        DataError: The index is missing or not the one of the manifest.
    """

    def __init__(
        self,
        manifest: Manifest,
        bad_samples: BadSamples | None = None,
        remote: RemoteShards | None = None,
        index: npt.NDArray[np.void] | None = None,
    ) -> None:
        self.manifest = manifest
        self.bad_samples = bad_samples or BadSamples()
        self._paths = manifest.shard_paths
        self.index = load_index(manifest) if index is None else index
        counts = (shard.num_samples for shard in manifest.shards)
        self._starts = [*accumulate(counts, initial=0)]  # the first row of each shard
        self._has_raw = PPM in manifest.formats
        self._head_first_bytes = _HEAD_FIRST_BYTES if self._has_raw else 1 << 32
        self._last_header: tuple[int, bytes, PpmHeader | None] = (0, b"", None)
        self._remote = remote
        self._last_steps: dict[int, int] = {}
        self._files: dict[int, int] = {}
        self._old_files: list[int] = []  # descriptors that others may still read from
        self._back_bytes: dict[int, int] = {}
        self._lock = threading.Lock()
        self._check = threading.Lock()  # one thread at a time looks whether the cache is damaged
        _allow_open_files(len(self._paths) * (2 if remote else 1))  # the cache holds them too

    def entries(self, samples: Ids) -> list[Entry]:
        """Return the rows of the index for some samples."""
        # One fancy indexing for a whole batch: a row at a time costs 20 times as much.
        entries: list[Entry] = self.index[samples].tolist()
        return entries

    def read(self, entry: Entry) -> tuple[str, bytes]:
        """Return the key of a sample and all bytes of its picture; raises as `find` does."""
        key, stored = self.find(entry)
        return key, stored.whole(entry[1]) if isinstance(stored, RawPicture) else stored

    def find(self, entry: Entry) -> tuple[str, Stored]:
        """Return the key of a sample and its picture: its bytes, or a raw one, not yet read.

        Raises:
            DataError: The shard is not there, or does not hold what the index says.
            StorageError: It cannot be read now, or there is no room for it.
        """
        offset, size_bytes, shard, _ = entry
        try:
            # The tar header lies right before the picture: one read brings both, and proves the
            # place.
            file = self._file(shard)
            start = max(offset - self._back_bytes[shard], 0)
            num_bytes = size_bytes if size_bytes < self._head_first_bytes else HEAD_BYTES
            data = os.pread(file, offset - start + num_bytes, start)
        except FileNotFoundError as error:
            raise DataError(f"no such shard: {self._paths[shard]}") from error
        except OSError as error:
            raise storage_error(f"cannot read {self._paths[shard]}", error) from error
        blocks, picture = data[: offset - start], data[offset - start :]
        if len(picture) < num_bytes or read_size_bytes(blocks[-BLOCK_BYTES:]) != size_bytes:
            raise self._missing(entry)
        if len(blocks) > BLOCK_BYTES:
            free_from = self._free_from(entry) if may_be_extended(blocks) else offset - BLOCK_BYTES
            blocks = blocks[max(free_from - start, 0) :]
        key = read_key(blocks)
        return key, self._stored(entry, file, picture) if self._has_raw else picture

    def _stored(self, entry: Entry, file: int, head: bytes) -> Stored:
        """Return a picture of a split that has raw ones; `head` is how it begins, or all of it."""
        offset, size_bytes, shard, _ = entry

        def read(part: memoryview, position: int) -> None:
            try:
                num_bytes = os.preadv(file, [part], offset + position)
            except OSError as error:
                raise storage_error(f"cannot read {self._paths[shard]}", error) from error
            if num_bytes < len(part):
                raise self._missing(entry)

        header = self._ppm_header(head, size_bytes)
        if header:
            return RawPicture(header, read)
        if len(head) == size_bytes:  # anything else is for the reader of all formats
            return head
        whole = bytearray(size_bytes)
        read(memoryview(whole), 0)
        return bytes(whole)

    def _ppm_header(self, head: bytes, size_bytes: int) -> PpmHeader | None:
        """Return the header of a raw picture; most have that of the last one."""
        last_size_bytes, last_head, header = self._last_header
        if size_bytes == last_size_bytes and head.startswith(last_head):
            return header
        header = read_ppm_header(head, size_bytes) if head.startswith(MAGIC) else None
        if header:
            self._last_header = size_bytes, head[: header.start], header
        return header

    def load(
        self,
        number: int,
        entry: Entry,
        pixels: Pixels,
        decode: Callable[[Stored], None],
        flip: bool = False,
        needs_label: bool = False,
    ) -> Sample:
        """Read a sample and fill in its pixels; those of an unreadable one become black.

        Args:
            number: The sample's number in the split.
            entry: Its row of the index.
            pixels: Its pixels, to be filled by `decode`.
            decode: Takes what `find` gives.
            flip: Whether it will be mirrored.
            needs_label: Whether a sample without a label counts as unreadable.

        Raises:
            DataError: It cannot be read, and that is not to be skipped.
            StorageError: Nothing can be read now; no fault of the sample, so it does not count.
        """
        key, label = "", entry[-1]
        try:
            try:
                key, picture = self.find(entry)
                decode(picture)
            except StorageError:
                raise
            except DataError as error:
                key = self._read_again(entry, decode, error)
            if needs_label and label < 0:
                raise DataError(f"{key} has no label")
        except StorageError:
            raise
        except DataError as error:
            place = f"{self._paths[entry[2]]} at byte {entry[0]:,}"
            reason = self.bad_samples.report(number, f"{key} in {place}" if key else place, error)
            pixels[:] = 0
            return Sample(key or f"sample {number}", label, error=reason)
        return Sample(key, label, flip)

    def follow(self, samples: Ids, batch_size: int, first_step: int) -> None:
        """Fetch remote shards ahead, in the order of an epoch.

        Args:
            samples: What all processes of this node read in the epoch, in the order of reading.
            batch_size: How many of them each step reads.
            first_step: The step to begin with.
        """
        if self._remote:
            uses = shard_uses(self.index["shard"][samples], batch_size)
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
            for file in (*self._files.values(), *self._old_files):
                os.close(file)
            self._files.clear()
            self._old_files.clear()
        if self._remote:
            self._remote.close()

    def _read_again(self, entry: Entry, decode: Callable[[Stored], None], error: DataError) -> str:
        """Read a sample once more if the cache may have damaged it, and return its key."""
        is_whole = False
        while not is_whole:
            is_whole = self._make_whole(entry[2], error)
            try:
                key, picture = self.find(entry)
                decode(picture)
            except StorageError:
                raise
            except DataError as again:
                error = again
            else:
                return key
        reason = "its shard has the SHA-256 of the manifest: it was packed like this"
        raise DataError(error.message, reason) from error

    def _make_whole(self, shard: int, error: DataError) -> bool:
        """Let a shard of the cache that is damaged be fetched again.

        Args:
            shard: The shard.
            error: Raised if nothing can be done: it is a local one, or could not be opened.

        Returns:
            Whether it was whole already.
        """
        with self._check:
            file = self._files.get(shard)
            if self._remote is None or file is None:
                raise error
            renewed = self._remote.renew(shard, file)
            if renewed is not None:
                with self._lock:
                    self._files[shard] = renewed
                    self._old_files.append(file)
            return renewed is None

    def _file(self, shard: int) -> int:
        file = self._files.get(shard)
        if file is None:
            opened = self._open(shard)  # without the lock: a remote shard may take a while
            self._back_bytes[shard] = self._look_back(shard)
            with self._lock:
                file = self._files.setdefault(shard, opened)
            if file != opened:  # another thread was faster
                os.close(opened)
        return file

    def _look_back(self, shard: int) -> int:
        """Return how far before a picture of a shard its name may be, in bytes.

        Where `pack` wrote the shard, nothing but a label lies before the header of a picture.
        """
        rows = self.index[self._starts[shard] : self._starts[shard + 1]]
        ends = (rows["offset"] + rows["size_bytes"]).astype(np.int64)
        labels = np.where(rows["label"] < 0, 0, 2 * BLOCK_BYTES)
        free_from = -(-ends // BLOCK_BYTES) * BLOCK_BYTES + labels
        is_packed = rows["offset"] == np.concatenate([[0], free_from[:-1]]) + BLOCK_BYTES
        return BLOCK_BYTES if is_packed.all() else LOOK_BACK_BYTES

    def _free_from(self, entry: Entry) -> int:
        """Return where the picture before another one in its shard ends, 0 for the first one."""
        offset, _, shard, _ = entry
        first, end = self._starts[shard : shard + 2]
        row = first + int(np.searchsorted(self.index["offset"][first:end], offset))
        before = self.index[row - 1]
        return int(before["offset"] + before["size_bytes"]) if row > first else 0

    def _open(self, shard: int) -> int:
        if self._remote:
            return self._remote.open(shard)
        file = open_regular(self._paths[shard])
        size_bytes, expected = os.fstat(file).st_size, self.manifest.shards[shard].size_bytes
        if size_bytes != expected:
            os.close(file)
            reason = f"it has {size_bytes:,} bytes, its manifest says {expected:,}"
            raise self._replaced(shard, reason)
        return file

    def _missing(self, entry: Entry) -> DataError:
        offset, _, shard, _ = entry
        return self._replaced(shard, f"at byte {offset:,} the picture of the index is missing")

    def _replaced(self, shard: int, reason: str) -> DataError:
        path = self._paths[shard]
        return DataError(
            f"{path} was cut or replaced: {reason}",
            f"check it:  places verify {path.parent}",
        )


_MAX_SIZE_GB = 1e9


@dataclass(frozen=True)
class Cache:
    """Where remote shards are kept: see the arguments of `Places365`."""

    folder: Path = Path("data/cache")
    size_gb: float = 50.0
    timeout_s: float = TIMEOUT_S
    checks: CacheChecks = field(default_factory=CacheChecks)  # of one run

    def __post_init__(self) -> None:
        """Refuse a size that is no number, and a time that is too short or has no end."""
        check_range("`cache_size_gb`", self.size_gb, 0, _MAX_SIZE_GB)
        check_range("`timeout_s`", self.timeout_s, *TIMEOUT_RANGE_S)


def open_samples(
    root: Path | str,
    split: str,
    bad_samples: BadSamples | None = None,
    cache: Cache | None = None,
    opened: SplitSamples | None = None,
) -> SplitSamples:
    """Open a split of packed data.

    Args:
        root: The folder or URL with the shards, or the folder with an index of such behind URLs.
        split: "train", "val" or "test".
        bad_samples: What becomes of samples that cannot be read; by default they are refused.
        cache: Where remote shards are kept.
        opened: The same split, if it was opened before: manifest and index are not read again.

    Raises:
        DataError: The split is missing or damaged.
    """
    manifest, index = (opened.manifest, opened.index) if opened else (None, None)
    cache, url = cache or Cache(), str(root)
    size_bytes, timeout_s = int(cache.size_gb * 1e9), cache.timeout_s
    source: str | ListedShards = url
    if not is_url(url):
        urls = listed_urls(Path(root), split)
        if not urls:
            return SplitSamples(manifest or load_manifest(root, split), bad_samples, index=index)
        local = load_manifest(root, split)
        source = ListedShards(local, urls, timeout_s)
        index = load_index(local) if index is None else index
        manifest = manifest or keep_manifest(local, cache.folder, size_bytes)
    manifest = manifest or fetch_manifest(url, split, cache.folder, size_bytes, timeout_s)
    # Training keeps fetching ahead while a validation runs, which needs room as well.
    share = _TRAIN_SHARE if split == "train" else 1.0
    remote = RemoteShards(source, manifest, size_bytes, share, timeout_s, cache.checks)
    return SplitSamples(manifest, bad_samples, remote, index)


def _allow_open_files(num_files: int) -> None:
    """Raise this process's limit of open files, as far as it may, when many shards need it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = num_files + _OTHER_FILES
    if soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
