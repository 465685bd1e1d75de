"""Where the time of a run goes: one part runs at any moment, on a GPU by the GPU's own clock."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Of a training or scoring step: a GPU works on them long after the host has asked for them.
STEP_PARTS = ("waiting", "forward", "backward", "optimizer")
PARTS = (*STEP_PARTS, "validation", "checkpoints", "other")
_MAX_PENDING = 4096  # marks that a GPU has not reached; with more it is not measured for a while


class PartClock:
    """Adds up the seconds of each part of a run.

    On the CPU, and for what the host does, by the host's clock. On a CUDA device the parts of a
    step are measured by events that are put into its queue and read when they have passed: nothing
    ever waits for the device, but for the last ones of a run.

    Args:
        device: Where the network runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._host_s = dict.fromkeys(PARTS, 0.0)
        self._part, self._since_s = "other", time.monotonic()
        self._marks = DeviceMarks(device) if device.type == "cuda" else None

    def switch(self, part: str) -> None:
        """Begin another part, which ends the present one."""
        now_s = time.monotonic()
        self._host_s[self._part] += now_s - self._since_s
        self._since_s = now_s
        if self._marks is not None:
            self._marks.add(self._part if self._part in STEP_PARTS else "")
        self._part = part

    @contextmanager
    def within(self, part: str) -> Iterator[None]:
        """Count what happens inside as a part, and go on with the present one after it."""
        before = self._part
        self.switch(part)
        try:
            yield
        finally:
            self.switch(before)

    def times_s(self, *, wait: bool = False) -> dict[str, float]:
        """Return the seconds of each part so far; those that took none are left out.

        Args:
            wait: Wait for the device to reach the last mark. To be left to the end of a run.
        """
        self.switch(self._part)
        times_s = dict(self._host_s)
        if self._marks is not None:
            by_device = self._marks.times_s(wait=wait)
            of_steps_s = sum(times_s[part] for part in STEP_PARTS)
            times_s |= by_device
            # What the device has not reached yet, and what it was given between the steps.
            times_s["other"] += max(0.0, of_steps_s - sum(by_device.values()))
        return {part: value for part, value in times_s.items() if value > 0}


class DeviceMarks:
    """Marks in the queue of a CUDA device: the time between two of them is that of a part.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._times_s = dict.fromkeys(STEP_PARTS, 0.0)
        self._last: torch.cuda.Event | None = None
        self._pending: deque[tuple[str, torch.cuda.Event, torch.cuda.Event]] = deque()

    def add(self, part: str) -> None:
        """Put a mark into the queue: what lies between the one before and it was this part."""
        self._collect()
        if len(self._pending) >= _MAX_PENDING:
            self._last = None
            return
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch's
        event.record(torch.cuda.current_stream(self._device))
        if part and self._last is not None:
            self._pending.append((part, self._last, event))
        self._last = event

    def times_s(self, *, wait: bool) -> dict[str, float]:
        """Return the seconds between the marks that the device has reached."""
        if wait and self._pending:
            self._pending[-1][-1].synchronize()
        self._collect()
        return dict(self._times_s)

    def _collect(self) -> None:
        while self._pending and self._pending[0][-1].query():  # type: ignore[no-untyped-call]  # torch's
            part, first, last = self._pending.popleft()
            self._times_s[part] += first.elapsed_time(last) / 1000
