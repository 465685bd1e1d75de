"""Which sample goes where, in which order: pure integer arithmetic, no files, no torch.

All randomness is a hash of integers (the finaliser of SplitMix64), not a generator with a state. So
any order and any crop can be computed from its coordinates alone, on any machine, with any numpy
release.
"""

from collections.abc import Sequence

import numpy as np

from places.hashing import Ids, hash_of, shuffled

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


def train_batch(order: Ids, batch_size: int, step: int, *, rank: int, num_ranks: int) -> Ids:
    """Return the ids that `rank` trains on in `step`: its slice of the global batch.

    The global batch `order[step * batch_size : (step + 1) * batch_size]` does not depend on the
    number of ranks, which must divide `batch_size`.
    """
    per_rank = batch_size // num_ranks
    first = step * batch_size + rank * per_rank
    return order[first : first + per_rank]


def image_size_at(
    epoch: int, image_size: int, start_image_size: int | None, grow_epochs: tuple[int, int]
) -> int:
    """Return the size of training crops in an epoch, for progressive resizing.

    The size grows in equal steps of whole multiples of 32 pixels, as in the recipes of FFCV
    (Leclerc et al., 2023), where it spares computation in early epochs.

    Args:
        epoch: The epoch, from 0.
        image_size: The size in the end, in pixels.
        start_image_size: The size in the beginning; `None` for the same size in all epochs.
        grow_epochs: The last epoch with the first size, and the first epoch with the final size.
    """
    first, last = grow_epochs
    if start_image_size is None or epoch >= last:
        return image_size
    grown = (image_size - start_image_size) * max(0, epoch - first) // (last - first)
    return start_image_size + grown // 32 * 32


def num_eval_batches(num_samples: int, batch_size: int) -> int:
    """Return the number of batches of an evaluation epoch, the same on all ranks."""
    return -(-num_samples // batch_size)


def eval_batch(num_samples: int, batch_size: int, step: int, *, rank: int, num_ranks: int) -> Ids:
    """Return the ids that `rank` scores in `step`, filled up with `PADDING` to equal lengths.

    Over all steps and ranks each of `0..num_samples-1` occurs exactly once.
    """
    per_rank = batch_size // num_ranks
    first = step * batch_size + rank * per_rank
    ids = np.arange(first, first + per_rank, dtype=np.int64)
    return np.where(ids < num_samples, ids, PADDING)
