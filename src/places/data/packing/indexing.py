"""Manifest and index of shards, also for tars from elsewhere that a WebDataset reader takes."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from places.categories import load_categories
from places.console import FirstFew, counted, first_few, printable, progress, put
from places.data.packing.labels import MAX_LABEL_BYTES, read_label
from places.data.packing.listing import JPEG_SUFFIXES, MAX_SIZE_BYTES, OTHER_SUFFIXES
from places.data.packing.official import PackSource
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
from places.data.shards.picture_formats import JPEG, in_order
from places.data.shards.tar_headers import (
    BLOCK_BYTES,
    LOOK_BACK_BYTES,
    key_of,
    read_key,
    read_size_bytes,
)
from places.data.shards.tar_members import members_of
from places.data.shards.tar_reader import MAX_SHOWN, Member, shown
from places.errors import DataError
from places.files import open_regular, storage_error, written_whole

_META = re.compile(rb"__[^/]*__($|/)")  # WebDataset passes over such members
_OF_PICTURES = {b"cls", *JPEG_SUFFIXES, *OTHER_SUFFIXES}  # endings of what may not get lost

_Entry = tuple[int, int, int, int]


def index_shards(root: Path, split: str) -> Manifest:
    """Write the manifest and the index of `<split>-*.tar` from one pass over the tars.

    Each sample needs one `.jpg`, and a `.cls` with its label unless none has one: in digits, or the
    name of its category. What is in no sample is left out, and printed with its number. If there is
    a manifest already, only the index is written, and only if it is the one that the manifest
    names.

    Raises:
        DataError: There are no tars, one is damaged, or it holds something else.
    """
    paths = sorted(root.glob(f"{split}-*.tar"))
    if not paths:
        raise DataError(f"no {split}-*.tar in {root}")
    _check_names(paths, split)
    known = load_manifest(root, split) if manifest_path(root, split).exists() else None
    try:
        shards, index = _read_shards(paths, split)
    except OSError as error:
        raise storage_error(f"cannot read {error.filename or root}", error) from error
    num_unlabelled = int((index["label"] == NO_LABEL).sum())
    if not len(index):
        raise DataError(f"no pictures in {root / split}-*.tar")
    if 0 < num_unlabelled < len(index):
        raise DataError(
            f"no .cls for {num_unlabelled:,} of {counted(len(index), 'picture')} "
            f"in {root / split}-*.tar"
        )
    if known:
        _save_index(index_path(root, split), index, known.index_sha256)
        return known
    return describe_shards(root, PackSource(root, split), shards, index)


def _check_names(paths: Sequence[Path], split: str) -> None:
    odd = first_few(printable(p.name) for p in paths if not is_shard_name(p.name, split))
    if odd.count:
        found = f"{counted(odd.count, 'shard')} with a name that no manifest can hold: {odd}"
        raise DataError(found, f"rename them, such as  {split}-000000.tar")
    if len(paths) > MAX_SHARDS:
        raise DataError(f"{len(paths):,} shards are more than the {MAX_SHARDS:,} of an index")


def _read_shards(paths: Sequence[Path], split: str) -> tuple[list[Shard], npt.NDArray[np.void]]:
    shards, parts, left_out = [], [], FirstFew()
    with progress(f"index {split}", sum(path.stat().st_size for path in paths)) as counter:
        for number, path in enumerate(paths):
            digest = hashlib.sha256()
            members = members_of(path, digest, counter.advance, is_shard=True)
            entries = np.array([*_entries(path, number, members, left_out)], SAMPLE)
            shards.append(Shard(path.name, len(entries), path.stat().st_size, digest.hexdigest()))
            parts.append(entries)
    if left_out.count:
        put(f"{split}: left out, in no sample: {counted(left_out.count, 'member')}: {left_out}")
    return shards, np.concatenate(parts)


def describe_shards(
    root: Path,
    source: PackSource,
    shards: Sequence[Shard],
    index: npt.NDArray[np.void],
    packed_from: Mapping[str, Any] | None = None,
    formats: Sequence[str] | set[str] = (JPEG,),
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
        formats=in_order(formats),
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
    path: Path, number: int, members: Iterable[Member], left_out: FirstFew
) -> Iterator[_Entry]:
    with os.fdopen(open_regular(path), "rb", buffering=0) as file:
        taken = (member for member in members if _is_taken(path, member, left_out))
        end = 0  # of the picture before
        for key, group in groupby(taken, lambda member: key_of(member.name)):
            parts = [*group]
            kinds = [member.name.rpartition(b".")[2].lower() for member in parts]
            sample = _Sample(path, key.decode(errors="backslashreplace"), parts, kinds)
            picture = _picture(sample)
            if picture is None:
                for member in sample.members:
                    left_out.add(shown(member.name))
                continue
            _check_header(file.fileno(), sample, picture, end)
            end = picture.offset + picture.size_bytes
            label = _label(file.fileno(), sample)
            yield picture.offset, picture.size_bytes, number, label


class _Sample(NamedTuple):
    """What WebDataset makes one sample of: members one after the other with the same key."""

    path: Path
    key: str
    members: list[Member]
    kinds: list[bytes]  # their endings

    def __str__(self) -> str:
        return f"sample {self.key[:MAX_SHOWN]!r} in {self.path}"


def _is_taken(path: Path, member: Member, left_out: FirstFew) -> bool:
    """Tell whether a member is part of a sample, as WebDataset sees it."""
    base = member.name.rpartition(b"/")[2]
    is_passed_over = not base.partition(b".")[0] or b"." not in base or _META.match(member.name)
    if not is_passed_over and not member.no_file:
        return True
    if not is_passed_over and base.rpartition(b".")[2].lower() in _OF_PICTURES:
        raise DataError(
            f"{shown(member.name)} in {path} is {member.no_file}, which an index cannot hold",
            "unpack the tars and pack the folder, or write the bytes in its place",
        )
    left_out.add(shown(member.name) + (f" ({member.no_file})" if member.no_file else ""))
    return False


def _picture(sample: _Sample) -> Member | None:
    """Return the JPEG of a sample; none if it has nothing to do with pictures."""
    pairs = zip(sample.members, sample.kinds, strict=True)
    jpegs = [member for member, kind in pairs if kind in (b"jpg", b"jpeg")]
    if len(jpegs) == 1 and jpegs[0].size_bytes <= MAX_SIZE_BYTES:
        return jpegs[0]
    if len(jpegs) == 1:
        raise DataError(f"the picture of {sample} has {jpegs[0].size_bytes:,} bytes")
    if not _OF_PICTURES & set(sample.kinds):
        return None
    found = first_few((printable(kind.decode(errors="replace")) for kind in sample.kinds), 8)
    dotted = [m.name for m in jpegs if m.name.rpartition(b"/")[2].count(b".") > 1]
    hint = []
    if dotted:
        old, suffix = dotted[0].rpartition(b".")[::2]
        folder, _, base = old.rpartition(b"/")
        new = b"/".join(filter(None, [folder, base.replace(b".", b"_")])) + b"." + suffix
        hint = [
            "WebDataset ends the key at the first dot, and makes one sample of equal keys",
            f"rename:  {shown(dotted[0])}  to  {shown(new)}  and all others likewise",
        ]
    raise DataError(f"{sample} must have one .jpg", f"found:  {found}", *hint)


def _check_header(file: int, sample: _Sample, picture: Member, end: int) -> None:
    """Refuse a picture whose key and size are not told right before it, where streaming looks."""
    start = max(end, picture.offset - LOOK_BACK_BYTES)
    blocks = os.pread(file, picture.offset - start, start)
    is_told = read_size_bytes(blocks[-BLOCK_BYTES:]) == picture.size_bytes
    if not is_told or read_key(blocks) != sample.key:
        what = "name" if is_told else "size"
        raise DataError(
            f"the {what} of {sample} is not in the tar header before it, but in another",
            "unpack the tars and pack the folder again",
        )


def _label(file: int, sample: _Sample) -> int:
    """Return the label of a sample from its `.cls`, if it has one."""
    if b"cls" not in sample.kinds:
        return NO_LABEL
    if sample.kinds.count(b"cls") > 1:
        raise DataError(f"{sample} has {sample.kinds.count(b'cls')} .cls")
    member = sample.members[sample.kinds.index(b"cls")]
    text = os.pread(file, min(member.size_bytes, MAX_LABEL_BYTES + 1), member.offset)
    label = read_label(text)
    if label is None:
        allowed = f"not 0 to {len(load_categories()) - 1} or the name of a category"
        raise DataError(f"the label of {sample} is {text.strip()[:20]!r}, {allowed}")
    return label
