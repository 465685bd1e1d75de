import csv
import math
from pathlib import Path

import pytest
from tests.integration.stages import fit_in


def test_metrics_tell_the_rate_of_learning_and_of_pictures(sample: Path, tmp_path: Path) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 3, "--model.schedule", "cosine"]
    folder = fit_in(tmp_path, *words, "--trainer.log_every_n_steps", 2)
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/learning_rate"]]
    steps = [int(row["step"]) for row in rows]
    assert steps == list(range(1, 18, 2))
    first = float(rows[0]["train/learning_rate"]) / ((1 + math.cos(math.pi * 1 / 18)) / 2)
    for step, row in zip(steps, rows, strict=True):
        expected = first * (1 + math.cos(math.pi * step / 18)) / 2
        assert float(row["train/learning_rate"]) == pytest.approx(expected, rel=1e-5)
        assert 0 <= float(row["time/waiting_share"]) <= 1
        # Faster than anybody, slower than nothing: no validation lies between.
        assert 1 < float(row["time/images_per_second"]) < 1e6
