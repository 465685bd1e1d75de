"""The batches of a split for any PyTorch loop, without Lightning: `places.data.open`."""

import os
from pathlib import Path

from places.data import plan
from places.data.batches import EvalCrop, TrainCrop, Workers, eval_batches, train_batches
from places.data.damage import BadSamples, DamagePolicy
from places.data.decode import ResizeMode
from places.data.loader import Loader, check_batch_size
from places.data.source import Cache, check_train_order, open_source


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
    rank: int = 0,
    num_ranks: int = 1,
    num_threads: int | None = None,
    pin_memory: bool = False,
    bad_samples: DamagePolicy = "raise",
    max_bad_samples: int = 10,
    cache_folder: Path = Path("data/cache"),
    cache_size_gb: float = 50.0,
) -> Loader:
    """Open a packed split and return the batches of one epoch.

    The batches are those that `places fit` and `places test` would see. Each iteration starts the
    epoch again. Pictures are `(N, 3, image_size, image_size)` uint8; `flip` in a batch says which
    of them a training loop should mirror, and rows of `weight` 0 do not count.

    Args:
        root: Folder or URL with the shards.
        split: "train", "val" or "test".
        batch_size: Pictures per step over all processes.
        train: Shuffled random crops, or each picture once in order; by default as the split says.
        epoch: The epoch, from 0; every epoch has another order and other crops.
        first_step: The batch to begin with, to go on after an interruption.
        seed: Seed of order, crops and flips.
        image_size: Height and width of the pictures in pixels.
        resize_size: Short side of an evaluation picture before the centre is cut out, in pixels.
        resize_mode: See `Places365`.
        crop_scale: See `Places365`.
        crop_ratio: See `Places365`.
        flip: Mirror half of the training pictures.
        shuffle_window: See `Places365`.
        rank: Number of this process.
        num_ranks: Number of processes that share each batch.
        num_threads: Decoding threads; as many as there are cores by default.
        pin_memory: Allocate page-locked memory for copies to a GPU.
        bad_samples: See `Places365`.
        max_bad_samples: See `Places365`.
        cache_folder: See `Places365`.
        cache_size_gb: See `Places365`.

    Raises:
        DataError: The split is missing or damaged.
        ConfigError: The sizes do not suit each other.
    """
    check_batch_size(batch_size, num_ranks)
    source = open_source(
        root, split, BadSamples(bad_samples, max_bad_samples), Cache(cache_folder, cache_size_gb)
    )
    num_threads = num_threads or len(os.sched_getaffinity(0))
    workers = Workers(rank, num_ranks, num_threads, pin_memory)
    num_samples = source.manifest.num_samples
    if not (split == "train" if train is None else train):
        eval_crop = EvalCrop(image_size, resize_size, resize_mode)
        return Loader(
            plan.num_eval_batches(num_samples, batch_size) - first_step,
            lambda: eval_batches(
                source, eval_crop, workers, batch_size=batch_size, first_step=first_step
            ),
        )
    check_train_order(num_samples, batch_size, shuffle_window)
    train_crop = TrainCrop(image_size, crop_scale, crop_ratio, flip)
    return Loader(
        num_samples // batch_size - first_step,
        lambda: train_batches(
            source,
            train_crop,
            workers,
            batch_size=batch_size,
            seed=seed,
            epoch=epoch,
            first_step=first_step,
            shuffle_window=shuffle_window,
        ),
    )
