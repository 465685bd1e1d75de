"""Plots of a run: learning curves after `fit`, confusion matrices after `fit` and `test`."""

import csv
from functools import partial
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger

from places.categories import load_categories
from places.classifier import SceneClassifier
from places.lightning_internals import data_module
from places.processes import run_folder
from places.reports.complete_scores import is_complete
from places.reports.figures import confusion_figure, curves_figure, try_to_draw
from places.reports.metrics_file import keep_whole


class Plots(Callback):
    """Plots `curves.png` from `metrics.csv`, and `confusion.png` of the last evaluation.

    No confusion matrix is plotted if only a part of the split was scored.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """See to it that `metrics.csv` is whole at any moment."""
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger):
                keep_whole(logger)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Plot the curves and the confusion matrix of the last validation."""
        folder = run_folder(trainer)
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            logger.save()
        metrics = folder / "metrics.csv"
        try_to_draw(lambda: curves_figure(_read_metrics(metrics)), folder / "curves.png")
        self._plot_confusion(trainer, pl_module, "val", folder)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Plot the confusion matrix."""
        data = data_module(trainer)
        folder = run_folder(trainer)
        self._plot_confusion(trainer, pl_module, getattr(data, "test_split", "test"), folder)

    def _plot_confusion(
        self, trainer: Trainer, pl_module: LightningModule, split: str, folder: Path
    ) -> None:
        if not (trainer.is_global_zero and isinstance(pl_module, SceneClassifier)):
            return
        if is_complete(trainer, pl_module, split):
            confusion = pl_module.evaluation.confusion
            draw = partial(confusion_figure, confusion, load_categories())
            try_to_draw(draw, folder / "confusion.png")


def _read_metrics(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the (step, value) pairs of each metric in Lightning's `metrics.csv`, by its name."""
    metrics: dict[str, list[tuple[int, float]]] = {}
    if not path.is_file():
        return metrics
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value and name not in ("step", "epoch"):
                    metrics.setdefault(name, []).append((int(row["step"]), float(value)))
    return metrics
