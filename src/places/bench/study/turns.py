"""How long a step takes, measured in turns with others, so that none has the machine's best time.

A shared machine is faster in one minute than in the next; what is compared within a turn is not.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from places.bench.parts import now_s
from places.bench.study.energy import Meter

_LEAST_BATCHES = 2  # of a turn on a GPU
_LONG_S = 0.5  # a batch that takes so long does not mind what others left in the caches


@dataclass(frozen=True)
class Turn:
    """What one turn of one candidate took.

    Attributes:
        batches_per_s: Batches per second, one after the other without waiting between them.
        latencies_s: Of each batch, from its start until its results are there, in seconds.
        joules_per_batch: Energy for a batch, where the machine tells.
    """

    batches_per_s: float
    latencies_s: tuple[float, ...]
    joules_per_batch: float | None


def time_turn(
    step: Callable[[], object], duration_s: float, device: torch.device, meter: Meter | None
) -> Turn:
    """Run a step again and again for a while.

    Args:
        step: Runs one batch. On a GPU it may return before its work is done.
        duration_s: How long to go on, in seconds; at least one batch is timed.
        device: Where it runs.
        meter: Tells energy.
    """
    if device.type == "cuda":
        return _cuda_turn(step, duration_s, device, meter)
    turn = _cpu_turn(step, 0, meter)  # brings back what others drove out of the caches
    if turn.latencies_s[0] > max(_LONG_S, duration_s):
        return turn
    return _cpu_turn(step, duration_s, meter)


def _cpu_turn(step: Callable[[], object], duration_s: float, meter: Meter | None) -> Turn:
    latencies: list[float] = []
    start_j, start_s = meter() if meter else 0.0, time.perf_counter()
    end_s = before_s = start_s
    while not latencies or end_s - start_s < duration_s:
        step()
        end_s = time.perf_counter()
        latencies.append(end_s - before_s)
        before_s = end_s
    joules = (meter() - start_j) / len(latencies) if meter else None
    return Turn(len(latencies) / (end_s - start_s), tuple(latencies), joules)


def _cuda_turn(
    step: Callable[[], object], duration_s: float, device: torch.device, meter: Meter | None
) -> Turn:
    """Time batches that wait for each other by events, then batches that queue up."""
    step()
    latencies: list[float] = []
    start_s = now_s(device)
    while len(latencies) < _LEAST_BATCHES or time.perf_counter() - start_s < duration_s / 2:
        start, end = _event(), _event()
        start.record()
        step()
        end.record()
        end.synchronize()
        latencies.append(start.elapsed_time(end) / 1e3)
    num = max(_LEAST_BATCHES, round(duration_s / 2 / statistics.median(latencies)))
    start_j, start_s = meter() if meter else 0.0, now_s(device)
    for _ in range(num):
        step()
    spent_s = now_s(device) - start_s
    joules = (meter() - start_j) / num if meter else None
    return Turn(num / spent_s, tuple(latencies), joules)


def _event() -> torch.cuda.Event:
    event: torch.cuda.Event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch's
    return event


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Return the median of some numbers and their lower and upper quartile."""
    lower, median, upper = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return {"median": median, "lower": lower, "upper": upper}


def percentiles_ms(turns: Sequence[Turn]) -> dict[str, float]:
    """Return how long the batches of all turns took: p50, p95, p99, in milliseconds.

    By nearest rank, so each is a time that was measured: of fewer than 100 batches p99 is the
    slowest, of fewer than 20 p95 too.
    """
    values = np.array([value for turn in turns for value in turn.latencies_s]) * 1e3
    return {
        f"p{share}": float(np.quantile(values, share / 100, method="inverted_cdf"))
        for share in (50, 95, 99)
    }
