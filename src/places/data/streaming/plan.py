"""Which sample goes where, in which order: pure integer arithmetic, no files, no torch.

All randomness is a hash of integers (the finaliser of SplitMix64), not a generator with a state. So
any order and any crop can be computed from its coordinates alone, on any machine, with any numpy
release.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from places.config.ranges import check_range
from places.console import counted
from places.errors import ConfigError
from places.hashing import Ids, hash_of, shuffled

_SOON = 8  # pictures in the first batch of predictions
PADDING = -1  # the id of a row that fills up a batch and must not be scored


def train_order(
    shard_sizes: Sequence[int],
    *,
    seed: int,
    epoch: int,
    batch_size: int = 1,
    shuffle_window: int | None = None,
) -> Ids:
    """Return the order of one training epoch: a permutation of all samples, `(num_samples,)` int64.

    With a window the shards, in random order and each with its samples in random order, are laid
    end to end and cut into `shuffle_window` equal lanes. Every batch takes the same number of
    samples from each lane, lane by lane, so a process with a whole share of the lanes needs no
    shards of other lanes, but for those in which a lane begins or ends.

    Args:
        shard_sizes: Number of samples of each shard; samples are numbered through all shards.
        seed: The seed of the run.
        epoch: The epoch, from 0; every epoch has another order.
        batch_size: Samples per step over all processes; a multiple of the window.
        shuffle_window: Number of lanes, that is of shards that are read side by side. `None` mixes
            all samples.
    """
    num_samples = int(np.sum(shard_sizes))
    if shuffle_window is None:
        return shuffled(num_samples, hash_of(seed, epoch))
    starts = np.cumsum(shard_sizes) - shard_sizes
    samples = np.concatenate(
        [
            starts[shard] + shuffled(shard_sizes[shard], hash_of(seed, epoch, 2, shard))
            for shard in shuffled(len(shard_sizes), hash_of(seed, epoch, 1)).tolist()
        ]
    )
    per_lane = batch_size // shuffle_window
    num_steps = num_samples // shuffle_window // per_lane
    lanes = samples[: num_samples // shuffle_window * shuffle_window].reshape(shuffle_window, -1)
    # Neighbours run in opposite directions: both read the shard between them at the same time.
    lanes[::2] = lanes[::2, ::-1].copy()
    batches = lanes[:, : num_steps * per_lane].reshape(shuffle_window, num_steps, per_lane)
    rest = lanes[:, num_steps * per_lane :].ravel(), samples[lanes.size :]
    return np.concatenate([batches.transpose(1, 0, 2).ravel(), *rest])


def repeated(order: Ids, batch_size: int, num_copies: int) -> Ids:
    """Return an epoch of the same length in which each picture is there several times.

    So a batch holds several crops of each of its pictures, and an epoch a part of all pictures
    (repeated augmentation: Hoffer et al. 2019, arXiv 1901.09335).

    Args:
        order: Of an epoch without, `(num_samples,)`.
        batch_size: Samples per step over all processes.
        num_copies: How often a picture is there.

    Returns:
        Whole batches of `sample + num_samples * copy`, with copies from 0. Within a batch the
        copies of a picture lie apart, so that mixup, which takes neighbours, mixes different ones.
    """
    num = len(order) // batch_size * batch_size
    copies = np.arange(num) % num_copies
    rows = np.repeat(order[: -(-num // num_copies)], num_copies)[:num] + len(order) * copies
    apart = np.argsort(np.arange(batch_size) % num_copies, kind="stable")
    spread: Ids = rows.reshape(-1, batch_size)[:, apart].ravel()
    return spread


def train_batch(order: Ids, batch_size: int, step: int, *, rank: int, num_ranks: int) -> Ids:
    """Return the ids that `rank` trains on in `step`: its slice of the global batch.

    The global batch `order[step * batch_size : (step + 1) * batch_size]` does not depend on the
    number of ranks, which must divide `batch_size`.
    """
    per_rank = batch_size // num_ranks
    first = step * batch_size + rank * per_rank
    return order[first : first + per_rank]


@dataclass(frozen=True)
class Growth:
    """How the size of training crops grows from epoch to epoch, for progressive resizing.

    It grows in equal steps of whole multiples of 32 pixels, as in the recipes of FFCV (Leclerc et
    al., 2023), where it spares computation in early epochs.
    """

    image_size: int  # in the end, in pixels
    start_image_size: int | None  # in the beginning; `None` for the same size in all epochs
    grow_epochs: tuple[int, int]  # the last with the first size, and the first with the final size

    def __post_init__(self) -> None:
        """Refuse sizes that shrink and epochs that do not rise."""
        start = self.start_image_size
        if start is not None and not 0 < start <= self.image_size:
            raise ConfigError(
                f"`start_image_size` {start} is not between 1 and {self.image_size}, "
                "the final size of training crops"
            )
        if not 0 <= self.grow_epochs[0] < self.grow_epochs[1]:
            raise ConfigError(
                f"`grow_epochs` {list(self.grow_epochs)} are no two rising epochs",
                "type two, such as:  `grow_epochs` [60,75]",
            )

    def image_size_at(self, epoch: int) -> int:
        """Return the size of training crops in an epoch, counted from 0."""
        first, last = self.grow_epochs
        if self.start_image_size is None or epoch >= last:
            return self.image_size
        grown = (self.image_size - self.start_image_size) * max(0, epoch - first) // (last - first)
        return self.start_image_size + grown // 32 * 32


def check_train_order(
    num_samples: int, batch_size: int, shuffle_window: int | None, num_copies: int = 1
) -> None:
    """Refuse a batch size, window or number of copies with which there is no epoch.

    Raises:
        ConfigError: The message names the sizes.
    """
    if num_samples < batch_size:
        raise ConfigError(
            f"`batch_size` {batch_size} is larger than the training split",
            f"it has {counted(num_samples, 'training picture')}",
        )
    if shuffle_window is not None and (shuffle_window < 1 or batch_size % shuffle_window):
        divisors = [n for n in range(1, batch_size + 1) if batch_size % n == 0]
        nearest = sorted(divisors, key=lambda n: abs(n - shuffle_window))[:2]
        raise ConfigError(
            f"`shuffle_window` {shuffle_window} does not divide `batch_size` {batch_size}",
            "every batch takes equal parts of that many shards",
            f"nearest:  {', '.join(map(str, sorted(nearest)))}",
        )
    check_range("`augment_repeats`", num_copies, 1, batch_size)
    if shuffle_window is not None and num_copies > 1:
        raise ConfigError(
            f"`shuffle_window` {shuffle_window} does not go with `augment_repeats` {num_copies}",
            "an epoch has a part of all pictures, which would be those of some shards",
            "switch one off:  `shuffle_window` null, or `augment_repeats` 1",
        )


def check_batch_size(batch_size: int, num_ranks: int) -> None:
    """Refuse a global batch size that cannot be shared equally by all processes.

    Raises:
        ConfigError: The message names the nearest sizes that can.
    """
    check_range("`batch_size`", batch_size, 1)
    if batch_size % num_ranks:
        lower = max(num_ranks, batch_size // num_ranks * num_ranks)
        raise ConfigError(
            f"`batch_size` {batch_size} cannot be shared equally by "
            f"{counted(num_ranks, 'process', 'processes')}",
            "it is the number of pictures per step over all processes",
            f"nearest:  {lower}, {lower + num_ranks}",
        )


def num_eval_batches(num_samples: int, batch_size: int) -> int:
    """Return the number of batches of an evaluation epoch, the same on all ranks."""
    return -(-num_samples // batch_size)


def even_batch_size(num_samples: int, batch_size: int, num_ranks: int) -> int:
    """Return the smallest batch size that takes no more batches, so that little is filled up.

    One picture makes a batch of one, and 33 pictures with batches of 32 two of 17.
    """
    per_batch = -(-num_samples // max(1, num_eval_batches(num_samples, batch_size)))
    return max(1, -(-per_batch // num_ranks)) * num_ranks


@dataclass(frozen=True)
class PredictionPlan:
    """Which rows of a table of predictions are found together, over all processes.

    The first batch may be smaller than the others, so that its answers come soon.
    """

    num_samples: int
    batch_size: int  # over all processes
    num_ranks: int
    num_first: int = 0  # size of the smaller batch in front; 0 for none

    @classmethod
    def soon(cls, num_samples: int, batch_size: int, num_ranks: int) -> "PredictionPlan":
        """Return a plan whose first answers come soon, and which fills up little.

        Raises:
            ConfigError: The batch size cannot be shared equally by the processes.
        """
        check_batch_size(batch_size, num_ranks)
        num_first = -(-_SOON // num_ranks) * num_ranks
        if batch_size >= num_samples or batch_size <= num_first:
            num_first = 0
        even = even_batch_size(num_samples - num_first, batch_size, num_ranks)
        return cls(num_samples, even, num_ranks, num_first)

    def __len__(self) -> int:
        """Return the number of batches."""
        rest = num_eval_batches(self.num_samples - self.num_first, self.batch_size)
        return rest + (self.num_first > 0)

    def start_of(self, step: int) -> int:
        """Return the number of rows before a batch, which are all rows after the last batch."""
        if not self.num_first:
            return min(step * self.batch_size, self.num_samples)
        after_first = self.num_first + (step - 1) * self.batch_size
        return min(after_first, self.num_samples) if step else 0

    def num_whole(self, num_rows: int) -> int:
        """Return how many batches the first rows of a table are, a part of one not counted."""
        if num_rows >= self.num_samples:
            return len(self)
        if not self.num_first:
            return num_rows // self.batch_size
        return max(0, 1 + (num_rows - self.num_first) // self.batch_size)

    def batch(self, step: int, rank: int) -> Ids:
        """Return the ids of one process in a batch, `PADDING` where there are no more."""
        size = self.num_first if self.num_first and not step else self.batch_size
        per_rank = size // self.num_ranks
        first = self.start_of(step) + rank * per_rank
        ids = np.arange(first, first + per_rank, dtype=np.int64)
        return np.where(ids < self.num_samples, ids, PADDING)


def eval_batch(num_samples: int, batch_size: int, step: int, *, rank: int, num_ranks: int) -> Ids:
    """Return the ids that `rank` scores in `step`, filled up with `PADDING` to equal lengths.

    Over all steps and ranks each of `0..num_samples-1` occurs exactly once.
    """
    per_rank = batch_size // num_ranks
    first = step * batch_size + rank * per_rank
    ids = np.arange(first, first + per_rank, dtype=np.int64)
    return np.where(ids < num_samples, ids, PADDING)
