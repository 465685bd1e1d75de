"""One split as a source of samples: opened by its folder, read sample by sample."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from places.data.remote.fetch import fetch_manifest
from places.data.remote.prefetch import RemoteShards
from places.data.remote.urls import is_url
from places.data.shards.manifest import Manifest, load_manifest
from places.data.streaming.bad_samples import BadSamples
from places.data.streaming.jpeg import Pixels
from places.data.streaming.shard_reader import Entry, Shards
from places.data.streaming.stream import Sample
from places.errors import DataError, StorageError

_TRAIN_SHARE = 0.8  # of the cache


@dataclass(frozen=True)
class SplitSamples:
    """Where the samples of a split come from."""

    manifest: Manifest  # what the split holds
    shards: Shards  # its samples
    bad_samples: BadSamples  # what becomes of those that cannot be read

    def load(
        self,
        number: int,
        entry: Entry,
        pixels: Pixels,
        decode: Callable[[bytes], None],
        flip: bool = False,
        needs_label: bool = False,
    ) -> Sample:
        """Read a sample and fill in its pixels; those of an unreadable one become black.

        Args:
            number: The sample's number in the split.
            entry: Its row of the index.
            pixels: Its pixels, to be filled by `decode`.
            decode: Takes the bytes of the JPEG.
            flip: Whether it will be mirrored.
            needs_label: Whether a sample without a label counts as unreadable.

        Raises:
            DataError: It cannot be read, and that is not to be skipped.
            StorageError: Nothing can be read now; no fault of the sample, so it does not count.
        """
        key, label = "", entry[-1]
        try:
            key, jpeg = self.shards.read(entry)
            if needs_label and label < 0:
                raise DataError(f"{key} has no label")
            decode(jpeg)
        except StorageError:
            raise
        except DataError as error:
            place = self.shards.place(entry)
            reason = self.bad_samples.report(number, f"{key} in {place}" if key else place, error)
            pixels[:] = 0
            return Sample(key or f"sample {number}", label, error=reason)
        return Sample(key, label, flip)

    def close(self) -> None:
        """Close the shards; reading opens them again."""
        self.shards.close()


@dataclass(frozen=True)
class Cache:
    """Where remote shards are kept: see the arguments of `Places365`."""

    folder: Path = Path("data/cache")
    size_gb: float = 50.0


def open_samples(
    root: Path | str,
    split: str,
    bad_samples: BadSamples | None = None,
    cache: Cache | None = None,
    manifest: Manifest | None = None,
) -> SplitSamples:
    """Open a split of packed data.

    Args:
        root: The folder or URL with the shards.
        split: "train", "val" or "test".
        bad_samples: What becomes of samples that cannot be read; by default they are refused.
        cache: Where remote shards are kept.
        manifest: What the split holds, if it was opened before.

    Raises:
        DataError: The split is missing or damaged.
    """
    bad_samples = bad_samples or BadSamples()
    if not is_url(str(root)):
        manifest = manifest or load_manifest(root, split)
        return SplitSamples(manifest, Shards(manifest), bad_samples)
    cache = cache or Cache()
    size_bytes = int(cache.size_gb * 1e9)
    manifest = manifest or fetch_manifest(str(root), split, cache.folder, size_bytes)
    remote = RemoteShards(
        str(root),
        manifest,
        size_bytes,
        # Training keeps fetching ahead while a validation runs, which needs room as well.
        prefetch_share=_TRAIN_SHARE if split == "train" else 1.0,
    )
    return SplitSamples(manifest, Shards(manifest, remote), bad_samples)
