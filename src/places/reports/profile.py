"""What a profiler of Lightning measured: the whole in the folder of the run, the most of it shown.

Lightning writes hundreds of lines to a log, some of them 200 characters wide.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import (
    AdvancedProfiler,
    PassThroughProfiler,
    Profiler,
    PyTorchProfiler,
    SimpleProfiler,
)

from places.console import say
from places.lightning_internals import profiler

_NAME = "profile"
_NUM_SHOWN = 8
# How `AdvancedProfiler` begins what it says of an action.
_ACTION = re.compile(
    r"^Profile stats for: (?P<name>.+?)(?: rank: \d+)?\n"
    r"\s*(?P<calls>\d+) function calls.* in (?P<seconds>[\d.]+) seconds",
    re.MULTILINE,
)

_STATE = re.compile(r"\{.*\}")  # of a callback, in its name


class _Spent(NamedTuple):
    name: str
    calls: int
    seconds: float


class _OfInterrupted(Callback):
    """Has what was measured so far written if a run is interrupted."""

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write it; PyTorch's takes too long for a run that has to end."""
        if not isinstance(profiler(trainer), PyTorchProfiler):
            profiler(trainer).describe()


def keep_profile(trainer: Trainer) -> None:
    """Have the profiler of a run write its report into the folder, under a name of its own.

    Args:
        trainer: A trainer that has not begun.
    """
    if has_profiler(trainer):
        measured = profiler(trainer)
        measured.filename = measured.filename or _NAME
        trainer.callbacks.append(_OfInterrupted())  # type: ignore[attr-defined]  # undeclared


def has_profiler(trainer: Trainer) -> bool:
    """Tell whether a run is profiled."""
    return not isinstance(profiler(trainer), PassThroughProfiler)


def tell_of_profile(trainer: Trainer, stage: str) -> None:
    """Show where most of the time of a run went, and where the whole report is.

    Args:
        trainer: The trainer of a run that has ended.
        stage: Its command.
    """
    measured = profiler(trainer)
    folder = Path(measured.dirpath or trainer.default_root_dir)
    reports = sorted(folder.glob(f"{stage}-{measured.filename}*.txt"))
    if not reports:
        return
    spent = sorted(_spent(measured, reports[0]), key=lambda each: -each.seconds)[:_NUM_SHOWN]
    width = max((len(f"{each.calls:,}") for each in spent), default=0)
    lines = [
        f"{each.seconds:>9.3f} s {each.calls:>{width},} calls  {_STATE.sub('', each.name)}"
        for each in spent
    ]
    say("\n  ".join(["where the time went, parts within others:", *lines]))
    say(f"all of the profile: {', '.join(map(str, reports))}")


def _spent(measured: Profiler, report: Path) -> Iterator[_Spent]:
    if isinstance(measured, SimpleProfiler):
        for name, times_s in measured.recorded_durations.items():
            yield _Spent(name, len(times_s), math.fsum(times_s))
    elif isinstance(measured, AdvancedProfiler):
        for found in _ACTION.finditer(report.read_text(encoding="utf-8")):
            yield _Spent(found["name"], int(found["calls"]), float(found["seconds"]))
    elif isinstance(measured, PyTorchProfiler) and measured.function_events:
        for event in measured.function_events.key_averages():  # type: ignore[no-untyped-call]  # torch's
            yield _Spent(event.key, event.count, event.self_cpu_time_total / 1e6)
