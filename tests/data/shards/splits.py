"""A split of one picture per shard without the tars: a manifest and an index that fit."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from places.categories import load_categories
from places.data.shards.index import SAMPLE
from places.data.shards.manifest import Manifest, Shard, index_path


def rows_of(num_shards: int, per_shard: int = 1, size_bytes: int = 1000) -> npt.NDArray[np.void]:
    """Rows of pictures that lie one after the other, as `pack` writes them with a label each."""
    index = np.zeros(num_shards * per_shard, SAMPLE)
    index["shard"] = np.repeat(np.arange(num_shards), per_shard)
    index["offset"] = np.tile(512 + np.arange(per_shard) * 2560, num_shards)
    index["size_bytes"] = size_bytes
    index["label"] = np.arange(len(index)) % 365
    return index


def write_split(root: Path, index: npt.NDArray[np.void], split: str = "val") -> Manifest:
    """Write an index, and return the manifest of it."""
    np.save(index_path(root, split), index)
    return manifest_of(root, index, split)


def manifest_of(root: Path, index: npt.NDArray[np.void], split: str = "val") -> Manifest:
    """Return the manifest of an index that is written already."""
    num_shards = int(index["shard"].max()) + 1
    counts = np.bincount(index["shard"], minlength=num_shards).tolist()
    return Manifest(
        root=root,
        split=split,
        variant="standard",
        size="256",
        synthetic=True,
        seed=3,
        categories=load_categories(),
        labelled=bool((index["label"] >= 0).all()),
        shards=tuple(
            Shard(f"{split}-{number:06d}.tar", count, 512 + count * 2560, "a" * 64)
            for number, count in enumerate(counts)
        ),
        index_sha256=hashlib.sha256(index_path(root, split).read_bytes()).hexdigest(),
    )
