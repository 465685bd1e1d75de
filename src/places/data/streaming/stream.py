"""Follows a plan in threads: ids in, batches of pixels out, in the order of the plan.

Threads, not worker processes: decoding and resizing release Python's global lock, so threads share
memory, start at once, need no pickling and hold no state.
"""

import math
import statistics
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import NamedTuple, TypedDict

import cv2
import numpy as np
import torch

from places.data.streaming.jpeg import Pixels
from places.data.streaming.plan import PADDING
from places.hashing import Ids

# Large enough that handing out work costs little, small enough to share a batch.
_ROWS_PER_TASK = 16
_MOST_ROWS_PER_TASK = 32
_TASKS_PER_THREAD = 4  # of a batch, at least
_BATCHES_AHEAD = 3  # are decoded while one is used
# Those of several crops take more memory, and the network takes longer for them.
_BATCHES_AHEAD_OF_CROPS = 1
# Seconds of a picture in which its thread has Python's lock, or waits to have it again. So many
# threads as go into the time of a picture keep the lock busy; more of them slow each other down,
# and the training step beside them (docs/loader.md has the measurement).
_LOCKED_S = 65e-6
_MOST_TIMED = 16  # pictures
_MOST_TIMED_S = 0.02  # no machine has threads enough for pictures that take this long


class Sample(NamedTuple):
    """What is known of a picture besides its pixels."""

    key: str
    label: int = -1  # -1: unlabelled
    flip: bool = False
    error: str = ""  # why the picture could not be read; its pixels and its result mean nothing
    size: tuple[int, int] = (0, 0)  # width and height of the picture as it is shown; 0 if unknown


class Batch(TypedDict):
    """One batch of one process, on its way to the device."""

    # (N, 3, size, size) uint8 in 0..255, RGB, channels last in memory. Several crops of a picture
    # lie one under the other: (N, 3, num_crops * size, size).
    image: torch.Tensor
    label: torch.Tensor  # (N,) int64, -1 without a label
    weight: torch.Tensor  # (N,) float32, 1 for rows that count, 0 for unreadable and filling rows
    flip: torch.Tensor  # (N,) bool: mirror the picture on the device
    key: list[str]  # N names, empty for rows that only fill up the batch
    error: list[str]  # N texts, empty for readable pictures
    size: torch.Tensor  # (N, 2) int32, width and height of the upright picture; 0 if unknown


LoadRow = Callable[[int, Pixels], Sample]
OpenBatch = Callable[[Ids], LoadRow]

_free_memory: deque[Pixels] = deque()


class _Opened(NamedTuple):
    ids: Ids
    images: torch.Tensor
    load: LoadRow


_Started = tuple[torch.Tensor, list[Future[list[Sample]]]]


def stream(
    plan: Iterable[Ids],
    open_batch: OpenBatch,
    *,
    image_size: int,
    num_threads: int,
    can_be_fewer: bool = False,
    num_crops: int = 1,
    pin_memory: bool = False,
    cancel: Callable[[], None] = lambda: None,
) -> Generator[Batch, None, None]:
    """Yield one batch for each item of `plan`, in order, decoded ahead of time by threads.

    Nothing starts before the first batch is asked for, and all threads end with the iterator.

    Args:
        plan: For each batch the ids of its samples; `PADDING` marks rows that only fill up.
        open_batch: Called with the ids of a batch, in order. Returns a function that is called in a
            thread for each row with the row's number and its pixels to fill, `(num_crops * size,
            size, 3)` uint8.
        image_size: Height and width of the pictures in pixels.
        num_threads: Number of decoding threads.
        can_be_fewer: Decode with fewer threads where more would wait for each other: with as many
            as the time of the first pictures tells.
        num_crops: Number of crops of each picture, which lie one under the other.
        pin_memory: Allocate page-locked memory, from which copies to a GPU run in the background.
        cancel: Called when the iterator ends, before it waits for its threads.

    Raises:
        DataError: A sample is damaged or missing; the message names it.
    """
    # Each picture belongs to one thread; OpenCV's own threads would fight ours.
    cv2.setNumThreads(0)
    batches = _open_all(plan, open_batch, (num_crops * image_size, image_size, 3), pin_memory)
    pool = _threads(1 if can_be_fewer else num_threads)

    def start(batch: _Opened, first_row: int = 0) -> _Started:
        num_rows = len(batch.ids) // (_TASKS_PER_THREAD * num_threads)
        num_rows = min(max(num_rows, _ROWS_PER_TASK), _MOST_ROWS_PER_TASK)
        rows = range(first_row, len(batch.ids))
        parts = [rows[i : i + num_rows] for i in range(0, len(rows), num_rows)]
        return batch.images, [pool.submit(_load, batch, part) for part in parts]

    done: list[Sample] = []  # of the batch that comes next
    pending: deque[_Started] = deque()
    try:
        if can_be_fewer and (first := next(batches, None)) is not None:
            # In a thread, as all others, so that an interruption finds this one waiting.
            timed = pool.submit(_load_some, first)
            wait([timed])
            done, picture_s = timed.result()
            pool.shutdown()
            num_threads = max(1, min(num_threads, math.ceil(picture_s / _LOCKED_S)))
            pool = _threads(num_threads)
            pending.append(start(first, len(done)))
            del first  # its memory is to be used again
        num_ahead = _BATCHES_AHEAD if num_crops == 1 else _BATCHES_AHEAD_OF_CROPS
        pending.extend(map(start, islice(batches, num_ahead - len(pending))))
        while pending:
            images, tasks = pending.popleft()
            # To wake up for each task would take Python's lock from the threads that decode.
            wait(tasks, return_when=FIRST_EXCEPTION)
            samples = [*done, *(sample for task in tasks for sample in task.result())]
            done = []
            pending.extend(map(start, islice(batches, 1)))
            yield batch_of(images, samples)
    finally:
        cancel()
        pool.shutdown(cancel_futures=True)


