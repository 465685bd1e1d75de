"""Measure the plan of a large epoch, and the wait for the first batch after a resume.

The data set is one packed split whose shards get more and more names until there are as many
pictures as in Places365-Challenge. They are linked, not copied.

    python scripts/benchmarks/bench_plan.py data/sample --folder /tmp/bench_plan
"""

import argparse
import dataclasses
import hashlib
import resource
import shutil
import statistics
import time
from pathlib import Path

import numpy as np

import places.data
from places.data.shards.index import load_index
from places.data.shards.manifest import Manifest, index_path, load_manifest, save_manifest
from places.data.streaming import plan

NUM_SAMPLES = 8_026_628  # Places365-Challenge, training split
NUM_RANKS = 1024
GLOBAL_BATCH_SIZE = 8192
WINDOWS = (None, 16)
POSITIONS = (0.01, 0.5, 0.99)


def repeat_split(root: Path, folder: Path, num_samples: int) -> Manifest:
    """Write a split of `num_samples` pictures: the shards of `root` under many names."""
    source = load_manifest(root, "train")
    index = load_index(source)
    copies = -(-num_samples // len(index))
    rows = np.tile(index, copies)
    rows["shard"] += np.repeat(np.arange(copies, dtype=np.uint16), len(index)) * len(source.shards)
    rows = rows[:num_samples]
    shards = []
    for number, num in enumerate(np.bincount(rows["shard"]).tolist()):
        shard = source.shards[number % len(source.shards)]
        name = f"train-{number:06d}.tar"
        (folder / name).hardlink_to(root / shard.name)
        shards.append(dataclasses.replace(shard, name=name, num_samples=num))
    np.save(index_path(folder, "train"), rows)
    sha256 = hashlib.sha256(index_path(folder, "train").read_bytes()).hexdigest()
    manifest = dataclasses.replace(source, root=folder, shards=tuple(shards), index_sha256=sha256)
    save_manifest(manifest)
    return manifest


def plan_time_s(shard_sizes: list[int], window: int | None, epoch: int) -> float:
    """Return the time for the order of an epoch and one batch of each rank, in seconds."""
    start_s = time.perf_counter()
    order = plan.train_order(
        shard_sizes, seed=0, epoch=epoch, batch_size=GLOBAL_BATCH_SIZE, shuffle_window=window
    )
    for rank in range(NUM_RANKS):
        plan.train_batch(order, GLOBAL_BATCH_SIZE, 100, rank=rank, num_ranks=NUM_RANKS)
    return time.perf_counter() - start_s


def first_batch_time_s(root: Path, window: int | None, position: float, epoch: int) -> float:
    """Return the time from opening the data to a batch at a position of an epoch, in seconds."""
    start_s = time.perf_counter()
    first_step = int(position * NUM_SAMPLES) // 256
    batches = iter(
        places.data.open(
            root, "train", 256, first_step=first_step, epoch=epoch, shuffle_window=window
        )
    )
    next(batches)
    return time.perf_counter() - start_s


def spread(times_s: list[float]) -> str:
    """Return the median and the range in words."""
    return f"{statistics.median(times_s):.2f} s ({min(times_s):.2f} to {max(times_s):.2f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="folder with a packed training split")
    parser.add_argument("--runs", type=int, default=5, help="runs of each")
    parser.add_argument("--folder", type=Path, default=Path("bench_plan"), help="for all files")
    options = parser.parse_args()
    sizes = [18_000] * (NUM_SAMPLES // 18_000) + [NUM_SAMPLES % 18_000]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for window in WINDOWS:
        times_s = [plan_time_s(sizes, window, epoch) for epoch in range(options.runs)]
        print(f"plan, {NUM_RANKS:,} ranks, shuffle_window {window}: {spread(times_s)}")
    peak_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"memory of the plan at its peak: {peak_mb:.0f} MiB")
    options.folder.mkdir(parents=True)
    try:
        repeat_split(options.root, options.folder, NUM_SAMPLES)
        for window in WINDOWS:
            for position in POSITIONS:
                times_s = [
                    first_batch_time_s(options.folder, window, position, epoch)
                    for epoch in range(options.runs)
                ]
                print(f"first batch, shuffle_window {window}, at {position:.0%}: {spread(times_s)}")
    finally:
        shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
