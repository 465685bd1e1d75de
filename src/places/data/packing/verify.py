"""`places verify`: shards against their manifest and index, down to every JPEG."""

import hashlib
import mmap
import os
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, zip_longest
from pathlib import Path
from typing import BinaryIO, Literal, get_args

import numpy as np
import numpy.typing as npt
import simplejpeg

from places.categories import load_categories
from places.console import counted, first_few, printable, progress, put
from places.data.packing.indexing import index_shards
from places.data.packing.labels import MAX_LABEL_BYTES, read_label
from places.data.packing.listing import tuples_of
from places.data.packing.verify_cache import is_cache, verify_cache
from places.data.remote.listed import at_hand
from places.data.shards.index import NO_LABEL, SAMPLE, index_faults, load_index, map_index
from places.data.shards.manifest import (
    Manifest,
    Shard,
    index_path,
    load_manifest,
    manifest_path,
)
from places.data.shards.picture_formats import JPEG, format_of
from places.data.shards.tar_headers import (
    BLOCK_BYTES,
    LOOK_BACK_BYTES,
    is_header,
    padded,
    read_key,
    read_name,
    read_size_bytes,
)
from places.errors import DataError, StorageError
from places.files import open_regular

Split = Literal["train", "val", "test"]
_MAX_LINES = 20
_ROWS_PER_CHUNK = 256

_Row = tuple[int, int, int, int]


def verify(
    root: Path,
    split: Split | None = None,
    decode: bool = False,
    index: bool = False,
) -> int:
    """Check shards against their manifest.

    Compares counts, sizes and checksums of shards and index, the categories with the official ones,
    and looks at the tar header, the label and the header of every JPEG. The pictures of a shard
    with a wrong checksum are decoded to find the bad ones. Tars that no manifest names are found,
    too. Prints a line for each split, and names what is bad.

    Args:
        root: The folder with the shards; or a cache of shards from URLs, whose manifests tell what
            the shards in it must be.
        split: The split to check; null checks all.
        decode: Decode every picture; what a decoder only warns about counts as damage.
        index: First write the manifest and index of splits that have none or a wrong one, for
            WebDataset shards from elsewhere.

    Returns:
        The exit status: 0 if all is well, 1 if not.

    Raises:
        DataError: There is no manifest.
    """
    splits: tuple[Split, ...] = get_args(Split)
    if is_cache(root):
        return verify_cache(root, [split] if split else list(splits))
    packed = [name for name in splits if manifest_path(root, name).exists()]
    found = [name for name in splits if name in packed or any(root.glob(f"{name}-*.tar"))]
    if not (split or packed or (index and found)):
        raise _no_shards(root, is_index_enough=bool(found) and not index)
    status = 0
    for name in [split] if split else found:
        if index and not (name in packed and _has_index(root, name)):
            index_shards(root, name)
        try:
            manifest = load_manifest(root, name)
        except DataError as error:
            if split and not manifest_path(root, name).exists():
                raise
            lines = ["problems: 1", error.message, *error.hint]
        else:
            problems = first_few(_faults(manifest, decode), _MAX_LINES)
            verdict = f"problems: {problems.count:,}" if problems.count else "all is well"
            more = [problems.more] if problems.more else []
            lines = [f"{manifest.summary}, {verdict}", *problems.shown, *more]
        put(f"{name}: " + "\n  ".join(map(printable, lines)))
        status = status or int(len(lines) > 1)
    return status


def _no_shards(root: Path, is_index_enough: bool) -> DataError:
    """Return the error that no split has a manifest."""
    tars = first_few(printable(path.name) for path in sorted(root.glob("*.tar*")))
    elsewhere = f"places index SHARDS --root {root} --split train"
    if is_index_enough:
        elsewhere = f"places verify {root} --index"
    elif tars.count:
        elsewhere = f"places index {root} --split train"
    return DataError(
        f"no shards with a manifest in {root}",
        *([f"found:           {tars}"] if tars.count and not is_index_enough else []),
        f"make them:       places pack ARCHIVE --root {root}",
        f"from elsewhere:  {elsewhere}",
    )


def _has_index(root: Path, split: str) -> bool:
    try:
        load_index(load_manifest(root, split))
    except StorageError:
        raise
    except DataError:
        return False
    return True


def _faults(manifest: Manifest, decode: bool) -> Iterator[str]:
    """Yield what is wrong with the shards and the index of a split."""
    yield from _wrong_names(manifest)
    parts = yield from _index_faults(manifest)
    total_bytes = sum(shard.size_bytes for shard in manifest.shards)
    with progress(f"verify {manifest.split}", total_bytes * (1 + decode)) as counter:
        for shard, path, rows in zip(manifest.shards, manifest.shard_paths, parts, strict=True):
            try:
                with at_hand(manifest, shard, path) as file:
                    for fault in _shard_faults(shard, file, rows, decode, manifest.formats):
                        yield f"{shard.name}: {fault}"
            except FileNotFoundError:
                yield f"{shard.name}: missing"
            except OSError as error:
                yield f"{shard.name}: cannot be read: {error.strerror}"
            except DataError as error:  # no file at all
                yield error.message
            counter.advance(shard.size_bytes * (1 + decode))


def _wrong_names(manifest: Manifest) -> Iterator[str]:
    """Yield tars and categories that should not be there."""
    tars = f"{manifest.split}-*.tar"
    found = {path.name for path in manifest.root.glob(tars)}
    for name in sorted(found - {shard.name for shard in manifest.shards}):
        yield f"{name}: not in the manifest; readers of {tars} would take it"
    file = manifest_path(manifest.root, manifest.split).name
    for label, (own, official) in enumerate(zip_longest(manifest.categories, load_categories())):
        if own != official:
            yield f"{file}: category {label} is {own!r}, officially {official!r}"


