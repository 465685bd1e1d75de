"""The batches of a split for any PyTorch loop, without Lightning: `places.data.open`."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import get_args

from places.config.ranges import check_range, check_word
from places.data.loader import Loader
from places.data.remote.checks import CacheChecks
from places.data.streaming import plan
from places.data.streaming.bad_samples import BadSamplePolicy, BadSamples
from places.data.streaming.batches import EvalCrop, TrainCrop, Workers, eval_batches, train_batches
from places.data.streaming.decode import ResizeMode
from places.data.streaming.samples import Cache, SplitSamples, open_samples
from places.data.streaming.stream import Batch
from places.errors import ConfigError


def open(  # used as places.data.open
    root: Path | str,
    split: str,
    batch_size: int = 256,
    *,
    train: bool | None = None,
    epoch: int = 0,
    first_step: int = 0,
    seed: int = 0,
    image_size: int = 224,
    resize_size: int = 256,
    resize_mode: ResizeMode = "short_side",
    crop_scale: tuple[float, float] = (0.08, 1.0),
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
    flip: bool = True,
    shuffle_window: int | None = None,
    augment_repeats: int = 1,
    rank: int = 0,
    num_ranks: int = 1,
    num_ranks_per_node: int = 1,
    num_threads: int | None = None,
    pin_memory: bool = False,
    bad_samples: BadSamplePolicy = "raise",
    max_bad_samples: int = 10,
    cache_folder: Path | str = Path("data/cache"),
    cache_size_gb: float = 50.0,
    timeout_s: float = 120.0,
    check_cache: bool = False,
) -> Loader:
    """Open a packed split and return the batches of one epoch.

    The batches are those that `places fit` and `places test` would see. Each iteration starts the
    epoch again, and opens the shards for itself: they are closed with its end, also an early one.
    Pictures are `(N, 3, image_size, image_size)` uint8; `flip` in a batch says which
    of them a training loop should mirror, and rows of `weight` 0 do not count.

    Args:
        root: Folder or URL with the shards.
        split: "train", "val" or "test".
        batch_size: Pictures per step over all processes.
        train: Shuffled random crops, or each picture once in order; by default as the split says.
        epoch: The epoch, from 0; every epoch has another order and other crops.
        first_step: The batch to begin with, to resume after an interruption.
        seed: Seed of order, crops and flips.
        image_size: Height and width of the pictures in pixels.
        resize_size: Short side of an evaluation picture before the centre is cut out, in pixels.
        resize_mode: See `Places365`.
        crop_scale: See `Places365`.
        crop_ratio: See `Places365`.
        flip: Mirror half of the training pictures.
        shuffle_window: See `Places365`.
        augment_repeats: See `Places365`.
        rank: Number of this process.
        num_ranks: Number of processes that share each batch.
        num_ranks_per_node: Number of those that share a machine and its cache of remote shards.
        num_threads: Decoding threads; by default as many as pay, at most as there are cores.
        pin_memory: Allocate page-locked memory for copies to a GPU.
        bad_samples: See `Places365`.
        max_bad_samples: See `Places365`.
        cache_folder: See `Places365`.
        cache_size_gb: See `Places365`.
        timeout_s: See `Places365`.
        check_cache: See `Places365`; once for all epochs of a loader.

    Raises:
        DataError: The split is missing or damaged.
        ConfigError: The sizes do not suit each other.
    """
    check_range("`num_threads`", num_threads, 1)
    _check_ranks(rank, num_ranks, num_ranks_per_node)
    plan.check_batch_size(batch_size, num_ranks)
    workers = Workers(
        rank=rank,
        num_ranks=num_ranks,
        num_threads=num_threads or len(os.sched_getaffinity(0)),
        can_be_fewer=num_threads is None,
        pin_memory=pin_memory,
        num_ranks_per_node=num_ranks_per_node,
    )
    check_word("`bad_samples`", bad_samples, get_args(BadSamplePolicy))
    bad = BadSamples(bad_samples, max_bad_samples)
    checks = CacheChecks(before_use=check_cache)
    cache = Cache(Path(cache_folder), cache_size_gb, timeout_s, checks)
    open_again = partial(open_samples, root, split, bad, cache)
    with closing(open_again()) as first:  # what is missing is said now
        manifest = first.manifest
    batches: Callable[[SplitSamples], Iterator[Batch]]
    if split == "train" if train is None else train:
        plan.check_train_order(manifest.num_samples, batch_size, shuffle_window, augment_repeats)
        num_batches = manifest.num_samples // batch_size
        batches = partial(
            train_batches,
            crop=TrainCrop(image_size, crop_scale, crop_ratio, flip),
            workers=workers,
            batch_size=batch_size,
            seed=seed,
            epoch=epoch,
            first_step=first_step,
            shuffle_window=shuffle_window,
            num_copies=augment_repeats,
        )
    else:
        num_batches = plan.num_eval_batches(manifest.num_samples, batch_size)
        batches = partial(
            eval_batches,
            crop=EvalCrop(image_size, resize_size, resize_mode),
            workers=workers,
            batch_size=batch_size,
            first_step=first_step,
        )
    check_range("`first_step`", first_step, 0, num_batches)

    def epoch_of_its_own() -> Iterator[Batch]:
        with closing(open_again(opened=first)) as source:
            yield from batches(source)

    return Loader(num_batches - first_step, epoch_of_its_own)


def _check_ranks(rank: int, num_ranks: int, num_ranks_per_node: int) -> None:
    check_range("`num_ranks`", num_ranks, 1)
    check_range("`rank`", rank, 0, num_ranks - 1)
    check_range("`num_ranks_per_node`", num_ranks_per_node, 1, num_ranks)
    if num_ranks % num_ranks_per_node:
        raise ConfigError(
            f"`num_ranks` {num_ranks} is no multiple of `num_ranks_per_node` {num_ranks_per_node}",
            "all machines have the same number of processes",
        )
