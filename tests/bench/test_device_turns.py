"""Turns and energy of a GPU, with events and a library that stand for those of NVIDIA."""

import sys
import time
from types import ModuleType, SimpleNamespace

import pytest
import torch

from places.bench.study import turns
from places.bench.study.energy import energy_meter
from places.bench.study.turns import time_turn

DEVICE = torch.device("cuda")


class Clock:
    """The time of host and device, which the steps and nothing else let pass."""

    now_s = 0.0

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing
        self.time_s = -1.0

    def record(self) -> None:
        self.time_s = Clock.now_s

    def synchronize(self) -> None:
        """All is done at once."""

    def elapsed_time(self, end: "Clock") -> float:
        return (end.time_s - self.time_s) * 1000


def test_a_turn_of_a_gpu_times_single_batches_and_then_those_that_queue_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Clock, "now_s", 0.0)
    monkeypatch.setattr(torch.cuda, "Event", Clock)
    monkeypatch.setattr(turns, "now_s", lambda _device: Clock.now_s)
    monkeypatch.setattr(time, "perf_counter", lambda: Clock.now_s)

    def step() -> None:
        Clock.now_s += 0.25

    turn = time_turn(step, 2.0, DEVICE, lambda: 8 * Clock.now_s)
    assert turn.latencies_s == (0.25,) * 4, "half of the time"
    assert turn.batches_per_s == 4
    assert turn.joules_per_batch == 2
    assert time_turn(step, 0.0, DEVICE, None).joules_per_batch is None


def test_a_card_tells_its_energy_or_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    meter, why = energy_meter(DEVICE)
    assert meter is None
    assert why == "unknown: NVML is not installed (pip install nvidia-ml-py)"
    library = ModuleType("pynvml")
    library.__dict__.update(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption={b"GPU-7": 1500}.__getitem__,
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    for uuid, joules, start in (("7", 1.5, "NVML, "), ("8", None, "unknown: NVML does not tell")):
        properties = SimpleNamespace(uuid=uuid)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _, found=properties: found)
        meter, source = energy_meter(DEVICE)
        assert source.startswith(start)
        assert (meter() if meter else None) == joules
