"""How many samples were skipped because they cannot be read, in the logs."""

from lightning.pytorch import Callback, LightningModule, Trainer

from places.data.places365 import Places365
from places.lightning_internals import data_module
from places.processes import Agreement


class SkippedSamples(Callback):
    """Logs `train/bad_samples` and `val/bad_samples` where `data.bad_samples` is "skip".

    That is the number of different samples that any process could not read so far. It starts at 0
    again when a run is resumed.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the processes tell each other which samples they skipped."""
        self._agreement = Agreement(trainer.world_size)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the number for the training pictures."""
        self._log_number(trainer, pl_module, "train")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the number for the validation pictures."""
        self._log_number(trainer, pl_module, "val")

    def _log_number(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        data = data_module(trainer)
        if isinstance(data, Places365) and data.bad_samples == "skip":
            # Another process may have met the same picture in an earlier epoch.
            bad_samples = data.skipped[split]
            skipped: set[int] = set().union(*self._agreement.all_of(bad_samples.numbers))
            bad_samples.are_told(skipped)
            pl_module.log(f"{split}/bad_samples", float(len(skipped)))
