"""What `places verify` looks at: counts, checksums, tar headers, labels and JPEGs of a split."""

import hashlib
import mmap
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise, zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt
import simplejpeg

from places.categories import load_categories
from places.console import FirstFew, progress
from places.data.shards.manifest import (
    NO_LABEL,
    SAMPLE,
    Manifest,
    Shard,
    index_path,
    load_index,
    manifest_path,
)
from places.data.shards.tar_headers import (
    BLOCK_BYTES,
    is_header,
    padded,
    read_key,
    read_name,
    read_size_bytes,
)
from places.errors import DataError

_ROWS_PER_CHUNK = 256
_MAX_LINES = 20

_Row = tuple[int, int, int, int]


def check_split(manifest: Manifest, decode: bool = False) -> FirstFew:
    """Check the shards and the index of a split; see `verify`."""
    problems = FirstFew(_MAX_LINES)
    _check_names(manifest, problems)
    parts = _rows_per_shard(manifest, problems)
    total_bytes = sum(shard.size_bytes for shard in manifest.shards)
    with progress(f"verify {manifest.split}", total_bytes * (1 + decode)) as counter:
        for shard, path, rows in zip(manifest.shards, manifest.shard_paths, parts, strict=True):
            if not path.exists():
                problems.add(f"{shard.name}: missing")
            elif path.stat().st_size == 0:
                problems.add(f"{shard.name}: empty")
            else:
                _check_shard(shard, path, rows, decode, problems)
            counter.advance(shard.size_bytes * (1 + decode))
    return problems


def _check_names(manifest: Manifest, problems: FirstFew) -> None:
    """Look for tars and categories that should not be there."""
    found = {path.name for path in manifest.root.glob(f"{manifest.split}-*.tar")}
    for name in sorted(found - {shard.name for shard in manifest.shards}):
        problems.add(
            f"{name}: not in the manifest; readers of {manifest.split}-*.tar would take it"
        )
    names = manifest_path(manifest.root, manifest.split).name
    for label, (own, official) in enumerate(zip_longest(manifest.categories, load_categories())):
        if own != official:
            problems.add(f"{names}: category {label} is {own!r}, officially {official!r}")


def _rows_per_shard(manifest: Manifest, problems: FirstFew) -> list[npt.NDArray[np.void]]:
    """Cut the index into shards; an index that cannot be used is cut into nothing."""
    path, num_shards = index_path(manifest.root, manifest.split), len(manifest.shards)
    try:
        index = load_index(manifest)
    except DataError as error:
        problems.add(error.message)
        return [np.empty(0, SAMPLE)] * num_shards
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != manifest.index_sha256:
            problems.add(f"{path.name}: its SHA-256 is not the one of the manifest")
    numbers = index["shard"]
    if (numbers[1:] < numbers[:-1]).any() or numbers[-1] >= num_shards:
        problems.add(f"{path.name}: its rows are not in the order of the shards")
        return [index[:0]] * num_shards
    ends = np.searchsorted(numbers, np.arange(num_shards + 1))
    parts = [index[start:end] for start, end in pairwise(ends)]
    for shard, rows in zip(manifest.shards, parts, strict=True):
        if len(rows) != shard.num_samples:
            counts = f"{len(rows):,} pictures in the index, {shard.num_samples:,} in the manifest"
            problems.add(f"{shard.name}: {counts}")
    if manifest.labelled != bool((index["label"] >= 0).all()):
        problems.add(f"{path.name}: the manifest says labelled {manifest.labelled}, it does not")
    return parts


def _check_shard(
    shard: Shard, path: Path, rows: npt.NDArray[np.void], decode: bool, problems: FirstFew
) -> None:
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ThreadPoolExecutor(1) as hasher,
    ):
        sha256 = hasher.submit(lambda: hashlib.sha256(data).hexdigest())
        if len(data) != shard.size_bytes:
            problems.add(f"{shard.name}: {len(data):,} bytes, not {shard.size_bytes:,}")
        whole = rows[rows["offset"] + rows["size_bytes"] <= len(data)]
        if len(whole) < len(rows):
            beyond = f"{len(rows) - len(whole):,} of {len(rows):,} pictures lie beyond its end"
            problems.add(f"{shard.name}: {beyond}")
        bad = set()
        for row in _tuples(whole):
            if fault := _fault(data, row):
                bad.add(row[0])
                problems.add(f"{shard.name}: {fault}")
        if sha256.result() != shard.sha256:
            problems.add(f"{shard.name}: its SHA-256 is not the one of the manifest")
        if decode or sha256.result() != shard.sha256:
            for fault in _undecodable(data, (row for row in _tuples(whole) if row[0] not in bad)):
                problems.add(f"{shard.name}: {fault}")


def _tuples(rows: npt.NDArray[np.void]) -> Iterator[_Row]:
    for start in range(0, len(rows), _ROWS_PER_CHUNK):
        yield from rows[start : start + _ROWS_PER_CHUNK].tolist()


def _fault(data: mmap.mmap, row: _Row) -> str | None:
    """Return what is wrong with a sample, as far as its headers and its label tell."""
    offset, size_bytes, _, label = row
    header = data[offset - BLOCK_BYTES : offset]
    if not _is_ustar(header) or read_size_bytes(header) != size_bytes:
        return f"no picture of {size_bytes:,} bytes at byte {offset:,}, where the index has one"
    key = read_key(header)
    try:
        simplejpeg.decode_jpeg_header(data[offset : offset + size_bytes])
    except ValueError as error:
        return f"{key}: no JPEG header ({error})"
    position = offset + padded(size_bytes)
    header = data[position : position + BLOCK_BYTES]
    # In shards from elsewhere another member may follow; their labels were read when indexed.
    is_label = _is_ustar(header) and read_name(header).endswith(b".cls")
    if label == NO_LABEL or not is_label or read_key(header) != key:
        return None
    start = position + BLOCK_BYTES
    text = data[start : start + read_size_bytes(header)].strip()
    if text == str(label).encode():
        return None
    return f"{key}: label {text.decode(errors='replace')} in the tar, {label} in the index"


def _is_ustar(block: bytes) -> bool:
    return is_header(block) and block[257:262] == b"ustar"


def _undecodable(data: mmap.mmap, rows: Iterator[_Row]) -> Iterator[str]:
    """Decode pictures and tell which are damaged."""
    # Imports OpenCV and Pillow, which the other checks do not need.
    from places.data.streaming.jpeg import decode_jpeg

    def fault(row: _Row) -> str | None:
        offset, size_bytes = row[:2]
        try:
            decode_jpeg(data[offset : offset + size_bytes])
        except DataError as error:
            return f"{read_key(data[offset - BLOCK_BYTES : offset])}: {error.message}"
        return None

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        while chunk := list(islice(rows, _ROWS_PER_CHUNK)):
            yield from filter(None, threads.map(fault, chunk))
