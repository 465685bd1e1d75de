"""Numbers that a run shows, read as its user would."""

import re
from pathlib import Path

import pytest
from tests.integration.stages import run

from places.cli.main import main


def test_one_epoch_is_one_epoch_and_operations_are_counted(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 1, "--report", "false"]
    assert run("fit", *words, "--trainer.enable_model_summary=true") == 0
    out, error = capsys.readouterr()
    # Two convolutions on 32 pixels, 15 and 7 after them, and 365 classes, multiplied by hand.
    operations = 2 * (3 * 8 * 9 * 15**2 + 8 * 16 * 9 * 7**2 + 16 * 365)
    (shown,) = re.findall(r"Total FLOPs: ([\d.]+) K", out + error)
    assert abs(1000 * float(shown) - operations) < 1000
    assert main(["runs"]) == 0
    assert "finished, 1 epoch " in capsys.readouterr().out
