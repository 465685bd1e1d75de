from pathlib import Path
from typing import Any

import pytest
import torch
from tests.integration.stages import run
from tests.networks import Tiny

from places.classifier import SceneClassifier
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
