"""`places bench step`: what a step of `places fit` costs over bare loops, and where it goes."""

import statistics
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

from rich.table import Table

from places.bench.loops import (
    LOG_EVERY_N_STEPS,
    Depth,
    Network,
    Times,
    Work,
    bare_lightning,
    bare_pytorch,
    places_fit,
)
from places.bench.parts import PARTS
from places.config.ranges import check_range
from places.console import counted, progress, put

_NUM_WARM_UP = 5  # steps that are not counted
_LOOPS = {
    "bare PyTorch": bare_pytorch,
    "bare Lightning": bare_lightning,
    "places fit": places_fit,
}


def bench_step(
    root: Path,
    network: Network = "resnet",
    depth: Depth = 18,
    batch_size: int = 32,
    image_size: int = 64,
    num_steps: int = 40,
    runs: int = 3,
    accelerator: Literal["cpu", "gpu"] = "cpu",
) -> int:
    """Compare a training step of `places fit` with that of bare loops, and show where it goes.

    Three loops train the same network with SGD on the same batches of the same loader, in turns: a
    bare PyTorch loop, a Lightning trainer without extras, and `places fit` with all that it has by
    default (callbacks, schedule, resume points), which logs every 5 steps here, not every 50.

    The parts of a step are the actions that Lightning names for its profilers. On a GPU they are
    the time of the host, which runs ahead of the device. Everything but the network shows best with
    `--network linear --batch_size 8 --image_size 32 --num_steps 300`.

    Args:
        root: Folder with a train split.
        network: "resnet", or "linear" for one layer on the mean colour of a picture.
        depth: Depth of the ResNet.
        batch_size: Pictures per step.
        image_size: Height and width of the crops in pixels.
        num_steps: Steps per run; the first 5 are not counted. The time of a step is the median over
            blocks of 5 steps, of which one is logged.
        runs: How often to measure each loop, in turns. Shown are medians over the turns; the cost
            is that of the differences within a turn, since a machine's speed changes more from turn
            to turn.
        accelerator: Where to train.

    Returns:
        The exit status: 0.

    Raises:
        DataError: The split is missing or damaged.
        ConfigError: The sizes do not suit each other.
    """
    check_range("num_steps", num_steps, _NUM_WARM_UP + LOG_EVERY_N_STEPS)
    check_range("runs", runs, 1)
    work = Work(root, network, depth, batch_size, image_size, num_steps, accelerator)
    turns: list[dict[str, dict[str, float]]] = []
    with progress("measuring", runs, "turns") as counter:
        for _ in range(runs):
            turns.append({name: _median_step_ms(loop(work)) for name, loop in _LOOPS.items()})
            counter.advance(1)
    name = f"ResNet-{depth}" if network == "resnet" else "one layer"
    table = _step_table(turns)
    table.title = f"{name}, batches of {counted(batch_size, 'picture')} of {image_size} pixels, "
    table.title += counted(runs, "turn")
    put(table)
    return 0


def _median_step_ms(times_s: Times) -> dict[str, float]:
    """Return the time of a step and of its parts, medians over blocks of `LOG_EVERY_N_STEPS`."""
    starts = times_s[_NUM_WARM_UP::LOG_EVERY_N_STEPS]
    return {
        name: statistics.median(
            1000 * (later.get(name, 0.0) - start.get(name, 0.0)) / LOG_EVERY_N_STEPS
            for start, later in pairwise(starts)
        )
        for name in starts[-1]
    }


def _step_table(turns: Sequence[dict[str, dict[str, float]]]) -> Table:
    """Return the table of what was measured: in each turn by loop, in milliseconds."""
    table = Table(title_justify="left")
    table.add_column("ms per step")
    for name in _LOOPS:
        table.add_column(name, justify="right")
    steps = {loop: [turn[loop]["step"] for turn in turns] for loop in _LOOPS}
    table.add_row("step", *(f"{statistics.median(ms):,.2f}" for ms in steps.values()))
    table.add_row("  lowest, highest", *map(_ends, steps.values()), end_section=True)
    for part in PARTS:
        values = [[turn[loop][part] for turn in turns if part in turn[loop]] for loop in _LOOPS]
        table.add_row(part, *(f"{statistics.median(ms):,.2f}" if ms else "" for ms in values))
    table.add_section()
    for base in ("bare PyTorch", "bare Lightning"):
        pairs = list(zip(steps["places fit"], steps[base], strict=True))
        more_ms = [fit - bare for fit, bare in pairs]
        ratio = statistics.median(fit / bare for fit, bare in pairs)
        cost = f"{statistics.median(more_ms):+,.2f} ({ratio - 1:+.1%})"
        table.add_row(f"cost over {base}", "", "", cost)
        table.add_row("  lowest, highest", "", "", _ends(more_ms))
    return table


def _ends(values: Sequence[float]) -> str:
    return f"{min(values):,.2f}, {max(values):,.2f}"
