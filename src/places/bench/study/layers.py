"""Where the time of a step goes, by the kinds of layers, and what bounds each kind."""

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from places.bench.parts import now_s
from places.bench.study.operations import KINDS, OTHER, Amounts, kind_of
from places.bench.study.roofline import Roofline
from places.files import written_whole

_NUM_WARM_UP, _NUM_STEPS = 2, 3
BETWEEN = "between"  # operations: Python, and a device that waits


@dataclass(frozen=True)
class Times:
    """How long a step takes and where.

    Attributes:
        step_s: Seconds of a step, while it is profiled.
        kinds_s: Seconds of each kind of layer, and of what is between operations; their sum is
            `step_s`.
    """

    step_s: float
    kinds_s: dict[str, float]


def profile_step(
    step: Callable[[], object], device: torch.device, trace: Path | None = None
) -> Times:
    """Profile a step.

    Args:
        step: Runs one batch.
        device: Where it runs. On a GPU the times are those of its kernels.
        trace: File for the trace, which chrome://tracing and Perfetto show.

    Raises:
        StorageError: The trace cannot be written.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the library below it talks to nobody
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    for _ in range(_NUM_WARM_UP):
        step()
    with profile(activities=activities, acc_events=True) as profiled:
        start_s = now_s(device)
        for _ in range(_NUM_STEPS):
            step()
        step_s = (now_s(device) - start_s) / _NUM_STEPS
    if trace is not None:
        with written_whole(trace) as partial:
            profiled.export_chrome_trace(str(partial))
    events: Any = profiled.events()
    kinds_s = _kinds_s(events, is_cuda=device.type == "cuda")
    between_s = step_s - sum(kinds_s.values())
    if between_s < 0:  # kernels that ran side by side
        scale = step_s / sum(kinds_s.values())
        kinds_s, between_s = {kind: s * scale for kind, s in kinds_s.items()}, 0.0
    return Times(step_s, {**kinds_s, BETWEEN: between_s})


def _kinds_s(events: Any, *, is_cuda: bool) -> dict[str, float]:  # noqa: ANN401  # torch's own list
    """Return the seconds per step of each kind of layer."""
    spent_us: defaultdict[str, float] = defaultdict(float)
    for event in events:
        if event.device_type.name != "CPU" or event.is_async:
            continue
        self_us = event.self_device_time_total if is_cuda else event.self_cpu_time_total
        spent_us[_kind(event)] += self_us
    return {kind: spent_us[kind] / 1e6 / _NUM_STEPS for kind in KINDS if kind in spent_us}


def _kind(event: Any) -> str:  # noqa: ANN401  # torch's own
    """Return the kind of the outermost call that has one: the rest of it is how it does it."""
    kind = None
    while event is not None:
        kind = kind_of(event.name) or kind
        event = event.cpu_parent
    return kind or OTHER


def kind_rows(times: Times, amounts: Amounts, roofline: Roofline) -> list[dict[str, Any]]:
    """Return one row for each kind of layer: time, arithmetic, traffic, and the bound.

    Args:
        times: From `profile_step`.
        amounts: What the same step computes and moves.
        roofline: Of the machine, in float32.
    """
    rows = []
    for kind, spent_s in times.kinds_s.items():
        amount = amounts.kinds.get(kind)
        row: dict[str, Any] = {
            "kind": kind,
            "time_ms": spent_s * 1e3,
            "share": spent_s / times.step_s,
            "flops": amount.flops if amount else 0.0,
            "bytes": amount.num_bytes if amount else 0.0,
            "flops_per_byte": amount.intensity if amount else None,
            "bound": None,
            "share_of_roof": None,
        }
        if amount is not None and amount.intensity is not None:
            is_memory = amount.intensity < roofline.ridge()
            row["bound"] = "memory" if is_memory else "arithmetic"
            if spent_s > 0:
                row["share_of_roof"] = roofline.least_s(amount.flops, amount.num_bytes) / spent_s
        rows.append(row)
    return rows
