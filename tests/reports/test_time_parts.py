"""The clock of a device, with events of CUDA that know the time by themselves."""

import time

import pytest
import torch

from places.reports import time_parts
from places.reports.time_parts import DeviceMarks, PartClock

DEVICE = torch.device("cuda")


class Queue:
    """A device that works on what it was given: the time that its marks get, in seconds."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.reached = 0  # marks
        self.marked: list[Event] = []


class Event:
    """A mark in the queue, as `torch.cuda.Event` is one."""

    queue = Queue()

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing
        self.time_s = -1.0

    def record(self, _stream: object) -> None:
        self.time_s = self.queue.now_s
        self.queue.marked.append(self)

    def query(self) -> bool:
        return self in self.queue.marked[: self.queue.reached]

    def synchronize(self) -> None:
        self.queue.reached = max(self.queue.reached, self.queue.marked.index(self) + 1)

    def elapsed_time(self, end: "Event") -> float:
        return (end.time_s - self.time_s) * 1000


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    queue = Queue()
    monkeypatch.setattr(Event, "queue", queue)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: None)
    return queue


def _mark(marks: DeviceMarks, queue: Queue, *parts: tuple[str, float]) -> None:
    for part, duration_s in parts:
        queue.now_s += duration_s
        marks.add(part)


def test_the_time_between_two_marks_is_that_of_the_part_which_ends(queue: Queue) -> None:
    marks = DeviceMarks(DEVICE)
    _mark(marks, queue, ("", 5), ("waiting", 1), ("forward", 2), ("backward", 4), ("", 8))
    assert sum(marks.times_s(wait=False).values()) == 0, "the device has not come so far"
    queue.reached = 3
    assert marks.times_s(wait=False) == {"waiting": 1, "forward": 2, "backward": 0, "optimizer": 0}
    assert marks.times_s(wait=True) == {"waiting": 1, "forward": 2, "backward": 4, "optimizer": 0}


def test_a_device_far_behind_is_not_measured_for_a_while(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_parts, "_MAX_PENDING", 2)
    marks = DeviceMarks(DEVICE)
    _mark(marks, queue, ("", 1), ("forward", 1), ("backward", 1))
    _mark(marks, queue, ("optimizer", 100))  # left out
    queue.reached = 3
    _mark(marks, queue, ("waiting", 100), ("forward", 1))  # what came before a mark is unknown
    expected = {"waiting": 0, "forward": 2, "backward": 1, "optimizer": 0}
    assert marks.times_s(wait=True) == expected


def test_the_parts_of_a_step_are_those_of_the_device(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    host_s = iter([0.0, 1.0, 3.0, 6.0, 10.0, 20.0])  # of the host, which is far ahead
    monkeypatch.setattr(time, "monotonic", lambda: next(host_s))
    clock = PartClock(DEVICE)
    clock.switch("forward")  # 1 s of the host were "other"
    queue.now_s = 5.0
    clock.switch("backward")
    queue.now_s = 7.0
    clock.switch("validation")
    clock.switch("other")  # 4 s of the host: no step, so by its clock
    times_s = clock.times_s(wait=True)
    assert times_s == {"forward": 5.0, "backward": 2.0, "validation": 4.0, "other": 11.0}
