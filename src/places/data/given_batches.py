"""Batches of the pictures that a program gives: read and cut by threads, ahead of the network."""

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from itertools import islice, repeat
from typing import NamedTuple

import numpy as np
import torch

from places.data.given_pictures import Given, Picture, take
from places.data.streaming import plan
from places.data.streaming.batches import EvalCrop
from places.data.streaming.decode import eval_crop
from places.data.streaming.jpeg import Pixels
from places.errors import DataError, StorageError

_BATCHES_AHEAD = (
    3  # of files, which are decoded while the network works; of pictures in memory, one
)
_HELD_PER_THREAD = 2  # pictures in memory that wait to be cut, so that their number is bounded


class Cut(NamedTuple):
    """What is known of a picture, beside its pixels."""

    path: str | None
    width: int | None = None  # of the upright picture as it was given
    height: int | None = None
    error: str = ""  # why it cannot be read; its pixels mean nothing


def batches_of(
    pictures: Iterable[Picture],
    crop: EvalCrop,
    *,
    batch_size: int,
    max_pixels: int,
    exact: bool,
    pin_memory: bool,
) -> Generator[tuple[torch.Tensor, list[Cut]], None, None]:
    """Yield the pictures in their order, in batches as `places predict` makes them.

    Args:
        pictures: As `places.data.given_pictures.all_of` returns them. If nobody knows how many they
            are, the last batch is as small as it has to be, and memory does not grow.
        crop: How they are cut.
        batch_size: Most pictures in a batch.
        max_pixels: See `ImageFiles`.
        exact: See `ImageFiles`.
        pin_memory: Whether to copy from page-locked memory, for a GPU.

    Yields:
        Pixels `(N, 3, size, size)` uint8, channels last in memory, and what is known of each
        picture. There may be fewer of these: the other rows only fill up the batch.

    Raises:
        TypeError: One is no picture.
        StorageError: Not a file is to blame, but what it lies on.
    """
    taken = take(pictures, max_pixels, None if exact else 2 * crop.resize_size)
    with closing(_ahead(taken, crop, batch_size)) as cut:
        for num_rows in _batch_sizes(pictures, batch_size):
            rows = list(islice(cut, num_rows or batch_size))
            if not rows:
                return
            shape = (num_rows or len(rows), crop.image_size, crop.image_size, 3)
            images = torch.zeros(shape, dtype=torch.uint8, device="cpu", pin_memory=pin_memory)
            for row, (pixels, _) in zip(images.numpy(), rows, strict=False):
                row[:] = pixels
            yield images.permute(0, 3, 1, 2), [what for _, what in rows]


def _batch_sizes(pictures: Iterable[Picture], batch_size: int) -> Iterator[int | None]:
    """Yield how many rows each batch has; `None` for as many as there are."""
    if isinstance(pictures, Sized) and (num := len(pictures)):
        batches = plan.PredictionPlan.soon(num, batch_size, num_ranks=1)
        yield from (len(batches.batch(step, rank=0)) for step in range(len(batches)))
    yield from repeat(None)  # until there are no more, whatever the length said


def _ahead(
    taken: Iterator[Given], crop: EvalCrop, batch_size: int
) -> Generator[tuple[Pixels, Cut], None, None]:
    num_threads = len(os.sched_getaffinity(0))
    held: deque[Future[tuple[Pixels, Cut]]] = deque()
    pending: deque[Future[tuple[Pixels, Cut]]] = deque()
    with ThreadPoolExecutor(num_threads, thread_name_prefix="places-decode") as pool:
        try:
            for given in taken:
                if given.is_held and len(held) == _HELD_PER_THREAD * num_threads:
                    wait([held.popleft()])
                pending.append(pool.submit(_cut, given, crop))
                if given.is_held:
                    held.append(pending[-1])
                if len(pending) > batch_size * (1 if given.is_held else _BATCHES_AHEAD):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _cut(given: Given, crop: EvalCrop) -> tuple[Pixels, Cut]:
    pixels = np.zeros((crop.image_size, crop.image_size, 3), np.uint8)
    try:
        picture, size = given.decode()
        eval_crop(picture, pixels, crop.resize_size, crop.resize_mode, size)
    except StorageError:
        raise
    except DataError as error:
        return np.zeros_like(pixels), Cut(given.path, error=error.message)
    return pixels, Cut(given.path, *size)