def _threads(num_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num_threads, thread_name_prefix="places-decode")


def _open_all(
    plan: Iterable[Ids], open_batch: OpenBatch, shape: tuple[int, int, int], pin_memory: bool
) -> Iterator[_Opened]:
    for ids in plan:
        if pin_memory:  # PyTorch keeps page-locked memory for the next batch itself
            images = torch.empty((len(ids), *shape), dtype=torch.uint8, pin_memory=True)
        else:
            images = torch.from_numpy(_memory((len(ids), *shape)))
        yield _Opened(ids, images, open_batch(ids))


def _memory(shape: tuple[int, ...]) -> Pixels:
    """Return an array with any content; once nobody holds it, it is used again, by any epoch.

    Fresh memory for each batch would cost 5 % of the loader's time in page faults.
    """
    try:
        whole = _free_memory.pop()
    except IndexError:
        whole = np.empty(shape, np.uint8)
    if whole.shape != shape:
        whole = np.empty(shape, np.uint8)
    # A tensor made of the view holds the view, and so do all tensors that share its memory.
    view = whole[:]
    weakref.finalize(view, _free_memory.append, whole).atexit = False
    return view


def _load(batch: _Opened, rows: Iterable[int]) -> list[Sample]:
    samples, pixels = [], batch.images.numpy()
    for row in rows:
        if batch.ids[row] == PADDING:
            pixels[row] = 0
            samples.append(Sample(key=""))
        else:
            samples.append(batch.load(row, pixels[row]))
    return samples


def _load_some(batch: _Opened) -> tuple[list[Sample], float]:
    """Load the first rows of a batch, and return the seconds that one of them takes, too."""
    samples, times_s = list[Sample](), list[float]()
    for row in range(min(len(batch.ids), _MOST_TIMED)):
        start_s = time.perf_counter()
        samples += _load(batch, [row])
        times_s.append(time.perf_counter() - start_s)
        if sum(times_s) > _MOST_TIMED_S:
            break
    return samples, statistics.median(times_s)


def padding_batch(num_rows: int, shape: tuple[int, int]) -> Batch:
    """Return a batch that only fills up, of rows with a height and a width in pixels."""
    images = torch.zeros((num_rows, *shape, 3), dtype=torch.uint8)
    return batch_of(images, [Sample(key="")] * num_rows)


def batch_of(images: torch.Tensor, samples: list[Sample]) -> Batch:
    """Return a batch of pixels `(N, height, width, 3)` uint8, and what is known of its rows."""
    counts = [sample.key != "" and sample.error == "" for sample in samples]
    return Batch(
        image=images.permute(0, 3, 1, 2),
        label=torch.tensor([sample.label for sample in samples], dtype=torch.int64),
        weight=torch.tensor(counts, dtype=torch.float32),
        flip=torch.tensor([sample.flip for sample in samples], dtype=torch.bool),
        key=[sample.key for sample in samples],
        error=[sample.error for sample in samples],
        size=torch.tensor([sample.size for sample in samples], dtype=torch.int32).reshape(-1, 2),
    )
