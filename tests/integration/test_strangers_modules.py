"""Models and data of others, which know nothing of `places`: all stages run with them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.loggers import Logger
from tests.integration.stages import MACHINE, load_weights, read_metrics
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from places.cli.main import main

HERE = __name__
NUM, SIZE = 24, 4
FIT = ["--trainer.max_epochs=2", "--checkpoint.monitor=val/error", "--checkpoint.mode=min"]


class Line(LightningModule):
    """A line through points, with steps of its own: Lightning's manual optimization."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.slope = nn.Parameter(torch.tensor(0.0))

    def training_step(self, batch: Any, batch_idx: int) -> None:  # noqa: ANN401  # Lightning's
        """Go a step."""
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self._error(batch))
        optimizer.step()

    def validation_step(self, batch: Any, batch_idx: int) -> None:  # noqa: ANN401  # Lightning's
        """Log the error."""
        self.log("val/error", self._error(batch))

    def test_step(self, batch: Any, batch_idx: int) -> None:  # noqa: ANN401  # Lightning's
        """Log the error."""
        self.log("test/error", self._error(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Take the plainest."""
        return torch.optim.SGD(self.parameters(), lr=0.05)

    def _error(self, batch: Any) -> Tensor:  # noqa: ANN401  # of its own data
        points, values = batch
        error: Tensor = (self.slope * points - values).square().mean()
        return error


class Kept(Logger):
    """A logger of somebody's own."""

    name = version = "kept"
    settings: ClassVar[dict[str, Any]] = {}
    numbers: ClassVar[dict[str, float]] = {}

    def log_hyperparams(self, params: dict[str, Any]) -> None:  # type: ignore[override]  # Lightning's takes more
        """Keep them."""
        self.settings.update(params)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep the last ones."""
        self.numbers.update(metrics)


class Points(LightningDataModule):
    """Points on a line of slope 3, in batches that are no mappings."""

    def __init__(self) -> None:
        super().__init__()
        points = torch.linspace(-1, 1, NUM)
        self.points = TensorDataset(points, 3 * points)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return all of them."""
        return DataLoader(self.points, batch_size=SIZE)

    val_dataloader = test_dataloader = train_dataloader


def _slope_after(num_epochs: int) -> float:
    """Return the slope that the steps lead to, worked out one after the other."""
    points = torch.linspace(-1, 1, NUM).reshape(-1, SIZE).unbind()
    slope = 0.0
    for part in points * num_epochs:
        slope -= 0.05 * float((2 * (slope * part - 3 * part) * part).mean())
    return slope


@pytest.fixture
def words() -> list[str]:
    return ["--model", f"{HERE}.Line", "--data", f"{HERE}.Points", *MACHINE]


def test_all_stages_run_with_a_model_and_data_of_others(
    words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    logger = ["--trainer.logger", f"{HERE}.Kept"]
    Kept.settings.clear()
    Kept.numbers.clear()
    assert main(["fit", *words, *FIT, *logger]) == 0
    (run,) = (path.parent for path in tmp_path.rglob("config.yaml"))
    slope = _slope_after(2)
    error = float(((slope - 3) * torch.linspace(-1, 1, NUM)).square().mean())
    metrics = read_metrics(run)
    assert float(metrics[11, "val/error"]) == pytest.approx(error, rel=1e-5)
    # A logger of theirs is told what the run is, and how good it got.
    assert Kept.settings["trainer.max_epochs"] == 2
    assert Kept.settings["places.stage"] == "fit"
    assert Kept.numbers["best/val/error"] == Kept.numbers["val/error"]
    assert Kept.numbers["val/error"] == pytest.approx(error, rel=1e-5)
    assert Kept.numbers["best/epoch"] == 1
    assert "cost/hours" in Kept.numbers
    assert "cost/images_seen" not in Kept.numbers  # nobody knows what their batches hold
    (checkpoint,) = run.rglob("last.ckpt")
    capsys.readouterr()
    for stage, name in (("validate", "val/error"), ("test", "test/error")):
        Kept.settings.clear()
        assert main([stage, *words, *logger, "--ckpt_path", str(checkpoint)]) == 0
        assert Kept.settings["places.stage"] == stage
        rows = capsys.readouterr().out.splitlines()
        (row,) = (line for line in rows if name in line)
        assert f"{error:.4f}" in row
    more = ["--trainer.max_epochs", "3", "--ckpt_path", str(checkpoint), "--report", "false"]
    assert main(["fit", *words, *more]) == 0
    (last,) = (path for path in tmp_path.rglob("last.ckpt") if path != checkpoint)
    assert float(load_weights(last)["slope"]) == pytest.approx(_slope_after(3), rel=1e-5)


def test_a_score_that_a_model_of_others_does_not_log_is_named(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", *words, "--trainer.max_epochs", "1", "--report", "false"]) == 2
    lines = capsys.readouterr().err.splitlines()
    start = "places: error: the best checkpoint is chosen by 'val/top1', which nobody logs"
    assert lines[-3] == start
    assert "val/error" in lines[-2]
    assert "--checkpoint.monitor" in lines[-1]
