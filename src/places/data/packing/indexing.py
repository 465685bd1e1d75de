"""Manifest and index of shards, also for tars from elsewhere that a WebDataset reader takes."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import numpy.typing as npt

from places.categories import load_categories
from places.console import counted, first_few, printable, progress, put
from places.data.packing.official import PackSource
from places.data.packing.tar_samples import Found, entries_of_tar
from places.data.packing.timm_info import write_info
from places.data.shards.fields import MAX_SHARDS, is_shard_name
from places.data.shards.index import NO_LABEL, SAMPLE
from places.data.shards.manifest import (
    Manifest,
    Shard,
    index_path,
    load_manifest,
    manifest_path,
    save_manifest,
)
from places.data.shards.picture_formats import JPEG, SUFFIXES, in_order
from places.data.shards.tar_members import members_of
from places.errors import DataError
from places.files import storage_error, written_whole


@dataclass
class Scanned:
    """What one pass over the tars of a split found."""

    shards: list[Shard] = field(default_factory=list)
    parts: list[npt.NDArray[np.void]] = field(default_factory=list)  # of the index
    found: Found = field(default_factory=Found)

    @property
    def index(self) -> npt.NDArray[np.void]:
        """The rows of all shards, `(num_samples,)` of dtype `SAMPLE`."""
        return np.concatenate([np.empty(0, SAMPLE), *self.parts])

    def add(self, path: Path, name: str, advance: Callable[[int], object]) -> None:
        """Read one tar from its first byte to its last.

        Args:
            path: The tar.
            name: What the manifest calls it.
            advance: Called with the number of bytes of each part that was read.

        Raises:
            DataError: It cannot be indexed.
            StorageError: It cannot be read.
        """
        digest, before = hashlib.sha256(), self.found.copy()
        try:
            members = members_of(path, digest, advance, is_shard=True)
            rows = [*entries_of_tar(path, len(self.shards), members, self.found)]
        except OSError as error:
            raise storage_error(f"cannot read {error.filename or path}", error) from error
        except DataError:
            self.found = before  # of a shard that is not taken nothing counts
            raise
        self.parts.append(np.array(rows, SAMPLE))
        self.shards.append(Shard(name, len(rows), path.stat().st_size, digest.hexdigest()))

    def check(self, split: str) -> None:
        """Refuse a split that has no pictures, or labels for a part of them; tell what is left out.

        Raises:
            DataError: It is so.
        """
        num_samples, unlabelled = sum(map(len, self.parts)), self.found.unlabelled
        if not num_samples:
            left_out = self.found.left_out
            raise DataError(
                f"no pictures in {_names(self.shards)}",
                *([f"found:     {left_out}"] if left_out.count else []),
                f"read are:  {', '.join(f'.{ending.decode()}' for ending in SUFFIXES)}",
            )
        if 0 < unlabelled.count < num_samples:
            kind = ".cls" if self.found.label_key is None else ".cls or .json"
            raise DataError(
                f"no {kind} for {unlabelled.count:,} of {counted(num_samples, 'picture')} "
                f"in {_names(self.shards)}",
                f"without:  {printable(str(unlabelled))}",
                "write the tar again with a label for each picture, or without those pictures",
            )
        if unlabelled.count and self.found.json_keys and split != "test":
            raise DataError(
                f"no label for any of {counted(num_samples, 'picture')}: there is no .cls",
                f"the .json has keys that may hold it:  {_keys(self.found)}",
                f"name the one:  places index SHARDS --root ROOT --split {split} --label_key "
                f"{quote(printable(self.found.json_keys[0][:80]))}",
            )
        if unlabelled.count and self.found.other_labels and split != "test":
            endings = ", ".join(f".{ending}" for ending in self.found.other_labels)
            put(
                f"{split}: {endings} may hold labels, which are read from .cls and .json only: "
                "write the tar again with .cls"
            )
        left_out = self.found.left_out
        if left_out.count:
            put(f"{split}: left out, in no sample: {counted(left_out.count, 'member')}: {left_out}")


def _names(shards: Sequence[Shard]) -> str:
    return str(first_few(shard.name for shard in shards))


def _keys(found: Found) -> str:
    return ", ".join(printable(key[:80]) for key in found.json_keys)


def index_shards(root: Path, split: str) -> Manifest:
    """Write the manifest and the index of `<split>-*.tar` from one pass over the tars.

    Each sample needs one picture, and a `.cls` with its label unless none has one: in digits, or
    the name of its category. What is in no sample is left out, and printed with its number. If
    there is a manifest already, only the index is written, and only if it is the one that the
    manifest names.

    Raises:
        DataError: There are no tars, one is damaged, or it holds something else.
    """
    paths = sorted(root.glob(f"{split}-*.tar"))
    if not paths:
        raise DataError(f"no {split}-*.tar in {root}")
    check_names([path.name for path in paths], split)
    known = load_manifest(root, split) if manifest_path(root, split).exists() else None
    scanned = Scanned()
    with progress(f"index {split}", sum(path.stat().st_size for path in paths)) as counter:
        for path in paths:
            scanned.add(path, path.name, counter.advance)
    scanned.check(split)
    if known:
        save_index(index_path(root, split), scanned.index, known.index_sha256)
        return known
    manifest = describe_shards(
        root, PackSource(root, split), scanned.shards, scanned.index, formats=scanned.found.formats
    )
    write_info(root)
    return manifest


def check_names(names: Sequence[str], split: str) -> None:
    """Refuse shards that no manifest can hold.

    Raises:
        DataError: By their names, or they are too many.
    """
    odd = first_few(printable(name) for name in names if not is_shard_name(name, split))
    if odd.count:
        found = f"{counted(odd.count, 'shard')} with a name that no manifest can hold: {odd}"
        raise DataError(found, f"rename them, such as  {split}-000000.tar")
    if len(names) > MAX_SHARDS:
        raise DataError(f"{len(names):,} shards are more than the {MAX_SHARDS:,} of an index")


def describe_shards(
    root: Path,
    source: PackSource,
    shards: Sequence[Shard],
    index: npt.NDArray[np.void],
    packed_from: Mapping[str, Any] | None = None,
    formats: Sequence[str] | set[str] = (JPEG,),
) -> Manifest:
    """Write the index of shards, `(num_samples,)` of dtype `SAMPLE`, and then their manifest."""
    sha256 = save_index(index_path(root, source.split), index)
    manifest = Manifest(
        root=root,
        split=source.split,
        variant=source.variant,
        size=source.size,
        synthetic=source.synthetic,
        seed=packed_from["seed"] if packed_from else 0,
        categories=load_categories(),
        labelled=bool((index["label"] != NO_LABEL).all()),
        shards=tuple(shards),
        index_sha256=sha256,
        formats=in_order(formats),
    )
    save_manifest(manifest, packed_from)
    return manifest


def index_sha256(index: npt.NDArray[np.void]) -> str:
    """Return the SHA-256 that an index has as a file, in hex."""
    memory = BytesIO()
    np.save(memory, index)
    return hashlib.sha256(memory.getbuffer()).hexdigest()


def save_index(path: Path, index: npt.NDArray[np.void], expected: str | None = None) -> str:
    """Write an index and return its SHA-256; refuse another one than the expected.

    Raises:
        DataError: It is another one.
    """
    with written_whole(path) as partial:
        with partial.open("wb") as file:
            np.save(file, index)
        with partial.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if expected not in (None, sha256):
            raise DataError(
                f"the shards do not fit their manifest: no new {path.name} was written",
                f"see why:  places verify {path.parent}",
                "with labels from .json it needs the key:  places index SHARDS --label_key KEY",
            )
    return sha256
