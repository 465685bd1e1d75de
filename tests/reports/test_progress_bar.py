import io
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.data.drawn import drawn_picture
from tests.integration.stages import run
from tests.networks import Tiny

from places import console
from places.classifier import SceneClassifier
from places.cli.main import main
from places.reports.progress_bar import Bar


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The numbers that are read from tensors: on a GPU each makes the process wait for it."""
    seen: list[str] = []

    def noted(name: str) -> None:
        read = getattr(torch.Tensor, name)

        def note(tensor: torch.Tensor) -> object:
            seen.append(name)
            return read(tensor)

        monkeypatch.setattr(torch.Tensor, name, note)

    for name in ("item", "tolist", "__float__", "__int__", "__index__"):
        noted(name)
    return seen


def test_steps_between_two_logs_read_no_number(
    sample: Path, tmp_path: Path, reads: list[str]
) -> None:
    counts = []
    for num_steps in (2, 12):
        reads.clear()
        words = ["--data.root", sample, "--data.batch_size", 8, "--trainer.max_epochs", 2]
        words += ["--trainer.limit_train_batches", num_steps, "--model.average_decay", 0.9]
        words += ["--trainer.log_every_n_steps", num_steps // 2, "--trainer.gradient_clip_val", 1]
        words += ["--trainer.enable_progress_bar", "true"]
        assert run("fit", *words) == 0
        counts.append(len(reads))
    assert counts[0] == counts[1] > 0


def test_the_bar_shows_what_was_logged_last() -> None:
    class TrainerStub:
        training, loggers, progress_bar_metrics = True, (), {"val/top1": 0.5}

    trainer: Any = TrainerStub()
    module = SceneClassifier(Tiny)
    assert Bar().get_metrics(trainer, module) == {"val/top1": 0.5}
    module.train_means = {"train/loss": 2.0}
    assert Bar().get_metrics(trainer, module) == {"val/top1": 0.5, "train/loss": 2.0}
    trainer.training = False
    assert Bar().get_metrics(trainer, module) == {"val/top1": 0.5}


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
