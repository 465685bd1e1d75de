"""What a folder of shards holds: the manifest, in JSON.

A split is `<split>.json`, `<split>.index.npy` and the tars `<split>-000000.tar`, ... in one folder.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from places.console import counted, first_few, printable
from places.data.shards.fields import VERSION, checked
from places.data.shards.picture_formats import JPEG
from places.errors import DataError
from places.files import read_json, storage_error, write_text

NO_SHARDS = "no shards for split"  # so begins the error that there are none
_MAX_BYTES = 16 << 20  # of a manifest; one of 65,536 shards has 14 MB


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
    formats: tuple[str, ...] = (JPEG,)  # that its pictures have, see `picture_formats`
    version: int = VERSION  # of the format

    @property
    def num_samples(self) -> int:
        """Pictures in all shards."""
        return sum(shard.num_samples for shard in self.shards)

    @property
    def summary(self) -> str:
        """How many pictures and shards there are, in words."""
        pictures = counted(self.num_samples, "picture")
        return f"{pictures} in {counted(len(self.shards), 'shard')}"

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
        DataError: There is none, it is damaged, or it is of another version.
    """
    root = Path(root)
    fields = read_fields(root, split)
    fields.pop("packed_from", None)
    shards = tuple(Shard(**shard) for shard in fields.pop("shards"))
    categories, formats = tuple(fields.pop("categories")), tuple(fields.pop("formats", [JPEG]))
    return Manifest(root=root, categories=categories, formats=formats, shards=shards, **fields)


def read_fields(root: Path, split: str) -> dict[str, Any]:
    """Read the JSON of a manifest, with `packed_from`; raises as `load_manifest` does.

    All of it is checked here: whoever reads a manifest can trust its types, ranges and names.
    """
    path = manifest_path(root, split)
    try:
        return checked(read_json(path, _MAX_BYTES), split)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _missing(root, split) from error
    except ValueError as error:
        raise DataError(
            f"damaged manifest {path}: {error}",
            "remove it and pack the data again",
            f"for shards from elsewhere:  places verify FOLDER --split {split} --index",
        ) from error
    except OSError as error:
        raise storage_error(f"cannot read {path}", error) from error


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


def _fields(manifest: Manifest) -> dict[str, Any]:
    fields = asdict(manifest)
    del fields["root"]
    if manifest.formats == (JPEG,):  # as all were before there were others: the digest stays
        del fields["formats"]
    return fields


def _missing(root: Path, split: str) -> DataError:
    if root.is_file():
        return DataError(f"{root} is a file", f"give the folder of the shards:  {root.parent}")
    path = manifest_path(root, split)
    names = sorted(file.name for file in root.glob("[!_]*.json"))  # not what timm reads
    found = ", ".join(name for name in names if not name.endswith(".urls.json")) or "no manifest"
    if any(root.glob(f"{split}-*.tar")):
        return DataError(
            f"no manifest for the shards of split {split!r} in {root}",
            f"looked for: {path}      found: {split}-*.tar, {found}",
            f"make it:    places verify {root} --split {split} --index",
        )
    tars = sorted(file.name for file in root.glob("*.tar*") if not file.name.startswith("."))
    if tars and not found.endswith(".json"):
        return DataError(
            f"{NO_SHARDS} {split!r} in {root}, but tars with other names",
            f"looked for: {path}      found: {printable(str(first_few(tars)))}",
            f"shards of WebDataset:  places index {root} --split {split}",
            f"archives or folders:   places pack {root} --split {split} --root FOLDER",
        )
    draw = [f"or draw:    places sample --root {root}"] if root.name == "sample" else []
    archive = "train_256_places365standard.tar" if split == "train" else f"{split}_256.tar"
    return DataError(
        f"{NO_SHARDS} {split!r} in {root}",
        f"looked for: {path}      found: {found}",
        f"make them:  places pack {archive} --root {root}",
        *draw,
    )
