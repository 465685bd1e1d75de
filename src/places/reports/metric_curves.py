"""The curves in a run's `metrics.csv`, read as data: also while it grows, and if it is damaged."""

import csv
import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from places.console import counted, printable
from places.files import open_regular

Curves = dict[str, list[tuple[int, float]]]
_MAX_BYTES = 1 << 28
_MAX_LINE_BYTES = 1 << 16
_MAX_NAMES = 200
_MAX_CHARACTERS = 100  # of a name
_MAX_STEP = 2**53
_MAX_VALUE = 1e30  # beyond it no axis can be drawn


def read_curves(path: Path) -> tuple[Curves, list[tuple[int, int]], list[str]]:
    """Return the curves in a table of metrics.

    Returns:
        For each metric its (step, value) pairs by step, finite ones only; (step, epoch) pairs by
        step; and what is missing in them, a sentence each.

    Raises:
        ValueError: It has no column "step".
        OSError: It cannot be read.
    """
    lines = _lines(path)
    names = [printable(name)[:_MAX_CHARACTERS] for name in _cells(next(lines, ""))][:_MAX_NAMES]
    if "step" not in names:
        raise ValueError("it has no column 'step'")
    table = _Table()
    for line in lines:
        table.add(dict(zip(names, _cells(line), strict=False)))
    notes = [
        f"{counted(num, 'value')} of {name} left out: no finite numbers"
        for name, num in table.left_out.items()
    ]
    if table.num_damaged:
        notes.append(f"{counted(table.num_damaged, 'line')} of {path.name} cannot be read")
    curves = {name: sorted(curve, key=lambda pair: pair[0]) for name, curve in table.curves.items()}
    return curves, sorted(table.epochs.items()), notes


@dataclass
class _Table:
    curves: Curves = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    num_damaged: int = 0

    def add(self, row: dict[str, str]) -> None:
        step, epoch = _whole(row.pop("step", "")), _whole(row.pop("epoch", ""))
        if step is None:
            self.num_damaged += 1
            return
        if epoch is not None:
            self.epochs[step] = epoch
        for name, text in row.items():
            if text and (value := _number(text)) is None:
                self.left_out[name] += 1
            elif text and value is not None:
                self.curves.setdefault(name, []).append((step, value))


def _lines(path: Path) -> Iterator[str]:
    num_bytes = 0
    with os.fdopen(open_regular(path), "rb") as file:
        while (line := file.readline(_MAX_LINE_BYTES)) and num_bytes < _MAX_BYTES:
            num_bytes += len(line)
            if text := line.decode(errors="replace").strip("\r\n\0"):
                yield text


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def _whole(text: str) -> int | None:
    try:
        number = int(text) if len(text) < 20 else -1
    except ValueError:
        return None
    return number if 0 <= number < _MAX_STEP else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and abs(number) < _MAX_VALUE else None
