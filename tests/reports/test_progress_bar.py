import io
import re
import sys
from pathlib import Path

import pytest
import torch
from tests.data.drawn import drawn_picture
from tests.integration.stages import run

from places import console
from places.cli.main import main
from places.reports import progress_bar


class Terminal(io.StringIO):
    """Takes what would be shown on a terminal."""

    def isatty(self) -> bool:
        return True


def _show_on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    shown = Terminal()  # not a fixture: pytest sets its own between setup and test
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return shown


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
    for num_steps in (4, 12):  # the first log of all has no rate yet, were it after one step
        reads.clear()
        words = ["--data.root", sample, "--data.batch_size", 8, "--trainer.max_epochs", 2]
        words += ["--trainer.limit_train_batches", num_steps, "--model.average_decay", 0.9]
        words += ["--trainer.log_every_n_steps", num_steps // 2, "--trainer.gradient_clip_val", 1]
        words += ["--trainer.enable_progress_bar", "true"]
        assert run("fit", *words) == 0
        counts.append(len(reads))
    assert counts[0] == counts[1] > 0


LINE = re.compile(r"epoch (\d) of 2: (\d+)%, [\d,.]+ pictures/s, [\d,]+ s left(?:, (.+))?")


def test_without_a_terminal_a_training_shows_lines(
    sample: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress_bar, "_S_PER_LINE", 0.0)
    words = ["--data.root", sample, "--trainer.max_epochs", 2, "--trainer.log_every_n_steps", 1]
    assert run("fit", *words, "--trainer.enable_progress_bar", "true") == 0
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("epoch ")]
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), lines
    shown = [match.groups() for match in found if match]
    assert [epoch for epoch, *_ in shown] == ["1"] * 6 + ["2"] * 6
    assert [int(percent) for _, percent, _ in shown] == [
        8,
        17,
        25,
        33,
        42,
        50,
        58,
        67,
        75,
        83,
        92,
        100,
    ]
    notes = [note or "" for *_, note in shown]
    assert all(re.fullmatch(r"loss \d+\.\d{3}", note) for note in notes[1:6])
    assert all(re.fullmatch(r"loss \d+\.\d{3}, top-1 \d+\.\d%", note) for note in notes[7:])


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (("--trainer.max_steps", 3, "--trainer.max_epochs", -1), "epoch 1: 33%"),
        (("--trainer.max_steps", 9, "--trainer.max_epochs", 2), "epoch 1 of 2: 11%"),
        (("--trainer.max_epochs", 1, "--trainer.accumulate_grad_batches", 2), "epoch 1 of 1: 17%"),
    ],
)
def test_what_is_left_is_known_from_epochs_or_steps(
    sample: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[object, ...],
    first: str,
) -> None:
    monkeypatch.setattr(progress_bar, "_S_PER_LINE", 0.0)
    assert run("fit", "--data.root", sample, *words, "--trainer.enable_progress_bar", "true") == 0
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("epoch ")]
    assert lines[0].startswith(first)
    assert ": 100%" in lines[-1]


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_an_evaluation_shows_lines(
    sample: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: str,
) -> None:
    monkeypatch.setattr(console, "_S_PER_LINE", 0.0)
    monkeypatch.setattr(progress_bar, "_S_PER_READING", 0.0)
    words = ["--data.root", sample, "--random_weights", "--trainer.enable_progress_bar", "true"]
    assert run(stage, *words, "--data.image_size", 32, "--model.net", "tests.networks.Tiny") == 0
    shown = capsys.readouterr()
    lines = [x for x in shown.err.splitlines() if x.startswith(f"{stage}: ")]
    assert lines[-1].startswith(f"{stage}: 100%")
    # The two numbers of the last line are those of all pictures.
    told = re.fullmatch(r".* left, top-1 ([\d.]+)%, top-5 ([\d.]+)%", lines[-1])
    assert told
    for name, share in zip(("top1", "top5"), told.groups(), strict=True):
        rows = [x for x in (shown.out + shown.err).splitlines() if x.startswith("│")]
        (line,) = (x for x in rows if f"{name} " in x)
        (value, *_) = re.findall(r"(\d+\.\d\d)%", line)
        assert abs(float(value) - float(share)) <= 0.05 + 1e-9


def test_on_a_terminal_a_training_shows_a_bar_that_goes_away(
    sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = _show_on_terminal(monkeypatch)
    words = ["--data.root", sample, "--trainer.max_epochs", 2]
    assert run("fit", *words, "--trainer.enable_progress_bar", "true") == 0
    shown = terminal.getvalue()
    assert "epoch 1 of 2" in shown
    assert "epoch 2 of 2" in shown
    assert "192/192" in shown
    assert "validating" in shown


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
    terminal = _show_on_terminal(monkeypatch)
    assert _predict(40) == 0
    shown = terminal.getvalue()
    assert "predict " in shown
    assert "40/40" in shown
    assert re.search(r"[\d,.]+ pictures/s", shown)


def test_quick_runs_leave_no_line_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    assert _predict(3) == 0
    assert "predict: " not in capsys.readouterr().err
