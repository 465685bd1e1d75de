"""Measure how much of the loader's work holds Python's global lock.

One process can hand out no more pictures than its threads can take through that lock, however many
threads and cores there are. Two ways to find that limit, each run in turns:

- a counter: the processor time of the process less that inside the calls that release the lock, by
  which files are read, JPEGs decoded and crops resized. What the counter costs itself is told;
- the same loader with these calls, but the one that reads JPEGs and headers, returning at once.
  All that is left is the interpreter's, the waiting of threads for each other included.

    python scripts/benchmarks/bench_interpreter.py data/sample data/raw --num_threads 8
"""

import argparse
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import cv2
import numpy as np
import simplejpeg

from places.data.streaming.batches import TrainCrop, Workers, train_batches
from places.data.streaming.samples import SplitSamples, open_samples

CROP = TrainCrop(224, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), flip=True)
BATCH_SIZE = 256
RELEASING = [(simplejpeg, "decode_jpeg"), (cv2, "resize"), (os, "pread"), (os, "preadv")]
PIXELS = np.broadcast_to(np.uint8(0), (4096, 4096, 3))  # as many as any crop wants

Call = Callable[..., Any]


class Counter:
    """Counts the processor time that threads spend inside of calls."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._of_threads: list[list[float]] = []

    def counted(self, call: Call) -> Call:
        """Return the same call, counted."""

        def counted(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - those of the call
            try:
                spent_s = self._local.spent_s
            except AttributeError:
                spent_s = self._local.spent_s = [0.0]
                self._of_threads.append(spent_s)
            start_s = time.thread_time()
            try:
                return call(*arguments, **options)
            finally:
                spent_s[0] += time.thread_time() - start_s

        return counted

    def total_s(self) -> float:
        """Return the time of all threads."""
        return sum(spent_s[0] for spent_s in self._of_threads)


def at_once(module: Any, name: str) -> Call:  # noqa: ANN401 - a module
    """Return what stands for a call and does none of its work."""
    stand_ins: dict[str, Call] = {
        "decode_jpeg": lambda *_, **__: PIXELS,
        "resize": lambda *_, dst, **__: dst,
        "preadv": lambda _, parts, __: sum(map(len, parts)),
    }
    return stand_ins.get(name) or getattr(module, name)


@contextmanager
def replaced(replace: Callable[[Any, str], Call]) -> Iterator[None]:
    """Replace the calls that release the lock, for a while."""
    originals = [(module, name, getattr(module, name)) for module, name in RELEASING]
    for module, name, _ in originals:
        setattr(module, name, replace(module, name))
    try:
        yield
    finally:
        for module, name, call in originals:
            setattr(module, name, call)


def time_epoch(
    source: SplitSamples, options: argparse.Namespace, epoch: int
) -> tuple[float, float, int]:
    """Go through an epoch; return its time, the process's, and the number of pictures."""
    workers = Workers(num_threads=options.num_threads)
    batches = train_batches(source, CROP, workers, batch_size=BATCH_SIZE, seed=0, epoch=epoch)
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    num_batches = sum(1 for _ in islice(batches, options.num_batches))
    batches.close()
    spent_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    return spent_s, cpu_s, num_batches * BATCH_SIZE


def measure(root: str, options: argparse.Namespace) -> list[float]:
    """Return for one root the medians of the columns of the table."""
    source = open_samples(root, "train")
    time_epoch(source, options, 0)
    rows = []
    for run in range(1, options.runs + 1):
        spent_s, cpu_s, num = time_epoch(source, options, run)
        counter = Counter()
        with replaced(lambda module, name: counter.counted(getattr(module, name))):  # noqa: B023 - used in this turn only
            _, counted_cpu_s, _ = time_epoch(source, options, run)
        interpreter_s = counted_cpu_s - counter.total_s()
        with replaced(at_once):
            limit_s, _, _ = time_epoch(source, options, run)
        rows.append(
            [
                num / spent_s,
                cpu_s / num * 1e6,
                interpreter_s / num * 1e6,
                num / interpreter_s,
                num / limit_s,
                limit_s / num * 1e6,
            ]
        )
    source.close()
    for row in rows:
        print(root, *(f"{value:,.1f}" for value in row), file=sys.stderr)
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def cost_of_counting_us() -> float:
    """Return the processor time that one counted call costs more."""
    num = 100_000
    times_s = []
    for call in (len, Counter().counted(len)):
        start_s = time.process_time()
        for _ in range(num):
            call("")
        times_s.append(time.process_time() - start_s)
    return (times_s[1] - times_s[0]) / num * 1e6


def main() -> None:
    """Measure each root and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("roots", nargs="+", help="folders of shards with a split `train`")
    parser.add_argument("--num_threads", type=int, default=8)
    parser.add_argument("--num_batches", type=int, default=24, help="batches of 256 per run")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print(f"{platform.platform()}, Python {platform.python_version()}, {options.runs} runs")
    print(f"{options.num_threads} threads, {len(os.sched_getaffinity(0))} cores")
    print(f"a counted call costs {cost_of_counting_us():.2f} us more\n")
    print(
        "| shards | images/s | processor us per picture | in the interpreter | images/s of one lock"
        " | images/s, calls at once | us per picture so |"
    )
    print("|:--|--:|--:|--:|--:|--:|--:|")
    for root in options.roots:
        print("|", root, "|", " | ".join(f"{value:,.0f}" for value in measure(root, options)), "|")


if __name__ == "__main__":
    main()