def _index_faults(manifest: Manifest) -> Generator[str, None, list[npt.NDArray[np.void]]]:
    """Yield faults and return the rows of each shard: none if the index cannot be used."""
    path, num_shards = index_path(manifest.root, manifest.split), len(manifest.shards)
    try:
        index, sha256 = map_index(manifest)
    except DataError as error:
        yield error.message
        return [np.empty(0, SAMPLE)] * num_shards
    if sha256 != manifest.index_sha256:
        yield f"{path.name}: its SHA-256 is not the one of the manifest"
    for fault in index_faults(manifest, index):
        yield f"{path.name}: {fault}"
    numbers = index["shard"]
    if (numbers[1:] < numbers[:-1]).any() or numbers[-1] >= num_shards:
        return [index[:0]] * num_shards
    return np.split(index, np.searchsorted(numbers, np.arange(1, num_shards)))


def _shard_faults(
    shard: Shard,
    path: Path,
    rows: npt.NDArray[np.void],
    decode: bool,
    formats: Sequence[str],
) -> Iterator[str]:
    with os.fdopen(open_regular(path), "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            yield "empty"
            return
        yield from _content_faults(shard, file, rows, decode, formats)


def _content_faults(
    shard: Shard,
    file: BinaryIO,
    rows: npt.NDArray[np.void],
    decode: bool,
    formats: Sequence[str],
) -> Iterator[str]:
    with (
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ThreadPoolExecutor(1) as hasher,
    ):
        sha256 = hasher.submit(lambda: hashlib.sha256(data).hexdigest())
        if len(data) != shard.size_bytes:
            yield f"{counted(len(data), 'byte')}, not {shard.size_bytes:,}"
        ends = rows["offset"] + rows["size_bytes"]
        whole = rows[ends <= len(data)]
        if len(whole) < len(rows):
            yield f"beyond its end: {len(rows) - len(whole):,} of {counted(len(rows), 'picture')}"
        bad, end = set(), 0
        for row in tuples_of(whole):
            if fault := _sample_fault(data, row, end, formats):
                bad.add(row[0])
                yield fault
            end = row[0] + row[1]
        is_wrong = sha256.result() != shard.sha256
        if is_wrong:
            yield "its SHA-256 is not the one of the manifest"
        if decode or is_wrong:
            good = (row for row in tuples_of(whole) if row[0] not in bad)
            yield from _undecodable(data, good, formats)


def _sample_fault(data: mmap.mmap, row: _Row, free_from: int, formats: Sequence[str]) -> str | None:
    """Return what is wrong with a sample, as far as its headers and its label tell.

    Args:
        data: The shard.
        row: The row of the index.
        free_from: Where the picture before it ends.
        formats: Those that the pictures may have.
    """
    offset, size_bytes, _, label = row
    blocks = data[max(offset - LOOK_BACK_BYTES, free_from) : offset]
    if _size_bytes(blocks[-BLOCK_BYTES:]) != size_bytes:
        size = counted(size_bytes, "byte")
        return f"no picture of {size} at byte {offset:,}, where the index has one"
    key = read_key(blocks)
    if fault := _header_fault(data[offset : offset + size_bytes], formats):
        return f"{key}: {fault}"
    position = offset + padded(size_bytes)
    header = data[position : position + BLOCK_BYTES]
    # In shards from elsewhere another member may follow; their labels were read when indexed.
    length = _size_bytes(header)
    is_label = length is not None and read_name(header).endswith(b".cls")
    if not is_label or read_key(header) != key:
        return None
    text = data[position + BLOCK_BYTES : position + BLOCK_BYTES + min(length or 0, MAX_LABEL_BYTES)]
    if read_label(text) == label:
        return None
    own = "none" if label == NO_LABEL else label
    return f"{key}: label {text.decode(errors='replace')} in the tar, {own} in the index"


def _header_fault(picture: bytes, formats: Sequence[str]) -> str | None:
    """Return what is wrong with the header of a picture."""
    found = format_of(picture)
    if found not in (JPEG, None) and found in formats:
        from places.data.streaming.picture_files import header_fault  # imports Pillow

        return header_fault(picture)
    if JPEG not in formats:
        return f"no {' or '.join(formats)}"
    try:
        simplejpeg.decode_jpeg_header(picture)
    except ValueError as error:
        return f"no JPEG header ({error if picture else 'it is empty'})"
    return None


def _size_bytes(header: bytes) -> int | None:
    """Return the size in the header of a member, `None` if it is none."""
    try:
        return read_size_bytes(header) if is_header(header) else None
    except DataError:
        return None


def _undecodable(data: mmap.mmap, rows: Iterator[_Row], formats: Sequence[str]) -> Iterator[str]:
    """Decode pictures and tell which are damaged."""
    # Imports OpenCV and Pillow, which the other checks do not need.
    from places.data.streaming.any_format import decoder_of

    decode = decoder_of(formats)

    def fault(row: _Row) -> str | None:
        offset, size_bytes = row[:2]
        try:
            decode(data[offset : offset + size_bytes])
        except DataError as error:
            return f"{read_key(data[offset - BLOCK_BYTES : offset])}: {error.message}"
        return None

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        while chunk := list(islice(rows, _ROWS_PER_CHUNK)):
            yield from filter(None, threads.map(fault, chunk))
