"""How many samples were skipped because they cannot be read, in the logs."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from places.data.places365 import Places365


class SkippedSamples(Callback):
    """Logs `train/bad_samples` and `val/bad_samples` where `data.bad_samples` is "skip".

    Each process counts the different samples that it could not read; the counts are added.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the number for the training pictures."""
        self._log_number(trainer, pl_module, "train")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the number for the validation pictures."""
        self._log_number(trainer, pl_module, "val")

    def _log_number(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by the trainer, not declared
        if isinstance(data, Places365) and data.bad_samples == "skip":
            number = torch.tensor(float(data.sources[split].bad_samples.count))
            number = number.to(pl_module.device)
            pl_module.log(f"{split}/bad_samples", trainer.strategy.reduce(number, reduce_op="sum"))
