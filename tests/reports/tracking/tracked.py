"""A training with all three loggers, its resumption, and a test: what tests here look at."""

import csv
from pathlib import Path
from typing import NamedTuple

from tests.reports.tracking.wandb_file import OfflineRun


class Runs(NamedTuple):
    """A training of two epochs, its resumption to a third, and a test, each with all loggers."""

    first: Path
    second: Path
    tested: Path
    wandb: list[OfflineRun]


def metrics_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the (step, value) pairs in `metrics.csv`."""
    found: dict[str, list[tuple[int, float]]] = {}
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value and name not in ("step", "epoch"):
                    found.setdefault(name, []).append((int(row["step"]), float(value)))
    return found
