"""A GPU that is only played: how long it would wait for pictures, by the number of threads."""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.table import Table

from places.bench.receipt import receipt
from places.console import counted, progress, put, say
from places.data.shards.picture_formats import PPM
from places.data.streaming.stream import Batch
from places.errors import ConfigError
from places.files import picture_beside, write_text
from places.reports.figures import save_figure
from places.reports.waiting_figure import waiting_figure

FORMAT = "places.loader"
VERSION = 1
NUM_WARM_UP = 2  # batches: the first waits for all that starts only once
NEVER = 0.01  # of the time: less than that is what the system does besides


class Waiting(NamedTuple):
    """How long a GPU waited with some number of threads, in each run."""

    num_threads: int
    shares: list[float]  # of the time, 0 to 1
    images_per_s: list[float]

    @property
    def is_never(self) -> bool:
        """Whether no run let the GPU wait."""
        return max(self.shares) < NEVER


def play_gpu(batches: Iterator[Batch], step_s: float) -> tuple[float, int]:
    """Take batches as a GPU does that needs the same time for each.

    The next batch is asked for as soon as a step begins, as training loops do, whose commands run
    ahead of the GPU. So only what takes longer than a step is waited for.

    Args:
        batches: What the GPU is given. The first `NUM_WARM_UP` of them do not count.
        step_s: Seconds of work for each.

    Returns:
        The seconds that it waited, and the number of batches that count.
    """
    free_s, waited_s, num_batches = 0.0, 0.0, 0
    for number, _ in enumerate(batches):
        now_s = time.perf_counter()
        if number >= NUM_WARM_UP:
            waited_s += max(0.0, now_s - free_s)
            num_batches += 1
        time.sleep(max(0.0, free_s - now_s))
        free_s = max(now_s, free_s) + step_s
    return waited_s, num_batches


def measure_and_tell(
    open_batches: Callable[[int, int], Iterator[Batch]],
    settings: Mapping[str, Any],
    max_threads: int,
    title: str,
    file: Path | None,
) -> None:
    """Play the GPU with one thread, with two, and so on; print how long it waited, and write it.

    Args:
        open_batches: Takes a number of threads and an epoch, and returns the batches.
        settings: `consume`, the pictures that the GPU takes per second, `batch_size`, `runs`, and
            whatever else decides the result and belongs into the file.
        max_threads: The largest number of threads.
        title: What was read, for the table.
        file: JSON file to write, with a picture beside it.

    Raises:
        ConfigError: There are too few batches.
        StorageError: The file cannot be written.
    """
    facts = receipt(torch.device("cpu"))
    batch_size, consume = int(settings["batch_size"]), float(settings["consume"])
    found = _measure(open_batches, batch_size, consume, max_threads, int(settings["runs"]))
    enough = [row.num_threads for row in found if row.is_never]
    verdict = f"a GPU that takes {consume:,.0f} pictures/s {_verdict(enough, found)}"
    put(_table(found, title))
    put(verdict)
    if not enough and PPM not in settings["formats"]:
        put("raw pixels come faster:  places pack --pixels raw")
    if file is None:
        return
    content = {
        "format": FORMAT,
        "version": VERSION,
        **facts,
        "settings": settings,
        "threads_needed": enough[0] if enough else None,
        "rows": [
            {
                "num_threads": row.num_threads,
                "waits": _spread(row.shares),
                "images_per_s": _spread(row.images_per_s),
            }
            for row in found
        ],
    }
    write_text(file, json.dumps(content, indent=1, allow_nan=False) + "\n")
    say(f"wrote {file}")
    picture = picture_beside(file)
    shares = {row.num_threads: row.shares for row in found}
    save_figure(waiting_figure(shares, enough, verdict, title), picture)
    say(f"wrote {picture}")


def _measure(
    open_batches: Callable[[int, int], Iterator[Batch]],
    batch_size: int,
    consume: float,
    max_threads: int,
    runs: int,
) -> list[Waiting]:
    step_s = batch_size / consume
    found = [Waiting(num + 1, [], []) for num in range(max_threads)]
    with progress("measuring", runs * max_threads, "runs") as counter:
        for epoch in range(1, runs + 1):
            for row in found:  # in turns: the machine may become slower
                counter.describe(counted(row.num_threads, "thread"))
                waited_s, num_batches = play_gpu(open_batches(row.num_threads, epoch), step_s)
                if not num_batches:
                    raise ConfigError(
                        f"too few batches of {batch_size}: the first {NUM_WARM_UP} are to warm up",
                        "take smaller ones, or more:  --batch_size 64 --num_batches 20",
                    )
                total_s = waited_s + num_batches * step_s
                row.shares.append(waited_s / total_s)
                row.images_per_s.append(num_batches * batch_size / total_s)
                counter.advance(1)
    return found


def _table(found: list[Waiting], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("threads", "the GPU waits", "lowest, highest", "pictures/s"):
        table.add_column(name, justify="right")
    for row in found:
        table.add_row(
            str(row.num_threads),
            f"{statistics.median(row.shares):.1%}",
            f"{min(row.shares):.1%}, {max(row.shares):.1%}",
            f"{statistics.median(row.images_per_s):,.0f}",
        )
    return table


def _verdict(enough: list[int], found: list[Waiting]) -> str:
    if not enough:
        best = min(found, key=lambda row: statistics.median(row.shares))
        return (
            f"waits with any number of threads up to {len(found)}, the least with "
            f"{best.num_threads}: {statistics.median(best.shares):.1%} of the time"
        )
    if enough == list(range(enough[0], found[-1].num_threads + 1)):
        return f"never waits from {counted(enough[0], 'thread')} on"
    runs: list[list[int]] = []
    for number in enough:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    spans = (f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
    noun = "thread" if enough == [1] else "threads"
    return f"never waits with {', '.join(spans)} {noun}; with others it does"


def _spread(values: list[float]) -> dict[str, Any]:
    return {
        "median": statistics.median(values),
        "lowest": min(values),
        "highest": max(values),
        "runs": values,
    }
