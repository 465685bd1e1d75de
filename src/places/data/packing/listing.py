"""The pictures of a split before they are packed: where each lies, its key and its label.

Names are kept as fixed-width bytes in one array, so that 8 million of them fit into memory.
"""

import errno
import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import numpy.typing as npt

from places.console import FirstFew, counted, printable
from places.data.packing.layouts import Folder, folder_in, tops_of_split
from places.data.packing.official import PackSource
from places.data.shards.tar_headers import split_name
from places.data.shards.tar_links import LOOP, MAX_WAYS, NOWHERE
from places.data.shards.tar_reader import Member, shown
from places.errors import DataError
from places.files import kind_of

MAX_SIZE_BYTES = (1 << 32) - 1  # the index has 32 bits for the size of a picture

JPEG_SUFFIXES = (b"jpg", b"jpeg", b"jpe", b"jfif")
OTHER_SUFFIXES = b"png webp gif bmp tif tiff heic heif avif jxl jp2 ppm pgm".split()
_ROWS_PER_CHUNK = 1 << 15
_OF_MACOS = b"__MACOSX"  # in what its archives hold beside the files
_UNSAFE = re.compile(rb"[%.\x00-\x1f\x7f]")

Row = tuple[int, int, int, int, int, bytes]


@dataclass
class Pictures:
    """The pictures of a split.

    The rows are `(num_pictures,)`: `offset` in the tar, `size_bytes`, `folder` and `suffix`
    (positions in the lists), `label`, and `base`, the end of the key.
    """

    sources: list[PackSource]
    folders: list[Folder] = field(default_factory=list)
    suffixes: list[bytes] = field(default_factory=list)  # of the file names, such as b"jpg"
    rows: npt.NDArray[np.void] = field(default_factory=lambda: np.empty(0, _row_dtype(1)))
    other_images: FirstFew = field(default_factory=FirstFew)  # in other formats than JPEG
    other_files: FirstFew = field(default_factory=FirstFew)  # no pictures
    no_files: FirstFew = field(default_factory=FirstFew)  # links to nothing, devices and the like
    other_splits: FirstFew = field(default_factory=FirstFew)  # pictures in folders of these
    num_members: int = 0  # of the sources, all of these included

    def key_of(self, row: Row) -> str:
        """Return the key of a picture."""
        return (self.folders[row[2]].key + row[5]).decode()

    def path_of(self, row: Row) -> bytes:
        """Return the path of a picture in a source that is a folder."""
        source = self.sources[self.folders[row[2]].source]
        return b"/".join([os.fsencode(source.path), self.name_of(row)])

    def name_of(self, row: Row) -> bytes:
        """Return the name of a picture in its source."""
        _, _, number, suffix, _, base = row
        name = unquote_to_bytes(base) + b"." + self.suffixes[suffix]
        return b"/".join([self.folders[number].path, name])


def _row_dtype(width: int) -> np.dtype[np.void]:
    columns = [("offset", "<u8"), ("size_bytes", "<u4"), ("folder", "<u4"), ("suffix", "u1")]
    return np.dtype([*columns, ("label", "<i2"), ("base", f"S{width}")])


def tuples_of(rows: npt.NDArray[np.void]) -> Iterator[Any]:
    """Yield rows of a structured array as tuples, a few at a time to spare memory."""
    for start in range(0, len(rows), 1024):
        yield from rows[start : start + 1024].tolist()


def files_of(folder: Path) -> Iterator[Member]:
    """Yield what is below a folder in the order of the names, with position 0; no folders.

    Links are followed. What is no file is not opened, and says what it is.

    Raises:
        DataError: Too many links lead to the same folder.
    """
    ways = Counter[tuple[int, int]]()
    pending: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", ())]  # the last one comes first
    while pending:
        name, trail = pending.pop()
        path = f"{folder}/{name}"  # a Path takes longer to make than the disk to answer
        try:
            found = os.stat(path)  # noqa: PTH116
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP):
                raise
            yield Member(os.fsencode(name), 0, 0, LOOP if error.errno == errno.ELOOP else NOWHERE)
            continue
        identity = found.st_dev, found.st_ino
        if stat.S_ISREG(found.st_mode):
            yield Member(os.fsencode(name), 0, found.st_size)
        elif not stat.S_ISDIR(found.st_mode):
            yield Member(os.fsencode(name), 0, 0, kind_of(found.st_mode))
        elif identity in trail:
            yield Member(os.fsencode(name), 0, 0, LOOP)
        else:
            ways[identity] += 1
            if ways[identity] > MAX_WAYS:
                raise DataError(f"{printable(path)} is one of {MAX_WAYS} ways to one folder")
            names = sorted(os.listdir(path), reverse=True)  # noqa: PTH208
            start, longer = f"{name}/" if name else "", (*trail, identity)
            pending += [(f"{start}{inside}", longer) for inside in names]


