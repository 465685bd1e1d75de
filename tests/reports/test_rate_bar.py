import io
import re
import sys
from pathlib import Path

import pytest
from tests.data.drawn import drawn_picture

from places import console
from places.cli.main import main


def _predict(num: int) -> int:
    Path("photos").mkdir(exist_ok=True)
    for number in range(num):
        drawn_picture(40, 40).save(f"photos/{number}.png")
    words = ["--trainer.accelerator", "cpu", "--trainer.deterministic", "true"]
    words += ["--model.net", "tests.networks.Tiny", "--random_weights", "--data.batch_size", "10"]
    return main(["predict", "photos", "--data.image_size", "32", *words])


def test_without_a_terminal_predict_shows_lines_with_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "_S_PER_LINE", 0.0)
    assert _predict(40) == 0
    shown = [x for x in capsys.readouterr().err.splitlines() if x.startswith("predict: ")]
    assert len(shown) > 2
    assert all(re.fullmatch(r"predict: \d+%, [\d,.]+ pictures/s, \d+ s left", x) for x in shown)
    assert shown[-1].startswith("predict: 100%")
    percents = [int(line[9 : line.index("%")]) for line in shown]
    assert percents == sorted(percents)


def test_on_a_terminal_predict_shows_a_bar_with_its_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    assert _predict(40) == 0
    shown = terminal.getvalue()
    assert "predict " in shown
    assert "40/40" in shown
    assert re.search(r"[\d,.]+ pictures/s", shown)


def test_quick_runs_leave_no_line_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    assert _predict(3) == 0
    assert "predict: " not in capsys.readouterr().err
