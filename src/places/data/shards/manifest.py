"""What a folder of shards holds: the manifest (JSON) and the index (one row per picture).

A split is `<split>.json`, `<split>.index.npy` and the tars `<split>-000000.tar`, ... in one folder.
With the index a tar is a random-access file: each picture's bytes are known without reading others.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from places.errors import DataError
from places.files import storage_error, write_text

VERSION = 1
SAMPLE = np.dtype([("offset", "<u8"), ("size_bytes", "<u4"), ("shard", "<u2"), ("label", "<i2")])
"""One row of the index: where the JPEG's bytes lie in which tar, and its label (-1: none)."""

NO_LABEL = -1


@dataclass(frozen=True)
class Shard:
    """One tar: its file name, the pictures in it, its size and its SHA-256 in hex."""

    name: str
    num_samples: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """One split of a data set in shards."""

    root: Path  # the folder that holds the shards
    split: str  # "train", "val" or "test"
    variant: str  # "standard", "challenge", or "folder" for pictures from elsewhere
    size: str  # "256" or "large" for official pictures, "original" for others
    synthetic: bool  # whether the pictures were drawn by `places sample`
    seed: int  # of the order of the train split
    categories: tuple[str, ...]  # the names of the labels; the position is the label
    labelled: bool  # whether every picture has a label
    shards: tuple[Shard, ...]  # in order
    index_sha256: str  # SHA-256 of the index file, in hex
    version: int = VERSION  # of the format

    @property
    def num_samples(self) -> int:
        """Pictures in all shards."""
        return sum(shard.num_samples for shard in self.shards)

    @property
    def summary(self) -> str:
        """How many pictures and shards there are, in words."""
        shards = "1 shard" if len(self.shards) == 1 else f"{len(self.shards):,} shards"
        return f"{self.num_samples:,} pictures in {shards}"

    @property
    def digest(self) -> str:
        """SHA-256 in hex of everything but `root`: equal digests mean equal data in equal order."""
        text = json.dumps(_fields(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def shard_paths(self) -> tuple[Path, ...]:
        """The paths of the tars, in the order of the index's `shard` column."""
        return tuple(self.root / shard.name for shard in self.shards)


def manifest_path(root: Path, split: str) -> Path:
    """Return where the manifest of a split lies."""
    return root / f"{split}.json"


def index_path(root: Path, split: str) -> Path:
    """Return where the index of a split lies."""
    return root / f"{split}.index.npy"


def load_manifest(root: Path | str, split: str) -> Manifest:
    """Read the manifest of a split.

    Raises:
        DataError: There is none, it is damaged, or its version is unknown.
    """
    root = Path(root)
    fields = read_fields(root, split)
    fields.pop("packed_from", None)
    try:
        shards = tuple(Shard(**shard) for shard in fields.pop("shards"))
        categories = tuple(fields.pop("categories"))
        return Manifest(root=root, categories=categories, shards=shards, **fields)
    except (TypeError, KeyError) as error:
        raise _damaged(manifest_path(root, split), str(error)) from error


def read_fields(root: Path, split: str) -> dict[str, Any]:
    """Read the JSON of a manifest, with `packed_from`; raises as `load_manifest` does."""
    path = manifest_path(root, split)
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _missing(root, split) from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(fields, dict):
        raise _damaged(path, f"an object was expected, not a {type(fields).__name__}")
    if fields.get("version") != VERSION:
        found = f"{path} has version {fields.get('version')!r}"
        raise DataError(f"{found}, this program reads version {VERSION}", "pack the data again")
    return fields


def save_manifest(manifest: Manifest, packed_from: Mapping[str, Any] | None = None) -> None:
    """Write a manifest under a temporary name and rename it.

    Args:
        manifest: What to write.
        packed_from: Sources and settings that made the shards; no part of the digest.
    """
    fields = _fields(manifest)
    if packed_from is not None:
        fields["packed_from"] = dict(packed_from)
    write_text(manifest_path(manifest.root, manifest.split), json.dumps(fields, indent=2) + "\n")


def load_index(manifest: Manifest) -> np.ndarray:
    """Map the index of a split into memory.

    Returns:
        `(num_samples,)` of dtype `SAMPLE`, read-only, sorted by shard and offset.

    Raises:
        DataError: The file is missing, cannot be read or does not have the manifest's shape.
    """
    path = index_path(manifest.root, manifest.split)
    make_it = f"make it:  places verify {manifest.root} --split {manifest.split} --index"
    try:
        index: np.ndarray = np.load(path, mmap_mode="r")
    except FileNotFoundError as error:
        raise DataError(f"no index {path}", make_it) from error
    except OSError as error:
        raise storage_error(f"cannot read {path}", error) from error
    except Exception as error:  # damage in the header may look like anything
        raise DataError(f"damaged index {path}: {error}", make_it) from error
    if index.dtype != SAMPLE or index.shape != (manifest.num_samples,):
        reason = f"it has shape {index.shape}, not ({manifest.num_samples},)"
        raise DataError(f"{path} does not fit its manifest: {reason}", make_it)
    return index


def _fields(manifest: Manifest) -> dict[str, Any]:
    fields = asdict(manifest)
    del fields["root"]
    return fields


def _missing(root: Path, split: str) -> DataError:
    if root.is_file():
        return DataError(f"{root} is a file", f"give the folder of the shards:  {root.parent}")
    path = manifest_path(root, split)
    found = ", ".join(sorted(file.name for file in root.glob("*.json"))) or "no manifest"
    if any(root.glob(f"{split}-*.tar")):
        return DataError(
            f"no manifest for the shards of split {split!r} in {root}",
            f"looked for: {path}      found: {split}-*.tar, {found}",
            f"make it:    places verify {root} --split {split} --index",
        )
    draw = [f"or draw:    places sample --root {root}"] if root.name == "sample" else []
    archive = "train_256_places365standard.tar" if split == "train" else f"{split}_256.tar"
    return DataError(
        f"no shards for split {split!r} in {root}",
        f"looked for: {path}      found: {found}",
        f"make them:  places pack {archive} --root {root}",
        *draw,
    )


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"damaged manifest {path}: {reason}", "remove it and pack the data again")
