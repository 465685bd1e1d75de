"""Converted pictures into tars: all cores decode, in the order of the split they are written.

How large a picture becomes is known when it is converted, so the shards are cut as they are filled.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np

from places.data.packing.conversion import JPEG_SUFFIX, RAW_SUFFIX, Conversion
from places.data.packing.listing import Pictures, Row, tuples_of
from places.data.packing.writer import (
    JPEG_START,
    Output,
    Written,
    new_buffers,
    open_tars,
    read_picture,
    room_of,
)
from places.data.shards.fields import MAX_SHARDS
from places.data.shards.index import SAMPLE
from places.data.shards.manifest import Shard
from places.data.shards.tar_headers import BLOCK_BYTES
from places.data.shards.tar_members import RECORD_BYTES
from places.data.shards.tar_reader import shown
from places.errors import DataError

_AHEAD_PER_CORE = 4  # pictures that are converted before they can be written
_NUM_TRIED = 64  # pictures, from which the space that is needed is estimated


@dataclass(frozen=True)
class _Sample:
    """One picture, ready to be written."""

    position: int  # in the order of the split
    row: Row
    suffix: bytes
    parts: list[bytes]
    is_jpeg_file: bool  # its source
    fault: str  # why it could not be decoded, empty if it could

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.parts))

    @property
    def room_bytes(self) -> int:
        return room_of(self.size_bytes, self.row[4])


class _Source:
    """Reads pictures and converts them, in any thread."""

    def __init__(
        self, pictures: Pictures, conversion: Conversion, seed: int, tars: Mapping[int, int]
    ) -> None:
        self._pictures, self._conversion, self._tars = pictures, conversion, tars
        self._are_raw = conversion.are_raw(len(pictures.rows), seed)

    def sample(self, position: int, row: Row) -> _Sample:
        buffer = bytearray(row[1])
        read_picture(row, memoryview(buffer), self._pictures, self._tars)
        jpeg, fault, converted = bytes(buffer), "", None
        is_jpeg_file = jpeg.startswith(JPEG_START)
        if is_jpeg_file:
            try:
                converted = self._conversion.convert(jpeg, bool(self._are_raw[position]))
            except DataError as error:
                fault = error.message
        suffix, parts = converted or (JPEG_SUFFIX, [jpeg])
        return _Sample(position, row, suffix, parts, is_jpeg_file, fault)


def write_converted(
    pictures: Pictures,
    conversion: Conversion,
    seed: int,
    path_of: Callable[[int], Path],
    shard_size_bytes: int,
    advance: Callable[[int], object] = lambda _: None,
) -> Written:
    """Convert the pictures and write the tars.

    Args:
        pictures: The pictures in their final order.
        conversion: What becomes of them.
        seed: Chooses those that become raw.
        path_of: Returns the file of a shard by its number.
        shard_size_bytes: No shard becomes larger, unless a single picture is.
        advance: Called with the bytes of the sources that were packed since the last call.

    Raises:
        DataError: A source changed since it was listed, or there would be more shards than the
            index can number.
    """
    done = Written(np.empty(len(pictures.rows), SAMPLE))
    buffers = new_buffers()
    with ExitStack() as stack:
        source = _Source(pictures, conversion, seed, open_tars(pictures, stack))
        samples = stack.enter_context(closing(_in_order(pictures, source)))
        cut = _cut(samples, shard_size_bytes - RECORD_BYTES)
        for number, group in groupby(cut, lambda item: item[0]):
            if number == MAX_SHARDS:
                found = f"more shards than the {MAX_SHARDS:,} of an index"
                raise DataError(found, "use a larger `shard_size_mb`")
            path, num = path_of(number), 0
            with Output(path, buffers, lambda _: None) as output:
                for _, sample in group:
                    _write(output, pictures, sample, number, done)
                    num += 1
                    advance(sample.row[1])
                output.end()
            done.shards.append(Shard(path.name, num, output.size_bytes, output.digest.hexdigest()))
    return done


def estimated_bytes(pictures: Pictures, conversion: Conversion, seed: int) -> int:
    """Return about how many bytes the shards will have, from a few pictures that are converted."""
    num = len(pictures.rows)
    with ExitStack() as stack:
        source = _Source(pictures, conversion, seed, open_tars(pictures, stack))
        positions = np.unique(np.linspace(0, num - 1, min(num, _NUM_TRIED)).astype(np.int64))
        rows = tuples_of(pictures.rows[positions])
        rooms = [
            source.sample(position, row).room_bytes
            for position, row in zip(positions.tolist(), rows, strict=True)
        ]
    return int(np.mean(rooms) * num)


def _in_order(pictures: Pictures, source: _Source) -> Generator[_Sample, None, None]:
    """Yield all pictures, converted ahead by threads."""
    num_cores = len(os.sched_getaffinity(0))
    rows = enumerate(tuples_of(pictures.rows))
    with ThreadPoolExecutor(num_cores) as pool:

        def start(item: tuple[int, Row]) -> Future[_Sample]:
            return pool.submit(source.sample, *item)

        pending = deque(map(start, islice(rows, _AHEAD_PER_CORE * num_cores)))
        try:
            while pending:
                sample = pending.popleft().result()
                pending.extend(map(start, islice(rows, 1)))
                yield sample
        finally:
            pool.shutdown(cancel_futures=True)


def _cut(samples: Iterable[_Sample], shard_bytes: int) -> Iterator[tuple[int, _Sample]]:
    """Yield the number of its shard with each sample."""
    number = used_bytes = 0
    for sample in samples:
        if used_bytes and used_bytes + sample.room_bytes > shard_bytes:
            number, used_bytes = number + 1, 0
        used_bytes += sample.room_bytes
        yield number, sample


def _write(output: Output, pictures: Pictures, sample: _Sample, number: int, done: Written) -> None:
    _, _, folder, _, label, base = sample.row
    key = pictures.folders[folder].key + base
    done.index[sample.position] = (
        output.size_bytes + BLOCK_BYTES,
        sample.size_bytes,
        number,
        label,
    )
    room, end = output.take_sample(key, sample.suffix, sample.size_bytes, label), 0
    for part in sample.parts:
        room[end : end + len(part)] = part
        end += len(part)
    done.num_raw += sample.suffix == RAW_SUFFIX
    if not sample.is_jpeg_file:
        done.no_jpegs.add(shown(key))
    elif sample.fault:
        done.damaged.add(f"{shown(key)} ({sample.fault})")
