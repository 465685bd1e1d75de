"""When which shard is read, and how many bytes of shards a run needs at a time: pure numpy."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ShardUses:
    """Which shards an epoch reads, and when: arrays `(num_used,)` int64."""

    shards: Ints  # the numbers of the shards in order of first use
    first_step: Ints  # the first batch that reads each of `shards`
    last_step: Ints  # the last batch that reads each of `shards`


def shard_uses(shard_of_row: npt.NDArray[np.integer], batch_size: int) -> ShardUses:
    """Return when each shard is read first and last.

    Args:
        shard_of_row: `(num_rows,)` integers from 0, the shard of each sample in the order of
            reading.
        batch_size: Rows per batch; the last batch may have fewer.
    """
    num_rows = len(shard_of_row)
    num_shards = int(shard_of_row.max(initial=0)) + 1
    first, last = np.full(num_shards, -1), np.full(num_shards, -1)
    rows = np.arange(num_rows)
    # Of equal targets the last assignment stays, so no row needs to be sorted or compared.
    last[shard_of_row] = rows
    first[shard_of_row[::-1]] = rows[::-1]
    used = np.flatnonzero(first >= 0)
    shards = used[np.argsort(first[used])]
    return ShardUses(shards, first[shards] // batch_size, last[shards] // batch_size)


def peak_bytes(uses: ShardUses, sizes_bytes: Sequence[int] | Ints, horizon: int) -> int:
    """Return how many bytes of shards are wanted at the same time, at most.

    At a step those shards are wanted that are read then or later, first at `step + horizon`.

    Args:
        uses: When which shard is read.
        sizes_bytes: The size of each shard in bytes, by its number.
        horizon: Number of batches that shards are fetched ahead.
    """
    if not len(uses.shards):
        return 0
    sizes = np.asarray(sizes_bytes, dtype=np.int64)[uses.shards]
    changes = np.zeros(int(uses.last_step.max()) + 2, dtype=np.int64)
    np.add.at(changes, np.maximum(uses.first_step - horizon, 0), sizes)
    np.add.at(changes, uses.last_step + 1, -sizes)
    return int(changes.cumsum().max())


def longest_horizon(
    uses: ShardUses, sizes_bytes: Sequence[int] | Ints, limit_bytes: int, shortest: int
) -> int | None:
    """Return the largest horizon whose `peak_bytes` stay within a limit.

    Args:
        uses: When which shard is read.
        sizes_bytes: The size of each shard in bytes, by its number.
        limit_bytes: The limit.
        shortest: The smallest horizon that is of use.

    Returns:
        At least `shortest`, or `None` if not even that one fits.
    """
    longest = max(shortest, int(uses.last_step.max(initial=0)) + 1)
    horizons = range(shortest, longest + 1)
    num_fitting = bisect_right(horizons, limit_bytes, key=partial(peak_bytes, uses, sizes_bytes))
    return horizons[num_fitting - 1] if num_fitting else None
