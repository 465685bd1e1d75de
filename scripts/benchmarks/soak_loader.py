"""Run the loader for some minutes and tell whether its memory grows.

Reads the train split of a folder again and again, an epoch at a time, and prints the resident
memory and the slope of a line through its readings, the first tenth left out:

    python scripts/benchmarks/soak_loader.py data/sample --minutes 5
"""

import argparse
import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import psutil
from rich.progress import Progress

import places.data

READ_EVERY_S = 1.0


def readings(root: Path, minutes: float, num_threads: int) -> Iterator[tuple[float, float, int]]:
    """Yield time in seconds, resident memory in MB and pictures read, about once in a second."""
    process, num_images = psutil.Process(), 0
    start_s = next_s = time.monotonic()
    for epoch in count():
        for batch in places.data.open(root, "train", 256, epoch=epoch, num_threads=num_threads):
            num_images += len(batch["key"])
            now_s = time.monotonic()
            if now_s >= next_s:
                yield now_s - start_s, process.memory_info().rss / 1e6, num_images
                next_s += READ_EVERY_S
            if now_s - start_s > 60 * minutes:
                return


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "root", type=Path, help="folder with a train split of at least 256 pictures"
    )
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    rows = []
    with Progress(transient=True) as progress:
        task = progress.add_task("reading", total=60 * options.minutes)
        for row in readings(options.root, options.minutes, options.threads):
            rows.append(row)
            progress.update(task, completed=row[0])
    times_s, rss_mb, num_images = np.array(rows[len(rows) // 10 :]).T
    slope, _ = np.polyfit(times_s / 3600, rss_mb, 1)
    print(
        f"{num_images[-1]:,.0f} pictures in {times_s[-1] / 60:.1f} min, {options.threads} threads"
    )
    print(f"resident: {rss_mb[0]:,.0f} MB at first, {rss_mb[-1]:,.0f} MB at last,")
    print(f"          {rss_mb.min():,.0f} to {rss_mb.max():,.0f} MB, slope {slope:+,.1f} MB/h")


if __name__ == "__main__":
    main()
