"""The index of a split: one row per picture, which makes random-access files of its tars.

It is mapped into memory, and compared with its manifest before anything is read by it.
"""

import hashlib
import os
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from places.console import counted, printable
from places.data.shards.manifest import Manifest, index_path
from places.data.shards.tar_headers import BLOCK_BYTES
from places.errors import DataError
from places.files import open_regular, storage_error

SAMPLE = np.dtype([("offset", "<u8"), ("size_bytes", "<u4"), ("shard", "<u2"), ("label", "<i2")])
"""One row of the index: where the JPEG's bytes lie in which tar, and its label (-1: none)."""

NO_LABEL = -1

_MAX_HEADER_BYTES = 1000  # of the file; numpy writes 128
_MAX_REASON = 100  # characters
_ROWS_PER_PART = 1 << 16  # bounds the memory


def load_index(manifest: Manifest) -> npt.NDArray[np.void]:
    """Map the index of a split into memory, and check it.

    Its SHA-256 must be the one of the manifest, and every row must fit the manifest. For the
    8,026,628 rows of the largest split that takes 0.18 s, see docs/data.md.

    Returns:
        `(num_samples,)` of dtype `SAMPLE`, read-only, sorted by shard and offset.

    Raises:
        DataError: The file is missing, cannot be read or is not the index of the manifest.
    """
    index, sha256 = map_index(manifest)
    if sha256 != manifest.index_sha256:
        raise _refused(manifest, "its SHA-256 is not the one of the manifest")
    for fault in index_faults(manifest, index):
        raise _refused(manifest, fault)
    return index


def map_index(manifest: Manifest) -> tuple[npt.NDArray[np.void], str]:
    """Map the index of a split into memory as it is, and return it with its SHA-256.

    Raises:
        DataError: The file is missing, cannot be read or does not have the manifest's shape.
    """
    path = index_path(manifest.root, manifest.split)
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            npy.read_magic(file)
            # Reads a header without running anything; pickles have another type and are not read.
            shape, is_fortran, dtype = npy.read_array_header_1_0(file, _MAX_HEADER_BYTES)
            start = file.tell()
            data = np.memmap(file, np.uint8, "r")
    except FileNotFoundError as error:
        raise DataError(f"no index {path}", _make_it(manifest)) from error
    except OSError as error:
        raise storage_error(f"cannot read {path}", error) from error
    except DataError:
        raise
    except Exception as error:  # damage in the header may look like anything
        reason = printable(str(error))[:_MAX_REASON]
        raise DataError(f"damaged index {path}: {reason}", _make_it(manifest)) from error
    if dtype != SAMPLE or shape != (manifest.num_samples,) or is_fortran:
        raise _refused(manifest, f"it has shape {shape}, not ({manifest.num_samples},)")
    if len(data) - start != manifest.num_samples * SAMPLE.itemsize:
        raise _refused(manifest, f"it has {counted(len(data), 'byte')}")
    return data[start:].view(SAMPLE), hashlib.sha256(data.data).hexdigest()


def index_faults(manifest: Manifest, index: npt.NDArray[np.void]) -> Iterator[str]:
    """Yield what in the rows of an index does not fit its manifest."""
    num_shards, num_categories = len(manifest.shards), len(manifest.categories)
    counts = np.zeros(num_shards, np.int64)
    num_unlabelled = num_odd_labels = num_outside = 0
    for rows, is_outside in _parts(manifest, index):
        if is_outside is None:
            yield "its rows are not in the order of the shards"
            return
        counts += np.bincount(rows["shard"], minlength=num_shards)
        labels = rows["label"]
        num_unlabelled += int(np.count_nonzero(labels == NO_LABEL))
        num_odd_labels += int(np.count_nonzero((labels < NO_LABEL) | (labels >= num_categories)))
        num_outside += int(np.count_nonzero(is_outside))
    for shard, num in zip(manifest.shards, counts.tolist(), strict=True):
        if num != shard.num_samples:
            found = counted(num, "picture")
            yield f"{found} in {shard.name}, {shard.num_samples:,} in the manifest"
    if num_odd_labels:
        yield f"{num_odd_labels:,} of its labels are not {NO_LABEL} to {num_categories - 1}"
    if manifest.labelled != (num_unlabelled == 0):
        yield f"the manifest says labelled {manifest.labelled}, it does not"
    if num_outside:
        yield f"{num_outside:,} of its pictures lie outside of their shard or in another picture"


def _parts(
    manifest: Manifest, index: npt.NDArray[np.void]
) -> Iterator[tuple[npt.NDArray[np.void], npt.NDArray[np.bool_] | None]]:
    """Yield some rows at a time and which of them lie where no picture can; `None` for disorder."""
    sizes = np.array([shard.size_bytes for shard in manifest.shards], np.uint64)
    last_shard, last_end = 0, 0
    for start in range(0, len(index), _ROWS_PER_PART):
        rows = index[start : start + _ROWS_PER_PART]
        shards, offsets = rows["shard"], rows["offset"]
        before = np.concatenate([[last_shard], shards[:-1]])
        if (shards < before).any() or shards[-1] >= len(sizes):
            yield rows, None
            return
        ends = offsets + rows["size_bytes"]
        padded_ends = (ends + np.uint64(BLOCK_BYTES - 1)) & np.uint64(-BLOCK_BYTES % (1 << 64))
        free_from = np.concatenate([np.array([last_end], np.uint64), padded_ends[:-1]])
        free_from[shards != before] = 0
        is_outside = offsets < free_from + np.uint64(BLOCK_BYTES)
        is_outside |= offsets % np.uint64(BLOCK_BYTES) != 0
        limits = sizes[shards]
        is_outside |= (offsets > limits) | (ends > limits)
        yield rows, is_outside
        last_shard, last_end = int(shards[-1]), int(padded_ends[-1])


def _refused(manifest: Manifest, fault: str) -> DataError:
    path = index_path(manifest.root, manifest.split)
    return DataError(f"{path} does not fit its manifest: {fault}", _make_it(manifest))


def _make_it(manifest: Manifest) -> str:
    return f"make it:  places verify {manifest.root} --split {manifest.split} --index"
