"""`places bench loader`: how fast pictures come from shards, and where the time goes."""

import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from rich.table import Table

from places.bench.saturation import measure_and_tell
from places.config.ranges import check_range
from places.console import progress, put
from places.data.streaming import plan
from places.data.streaming.any_format import crop_decoder_of
from places.data.streaming.batches import TrainCrop, Workers, train_batches
from places.data.streaming.decode import NUM_CROP_UNIFORMS, resize_crop
from places.data.streaming.samples import SplitSamples, open_samples
from places.data.streaming.stream import Batch
from places.errors import ConfigError
from places.files import check_writable, picture_beside
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
    consume: float | None = None,
    file: Path | None = None,
) -> int:
    """Measure how fast training pictures come from shards, with nothing that uses them.

    Prints pictures and megabytes per second, and where the threads spend their time. With
    `consume` it plays a GPU that takes so many pictures per second, and tells what part of the time
    it would have waited with 1, 2, ... threads, and how many it takes so that it never waits. The
    batches are those of `places fit`, each run from the start of another
    epoch. Files that the system keeps in memory cost no waiting for a disk: to measure a disk take
    a split larger than the memory.

    Args:
        root: Folder or URL with the shards.
        split: The split to read; its pictures need labels.
        batch_size: Pictures per batch.
        image_size: Height and width of the crops in pixels.
        num_threads: Decoding threads; null takes as many as pay, as `places fit` does. With
            `consume` the most of them; null goes up to the number of cores.
        num_batches: Batches per run; fewer if the split has fewer.
        runs: How often to measure; the median is shown.
        shuffle_window: Shards that are read side by side; null reads the whole split in random
            order.
        consume: Pictures per second that a GPU takes, such as 2500; null plays none.
        file: JSON file for how long the GPU waited, with a picture beside it, file.png.

    Returns:
        The exit status: 0.

    Raises:
        DataError: The split is missing or damaged.
        ConfigError: The sizes do not suit each other.
        StorageError: The file cannot be written.
    """
    check_range("batch_size", batch_size, 1)
    check_range("num_batches", num_batches, 1)
    check_range("runs", runs, 1, 10_000)
    check_range("num_threads", num_threads, 1, 4096)
    check_range("consume", consume, 1, 1e9)
    if file is not None:
        if consume is None:
            raise ConfigError("`file` holds how long a GPU waited", "add:  --consume 2500")
        check_writable(file)
        check_writable(picture_beside(file))
    source = open_samples(root, split)
    plan.check_train_order(source.manifest.num_samples, batch_size, shuffle_window)
    num_cores = len(os.sched_getaffinity(0))
    crop = TrainCrop(image_size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), flip=True)
    num_batches = min(num_batches, source.manifest.num_samples // batch_size)

    def batches(num_threads: int | None, epoch: int) -> Iterator[Batch]:
        whole = train_batches(
            source,
            crop,
            Workers(num_threads=num_threads or num_cores, can_be_fewer=num_threads is None),
            batch_size=batch_size,
            seed=0,
            epoch=epoch,
            shuffle_window=shuffle_window,
        )
        return islice(whole, num_batches)

    title = f"{split}: {source.manifest.summary}, crops of {image_size} pixels"
    with closing(source):
        _time(batches(num_threads, 0))  # fills caches and starts what starts only once
        if consume is not None:
            settings = {
                "split": split,
                "num_images": source.manifest.num_samples,
                "formats": list(source.manifest.formats),
                "image_size": image_size,
                "batch_size": batch_size,
                "num_batches": num_batches,
                "runs": runs,
                "consume": consume,
            }
            measure_and_tell(batches, settings, num_threads or num_cores, title, file)
            return 0
        start_cpu_s, speeds, most_threads = time.process_time(), [], 0
        with progress("measuring", runs, "runs") as counter:
            for epoch in range(1, runs + 1):
                spent_s, started = _time(batches(num_threads, epoch))
                speeds.append(batch_size * num_batches / spent_s)
                most_threads = max(most_threads, started)
                counter.advance(1)
        cpu_s = (time.process_time() - start_cpu_s) / (runs * num_batches * batch_size)
        parts_s, mean_bytes = _time_parts(source, crop)
    table = _table(speeds, cpu_s, parts_s, mean_bytes, most_threads)
    table.title = title
    put(table)
    put("how many threads a GPU needs:  add --consume 2500, its pictures per second")
    return 0


def _time(batches: Iterator[Batch]) -> tuple[float, int]:
    """Take batches, and return the seconds until all were there and the threads that decoded."""
    start_s, num_threads = time.perf_counter(), 0
    for _ in batches:
        running = (thread.name.startswith("places-decode") for thread in threading.enumerate())
        num_threads = max(num_threads, sum(running))
    return time.perf_counter() - start_s, num_threads


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
