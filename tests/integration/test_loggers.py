"""Loggers as users ask for them: where they write, what they need, what happens if one fails."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from tests.integration.stages import options_of, run

ROOT = Path(__file__).parents[2]
STEP = ("--trainer.max_steps", 1, "--trainer.limit_val_batches", 1, "--report", "false")


@pytest.fixture(autouse=True)
def forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run sets in the environment is forgotten."""
    for name in (
        "WANDB_CACHE_DIR",
        "WANDB_DATA_DIR",
        "MLFLOW_ALLOW_FILE_STORE",
        "MLFLOW_TRACKING_URI",
    ):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_loggers_without_a_folder_write_into_that_of_the_run(sample: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    words = ["--trainer.logger=TensorBoardLogger", "--trainer.logger+=CSVLogger"]
    assert run("fit", "--data.root", sample, *STEP, *words, "--trainer.log_every_n_steps", 1) == 0
    folder = tmp_path / "runs" / "fit" / "0"
    assert len([*folder.rglob("events.out.tfevents.*")]) == 1
    ours, theirs = sorted(folder.rglob("metrics.csv"), key=lambda path: len(path.parts))
    assert ours.parent == folder
    assert theirs.is_relative_to(folder / "lightning_logs")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


PACKAGES = {
    "WandbLogger": ("wandb", "places[wandb]"),
    "TensorBoardLogger": ("tensorboard", "places[tensorboard]"),
    "MLFlowLogger": ("mlflow", "places[mlflow]"),
}


@pytest.mark.first_covers
@pytest.mark.parametrize(
    ("name", "form"),
    [
        *((name, form) for name in PACKAGES for form in ("name", "overlay")),
        ("WandbLogger", "path"),
        ("TensorBoardLogger", "several"),
    ],
)
def test_without_its_package_a_logger_says_what_to_install(
    name: str,
    form: str,
    sample: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package, extra = PACKAGES[name]
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not there
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    words = {
        "name": [f"--trainer.logger={name}"],
        "path": ["--trainer.logger", f"lightning.pytorch.loggers.{name}"],
        "several": ["--trainer.logger+=CSVLogger", f"--trainer.logger+={name}"],
        "overlay": ["--config", f"overlays/{package}.yaml"],
    }[form]
    assert run("fit", "--data.root", sample, *STEP, *words) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"places: error: {name} needs a package that is not installed:  pip install '{extra}'"
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["WandbLogger", "--trainer.logger.offline", "true", "--trainer.logger.log_model=true"],
            "WandbLogger cannot be built\n  Providing log_model=True and offline=True is",
        ),
        (
            ["tests.integration.test_loggers.Refusing"],
            "Refusing cannot be built\n  no room for a log\n",
        ),
    ],
)
def test_a_logger_that_cannot_be_built_says_why(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert run("fit", "--data.root", sample, *STEP, "--trainer.logger", *words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"places: error: {said}")
    assert len(error.splitlines()) <= 4
    assert not list(tmp_path.rglob("*"))


class Refusing(CSVLogger):
    """A logger that cannot be built."""

    def __init__(self, save_dir: str) -> None:
        raise ValueError("no room for a log\nnor for more")


class Kills(Callback):
    """Ends the process to which the logger of Weights & Biases talks, in the second step."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:  # noqa: ANN401  # Lightning's
        """See above."""
        if trainer.global_step != 2:
            return
        found = [child for child in psutil.Process().children(True) if "wandb" in child.name()]
        assert found
        for child in found:
            child.send_signal(signal.SIGKILL)


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_run_outlives_its_logger(sample: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    words = ["--data.root", sample, "--config", "overlays/wandb.yaml", "--report", "false"]
    words += ["--trainer.callbacks", f"{__name__}.Kills"]
    words += ["--trainer.max_epochs", 1, "--trainer.log_every_n_steps", 1]
    # Apart, since no other run of this process could use W&B after it.
    command = [sys.executable, "-m", "places", "fit", *options_of("fit"), *map(str, words)]
    search = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    # Without the address of a service that another test may have left running.
    others = {key: value for key, value in os.environ.items() if key != "WANDB_SERVICE"}
    environment = {**others, "PYTHONPATH": search}
    ended = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    error = ended.stderr
    assert "places: WandbLogger failed, the run goes on without it for 1 minute: " in error
    assert " of this run; metrics.csv has all numbers" in error
    rows = _rows(tmp_path / "runs" / "wandb" / "0")
    assert [row["step"] for row in rows if row["train/loss"]] == [str(step) for step in range(6)]
