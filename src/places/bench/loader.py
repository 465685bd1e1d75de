"""`places bench loader`: how fast pictures come from shards, and where the time goes."""

import math
import os
import statistics
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Literal

import cv2
import numpy as np
from rich.table import Table

from places.console import progress, put
from places.data.streaming import plan
from places.data.streaming.any_format import crop_decoder_of
from places.data.streaming.batches import TrainCrop, Workers, train_batches
from places.data.streaming.decode import NUM_CROP_UNIFORMS, resize_crop
from places.data.streaming.samples import SplitSamples, open_samples
from places.data.streaming.stream import Batch
from places.hashing import shuffled, uniforms

_NUM_SAMPLES_TIMED = 1000  # alone, in one thread


def bench_loader(
    root: str,
    split: Literal["train", "val"] = "train",
    batch_size: int = 256,
    image_size: int = 224,
    num_threads: int | None = None,
    num_batches: int = 20,
    runs: int = 3,
    shuffle_window: int | None = None,
    gpu_images_per_s: float = 2500.0,
) -> int:
    """Measure how fast training pictures come from shards, with nothing that uses them.

    Prints pictures and megabytes per second, where the threads spend their time, and how many
    threads one GPU needs. The batches are those of `places fit`, each run from the start of another
    epoch. Files that the system keeps in memory cost no waiting for a disk: to measure a disk take
    a split larger than the memory.

    Args:
        root: Folder or URL with the shards.
        split: The split to read; its pictures need labels.
        batch_size: Pictures per batch.
        image_size: Height and width of the crops in pixels.
        num_threads: Decoding threads; null takes as many as there are cores.
        num_batches: Batches per run; fewer if the split has fewer.
        runs: How often to measure; the median is shown.
        shuffle_window: Shards that are read side by side; null reads the whole split in random
            order.
        gpu_images_per_s: Pictures that one GPU trains on per second, for the number of threads.

    Returns:
        The exit status: 0.

    Raises:
        DataError: The split is missing or damaged.
        ConfigError: The sizes do not suit each other.
    """
    source = open_samples(root, split)
    plan.check_train_order(source.manifest.num_samples, batch_size, shuffle_window)
    num_threads = num_threads or len(os.sched_getaffinity(0))
    crop = TrainCrop(image_size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), flip=True)
    num_batches = min(num_batches, source.manifest.num_samples // batch_size)

    batches = partial(
        train_batches,
        source,
        crop,
        Workers(num_threads=num_threads),
        batch_size=batch_size,
        seed=0,
        shuffle_window=shuffle_window,
    )
    _batches_per_s(batches(epoch=0), num_batches)  # fills caches and starts what starts only once
    start_cpu_s, speeds = time.process_time(), []
    with progress("measuring", runs, "runs") as counter:
        for epoch in range(1, runs + 1):
            speeds.append(batch_size * _batches_per_s(batches(epoch=epoch), num_batches))
            counter.advance(1)
    cpu_s = (time.process_time() - start_cpu_s) / (runs * num_batches * batch_size)
    parts_s, mean_bytes = _time_parts(source, crop)
    source.close()
    table = _table(speeds, cpu_s, parts_s, mean_bytes, num_threads)
    table.title = f"{split}: {source.manifest.summary}, crops of {image_size} pixels"
    put(table)
    num_needed = math.ceil(gpu_images_per_s * num_threads / statistics.median(speeds))
    threads = "1 such thread" if num_needed == 1 else f"{num_needed} such threads"
    put(f"a GPU that trains on {gpu_images_per_s:,.0f} pictures/s needs {threads}")
    return 0


def _batches_per_s(batches: Iterator[Batch], num_batches: int) -> float:
    """Take the first batches of an epoch and return how many came per second."""
    start_s = time.perf_counter()
    for _ in islice(batches, num_batches):
        pass
    return num_batches / (time.perf_counter() - start_s)


def _time_parts(source: SplitSamples, crop: TrainCrop) -> tuple[dict[str, float], float]:
    """Return the seconds per picture of each part in this one thread, and the bytes of a JPEG."""
    cv2.setNumThreads(0)
    num = min(_NUM_SAMPLES_TIMED, source.manifest.num_samples)
    ids = shuffled(source.manifest.num_samples, 1)[:num]
    rows = uniforms(ids, NUM_CROP_UNIFORMS, 1).tolist()
    out = np.empty((crop.image_size, crop.image_size, 3), np.uint8)
    spent_s = np.zeros(3)
    entries = source.entries(ids)
    decode_for_crop = crop_decoder_of(source.manifest.formats)
    for entry, numbers in zip(entries, rows, strict=True):
        start_s = time.perf_counter()  # a disk lets the processor wait
        _, stored = source.find(entry)
        spent_s[0] += time.perf_counter() - start_s
        start_s = time.thread_time()
        pixels = decode_for_crop(stored, numbers, crop.image_size, crop.scale, crop.ratio)
        decoded_s = time.thread_time()
        resize_crop(pixels, out)
        spent_s[1:] += decoded_s - start_s, time.thread_time() - decoded_s
    mean_bytes = statistics.fmean(size_bytes for _, size_bytes, _, _ in entries)
    read_s, decode_s, resize_s = (spent_s / num).tolist()
    return {"read": read_s, "decode": decode_s, "resize": resize_s}, mean_bytes


def _table(
    speeds: list[float],
    cpu_s: float,
    parts_s: dict[str, float],
    mean_bytes: float,
    num_threads: int,
) -> Table:
    median = statistics.median(speeds)
    table = Table(title_justify="left")
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_column("of the threads' time", justify="right")
    table.add_row(f"pictures/s, {num_threads} threads", f"{median:,.0f}")
    lowest_highest = f"{min(speeds):,.0f}, {max(speeds):,.0f}"
    table.add_row(f"lowest and highest of {len(speeds)}", lowest_highest)
    table.add_row(
        f"MB/s of pictures ({mean_bytes:,.0f} bytes each)", f"{median * mean_bytes / 1e6:,.1f}"
    )
    spent_s, known_s = num_threads / median, sum(parts_s.values())  # of all threads, for a picture
    # What the processor did beside these three, and when the threads did nothing: for lack of work,
    # or because something else had the processor. Noise may exceed them where they are small.
    rest_s = {
        "plan and batch": max(0.0, cpu_s - known_s),
        "wait": max(0.0, spent_s - max(cpu_s, known_s)),
    }
    for name, part_s in (parts_s | rest_s).items():
        table.add_row(name, f"{part_s * 1e6:,.0f} us", f"{part_s / spent_s:.0%}")
    return table
