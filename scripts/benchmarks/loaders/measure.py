"""Time one loader over whole epochs and print the result as a line of JSON.

Needs nothing but NumPy, since a peer may live in an environment of its own.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

IMAGE_SIZE = 224
CROP_SCALE = (0.08, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class Task(NamedTuple):
    """What a loader has to do."""

    folder: Path  # holds `pictures/<category>/<number>.jpg` and the same pictures in `shards/`
    batch_size: int
    num_threads: int  # threads or processes that decode


Epoch = Callable[[], Iterable[Any]]  # gives the batches of the next epoch: arrays of pictures


def measure(open_loader: Callable[[Task], Epoch], version: str) -> None:
    """Open a loader as the command line says, check one epoch, time the following ones.

    Args:
        open_loader: Returns a function that begins an epoch.
        version: Of the loader's package.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--num_threads", type=int, default=2)
    parser.add_argument("--min_time_s", type=float, default=4)
    options = parser.parse_args()
    epoch = open_loader(Task(options.folder, options.batch_size, options.num_threads))
    result = {"version": version} | check(epoch())
    num_images, start_s, start_cpu_s = 0, time.perf_counter(), cpu_time_s()
    while (time_s := time.perf_counter() - start_s) < options.min_time_s:
        for images in epoch():
            num_images += len(images)
    result["images_per_s"] = num_images / time_s
    result["cpu_ms_per_image"] = (cpu_time_s() - start_cpu_s) / num_images * 1000
    print(json.dumps(result), flush=True)


def cpu_time_s() -> float:
    """Return the processor time of this process and its worker processes, ended ones too."""
    pids: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that ended meanwhile
            pids += (task / "children").read_text().split()
    ticks = 0
    for stat in [Path("/proc", pid, "stat").read_text() for pid in ["self", *pids]]:
        # In user and kernel mode, its own and that of its children that were waited for.
        ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def check(batches: Iterable[Any]) -> dict[str, Any]:
    """Go through an epoch, which also warms up, and return what it held.

    Returns:
        `num_images`; `shape` of a whole batch and `dtype`; `mean` and `std`, of the pixels in
        0..255, normalisation undone.
    """
    num_images, sums = 0, np.zeros(2)
    shapes, dtypes = [], set()
    for images in batches:
        pixels = np.asarray(images)
        num_images += len(pixels)
        shapes.append(pixels.shape)
        dtypes.add(str(pixels.dtype))
        if pixels.dtype != np.uint8:
            scale, shift = np.array([STD, MEAN], np.float32).reshape(2, 3, 1, 1) * 255
            pixels = pixels * scale + shift
        sums += len(pixels) * np.array([pixels.mean(), np.square(pixels, dtype=np.float32).mean()])
    mean, mean_square = sums / num_images
    return {
        "num_images": num_images,
        "shape": max(shapes),  # the last batch may be smaller
        "dtype": " and ".join(sorted(dtypes)),
        "mean": mean,
        "std": float(np.sqrt(mean_square - mean**2)),
    }
