"""The progress bar of `fit`, with the training loss."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from places.classifier import SceneClassifier


class Bar(RichProgressBar):
    """Shows the loss and the accuracy that were logged last.

    What is logged for Lightning's own bar is read from the device after each step; these numbers
    were read when they were logged, every few steps.
    """

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return what is shown beside the bar."""
        shown = super().get_metrics(trainer, pl_module)
        if trainer.training and isinstance(pl_module, SceneClassifier):
            shown |= pl_module.train_means
        return shown
