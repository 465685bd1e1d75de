"""Pictures into tars: where each goes, and the writing itself.

The main thread fills a few buffers with headers and pictures; one thread hashes them, another one
writes them.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from places.console import FirstFew
from places.data.packing.listing import Pictures, Row, tuples_of
from places.data.shards.fields import MAX_SHARDS
from places.data.shards.index import NO_LABEL, SAMPLE
from places.data.shards.manifest import Shard
from places.data.shards.picture_formats import JPEG, PPM
from places.data.shards.tar_headers import BLOCK_BYTES, header_of, padded
from places.data.shards.tar_members import RECORD_BYTES
from places.data.shards.tar_reader import shown
from places.errors import DataError
from places.files import open_regular

BUFFER_BYTES = 4 << 20
NUM_BUFFERS = 3

JPEG_START = b"\xff\xd8\xff"
_ZEROS = bytes(2 * RECORD_BYTES)
_END_BYTES = 2 * BLOCK_BYTES  # two empty blocks mark the end of a tar


@dataclass(frozen=True)
class Layout:
    """Where each picture goes."""

    index: npt.NDArray[np.void]  # (num_pictures,) of dtype SAMPLE
    starts: list[int]  # the first picture of each shard, and the number of pictures at the end
    sizes_bytes: list[int]  # of each shard


@dataclass
class Written:
    """The shards of a split, and what there is to say of their pictures."""

    index: npt.NDArray[np.void]  # (num_pictures,) of dtype SAMPLE
    shards: list[Shard] = field(default_factory=list)
    no_jpegs: FirstFew = field(default_factory=FirstFew)  # whose bytes are no JPEG
    damaged: FirstFew = field(default_factory=FirstFew)  # that could not be converted
    num_raw: int = 0

    @property
    def formats(self) -> set[str]:
        """Those of the pictures."""
        if not self.num_raw:
            return {JPEG}
        return {PPM} if self.num_raw == len(self.index) else {JPEG, PPM}


def lay_out(pictures: Pictures, shard_size_bytes: int) -> Layout:
    """Cut the pictures, in their order, into shards.

    Args:
        pictures: The pictures in their final order.
        shard_size_bytes: No shard becomes larger, unless a single picture is.

    Raises:
        DataError: There would be more shards than the index can number.
    """
    size_bytes = pictures.rows["size_bytes"].astype(np.int64)
    sample_bytes = BLOCK_BYTES + -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES
    sample_bytes += np.where(pictures.rows["label"] == NO_LABEL, 0, 2 * BLOCK_BYTES)
    ends = np.cumsum(sample_bytes)
    begins = ends - sample_bytes
    starts = [0]
    while starts[-1] < len(ends):
        last_end = begins[starts[-1]] + shard_size_bytes - RECORD_BYTES
        starts.append(max(int(np.searchsorted(ends, last_end, "right")), starts[-1] + 1))
    if len(starts) - 1 > MAX_SHARDS:
        found = f"{len(starts) - 1:,} shards are more than the {MAX_SHARDS:,} of an index"
        raise DataError(found, "use a larger `shard_size_mb`")
    index = np.empty(len(ends), SAMPLE)
    index["shard"] = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    index["offset"] = begins - begins[starts[:-1]][index["shard"]] + BLOCK_BYTES
    index["size_bytes"], index["label"] = size_bytes, pictures.rows["label"]
    lengths = ends[np.array(starts[1:]) - 1] - begins[starts[:-1]] + _END_BYTES
    return Layout(index, starts, (-(-lengths // RECORD_BYTES) * RECORD_BYTES).tolist())


def write_shards(
    pictures: Pictures,
    layout: Layout,
    paths: Sequence[Path],
    advance: Callable[[int], object] = lambda _: None,
) -> tuple[list[Shard], FirstFew]:
    """Write the tars.

    Args:
        pictures: The pictures in their final order.
        layout: Where they go.
        paths: The file of each shard.
        advance: Called with the number of bytes that were written since the last call.

    Returns:
        What was written, and the pictures whose bytes are no JPEG.

    Raises:
        DataError: A source changed since it was listed.
    """
    no_jpegs = FirstFew()
    shards = []
    buffers = new_buffers()
    with ExitStack() as stack:
        tars = open_tars(pictures, stack)
        for number, path in enumerate(paths):
            rows = pictures.rows[layout.starts[number] : layout.starts[number + 1]]
            with Output(path, buffers, advance) as output:
                _fill(output, pictures, rows, tars, no_jpegs)
                output.end()
            shards.append(Shard(path.name, len(rows), output.size_bytes, output.digest.hexdigest()))
    return shards, no_jpegs


def room_of(size_bytes: int, label: int) -> int:
    """Return the bytes that a sample takes in a tar, from the size of its picture."""
    return BLOCK_BYTES + padded(size_bytes) + (0 if label == NO_LABEL else 2 * BLOCK_BYTES)


def new_buffers() -> list[bytearray]:
    """Return the memory that the tars of a split are written from, one after the other."""
    return [bytearray(BUFFER_BYTES) for _ in range(NUM_BUFFERS)]


def open_tars(pictures: Pictures, stack: ExitStack) -> dict[int, int]:
    """Open the sources that are tars until a stack is left; by their numbers."""
    return {
        number: stack.enter_context(os.fdopen(open_regular(source.path), "rb")).fileno()
        for number, source in enumerate(pictures.sources)
        if source.path.is_file()
    }


def _fill(
    output: "Output",
    pictures: Pictures,
    rows: npt.NDArray[np.void],
    tars: Mapping[int, int],
    no_jpegs: FirstFew,
) -> None:
    for row in tuples_of(rows):
        _, size_bytes, folder, _, label, base = row
        key = pictures.folders[folder].key + base
        picture = output.take_sample(key, b".jpg", size_bytes, label)
        read_picture(row, picture, pictures, tars)
        if picture[:3] != JPEG_START:
            no_jpegs.add(shown(key))


def read_picture(row: Row, view: memoryview, pictures: Pictures, tars: Mapping[int, int]) -> None:
    """Fill in the bytes of a picture; `tars` are the open files of the sources that are tars.

    Raises:
        DataError: They are more or fewer than they were when it was listed.
    """
    source = pictures.folders[row[2]].source
    if source in tars:
        length = os.preadv(tars[source], [view], row[0])
    else:
        file = open_regular(pictures.path_of(row))
        try:
            os.readv(file, [view])
            length = os.fstat(file).st_size
        finally:
            os.close(file)
    if length != len(view):
        where = f"{pictures.key_of(row)} in {pictures.sources[source].path}"
        raise DataError(f"{where} changed while it was packed", "pack again")


def _label_member(key: bytes, label: int) -> bytes:
    if label == NO_LABEL:
        return b""
    text = b"%d" % label
    return header_of(key + b".cls", len(text)) + text.ljust(BLOCK_BYTES, b"\0")


class Output:
    """A tar that two threads hash and write, from buffers that are filled again afterwards.

    A buffer that is too small for a picture is replaced by a larger one.

    Args:
        path: The file.
        buffers: The memory, see `new_buffers`.
        advance: Called with the number of bytes that were written since the last call.
    """

    def __init__(
        self, path: Path, buffers: list[bytearray], advance: Callable[[int], object]
    ) -> None:
        self.size_bytes = 0
        self.digest = hashlib.sha256()
        self._buffers, self._advance = buffers, advance
        self._file = path.open("wb", buffering=0)
        self._hasher, self._writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._pending: list[tuple[Future[None], Future[None]]] = []
        self._used_bytes = 0

    def __enter__(self) -> "Output":
        """Begin the file."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what is left, and close the file."""
        # Also after an error: the threads must be done before the file is closed.
        with self._file, self._hasher, self._writer:
            if kind is None:
                self._flush()
            while self._pending:
                self._wait()

    def take_sample(self, key: bytes, suffix: bytes, size_bytes: int, label: int) -> memoryview:
        """Write the members of a sample, and return the room for its picture, to be filled at once.

        Args:
            key: The name of the members.
            suffix: That of the picture, with its dot.
            size_bytes: The size of the picture.
            label: `NO_LABEL` for none.
        """
        behind = _ZEROS[: padded(size_bytes) - size_bytes] + _label_member(key, label)
        view = self._take(BLOCK_BYTES + size_bytes + len(behind))
        view[:BLOCK_BYTES] = header_of(key + suffix, size_bytes)
        view[BLOCK_BYTES + size_bytes :] = behind
        return view[BLOCK_BYTES : BLOCK_BYTES + size_bytes]

    def end(self) -> None:
        """Write the end of the tar."""
        size_bytes = -(-(self.size_bytes + _END_BYTES) // RECORD_BYTES) * RECORD_BYTES
        end = _ZEROS[: size_bytes - self.size_bytes]
        self._take(len(end))[:] = end

    def _take(self, num_bytes: int) -> memoryview:
        """Return room for the next bytes of the file; it must be filled at once."""
        if self._used_bytes + num_bytes > len(self._buffers[0]):
            self._flush()
            if num_bytes > len(self._buffers[0]):
                self._buffers[0] = bytearray(num_bytes)
        start = self._used_bytes
        self._used_bytes += num_bytes
        self.size_bytes += num_bytes
        return memoryview(self._buffers[0])[start : self._used_bytes]

    def _flush(self) -> None:
        filled = memoryview(self._buffers[0])[: self._used_bytes]
        hashed = self._hasher.submit(self.digest.update, filled)
        self._pending.append((hashed, self._writer.submit(self._write, filled)))
        self._buffers.append(self._buffers.pop(0))
        self._advance(self._used_bytes)
        self._used_bytes = 0
        if len(self._pending) == len(self._buffers):  # the next buffer is the oldest
            self._wait()

    def _wait(self) -> None:
        for future in self._pending.pop(0):
            future.result()

    def _write(self, data: memoryview) -> None:
        start, size_bytes = self._file.tell(), len(data)
        while data:
            data = data[self._file.write(data) or 0 :]
        # Starts the way to the disk now; else all would wait for it at the end.
        os.posix_fadvise(self._file.fileno(), start, size_bytes, os.POSIX_FADV_DONTNEED)