def collect(sources: list[PackSource], read: Callable[[PackSource], Iterable[Member]]) -> Pictures:
    """Gather the pictures of a split.

    Args:
        sources: The tars and folders.
        read: Lists the files of a source.

    Raises:
        DataError: A folder is no category, a picture of a train split lies outside of all
            categories, or a name cannot be kept in a tar.
    """
    pictures = Pictures(sources)
    chunks = [pictures.rows]
    for position, source in enumerate(sources):
        rows = _rows(pictures, position, read(source))
        while chunk := list(islice(rows, _ROWS_PER_CHUNK)):
            chunks.append(np.array(chunk, _row_dtype(max(len(row[-1]) for row in chunk))))
    pictures.rows = np.concatenate(chunks)  # takes the longest width
    keep_split(pictures)
    others = pictures.other_images, pictures.other_files, pictures.no_files, pictures.other_splits
    num_known = len(pictures.rows) + sum(few.count for few in others)
    if num_known != pictures.num_members:  # a mistake of this program
        raise DataError(f"of {pictures.num_members:,} members {num_known:,} were taken or left out")
    return pictures


def keep_split(pictures: Pictures) -> None:
    """Leave out the pictures of other splits, where a source has a folder for each.

    Raises:
        DataError: A source has categories below several folders, and no split tells which are
            meant.
    """
    wrong: list[int] = []
    for position, source in enumerate(pictures.sources):
        folders = [f for f in pictures.folders if f.source == position]
        kept = tops_of_split(source, {folder.top for folder in folders})
        numbers = enumerate(pictures.folders)
        wrong += [n for n, f in numbers if f.source == position and f.top not in kept]
    if wrong:
        is_wrong = np.isin(pictures.rows["folder"], wrong)
        for row in tuples_of(pictures.rows[is_wrong]):
            pictures.other_splits.add(shown(pictures.name_of(row)))
        pictures.rows = pictures.rows[~is_wrong]


def sort_by_key(pictures: Pictures) -> npt.NDArray[np.int64]:
    """Return the order of the keys: by folder, then by name.

    Raises:
        DataError: Two pictures have the same key.
    """
    _, rank = _folders_in_order(pictures)
    order = np.lexsort((pictures.rows["base"], rank))
    base, rank = pictures.rows["base"][order], rank[order]
    equal = np.flatnonzero((base[1:] == base[:-1]) & (rank[1:] == rank[:-1]))
    if len(equal):
        twins = pictures.rows[order[equal[0] :][:2]].tolist()
        files = (shown(pictures.path_of(row)) for row in twins)
        raise DataError(
            f"two pictures have the name {pictures.key_of(twins[0])!r}",
            f"found:  {' and '.join(files)}",
            "rename one of them",
        )
    return order


def listing_sha256(pictures: Pictures) -> str:
    """Return a checksum of all keys, sizes and labels, in their order."""
    keys, rank = _folders_in_order(pictures)
    digest = hashlib.sha256(b"\0".join(keys))
    digest.update(rank.tobytes())
    for column in ("base", "size_bytes", "label"):
        digest.update(pictures.rows[column].tobytes())
    return digest.hexdigest()


def _folders_in_order(pictures: Pictures) -> tuple[list[bytes], npt.NDArray[np.uint32]]:
    """Return the sorted keys of the folders, and for each picture the position of its folder's."""
    keys = [folder.key for folder in pictures.folders]
    in_order, ranks = np.unique(keys, return_inverse=True)
    return in_order.tolist(), ranks.astype(np.uint32)[pictures.rows["folder"]]


def _rows(pictures: Pictures, position: int, members: Iterable[Member]) -> Iterator[Row]:
    folders: dict[bytes, tuple[int, Folder]] = {}
    for name, offset, size_bytes, no_file in members:
        pictures.num_members += 1
        if no_file:
            pictures.no_files.add(f"{shown(name)} ({no_file})")
            continue
        path, _, file = name.rpartition(b"/")
        base, _, suffix = file.rpartition(b".")
        is_jpeg = base and suffix.lower() in JPEG_SUFFIXES
        if not is_jpeg or base.startswith(b".") or _is_hidden(path):
            is_image = suffix.lower() in OTHER_SUFFIXES and not _is_hidden(name)
            others = pictures.other_images if is_image else pictures.other_files
            others.add(shown(name))
            continue
        if suffix not in pictures.suffixes:
            pictures.suffixes.append(suffix)
        if path not in folders:
            found = folder_in(pictures.sources[position], position, path)
            folders[path] = len(pictures.folders), found
            pictures.folders.append(found)
        number, folder = folders[path]
        if _UNSAFE.search(base):
            base = _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], base)
        if size_bytes > MAX_SIZE_BYTES or len(name) > 80 or not name.isascii():
            _check(name, folder.key + base, size_bytes)
        yield offset, size_bytes, number, pictures.suffixes.index(suffix), folder.label, base


def _is_hidden(path: bytes) -> bool:
    if b"." not in path and _OF_MACOS not in path:  # nearly always
        return False
    parts = path.split(b"/")
    return _OF_MACOS in parts or any(p.startswith(b".") and p not in (b".", b"..") for p in parts)


def _check(name: bytes, key: bytes, size_bytes: int) -> None:
    try:
        name.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"the file name {shown(name)} is not UTF-8", "rename it") from error
    if len(key) + len(b".jpg") > 100:
        split_name(key + b".jpg")
    if size_bytes > MAX_SIZE_BYTES:
        raise DataError(f"{shown(name)} is too large for a picture: {counted(size_bytes, 'byte')}")
