"""Metrics that callbacks watch: one that nothing logs is told before the first step."""

import re
import sys
from pathlib import Path

import pytest
from lightning.pytorch import Callback, LightningModule, Trainer
from tests.integration.stages import run

CALLBACKS = "--trainer.callbacks"
STOPPING = f"{CALLBACKS}+=EarlyStopping"
SEEN: set[str] = set()


class Recorder(Callback):
    """Notes what callbacks may watch."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the names of callback_metrics."""
        SEEN.update(trainer.callback_metrics)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for modules of a user."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def _refused(capsys: pytest.CaptureFixture[str], *words: object) -> list[str]:
    assert run("fit", *words) == 2
    assert not Path("runs").exists(), "a refused run leaves no folder"
    error = capsys.readouterr().err.partition("places: error: ")[2]
    assert len(error.splitlines()) <= 4
    return error.splitlines()


@pytest.mark.parametrize(
    ("words", "message", "nearest"),
    [
        ([STOPPING, f"{CALLBACKS}.monitor=val/tpo1"], "trainer.callbacks.monitor", "val/top1"),
        ([STOPPING, f"{CALLBACKS}.monitor=val_loss"], "trainer.callbacks.monitor", "val/loss"),
        (["--checkpoint.monitor=train/los"], "checkpoint.monitor", "train/loss"),
        (
            [f"{CALLBACKS}+=ModelCheckpoint", f"{CALLBACKS}.monitor=top5"],
            "trainer.callbacks.monitor",
            "val/top5",
        ),
    ],
)
def test_a_metric_that_nothing_logs_is_told_with_the_nearest(
    sample: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
    nearest: str,
) -> None:
    lines = _refused(capsys, "--data.root", sample, "--trainer.max_epochs", 1, *words)
    assert re.fullmatch(rf"{message}( of \w+)? is '.*', which is never logged", lines[0])
    assert lines[1] == f"  given in:     --{message}"
    assert lines[2] == f"  nearest:      {nearest}"
    assert lines[3].startswith("  names:        val/top1, val/top5, ")


def test_the_line_of_the_callback_is_told_of_several_in_a_recipe(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("two.yaml").write_text(
        "trainer:\n  callbacks:\n  - class_path: ModelCheckpoint\n"
        "    init_args: {monitor: val/loss}\n  - class_path: EarlyStopping\n"
        "    init_args:\n      monitor: val/lss\n"
    )
    lines = _refused(capsys, "--data.root", sample, "--config", "two.yaml")
    assert lines[1:3] == ["  given in:     two.yaml, line 7", "  nearest:      val/loss"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The number of training batches")
def test_names_that_need_more_say_so(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 1, STOPPING]
    lines = _refused(capsys, *words, f"{CALLBACKS}.monitor=val_ema/loss")
    assert lines[2] == "  it needs:     --model.average_decay 0.9999"
    late = ["--trainer.log_every_n_steps", 50, f"{CALLBACKS}.monitor=train/loss"]
    lines = _refused(capsys, *words, *late)
    assert lines[0].endswith("'train/loss' is looked at after 6 steps, and is logged every 50")
    assert lines[2] == "  type:         --trainer.log_every_n_steps 3"
    no_validation = ["--trainer.limit_val_batches", 0, f"{CALLBACKS}.monitor=val/loss"]
    assert _refused(capsys, *words, *no_validation)[0].endswith("this training does not validate")


def test_a_callback_of_the_users_is_checked_like_others(
    sample: Path, capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    (elsewhere / "watching.py").write_text(
        "from lightning.pytorch import Callback\n\n"
        "class Watching(Callback):\n"
        "    def __init__(self, monitor: str) -> None:\n        self.monitor = monitor\n"
    )
    recipe = "trainer:\n  callbacks+:\n  - class_path: watching.Watching\n    init_args:\n"
    Path("own.yaml").write_text(f"{recipe}      monitor: val/top2\n")
    lines = _refused(capsys, "--data.root", sample, "--config", "own.yaml")
    assert lines[0].startswith("trainer.callbacks.monitor of Watching is 'val/top2', which is nev")
    assert lines[1:3] == ["  given in:     own.yaml, line 5", "  nearest:      val/top5"]


@pytest.mark.slow
def test_what_a_users_callback_logs_may_be_watched(
    sample: Path, capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    (elsewhere / "logging_one.py").write_text(
        "from lightning.pytorch import Callback\n\n"
        "class Logging(Callback):\n"
        "    def on_validation_epoch_end(self, trainer, pl_module):\n"
        "        pl_module.log('mine', 1.0)\n"
    )
    words = ["--data.root", sample, "--trainer.max_epochs", 1, STOPPING]
    words += [f"{CALLBACKS}.monitor=mine", f"{CALLBACKS}+=logging_one.Logging"]
    assert run("fit", *words) == 0
    warning = "the run fails in its first epoch unless Logging logs mine"
    assert f"places: trainer.callbacks.monitor of EarlyStopping: {warning}\n" in (
        capsys.readouterr().err
    )
    words = [word if word != f"{CALLBACKS}.monitor=mine" else f"{CALLBACKS}.monitor=other"
             for word in map(str, words)]  # fmt: skip
    assert run("fit", *words) == 2, "told at the end of the epoch, without a traceback"
    assert (
        "places: error: EarlyStopping watches other, which nobody logs" in capsys.readouterr().err
    )


@pytest.mark.slow
def test_the_names_that_are_told_are_those_that_are_there(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SEEN.clear()
    words = ["--data.root", sample, "--model.average_decay", 0.9]
    recorder = f"{CALLBACKS}+={Recorder.__module__}.Recorder"
    # No process of its own: the module is this one.
    assert sys.modules[Recorder.__module__].SEEN is SEEN
    assert run("fit", *words, "--trainer.max_epochs", 1, recorder) == 0
    assert "val_ema/top1" in SEEN
    capsys.readouterr()
    lines = _refused_beside(capsys, *words, STOPPING, f"{CALLBACKS}.monitor=nothing")
    assert set(lines[-1].partition("names:")[2].strip().split(", ")) == SEEN


def _refused_beside(capsys: pytest.CaptureFixture[str], *words: object) -> list[str]:
    assert run("fit", *words) == 2
    return capsys.readouterr().err.splitlines()
