"""Manifest and index of shards, also for tars from elsewhere that a WebDataset reader takes."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from places.categories import load_categories
from places.console import progress
from places.data.packing.official import PackSource
from places.data.shards.manifest import (
    NO_LABEL,
    SAMPLE,
    Manifest,
    Shard,
    index_path,
    load_manifest,
    manifest_path,
    save_manifest,
)
from places.data.shards.tar_headers import BLOCK_BYTES, key_of, read_key
from places.data.shards.tar_members import Member, members_of
from places.errors import DataError
from places.files import written_whole

_Entry = tuple[int, int, int, int]


def index_shards(root: Path, split: str) -> Manifest:
    """Write the manifest and the index of `<split>-*.tar` from one pass over the tars.

    Each sample needs one `.jpg`, and a `.cls` with its label in digits unless none has one. If
    there is a manifest already, only the index is written, and only if it is the one that the
    manifest names.

    Raises:
        DataError: There are no tars, one is damaged, or it holds something else.
    """
    paths = sorted(root.glob(f"{split}-*.tar"))
    if not paths:
        raise DataError(f"no {split}-*.tar in {root}")
    shards, parts = [], []
    with progress(f"index {split}", sum(path.stat().st_size for path in paths)) as counter:
        for number, path in enumerate(paths):
            digest = hashlib.sha256()
            entries = np.array([*_entries(path, number, digest, counter.advance)], SAMPLE)
            shards.append(Shard(path.name, len(entries), path.stat().st_size, digest.hexdigest()))
            parts.append(entries)
    index = np.concatenate(parts)
    num_unlabelled = int((index["label"] == NO_LABEL).sum())
    if not len(index):
        raise DataError(f"no pictures in {root / split}-*.tar")
    if 0 < num_unlabelled < len(index):
        raise DataError(
            f"{num_unlabelled:,} of {len(index):,} pictures in {root / split}-*.tar have no .cls"
        )
    if manifest_path(root, split).exists():
        known = load_manifest(root, split)
        _save_index(index_path(root, split), index, known.index_sha256)
        return known
    return describe_shards(root, PackSource(root, split), shards, index)


def describe_shards(
    root: Path,
    source: PackSource,
    shards: Sequence[Shard],
    index: npt.NDArray[np.void],
    packed_from: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write the index of shards, `(num_samples,)` of dtype `SAMPLE`, and then their manifest."""
    index_sha256 = _save_index(index_path(root, source.split), index)
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
        index_sha256=index_sha256,
    )
    save_manifest(manifest, packed_from)
    return manifest


def _save_index(path: Path, index: npt.NDArray[np.void], expected: str | None = None) -> str:
    """Write an index and return its SHA-256; refuse another one than the expected."""
    with written_whole(path) as partial:
        with partial.open("wb") as file:
            np.save(file, index)
        with partial.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if expected not in (None, sha256):
            raise DataError(
                f"the shards do not fit their manifest: no new {path.name} was written",
                f"see why:  places verify {path.parent}",
            )
    return sha256


def _entries(
    path: Path, number: int, digest: "hashlib._Hash", advance: Callable[[int], object]
) -> Iterator[_Entry]:
    with path.open("rb", buffering=0) as file:
        samples = groupby(members_of(path, digest, advance), lambda member: key_of(member.name))
        for key, members in samples:
            yield _entry(file.fileno(), path, number, key.decode(errors="replace"), [*members])


def _entry(file: int, path: Path, number: int, key: str, members: list[Member]) -> _Entry:
    kinds = [member.name.rpartition(b".")[2].lower() for member in members]
    jpegs = [m for m, kind in zip(members, kinds, strict=True) if kind in (b"jpg", b"jpeg")]
    if len(jpegs) != 1:
        found = ", ".join(kind.decode(errors="replace") for kind in kinds)
        raise DataError(f"sample {key!r} in {path} must have one .jpg", f"found:  {found}")
    _, offset, size_bytes = jpegs[0]
    if read_key(os.pread(file, BLOCK_BYTES, offset - BLOCK_BYTES)) != key:
        raise DataError(
            f"the name of {key!r} in {path} is not in the tar header before it, but in another",
            "unpack the tars and pack the folder again",
        )
    label = NO_LABEL
    if b"cls" in kinds:
        _, label_offset, length = members[kinds.index(b"cls")]
        text = os.pread(file, length, label_offset).strip()
        label = int(text) if text.isdigit() else len(load_categories())
        if label >= len(load_categories()):
            raise DataError(f"the label of {key!r} in {path} is {text[:20]!r}, not 0 to 364")
    return offset, size_bytes, number, label
